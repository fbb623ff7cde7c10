/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What pupitre-template does to its own memory so that the workers forked from it share as much of it as possible, and
 * what it has to know about itself to be forked at all. docs/memory.md describes the tricks. Python reaches them through
 * the module _nursery, whose contract is kernel/pupitre/nursery/_nursery.pyi.
 *
 * One trick, one function. Each either does its work and fills *ret, or changes nothing and says why in *e (-1). All of
 * them are for a process with one thread. None of them works under AddressSanitizer, which has an allocator of its own.
 */
#ifndef PUPITRE_NURSERY_HEAP_H
#define PUPITRE_NURSERY_HEAP_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "maps.h"

/* --- process.c --- */

/* One arena, and thresholds that stay where they are: what is large comes from mmap and goes back. Before Python starts,
 * or at least before the imports; inherited by children. 0, or -1 when this C library has no such knobs. */
int heap_tune_malloc(void);

/* In a worker: arrays that come and go are kept for the next one, as malloc would have learned by itself, until heap_trim. */
void heap_tune_worker(void);

/* Keep khugepaged from collapsing a child's few private pages into a huge one that is all its own. Inherited. 0, or -1. */
int heap_refuse_huge_pages(struct err *e);

/* Give whole free pages of the C library's heap back to the kernel. For an idle worker; a fraction of a millisecond. */
void heap_trim(void);

/* Threads of this process, the caller included; -1 when /proc does not tell. One system call. */
int heap_count_threads(void);

struct heap_memory {
	unsigned long rss, pss, private, shared, swap; /* KiB */
};

/* What /proc/PID/smaps_rollup says. 0, or -1 with *e. */
int heap_memory_of(pid_t pid, struct heap_memory *ret, struct err *e);

/* Whether the allocators are AddressSanitizer's, which rules a trick out: -1 with the reason in *e, or 0. */
int heap_refuse_sanitizer(struct err *e);

/* --- plug.c --- */

struct heap_plugged {
	size_t blocks, block_bytes; /* of Python's small-object pools */
	size_t chunks, chunk_bytes; /* of the C library's bins */
};

/* Take every hole in memory that is partly used, and never give it back: what a child allocates then lies in pages of its
 * own, side by side, instead of dirtying one shared page for each small object. May be called again. Needs the GIL. */
int heap_plug(struct heap_plugged *ret, struct err *e);

/* --- immortal.c --- */

struct heap_immortal {
	size_t objects; /* that became immortal */
	size_t mortal;  /* left as they were: what has a finaliser, frames, tracebacks and the caller's exceptions */
};

/* Make every object that the garbage collector knows, and all that can be reached from there, immortal, so that using it
 * writes to it no more. CPython 3.12 to 3.14 with a GIL. py_roots, a sequence or NULL: further objects that the collector
 * does not know. py_mortal, likewise: objects that must stay as they are (what they refer to does not). Needs the GIL. */
int heap_immortalise(PyObject *py_roots, PyObject *py_mortal, struct heap_immortal *ret, struct err *e);

/* --- counters.c --- */

struct heap_counted {
	size_t codes;    /* that were looked at, some of them twice */
	size_t counters; /* that their instructions have */
	size_t pages;    /* on which those lie */
};

/* Two bytes of each opcode: how many entries the cache behind such an instruction has, 255: not known; 256 bytes on, which
 * of them counts, 255: none. */
#define HEAP_LAYOUT_SIZE 512

/* Note where bytecode counts how often it ran, so that heap_reshare overlooks it: of every code object among py_objects, a
 * list, or that one of them refers to. They are never freed. py_probe: a code object. Before heap_remap. Needs the GIL. */
int heap_note_counters(PyObject *py_objects, PyObject *py_probe, const unsigned char layout[HEAP_LAYOUT_SIZE],
		       struct heap_counted *ret, struct err *e);

/* Whether what was noted of the page at this address accounts for all that two copies of it differ in. */
bool heap_differs_in_counters_only(uintptr_t page, const char *one, const char *other);

/* --- remap.c --- */

struct heap_remapped {
	size_t mappings; /* that were replaced, in whole or in part */
	size_t pieces;   /* what they became */
	size_t bytes;    /* of the file */
};

/* Replace the large private anonymous mappings by private mappings, at the same addresses, of a sealed file in memory that
 * holds what they held: fork then has no page tables to copy. The last of the tricks: what is written afterwards is as
 * before. The file stays open (heap_file). A failure half-way that leaves memory unmapped aborts the process. */
int heap_remap(struct heap_remapped *ret, struct err *e);

/* The file, read-only in effect, or -1. Owned by this library; a child that closes all descriptors hands its copy back. */
#define HEAP_FILE_NAME "pupitre-heap"
int heap_file(void);
void heap_set_file(int fd);

/* --- reshare.c --- */

struct heap_reshared {
	size_t looked_at; /* pages of the file of which this process had copies */
	size_t pages;     /* copies that were equal to the file, but for counters in bytecode, and are gone */
};

/* In a child at rest: give back the pages that were written to and hold again what they held. About a millisecond for ten
 * megabytes; what is written next costs a page fault each. In a process of one thread. */
int heap_reshare(struct heap_reshared *ret, struct err *e);

/* --- asked.c --- */

/* The names that libraries have asked getenv for until now, each with its NUL, after the last one another. Noted no longer. */
const char *heap_names_asked(void);

/* --- shared.c --- */

/* Call `look` with each mapping that children share with this process and may write to, until it returns -1. name: the kernel's.
 * 0, or -1, with *e when it is ours. */
int heap_each_shared(int (*look)(void *context, const struct maps_range *range, int protection, const char *name),
		     void *context, struct err *e);

/* In the template, when nothing is mapped any more: remember them. 0, or -1. */
int heap_note_shared(struct err *e);

/* In a child that was just forked: put a copy in the place of each, which it shares with its own children and nobody else. -1:
 * some of them may still be everybody's. */
int heap_own_shared(struct err *e);

/* --- prefault.c --- */

#define HEAP_COPIES_MAX ((size_t)4096)

struct heap_copies {
	size_t count;
	struct maps_range ranges[HEAP_COPIES_MAX];
};

/* In a child: which pages it has written to since it was forked. The caller frees what is returned; NULL with *e. */
struct heap_copies *heap_list_copies(struct err *e);
void heap_free_copies(struct heap_copies *copies);

/* In the template: what a child is going to write to. The ranges are copied; the last call counts. 0, or -1. */
int heap_expect_copies(const struct maps_range *ranges, size_t count, struct err *e);

/* In a child that was just forked: copy those pages now, all at once, which takes half the time of as many page faults. What
 * cannot be copied is copied when it is written to. */
void heap_copy_expected(void);

/* --- module.c --- */

/* For PyImport_AppendInittab("_nursery", ...). New reference. */
PyObject *heap_make_module(void);

#endif
