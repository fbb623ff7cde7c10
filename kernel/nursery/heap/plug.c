/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Knows two allocators from inside, reads only, and checks what it believes at every step.
 *
 * Python's (Objects/obmalloc.c): blocks of up to 512 bytes in 32 classes, each class in pools of 16 KiB, four pages. The
 * block that the next allocation gets comes from a pool in use, if any has a free block; else a pool is opened. The first
 * block of a pool just opened is therefore the sign that no hole is left.
 *
 * glibc's (malloc/malloc.c): chunks of a multiple of 16 bytes; a request takes the smallest free chunk that is large
 * enough, else a piece of the topmost one, which reaches to the end of the heap. A chunk at or above where the topmost one
 * began is therefore the sign that no hole of that size is left.
 */
#include "heap.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CLASS_STEP ((size_t)16)
#define BLOCK_LARGEST ((size_t)512)
#define POOL_SIZE ((size_t)16 * 1024)

/* struct pool_header of CPython 3.11 to 3.14 with its radix tree, the default where pointers have 64 bits. */
struct pool {
	union {
		unsigned char *padding;
		unsigned count;
	} used;
	unsigned char *free_block;
	struct pool *next, *previous;
	unsigned arena, size_class, next_offset, last_offset;
};
#define POOL_HEADER ((sizeof(struct pool) + CLASS_STEP - 1) & ~(CLASS_STEP - 1))

#define CHUNK_STEP ((size_t)16)
#define CHUNK_HEADER ((size_t)16)
#define CHUNK_SMALLEST ((size_t)32)
#define CHUNK_LARGEST ((size_t)64 * 1024) /* a larger hole is whole pages, as good as any */
#define CHUNK_CACHED ((size_t)1040)       /* of the thread's cache, where free() puts smaller ones */
#define CACHE_SIZE ((size_t)1024 * 1024)  /* more than that cache and the fast bins can hold */
#define BLOCKS_MAX ((size_t)1 << 22)      /* of a class: 64 MiB or more of holes is no warm-up we know */

static bool
is_mapped(const void *page)
{
	unsigned char resident;
	return mincore((void *)(uintptr_t)page, 1, &resident) == 0;
}

/* The pool that the block must lie in, NULL if memory there does not look like one. */
static const struct pool *
pool_of(const void *block, size_t size, const struct pool *known)
{
	const struct pool *pool = (const struct pool *)((uintptr_t)block & ~(POOL_SIZE - 1));
	if (pool == NULL || (pool != known && !is_mapped(pool)))
		return NULL;
	size_t offset = (uintptr_t)block - (uintptr_t)pool;
	bool fits = pool->size_class == size / CLASS_STEP - 1 && pool->last_offset == POOL_SIZE - size &&
		    pool->used.count >= 1 && pool->used.count <= (POOL_SIZE - POOL_HEADER) / size &&
		    offset >= POOL_HEADER && (offset - POOL_HEADER) % size == 0;
	return fits ? pool : NULL;
}

static int
plug_class(size_t size, struct heap_plugged *plugged, struct err *e)
{
	const struct pool *pool = NULL;
	for (size_t i = 0; i < BLOCKS_MAX; i++) {
		void *block = PyObject_Malloc(size);
		if (block == NULL)
			return err_memory(e);
		pool = pool_of(block, size, pool);
		if (pool == NULL) {
			PyObject_Free(block);
			return err_set(e, ERR_DENIED, "Python's allocator is not the one known here (PYTHONMALLOC?)");
		}
		memset(block, 0, size);
		if (pool->used.count == 1) {
			PyObject_Free(block); /* the pool is given back: calling this again costs nothing */
			return 0;
		}
		plugged->blocks++;
		plugged->block_bytes += size;
	}
	return err_set(e, ERR_LIMIT, "Python's pools of %zu bytes have no end of holes", size);
}

static void *
refuse_arena(void *context, size_t size)
{
	(void)context;
	(void)size;
	return NULL;
}

/* Pools of which no block is in use: what was in them goes. While no arena is to be had, there are no others. */
static void
wipe_pools(void)
{
	PyObjectArenaAllocator usual, none;
	void **first = NULL;
	PyObject_GetArenaAllocator(&usual);
	none = usual;
	none.alloc = refuse_arena;
	PyObject_SetArenaAllocator(&none);
	const struct pool *pool = NULL;
	for (void *block; (block = PyObject_Malloc(BLOCK_LARGEST)) != NULL;) {
		pool = pool_of(block, BLOCK_LARGEST, pool);
		if (pool == NULL) {
			PyObject_Free(block); /* malloc's */
			break;
		}
		memset(block, 0, BLOCK_LARGEST);
		*(void **)block = first;
		first = block;
	}
	PyObject_SetArenaAllocator(&usual);
	while (first != NULL) {
		void **next = *first;
		*first = NULL;
		PyObject_Free(first);
		first = next;
	}
}

#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)

static int
plug_chunks(struct heap_plugged *plugged, struct err *e)
{
	malloc_trim(0);
	struct mallinfo2 info = mallinfo2();
	uintptr_t top = (uintptr_t)sbrk(0) - info.keepcost;
	size_t holes = info.fordblks - info.keepcost + CACHE_SIZE;
	for (size_t size = CHUNK_LARGEST; size >= CHUNK_SMALLEST; size -= CHUNK_STEP) {
		for (;;) {
			void *chunk = malloc(size - sizeof(size_t));
			if (chunk == NULL)
				return err_memory(e);
			if ((uintptr_t)chunk - CHUNK_HEADER >= top) {
				if (size > CHUNK_CACHED)
					free(chunk);
				break;
			}
			memset(chunk, 0, size - sizeof(size_t));
			plugged->chunks++;
			plugged->chunk_bytes += size;
			if (plugged->chunk_bytes > holes)
				return err_set(e, ERR_LIMIT, "the C library's heap is not laid out as known here");
		}
	}
	return 0;
}

#else

static int
plug_chunks(struct heap_plugged *plugged, struct err *e)
{
	(void)plugged;
	return err_set(e, ERR_DENIED, "only glibc 2.33 or newer is known here");
}

#endif

int
heap_plug(struct heap_plugged *ret, struct err *e)
{
	struct heap_plugged plugged = { 0 };
	if (heap_refuse_sanitizer(e) < 0)
		return -1;
#if defined(Py_GIL_DISABLED)
	return err_set(e, ERR_DENIED, "a free-threaded Python has another allocator");
#endif
	PyType_ClearCache(); /* a child that fills a slot in use lets go of a name, and so writes to the template's string */
	for (size_t size = CLASS_STEP; size <= BLOCK_LARGEST; size += CLASS_STEP)
		if (plug_class(size, &plugged, e) < 0)
			return -1;
	wipe_pools();
	if (plug_chunks(&plugged, e) < 0)
		return -1;
	*ret = plugged;
	return 0;
}
