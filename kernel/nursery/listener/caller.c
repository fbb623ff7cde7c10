/* SPDX-License-Identifier: BSD-3-Clause */
#include "caller.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/proc.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
/* CAP_WAKE_ALARM, which systemd gives to some sessions and not to others, is not missed. */
#define MISSED_CAPABILITIES (~(UINT64_C(1) << 35))

int
caller_meet(int socket, struct caller *ret)
{
	struct ucred who = { 0 };
	socklen_t size = sizeof who;
	int result = getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &who, &size);
	*ret = (struct caller){ .pid = who.pid, .uid = who.uid, .gid = who.gid, .pidfd = -1 };
	size = sizeof ret->pidfd;
	if (result == 0 && getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &ret->pidfd, &size) < 0)
		ret->pidfd = errno == ENOPROTOOPT ? (int)syscall(SYS_pidfd_open, who.pid, 0) : -1;
	return result;
}

static enum nursery_reason
compare_place(int theirs, int ours, const char *name, enum nursery_reason different)
{
	static const unsigned mask = STATX_INO | STATX_MNT_ID;
	struct statx a, b;
	if (statx(ours, name, AT_STATX_DONT_SYNC, mask, &a) < 0)
		return errno == ENOENT ? NURSERY_OK : NURSERY_PLACEMENT; /* a kind that this kernel does not have */
	if (statx(theirs, name, AT_STATX_DONT_SYNC, mask, &b) < 0)
		return errno == ENOENT ? different : NURSERY_PLACEMENT;
	return a.stx_ino == b.stx_ino && a.stx_dev_major == b.stx_dev_major && a.stx_dev_minor == b.stx_dev_minor &&
			       a.stx_mnt_id == b.stx_mnt_id
		       ? NURSERY_OK
		       : different;
}

static int
open_process(pid_t pid)
{
	char name[32];
	snprintf(name, sizeof name, "/proc/%d", pid);
	return open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

bool
caller_is_foreign(const struct caller *c)
{
	FD_AUTO ours = open_process(getpid()), theirs = open_process(c->pid);
	return compare_place(theirs, ours, "ns/user", NURSERY_OTHER_NAMESPACE) != NURSERY_OK;
}

/* Namespaces, security labels, root, in this order: where the root is of another namespace it may be on a file system that never answers. */
static enum nursery_reason
compare_surroundings(int theirs, int ours)
{
	static const char *const spaces[] = { "ns/user", "ns/mnt", "ns/pid",  "ns/pid_for_children",  "ns/net",
					      "ns/ipc",  "ns/uts", "ns/time", "ns/time_for_children", "ns/cgroup" };
	static const char *const labels[] = { "attr/current", "attr/apparmor/current", "attr/smack/current" };
	char a[PROC_TEXT_MAX], b[PROC_TEXT_MAX];
	enum nursery_reason reason = NURSERY_OK;
	for (size_t i = 0; reason == NURSERY_OK && i < sizeof spaces / sizeof *spaces; i++)
		reason = compare_place(theirs, ours, spaces[i], NURSERY_OTHER_NAMESPACE);
	for (size_t i = 0; reason == NURSERY_OK && i < sizeof labels / sizeof *labels; i++) {
		if (proc_read(ours, labels[i], a) != proc_read(theirs, labels[i], b) || strcmp(a, b) != 0)
			reason = NURSERY_OTHER_LABEL;
	}
	return reason == NURSERY_OK ? compare_place(theirs, ours, "root", NURSERY_OTHER_ROOT) : reason;
}

/* What keeps the caller from things that a worker of ours could do, by what their status and ours say. */
static enum nursery_reason
compare_confinement(const struct caller *c, const char *theirs, const char *ours)
{
	char first[PROC_TEXT_MAX];
	uint64_t filtered = 0, confined = 0;
	/* Who may gain nothing may be confined in ways, too, that the kernel does not show: by Landlock. */
	if (!proc_same_line(theirs, ours, "NoNewPrivs") || !proc_numbers(theirs, "NoNewPrivs", 10, 1, &confined) ||
	    (confined != 0 && !c->may_be_confined))
		return NURSERY_NO_NEW_PRIVS;
	if (!proc_same_line(theirs, ours, "Seccomp") || !proc_same_line(theirs, ours, "Seccomp_filters"))
		return NURSERY_SECCOMP;
	/* As many filters need not be the same, unless they are those of everybody: of the container. */
	if (!c->keep && proc_numbers(theirs, "Seccomp", 10, 1, &filtered) && filtered != 0 &&
	    (proc_read(AT_FDCWD, "/proc/1/status", first) <= 0 || !proc_same_line(theirs, first, "Seccomp_filters")))
		return NURSERY_SECCOMP;
	return proc_same_line(theirs, ours, "Speculation_Store_Bypass") &&
			       proc_same_line(theirs, ours, "SpeculationIndirectBranch")
		       ? NURSERY_OK
		       : NURSERY_PLACEMENT;
}

/* What status says of privileges. A caller that runs a set-user-id program has not one identity but several. */
static enum nursery_reason
compare_status(const struct caller *c, int theirs, int ours, struct nursery_placement *p)
{
	enum { CAPABILITIES = 4 };
	static const char *const kept[] = { "CapInh", "CapPrm", "CapEff", "CapAmb", "CapBnd", "Groups" };
	char a[PROC_TEXT_MAX], b[PROC_TEXT_MAX];
	uint64_t uids[4], gids[4], caps;
	if (proc_read(theirs, "status", a) <= 0 || proc_read(ours, "status", b) <= 0)
		return NURSERY_PLACEMENT;
	enum nursery_reason reason = compare_confinement(c, a, b);
	if (reason != NURSERY_OK)
		return reason;
	if (!proc_numbers(a, "Uid", 10, 4, uids) || !proc_numbers(a, "Gid", 10, 4, gids) ||
	    !proc_numbers(a, "CapBnd", 16, 1, &p->cap_bounding))
		return NURSERY_PLACEMENT;
	for (size_t i = 0; i < 4; i++) {
		if (uids[i] != c->uid || gids[i] != c->gid)
			return NURSERY_PLACEMENT;
	}
	/* Root's capabilities must be ours, others' must be none; with our identity go our groups and bounding set. */
	for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
		bool is_set = i < CAPABILITIES && c->uid != 0;
		bool is_good = is_set ? proc_numbers(a, kept[i], 16, 1, &caps) && (caps & MISSED_CAPABILITIES) == 0
				      : proc_same_line(a, b, kept[i]);
		if (!is_good && (i < CAPABILITIES || p->keep_identity))
			return NURSERY_PLACEMENT;
	}
	return NURSERY_OK;
}

static enum nursery_reason
find_cgroups(int theirs, int ours, struct nursery_placement *p, struct datagram *d)
{
	struct proc_cgroup lines[NURSERY_CGROUPS_MAX];
	char a[PROC_TEXT_MAX], b[PROC_TEXT_MAX];
	int count = -1;
	if (proc_read(theirs, "cgroup", a) >= 0 && proc_read(ours, "cgroup", b) >= 0)
		count = proc_cgroups(b, a, lines, NURSERY_CGROUPS_MAX);
	for (int i = 0; i < count; i++) {
		d->fds[d->fd_count] = proc_open_cgroup(&lines[i]);
		if (d->fds[d->fd_count] < 0)
			return NURSERY_CGROUP;
		d->fd_count++;
		p->cgroup_count++;
	}
	return count < 0 ? NURSERY_CGROUP : NURSERY_OK;
}

static enum nursery_reason
find_limits(pid_t pid, int theirs, int ours, struct nursery_placement *p)
{
	char text[PROC_TEXT_MAX];
	struct sched_param param = { 0 };
	errno = 0;
	p->nice = getpriority(PRIO_PROCESS, (id_t)pid);
	p->policy = errno == 0 ? sched_getscheduler(pid) : -1;
	p->ioprio = (int)syscall(SYS_ioprio_get, 1, pid);
	p->oom_score_adj = (int32_t)proc_number(theirs, "oom_score_adj", 10, 0);
	p->loginuid = (uint32_t)proc_number(theirs, "loginuid", 10, UINT32_MAX);
	p->timer_slack_ns = (uint64_t)proc_number(theirs, "timerslack_ns", 10, 0);
	/* Where we may not read theirs they are as ours, or as usual. */
	p->coredump_filter =
		(uint32_t)proc_number(theirs, "coredump_filter", 16, proc_number(ours, "coredump_filter", 16, 0x33));
	p->personality = (uint32_t)proc_number(theirs, "personality", 16, proc_number(ours, "personality", 16, 0));
	bool found = p->ioprio >= 0 && sched_getparam(pid, &param) == 0 && proc_read(theirs, "limits", text) > 0 &&
		     syscall(SYS_sched_getaffinity, pid, sizeof p->cpus, p->cpus) > 0;
	p->priority = param.sched_priority;
	/* SCHED_DEADLINE and newer, and what a fork would reset, cannot be handed on. */
	found = found && p->policy >= 0 && p->policy <= SCHED_IDLE && proc_limits(text, p->limits, NURSERY_LIMITS);
	return found ? NURSERY_OK : NURSERY_PLACEMENT;
}

enum nursery_reason
caller_place(const struct caller *c, int socket, struct nursery_placement *ret, struct datagram *d)
{
	socklen_t size = sizeof ret->groups;
	FD_AUTO ours = open_process(getpid()), theirs = open_process(c->pid);
	*ret = (struct nursery_placement){ .uid = c->uid, .gid = c->gid, .keep_identity = c->keep };
	if (c->pid == 0)
		return NURSERY_OTHER_NAMESPACE;
	if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, ret->groups, &size) < 0)
		return errno == ERANGE ? NURSERY_GROUPS : NURSERY_PLACEMENT;
	ret->group_count = (uint32_t)(size / sizeof *ret->groups);
	/* The first that is not NURSERY_OK, which is 0. Had we not opened both, nothing could be compared; that it became another
	 * meanwhile is seen at the end. */
	enum nursery_reason reason = compare_surroundings(theirs, ours)
				     ?: compare_status(c, theirs, ours, ret)
				     ?: find_cgroups(theirs, ours, ret, d)
				     ?: find_limits(c->pid, theirs, ours, ret)
				     ?: compare_status(c, theirs, ours, ret);
	/* Not waited for yet, so its number was nobody else's, and all of this was said of it. */
	return syscall(SYS_pidfd_send_signal, c->pidfd, 0, NULL, 0) == 0 ? reason : NURSERY_PLACEMENT;
}
