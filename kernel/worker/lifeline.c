/* SPDX-License-Identifier: BSD-3-Clause */
#include "lifeline.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "ends.h"
#include "nudge.h"

#define EXPORTED __attribute__((visibility("default")))

typedef int (*mask_function)(int, const sigset_t *, sigset_t *);
typedef int (*action_function)(int, const struct sigaction *, struct sigaction *);

static pid_t front;  /* our parent at start; 0: it is not our parent */
static pid_t worker; /* 0 until the lifeline is watched; children have another pid and may do as they please */

/* libc's own, looked up before any user code runs. */
static mask_function real_mask;
static action_function real_action;

/* See lifeline_replace_handler. */
static int replaced_signal;
static void (*replaced)(int);
static void (*replacement)(int);

static void
kill_everything(void)
{
	if (getpgrp() == getpid())
		kill(0, SIGKILL);
	kill(getpid(), SIGKILL);
}

/* The signal may have been sent by anybody, so look whether the front is really gone. */
static void
on_hang_up(int signum)
{
	(void)signum;
	int saved = errno;
	struct pollfd p = { .fd = ends_get()->lifeline };
	if ((front != 0 && getppid() != front) || (poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)) != 0))
		kill_everything();
	errno = saved;
}

/* Symbol lookup yields a data pointer; POSIX says that it holds a function's. */
static void
find_real(const char *name, void *function, size_t size)
{
	void *symbol = dlsym(RTLD_NEXT, name);
	memcpy(function, &symbol, size);
}

static bool
is_worker(void)
{
	return worker != 0 && getpid() == worker;
}

EXPORTED int
pthread_sigmask(int how, const sigset_t *set, sigset_t *before)
{
	if (real_mask == NULL)
		find_real("pthread_sigmask", &real_mask, sizeof real_mask);
	if (set == NULL || how == SIG_UNBLOCK || !is_worker())
		return real_mask(how, set, before);
	sigset_t without = *set;
	sigdelset(&without, LIFELINE_SIGNAL);
	return real_mask(how, &without, before);
}

EXPORTED int
sigaction(int signum, const struct sigaction *action, struct sigaction *before)
{
	if (real_action == NULL)
		find_real("sigaction", &real_action, sizeof real_action);
	if ((signum == LIFELINE_SIGNAL || signum == NUDGE_SIGNAL) && action != NULL && is_worker()) {
		errno = EINVAL;
		return -1;
	}
	struct sigaction other;
	if (replaced != NULL && signum == replaced_signal && action != NULL && action->sa_handler == replaced &&
	    is_worker()) {
		other = *action;
		other.sa_handler = replacement;
		action = &other;
	}
	return real_action(signum, action, before);
}

void
lifeline_replace_handler(int signum, void (*handler)(int), void (*by)(int))
{
	replaced_signal = signum;
	replaced = handler;
	replacement = by;
}

int
lifeline_watch(bool of_front, struct err *e)
{
	int fd = ends_get()->lifeline;
	struct sigaction action = { .sa_handler = on_hang_up, .sa_flags = SA_RESTART | SA_ONSTACK };
	sigemptyset(&action.sa_mask);
	front = of_front ? getppid() : 0;
	if (sigaction(LIFELINE_SIGNAL, &action, NULL) < 0)
		return err_system(e, "sigaction");
	/* The lifeline's signal is delivered to a worker that is stopped only when it goes on. */
	if (of_front && prctl(PR_SET_PDEATHSIG, SIGCONT) < 0)
		return err_system(e, "prctl PR_SET_PDEATHSIG");
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETSIG, LIFELINE_SIGNAL) < 0 || fcntl(fd, F_SETOWN, getpid()) < 0 ||
	    fcntl(fd, F_SETFL, flags | O_ASYNC | O_NONBLOCK) < 0)
		return err_system(e, "watching the lifeline");
	worker = getpid();
	on_hang_up(LIFELINE_SIGNAL); /* it may have hung up before we watched */
	return 0;
}
