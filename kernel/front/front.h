/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The whole state of one pupitre-kernel process, passed to everything that acts on it. One thread; nothing here blocks but the
 * loop's poll. What each file of this folder does:
 *   loop.c      waits, and calls the others          sockets.c  ZeroMQ          session.c  sign, verify, number
 *   exchange.c  busy, one reply, idle                shell.c    the queue and the abort window
 *   control.c   what the front answers itself        relay.c    the worker's frames onto the wire
 *   streams.c   printed text into stream messages    stdinput.c input() and its answer
 *   worker.c    the link                             signals.c, parent.c  who signals, who watches
 *   interrupt.c, shutdown.c, obituary.c  how things end
 *   start.c     how the worker comes to be: spawn.c by exec, nursery.c by asking for one; notes.c tells the nursery what it cannot know
 */
#ifndef PUPITRE_FRONT_FRONT_H
#define PUPITRE_FRONT_FRONT_H

#include <jansson.h>

#include "front/connfile.h"
#include "front/nursery.h"
#include "front/oom.h"
#include "front/options.h"
#include "front/output.h"
#include "front/parents.h"
#include "front/request.h"
#include "front/session.h"
#include "front/streams.h"
#include "front/worker.h"

enum front_phase {
	FRONT_STARTING, /* the worker has not said HELLO */
	FRONT_READY,
	FRONT_STOPPING, /* shutdown was asked for, or the worker said BYE */
	FRONT_ENDED,    /* leave the loop */
};

/* What code of the active request asks, in its name or in that of an earlier one whose code still runs. stdinput.c */
struct question {
	bool open;                       /* the worker waits for the answer */
	uint16_t number;                 /* by which the worker knows the answer */
	char id[SESSION_MSG_ID_SIZE];    /* msg_id of the input_request; "" when the client could not be asked */
	char asker[SESSION_MSG_ID_SIZE]; /* msg_id of the request in whose name it is asked */
	uint32_t serial;                 /* of that request */
	struct buf content;
	long long retry_ms; /* the client's stdin channel is not there: when to look again; 0: never */
	long long until_ms; /* and when to say so */
};

struct front {
	struct options options;
	struct connfile file;
	struct connection connection;
	struct sockets *sockets;
	struct output output;
	struct session *session;
	struct worker worker;
	struct nursery nursery; /* whom the worker was asked of */
	struct streams streams;
	struct parents parents;
	struct oom_count oom;
	struct request_queue queue; /* shell requests that wait for the worker */
	struct request *active;     /* at the worker; owned; NULL: it is free */
	uint32_t last_serial;
	uint32_t interrupted_serial; /* the newest request that was interrupted */
	char *kernel_info;           /* content of kernel_info_reply, from HELLO; owned */
	size_t kernel_info_size;
	struct question question; /* of input(), to a client */
	enum front_phase phase;
	bool left;            /* the code itself ended the kernel, by exit() or quit() */
	long long report_ms;  /* when to say that an interrupt has no effect; 0: never */
	long long cut_off_ms; /* the link is closed: when a worker that lives on is killed; 0: never */
	bool cut_off;         /* that happened, or the worker sent nonsense */
	int note;             /* a connection on which the nursery was told of our end; -1: none */
	int parent_fd;        /* pidfd of the process that must outlive us; -1 */
	int signal_fd;
	int passed_on;     /* the newest signal that the worker got from us; 0: none */
	bool suspended;    /* the worker was stopped along with us */
	bool stop_noticed; /* that it is stopped has been seen */
	int exit_status;
	int exit_signal; /* end by this signal; 0: exit_status */
};

#define FRONT_PROGRAM "pupitre-kernel"
#define FRONT_EXIT_WORKER 4 /* exit status: no worker */

/* Deadlines, in milliseconds. */
#define FRONT_INTERRUPT_REPORT_MS 2000      /* an interrupt without effect is mentioned after this */
#define FRONT_CUT_OFF_MS 200                /* a worker whose link is closed has this long to be dead */
#define FRONT_QUEUE_MAX ((size_t)256 << 20) /* bytes of queued requests, above which the shell channel is not read */

/* loop.c: serve until the phase is FRONT_ENDED. */
void front_run(struct front *f);

/* start.c: ask a nursery, if there is one, before anything else is made: it forks meanwhile. */
void start_early(struct front *f);
/* A worker, if none was asked for, and what it is to know. 0, or -1 with one line for the user. */
int start_worker(struct front *f, struct err *e);
/* Whether there is a worker, and it is ours: a nursery's is not before it is what it is to be. */
bool start_has_worker(const struct front *f);
/* The nursery's came to nothing: another, by exec. Ends the phase when that fails as well. */
void start_cold(struct front *f);

/* shell.c: a verified message of the shell channel (or one from control that the worker must serve). Consumes r. */
void shell_accept(struct front *f, struct request *r);
/* Read what waits on the shell channel into the queue, a bounded number of messages. */
void shell_read(struct front *f);
/* Begin queued requests while the worker is free. */
void shell_advance(struct front *f);
/* Take the active request from the worker, and end all that concerned it: its question, the report of an interrupt. NULL: there is none.
 * Owned by the caller. */
struct request *shell_release(struct front *f);
/* The kernel ends: answer the active request and whatever is queued or was sent. */
void shell_answer_rest(struct front *f);
/* Its first half: read all that was sent, with `wait` also what is on its way; 1 s at most. */
void shell_read_rest(struct front *f, bool wait);
/* Its second half without the active request: answer what was read, and read no more. `error` (borrowed): why the kernel ends, if
 * nobody asked it to. */
void shell_refuse_rest(struct front *f, json_t *error);
/* The active request failed with stop_on_error: what was already sent will not run. */
void shell_open_abort_window(struct front *f);

/* control.c: a verified message of the control channel. Consumes r. */
void control_accept(struct front *f, struct request *r);
/* Serve r if the front answers its type itself (kernel_info, connect, ...): true, and r is consumed. */
bool control_serve(struct front *f, struct request *r);

/* relay.c: read the link and the ring, in order. Called when either may have something; `rung`: the bell has. */
void relay_read(struct front *f, bool rung);
/* Read the pipes, and what was printed before. */
void relay_read_pipes(struct front *f);
/* Whether frames that were read off the link can be handled now: no descriptor tells of them any more. */
bool relay_has_work(const struct front *f);
/* As relay_read, but to the very end of what a dead worker left, pipes included. */
void relay_drain(struct front *f);

/* stdinput.c: an INPUT_REQUEST of the worker, in the name of request `serial`, if that is known, else of the active one. */
void stdinput_ask(struct front *f, uint32_t serial, uint16_t number, const struct wire_frame *content);
/* A verified message of the stdin channel. Consumes r. */
void stdinput_accept(struct front *f, struct request *r);
/* Ask a client again whose stdin channel was not there, when that is due. */
void stdinput_tick(struct front *f);
/* The active request ends, and with it the question, if one is open: who waits for the answer is told that none will come. */
void stdinput_close(struct front *f);

/* signals.c: signals become readable from now on, all of them; nothing is delivered in between. 0, or -1 with ERR_SYSTEM. */
int signals_take(struct front *f, struct err *e);
/* Serve those that have come. */
void signals_serve(struct front *f);
/* Do what the system does for a signal that nobody handles: stop, and return when we go on; or end; or nothing. */
void signals_act_as_default(int number);

/* parent.c: find the process whose end is ours, if Jupyter says by JPY_PARENT_PID that there is one. Sets f->parent_fd. */
void parent_watch(struct front *f);

/* interrupt.c: the user wants what runs to stop. */
void interrupt_now(struct front *f);
/* The report timer has fired. */
void interrupt_report(struct front *f);
/* The worker's status may have changed. When it was stopped by a signal of its own: say so on the cell, which would otherwise look busy for
 * ever. */
void interrupt_notice_stop(struct front *f);

/* shutdown.c: begin an orderly end, which takes as long as the student's code needs: `finally:`, threads, atexit functions. Whoever asked for
 * it has their own patience and signals. */
void shutdown_begin(struct front *f);
/* The worker has ended in order, or on the way there. */
void shutdown_finish(struct front *f);
/* End at once (parent gone, no worker): the worker's group is killed, we leave with this signal or status. */
void shutdown_at_once(struct front *f, int status, int signal);

/* obituary.c: the worker has ended; say why where the user looks, answer everything open, set the exit status and end. */
void obituary_publish(struct front *f);

/* usage.c: content of usage_reply. Owned: json_decref; NULL for want of memory. */
struct json_t *usage_measure(struct front *f);

#endif
