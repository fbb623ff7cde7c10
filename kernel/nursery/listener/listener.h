/* SPDX-License-Identifier: BSD-3-Clause
 *
 * pupitre-nursery: the only part of Pupitre that may run as root and is spoken to by strangers. One thread, one epoll loop, nothing that
 * waits. main.c is the loop, client.c those who connect, template.c the processes that fork. What
 * strangers, templates and /proc say is taken apart by datagram.c, proc.c and caller.c; limits are policy.c's.
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
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "caller.h"
#include "nursery/datagram.h"
#include "policy.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define TEMPLATES_END(l) ((l)->templates + NURSERY_TEMPLATES_MAX)

#define TICK_MS 100      /* how often deadlines are looked at, while there are any */
#define HEAR_MS 1000     /* from connecting to the request */
#define ORDER_MS 10000   /* a template that takes longer to fork hangs */
#define BUILD_MS 600000  /* as does one that takes longer to get ready */
#define BACKOFF_MS 1000  /* the pause before a template that died is built again; each next is the double */
#define BACKOFF_MAX 6    /* doublings */
#define UNFIT_MAX 3      /* in a row: no more are built until RELOAD */
#define WAITING_MAX 1024 /* connections not yet served, of all users */

struct listener;

/* A descriptor in the loop. Closed by watch_close alone: others may hold the same open file, and epoll goes by that. */
struct watch {
	int fd;
	void (*ready)(struct listener *l, void *owner);
	void *owner;
};

enum client_state { CLIENT_WAITING, CLIENT_QUEUED, CLIENT_ORDERED, CLIENT_LIVE };

struct client {
	struct watch front;  /* -1: it hung up */
	struct watch worker; /* its pidfd, or -1; in the loop when no template will tell how the worker ends */
	TAILQ_ENTRY(client) next;
	enum client_state state;
	struct caller caller;
	struct policy_user *user;   /* borrowed */
	long long since_ms;         /* when it came, or its worker was forked */
	uint64_t id;                /* the front's own name for this */
	struct nursery_order order; /* from QUEUED on */
	struct datagram datagram;   /* the descriptors to go with it */
	struct template *template;  /* that has the order or forked the worker; NULL once it will tell no more */
	struct nursery_row row;     /* of the worker */
};

TAILQ_HEAD(client_list, client);

struct template
{
	struct watch socket;                   /* -1: closed */
	struct nursery_template_status status; /* pid 0: it ended */
	long long since_ms, deadline_ms;       /* deadline_ms: of what it is doing; 0: nothing */
};

/* Each is followed by a value: first absolute paths, last numbers. */
enum option {
	OPTION_TEMPLATE,
	OPTION_PYTHON,
	OPTION_HOME,
	OPTION_SETTINGS,
	OPTION_LOG_LEVEL,
	OPTION_MIN_UID,
	OPTION_MAX_TOTAL,
	OPTION_MAX_PER_USER,
	OPTION_BURST,
	OPTION_NOTIFY, /* a descriptor, connected to where sd_notify(3) would write; 0: nobody wants to know */
	OPTIONS
};

struct listener {
	const char *options[OPTIONS]; /* borrowed from the command line */
	bool system;
	uint32_t min_uid, notify;
	int epoll;
	struct watch door;
	bool crowd;                         /* there may be more at the door */
	struct sockaddr_un name;            /* its path, */
	struct stat door_is;                /* and what is there */
	struct rlimit files;                /* RLIMIT_NOFILE as we were started, and as templates are */
	struct policy policy;               /* limits, and who has how much of them */
	struct client_list waiting, served; /* by state: CLIENT_WAITING, or later */
	struct template templates[NURSERY_TEMPLATES_MAX], *ready; /* ready: the one to fork from, or NULL */
	long long now_ms, start_ms, build_ms;                     /* build_ms: when to build, or 0 */
	unsigned died, unfit;                                     /* templates, in a row */
	bool announced;
	uint64_t serial;
	struct nursery_status status; /* what is counted as it happens */
};

/* main.c */
int watch_add(struct listener *l, struct watch *w, uint32_t events); /* 0, or -1 with errno */
void watch_close(struct listener *l, struct watch *w);
void notify(const char *state); /* to systemd: sd_notify(3) */

/* client.c */
void client_accept(struct listener *l, void *unused);
/* Give an order to the template that is ready, or refuse what waits for one. */
void client_dispatch(struct listener *l);
void client_report(struct listener *l, struct template *t, const struct nursery_report *r, struct datagram *d);
void client_orphan(struct listener *l, const struct template *t); /* it will report no more */
bool client_tick(struct listener *l);                             /* do what is due; whether more will be */

/* template.c */
/* Unless one is being built; after UNFIT_MAX only when it is asked for. */
void template_build(struct listener *l, bool asked);
void template_reap(struct listener *l);
bool template_tick(struct listener *l);

#endif
