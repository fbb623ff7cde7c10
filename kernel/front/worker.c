/* SPDX-License-Identifier: BSD-3-Clause */
#include "front/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

#define KEEP_SIZE ((size_t)64 * 1024)

/* <linux/pidfd.h> of newer systems. */
#ifndef PIDFD_SIGNAL_PROCESS_GROUP
#define PIDFD_SIGNAL_PROCESS_GROUP (1u << 2)
#endif
#define PIDFD_GET_INFO _IOWR(0xFF, 11, struct exit_info)
#define PIDFD_INFO_EXIT ((uint64_t)1 << 3)

/* struct pidfd_info, in its first version. */
struct exit_info {
	uint64_t mask, cgroup;
	uint32_t unused[11];
	int32_t exit_code; /* as waitpid gives it */
};

/* Send what the socket takes now, and forget the rest if the other end is closed: whether the worker is dead, its pidfd and the link's
 * end of file tell. What is sent is dropped when it is the larger part: all in all, fewer bytes are moved than sent. */
static void
flush(int fd, struct unsent *u)
{
	struct buf *bytes = &u->bytes;
	while (fd >= 0 && u->sent < bytes->size) {
		ssize_t n = send(fd, bytes->data + u->sent, bytes->size - u->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) {
			u->sent = bytes->size; /* or the loop, to which such a socket looks writable, would not rest */
			break;
		}
		if (n < 0)
			break; /* full */
		u->sent += (size_t)n;
	}
	if (u->sent > bytes->size / 2) {
		buf_consume(bytes, u->sent);
		u->sent = 0;
	}
	if (bytes->size == 0)
		buf_shrink(bytes, KEEP_SIZE);
}

static void
unsent_free(struct unsent *u)
{
	buf_free(&u->bytes);
	u->sent = 0;
}

static int
queue(int fd, struct unsent *u, const struct frame_header *header, const struct frame_part *parts, size_t count,
      struct err *e)
{
	if (fd < 0)
		return err_set(e, ERR_CLOSED, "the worker is gone");
	if (frame_encode(&u->bytes, header, parts, count, e) < 0) {
		u->bytes.failed = false;
		return -1;
	}
	flush(fd, u);
	return 0;
}

int
worker_send(struct worker *w, const struct frame_header *header, const struct frame_part *parts, size_t count,
	    struct err *e)
{
	return queue(w->link, &w->outgoing, header, parts, count, e);
}

int
worker_answer(struct worker *w, const struct frame_header *header, const struct frame_part *parts, size_t count,
	      struct err *e)
{
	return queue(w->answers, &w->unasked, header, parts, count, e);
}

void
worker_flush(struct worker *w)
{
	flush(w->link, &w->outgoing);
	flush(w->answers, &w->unasked);
}

/* Signal the group of which the worker is or was the leader. 0, or -1: there is none, or it may not be done. */
static int
signal_group(const struct worker *w, int number)
{
	if (w->pid <= 0)
		return -1;
	if (syscall(SYS_pidfd_send_signal, w->pidfd, number, NULL, PIDFD_SIGNAL_PROCESS_GROUP) == 0)
		return 0;
	if (errno != EINVAL && errno != EBADF)
		return -1;
	/* Linux before 6.9. The number of a group may belong to strangers once the leader is reaped, which we do ourselves with a child. */
	if (w->born && syscall(SYS_pidfd_send_signal, w->pidfd, 0, NULL, 0) < 0)
		return -1;
	return kill(-w->pid, number);
}

void
worker_signal_alone(const struct worker *w, int signal, siginfo_t *with)
{
	if (w->pid > 0 && !w->ended)
		syscall(SYS_pidfd_send_signal, w->pidfd, signal, with, 0);
}

void
worker_signal(const struct worker *w, int signal)
{
	if (signal_group(w, signal) < 0)
		worker_signal_alone(w, signal, NULL);
}

void
worker_reap(struct worker *w)
{
	for (;;) {
		int status;
		pid_t pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED);
		if (pid <= 0)
			return;
		if (pid != w->pid || w->born)
			continue;
		w->stopped = WIFSTOPPED(status);
		if (WIFEXITED(status) || WIFSIGNALED(status)) {
			w->ended = true;
			w->status = status;
		}
	}
}

void
worker_tell(struct worker *w, int status)
{
	w->stopped = WIFSTOPPED(status);
	if (w->ended || !(WIFEXITED(status) || WIFSIGNALED(status)))
		return;
	w->told = true;
	w->status = status;
}

/* How a process ended that somebody has reaped. Linux 6.15. */
static bool
ask_pidfd(int pidfd, int *ret_status)
{
	struct exit_info info = { .mask = PIDFD_INFO_EXIT };
	if (ioctl(pidfd, PIDFD_GET_INFO, &info) < 0 || !(info.mask & PIDFD_INFO_EXIT))
		return false;
	*ret_status = info.exit_code;
	return true;
}

bool
worker_settle(struct worker *w)
{
	if (!w->born) {
		worker_reap(w);
		w->ended = true;
		return true;
	}
	if (w->settle_ms == 0)
		w->settle_ms = clock_ms() + WORKER_SETTLE_MS;
	if (!w->told)
		w->told = ask_pidfd(w->pidfd, &w->status);
	if (!w->told && clock_ms() < w->settle_ms)
		return false;
	w->ended = true;
	w->unknown = !w->told;
	return true;
}

void
worker_close(struct worker *w)
{
	signal_group(w, SIGKILL);
	worker_signal_alone(w, SIGKILL, NULL);
	fd_close(&w->pidfd);
	fd_close(&w->link);
	fd_close(&w->answers);
	fd_close(&w->bell);
	fd_close(&w->lifeline);
	fd_close(&w->crash);
	fd_close(&w->pipes[0]);
	fd_close(&w->pipes[1]);
	shared_unmap(w->shared);
	w->shared = NULL;
	frame_reader_free(&w->reader);
	unsent_free(&w->outgoing);
	unsent_free(&w->unasked);
}
