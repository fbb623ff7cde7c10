/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The worker's ends of what the front handed down (descriptors 3 to 8), and the one descriptor the worker adds.
 * They are moved out of the way (200 and up), close-on-exec, and guarded against user code (guard.h).
 * One set a process; filled by ends_take before anything else runs and read from then on, by signal handlers too.
 */
#ifndef PUPITRE_WORKER_ENDS_H
#define PUPITRE_WORKER_ENDS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "link/ring.h"

struct ends {
	int link;     /* the stream of frames; non-blocking */
	int answers;  /* the same, for INPUT_REPLY only; non-blocking */
	int bell;     /* eventfd: the ring wants to be read */
	int lifeline; /* hangs up when the front dies */
	int wake;     /* eventfd of ours: wakes the event loop after SIGINT */
	int crash;    /* memfd for the last words, read by the front after our death; descriptor 2 in a forked child */
	struct shared *shared;
};

/* Take descriptors 3 to 8 over. 0, or -1 when they are not what pupitre-kernel hands down. */
int ends_take(struct err *e);

/* Move fd up, close-on-exec, and guard it against user code. When there is no room it stays where it is. The new number; *e may be set. */
int ends_move_high(int fd, struct err *e);

/* A template has no ends yet: no descriptors, and a state page and ring in memory of its own that nobody reads. The child calls
 * ends_take. 0, or -1 with ERR_MEMORY. */
int ends_imagine(struct err *e);

/* Whether somebody is at the other end: false in a template, whose frames and output go nowhere. */
bool ends_connected(void);

/* Borrowed, for the life of the process. In a forked child the descriptors but `crash` are -1 and `shared` is private memory. */
const struct ends *ends_get(void);

/* In a forked child: close our copies and put private memory in the place of the shared page, so that nothing
 * the child does reaches the front. Async-signal-safe. */
void ends_drop(void);

#endif
