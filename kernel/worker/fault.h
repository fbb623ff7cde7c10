/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The last words: a fatal signal is recorded in the state page, then faulthandler writes the Python traceback to a
 * memfd that the front reads afterwards, and the process dies by that signal.
 */
#ifndef PUPITRE_WORKER_FAULT_H
#define PUPITRE_WORKER_FAULT_H

/* Enable faulthandler and put our handlers on top of it. Main thread, with the GIL. 0, or -1 with an exception. */
int fault_init(void);

/* Put them back if they are gone (faulthandler.disable, signal(SIGSEGV, SIG_DFL)). Handlers that another library
 * installed on top of ours stay. Cheap; never fails. Keeps the exception that is set. */
void fault_mend(void);

#endif
