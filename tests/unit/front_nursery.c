/* SPDX-License-Identifier: BSD-3-Clause
 *
 * kernel/front/nursery.c against a listener that is this test itself: what it asks, and what it makes of every answer.
 */
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
static uid_t peer_uid;

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

static int
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
static void
make_child(void)
{
	t.child = fork();
	if (t.child == 0) {
		for (;;)
			pause();
	}
}

static int
open_child(void)
{
	return (int)syscall(SYS_pidfd_open, t.child, 0);
}

static int
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

static int
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
static void
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

static void
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
static void
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

static struct nursery_answer
answer(enum nursery_op op)
{
	return (struct nursery_answer){
		.magic = NURSERY_MAGIC, .version = NURSERY_VERSION, .op = (uint16_t)op, .id = t.request.id
	};
}

static void
say_op(enum nursery_op op)
{
	struct nursery_answer a = answer(op);
	say(&a, sizeof a, NULL, 0);
}

static void
say_changed(int status)
{
	struct nursery_answer a = answer(NURSERY_CHANGED);
	a.pid = t.child;
	a.status = status;
	say(&a, sizeof a, NULL, 0);
}

static void
say_forked(void)
{
	FD_AUTO pidfd = open_child();
	struct nursery_answer a = answer(NURSERY_FORKED);
	a.pid = t.child;
	say(&a, sizeof a, &pidfd, 1);
}

static void
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

static void
assert_lost(unsigned reason)
{
	assert_int_equal(t.nursery.stage, ASK_LOST);
	assert_int_equal(t.nursery.reason, reason);
	assert_int_equal(t.nursery.connection, -1);
	assert_int_equal(nursery_due(&t.nursery), 0);
}

static void
assert_never_begun(unsigned reason)
{
	assert_false(nursery_begin(&t.nursery, &t.ends, PYTHON));
	assert_int_equal(t.nursery.stage, ASK_NONE);
	assert_int_equal(t.nursery.reason, reason);
	assert_int_equal(t.nursery.connection, -1);
	for (int i = 0; i < NURSERY_FD_COUNT; i++)
		assert_int_equal(t.nursery.fds[i], -1);
	for (int i = 0; i < ENDS_COUNT; i++)
		assert_true(fcntl(t.ends.fds[i], F_GETFD) >= 0);
}

/* --- places --- */

static void
test_places(void **state)
{
	(void)state;
	struct sockaddr_un place;
	char path[200];
	assert_int_equal(nursery_place(0, &place), 1);
	assert_string_equal(place.sun_path, t.place.sun_path);
	assert_int_equal(nursery_place(1, &place), -1);
	static const char *const nowhere[] = { "", "off" };
	for (size_t i = 0; i < 2; i++) {
		setenv(NURSERY_SOCKET_VARIABLE, nowhere[i], 1);
		assert_int_equal(nursery_place(0, &place), 0);
		assert_int_equal(nursery_place(1, &place), -1);
	}
	memset(path, 'x', sizeof path);
	path[sizeof path - 1] = '\0';
	setenv(NURSERY_SOCKET_VARIABLE, path, 1);
	assert_int_equal(nursery_place(0, &place), 0);
}

static void
test_places_by_default(void **state)
{
	(void)state;
	struct sockaddr_un place;
	unsetenv(NURSERY_SOCKET_VARIABLE);
	assert_int_equal(nursery_place(0, &place), 0);
	setenv("XDG_RUNTIME_DIR", "relative", 1);
	assert_int_equal(nursery_place(0, &place), 0);
	setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
	assert_int_equal(nursery_place(0, &place), 1);
	assert_string_equal(place.sun_path, "/run/user/7/pupitre/nursery.sock");
	assert_int_equal(nursery_place(1, &place), 1);
	assert_string_equal(place.sun_path, "/run/pupitre/nursery.sock");
	assert_int_equal(nursery_place(2, &place), -1);
}

/* --- before anything is sent --- */

static void
test_no_socket(void **state)
{
	(void)state;
	assert_never_begun(NURSERY_NO_NURSERY);
}

static void
test_nobody_listens(void **state)
{
	(void)state;
	int fd = listen_at(t.place.sun_path, 1);
	fd_close(&fd);
	assert_never_begun(NURSERY_NO_NURSERY);
}

static void
test_somebody_elses_socket(void **state)
{
	(void)state;
	t.listener = listen_at(t.place.sun_path, 4);
	peer_uid = geteuid() + 1;
	assert_never_begun(NURSERY_NO_NURSERY);
	t.connection = accept4(t.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	char byte;
	assert_int_equal(recv(t.connection, &byte, 1, 0), 0); /* and not a word was said */
}

static void
test_roots_socket(void **state)
{
	(void)state;
	peer_uid = 0;
	begin();
}

static void
test_environment_stands_in_the_way(void **state)
{
	(void)state;
	t.listener = listen_at(t.place.sun_path, 4);
	setenv("PYTHONHASHSEED", "0", 1);
	assert_never_begun(NURSERY_ENVIRONMENT);
	assert_int_equal(accept4(t.listener, NULL, NULL, 0), -1);
}

static void
test_no_such_python(void **state)
{
	(void)state;
	t.listener = listen_at(t.place.sun_path, 4);
	assert_false(nursery_begin(&t.nursery, &t.ends, "no-such-python"));
	assert_int_equal(t.nursery.reason, NURSERY_OTHER_PYTHON);
}

/* --- the request --- */

static void
test_request(void **state)
{
	(void)state;
	struct nursery_interpreter python;
	struct stat given, own;
	begin();
	assert_int_equal(t.request.magic, NURSERY_MAGIC);
	assert_int_equal(t.request.version, NURSERY_VERSION);
	assert_int_equal(t.request.op, NURSERY_START);
	assert_true(t.request.id != 0);
	assert_string_equal(t.request.build, NURSERY_BUILD);
	assert_int_equal(nursery_interpreter_of(PYTHON, &python), 0);
	assert_memory_equal(&t.request.python, &python, sizeof python);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(t.request.reserved[i], 0);
	assert_int_equal(t.fd_count, NURSERY_FD_COUNT);
	assert_int_equal(fstat(t.fds[NURSERY_FD_CWD], &given), 0);
	assert_int_equal(stat(".", &own), 0);
	assert_true(given.st_ino == own.st_ino && given.st_dev == own.st_dev);
	assert_int_equal(write(t.fds[NURSERY_FD_OUT], "x", 1), 1);
	char byte = 0;
	assert_int_equal(read(t.worker.pipes[0], &byte, 1), 1);
	assert_int_equal(byte, 'x');
	for (int i = 0; i < ENDS_COUNT; i++)
		assert_int_equal(t.ends.fds[i], -1);
}

static void
test_payload(void **state)
{
	(void)state;
	struct nursery_payload header;
	struct stat st;
	char text[4096];
	setenv("PUPITRE_PYTHON", "/somewhere/else", 1);
	setenv("EMPTY", "", 1);
	mode_t before = umask(027);
	begin();
	assert_int_equal(umask(before), 027);
	int fd = t.fds[NURSERY_FD_PAYLOAD];
	assert_int_equal(fcntl(fd, F_GET_SEALS), F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	assert_int_equal(pread(fd, &header, sizeof header, 0), sizeof header);
	assert_int_equal(header.magic, NURSERY_MAGIC);
	assert_int_equal(header.version, NURSERY_VERSION);
	assert_int_equal(header.umask, 027);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, sizeof header + header.size);
	assert_int_equal(pread(fd, text, sizeof text, sizeof header), header.size);
	uint32_t count = 0;
	bool python = false, empty = false;
	for (const char *at = text; at < text + header.size; at += strlen(at) + 1, count++) {
		assert_string_not_equal(at, "PUPITRE_PYTHON=/somewhere/else");
		python = python || strcmp(at, "PUPITRE_PYTHON=" PYTHON) == 0;
		empty = empty || strcmp(at, "EMPTY=") == 0;
	}
	assert_int_equal(count, header.count);
	assert_true(python && empty);
}

static void
test_directory_that_is_gone(void **state)
{
	(void)state;
	char dir[] = "/tmp/pupitre-XXXXXX";
	FD_AUTO back = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(rmdir(dir), 0);
	begin();
	assert_int_equal(fchdir(back), 0);
	assert_int_equal(t.fd_count, NURSERY_FD_COUNT);
}

/* --- a listener that has too much to do --- */

static int waiting[64]; /* connections nobody accepts */

static size_t
fill_backlog(void)
{
	size_t count = 0;
	while (count < 64) {
		waiting[count] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		int result = connect(waiting[count++], (struct sockaddr *)&t.place, sizeof t.place);
		if (result < 0)
			return count;
	}
	fail_msg("a backlog without end");
	return count;
}

static void
empty_backlog(size_t count)
{
	for (int fd; (fd = accept4(t.listener, NULL, NULL, SOCK_CLOEXEC)) >= 0;)
		close(fd);
	for (size_t i = 0; i < count; i++)
		fd_close(&waiting[i]);
}

static void
test_full_backlog(void **state)
{
	(void)state;
	t.listener = listen_at(t.place.sun_path, 0);
	size_t count = fill_backlog();
	assert_true(nursery_begin(&t.nursery, &t.ends, PYTHON));
	assert_int_equal(t.nursery.stage, ASK_CONNECTING);
	assert_int_equal(nursery_due(&t.nursery), now_ms + ASK_CONNECT_RETRY_MS);
	assert_true(nursery_is_expecting(&t.nursery) && nursery_holds_text(&t.nursery));
	nursery_tick(&t.nursery);
	assert_int_equal(t.nursery.stage, ASK_CONNECTING);
	now_ms += ASK_CONNECT_MS - 2 * ASK_CONNECT_RETRY_MS;
	nursery_tick(&t.nursery);
	assert_int_equal(t.nursery.stage, ASK_CONNECTING);
	empty_backlog(count);
	now_ms = nursery_due(&t.nursery);
	nursery_tick(&t.nursery);
	assert_int_equal(t.nursery.stage, ASK_SENT);
}

static void
test_full_backlog_for_too_long(void **state)
{
	(void)state;
	t.listener = listen_at(t.place.sun_path, 0);
	size_t count = fill_backlog();
	assert_true(nursery_begin(&t.nursery, &t.ends, PYTHON));
	now_ms += ASK_CONNECT_MS;
	nursery_tick(&t.nursery);
	assert_lost(NURSERY_NO_ANSWER);
	empty_backlog(count);
}

/* --- answers --- */

static void
test_refused(void **state)
{
	(void)state;
	for (uint16_t reason = 1; reason < NURSERY_REASON_COUNT; reason++) {
		for (enum ask_stage stage = ASK_SENT; stage <= ASK_FORKED; stage++) {
			reach(stage);
			struct nursery_answer a = answer(NURSERY_REFUSED);
			a.reason = reason;
			say(&a, sizeof a, NULL, 0);
			assert_lost(reason);
			tear_down(state);
			set_up(state);
		}
	}
}

static void
test_born(void **state)
{
	(void)state;
	reach(ASK_QUEUED);
	assert_int_equal(nursery_due(&t.nursery), now_ms + ASK_FORKED_MS);
	say_forked();
	assert_int_equal(t.nursery.stage, ASK_FORKED);
	assert_int_equal(t.worker.pid, t.child);
	assert_true(t.worker.born && t.worker.pidfd >= 0);
	assert_true(fcntl(t.worker.pidfd, F_GETFD) & FD_CLOEXEC);
	for (int i = 0; i < NURSERY_FD_COUNT; i++)
		assert_int_equal(t.nursery.fds[i], -1);
	assert_false(nursery_is_expecting(&t.nursery));
	assert_true(nursery_holds_text(&t.nursery));
	assert_int_equal(nursery_due(&t.nursery), now_ms + ASK_HOLD_MS);
	now_ms += ASK_HOLD_MS;
	assert_false(nursery_holds_text(&t.nursery));
	assert_int_equal(nursery_due(&t.nursery), now_ms - ASK_HOLD_MS + ASK_HELLO_MS);
	nursery_hello(&t.nursery);
	assert_int_equal(t.nursery.stage, ASK_DONE);
	assert_int_equal(nursery_due(&t.nursery), 0);
	assert_true(t.nursery.connection >= 0);
	nursery_lose(&t.nursery, NURSERY_NO_ANSWER);
	assert_int_equal(t.nursery.stage, ASK_DONE);
}

static void
test_born_without_having_queued(void **state)
{
	(void)state;
	begin();
	say_forked();
	assert_int_equal(t.nursery.stage, ASK_FORKED);
}

static void
test_silence(void **state)
{
	(void)state;
	static const int deadlines[] = {
		[ASK_SENT] = ASK_QUEUED_MS, [ASK_QUEUED] = ASK_FORKED_MS, [ASK_FORKED] = ASK_HELLO_MS
	};
	for (enum ask_stage stage = ASK_SENT; stage <= ASK_FORKED; stage++) {
		reach(stage);
		now_ms += deadlines[stage] - 1;
		nursery_tick(&t.nursery);
		assert_int_equal(t.nursery.stage, stage);
		now_ms++;
		nursery_tick(&t.nursery);
		assert_lost(NURSERY_NO_ANSWER);
		char byte;
		assert_int_equal(recv(t.connection, &byte, 1, 0), 0); /* so that the listener knows */
		tear_down(state);
		set_up(state);
	}
}

static void
test_hang_up(void **state)
{
	(void)state;
	for (enum ask_stage stage = ASK_SENT; stage <= ASK_DONE; stage++) {
		reach(stage);
		fd_close(&t.connection);
		nursery_serve(&t.nursery, &t.worker);
		assert_int_equal(t.nursery.connection, -1);
		if (stage < ASK_FORKED)
			assert_lost(NURSERY_NO_ANSWER);
		else
			assert_int_equal(t.nursery.stage, stage); /* the worker lives, and may still say HELLO */
		tear_down(state);
		set_up(state);
	}
}

static void
test_forked_with_what_is_no_pidfd_of_the_worker(void **state)
{
	(void)state;
	for (int i = 0; i < 6; i++) {
		reach(ASK_QUEUED);
		FD_AUTO pidfd = open_child();
		FD_AUTO own = (int)syscall(SYS_pidfd_open, getpid(), 0);
		FD_AUTO null = open("/dev/null", O_RDONLY | O_CLOEXEC);
		const int fds[][5] = { { -1 },           { null },  { own },
				       { pidfd, pidfd }, { pidfd }, { pidfd, pidfd, pidfd, pidfd, pidfd } };
		static const size_t counts[] = { 0, 1, 1, 2, 1, 5 };
		struct nursery_answer a = answer(NURSERY_FORKED);
		a.pid = i == 4 ? 0 : t.child;
		say(&a, sizeof a, fds[i], counts[i]);
		assert_lost(NURSERY_NO_ANSWER);
		assert_int_equal(t.worker.pid, 0);
		assert_int_equal(t.worker.pidfd, -1);
		tear_down(state);
		set_up(state);
	}
}

static void
test_two_workers(void **state)
{
	(void)state;
	reach(ASK_FORKED);
	say_forked();
	assert_lost(NURSERY_NO_ANSWER);
	assert_int_equal(t.worker.pid, t.child); /* to be killed by whoever gives up */
}

static void
test_nonsense(void **state)
{
	(void)state;
	for (int i = 0; i < 9; i++) {
		reach(ASK_QUEUED);
		struct nursery_answer a[2] = { answer(NURSERY_REFUSED) };
		size_t size = sizeof *a;
		a->magic += i == 0;
		a->version = (uint16_t)(a->version + (i == 1));
		a->id += i == 2;
		a->op = (uint16_t)(i == 3 ? 9999 : i == 4 ? NURSERY_QUEUED : i == 5 ? NURSERY_CHANGED : a->op);
		size -= i == 6;
		size += i == 7;
		size = i == 8 ? 1 : size;
		a->reason = NURSERY_FULL;
		say(a, size, NULL, 0);
		assert_lost(NURSERY_NO_ANSWER);
		tear_down(state);
		set_up(state);
	}
}

static void
test_nonsense_while_the_worker_works(void **state)
{
	(void)state;
	reach(ASK_DONE);
	say("what?", 5, NULL, 0);
	say_op(NURSERY_QUEUED);
	say_op(NURSERY_REFUSED);
	say_forked();
	assert_int_equal(t.nursery.stage, ASK_DONE);
	say_changed(0x137f);
	assert_true(t.worker.stopped);
}

/* --- how it changes --- */

static void
test_changes(void **state)
{
	(void)state;
	reach(ASK_DONE);
	struct nursery_answer other = answer(NURSERY_CHANGED);
	other.pid = t.child + 1;
	other.status = SIGKILL;
	say(&other, sizeof other, NULL, 0);
	assert_false(t.worker.told);
	say_changed(0x137f); /* SIGSTOP */
	assert_true(t.worker.stopped && !t.worker.told);
	say_changed(0xffff); /* SIGCONT */
	assert_false(t.worker.stopped || t.worker.told);
	say_changed(0x0300); /* exit status 3 */
	assert_true(t.worker.told && !t.worker.ended);
	assert_true(worker_settle(&t.worker));
	assert_true(t.worker.ended && !t.worker.unknown);
	assert_int_equal(t.worker.status, 0x0300);
}

static void
test_everything_at_once(void **state)
{
	(void)state;
	begin();
	FD_AUTO pidfd = open_child();
	struct nursery_answer a[] = { answer(NURSERY_QUEUED), answer(NURSERY_FORKED), answer(NURSERY_CHANGED) };
	a[1].pid = a[2].pid = t.child;
	a[2].status = SIGSEGV;
	assert_int_equal(send(t.connection, &a[0], sizeof *a, 0), sizeof *a);
	char control[CMSG_SPACE(sizeof pidfd)] = { 0 };
	struct iovec bytes = { &a[1], sizeof *a };
	struct msghdr message = {
		.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	*c = (struct cmsghdr){ CMSG_LEN(sizeof pidfd), SOL_SOCKET, SCM_RIGHTS };
	memcpy(CMSG_DATA(c), &pidfd, sizeof pidfd);
	assert_int_equal(sendmsg(t.connection, &message, 0), sizeof *a);
	say(&a[2], sizeof *a, NULL, 0);
	assert_int_equal(t.nursery.stage, ASK_FORKED);
	assert_true(t.worker.told);
	assert_int_equal(t.worker.status, SIGSEGV);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_places, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_places_by_default, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_socket, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nobody_listens, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_somebody_elses_socket, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_roots_socket, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_environment_stands_in_the_way, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_such_python, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_request, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_payload, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_directory_that_is_gone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_full_backlog, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_full_backlog_for_too_long, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_born, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_born_without_having_queued, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_silence, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_hang_up, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_forked_with_what_is_no_pidfd_of_the_worker, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_two_workers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nonsense, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nonsense_while_the_worker_works, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_changes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_everything_at_once, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
