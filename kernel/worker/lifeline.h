/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The front's death is the worker's, and that of everything the worker started, whatever Python is doing:
 * a socket that hangs up raises a signal, and its handler kills our process group. No thread, no polling, no GIL.
 * lifeline.c also defines pthread_sigmask and sigaction in the executable (see guard.h for how), which leave that signal, and
 * nudge.h's, alone: user code that blocks or ignores every signal would otherwise outlive the front. interrupt.c has one handler
 * replaced there.
 */
#ifndef PUPITRE_WORKER_LIFELINE_H
#define PUPITRE_WORKER_LIFELINE_H

#include <stdbool.h>

#include "base/err.h"

/* The signal the lifeline uses: a real-time one that user code is unlikely to pick. */
#define LIFELINE_SIGNAL (SIGRTMAX - 1)

/* Watch ends_get()->lifeline. `of_front`: the front is our parent; otherwise a template is, whose end means nothing to us. Ends the process group at once if the front is gone already. 0 or -1 with ERR_SYSTEM. */
int lifeline_watch(bool of_front, struct err *e);

/* Whoever asks for `handler` for the signal `signum` gets `by` from now on, in the worker. One signal at a time. */
void lifeline_replace_handler(int signum, void (*handler)(int), void (*by)(int));

#endif
