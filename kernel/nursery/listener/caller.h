/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Who is at the other end of a connection, and where: everything from the kernel, nothing from the caller. The paths used are literals below
 * the caller's own /proc directory, and cgroups as the kernel names them, opened beneath /sys/fs/cgroup without following links.
 * Whatever cannot be read, or differs from ourselves and cannot be given to a forked worker, is a reason to refuse.
 */
#ifndef PUPITRE_NURSERY_LISTENER_CALLER_H
#define PUPITRE_NURSERY_LISTENER_CALLER_H

#include <stdbool.h>
#include <sys/types.h>

#include "nursery/datagram.h"

struct caller {
	pid_t pid;
	uid_t uid;
	gid_t gid;
	int pidfd;            /* owned; -1: not held, or gone already */
	bool keep;            /* it must have our own identity, and keeps it */
	bool may_be_confined; /* no_new_privs is no obstacle where we have it, too */
};

/* Who connected; to be called at once: before Linux 6.5 the pidfd is that of whoever has the number now. 0, or -1. */
int caller_meet(int socket, struct caller *ret);

/* Whether the caller is of another user namespace than we are, or cannot be seen. Waits for nothing. */
bool caller_is_foreign(const struct caller *c);

/* Compare the caller with us and fill all of *ret but cgroup descriptors, which are appended to d->fds (opened for writing). NURSERY_OK or
 * why not. May wait for as long as the caller wants: parts of /proc are not to be read while a process is in execve, where it closes
 * files, of a file system that may be its own. */
enum nursery_reason caller_place(const struct caller *c, int socket, struct nursery_placement *ret, struct datagram *d);

#endif
