/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Who may be interrupted: the student's code and nothing else. The front sends SIGINT while the state page says USER or
 * WAITING; the handler here looks again, because our code may have taken over meanwhile. Leaving user code forgets what is pending,
 * so that an interrupt hits neither our code nor the next cell.
 */
#ifndef PUPITRE_WORKER_INTERRUPT_H
#define PUPITRE_WORKER_INTERRUPT_H

#include <stdbool.h>
#include <stdint.h>

#include "compat.h"
#include "link/state.h"

/* Take SIGINT over from Python, whose level of it is signal.default_int_handler. Main thread; once in a template and again in what it
 * forked. 0, or -1 with an exception. */
int interrupt_init(void);

/* The state words as they were before something was entered, to be handed to the matching leave. */
struct activity {
	uint32_t activity, serial, cell;
};

/* Our code begins: interrupts are held off until interrupt_leave_ours. */
struct activity interrupt_enter_ours(void);
void interrupt_leave_ours(const struct activity *before);

/* Between the two an interrupt of user code waits: it is raised after the last release. Any thread; only in the main one they do
 * something. */
void interrupt_hold(void);
void interrupt_release(void);

/* Run a handler of a signal that user code has set. Outside user code what it raises goes to sys.unraisablehook, and its frame is
 * None. */
PyObject *interrupt_run_handler(PyObject *py_handler, PyObject *const *py_args, Py_ssize_t count);

/* Whether this is signal.default_int_handler. */
bool interrupt_is_default(PyObject *py_handler);

/* The methods of the module, see _pupitre.pyi. */
PyObject *interrupt_call_user(PyObject *py_module, PyObject *const *py_args, Py_ssize_t count);
PyObject *interrupt_wait(PyObject *py_module, PyObject *const *py_args, Py_ssize_t count);
PyObject *interrupt_ring(PyObject *py_module, PyObject *py_unused);
PyObject *interrupt_take_exit(PyObject *py_module, PyObject *py_unused);
PyObject *interrupt_set_pending(PyObject *py_module, PyObject *const *py_args, Py_ssize_t count);

/* In a forked child: its only thread is the one that SIGINT belongs to. */
void interrupt_in_child(void);

#endif
