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

#define VECTOR ((size_t)512) /* ranges that are copied in one go; the kernel takes 1,024 */
#define TEXT_SIZE ((size_t)16384)

/* In mappings of their own: what is counted must not change what there is to count. */
struct search {
	struct heap_copies found; /* first: who has it frees all of this */
	int pagemap;
	uint64_t entries[MAPS_WINDOW];
	char text[TEXT_SIZE];
};

static struct heap_copies *expected;

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

/* Made since the fork. */
static bool
is_copy(uint64_t entry)
{
	return (entry & MAPS_PRESENT) != 0 && (entry & MAPS_EXCLUSIVE) != 0 && (entry & MAPS_OF_FILE) == 0;
}

static void
look_at(void *context, uintptr_t begin, size_t count)
{
	struct search *s = context;
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
	maps_each_window(s->pagemap, &(struct maps_range){ begin, end }, s->entries, look_at, s);
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
	struct search *s = maps_room(sizeof *s);
	if (s == NULL) {
		err_memory(e);
		return NULL;
	}
	s->pagemap = pagemap;
	maps_each_line(maps, s->text, TEXT_SIZE, look_at_line, s);
	return &s->found;
}

int
heap_expect_copies(const struct maps_range *ranges, size_t count, struct err *e)
{
	if (expected == NULL && (expected = maps_room(sizeof(struct search))) == NULL)
		return err_memory(e);
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
