/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Most of what running Python writes is written back: a count goes up and comes down again, and what is left is a private
 * page that is equal, byte for byte, to the template's. Such a page is given back, by dropping it: the next look at it
 * finds the file's. So is a page that differs in nothing but counters in bytecode: see counters.c.
 *
 * Between comparing a page and dropping it nothing may write to it: see remap.c. And the file must be the one that was
 * mapped, not another one that user code has opened at the same number.
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

#define TEXT_SIZE ((size_t)16384)
#define BATCH ((size_t)16) /* that are compared in one go */

static int file = -1;
static struct stat file_then; /* what file was when it was set */

/* In a mapping of its own, so that nothing stays behind, and nothing of it is among what is compared. */
struct reshare {
	int pagemap;
	off_t shift; /* from an address of the mapping that is looked at to the place in the file */
	struct heap_reshared did;
	uint64_t entries[MAPS_WINDOW];
	char pages[BATCH][MAPS_PAGE], text[TEXT_SIZE];
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

/* How many of `count` pages in a row are copies of our own. */
static size_t
run_of_own(const uint64_t *entries, size_t count)
{
	size_t i = 0;
	while (i < count && (entries[i] & MAPS_PRESENT) != 0 && (entries[i] & MAPS_OF_FILE) == 0)
		i++;
	return i;
}

static bool
is_same(uintptr_t page, const char *content)
{
	const char *own = (const char *)page;
	return memcmp(own, content, MAPS_PAGE) == 0 || heap_differs_in_counters_only(page, own, content);
}

/* Drop those of `count` pages, at most BATCH, that are equal to the file's. Reading is cheaper than mapping for a few pages
 * here and there, and allocates no page tables. */
static void
compare(struct reshare *r, uintptr_t begin, size_t count)
{
	if (pread(file, r->pages, count * MAPS_PAGE, (off_t)begin + r->shift) != (ssize_t)(count * MAPS_PAGE))
		return;
	r->did.looked_at += count;
	for (size_t i = 0, same; i < count; i += same + 1) {
		for (same = 0; i + same < count; same++)
			if (!is_same(begin + (i + same) * MAPS_PAGE, r->pages[i + same]))
				break;
		drop(r, begin, i, i + same);
	}
}

static void
look_at(void *context, uintptr_t begin, size_t count)
{
	struct reshare *r = context;
	size_t i = 0;
	while (i < count) {
		size_t own = run_of_own(r->entries + i, count - i < BATCH ? count - i : BATCH);
		if (own > 0)
			compare(r, begin + i * MAPS_PAGE, own);
		i += own > 0 ? own : 1;
	}
}

/* "begin-end rw-p offset device inode ..." of the file. */
static bool
is_ours(const char *line, struct maps_range *ret, off_t *ret_shift)
{
	unsigned long begin, end, offset, inode;
	char perms[5];
	if (strstr(line, "/memfd:" HEAP_FILE_NAME) == NULL ||
	    sscanf(line, "%lx-%lx %4s %lx %*s %lu", &begin, &end, perms, &offset, &inode) != 5)
		return false;
	*ret = (struct maps_range){ begin, end };
	*ret_shift = (off_t)offset - (off_t)begin;
	return strcmp(perms, "rw-p") == 0 && inode == file_then.st_ino;
}

static void
look_at_line(void *context, char *line)
{
	struct reshare *r = context;
	struct maps_range range;
	if (is_ours(line, &range, &r->shift))
		maps_each_window(r->pagemap, &range, r->entries, look_at, r);
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
	sigset_t all, before;
	if (file < 0)
		return err_set(e, ERR_DENIED, "the heap is not in a file");
	if (!is_file_still_ours())
		return err_set(e, ERR_DENIED, "user code has closed the heap's file");
	if (heap_count_threads() != 1)
		return err_set(e, ERR_DENIED, "there are other threads, which may write meanwhile");
	FD_AUTO pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	FD_AUTO maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	if (pagemap < 0 || maps < 0)
		return err_system(e, "/proc/self");
	struct reshare *r = mmap(NULL, sizeof *r, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (r == MAP_FAILED)
		return err_memory(e);
	r->pagemap = pagemap;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	/* What the kernel says now, not what the template did then: user code may have unmapped some of it. */
	maps_each_line(maps, r->text, TEXT_SIZE, look_at_line, r);
	sigprocmask(SIG_SETMASK, &before, NULL);
	*ret = r->did;
	munmap(r, sizeof *r);
	return 0;
}
