/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A test of kernel/front/nursery.c that is the listener itself: it takes the request, and says what it likes. Link with
 * --wrap=clock_ms and --wrap=getsockopt.
 */
#ifndef PUPITRE_TESTS_MIDWIFE_H
#define PUPITRE_TESTS_MIDWIFE_H

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "front/nursery.h"

#define PYTHON "/bin/sh" /* nobody runs it */
#define FDS_MAX 16

static long long now_ms;
static uid_t peer_uid; /* of whoever listens */

long long __wrap_clock_ms(void);
int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size);

long long
__wrap_clock_ms(void)
{
	return now_ms;
}

/* The uid of whoever listens. */
int
__wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
	int result = __real_getsockopt(fd, level, name, value, size);
	if (level == SOL_SOCKET && name == SO_PEERCRED)
		((struct ucred *)value)->uid = peer_uid;
	return result;
}

/* One request, and both sides of it. */
static struct {
	char dir[32];
	struct sockaddr_un place;
	int listener, connection; /* the listener's */
	struct nursery nursery;
	struct worker worker;
	struct ends ends;
	struct nursery_request request;
	int fds[FDS_MAX];
	size_t fd_count;
	pid_t child;
} t;

static inline int
listen_at(const char *path, int backlog)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	unlink(path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

/* A process that waits to be killed. Made first, so that it holds none of our ends. */
static inline void
make_child(void)
{
	t.child = fork();
	if (t.child == 0) {
		for (;;)
			pause();
	}
}

static inline int
open_child(void)
{
	return (int)syscall(SYS_pidfd_open, t.child, 0);
}

static inline int
set_up(void **state)
{
	(void)state;
	memset(&t, 0, sizeof t);
	make_child();
	now_ms = 1000;
	peer_uid = geteuid();
	strcpy(t.dir, "/tmp/pupitre-XXXXXX");
	if (mkdtemp(t.dir) == NULL)
		return -1;
	t.place.sun_family = AF_UNIX;
	snprintf(t.place.sun_path, sizeof t.place.sun_path, "%s/s", t.dir);
	clearenv();
	setenv("PATH", "/usr/bin:/bin", 1);
	setenv("LANG", "C.UTF-8", 1);
	setenv(NURSERY_SOCKET_VARIABLE, t.place.sun_path, 1);
	t.listener = t.connection = -1;
	t.nursery = NURSERY_INIT;
	t.worker = WORKER_INIT;
	struct err e = ERR_INIT;
	return ends_make(&t.worker, &t.ends, &e);
}

static inline int
tear_down(void **state)
{
	(void)state;
	kill(t.child, SIGKILL);
	waitpid(t.child, NULL, 0);
	t.worker.pid = 0;
	worker_close(&t.worker);
	nursery_close(&t.nursery);
	ends_close(&t.ends);
	for (size_t i = 0; i < t.fd_count; i++)
		fd_close(&t.fds[i]);
	fd_close(&t.connection);
	fd_close(&t.listener);
	unlink(t.place.sun_path);
	return rmdir(t.dir);
}

/* What the front has sent: t.request and t.fds. */
static inline void
receive_start(void)
{
	char control[CMSG_SPACE(FDS_MAX * sizeof(int))];
	struct iovec bytes = { &t.request, sizeof t.request };
	struct msghdr message = {
		.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
	};
	assert_int_equal(recvmsg(t.connection, &message, MSG_CMSG_CLOEXEC | MSG_TRUNC), sizeof t.request);
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	assert_non_null(c);
	t.fd_count = (c->cmsg_len - CMSG_LEN(0)) / sizeof *t.fds;
	memcpy(t.fds, CMSG_DATA(c), t.fd_count * sizeof *t.fds);
}

static inline void
begin(void)
{
	t.listener = listen_at(t.place.sun_path, 4);
	assert_true(nursery_begin(&t.nursery, &t.ends, PYTHON));
	assert_int_equal(t.nursery.stage, ASK_SENT);
	t.connection = accept4(t.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(t.connection >= 0);
	receive_start();
}

/* Send bytes with descriptors, and let the front look. */
static inline void
say(const void *data, size_t size, const int *fds, size_t count)
{
	char control[CMSG_SPACE(FDS_MAX * sizeof(int))] = { 0 };
	struct iovec bytes = { (void *)(uintptr_t)data, size };
	struct msghdr message = { .msg_iov = &bytes, .msg_iovlen = 1 };
	if (count > 0) {
		message.msg_control = control;
		message.msg_controllen = CMSG_SPACE(count * sizeof *fds);
		struct cmsghdr *c = CMSG_FIRSTHDR(&message);
		*c = (struct cmsghdr){ CMSG_LEN(count * sizeof *fds), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(c), fds, count * sizeof *fds);
	}
	assert_int_equal(sendmsg(t.connection, &message, MSG_NOSIGNAL), size);
	nursery_serve(&t.nursery, &t.worker);
}

static inline struct nursery_answer
answer(enum nursery_op op)
{
	return (struct nursery_answer){
		.magic = NURSERY_MAGIC, .version = NURSERY_VERSION, .op = (uint16_t)op, .id = t.request.id
	};
}

static inline void
say_op(enum nursery_op op)
{
	struct nursery_answer a = answer(op);
	say(&a, sizeof a, NULL, 0);
}

static inline void
say_changed(int status)
{
	struct nursery_answer a = answer(NURSERY_CHANGED);
	a.pid = t.child;
	a.status = status;
	say(&a, sizeof a, NULL, 0);
}

static inline void
say_forked(void)
{
	FD_AUTO pidfd = open_child();
	struct nursery_answer a = answer(NURSERY_FORKED);
	a.pid = t.child;
	say(&a, sizeof a, &pidfd, 1);
}

static inline void
reach(enum ask_stage stage)
{
	begin();
	if (stage >= ASK_QUEUED)
		say_op(NURSERY_QUEUED);
	if (stage >= ASK_FORKED)
		say_forked();
	if (stage >= ASK_DONE)
		nursery_hello(&t.nursery);
	assert_int_equal(t.nursery.stage, stage);
}

static inline void
assert_lost(unsigned reason)
{
	assert_int_equal(t.nursery.stage, ASK_LOST);
	assert_int_equal(t.nursery.reason, reason);
	assert_int_equal(t.nursery.connection, -1);
	assert_int_equal(nursery_due(&t.nursery), 0);
}

#endif
