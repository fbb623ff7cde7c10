/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The front's end of a worker: process, link, ring, pipes. How it came to be (exec here, fork in a nursery later) is spawn.c's
 * business; everything else only uses the descriptors.
 */
#ifndef PUPITRE_FRONT_WORKER_H
#define PUPITRE_FRONT_WORKER_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "link/frame.h"
#include "link/ring.h"

struct worker {
	pid_t pid;    /* also its process group and session; 0: none */
	int pidfd;    /* readable when it has ended */
	int link;     /* non-blocking stream of frames; -1 when closed */
	int bell;     /* eventfd rung by the ring's producer */
	int lifeline; /* closing it, by dying, kills the worker's group */
	int crash;    /* memfd into which faulthandler writes a dying worker's traceback */
	int pipes[2]; /* its descriptors 1 and 2, non-blocking; -1 when closed */
	struct shared *shared;
	struct frame_reader reader;
	struct buf outgoing; /* bytes the link has not taken yet */
	bool ended;          /* reaped: `status` holds */
	bool stopped;        /* by SIGSTOP and the like */
	int status;          /* as waitpid gives it */
};

#define WORKER_INIT                                    \
	((struct worker){ .pidfd = -1,                 \
			  .link = -1,                  \
			  .bell = -1,                  \
			  .lifeline = -1,              \
			  .crash = -1,                 \
			  .pipes = { -1, -1 },         \
			  .reader = FRAME_READER_INIT, \
			  .outgoing = BUF_INIT })

struct spawn {
	const char *python; /* interpreter for the worker; NULL: found */
	const char *start;  /* JSON of the START frame */
	size_t start_size;
};

/* spawn.c: make the descriptors, exec pupitre-worker, queue START. 0, or -1 with one line for the user and *w released. */
int worker_spawn(struct worker *w, const struct spawn *how, struct err *e);

/* Queue a frame and send what the link takes. 0, or -1 with ERR_CLOSED / ERR_MEMORY / ERR_LIMIT. Never blocks. */
int worker_send(struct worker *w, const struct frame_header *header, const struct frame_part *parts, size_t count,
		struct err *e);

/* The link is writable: go on. */
void worker_flush(struct worker *w);

/* Signal the worker's process group; the worker alone when the group is not there. */
void worker_signal(const struct worker *w, int signal);

/* Collect dead children (SIGCHLD). Sets `ended` and `status`, `stopped`. */
void worker_reap(struct worker *w);

/* Kill what is left of the worker's process group and close everything. */
void worker_close(struct worker *w);

#endif
