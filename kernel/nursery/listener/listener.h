/* SPDX-License-Identifier: BSD-3-Clause
 *
 * pupitre-nursery: the only part of Pupitre that may run as root and is spoken to by strangers. One thread, one epoll loop, nothing that
 * waits. main.c is the loop and the socket in the file system, client.c those who connect, template.c the processes that fork. What
 * strangers, templates and /proc say is taken apart by message.c, proc.c and caller.c; limits are policy.c's.
 *
 *   client:  WAITING --START--> QUEUED --order--> ORDERED --FORKED--> LIVE --the worker ended--> gone
 *
 * Until ORDERED a front that hangs up has changed its mind; later its worker is killed.
 */
#ifndef PUPITRE_NURSERY_LISTENER_LISTENER_H
#define PUPITRE_NURSERY_LISTENER_LISTENER_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "caller.h"
#include "nursery/datagram.h"
#include "policy.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define TEMPLATES_END(l) ((l)->templates + NURSERY_TEMPLATES_MAX)

#define HEAR_MS 1000    /* from connecting to the request */
#define ORDER_MS 10000  /* a template that takes longer to fork hangs */
#define BUILD_MS 600000 /* as does one that takes longer to get ready */
#define BACKOFF_MS \
	60000 /* the longest pause before a template that died is built again; the first is 1 s, each next the double */
#define UNFIT_MAX 3      /* in a row: no more are built until RELOAD */
#define WAITING_MAX 1024 /* connections not yet served, of all users */
#define ACCEPT_MAX 16    /* in a turn */
#define FORK_TIMES 256   /* the newest, for STATUS */

struct listener;

/* A descriptor in the loop. Closed by watch_close alone: others may hold the same open file, and epoll goes by that. */
struct watch {
	int fd;
	void (*ready)(struct listener *l, struct watch *w);
};

enum client_state { CLIENT_WAITING, CLIENT_QUEUED, CLIENT_ORDERED, CLIENT_LIVE, CLIENT_STATES };

struct client {
	struct watch front;  /* -1: it hung up */
	struct watch worker; /* its pidfd, or -1 */
	TAILQ_ENTRY(client) next;
	enum client_state state;
	struct caller caller;
	long long since_ms;         /* when it came, or its worker was forked */
	uint64_t id;                /* the front's own name for this */
	struct nursery_order order; /* from QUEUED to ORDERED */
	struct datagram datagram;   /* the descriptors to go with it */
	struct template *template;  /* that has the order or forked the worker; NULL once it will tell no more */
	pid_t pid;                  /* the worker's */
	bool admitted;              /* counted by policy.c */
	bool stopped, ended;        /* the worker */
};

struct template
{
	struct watch socket; /* -1: closed */
	pid_t pid;           /* 0: it ended */
	enum nursery_template_state state;
	long long since_ms, deadline_ms; /* deadline_ms 0: none */
	uint64_t forks;
	struct nursery_interpreter python;
	struct client *ordered; /* whose order it has not answered yet */
	char text[NURSERY_TEXT_SIZE];
};

/* Each is followed by a value; the first OPTION_PATHS by an absolute path. */
enum option {
	OPTION_SOCKET,
	OPTION_TEMPLATE,
	OPTION_PYTHON,
	OPTION_HOME,
	OPTION_PATHS,
	OPTION_SETTINGS = OPTION_PATHS,
	OPTION_LOG_LEVEL,
	OPTION_MIN_UID,
	OPTION_MAX_TOTAL,
	OPTION_MAX_PER_USER,
	OPTION_BURST,
	OPTIONS
};

struct listener {
	const char *options[OPTIONS]; /* borrowed from the command line */
	bool system;
	uint32_t min_uid;
	int epoll, spare; /* spare: given up for a moment when descriptors run out */
	struct watch door, signals;
	dev_t door_dev;
	ino_t door_ino;
	struct rlimit files; /* RLIMIT_NOFILE as we were started, and as templates are */
	struct policy policy;
	TAILQ_HEAD(client_list, client) clients[CLIENT_STATES];
	struct template templates[NURSERY_TEMPLATES_MAX];
	long long now_ms, start_ms, build_ms, backoff_ms; /* build_ms: when to build, or 0 */
	unsigned unfit;
	bool draining, announced, over;
	uint64_t serial, forks, refused[NURSERY_REASON_COUNT];
	uint32_t fork_us[FORK_TIMES];
};

/* main.c */
int watch_add(struct listener *l, struct watch *w, uint32_t events); /* 0, or -1 with errno */
void watch_close(struct listener *l, struct watch *w);
void notify(const char *state); /* sd_notify(3) */

/* client.c */
void client_accept(struct listener *l, struct watch *door);
void client_dispatch(
	struct listener *l); /* give an order to the template that is ready, or refuse what waits for one */
void client_report(struct listener *l, struct template *t, const struct nursery_report *r, struct datagram *d);
void client_orphan(struct listener *l, const struct template *t); /* it will report no more */
long long client_tick(struct listener *l);                        /* do what is due; when to come back, or LLONG_MAX */

/* template.c */
struct template *template_ready(struct listener *l); /* the one to fork from, or NULL */
void template_build(struct listener *l);             /* unless one is being built */
void template_reload(struct listener *l);            /* after UNFIT_MAX, too */
void template_reap(struct listener *l);
long long template_tick(struct listener *l);

#endif
