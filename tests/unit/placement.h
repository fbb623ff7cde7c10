/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The placement of the process that asks, as a listener would find it.
 */
#ifndef PUPITRE_TESTS_PLACEMENT_H
#define PUPITRE_TESTS_PLACEMENT_H

#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "child.h"

static inline struct nursery_placement
placement_of_self(void)
{
	struct nursery_placement p = { .uid = getuid(), .gid = getgid(), .keep_identity = 1 };
	int groups = getgroups(NURSERY_GROUPS_MAX, p.groups);
	p.group_count = groups < 0 ? 0 : (uint32_t)groups;
	for (int i = 0; i < NURSERY_LIMITS; i++) {
		struct rlimit limit;
		getrlimit((enum __rlimit_resource)i, &limit);
		p.limits[i][0] = limit.rlim_cur;
		p.limits[i][1] = limit.rlim_max;
	}
	struct sched_param parameters;
	sched_getparam(0, &parameters);
	p.policy = sched_getscheduler(0);
	p.priority = parameters.sched_priority;
	p.nice = getpriority(PRIO_PROCESS, 0);
	p.oom_score_adj = (int32_t)number_of("/proc/self/oom_score_adj", "", 10);
	p.ioprio = (int32_t)syscall(SYS_ioprio_get, 1, 0);
	p.loginuid = (uint32_t)strtoul(line_of("/proc/self/loginuid", ""), NULL, 10);
	if (access("/proc/self/loginuid", F_OK) < 0)
		p.loginuid = UINT32_MAX;
	p.timer_slack_ns = (uint64_t)prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
	p.coredump_filter = (uint32_t)number_of("/proc/self/coredump_filter", "", 16);
	p.personality = (uint32_t)personality(0xffffffff);
	syscall(SYS_sched_getaffinity, 0, sizeof p.cpus, p.cpus);
	p.cap_bounding = strtoull(line_of("/proc/self/status", "CapBnd:"), NULL, 16);
	return p;
}

#endif
