/* SPDX-License-Identifier: BSD-3-Clause */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/fd.h"

static void
test_close_once_and_keep_errno(void **state)
{
	(void)state;
	int fds[2];
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	int fd = fds[0];
	errno = EXDEV;
	fd_close(&fd);
	assert_int_equal(fd, -1);
	fd_close(&fd);
	assert_int_equal(errno, EXDEV);
	assert_int_equal(fcntl(fds[0], F_GETFD), -1);
	fd_close(&fds[1]);
}

static void
test_nonblocking_on_and_off(void **state)
{
	(void)state;
	int fds[2];
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_works(fd_set_nonblocking(fds[0], 1, &e));
	assert_true(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
	assert_works(fd_set_nonblocking(fds[0], 0, &e));
	assert_false(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
	fd_close(&fds[0]);
	fd_close(&fds[1]);
	assert_fails(fd_set_nonblocking(-1, 1, &e), ERR_SYSTEM);
}

static void
test_write_all_and_its_failures(void **state)
{
	(void)state;
	int fds[2];
	char got[16] = { 0 };
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_works(fd_write_all(fds[1], "hello", 5, &e));
	assert_works(fd_write_all(fds[1], NULL, 0, &e));
	assert_int_equal(read(fds[0], got, sizeof got), 5);
	assert_string_equal(got, "hello");
	fd_close(&fds[0]);
	assert_fails(fd_write_all(fds[1], "x", 1, &e), ERR_CLOSED);
	fd_close(&fds[1]);
	assert_fails(fd_write_all(-1, "x", 1, &e), ERR_SYSTEM);
}

static void
ignore_signal(int number)
{
	(void)number;
}

/* Signals every millisecond, without SA_RESTART: blocking calls are interrupted over and over. */
static void
set_interruptions(int on)
{
	struct sigaction action = { .sa_handler = ignore_signal };
	struct itimerval timer = { { 0, on ? 1000 : 0 }, { 0, on ? 1000 : 0 } };
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

static void
test_waiting(void **state)
{
	(void)state;
	int fds[2];
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(fd_wait_readable(fds[0], 0), 0);
	set_interruptions(1);
	assert_int_equal(fd_wait_readable(fds[0], 10000), -1);
	set_interruptions(0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	assert_int_equal(fd_wait_readable(fds[0], -1), 1);
	char byte;
	assert_int_equal(read(fds[0], &byte, 1), 1);
	fd_close(&fds[1]);
	assert_int_equal(fd_wait_readable(fds[0], -1), 1);
	fd_close(&fds[0]);
}

static void
test_clock_runs_forward(void **state)
{
	(void)state;
	long long before = clock_ms();
	int fds[2];
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(fd_wait_readable(fds[0], 20), 0);
	long long passed = clock_ms() - before;
	assert_true(passed >= 19 && passed < 10000);
	fd_close(&fds[0]);
	fd_close(&fds[1]);
}

int
main(void)
{
	signal(SIGPIPE, SIG_IGN);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_close_once_and_keep_errno),  cmocka_unit_test(test_nonblocking_on_and_off),
		cmocka_unit_test(test_write_all_and_its_failures), cmocka_unit_test(test_waiting),
		cmocka_unit_test(test_clock_runs_forward),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
