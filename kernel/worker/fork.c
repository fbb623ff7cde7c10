/* SPDX-License-Identifier: BSD-3-Clause */
#include "fork.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "ends.h"
#include "guard.h"
#include "interrupt.h"

static bool is_child;

static void
in_child(void)
{
	int saved = errno;
	if (!is_child) {
		is_child = true;
		ends_drop();
		guard_close_all(ends_get()->crash);
	}
	interrupt_in_child();
	errno = saved;
}

int
fork_watch(struct err *e)
{
	return pthread_atfork(NULL, NULL, in_child) == 0 ? 0 : err_memory(e);
}

bool
fork_is_child(void)
{
	return is_child;
}

static void
flush(const char *name)
{
	PyObject *py_file = PySys_GetObject(name); /* borrowed */
	if (py_file == NULL || py_file == Py_None)
		return;
	PyObject *py_result = PyObject_CallMethod(py_file, "flush", NULL);
	if (py_result == NULL)
		PyErr_Clear();
	Py_XDECREF(py_result);
}

/* What `python` would exit with. Shows the exception, on sys.stderr, whose child side writes to descriptor 2. */
static int
exit_status(PyObject *py_error)
{
	PyErr_Clear();
	if (py_error == NULL)
		return 0;
	if (PyErr_GivenExceptionMatches(py_error, PyExc_SystemExit)) {
		PyObject *py_code = PyObject_GetAttrString(py_error, "code");
		if (py_code == NULL || py_code == Py_None)
			return 0;
		if (PyLong_Check(py_code))
			return (int)PyLong_AsLong(py_code) & 0xff;
	}
	PyObject *py_traceback = PyException_GetTraceback(py_error);
	PyErr_Display(NULL, py_error, py_traceback);
	Py_XDECREF(py_traceback);
	return 1;
}

_Noreturn void
fork_end_child(PyObject *py_error)
{
	int status = exit_status(py_error);
	flush("stdout");
	flush("stderr");
	flush("__stdout__");
	flush("__stderr__");
	_exit(status);
}
