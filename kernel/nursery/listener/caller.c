/* SPDX-License-Identifier: BSD-3-Clause */
#include "caller.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
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
	*ret = (struct caller){ who.pid, who.uid, who.gid, -1 };
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

/* What status says of privileges. A caller that runs a set-user-id program has not one identity but several. */
static enum nursery_reason
compare_status(const struct caller *c, int theirs, int ours, struct nursery_placement *p)
{
	enum { CAPABILITIES = 4 };
	static const char *const kept[] = { "CapInh", "CapPrm", "CapEff", "CapAmb", "CapBnd", "Groups" };
	char a[PROC_TEXT_MAX], b[PROC_TEXT_MAX], first[PROC_TEXT_MAX];
	uint64_t uids[4], gids[4], caps, filtered = 0;
	if (proc_read(theirs, "status", a) <= 0 || proc_read(ours, "status", b) <= 0)
		return NURSERY_PLACEMENT;
	if (!proc_same_line(a, b, "NoNewPrivs"))
		return NURSERY_NO_NEW_PRIVS;
	if (!proc_same_line(a, b, "Seccomp") || !proc_same_line(a, b, "Seccomp_filters"))
		return NURSERY_SECCOMP;
	/* As many filters need not be the same, unless they are those of everybody: of the container. */
	if (!p->keep_identity && proc_numbers(a, "Seccomp", 10, 1, &filtered) && filtered != 0 &&
	    (proc_read(AT_FDCWD, "/proc/1/status", first) <= 0 || !proc_same_line(a, first, "Seccomp_filters")))
		return NURSERY_SECCOMP;
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

/* cgroup.procs of that line's cgroup, open for writing, or -1. */
static int
open_cgroup(const struct proc_cgroup *line)
{
	static const struct open_how how = {
		.flags = O_WRONLY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
	};
	char path[PROC_CGROUP_MAX + sizeof "/cgroup.procs"], name[PROC_CGROUP_MAX];
	struct statfs fs;
	snprintf(path, sizeof path, "%.*s/cgroup.procs", line->path_size, line->path);
	snprintf(name, sizeof name, "%.*s", line->controllers_size, line->controllers);
	const char *dir = strncmp(name, "name=", 5) == 0 ? name + 5 : name;
	FD_AUTO base = open("/sys/fs/cgroup", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*dir == '\0') /* version 2, alone or beside version 1 */
		dir = fstatfs(base, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC ? "." : "unified";
	FD_AUTO root = openat(base, dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int fd = (int)syscall(SYS_openat2, root, path + strspn(path, "/"), &how, sizeof how);
	if (fd >= 0 && (fstatfs(fd, &fs) < 0 || (fs.f_type != CGROUP2_SUPER_MAGIC && fs.f_type != CGROUP_SUPER_MAGIC)))
		fd_close(&fd);
	return fd;
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
		d->fds[d->fd_count] = open_cgroup(&lines[i]);
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
caller_place(const struct caller *c, int socket, bool keep, struct nursery_placement *ret, struct datagram *d)
{
	char name[32];
	socklen_t size = sizeof ret->groups;
	snprintf(name, sizeof name, "/proc/%d", c->pid);
	FD_AUTO ours = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	FD_AUTO theirs = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	*ret = (struct nursery_placement){ .uid = c->uid, .gid = c->gid, .keep_identity = keep };
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
