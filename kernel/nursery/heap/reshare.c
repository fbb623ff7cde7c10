/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Most of what running Python writes is written back: a count goes up and comes down again, and what is left is a private
 * page that is equal, byte for byte, to the template's. Such a page is given back, by dropping it: the next look at it
 * finds the file's.
 *
 * Between comparing a page and dropping it nothing may write to it: see remap.c. And the file must be the one that was
 * mapped: another one that user code opened at the same number would be read past its end, which is a bus error.
 */
#include "heap.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "maps.h"

#define WINDOW ((size_t)512) /* pages that are looked at in one go */
#define PAGEMAP_PRESENT ((uint64_t)1 << 63)
#define PAGEMAP_OF_FILE ((uint64_t)1 << 61) /* or shared: not a copy of our own */

static int file = -1;
static struct stat file_then; /* what file was when it was set */

struct reshare {
	int pagemap;
	struct heap_reshared did;
};

void
heap_set_file(int fd)
{
	file = fd;
	if (file >= 0 && fstat(file, &file_then) < 0)
		file = -1;
}

int
heap_file(void)
{
	return file;
}

/* Drop the pages [first, last) of the window at `begin`. */
static void
drop(struct reshare *r, uintptr_t begin, size_t first, size_t last)
{
	if (first < last &&
	    madvise((void *)(begin + first * MAPS_PAGE), (last - first) * MAPS_PAGE, MADV_DONTNEED) == 0)
		r->did.pages += last - first;
}

static void
look_at(struct reshare *r, uintptr_t begin, size_t count)
{
	static uint64_t entries[WINDOW];
	const char *view = MAP_FAILED;
	size_t first = 0, last = 0; /* pages in a row that are to be dropped */
	ssize_t size = (ssize_t)(count * sizeof *entries);
	if (pread(r->pagemap, entries, (size_t)size, (off_t)(begin / MAPS_PAGE * sizeof *entries)) != size)
		return;
	for (size_t i = 0; i < count; i++) {
		bool own = (entries[i] & PAGEMAP_PRESENT) != 0 && (entries[i] & PAGEMAP_OF_FILE) == 0;
		if (own && view == MAP_FAILED)
			view = mmap(NULL, count * MAPS_PAGE, PROT_READ, MAP_SHARED, file, (off_t)begin);
		if (own && view == MAP_FAILED)
			return;
		r->did.looked_at += own;
		bool same = own && memcmp(view + i * MAPS_PAGE, (const char *)begin + i * MAPS_PAGE, MAPS_PAGE) == 0;
		if (same && first == last)
			first = i;
		else if (!same)
			drop(r, begin, first, last);
		first = same ? first : i;
		last = same ? i + 1 : i;
	}
	drop(r, begin, first, last);
	if (view != MAP_FAILED)
		munmap((void *)(uintptr_t)view, count * MAPS_PAGE);
}

static void
look_at_range(struct reshare *r, const struct maps_range *range)
{
	for (uintptr_t at = range->begin; at < range->end; at += WINDOW * MAPS_PAGE) {
		size_t left = (range->end - at) / MAPS_PAGE;
		look_at(r, at, left < WINDOW ? left : WINDOW);
	}
}

/* "begin-end rw-p offset ... /memfd:pupitre-heap (deleted)" with the offset equal to the address. */
static bool
is_ours(const char *line, struct maps_range *ret)
{
	unsigned long begin, end, offset;
	char perms[5];
	if (strstr(line, "/memfd:" HEAP_FILE_NAME) == NULL ||
	    sscanf(line, "%lx-%lx %4s %lx", &begin, &end, perms, &offset) != 4)
		return false;
	*ret = (struct maps_range){ begin, end };
	return strcmp(perms, "rw-p") == 0 && offset == begin;
}

/* What the kernel says now, not what the template did then: user code may have unmapped some of it. */
static void
look_at_all(struct reshare *r, int maps)
{
	static char text[16384];
	size_t held = 0;
	ssize_t n;
	while ((n = read(maps, text + held, sizeof text - 1 - held)) > 0) {
		held += (size_t)n;
		text[held] = '\0';
		char *line = text;
		for (char *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
			struct maps_range range;
			*end = '\0';
			if (is_ours(line, &range))
				look_at_range(r, &range);
		}
		held -= (size_t)(line - text);
		memmove(text, line, held);
	}
}

static bool
is_file_still_ours(void)
{
	struct stat now;
	return fstat(file, &now) == 0 && now.st_dev == file_then.st_dev && now.st_ino == file_then.st_ino;
}

int
heap_reshare(struct heap_reshared *ret, struct err *e)
{
	struct reshare r = { .pagemap = -1 };
	sigset_t all, before;
	if (file < 0)
		return err_set(e, ERR_DENIED, "the heap is not in a file");
	if (!is_file_still_ours())
		return err_set(e, ERR_DENIED, "user code has closed the heap's file");
	if (heap_count_threads() != 1)
		return err_set(e, ERR_DENIED, "there are other threads, which may write meanwhile");
	r.pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	if (r.pagemap >= 0 && maps >= 0)
		look_at_all(&r, maps);
	sigprocmask(SIG_SETMASK, &before, NULL);
	fd_close(&r.pagemap);
	fd_close(&maps);
	*ret = r.did;
	return 0;
}
