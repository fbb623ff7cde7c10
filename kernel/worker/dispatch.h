/* SPDX-License-Identifier: BSD-3-Clause
 *
 * From frames to the engine, with the net underneath: every request that comes in is answered exactly once, by the
 * handler, by `fail`, or by a reply made here without any Python.
 */
#ifndef PUPITRE_WORKER_DISPATCH_H
#define PUPITRE_WORKER_DISPATCH_H

#include "compat.h"

/* The methods of the module, see _pupitre.pyi. */
PyObject *dispatch_set_handler(PyObject *py_module, PyObject *const *py_args, Py_ssize_t count);
PyObject *dispatch_waiting_frames(PyObject *py_module, PyObject *py_unused);
PyObject *dispatch_call_ours(PyObject *py_module, PyObject *const *py_args, Py_ssize_t count);

#endif
