/* SPDX-License-Identifier: BSD-3-Clause */
#include "front/worker.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

#define KEEP_SIZE ((size_t)64 * 1024)

int
worker_send(struct worker *w, const struct frame_header *header, const struct frame_part *parts, size_t count,
	    struct err *e)
{
	if (w->link < 0)
		return err_set(e, ERR_CLOSED, "the worker is gone");
	if (frame_encode(&w->outgoing, header, parts, count, e) < 0) {
		w->outgoing.failed = false;
		return -1;
	}
	worker_flush(w);
	return 0;
}

void
worker_flush(struct worker *w)
{
	size_t sent = 0;
	while (w->link >= 0 && sent < w->outgoing.size) {
		ssize_t n =
			send(w->link, w->outgoing.data + sent, w->outgoing.size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break; /* full, or the worker is dead: its pidfd will tell */
		sent += (size_t)n;
	}
	buf_consume(&w->outgoing, sent);
	if (w->outgoing.size == 0)
		buf_shrink(&w->outgoing, KEEP_SIZE);
}

void
worker_signal(const struct worker *w, int signal)
{
	if (w->pid <= 0)
		return;
	if (kill(-w->pid, signal) < 0 && !w->ended)
		kill(w->pid, signal);
}

void
worker_reap(struct worker *w)
{
	for (;;) {
		int status;
		pid_t pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED);
		if (pid <= 0)
			return;
		if (pid != w->pid)
			continue;
		w->stopped = WIFSTOPPED(status);
		if (WIFEXITED(status) || WIFSIGNALED(status)) {
			w->ended = true;
			w->status = status;
		}
	}
}

void
worker_close(struct worker *w)
{
	if (w->pid > 0)
		kill(-w->pid, SIGKILL);
	if (w->pid > 0 && !w->ended)
		kill(w->pid, SIGKILL);
	fd_close(&w->pidfd);
	fd_close(&w->link);
	fd_close(&w->bell);
	fd_close(&w->lifeline);
	fd_close(&w->crash);
	fd_close(&w->pipes[0]);
	fd_close(&w->pipes[1]);
	shared_unmap(w->shared);
	w->shared = NULL;
	frame_reader_free(&w->reader);
	buf_free(&w->outgoing);
}
