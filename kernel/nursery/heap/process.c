/* SPDX-License-Identifier: BSD-3-Clause */
#include "heap.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

/* glibc moves the threshold up to 32 MiB as large blocks are freed, unless it was set; what lies below it fragments the
 * heap, and a hole that a child fills is a copied page. */
#define WORKER_LARGE (32 << 20) /* as far as malloc goes by itself */
#define LARGE (128 * 1024)
#define TOP_PAD (64 * 1024)
#define DIRECTORY_LINKS 2 /* of /proc/self/task itself; one more for each thread */

int
heap_refuse_sanitizer(struct err *e)
{
#ifdef __SANITIZE_ADDRESS__
	return err_set(e, ERR_DENIED, "built with AddressSanitizer, whose allocator is not the one known here");
#else
	(void)e;
	return 0;
#endif
}

int
heap_tune_malloc(void)
{
#ifdef __GLIBC__
	if (heap_refuse_sanitizer(NULL) < 0)
		return -1;
	int done = mallopt(M_MMAP_THRESHOLD, LARGE) & mallopt(M_TRIM_THRESHOLD, LARGE) & mallopt(M_TOP_PAD, TOP_PAD) &
		   mallopt(M_ARENA_MAX, 1);
	return done ? 0 : -1;
#else
	return -1;
#endif
}

void
heap_tune_worker(void)
{
#ifdef __GLIBC__
	if (heap_refuse_sanitizer(NULL) < 0)
		return;
	mallopt(M_MMAP_THRESHOLD, WORKER_LARGE);
	mallopt(M_TRIM_THRESHOLD, 2 * WORKER_LARGE);
#endif
}

int
heap_refuse_huge_pages(struct err *e)
{
	return prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0 ? 0 : err_system(e, "PR_SET_THP_DISABLE");
}

void
heap_trim(void)
{
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}

int
heap_count_threads(void)
{
	struct stat task;
	if (stat("/proc/self/task", &task) < 0 || task.st_nlink <= DIRECTORY_LINKS)
		return -1;
	return (int)(task.st_nlink - DIRECTORY_LINKS);
}

static void
add_line(struct heap_memory *memory, const char *line)
{
	static const struct {
		const char *word;
		size_t offset;
	} fields[] = {
		{ "Rss:", offsetof(struct heap_memory, rss) },
		{ "Pss:", offsetof(struct heap_memory, pss) },
		{ "Private_Clean:", offsetof(struct heap_memory, private) },
		{ "Private_Dirty:", offsetof(struct heap_memory, private) },
		{ "Shared_Clean:", offsetof(struct heap_memory, shared) },
		{ "Shared_Dirty:", offsetof(struct heap_memory, shared) },
		{ "Swap:", offsetof(struct heap_memory, swap) },
	};
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
		size_t size = strlen(fields[i].word);
		if (strncmp(line, fields[i].word, size) == 0)
			*(unsigned long *)((char *)memory + fields[i].offset) += strtoul(line + size, NULL, 10);
	}
}

int
heap_memory_of(pid_t pid, struct heap_memory *ret, struct err *e)
{
	char path[64], line[256];
	struct heap_memory memory = { 0 };
	snprintf(path, sizeof path, "/proc/%jd/smaps_rollup", (intmax_t)pid);
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return err_system(e, "%s", path);
	while (fgets(line, sizeof line, file) != NULL)
		add_line(&memory, line);
	int failed = ferror(file);
	fclose(file);
	if (failed)
		return err_set(e, ERR_SYSTEM, "%s cannot be read", path);
	*ret = memory;
	return 0;
}
