/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The file has no holes and ends where the last piece does: a look at a page of a hole, or past the end of a larger file, would take
 * memory that belongs to nobody and that no worker's end gives back. So what a worker maps of it, it can map and no more. Blocks that malloc
 * took from mmap for themselves stay as they are: realloc would let them grow past the end of the file.
 *
 * Between copying a piece and replacing it, nothing may write to it. There is one thread, signals are blocked, the stack is
 * not among the pieces, and all variables are on the stack or in a shared mapping, which is not among them either.
 */
#include "heap.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "maps.h"

#define MAPPING_MIN ((size_t)64 * 1024) /* fork copies so few page tables for a smaller one that a file gains nothing */
#define GAP_MAX ((size_t)32)            /* pages never touched: more of them in a row stay as they are */
#define RANGES_MAX ((size_t)8192)
#define PAGES_MAX ((size_t)1 << 22) /* of a mapping: 16 GiB */
#define TEXT_SIZE ((size_t)16 << 20)
#define FILE_MAX ((rlim_t)1 << 36) /* bytes; far more than a heap that is worth forking */
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

struct remap {
	int file, pagemap;
	off_t end; /* bytes of the file so far */
	struct heap_remapped did;
	struct maps_range ranges[RANGES_MAX];
	bool wanted[PAGES_MAX]; /* pages of one mapping that hold something */
	char text[TEXT_SIZE];
};

static bool
is_zero(uintptr_t page)
{
	const unsigned long *word = (const unsigned long *)page;
	for (size_t i = 0; i < MAPS_PAGE / sizeof *word; i++)
		if (word[i] != 0)
			return false;
	return true;
}

/* Pages of the block that malloc took from mmap for itself, as its header on the first of at most `count` pages tells; 0: it is none. */
static size_t
block_of(uintptr_t page, size_t count)
{
	enum { IS_MMAPPED = 2, ALL_FLAGS = 7 };
	const size_t *header = (const size_t *)page;
	size_t size = header[1] & ~(size_t)ALL_FLAGS;
	if (header[0] != 0 || (header[1] & ALL_FLAGS) != IS_MMAPPED || size % MAPS_PAGE != 0)
		return 0;
	return size / MAPS_PAGE > GAP_MAX && size / MAPS_PAGE <= count ? size / MAPS_PAGE : 0;
}

/* How many of `count` have the value that the first one has. */
static size_t
run_of(const bool *wanted, size_t count)
{
	size_t i = 1;
	while (i < count && wanted[i] == wanted[0])
		i++;
	return i;
}

/* The number of pages from the first one, which is wanted, to the last one before a large gap or the end. */
static size_t
piece_of(const bool *wanted, size_t count)
{
	size_t end = run_of(wanted, count);
	while (end < count) {
		size_t gap = run_of(wanted + end, count - end);
		if (gap > GAP_MAX || end + gap == count)
			break;
		end += gap;
		end += run_of(wanted + end, count - end);
	}
	return end;
}

static int
copy_pages(const struct remap *m, uintptr_t begin, size_t pages, off_t offset, struct err *e)
{
	for (size_t done = 0, size = pages * MAPS_PAGE; done < size;) {
		ssize_t n = pwrite(m->file, (const char *)begin + done, size - done, offset + (off_t)done);
		if (n <= 0)
			return err_system(e, "writing %zu bytes of the heap to a memfd", size - done);
		done += (size_t)n;
	}
	return 0;
}

/* A mapping of the piece for nobody to use. While somebody else maps a page, tools that tell private from shared memory see
 * it as shared in a child; the template itself has let go of nearly all of them. Children do not inherit it. */
static void
keep_shared(const struct remap *m, const bool *wanted, size_t count)
{
	char *view = mmap(NULL, count * MAPS_PAGE, PROT_READ, MAP_PRIVATE, m->file, m->end);
	if (view == MAP_FAILED)
		return;
	madvise(view, count * MAPS_PAGE, MADV_DONTFORK);
	for (size_t i = 0, run; i < count; i += run) {
		run = run_of(wanted + i, count - i);
		if (wanted[i])
			madvise(view + i * MAPS_PAGE, run * MAPS_PAGE, MADV_POPULATE_READ);
	}
}

static int
replace_piece(struct remap *m, uintptr_t begin, const bool *wanted, size_t count, struct err *e)
{
	size_t size = count * MAPS_PAGE;
	if (copy_pages(m, begin, count, m->end, e) < 0)
		return -1;
	void *place = (void *)begin;
	if (mmap(place, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, m->file, m->end) == MAP_FAILED) {
		unsigned char resident;
		if (mincore(place, 1, &resident) < 0)
			abort(); /* the old mapping is gone, too */
		return err_system(e, "mapping %zu bytes of a memfd", size);
	}
	keep_shared(m, wanted, count);
	m->end += (off_t)size;
	m->did.pieces++;
	m->did.bytes += size;
	return 0;
}

static int
replace_mapping(struct remap *m, const struct maps_range *range, struct err *e)
{
	size_t count = (range->end - range->begin) / MAPS_PAGE;
	size_t before = m->did.pieces;
	if (count > PAGES_MAX)
		return 0;
	if (maps_touched(m->pagemap, range->begin, count, m->wanted, e) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		m->wanted[i] = m->wanted[i] && !is_zero(range->begin + i * MAPS_PAGE);
	for (size_t i = 0; i < count; i++) {
		size_t block = m->wanted[i] ? block_of(range->begin + i * MAPS_PAGE, count - i) : 0;
		memset(m->wanted + i, 0, block * sizeof *m->wanted);
		i += block > 0 ? block - 1 : 0;
	}
	for (size_t i = 0, piece; i < count; i += piece) {
		piece = m->wanted[i] ? piece_of(m->wanted + i, count - i) : run_of(m->wanted + i, count - i);
		if (m->wanted[i] && replace_piece(m, range->begin + i * MAPS_PAGE, m->wanted + i, piece, e) < 0)
			return -1;
	}
	m->did.mappings += m->did.pieces > before;
	return 0;
}

static int
replace_all(struct remap *m, struct err *e)
{
	struct maps maps = { .capacity = RANGES_MAX, .ranges = m->ranges };
	if (maps_list_plain(MAPPING_MIN, m->text, sizeof m->text, &maps, e) < 0)
		return -1;
	for (size_t i = maps.count; i-- > 0;)
		if (replace_mapping(m, &maps.ranges[i], e) < 0)
			return -1;
	/* Whoever gets at the file all the same, by /proc/PID/map_files, must not write to everybody's memory; nor may a worker leave
	 * something with it, as an attribute, for all to find: it is everybody's to write otherwise. */
	if (fchmod(m->file, S_IRUSR) < 0 || fcntl(m->file, F_ADD_SEALS, SEALS) < 0)
		return err_system(e, "sealing the heap's memfd");
	return 0;
}

static int
open_files(struct remap *m, struct err *e)
{
	const char *name = HEAP_FILE_NAME;
	m->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (m->pagemap < 0)
		return err_system(e, "/proc/self/pagemap");
	m->file = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	if (m->file < 0) /* before Linux 6.3 */
		m->file = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (m->file < 0)
		return err_system(e, "memfd_create");
	return 0;
}

static int
refuse(struct err *e)
{
	struct rlimit limit;
	if (heap_refuse_sanitizer(e) < 0)
		return -1;
	if (sysconf(_SC_PAGESIZE) != (long)MAPS_PAGE)
		return err_set(e, ERR_DENIED, "pages are not of 4 KiB");
	if (heap_count_threads() != 1)
		return err_set(e, ERR_DENIED, "there are other threads, which may write to what is being copied");
	if (getrlimit(RLIMIT_FSIZE, &limit) < 0 || limit.rlim_cur < FILE_MAX)
		return err_set(e, ERR_DENIED, "the size of files is limited (RLIMIT_FSIZE)");
	return 0;
}

int
heap_remap(struct heap_remapped *ret, struct err *e)
{
	sigset_t all, before;
	if (refuse(e) < 0)
		return -1;
	struct remap *m =
		mmap(NULL, sizeof *m, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m == MAP_FAILED)
		return err_system(e, "room for the list of mappings");
	m->file = m->pagemap = -1;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	int failure = open_files(m, e) < 0 || replace_all(m, e) < 0 ? -1 : 0;
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (failure == 0) {
		*ret = m->did;
		heap_set_file(m->file);
		m->file = -1;
	}
	fd_close(&m->file);
	fd_close(&m->pagemap);
	munmap(m, sizeof *m);
	return failure;
}
