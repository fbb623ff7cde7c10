/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Closes a gap in how Python takes signals: one that arrives after Python last looked and before a system call
 * begins is noticed only when the call ends, which for time.sleep(60) is a minute. After an interrupt a timer therefore sends
 * the main thread a signal that means nothing, until the interrupt was noticed.
 */
#ifndef PUPITRE_WORKER_NUDGE_H
#define PUPITRE_WORKER_NUDGE_H

#include "base/err.h"

#define NUDGE_SIGNAL (SIGRTMAX - 2)

/* Make the timer. Main thread. Where the system grants none the gap stays open. 0 or -1 with ERR_SYSTEM. */
int nudge_init(struct err *e);

/* An interrupt is pending: nudge after 10 ms, then 20, 40 and so on, ten times at most. Async-signal-safe. */
void nudge_begin(void);

/* It was noticed, or is not to be any more. Async-signal-safe. */
void nudge_end(void);

#endif
