/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Becoming the caller's user, for good. The only file that changes who a process is. It trusts no system call's word: what it did is
 * tried to undo, and then read from /proc/self/status. docs/decisions/009-the-bounding-set-is-the-callers.md
 */
#ifndef PUPITRE_NURSERY_TEMPLATE_DROP_H
#define PUPITRE_NURSERY_TEMPLATE_DROP_H

#include "base/err.h"
#include "nursery/messages.h"

/* With p->keep_identity: only see that uids, gids, groups and capabilities are those of a cold start of p already. Otherwise, as root:
 * groups, gids, capability bounding set, uids, all capabilities, a session keyring of the user's own; root is never served.
 * At last, in both cases, see that there is room for processes (place_fits) and let the user look at the process (PR_SET_DUMPABLE): before,
 * nobody must be able to take a descriptor or a secret out of it, so close what is not the caller's first.
 * 0; or -1 with ERR_INVALID, ERR_DENIED or ERR_SYSTEM, the process being anything between: it must end. */
int drop_privileges(const struct nursery_placement *p, struct err *e);

#endif
