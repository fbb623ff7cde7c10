/* SPDX-License-Identifier: BSD-3-Clause
 *
 * pupitre-template: a Python that imported and rehearsed what a course needs, never ran anybody's code, and forks into
 * workers. main.c builds it, serve.c takes orders, child.c is what happens in the new process. One thread; no Python runs in it
 * after READY, because whatever it writes costs each worker a page.
 */
#ifndef PUPITRE_NURSERY_TEMPLATE_TEMPLATE_H
#define PUPITRE_NURSERY_TEMPLATE_TEMPLATE_H

#include <sys/types.h>

#include "compat.h"
#include "nursery/messages.h"

#define TEMPLATE_SOCKET 3 /* the listener's end of it is its business */

/* Exit statuses of a worker that never said hello. The front starts cold. */
#define CHILD_FAILED 70 /* something could not be made as the caller has it */
#define CHILD_UNLIKE 71 /* what the caller would import is not what the template imported */

/* A file or directory whose change makes the template stale. */
struct watched {
	char *path; /* owned */
	long long mtime_ns;
	unsigned long long ino;
};

struct template
{
	int socket;
	int signals; /* signalfd: SIGCHLD */
	struct watched *watched;
	size_t watched_count;
	pid_t *live; /* owned: the workers that have not been reaped */
	size_t live_count;
	long long idle_ms;  /* from the last fork until another template should take over; 0: never */
	long long renew_ms; /* when that is, on clock_ms(); 0: nothing was forked yet */
};

/* serve.c: take orders until the listener hangs up and the last child was reaped. Holds the GIL all the time. Exit status. */
int template_serve(struct template *t);

/* serve.c: tell the listener. `fd` goes along unless it is -1. 0, or -1 when the listener is gone. */
int template_report(struct template *t, struct nursery_report *report, int fd);

/* child.c: the forked process becomes the worker of the order. `fds` as they came with it, consumed. */
_Noreturn void child_run(const struct nursery_order *order, const int *fds);

#endif
