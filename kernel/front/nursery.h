/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Asking a nursery for a worker, and hearing from it afterwards. A state machine for the loop: nothing here blocks, and whatever goes
 * wrong ends in NURSERY_LOST, upon which the caller starts cold (start.c) without a word to the user. There is never more than one
 * worker: a nursery that was given up finds its connection closed, and a worker that is born all the same finds its lifeline cut.
 * The messages and what they promise: nursery/messages.h.
 */
#ifndef PUPITRE_FRONT_NURSERY_H
#define PUPITRE_FRONT_NURSERY_H

#include <stdbool.h>
#include <sys/un.h>

#include "front/environment.h"
#include "front/worker.h"
#include "nursery/messages.h"

/* Deadlines, in milliseconds. */
#define ASK_CONNECT_MS 250 /* for a listener whose backlog is full */
#define ASK_CONNECT_RETRY_MS 10
#define ASK_QUEUED_MS 2000  /* from START to QUEUED */
#define ASK_FORKED_MS 30000 /* from QUEUED to FORKED: others wait as well */
#define ASK_HELLO_MS 10000  /* from FORKED to HELLO */
#define ASK_HOLD_MS 1000    /* from FORKED: what the worker says before HELLO waits so long, lest it be given up */
#define ASK_STATUS_MS 2000  /* for an answer to STATUS */

enum ask_stage {
	ASK_NONE,       /* nobody is asked: the worker, if there is one, is our child */
	ASK_CONNECTING, /* the listener's backlog is full */
	ASK_SENT,       /* START is on its way */
	ASK_QUEUED,
	ASK_FORKED, /* there is a worker, which has not said HELLO */
	ASK_DONE,   /* it has; CHANGED may come */
	ASK_LOST,   /* nothing came of it: start cold */
};

struct nursery {
	enum ask_stage stage;
	int connection;        /* -1: none; open until the end, which is how the nursery knows that we live */
	int place;             /* which of the places is being asked */
	uint64_t id;           /* of the request */
	long long deadline_ms; /* of the stage; 0: none */
	long long retry_ms;    /* when to connect again; 0: never */
	long long hold_ms;     /* until when the worker's text waits */
	unsigned reason;       /* enum nursery_reason: why nothing came of it */
	bool is_known;         /* the nursery said so itself */
	uint64_t kernel[2];    /* its id, set by whoever begins */
	struct nursery_interpreter python;
	int fds[NURSERY_FD_COUNT]; /* what goes with START; -1 once there is a worker */
};

#define NURSERY_INIT ((struct nursery){ .connection = -1, .fds = { [0 ... NURSERY_FD_COUNT - 1] = -1 } })

/* Where nurseries listen, best first, for i from 0: 1 and *ret, 0: nowhere there, -1: there are no more. */
int nursery_place(int i, struct sockaddr_un *ret);

/* A connection to a nursery that we trust (root's or our own), non-blocking. -1 with errno: EAGAIN: its backlog is full, EPERM: it is somebody
 * else's. */
int nursery_connect(const struct sockaddr_un *place);

/* Ask for a worker with these ends and the interpreter `python`. True: it was begun, `ends` is consumed. False: n->reason says why there is
 * no use; `ends` is the caller's. */
bool nursery_begin(struct nursery *n, struct ends *ends, const char *python);

/* The connection is readable. May fill in w->pid and w->pidfd, or tell it a change. */
void nursery_serve(struct nursery *n, struct worker *w);

/* The next timer, 0: none; and what to do about it. */
long long nursery_due(const struct nursery *n);
void nursery_tick(struct nursery *n);

/* HELLO has come. */
void nursery_hello(struct nursery *n);

/* Give up, for this reason; nothing when the worker has said HELLO, or is our child. */
void nursery_lose(struct nursery *n, unsigned reason);

/* Whether a worker is being asked for that is not there yet. */
bool nursery_is_expecting(const struct nursery *n);

/* Whether what the worker prints is to be left where it is for now. */
bool nursery_holds_text(const struct nursery *n);

/* Close everything. The stage stays. */
void nursery_close(struct nursery *n);

#endif
