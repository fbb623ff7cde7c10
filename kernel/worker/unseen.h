/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What user code calls of ours leaves no trace in its tracebacks: unseen(function) is a callable that takes the frames of our package
 * off an exception that comes out of it. held(function) also puts an interrupt off until it returns. Made at import, as decorators.
 */
#ifndef PUPITRE_WORKER_UNSEEN_H
#define PUPITRE_WORKER_UNSEEN_H

#include "compat.h"

/* Add the types `unseen` and `held` to the module. 0, or -1 with an exception. */
int unseen_init(PyObject *py_module);

/* Take our frames off the beginning of the traceback of the exception that is set, if one is. */
void unseen_clean(void);

#endif
