/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A worker that is not our child: signals that cannot hit a stranger, and how it ended. Here it is our child all the same, which
 * nobody tells kernel/front/worker.c.
 */
#include "unit.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "front/worker.h"

#define DEADLINE_MS 10000

static long long now_ms = 1000;

long long __wrap_clock_ms(void);

long long
__wrap_clock_ms(void)
{
	return now_ms;
}

static size_t moved; /* bytes that buffers have moved to their beginning */

void __real_buf_consume(struct buf *b, size_t n);
void __wrap_buf_consume(struct buf *b, size_t n);

void
__wrap_buf_consume(struct buf *b, size_t n)
{
	moved += n == 0 ? 0 : b->size - n;
	__real_buf_consume(b, n);
}

static bool
kernel_is_at_least(int major, int minor)
{
	struct utsname name;
	int has_major = 0, has_minor = 0;
	uname(&name);
	sscanf(name.release, "%d.%d", &has_major, &has_minor);
	return has_major > major || (has_major == major && has_minor >= minor);
}

static void
wait_for_ever(void)
{
	for (;;)
		pause();
}

/* A leader of a session and group with one process in it, which holds `life`: end of file tells that both are gone. */
static struct worker
make_worker(int *ret_life)
{
	int life[2], ready[2];
	char byte;
	assert_int_equal(pipe(life), 0);
	assert_int_equal(pipe(ready), 0);
	struct worker w = WORKER_INIT;
	w.pid = fork();
	if (w.pid == 0) {
		close(life[0]);
		setsid();
		if (fork() == 0) {
			signal(SIGUSR1, SIG_IGN);
			ssize_t ignored = write(ready[1], "x", 1);
			(void)ignored;
		}
		wait_for_ever();
	}
	w.born = true;
	w.pidfd = (int)syscall(SYS_pidfd_open, w.pid, 0);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	close(life[1]);
	*ret_life = life[0];
	return w;
}

static void
assert_everybody_is_gone(int life)
{
	char byte;
	assert_int_equal(fd_wait_readable(life, DEADLINE_MS), 1);
	assert_int_equal(read(life, &byte, 1), 0);
	close(life);
}

static void
end(struct worker *w, int number)
{
	kill(w->pid, number);
	assert_int_equal(fd_wait_readable(w->pidfd, DEADLINE_MS), 1);
}

static void
test_signal_reaches_the_group(void **state)
{
	(void)state;
	int life;
	struct worker w = make_worker(&life);
	worker_signal(&w, SIGKILL);
	assert_everybody_is_gone(life);
	waitpid(w.pid, NULL, 0);
	worker_close(&w);
}

static void
test_signal_alone(void **state)
{
	(void)state;
	int life;
	struct worker w = make_worker(&life);
	worker_signal_alone(&w, SIGUSR1, NULL);
	assert_int_equal(fd_wait_readable(w.pidfd, DEADLINE_MS), 1);
	assert_int_equal(fd_wait_readable(life, 0), 0); /* the other one lives */
	worker_close(&w);                               /* until now */
	assert_everybody_is_gone(life);
	waitpid(w.pid, NULL, 0);
}

/* What a dead worker started is ended although somebody has reaped the worker. */
static void
test_group_of_a_reaped_leader(void **state)
{
	(void)state;
	int life;
	struct worker w = make_worker(&life);
	end(&w, SIGKILL);
	waitpid(w.pid, NULL, 0);
	w.ended = true;
	pid_t member = w.pid;
	worker_signal(&w, SIGKILL);
	if (!kernel_is_at_least(6, 9))
		kill(-member, SIGKILL); /* cannot be done safely there */
	assert_everybody_is_gone(life);
	worker_close(&w);
}

static void
test_no_group_of_its_own_yet(void **state)
{
	(void)state;
	struct worker w = WORKER_INIT;
	w.pid = fork();
	if (w.pid == 0)
		wait_for_ever();
	w.born = true;
	w.pidfd = (int)syscall(SYS_pidfd_open, w.pid, 0);
	worker_signal(&w, SIGTERM);
	int status;
	assert_int_equal(waitpid(w.pid, &status, 0), w.pid);
	assert_int_equal(status, SIGTERM);
	worker_signal(&w, SIGTERM); /* its number may be anybody's now; we are in its group, and live */
	worker_close(&w);
}

static void
test_nobody_to_signal(void **state)
{
	(void)state;
	struct worker w = WORKER_INIT;
	worker_signal(&w, SIGKILL); /* with a pid of 0 that would be us */
	worker_signal_alone(&w, SIGKILL, NULL);
	worker_close(&w);
}

static void
test_status_from_the_system(void **state)
{
	(void)state;
	static const int ends[] = { SIGKILL, SIGTERM };
	for (size_t i = 0; i < 2; i++) {
		int life;
		struct worker w = make_worker(&life);
		end(&w, ends[i]);
		assert_false(worker_settle(&w)); /* not reaped: nobody knows */
		assert_false(w.ended);
		waitpid(w.pid, NULL, 0);
		now_ms += WORKER_SETTLE_RETRY_MS;
		if (kernel_is_at_least(6, 15)) {
			assert_true(worker_settle(&w));
			assert_true(w.ended && w.told && !w.unknown);
			assert_int_equal(w.status, ends[i]);
		}
		worker_signal(&w, SIGKILL);
		worker_close(&w);
		assert_everybody_is_gone(life);
	}
}

static void
test_status_that_nobody_knows(void **state)
{
	(void)state;
	int life;
	struct worker w = make_worker(&life);
	end(&w, SIGKILL);
	assert_false(worker_settle(&w));
	now_ms += WORKER_SETTLE_MS - 1;
	assert_false(worker_settle(&w));
	now_ms++;
	assert_true(worker_settle(&w));
	assert_true(w.ended && w.unknown);
	waitpid(w.pid, NULL, 0);
	worker_close(&w);
	assert_everybody_is_gone(life);
}

static void
test_our_own_child_is_reaped_by_us(void **state)
{
	(void)state;
	int life;
	struct worker w = make_worker(&life);
	w.born = false;
	end(&w, SIGTERM);
	assert_true(worker_settle(&w));
	assert_true(w.ended && !w.unknown);
	assert_int_equal(w.status, SIGTERM);
	assert_int_equal(waitpid(w.pid, NULL, WNOHANG), -1);
	worker_close(&w);
	assert_everybody_is_gone(life);
}

/* Read what is there into `got`, which holds *size bytes. */
static void
read_link(int fd, char *got, size_t maximum, size_t *size)
{
	ssize_t n = recv(fd, got + *size, maximum - *size, MSG_DONTWAIT);
	assert_true(n > 0);
	*size += (size_t)n;
}

/* A large message crosses in many small steps. What that costs grows with the message, not with its square. */
static void
test_bytes_on_the_link_are_not_moved_again_and_again(void **state)
{
	(void)state;
	enum { PARTS = 1000, PART_SIZE = 8000, TOTAL = sizeof(struct frame_header) + PARTS * (4 + PART_SIZE) };
	static char bytes[PARTS][PART_SIZE], got[2 * TOTAL];
	struct frame_part parts[PARTS];
	struct frame_header header = { .type = FRAME_REQUEST };
	struct worker w = WORKER_INIT;
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	w.link = fds[0];
	for (size_t i = 0; i < PARTS; i++) {
		memset(bytes[i], (int)i, PART_SIZE);
		parts[i] = (struct frame_part){ bytes[i], PART_SIZE };
	}
	size_t size = 0;
	assert_works(worker_send(&w, &header, parts, PARTS, &e));
	while (size < TOTAL / 2) {
		read_link(fds[1], got, sizeof got, &size);
		worker_flush(&w);
	}
	assert_works(worker_send(&w, &header, parts, PARTS, &e)); /* behind one that is half sent */
	while (size < sizeof got) {
		read_link(fds[1], got, sizeof got, &size);
		worker_flush(&w);
	}
	assert_int_equal(w.outgoing.bytes.size, 0);
	assert_memory_equal(got, got + TOTAL, TOTAL);
	for (size_t i = 0; i < PARTS; i++)
		assert_memory_equal(got + TOTAL - (PARTS - i) * PART_SIZE, bytes[i], PART_SIZE);
	assert_true(moved <= sizeof got);
	worker_close(&w);
	close(fds[1]);
}

/* The worker's code has closed its end: what cannot be sent is not kept, or the loop would try again for ever. */
static void
test_bytes_that_nobody_will_read_are_dropped(void **state)
{
	(void)state;
	static char bytes[1024 * 1024];
	struct frame_part part = { bytes, sizeof bytes };
	struct frame_header reply = { .type = FRAME_INPUT_REPLY }, request = { .type = FRAME_REQUEST };
	struct worker w = WORKER_INIT;
	int links[2], answers[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, links), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, answers), 0);
	w.link = links[0];
	w.answers = answers[0];
	assert_works(worker_send(&w, &request, &part, 1, &e));
	assert_works(worker_answer(&w, &reply, &part, 1, &e));
	assert_true(w.outgoing.bytes.size > 0 && w.unasked.bytes.size > 0);
	close(links[1]);
	close(answers[1]);
	worker_flush(&w);
	assert_int_equal(w.outgoing.bytes.size, 0);
	assert_int_equal(w.unasked.bytes.size, 0);
	assert_works(worker_answer(&w, &reply, &part, 1, &e));
	assert_int_equal(w.unasked.bytes.size, 0);
	worker_close(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signal_reaches_the_group),
		cmocka_unit_test(test_signal_alone),
		cmocka_unit_test(test_group_of_a_reaped_leader),
		cmocka_unit_test(test_no_group_of_its_own_yet),
		cmocka_unit_test(test_nobody_to_signal),
		cmocka_unit_test(test_status_from_the_system),
		cmocka_unit_test(test_status_that_nobody_knows),
		cmocka_unit_test(test_our_own_child_is_reaped_by_us),
		cmocka_unit_test(test_bytes_on_the_link_are_not_moved_again_and_again),
		cmocka_unit_test(test_bytes_that_nobody_will_read_are_dropped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
