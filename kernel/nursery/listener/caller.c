/* SPDX-License-Identifier: BSD-3-Clause */
#include "caller.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "proc.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#define TEXT_MAX 16384    /* bytes of a file in /proc; larger is refused */
#define NORMAL_POLICIES 5 /* up to SCHED_IDLE; SCHED_DEADLINE and those that a fork would reset cannot be handed on */

int
caller_meet(int socket, struct caller *ret)
{
	struct ucred who;
	socklen_t size = sizeof who, fd_size = sizeof ret->pidfd;
	if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &who, &size) < 0)
		return -1;
	*ret = (struct caller){ who.pid, who.uid, who.gid, -1 };
	if (getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &ret->pidfd, &fd_size) < 0)
		ret->pidfd = errno == ENOPROTOOPT ? (int)syscall(SYS_pidfd_open, who.pid, 0) : -1;
	return 0;
}

/* The file as a string. Its size, or -errno. */
static ssize_t
read_text(int dir, const char *name, char ret[TEXT_MAX])
{
	FD_AUTO fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	ssize_t size = 0, n = fd < 0 ? -1 : 1;
	while (n > 0 && (n = read(fd, ret + size, (size_t)(TEXT_MAX - size))) > 0)
		size += n;
	if (size == TEXT_MAX)
		return -EFBIG;
	ret[size] = '\0';
	return n < 0 ? -errno : size;
}

/* The number in a file of theirs or, where we may not read that, of ours. */
static long long
read_number(int theirs, int ours, const char *name, int base, long long otherwise)
{
	char text[TEXT_MAX];
	if (read_text(theirs, name, text) <= 0 && (ours < 0 || read_text(ours, name, text) <= 0))
		return otherwise;
	return strtoll(text, NULL, base);
}

static enum nursery_reason
compare_place(int theirs, int ours, const char *name, enum nursery_reason different)
{
	static const unsigned mask = STATX_TYPE | STATX_INO | STATX_MNT_ID;
	struct statx a, b;
	if (statx(ours, name, AT_STATX_DONT_SYNC, mask, &a) < 0)
		return errno == ENOENT ? NURSERY_OK : NURSERY_PLACEMENT; /* a kind that this kernel does not have */
	if (statx(theirs, name, AT_STATX_DONT_SYNC, mask, &b) < 0)
		return errno == ENOENT ? different : NURSERY_PLACEMENT;
	bool same = a.stx_ino == b.stx_ino && a.stx_dev_major == b.stx_dev_major &&
		    a.stx_dev_minor == b.stx_dev_minor && a.stx_mnt_id == b.stx_mnt_id;
	return same ? NURSERY_OK : different;
}

/* Namespaces, security labels, root. In this order: where the root is of another namespace it may be a file system that never answers. */
static enum nursery_reason
compare_surroundings(int theirs, int ours)
{
	static const char *const spaces[] = { "ns/user", "ns/mnt", "ns/pid",  "ns/pid_for_children",  "ns/net",
					      "ns/ipc",  "ns/uts", "ns/time", "ns/time_for_children", "ns/cgroup" };
	static const char *const labels[] = { "attr/current", "attr/apparmor/current", "attr/smack/current" };
	char a[TEXT_MAX], b[TEXT_MAX];
	enum nursery_reason reason = NURSERY_OK;
	for (size_t i = 0; reason == NURSERY_OK && i < sizeof spaces / sizeof *spaces; i++)
		reason = compare_place(theirs, ours, spaces[i], NURSERY_OTHER_NAMESPACE);
	for (size_t i = 0; reason == NURSERY_OK && i < sizeof labels / sizeof *labels; i++) {
		ssize_t size = read_text(ours, labels[i], a);
		if (read_text(theirs, labels[i], b) != size || (size > 0 && memcmp(a, b, (size_t)size) != 0))
			reason = NURSERY_OTHER_LABEL;
	}
	return reason == NURSERY_OK ? compare_place(theirs, ours, "root", NURSERY_OTHER_ROOT) : reason;
}

/* What status says of privileges. A caller that runs a set-user-id program has not one identity but several. */
static enum nursery_reason
compare_status(const struct caller *c, int theirs, int ours, struct nursery_placement *p)
{
	static const char *const kept[] = { "Gid", "Groups", "CapBnd", "CapInh", "CapPrm", "CapEff", "CapAmb" };
	char a[TEXT_MAX], b[TEXT_MAX], first[TEXT_MAX];
	uint64_t uids[4], gids[4], caps, seccomp = 0;
	if (read_text(theirs, "status", a) <= 0 || read_text(ours, "status", b) <= 0)
		return NURSERY_PLACEMENT;
	if (!proc_same_line(a, b, "NoNewPrivs"))
		return NURSERY_NO_NEW_PRIVS;
	/* Filters cannot be compared, but all of a container are under those of its first process. */
	proc_numbers(a, "Seccomp", 10, 1, &seccomp);
	if (!proc_same_line(a, b, "Seccomp") || !proc_same_line(a, b, "Seccomp_filters") ||
	    (seccomp != 0 &&
	     (read_text(AT_FDCWD, "/proc/1/status", first) <= 0 || !proc_same_line(a, first, "Seccomp_filters"))))
		return NURSERY_SECCOMP;
	if (!proc_numbers(a, "Uid", 10, 4, uids) || !proc_numbers(a, "Gid", 10, 4, gids) ||
	    !proc_numbers(a, "CapBnd", 16, 1, &p->cap_bounding))
		return NURSERY_PLACEMENT;
	for (size_t i = 0; i < 4; i++) {
		if (uids[i] != c->uid || gids[i] != c->gid)
			return NURSERY_PLACEMENT;
	}
	for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
		bool loses = i > 2 && c->uid != 0 && (!proc_numbers(a, kept[i], 16, 1, &caps) || caps != 0);
		if ((p->keep_identity || (c->uid == 0 && i > 1)) ? !proc_same_line(a, b, kept[i]) : loses)
			return NURSERY_PLACEMENT;
	}
	return NURSERY_OK;
}

/* cgroup.procs of that line's cgroup, open for writing, or -1. */
static int
open_cgroup(const struct proc_cgroup *line)
{
	char path[PROC_CGROUP_MAX + sizeof "/cgroup.procs"], name[PROC_CGROUP_MAX];
	static const struct open_how how = {
		.flags = O_WRONLY | O_CLOEXEC | O_NOCTTY,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
	};
	struct statfs fs;
	FD_AUTO base = open("/sys/fs/cgroup", O_PATH | O_DIRECTORY | O_CLOEXEC);
	snprintf(path, sizeof path, "%.*s/cgroup.procs", line->path_size, line->path);
	snprintf(name, sizeof name, "%.*s", line->controllers_size, line->controllers);
	const char *dir = strncmp(name, "name=", 5) == 0 ? name + 5 : name;
	if (*dir == '\0') /* version 2, alone or beside version 1 */
		dir = fstatfs(base, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC ? "." : "unified";
	FD_AUTO root = openat(base, dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int fd = (int)syscall(SYS_openat2, root, path + strspn(path, "/"), &how, sizeof how);
	if (fd >= 0 && (fstatfs(fd, &fs) < 0 || (fs.f_type != CGROUP2_SUPER_MAGIC && fs.f_type != CGROUP_SUPER_MAGIC)))
		fd_close(&fd);
	return fd;
}

static enum nursery_reason
find_cgroups(int theirs, int ours, struct nursery_placement *p, struct message *m)
{
	struct proc_cgroup lines[NURSERY_CGROUPS_MAX];
	char a[TEXT_MAX], b[TEXT_MAX];
	if (read_text(theirs, "cgroup", a) < 0 || read_text(ours, "cgroup", b) < 0)
		return NURSERY_CGROUP;
	int count = proc_cgroups(b, a, lines);
	for (int i = 0; i < count; i++) {
		int fd = open_cgroup(&lines[i]);
		if (fd < 0)
			return NURSERY_CGROUP;
		m->fds[m->fd_count++] = fd;
		p->cgroup_count++;
	}
	return count < 0 ? NURSERY_CGROUP : NURSERY_OK;
}

static bool
find_limits(pid_t pid, int theirs, int ours, struct nursery_placement *p)
{
	char text[TEXT_MAX];
	struct sched_param param;
	errno = 0;
	p->nice = getpriority(PRIO_PROCESS, (id_t)pid);
	if (errno != 0 || sched_getparam(pid, &param) < 0)
		return false;
	p->policy = sched_getscheduler(pid);
	p->priority = param.sched_priority;
	p->ioprio = (int)syscall(SYS_ioprio_get, 1, pid);
	p->oom_score_adj = (int)read_number(theirs, -1, "oom_score_adj", 10, 0);
	p->loginuid = (uint32_t)read_number(theirs, -1, "loginuid", 10, UINT32_MAX);
	p->timer_slack_ns = (uint64_t)read_number(theirs, -1, "timerslack_ns", 10, 0);
	p->coredump_filter = (uint32_t)read_number(theirs, ours, "coredump_filter", 16, 0x33);
	p->personality = (uint32_t)read_number(theirs, ours, "personality", 16, 0);
	return p->policy >= 0 && p->policy <= NORMAL_POLICIES && p->ioprio >= 0 &&
	       syscall(SYS_sched_getaffinity, pid, sizeof p->cpus, p->cpus) > 0 &&
	       read_text(theirs, "limits", text) > 0 && proc_limits(text, p->limits);
}

enum nursery_reason
caller_place(const struct caller *c, int socket, bool keep, struct nursery_placement *ret, struct message *m)
{
	char name[32];
	socklen_t groups_size = sizeof ret->groups;
	struct pollfd life = { .fd = c->pidfd, .events = POLLIN };
	snprintf(name, sizeof name, "/proc/%d", c->pid);
	FD_AUTO ours = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	FD_AUTO theirs = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	*ret = (struct nursery_placement){ .uid = c->uid, .gid = c->gid, .keep_identity = keep };
	if (c->pid == 0)
		return NURSERY_OTHER_NAMESPACE;
	if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, ret->groups, &groups_size) < 0)
		return errno == ERANGE ? NURSERY_GROUPS : NURSERY_PLACEMENT;
	ret->group_count = (uint32_t)(groups_size / sizeof *ret->groups);
	if (c->pidfd < 0 || ours < 0 || theirs < 0)
		return NURSERY_PLACEMENT;
	enum nursery_reason reason = compare_surroundings(theirs, ours);
	if (reason == NURSERY_OK)
		reason = compare_status(c, theirs, ours, ret);
	if (reason == NURSERY_OK)
		reason = find_cgroups(theirs, ours, ret, m);
	if (reason == NURSERY_OK && !find_limits(c->pid, theirs, ours, ret))
		reason = NURSERY_PLACEMENT;
	if (reason == NURSERY_OK) /* nor did it become another meanwhile */
		reason = compare_status(c, theirs, ours, ret);
	/* Alive now, so its number was nobody else's, and all of this was said of it. */
	return poll(&life, 1, 0) == 0 ? reason : NURSERY_PLACEMENT;
}
