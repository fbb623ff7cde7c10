/* SPDX-License-Identifier: BSD-3-Clause */
#include "dispatch.h"

#include <string.h>

#include "fork.h"
#include "interrupt.h"
#include "link.h"
#include "repair.h"
#include "requests.h"

static PyObject *py_handle, *py_fail; /* owned; NULL until set_handler */

/* Let the front answer. cause: the name of the exception's type. */
static void
answer_from_the_front(uint32_t serial, const char *cause)
{
	const struct frame_header header = { .type = FRAME_DONE, .serial = serial };
	const struct frame_part part = { .data = cause, .size = strlen(cause) };
	if (link_send(&header, &part, 1) == 0)
		return;
	/* Without an answer the front would wait for ever; a death it can report. If it is gone, the lifeline ends us. */
	if (PyErr_ExceptionMatches(PyExc_MemoryError))
		Py_FatalError("no memory to answer a request");
	PyErr_Clear();
}

/* The exception that is set, or one that says that none is but the request has no answer. */
static PyObject *
take_failure(void)
{
	if (PyErr_Occurred() == NULL)
		PyErr_SetString(PyExc_RuntimeError, "the kernel's handler returned without an answer");
	return py_take_exception();
}

/* A handler failed: mend the interpreter, tell the engine, and if that fails too let the front answer. */
static void
fail(uint32_t serial)
{
	PyObject *py_error = take_failure();
	if (fork_is_child())
		fork_end_child(py_error);
	repair_everything();
	if (py_fail != NULL) {
		PyObject *py_result = PyObject_CallFunction(py_fail, "IO", (unsigned)serial, py_error);
		if (py_result == NULL)
			PyErr_Clear();
		Py_XDECREF(py_result);
	}
	if (requests_is_open(serial))
		answer_from_the_front(serial, Py_TYPE(py_error)->tp_name);
	Py_DECREF(py_error);
}

/* What the handler owed: no exception, and an answer unless it returned True. Consumes py_result. */
static void
settle(PyObject *py_result, uint32_t serial)
{
	if (fork_is_child()) {
		PyObject *py_error = py_take_exception();
		fork_end_child(py_error);
	}
	bool later = py_result == Py_True;
	if (py_result == NULL || (!later && serial != 0 && requests_is_open(serial)))
		fail(serial);
	Py_XDECREF(py_result);
}

static void
serve(struct incoming *in)
{
	PyObject *py_result = NULL;
	if (in->py_parts == NULL) {
		/* no memory for the frame: the exception is set */
	} else if (py_handle == NULL) {
		PyErr_SetString(PyExc_RuntimeError, "no handler is set");
	} else {
		py_result = PyObject_CallFunction(py_handle, "iiIO", (int)in->type, (int)in->flags,
						  (unsigned)in->serial, in->py_parts);
	}
	Py_CLEAR(in->py_parts);
	settle(py_result, in->type == FRAME_REQUEST ? in->serial : 0);
}

PyObject *
dispatch_waiting_frames(PyObject *py_module, PyObject *py_unused)
{
	(void)py_module;
	(void)py_unused;
	struct activity before = interrupt_enter_ours();
	struct incoming in;
	int got;
	while ((got = link_next(&in)) > 0)
		serve(&in);
	interrupt_leave_ours(&before);
	if (got < 0)
		return NULL;
	Py_RETURN_NONE;
}

PyObject *
dispatch_call_ours(PyObject *py_module, PyObject *const *py_args, Py_ssize_t count)
{
	(void)py_module;
	if (count < 2)
		return PyErr_Format(PyExc_TypeError, "call_ours() takes at least 2 arguments (%zd given)", count);
	unsigned long serial = PyLong_AsUnsignedLong(py_args[0]);
	if (serial == (unsigned long)-1 && PyErr_Occurred() != NULL)
		return NULL;
	struct activity before = interrupt_enter_ours();
	PyObject *py_result = PyObject_Vectorcall(py_args[1], py_args + 2, (size_t)(count - 2), NULL);
	settle(py_result, (uint32_t)serial);
	interrupt_leave_ours(&before);
	Py_RETURN_NONE;
}

PyObject *
dispatch_set_handler(PyObject *py_module, PyObject *const *py_args, Py_ssize_t count)
{
	(void)py_module;
	if (count != 2 || !PyCallable_Check(py_args[0]) || !PyCallable_Check(py_args[1])) {
		PyErr_SetString(PyExc_TypeError, "set_handler() takes two functions");
		return NULL;
	}
	Py_XSETREF(py_handle, Py_NewRef(py_args[0]));
	Py_XSETREF(py_fail, Py_NewRef(py_args[1]));
	Py_RETURN_NONE;
}
