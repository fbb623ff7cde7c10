/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Every worker writes to the same thousand pages before its first reply, and each costs it a page fault. A child of the
 * template that did the same tells which they are; a worker copies them in one go.
 */
#include "heap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fd.h"
#include "maps.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define WINDOW ((size_t)512) /* pages that are asked for in one go */
#define VECTOR ((size_t)512) /* ranges that are copied in one go; the kernel takes 1,024 */
#define TEXT_SIZE ((size_t)16384)
#define PAGEMAP_PRESENT ((uint64_t)1 << 63)
#define PAGEMAP_OF_FILE ((uint64_t)1 << 61)   /* or shared: not a copy */
#define PAGEMAP_EXCLUSIVE ((uint64_t)1 << 56) /* no other process has it: a copy that was made since the fork */

/* In mappings of their own: what is counted must not change what there is to count. */
struct search {
	struct heap_copies found; /* first: who has it frees all of this */
	int pagemap;
	uint64_t entries[WINDOW];
	char text[TEXT_SIZE];
};

static struct heap_copies *expected;

static void *
take_pages(size_t size, struct err *e)
{
	void *made = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (made != MAP_FAILED)
		return made;
	err_memory(e);
	return NULL;
}

void
heap_free_copies(struct heap_copies *copies)
{
	munmap(copies, sizeof(struct search));
}

static void
add_page(struct heap_copies *found, uintptr_t page)
{
	size_t count = found->count;
	if (count > 0 && found->ranges[count - 1].end == page)
		found->ranges[count - 1].end += MAPS_PAGE;
	else if (count < HEAP_COPIES_MAX)
		found->ranges[found->count++] = (struct maps_range){ page, page + MAPS_PAGE };
}

static bool
is_copy(uint64_t entry)
{
	return (entry & PAGEMAP_PRESENT) != 0 && (entry & PAGEMAP_EXCLUSIVE) != 0 && (entry & PAGEMAP_OF_FILE) == 0;
}

static void
look_at(struct search *s, uintptr_t begin, size_t count)
{
	ssize_t size = (ssize_t)(count * sizeof *s->entries);
	if (pread(s->pagemap, s->entries, (size_t)size, (off_t)(begin / MAPS_PAGE * sizeof *s->entries)) != size)
		return;
	for (size_t i = 0; i < count; i++) {
		if (is_copy(s->entries[i]))
			add_page(&s->found, begin + i * MAPS_PAGE);
	}
}

static void
look_at_line(void *context, char *line)
{
	struct search *s = context;
	unsigned long begin, end;
	char perms[5];
	if (sscanf(line, "%lx-%lx %4s", &begin, &end, perms) != 3 || strcmp(perms, "rw-p") != 0)
		return;
	for (uintptr_t at = begin; at < end; at += WINDOW * MAPS_PAGE) {
		size_t left = (end - at) / MAPS_PAGE;
		look_at(s, at, left < WINDOW ? left : WINDOW);
	}
}

struct heap_copies *
heap_list_copies(struct err *e)
{
	FD_AUTO pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	FD_AUTO maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	if (pagemap < 0 || maps < 0) {
		err_system(e, "/proc/self");
		return NULL;
	}
	struct search *s = take_pages(sizeof *s, e);
	if (s == NULL)
		return NULL;
	s->pagemap = pagemap;
	maps_each_line(maps, s->text, TEXT_SIZE, look_at_line, s);
	return &s->found;
}

int
heap_expect_copies(const struct maps_range *ranges, size_t count, struct err *e)
{
	if (expected == NULL && (expected = take_pages(sizeof(struct search), e)) == NULL)
		return -1;
	expected->count = count < HEAP_COPIES_MAX ? count : HEAP_COPIES_MAX;
	memcpy(expected->ranges, ranges, expected->count * sizeof *ranges);
	return 0;
}

/* Many ranges in one call, which kernels before 6.13 do not take. False: they do not. */
static bool
copy_together(int self, const struct iovec *vector, size_t count)
{
	for (size_t i = 0; i < count; i++) { /* i: what the call stopped at */
		long done = syscall(SYS_process_madvise, self, vector + i, count - i, MADV_POPULATE_WRITE, 0);
		if (done < 0 && errno != ENOMEM && errno != EFAULT)
			return false;
		for (; done > 0 && i < count && (size_t)done >= vector[i].iov_len; i++)
			done -= (long)vector[i].iov_len;
	}
	return true;
}

static void
copy_ranges(int self, const struct maps_range *ranges, size_t count)
{
	struct iovec vector[VECTOR];
	for (size_t i = 0; i < count; i++)
		vector[i] = (struct iovec){ (void *)ranges[i].begin, ranges[i].end - ranges[i].begin };
	if (copy_together(self, vector, count))
		return;
	for (size_t i = 0; i < count; i++)
		madvise(vector[i].iov_base, vector[i].iov_len, MADV_POPULATE_WRITE);
}

void
heap_copy_expected(void)
{
	if (expected == NULL)
		return;
	FD_AUTO self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	for (size_t i = 0; i < expected->count; i += VECTOR) {
		size_t left = expected->count - i;
		copy_ranges(self, expected->ranges + i, left < VECTOR ? left : VECTOR);
	}
	heap_free_copies(expected);
	expected = NULL;
}
