/* SPDX-License-Identifier: BSD-3-Clause */
#include "nudge.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

#define FIRST_MS 10
#define NUDGES_MAX 10

static timer_t timer;
static bool has_timer;
static volatile sig_atomic_t left; /* nudges still to be sent; 0: no interrupt is pending */

static void
arm(long ms)
{
	const struct itimerspec when = { .it_value = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L } };
	timer_settime(timer, 0, &when, NULL);
}

/* Having arrived is its purpose: the system call that the main thread sits in has ended with EINTR. */
static void
on_nudge(int signum)
{
	(void)signum;
	int saved = errno;
	if (left > 0 && --left > 0)
		arm((long)FIRST_MS << (NUDGES_MAX - left));
	errno = saved;
}

int
nudge_init(struct err *e)
{
	struct sigaction action = { .sa_handler = on_nudge, .sa_flags = SA_ONSTACK };
	sigemptyset(&action.sa_mask);
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = NUDGE_SIGNAL };
	event._sigev_un._tid = gettid();
	if (sigaction(NUDGE_SIGNAL, &action, NULL) < 0)
		return err_system(e, "sigaction");
	has_timer =
		timer_create(CLOCK_MONOTONIC, &event, &timer) == 0; /* a user may have none left (RLIMIT_SIGPENDING) */
	return 0;
}

void
nudge_begin(void)
{
	if (!has_timer)
		return;
	left = NUDGES_MAX;
	arm(FIRST_MS);
}

/* Disarmed too: a nudge that came late would end a signal.pause() of the next cell. */
void
nudge_end(void)
{
	if (left == 0)
		return;
	left = 0;
	arm(0);
}
