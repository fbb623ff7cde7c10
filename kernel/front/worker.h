/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The front's end of a worker: process, link, ring, pipes. How it came to be is the business of spawn.c (exec, our child) and
 * nursery.c (forked elsewhere, at our request); everything else only uses the descriptors.
 *
 * A worker born in a nursery is not our child. Somebody else reaps it, at any time, and its number may then come to mean another
 * process: so it is signalled through its pidfd, which cannot.
 */
#ifndef PUPITRE_FRONT_WORKER_H
#define PUPITRE_FRONT_WORKER_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "front/ends.h"
#include "link/frame.h"
#include "link/ring.h"

/* Frames on their way into a socket that does not take them all at once. */
struct unsent {
	struct buf bytes; /* empty once the socket has taken them all */
	size_t sent;      /* of `bytes`, how many it has taken */
};

struct worker {
	pid_t pid;    /* also its process group and session; 0: none */
	int pidfd;    /* readable when it has ended */
	int link;     /* non-blocking stream of frames; -1 when closed */
	int answers;  /* stream of INPUT_REPLY frames to whatever thread waits for one; -1 when closed */
	int bell;     /* eventfd rung by the ring's producer */
	int lifeline; /* closing it, by dying, kills the worker's group */
	int crash;    /* memfd into which faulthandler writes a dying worker's traceback */
	int pipes[2]; /* its descriptors 1 and 2, non-blocking; -1 when closed */
	struct shared *shared;
	struct frame_reader reader;
	struct unsent outgoing; /* for the link */
	struct unsent unasked;  /* for the answers' socket */
	bool born;              /* in a nursery: not our child */
	bool ended;             /* `status` holds, unless it is unknown */
	bool stopped;           /* by SIGSTOP and the like */
	int status;             /* as waitpid gives it */
	bool told;              /* born: the nursery said how it ended, and `status` holds */
	bool unknown;           /* it ended, and nobody could tell how */
	uint64_t used_us;       /* born, and told by the nursery: its processor time, */
	uint64_t peak_kib;      /* and how much memory it had at most */
	long long settle_ms;    /* born: it has ended; how long to ask how. 0: it lives */
};

#define WORKER_INIT                                          \
	((struct worker){ .pidfd = -1,                       \
			  .link = -1,                        \
			  .answers = -1,                     \
			  .bell = -1,                        \
			  .lifeline = -1,                    \
			  .crash = -1,                       \
			  .pipes = { -1, -1 },               \
			  .reader = FRAME_READER_INIT,       \
			  .outgoing = { .bytes = BUF_INIT }, \
			  .unasked = { .bytes = BUF_INIT } })

#define WORKER_SETTLE_MS 200      /* how long to ask how a worker ended that is not our child */
#define WORKER_SETTLE_RETRY_MS 10 /* between two questions */

/* spawn.c: exec pupitre-worker with the interpreter `python` as our child, in w that has its ends already. 0, or -1 with one line for
 * the user; w and ends are the caller's to release either way. */
int spawn_worker(struct worker *w, const struct ends *ends, const char *python, struct err *e);

/* Queue a frame and send what the link takes. 0, or -1 with ERR_CLOSED / ERR_MEMORY / ERR_LIMIT. Never blocks. */
int worker_send(struct worker *w, const struct frame_header *header, const struct frame_part *parts, size_t count,
		struct err *e);

/* The same on the answers' socket, for INPUT_REPLY. */
int worker_answer(struct worker *w, const struct frame_header *header, const struct frame_part *parts, size_t count,
		  struct err *e);

/* The link or the answers' socket is writable: go on. */
void worker_flush(struct worker *w);

/* Signal the worker's process group; the worker alone when the group is not there. Nothing when there is no worker. */
void worker_signal(const struct worker *w, int signal);

/* Signal the worker alone, with more about the signal (as sigqueue gives it) or NULL. */
void worker_signal_alone(const struct worker *w, int signal, siginfo_t *with);

/* Collect dead children (SIGCHLD). Sets `ended` and `status`, `stopped`. */
void worker_reap(struct worker *w);

/* A nursery says that the worker's status changed, as waitpid gives it. Sets `stopped`, or `told` and `status`. */
void worker_tell(struct worker *w, int status);

/* The pidfd has become readable: find out how it ended. True: `ended` is set. False: ask again in WORKER_SETTLE_RETRY_MS. */
bool worker_settle(struct worker *w);

/* Kill what is left of the worker's process group and close everything. */
void worker_close(struct worker *w);

#endif
