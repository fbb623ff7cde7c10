/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Starts CPython as `python` would start for the interpreter in $PUPITRE_PYTHON (its pyvenv.cfg, its site-packages, the PYTHON*
 * variables), without a script, without the working directory on sys.path, and with the signals ours.
 */
#ifndef PUPITRE_WORKER_START_H
#define PUPITRE_WORKER_START_H

#include "base/err.h"

/* Initialise Python. The caller holds the GIL afterwards. 0, or -1 with ERR_SYSTEM and Python's own sentence. */
int start_python(struct err *e);

/* Run pupitre.engine.main(bytes) with the START frame until it returns. Its status; failures are printed on descriptor 2. */
int start_engine(void);

/* As start_finish, for a worker that was forked: taking Python apart would copy every page that it shares with the template, so it is
 * left standing. */
_Noreturn void start_finish_forked(int status);

/* Wind Python up: what user code left behind, however long it takes, and files. Does not return. */
_Noreturn void start_finish(int status);

#endif
