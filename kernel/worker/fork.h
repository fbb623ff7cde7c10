/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What becomes of a child that user code makes with os.fork() or multiprocessing: it keeps running user code, prints to
 * descriptors 1 and 2, and can neither answer for the kernel nor act on the parent's link, loop or state page.
 */
#ifndef PUPITRE_WORKER_FORK_H
#define PUPITRE_WORKER_FORK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "compat.h"

/* From now on forked children are cut off. 0 or -1 with ERR_MEMORY. */
int fork_watch(struct err *e);

/* Whether this process is such a child. */
bool fork_is_child(void);

/* In such a child: write to descriptor `number`, 1 or 2. Line by line, so that the lines of several children do not mix; what
 * has no newline yet waits for one, for fork_flush, or for the child's end by exit or _exit (fork.c defines that, see guard.h
 * for how). 0, or -1 with OSError. With the GIL. */
int fork_write(unsigned number, const char *text, size_t size);

/* In such a child: write what fork_write still holds. 0, or -1 with OSError. Does nothing in the worker. */
int fork_flush(void);

/* End such a child, for it came back to where only the worker goes on: status 0, that of a SystemExit, or 1 with the
 * traceback of py_error (borrowed, may be NULL) on descriptor 2. Flushes Python's own stdout and stderr. */
_Noreturn void fork_end_child(PyObject *py_error);

#endif
