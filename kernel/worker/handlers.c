/* SPDX-License-Identifier: BSD-3-Clause */
#include "handlers.h"

#include <signal.h>

#include "interrupt.h"

static PyObject *py_signal, *py_getsignal; /* owned: Python's own */
static PyObject *py_around;                /* owned: what Python calls instead */
static PyObject *py_handlers[NSIG];        /* owned: what it calls in turn; NULL where it calls nothing of ours */

/* The handler that Python names, which may be ours around another: a new reference. Consumes it; NULL stays NULL. */
static PyObject *
inner(PyObject *py_handler, long signum)
{
	if (py_handler != py_around || signum < 0 || signum >= NSIG || py_handlers[signum] == NULL)
		return py_handler;
	Py_DECREF(py_handler);
	return Py_NewRef(py_handlers[signum]);
}

/* The number of a signal, -1 for what is none: Python complains. */
static long
number_of(PyObject *py_signum)
{
	long signum = PyLong_Check(py_signum) ? PyLong_AsLong(py_signum) : -1;
	if (signum == -1)
		PyErr_Clear();
	return signum;
}

static PyObject *
call_handler(PyObject *py_module, PyObject *const *py_args, Py_ssize_t count)
{
	(void)py_module;
	long signum = count > 0 ? number_of(py_args[0]) : -1;
	if (signum < 0 || signum >= NSIG || py_handlers[signum] == NULL)
		Py_RETURN_NONE;
	PyObject *py_handler = Py_NewRef(py_handlers[signum]);
	PyObject *py_result = interrupt_run_handler(py_handler, py_args, count);
	Py_DECREF(py_handler);
	return py_result;
}

static PyObject *
set_handler(PyObject *py_module, PyObject *const *py_args, Py_ssize_t count)
{
	(void)py_module;
	long signum = count == 2 ? number_of(py_args[0]) : -1;
	bool wraps = signum > 0 && signum < NSIG && PyCallable_Check(py_args[1]) && !interrupt_is_default(py_args[1]);
	PyObject *py_before;
	if (wraps)
		py_before = PyObject_CallFunctionObjArgs(py_signal, py_args[0], py_around, NULL);
	else
		py_before = PyObject_Vectorcall(py_signal, py_args, (size_t)count, NULL);
	py_before = inner(py_before, signum);
	if (py_before != NULL && wraps)
		Py_XSETREF(py_handlers[signum], Py_NewRef(py_args[1]));
	else if (py_before != NULL && signum > 0 && signum < NSIG)
		Py_CLEAR(py_handlers[signum]);
	return py_before;
}

static PyObject *
get_handler(PyObject *py_module, PyObject *py_signum)
{
	(void)py_module;
	long signum = number_of(py_signum); /* first: it clears exceptions */
	return inner(PyObject_CallOneArg(py_getsignal, py_signum), signum);
}

static PyMethodDef methods[] = {
	{ "call", (PyCFunction)(void (*)(void))call_handler, METH_FASTCALL, "Run the handler of a signal." },
	{ "signal", (PyCFunction)(void (*)(void))set_handler, METH_FASTCALL,
	  "Set the action for the given signal; the action before." },
	{ "getsignal", get_handler, METH_O, "Return the current action for the given signal." },
};

/* Replace `name` in the module by our method; *ret gets what was there. */
static int
replace(PyObject *py_module, PyMethodDef *method, PyObject **ret)
{
	PyObject *py_name = PyUnicode_FromString("_signal");
	PyObject *py_ours = py_name == NULL ? NULL : PyCFunction_NewEx(method, NULL, py_name);
	*ret = PyObject_GetAttrString(py_module, method->ml_name);
	int failure =
		*ret == NULL || py_ours == NULL ? -1 : PyObject_SetAttrString(py_module, method->ml_name, py_ours);
	Py_XDECREF(py_ours);
	Py_XDECREF(py_name);
	return failure;
}

int
handlers_init(PyObject *py_signal_module)
{
	py_around = PyCFunction_New(&methods[0], NULL);
	if (py_around == NULL || replace(py_signal_module, &methods[1], &py_signal) < 0)
		return -1;
	return replace(py_signal_module, &methods[2], &py_getsignal);
}
