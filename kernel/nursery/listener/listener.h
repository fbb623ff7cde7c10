/* SPDX-License-Identifier: BSD-3-Clause
 *
 * pupitre-nursery: the only part of Pupitre that may run as root and is spoken to by strangers. One thread, one epoll loop, nothing that
 * waits. main.c is the loop, door.c the socket in the file system, client.c those who connect, template.c the processes that fork,
 * status.c what is told of it all. What strangers and /proc say is taken apart by check.c, proc.c and caller.c, limits are policy.c's.
 *
 *   client:  WAITING --START--> QUEUED --order--> ORDERED --FORKED--> LIVE --front hung up--> LEAVING --> gone
 */
#ifndef PUPITRE_NURSERY_LISTENER_LISTENER_H
#define PUPITRE_NURSERY_LISTENER_LISTENER_H

#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/resource.h>

#include "base/err.h"
#include "caller.h"
#include "message.h"
#include "policy.h"

#define HEAR_MS 1000    /* from connecting to the request */
#define LEAVE_MS 500    /* a worker without a front has this long to end by itself, and its children with it */
#define ORDER_MS 10000  /* a template that takes longer to fork hangs */
#define BUILD_MS 600000 /* as does one that takes longer to get ready */
#define BACKOFF_MS \
	60000 /* the longest pause before a template that died is built again; the first is 1 s, the next double */
#define UNFIT_MAX 3      /* in a row: no more are built until RELOAD */
#define WAITING_MAX 1024 /* connections not yet served, of all users */
#define FORK_TIMES 256

struct listener;

/* A descriptor in the loop. Only closed by watch_close: others may hold the same open file, and epoll goes by that. */
struct watch {
	int fd;
	void (*ready)(struct listener *l, struct watch *w);
};

int watch_add(struct listener *l, struct watch *w, uint32_t events); /* 0, or -1 with errno */
void watch_close(struct listener *l, struct watch *w);

enum client_state { CLIENT_WAITING, CLIENT_QUEUED, CLIENT_ORDERED, CLIENT_LIVE, CLIENT_LEAVING, CLIENT_STATES };

struct client {
	struct watch front;  /* -1: it hung up */
	struct watch worker; /* its pidfd, or -1 */
	TAILQ_ENTRY(client) next;
	enum client_state state;
	struct caller caller;
	long long since_ms, deadline_ms;
	uint64_t id, serial;        /* the front's own number for this; ours */
	struct nursery_order order; /* until ORDERED */
	struct message message;     /* until ORDERED: the descriptors to go with it */
	struct template *template;  /* that forked the worker; NULL once it is gone */
	pid_t pid;                  /* the worker's */
	bool admitted, stopped, ended;
};

struct template
{
	struct watch socket; /* -1: closed */
	pid_t pid;           /* 0: it ended */
	enum nursery_template_state state;
	long long since_ms, deadline_ms; /* 0: none */
	uint64_t forks;
	struct nursery_interpreter python;
	struct client *ordered; /* the order it has not answered yet */
	char text[NURSERY_TEXT_SIZE];
};

struct options {
	const char *socket, *template, *python, *settings, *home, *log_level;
	long min_uid, max_total, max_per_user, burst;
	bool system;
};

struct listener {
	struct options options;
	int epoll, spare; /* given up for a moment when descriptors run out */
	struct watch door, signals;
	dev_t door_dev;
	ino_t door_ino;
	struct rlimit files; /* as we were started, and as templates are */
	struct policy policy;
	TAILQ_HEAD(client_list, client) clients[CLIENT_STATES];
	struct template templates[NURSERY_TEMPLATES_MAX];
	long long now_ms, start_ms, build_ms, backoff_ms; /* build_ms: when to build, or 0 */
	unsigned unfit;
	bool draining, announced, over;
	uint64_t serial, forks, refused[NURSERY_REASON_COUNT];
	uint32_t fork_us[FORK_TIMES];
};

/* door.c */
int door_open(struct listener *l, struct err *e); /* 0, or -1 */
void door_close(struct listener *l);              /* take the socket away, if it is still ours */
void door_notify(const char *state);              /* sd_notify(3) */

/* client.c */
void client_accept(struct listener *l, struct watch *w);
void client_free(struct listener *l, struct client *c);
void client_dispatch(struct listener *l); /* give orders to the template that is ready, or refuse what waits for one */
void client_report(struct listener *l, struct template *t, const struct nursery_report *r, struct message *m);
void client_orphan(struct listener *l, const struct template *t); /* it will report no more */
long long client_tick(struct listener *l);                        /* do what is due; when to come back, or LLONG_MAX */
int client_answer(struct client *c, enum nursery_op op, struct nursery_answer a,
		  int fd); /* 0, or -1: it does not read */

/* template.c */
struct template *template_ready(struct listener *l); /* the one to fork from, or NULL */
void template_build(struct listener *l);
void template_retire(struct template *t); /* no more orders; it ends with its last worker */
void template_reload(struct listener *l); /* build one even after UNFIT_MAX */
void template_reap(struct listener *l);
long long template_tick(struct listener *l);

/* status.c: send the counters, and a row for each worker that the client may see. */
void status_tell(struct listener *l, struct client *c);

#endif
