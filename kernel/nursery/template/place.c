/* SPDX-License-Identifier: BSD-3-Clause */
#include "place.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/proc.h"

#define NUMBER_SIZE 32
#define IOPRIO_WHO_PROCESS 1
#define PERSONALITY_QUERY 0xffffffffUL
#define PROBE_STACK_SIZE 16384
#define STACK_WHEN_UNLIMITED ((uint64_t)2 << 20) /* of a thread, as glibc has it */

static int
differs(struct err *e, const char *what, long long is, long long wanted)
{
	return err_set(e, ERR_SYSTEM, "%s stayed %lld, not %lld", what, is, wanted);
}

static int
write_text(const char *path, const char *text)
{
	FD_AUTO fd = open(path, O_WRONLY | O_CLOEXEC);
	size_t size = strlen(text);
	return fd >= 0 && write(fd, text, size) == (ssize_t)size ? 0 : -1;
}

/* Make the number in a file of /proc `wanted`. */
static int
set_number(const char *path, int base, long long wanted, struct err *e)
{
	char text[NUMBER_SIZE];
	int64_t is = proc_number(AT_FDCWD, path, base, PROC_NO_NUMBER);
	if (is == wanted)
		return 0;
	snprintf(text, sizeof text, base == 16 ? "0x%llx" : "%lld", wanted);
	if (is != PROC_NO_NUMBER && write_text(path, text) < 0)
		return err_system(e, "writing %s to %s", text, path);
	if (is != PROC_NO_NUMBER)
		is = proc_number(AT_FDCWD, path, base, PROC_NO_NUMBER);
	if (is == PROC_NO_NUMBER)
		return err_system(e, "reading %s", path);
	return is == wanted ? 0 : differs(e, path, is, wanted);
}

int
place_in_cgroups(const struct nursery_placement *p, const int *procs_fds, struct err *e)
{
	if (p->cgroup_count > NURSERY_CGROUPS_MAX)
		return err_set(e, ERR_INVALID, "%" PRIu32 " cgroups", p->cgroup_count);
	for (uint32_t i = 0; i < p->cgroup_count; i++) {
		ssize_t n;
		do
			n = write(procs_fds[i], "0", 1);
		while (n < 0 && errno == EINTR);
		if (n != 1)
			return err_system(e, "joining cgroup %" PRIu32 " of %" PRIu32, i + 1, p->cgroup_count);
	}
	return 0;
}

struct schedule {
	int policy, priority, nice;
};

/* What a child of the caller would have. */
static struct schedule
schedule_of(const struct nursery_placement *p)
{
	struct schedule s = { p->policy, p->priority, p->nice };
	if ((s.policy & SCHED_RESET_ON_FORK) == 0)
		return s;
	s.policy &= ~SCHED_RESET_ON_FORK;
	if (s.policy == SCHED_FIFO || s.policy == SCHED_RR || s.policy == SCHED_DEADLINE)
		return (struct schedule){ SCHED_OTHER, 0, 0 };
	if (s.nice < 0)
		s.nice = 0;
	return s;
}

static int
read_nice(int *ret)
{
	errno = 0;
	*ret = getpriority(PRIO_PROCESS, 0);
	return *ret == -1 && errno != 0 ? -1 : 0;
}

static int
set_nice(const struct nursery_placement *p, struct err *e)
{
	int wanted = schedule_of(p).nice, is;
	if (read_nice(&is) < 0)
		return err_system(e, "getpriority");
	if (is == wanted)
		return 0;
	if (setpriority(PRIO_PROCESS, 0, wanted) < 0)
		return err_system(e, "setpriority %d", wanted);
	if (read_nice(&is) < 0)
		return err_system(e, "getpriority");
	return is == wanted ? 0 : differs(e, "nice", is, wanted);
}

static bool
has_policy(const struct schedule *wanted)
{
	struct sched_param is;
	return sched_getscheduler(0) == wanted->policy && sched_getparam(0, &is) == 0 &&
	       is.sched_priority == wanted->priority;
}

static int
set_policy(const struct nursery_placement *p, struct err *e)
{
	struct schedule wanted = schedule_of(p);
	struct sched_param parameters = { .sched_priority = wanted.priority };
	if (has_policy(&wanted))
		return 0;
	if (sched_setscheduler(0, wanted.policy, &parameters) < 0)
		return err_system(e, "sched_setscheduler %d %d", wanted.policy, wanted.priority);
	return has_policy(&wanted) ? 0 : differs(e, "scheduling policy", sched_getscheduler(0), wanted.policy);
}

static int
set_ioprio(const struct nursery_placement *p, struct err *e)
{
	long is = syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0);
	if (is == p->ioprio)
		return 0;
	if (is < 0 || syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, p->ioprio) < 0)
		return err_system(e, "ioprio_set %" PRId32, p->ioprio);
	is = syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0);
	return is == p->ioprio ? 0 : differs(e, "I/O priority", is, p->ioprio);
}

/* 1 when this process runs on the wanted processors, 0 when on others, -1 with errno. */
static int
has_affinity(const struct nursery_placement *p)
{
	uint64_t is[NURSERY_CPUS / 64] = { 0 };
	if (syscall(SYS_sched_getaffinity, 0, sizeof is, is) < 0)
		return -1;
	return memcmp(is, p->cpus, sizeof is) == 0;
}

static int
set_affinity(const struct nursery_placement *p, struct err *e)
{
	int has = has_affinity(p);
	if (has == 1)
		return 0;
	if (has < 0 || syscall(SYS_sched_setaffinity, 0, sizeof p->cpus, p->cpus) < 0 || (has = has_affinity(p)) < 0)
		return err_system(e, "sched_setaffinity");
	return has == 1 ? 0 : err_set(e, ERR_SYSTEM, "the processors of the caller are not this cpuset's");
}

static int
set_personality(const struct nursery_placement *p, struct err *e)
{
	int is = personality(PERSONALITY_QUERY);
	if (is == (int)p->personality)
		return 0;
	if (is < 0 || personality(p->personality) < 0)
		return err_system(e, "personality 0x%" PRIx32, p->personality);
	is = personality(PERSONALITY_QUERY);
	return is == (int)p->personality ? 0 : differs(e, "personality", is, p->personality);
}

/* Through syscall: prctl returns an int. */
static unsigned long
timer_slack(void)
{
	return (unsigned long)syscall(SYS_prctl, PR_GET_TIMERSLACK, 0, 0, 0, 0);
}

static int
set_timer_slack(const struct nursery_placement *p, struct err *e)
{
	if (p->timer_slack_ns == 0 || timer_slack() == p->timer_slack_ns)
		return 0;
	if (prctl(PR_SET_TIMERSLACK, p->timer_slack_ns, 0, 0, 0) < 0)
		return err_system(e, "PR_SET_TIMERSLACK");
	unsigned long is = timer_slack();
	return is == p->timer_slack_ns ? 0 : differs(e, "timer slack", (long long)is, (long long)p->timer_slack_ns);
}

static int
set_oom_score(const struct nursery_placement *p, struct err *e)
{
	return set_number("/proc/self/oom_score_adj", 10, p->oom_score_adj, e);
}

static int
set_coredump_filter(const struct nursery_placement *p, struct err *e)
{
	return set_number("/proc/self/coredump_filter", 16, p->coredump_filter, e);
}

/* A kernel without audit has no such file, and the caller had none either. */
static int
set_loginuid(const struct nursery_placement *p, struct err *e)
{
	static const char path[] = "/proc/self/loginuid";
	if (p->loginuid == UINT32_MAX && access(path, F_OK) < 0 && errno == ENOENT)
		return 0;
	return set_number(path, 10, p->loginuid, e);
}

static int
set_limit(int resource, uint64_t soft, uint64_t hard, struct err *e)
{
	struct rlimit is, wanted = { soft, hard };
	if (prlimit(0, (enum __rlimit_resource)resource, NULL, &is) < 0)
		return err_system(e, "getting limit %d", resource);
	if (is.rlim_cur == soft && is.rlim_max == hard)
		return 0;
	if (prlimit(0, (enum __rlimit_resource)resource, &wanted, NULL) < 0)
		return err_system(e, "setting limit %d", resource);
	if (prlimit(0, (enum __rlimit_resource)resource, NULL, &is) < 0)
		return err_system(e, "getting limit %d", resource);
	return is.rlim_cur == soft && is.rlim_max == hard ? 0
							  : err_set(e, ERR_SYSTEM, "limit %d did not change", resource);
}

static int
set_limits(const struct nursery_placement *p, struct err *e)
{
	for (int i = 0; i < NURSERY_LIMITS; i++) {
		if (set_limit(i, p->limits[i][0], p->limits[i][1], e) < 0)
			return -1;
	}
	return 0;
}

/* glibc read the limit when the template was started. */
static int
set_thread_stack(const struct nursery_placement *p, struct err *e)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), least = (uint64_t)sysconf(_SC_THREAD_STACK_MIN);
	uint64_t wanted = p->limits[RLIMIT_STACK][0];
	size_t is;
	if (wanted == RLIM_INFINITY)
		wanted = STACK_WHEN_UNLIMITED;
	if (wanted < least)
		wanted = least;
	wanted = (wanted + page - 1) / page * page;
	pthread_attr_t attributes;
	int error = pthread_getattr_default_np(&attributes);
	if (error == 0) {
		error = pthread_attr_getstacksize(&attributes, &is);
		if (error == 0 && is != wanted)
			error = pthread_attr_setstacksize(&attributes, wanted) != 0
					? EINVAL
					: pthread_setattr_default_np(&attributes);
		pthread_attr_destroy(&attributes);
	}
	return error == 0 ? 0 : err_set(e, ERR_SYSTEM, "the stack size of threads: %s", strerror(error));
}

/* The template's memory counts against limits that a cold worker would have spent on its own cells: give up rather than take
 * more than half. */
static int
check_memory_limits(const struct nursery_placement *p, struct err *e)
{
	uint64_t as = p->limits[RLIMIT_AS][0], data = p->limits[RLIMIT_DATA][0];
	if (as == RLIM_INFINITY && data == RLIM_INFINITY)
		return 0;
	char text[PROC_TEXT_MAX];
	uint64_t pages[6],
		page = (uint64_t)sysconf(_SC_PAGESIZE); /* size, resident, shared, text, 0, data: see proc(5) */
	if (proc_read(AT_FDCWD, "/proc/self/statm", text) <= 0)
		return err_system(e, "reading /proc/self/statm");
	char *at = text;
	for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
		pages[i] = strtoull(at, &at, 10);
	if (as / 2 < pages[0] * page || data / 2 < pages[5] * page)
		return err_set(e, ERR_LIMIT, "the template fills more than half of the caller's memory limit");
	return 0;
}

int
place_process(const struct nursery_placement *p, struct err *e)
{
	static int (*const steps[])(const struct nursery_placement *, struct err *) = {
		set_policy,      set_nice,         set_ioprio,    set_affinity,
		set_personality, set_timer_slack,  set_loginuid,  set_coredump_filter,
		set_limits,      set_thread_stack, set_oom_score, check_memory_limits,
	};
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		if (steps[i](p, e) < 0)
			return -1;
	}
	return 0;
}

static int
end_at_once(void *unused)
{
	(void)unused;
	return 0;
}

/* The kernel itself answers, all limits and ancestors considered, for the price of a process without memory of its own. */
int
place_fits(struct err *e)
{
	static char stack[PROBE_STACK_SIZE] __attribute__((aligned(64)));
	pid_t pid = clone(end_at_once, stack + sizeof stack, CLONE_VM | CLONE_VFORK, NULL);
	if (pid < 0)
		return err_system(e, "the caller has no room for processes");
	pid_t ended;
	do
		ended = waitpid(pid, NULL, __WALL);
	while (ended < 0 && errno == EINTR);
	return ended == pid ? 0 : err_system(e, "waiting for a probe");
}
