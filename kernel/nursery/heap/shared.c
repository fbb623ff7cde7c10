/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the template's packages share with its children by MAP_SHARED they would share with all of them: a lock that one student
 * takes, a file of root's that one changes. Each worker makes such a mapping anew for itself and its own children.
 */
#include "heap.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "maps.h"

#define SHARED_COUNT ((size_t)256)

static struct shared_mapping {
	struct maps_range range;
	int protection;
} noted[SHARED_COUNT];
static size_t noted_count;

int
heap_each_shared(int (*look)(void *context, const struct maps_range *range, int protection, const char *name),
		 void *context, struct err *e)
{
	size_t size;
	char *text = maps_read_smaps(&size, e);
	struct maps_range range;
	int protection, failure = 0;
	char name[MAPS_NAME_SIZE];
	if (text == NULL)
		return -1;
	for (const char *next, *mapping = text; mapping != NULL && failure == 0; mapping = next)
		if (maps_is_shared(mapping, &range, &protection, name, &next))
			failure = look(context, &range, protection, name);
	munmap(text, size);
	return failure;
}

static int
note(void *context, const struct maps_range *range, int protection, const char *name)
{
	(void)name;
	if (noted_count == SHARED_COUNT)
		return err_set(context, ERR_LIMIT, "more than %zu shared mappings", SHARED_COUNT);
	noted[noted_count++] = (struct shared_mapping){ *range, protection };
	return 0;
}

int
heap_note_shared(struct err *e)
{
	noted_count = 0;
	return heap_each_shared(note, e, e);
}

static bool
is_zero(const char *page)
{
	return page[0] == 0 && memcmp(page, page + 1, MAPS_PAGE - 1) == 0;
}

/* A copy in the place of the original, for us and our children to share. */
static int
make_own(const struct shared_mapping *m, struct err *e)
{
	char *original = (char *)m->range.begin;
	size_t size = m->range.end - m->range.begin;
	char *copy = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (copy == MAP_FAILED || (!(m->protection & PROT_READ) && mprotect(original, size, PROT_READ) < 0))
		return err_system(e, "%zu bytes of shared memory", size);
	for (size_t at = 0; at < size; at += MAPS_PAGE)
		if (!is_zero(original + at))
			memcpy(copy + at, original + at, MAPS_PAGE);
	if (mprotect(copy, size, m->protection) < 0 ||
	    mremap(copy, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, original) == MAP_FAILED)
		return err_system(e, "moving %zu bytes of shared memory", size);
	return 0;
}

int
heap_own_shared(struct err *e)
{
	for (size_t i = 0; i < noted_count; i++)
		if (make_own(&noted[i], e) < 0)
			return -1;
	return 0;
}
