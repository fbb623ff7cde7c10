/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Where the forked child is accounted and what it may use: everything of struct nursery_placement but who it is (drop.h). Each
 * attribute is read first, changed only when it differs, and read again; what cannot be made equal is an error. That costs few
 * system calls where the caller is like the nursery, and lets the unprivileged nursery serve whoever is. No Python, no caller's string.
 */
#ifndef PUPITRE_NURSERY_TEMPLATE_PLACE_H
#define PUPITRE_NURSERY_TEMPLATE_PLACE_H

#include "base/err.h"
#include "nursery/messages.h"

/* Move this process into p->cgroup_count cgroups, by descriptors (borrowed) of their cgroup.procs. First of all, so that the pages that
 * are dirtied from here on are the caller's. Where a child would be, there it stays: undoing is for the caller of this, by ending.
 * 0, or -1 with ERR_SYSTEM. */
int place_in_cgroups(const struct nursery_placement *p, const int *procs_fds, struct err *e);

/* Scheduling, affinity, I/O priority, personality, timer slack, OOM score, core dump filter, login uid, resource limits, and the stack
 * size of new threads, which the C library takes from a limit. In a process of one thread, after place_in_cgroups (a cpuset narrows the
 * affinity), before drop_privileges. p->policy may hold SCHED_RESET_ON_FORK. 0, or -1 with ERR_SYSTEM / ERR_LIMIT. */
int place_process(const struct nursery_placement *p, struct err *e);

/* Whether the user and the cgroups have room for processes: moving and setresuid count this one but refuse nothing. For drop_privileges,
 * as the caller. Where a cold start would get the very last process allowed, this says no. 0, or -1 with ERR_SYSTEM. */
int place_fits(struct err *e);

#endif
