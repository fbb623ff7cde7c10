/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The memory of signatures already seen, so that a recorded message is honoured once. Shared by the shell, control and stdin
 * channels; what we send is entered too, so that our own messages cannot be reflected at us.
 * Only computed, verified MACs may be entered: a forger cannot make it forget. Holds 8-byte prefixes, grows from
 * 16 KiB to 8 MiB, then forgets the oldest first.
 */
#ifndef PUPITRE_PROTOCOL_REPLAY_H
#define PUPITRE_PROTOCOL_REPLAY_H

#include <stdbool.h>

#include "base/err.h"
#include "protocol/sign.h"

struct replay;

struct replay *replay_new(struct err *e); /* owned; NULL with ERR_MEMORY */
void replay_free(struct replay *r);

/* Enter a MAC. True when it was new; false when it is in the table already. A mac of size 0 (no key) is always new.
 * When the table cannot grow for want of memory, the oldest entries are forgotten instead. */
bool replay_enter(struct replay *r, const struct mac *mac);

#endif
