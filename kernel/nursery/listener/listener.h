/* SPDX-License-Identifier: BSD-3-Clause
 *
 * pupitre-nursery: the only part of Pupitre that may run as root and is spoken to by strangers. One thread, one epoll loop, nothing that
 * waits. main.c is the loop, client.c those who connect, usher.c the processes that hear and look at them, template.c those that fork.
 * What strangers, templates and /proc say is taken apart by datagram.c, proc.c and caller.c; limits are policy.c's. What happens to
 * whom is counted and put into words by the scribe, a program without privileges.
 *
 *   client:  WAITING --it spoke--> HEARD --> LOOKED --START--> QUEUED --order--> ORDERED --FORKED--> LIVE --its worker ended--> LEAVING
 *
 * To read of a stranger in /proc, and to close what a stranger sent, may take as long as the stranger likes, even for ever: neither listener
 * nor template does either. An usher does, a process of its own. It takes the request out of the connection, into which nothing can be put
 * from then on; looks at the caller; and hands the descriptors on in a socket, keeping them itself until all of us have closed theirs.
 * What hangs is therefore an usher. It is given up after LOOK_MS; who has USHERS_MAX waits until one has ended.
 *
 * Until ORDERED a front that hangs up has changed its mind; later its worker is killed. What we said waits in LEAVING until it is read.
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

/* What we are started with, beside 0 to 2: connections to where sd_notify(3) would write, and to the scribe, who counts and logs what
 * happens; or anything else, if there is nobody. */
enum { NOTIFY_FD = 3, SCRIBE_FD };

#define TICK_MS 100 /* how often deadlines are looked at, while there are any */
#define HEAR_MS \
	5000 /* from connecting to the request, and again until an usher is free; a front goes on alone before */
#define EXIT_USAGE 2
#define ACCEPTS_A_TURN 16 /* those who connect delay nobody by more than that */
#define LOOK_MS 5000      /* for an usher to hear, and again to look */
#define PLACE_MS 10000    /* from the fork until the worker is its user's */
#define USHERS_MAX 4      /* of one user, at work or hanging */
#define ORDER_MS 10000    /* a template that takes longer to fork hangs */
#define BUILD_MS 600000   /* as does one that takes longer to get ready */
#define BACKOFF_MS 1000   /* the pause before a template that died is built again; each next is the double */
#define BACKOFF_MAX 8     /* doublings */

struct listener;

/* A descriptor in the loop. Closed by watch_close alone: others may hold the same open file, and epoll goes by that. */
struct watch {
	int fd;
	void (*ready)(struct listener *l, void *owner);
	void *owner;
};

enum client_state {
	CLIENT_WAITING,
	CLIENT_HEARD, /* and waits for an usher */
	CLIENT_LOOKED,
	CLIENT_QUEUED, /* from here to LIVE it counts as a kernel */
	CLIENT_ORDERED,
	CLIENT_LIVE,
	CLIENT_LEAVING,
	CLIENT_GONE /* but its usher is not */
};

struct client {
	struct watch front;  /* -1: it hung up */
	struct watch report; /* of its usher, until that has ended */
	struct watch worker; /* its pidfd, or -1; in the loop when no template will tell how the worker ends */
	TAILQ_ENTRY(client) next;
	enum client_state state;
	struct caller caller;
	int usher;                  /* the pidfd of its usher; open as long as `report` is */
	bool is_placed;             /* nobody of ours has its descriptors any more, and the worker is its user's */
	struct policy_user *user;   /* borrowed */
	long long since_ms;         /* when its worker was forked */
	long long deadline_ms;      /* of its state; 0: none */
	uint64_t id;                /* the front's own name for this */
	struct nursery_order order; /* from QUEUED on */
	struct datagram datagram;   /* QUEUED: the descriptors to go with it */
	struct template *template;  /* that has the order or forked the worker; NULL once it will tell no more */
	struct nursery_row row;     /* of the worker */
	struct nursery_event event; /* what the scribe was told last */
};

/* What an usher says: first this, and to a START that is well formed with the socket in which the caller's descriptors are and those of the
 * caller's cgroups; then the same once more when nobody of ours has the former any more. */
struct usher_word {
	enum nursery_reason reason; /* NURSERY_OK, or what is wrong with the request, or the caller */
	struct nursery_request request;
	struct nursery_placement placement;
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
	OPTION_MAX_UID,
	OPTION_MAX_PER_USER,
	OPTION_MAX_TOTAL,
	OPTION_BURST,
	OPTION_CONFINED, /* 1: serve who has no_new_privs as well, if we have it */
	OPTIONS
};

struct listener {
	const char *options[OPTIONS]; /* borrowed from the command line */
	bool system;
	uint32_t min_uid, max_uid, confined;
	int epoll;
	struct watch door;
	bool crowd;                 /* there may be more at the door */
	struct sockaddr_un name;    /* its path, */
	struct stat door_is;        /* and what is there */
	struct rlimit files;        /* RLIMIT_NOFILE as we were started, and as templates are */
	struct policy policy;       /* limits, and who has how much of them */
	struct client_list clients; /* as they came */
	struct template templates[NURSERY_TEMPLATES_MAX], *ready; /* ready: the one to fork from, or NULL */
	long long now_ms, start_ms, build_ms;                     /* build_ms: when to build, or 0 */
	unsigned died;                                            /* templates, in a row, or unfit */
	int status_of_mistake;                                    /* to end with; 0: go on */
	bool announced;
	uint64_t serial;              /* of the newest order */
	struct nursery_status status; /* what is counted as it happens */
};

/* main.c */
int watch_add(struct listener *l, struct watch *w, uint32_t events); /* or change it: 0, or -1 with errno */
void watch_close(struct listener *l, struct watch *w);
void notify(const char *state); /* to systemd: sd_notify(3) */

/* client.c */
void client_accept(struct listener *l, void *unused);
/* Give an order to the template that is ready, or refuse what waits for one. */
void client_dispatch(struct listener *l);
void client_report(struct listener *l, struct template *t, const struct nursery_report *r, struct datagram *d);
void client_orphan(struct listener *l, const struct template *t); /* it will report no more */
bool client_tick(struct listener *l);                             /* do what is due; whether more will be */

/* usher.c */
/* Have a client heard and looked at. Its report says it, or hangs up. Where that cannot be nothing is heard of it. */
void usher_send(struct listener *l, struct client *c);
/* Kill a worker that is its user's, as that user: what they may not end, a set-user-id program, we do not end for them. */
void usher_end_worker(const struct listener *l, const struct client *c);

/* template.c */
/* Unless one is being built. */
void template_build(struct listener *l, bool asked);
void template_reap(struct listener *l);
bool template_tick(struct listener *l);

#endif
