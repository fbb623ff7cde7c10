/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The type _pupitre.Stream: sys.stdout and sys.stderr into the output ring, without a system call or a thread.
 * See _pupitre.pyi. Called with the GIL, which makes the worker the ring's single producer.
 */
#ifndef PUPITRE_WORKER_STREAM_H
#define PUPITRE_WORKER_STREAM_H

#include "compat.h"

/* Add Stream and the context variable `parent` to the module. 0, or -1 with an exception. */
int stream_init(PyObject *py_module);

/* Say in the ring, if it can be told and is news, how much was written to the pipes until now: it comes before what follows. 0, or -1
 * with an exception. */
int stream_mark_pipes(void);

/* The method set_parent. */
PyObject *stream_set_parent(PyObject *py_module, PyObject *py_parent);

#endif
