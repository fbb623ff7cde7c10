/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "nursery/datagram.h"
#include "nursery/heap/heap.h"
#include "template.h"

#define NANOSECONDS 1000000000LL /* of a second */

int
template_report(struct template *t, struct nursery_report *report, int fd)
{
	report->magic = NURSERY_MAGIC;
	report->version = NURSERY_VERSION;
	while (datagram_send(t->socket, report, sizeof *report, &fd, fd >= 0) < 0) {
		struct pollfd room = { .fd = t->socket, .events = POLLOUT };
		if (errno != EAGAIN && errno != EINTR)
			return -1;
		poll(&room, 1, -1);
	}
	return 0;
}

static bool
is_stale(const struct template *t)
{
	for (size_t i = 0; i < t->watched_count; i++) {
		const struct watched *w = &t->watched[i];
		struct stat now;
		if (stat(w->path, &now) < 0 || now.st_ino != w->ino ||
		    now.st_mtim.tv_sec * NANOSECONDS + now.st_mtim.tv_nsec != w->mtime_ns)
			return true;
	}
	return false;
}

static void
refuse(struct template *t, uint64_t id, enum nursery_reason reason, const char *text)
{
	struct nursery_report report = { .op = NURSERY_FAILED, .id = id, .reason = (uint16_t)reason };
	snprintf(report.text, sizeof report.text, "%s", text);
	template_report(t, &report, -1);
}

static uint32_t
microseconds_since(const struct timespec *then)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint32_t)((now.tv_sec - then->tv_sec) * 1000000 + (now.tv_nsec - then->tv_nsec) / 1000);
}

/* Fork for the order. The pid and everything that may be inherited are settled here; the rest is the child's. */
static void
fork_worker(struct template *t, const struct nursery_order *order, const int *fds)
{
	struct timespec begin;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	pid_t *live = reallocarray(t->live, t->live_count + 1, sizeof *live);
	if (live == NULL) {
		refuse(t, order->id, NURSERY_NO_MEMORY, "");
		return;
	}
	t->live = live;
	PyOS_BeforeFork();
	pid_t pid = fork();
	if (pid == 0)
		child_run(order, fds);
	int failure = errno;
	PyOS_AfterFork_Parent();
	if (pid < 0) {
		refuse(t, order->id, NURSERY_NO_MEMORY, strerror(failure));
		return;
	}
	t->live[t->live_count++] = pid;
	t->renew_ms = t->idle_ms == 0 ? 0 : clock_ms() + t->idle_ms;
	struct nursery_report report = {
		.op = NURSERY_FORKED, .id = order->id, .pid = pid, .fork_us = microseconds_since(&begin)
	};
	FD_AUTO pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0) {
		kill(pid, SIGKILL);
		refuse(t, order->id, NURSERY_NO_MEMORY, "pidfd_open");
		return;
	}
	template_report(t, &report, pidfd);
}

static void
serve_order(struct template *t, const struct nursery_order *order, const int *fds, size_t fd_count)
{
	if (order->magic != NURSERY_MAGIC || order->version != NURSERY_VERSION || order->op != NURSERY_FORK ||
	    order->placement.cgroup_count > NURSERY_CGROUPS_MAX ||
	    fd_count != NURSERY_ORDER_FDS + order->placement.cgroup_count)
		refuse(t, order->id, NURSERY_BAD_REQUEST, "the listener's order is malformed");
	else if (is_stale(t))
		refuse(t, order->id, NURSERY_STALE, "");
	else if (heap_count_threads() != 1)
		refuse(t, order->id, NURSERY_THREADS, "");
	else
		fork_worker(t, order, fds);
}

/* One order from the listener: 1, 0 at its end, -1 when there is none. */
static int
take_order(struct template *t)
{
	struct nursery_order order;
	struct datagram d;
	int got = datagram_receive(t->socket, &order, sizeof order, &d);
	if (got <= 0)
		return got;
	if (d.size == sizeof order)
		serve_order(t, &order, d.fds, d.fd_count);
	datagram_close(&d);
	return 1;
}

static uint64_t
time_of(const struct timeval *t)
{
	return (uint64_t)t->tv_sec * 1000000 + (uint64_t)t->tv_usec;
}

/* Its place among the workers, or live_count: user code can make children of ours, by clone(CLONE_PARENT). */
static size_t
find_worker(const struct template *t, pid_t pid)
{
	size_t at = 0;
	while (at < t->live_count && t->live[at] != pid)
		at++;
	return at;
}

/* Tell of every worker that stopped, went on or ended. */
static void
reap(struct template *t)
{
	for (;;) {
		int status;
		struct rusage used;
		pid_t pid = wait4(-1, &status, WNOHANG | WUNTRACED | WCONTINUED, &used);
		if (pid <= 0)
			return;
		size_t at = find_worker(t, pid);
		if (at == t->live_count)
			continue;
		struct nursery_report report = { .op = NURSERY_CHANGED, .pid = pid, .status = status };
		if (WIFEXITED(status) || WIFSIGNALED(status)) {
			t->live[at] = t->live[--t->live_count];
			report.user_us = time_of(&used.ru_utime);
			report.system_us = time_of(&used.ru_stime);
			report.peak_kib = (uint64_t)used.ru_maxrss;
		}
		template_report(t, &report, -1);
	}
}

/* How long poll may wait, in ms. Tells the listener, which then has another template made, when this one has been idle for long. */
static int
renew(struct template *t)
{
	if (t->renew_ms == 0)
		return -1;
	long long left = t->renew_ms - clock_ms();
	if (left > 0)
		return left < INT_MAX ? (int)left : INT_MAX;
	t->renew_ms = 0;
	refuse(t, 0, NURSERY_STALE, "");
	return -1;
}

int
template_serve(struct template *t)
{
	bool orders = true;
	while (orders || t->live_count > 0) {
		struct pollfd ready[] = { { .fd = t->signals, .events = POLLIN },
					  { .fd = orders ? t->socket : -1, .events = POLLIN } };
		if (poll(ready, 2, orders ? renew(t) : -1) < 0 && errno != EINTR)
			return 1;
		if (ready[0].revents != 0) {
			struct signalfd_siginfo ignored;
			while (read(t->signals, &ignored, sizeof ignored) > 0)
				continue;
			reap(t);
		}
		if (ready[1].revents != 0 && take_order(t) == 0)
			orders = false;
	}
	return 0;
}
