/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Python calls handlers of signals between any two of its instructions, ours included. Here each that user code sets gets one of
 * ours around it, which sees to it that it runs as user code and that what it raises does not come out in the middle of ours.
 * signal.getsignal() tells nothing of that.
 */
#ifndef PUPITRE_WORKER_HANDLERS_H
#define PUPITRE_WORKER_HANDLERS_H

#include "compat.h"

/* Put our signal() and getsignal() into the module `_signal`, from which Python's `signal` takes them. 0, or -1 with an exception. */
int handlers_init(PyObject *py_signal_module);

#endif
