/* SPDX-License-Identifier: BSD-3-Clause */
#include "lifeline.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "ends.h"

static pid_t front; /* our parent at start */

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
	if (getppid() != front || (poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)) != 0))
		kill_everything();
	errno = saved;
}

int
lifeline_watch(struct err *e)
{
	int fd = ends_get()->lifeline;
	struct sigaction action = { .sa_handler = on_hang_up, .sa_flags = SA_RESTART | SA_ONSTACK };
	sigemptyset(&action.sa_mask);
	front = getppid();
	if (sigaction(LIFELINE_SIGNAL, &action, NULL) < 0)
		return err_system(e, "sigaction");
	if (prctl(PR_SET_PDEATHSIG, LIFELINE_SIGNAL) < 0)
		return err_system(e, "prctl PR_SET_PDEATHSIG");
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETSIG, LIFELINE_SIGNAL) < 0 || fcntl(fd, F_SETOWN, getpid()) < 0 ||
	    fcntl(fd, F_SETFL, flags | O_ASYNC | O_NONBLOCK) < 0)
		return err_system(e, "watching the lifeline");
	on_hang_up(LIFELINE_SIGNAL); /* it may have hung up before we watched */
	return 0;
}
