/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Mends what user code destroyed of the interpreter that we share with it: builtins, sys.modules, sys.stdout.
 * Works on a picture taken by protect(); runs no Python code of its own. See _pupitre.pyi.
 */
#ifndef PUPITRE_WORKER_REPAIR_H
#define PUPITRE_WORKER_REPAIR_H

#include <stdbool.h>

#include "compat.h"

/* Mend what a stay in user code left broken; the names are kept for the method repair. Keeps the exception that is set. */
void repair_after_user(void);

/* Mend everything, before the engine is told of a failure. Keeps the exception that is set. */
void repair_everything(void);

/* The methods of the module. */
PyObject *repair_method(PyObject *py_module, PyObject *py_everything);
PyObject *repair_changed(PyObject *py_module, PyObject *py_unused);
PyObject *repair_protect(PyObject *py_module, PyObject *py_unused);

#endif
