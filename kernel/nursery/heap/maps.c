/* SPDX-License-Identifier: BSD-3-Clause */
#include "maps.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"

#define SWAPPED ((uint64_t)1 << 62)
#define BATCH ((size_t)512)
#define SMAPS_SIZE ((size_t)16 << 20)
#define LINE_SIZE 160 /* of a first line, as much as tells */

/* Those that lose nothing when the mapping is replaced: rd wr (may) mr mw me, ac counted, sd soft-dirty, hg nh huge pages,
 * mg mergeable. */
static const char plain_flags[] = " rd wr mr mw me ac sd hg nh mg ";

static int
read_all(const char *path, char *text, size_t size, struct err *e)
{
	FD_AUTO fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_system(e, "%s", path);
	size_t have = 0;
	for (;;) {
		ssize_t n = read(fd, text + have, size - have);
		if (n < 0)
			return err_system(e, "%s", path);
		if (n == 0)
			break;
		have += (size_t)n;
		if (have == size)
			return err_set(e, ERR_LIMIT, "%s is too long", path);
	}
	text[have] = '\0';
	return have > 0 ? 0 : err_set(e, ERR_SYSTEM, "%s is empty", path);
}

static bool
has_plain_flags(const char *flags, const char *end)
{
	for (; flags < end; flags++) {
		char word[] = " xx ";
		if (*flags == ' ' || *flags == '\n')
			continue;
		memcpy(word + 1, flags++, 2);
		if (strstr(plain_flags, word) == NULL)
			return false;
	}
	return true;
}

/* "begin-end perms offset dev inode   name\n": whether it is anonymous, private, and ours to read and write. */
static bool
is_plain_line(const char *line, size_t size, struct maps_range *ret)
{
	char head[LINE_SIZE], perms[5] = "", name[7] = "";
	unsigned long begin, end, inode;
	snprintf(head, sizeof head, "%.*s", (int)(size < sizeof head ? size : sizeof head - 1), line);
	int fields = sscanf(head, "%lx-%lx %4s %*s %*s %lu %6s", &begin, &end, perms, &inode, name);
	if (fields < 4 || strcmp(perms, "rw-p") != 0 || inode != 0)
		return false;
	if (name[0] != '\0' && strcmp(name, "[heap]") != 0 && strcmp(name, "[anon:") != 0)
		return false;
	*ret = (struct maps_range){ begin, end };
	return true;
}

/* The flags of a mapping, from their first to *ret_end; NULL: it has none. */
static const char *
flags_of(const char *mapping, const char **ret_end, const char **ret_next)
{
	static const char word[] = "\nVmFlags:";
	const char *flags = strstr(mapping, word);
	*ret_end = flags == NULL ? NULL : strchr(flags + 1, '\n');
	*ret_next = *ret_end == NULL || (*ret_end)[1] == '\0' ? NULL : *ret_end + 1;
	return *ret_end == NULL ? NULL : flags + sizeof word - 1;
}

bool
maps_is_plain(const char *mapping, struct maps_range *ret, const char **ret_next)
{
	const char *end, *flags = flags_of(mapping, &end, ret_next);
	if (flags == NULL || !has_plain_flags(flags, end))
		return false;
	return is_plain_line(mapping, strcspn(mapping, "\n"), ret);
}

static bool
has_flag(const char *flags, const char *end, const char word[4])
{
	const char *found = strstr(flags, word);
	return found != NULL && found < end;
}

bool
maps_is_shared(const char *mapping, struct maps_range *ret, int *ret_protection, char *ret_name, const char **ret_next)
{
	const char *end, *flags = flags_of(mapping, &end, ret_next);
	unsigned long first, last;
	char perms[5];
	int name = 0;
	/* sh: of a file opened for writing, or of none; dc: no child gets it */
	if (flags == NULL || !has_flag(flags, end, " sh") || has_flag(flags, end, " dc") ||
	    sscanf(mapping, "%lx-%lx %4s %*s %*s %*s %n", &first, &last, perms, &name) != 3)
		return false;
	*ret = (struct maps_range){ first, last };
	*ret_protection = (perms[0] == 'r' ? PROT_READ : 0) | (perms[1] == 'w' ? PROT_WRITE : 0) |
			  (perms[2] == 'x' ? PROT_EXEC : 0);
	if (ret_name != NULL)
		snprintf(ret_name, MAPS_NAME_SIZE, "%.*s", (int)strcspn(mapping + name, "\n"), mapping + name);
	return true;
}

char *
maps_read_smaps(size_t *ret_size, struct err *e)
{
	*ret_size = SMAPS_SIZE;
	char *text = maps_room(SMAPS_SIZE);
	if (text == NULL) {
		err_memory(e);
	} else if (read_all("/proc/self/smaps", text, SMAPS_SIZE, e) < 0) {
		munmap(text, SMAPS_SIZE);
		text = NULL;
	}
	return text;
}

int
maps_list_plain(size_t minimum, char *text, size_t text_size, struct maps *ret, struct err *e)
{
	if (read_all("/proc/self/smaps", text, text_size, e) < 0)
		return -1;
	struct maps_range range;
	for (const char *next, *mapping = text; mapping != NULL; mapping = next) {
		if (!maps_is_plain(mapping, &range, &next) || range.end - range.begin < minimum)
			continue;
		if (ret->count == ret->capacity)
			return err_set(e, ERR_LIMIT, "more than %zu mappings", ret->capacity);
		ret->ranges[ret->count++] = range;
	}
	return 0;
}

void
maps_each_line(int maps, char *text, size_t text_size, void (*look)(void *context, char *line), void *context)
{
	size_t held = 0;
	ssize_t n;
	while ((n = read(maps, text + held, text_size - 1 - held)) > 0) {
		held += (size_t)n;
		text[held] = '\0';
		char *line = text;
		for (char *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
			*end = '\0';
			look(context, line);
		}
		held -= (size_t)(line - text);
		memmove(text, line, held);
	}
}

void
maps_each_window(int pagemap, const struct maps_range *range, uint64_t entries[MAPS_WINDOW],
		 void (*look)(void *context, uintptr_t begin, size_t count), void *context)
{
	for (uintptr_t at = range->begin; at < range->end; at += MAPS_WINDOW * MAPS_PAGE) {
		size_t left = (range->end - at) / MAPS_PAGE;
		size_t count = left < MAPS_WINDOW ? left : MAPS_WINDOW;
		ssize_t size = (ssize_t)(count * sizeof *entries);
		if (pread(pagemap, entries, (size_t)size, (off_t)(at / MAPS_PAGE * sizeof *entries)) == size)
			look(context, at, count);
	}
}

void *
maps_room(size_t bytes)
{
	void *room = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return room == MAP_FAILED ? NULL : room;
}

int
maps_touched(int pagemap, uintptr_t begin, size_t count, bool *ret, struct err *e)
{
	uint64_t entries[BATCH];
	for (size_t done = 0; done < count;) {
		size_t wanted = count - done < BATCH ? count - done : BATCH;
		off_t offset = (off_t)((begin / MAPS_PAGE + done) * sizeof *entries);
		ssize_t size = pread(pagemap, entries, wanted * sizeof *entries, offset);
		if (size < (ssize_t)sizeof *entries)
			return err_system(e, "/proc/self/pagemap");
		for (size_t i = 0; i < (size_t)size / sizeof *entries; i++)
			ret[done++] = (entries[i] & (MAPS_PRESENT | SWAPPED)) != 0;
	}
	return 0;
}
