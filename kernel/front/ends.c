/* SPDX-License-Identifier: BSD-3-Clause */
#include "front/ends.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "front/worker.h"

#define FREE_FD (ENDS_COUNT + 1)   /* the first number that no end becomes */
#define LINK_BUFFER_SIZE (1 << 20) /* bytes on their way between front and worker */

void
ends_close(struct ends *ends)
{
	for (int i = 0; i < ENDS_COUNT; i++)
		fd_close(&ends->fds[i]);
}

/* Move a descriptor above those that the child's dup2s will overwrite. */
static int
raise_fd(int *fd, struct err *e)
{
	int high = fcntl(*fd, F_DUPFD_CLOEXEC, FREE_FD);
	if (high < 0)
		return err_system(e, "duplicating a descriptor");
	fd_close(fd);
	*fd = high;
	return 0;
}

/* Large displays cross in fewer turns. As much as the system grants; the default does as well. */
static void
widen(int link)
{
	int size = LINK_BUFFER_SIZE;
	if (setsockopt(link, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) < 0)
		setsockopt(link, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

/* Pipes and sockets: ours and the worker's. */
static int
make_pairs(struct worker *w, struct ends *ends, struct err *e)
{
	int out[2] = { -1, -1 }, error[2] = { -1, -1 };
	int link[2] = { -1, -1 }, answers[2] = { -1, -1 }, life[2] = { -1, -1 };
	bool made = pipe2(out, O_CLOEXEC) == 0 && pipe2(error, O_CLOEXEC) == 0 &&
		    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link) == 0 &&
		    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, answers) == 0 &&
		    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, life) == 0;
	w->pipes[0] = out[0];
	w->pipes[1] = error[0];
	w->link = link[0];
	w->answers = answers[0];
	w->lifeline = life[0];
	ends->fds[NURSERY_FD_OUT] = out[1];
	ends->fds[NURSERY_FD_ERR] = error[1];
	ends->fds[NURSERY_FD_LINK] = link[1];
	ends->fds[NURSERY_FD_ANSWERS] = answers[1];
	ends->fds[NURSERY_FD_LIFELINE] = life[1];
	return made ? 0 : err_system(e, "cannot make the link to the worker");
}

/* What both have the same of. */
static int
make_common(struct worker *w, struct ends *ends, struct err *e)
{
	w->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->crash = memfd_create("pupitre-crash", MFD_CLOEXEC);
	if (w->bell < 0 || w->crash < 0)
		return err_system(e, "cannot make the link to the worker");
	ends->fds[NURSERY_FD_BELL] = fcntl(w->bell, F_DUPFD_CLOEXEC, FREE_FD);
	ends->fds[NURSERY_FD_CRASH] = fcntl(w->crash, F_DUPFD_CLOEXEC, FREE_FD);
	if (ends->fds[NURSERY_FD_BELL] < 0 || ends->fds[NURSERY_FD_CRASH] < 0)
		return err_system(e, "duplicating a descriptor");
	w->shared = shared_new(&ends->fds[NURSERY_FD_SHARED], e);
	return w->shared == NULL ? -1 : 0;
}

int
ends_make(struct worker *w, struct ends *ret, struct err *e)
{
	*ret = ENDS_INIT;
	if (make_pairs(w, ret, e) < 0 || make_common(w, ret, e) < 0)
		return -1;
	for (int i = 0; i < ENDS_COUNT; i++) {
		if (raise_fd(&ret->fds[i], e) < 0)
			return -1;
	}
	widen(w->link);
	widen(ret->fds[NURSERY_FD_LINK]);
	if (fd_set_nonblocking(w->link, 1, e) < 0 || fd_set_nonblocking(w->pipes[0], 1, e) < 0 ||
	    fd_set_nonblocking(w->pipes[1], 1, e) < 0)
		return -1;
	return 0;
}
