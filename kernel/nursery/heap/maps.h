/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the kernel says of this process's mappings, read without allocating anything; and a mapping for what must not lie in
 * the heap that is looked at.
 */
#ifndef PUPITRE_NURSERY_MAPS_H
#define PUPITRE_NURSERY_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define MAPS_PAGE ((size_t)4096)

struct maps_range {
	uintptr_t begin, end; /* page-aligned */
};

struct maps {
	size_t count, capacity;
	struct maps_range *ranges; /* the caller's room for capacity of them */
};

/* Append to *ret those private anonymous read-write mappings of at least `minimum` bytes that are nothing but memory: no
 * stack, nothing locked, growing, or treated in a special way at fork or in a dump. `text` is room for all of smaps. 0, or
 * -1 when there is not room enough. */
int maps_list_plain(size_t minimum, char *text, size_t text_size, struct maps *ret, struct err *e);

/* The same for one mapping as smaps tells of it, from its first line on. *ret_next: the next one's, NULL after the last. */
bool maps_is_plain(const char *mapping, struct maps_range *ret, const char **ret_next);

/* The same for a mapping that children get, share with us, and may write to. ret_protection: as for mmap. ret_name (NULL: not wanted):
 * what the kernel calls it, MAPS_NAME_SIZE bytes. */
#define MAPS_NAME_SIZE ((size_t)256)
bool maps_is_shared(const char *mapping, struct maps_range *ret, int *ret_protection, char *ret_name,
		    const char **ret_next);

/* All of /proc/self/smaps as a string in a mapping of its own, *ret_size bytes, which the caller unmaps. NULL with *e. */
char *maps_read_smaps(size_t *ret_size, struct err *e);

/* Call `look` with each line of /proc/self/maps, which it may change. maps: the open file; text: room for a part of it. */
void maps_each_line(int maps, char *text, size_t text_size, void (*look)(void *context, char *line), void *context);

/* An entry of /proc/self/pagemap. */
#define MAPS_PRESENT ((uint64_t)1 << 63)
#define MAPS_OF_FILE ((uint64_t)1 << 61)   /* or shared: not a copy of this process's own */
#define MAPS_EXCLUSIVE ((uint64_t)1 << 56) /* no other process has it */

#define MAPS_WINDOW ((size_t)512) /* pages */

/* Read the entries of a range into `entries`, a window after the other, and call `look` for each: begin, the address of the
 * first of `count` pages. A window that cannot be read is left out. pagemap: the open file. */
void maps_each_window(int pagemap, const struct maps_range *range, uint64_t entries[MAPS_WINDOW],
		      void (*look)(void *context, uintptr_t begin, size_t count), void *context);

/* Zeroed memory in a private mapping of its own, which the caller unmaps. NULL when there is none. */
void *maps_room(size_t bytes);

/* Of `count` pages from `begin` on, whether each is in memory or in swap. pagemap: /proc/self/pagemap. 0, or -1. */
int maps_touched(int pagemap, uintptr_t begin, size_t count, bool *ret, struct err *e);

#endif
