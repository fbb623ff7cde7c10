/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Whose end is ours: the Jupyter server, which names itself in JPY_PARENT_PID and need not be our parent, as there may be a shell, conda or
 * setsid between us. A number can mislead: it may be of another pid namespace, or have been given to somebody else since. So it counts only
 * for another process that is this user's and older than we are; otherwise our parent stands for it, as ever.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/proc.h"
#include "front/front.h"

#define STARTTIME 22 /* the field of /proc/PID/stat, in ticks since the system started */

/* When a process started; 0: that cannot be told. */
static uint64_t
started(const char *process)
{
	static char text[PROC_TEXT_MAX];
	char name[48];
	snprintf(name, sizeof name, "/proc/%s/stat", process);
	if (proc_read(AT_FDCWD, name, text) < 0)
		return 0;
	const char *at = strrchr(text, ')'); /* the second field, a name, may hold anything */
	for (int field = 2; at != NULL && field < STARTTIME; field++)
		at = strchr(at + 1, ' ');
	return at == NULL ? 0 : strtoull(at, NULL, 10);
}

/* Whether the process is this user's. Without /proc: one that we may signal. */
static bool
is_own(const char *process, pid_t pid)
{
	static char text[PROC_TEXT_MAX];
	char name[48];
	uint64_t uids[2]; /* real, effective */
	snprintf(name, sizeof name, "/proc/%s/status", process);
	if (proc_read(AT_FDCWD, name, text) < 0)
		return kill(pid, 0) == 0;
	return proc_numbers(text, "Uid", 10, 2, uids) && uids[0] == getuid();
}

/* Or as old, by a clock whose ticks are 10 ms long: who starts us may have started a moment before. Without /proc nobody knows. */
static bool
is_older(const char *process)
{
	uint64_t we = started("self");
	return we == 0 || started(process) <= we;
}

/* A pidfd of the process that Jupyter means, or -1. */
static int
open_named(pid_t pid)
{
	char process[24];
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	snprintf(process, sizeof process, "%ld", (long)pid);
	/* What is read of it is of the process that the pidfd holds, if that still lives afterwards. */
	bool fits = pidfd >= 0 && pid != getpid() && is_own(process, pid) && is_older(process) &&
		    fd_wait_readable(pidfd, 0) == 0;
	if (!fits)
		fd_close(&pidfd);
	return pidfd;
}

void
parent_watch(struct front *f)
{
	const char *value = getenv("JPY_PARENT_PID");
	long named = value == NULL ? 0 : strtol(value, NULL, 10);
	f->parent_fd = -1;
	if (named <= 1 || named > INT32_MAX) /* nobody is to be watched */
		return;
	if (getppid() != 0) /* else whoever started us, and named it, has numbers of another namespace */
		f->parent_fd = open_named((pid_t)named);
	if (f->parent_fd < 0 && getppid() > 1)
		f->parent_fd = (int)syscall(SYS_pidfd_open, getppid(), 0);
}
