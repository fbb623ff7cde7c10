/* SPDX-License-Identifier: BSD-3-Clause */
#include "guard.h"

#include <stdio.h>

#include "compat.h"

#define MODULE "_pupitre_guard"

static const char text[] = {
#include "trust.inc"
};

static enum { NOT_YET, BEGUN, IN_VAIN } state; /* in vain: nothing at all is run */
static char refusal[200];
static PyObject *py_names; /* owned: the guard's, once it has begun */

/* trust.py as a module, in sys.modules until stage.enter() takes it out, and its begin(). 0, or -1 with an exception. */
static int
begin(void)
{
	PyObject *py_result = NULL, *py_code = NULL, *py_module = PyImport_AddModule(MODULE); /* borrowed */
	PyObject *py_dict = py_module == NULL ? NULL : PyModule_GetDict(py_module);           /* borrowed */
	state = BEGUN;
	py_names = Py_XNewRef(py_dict);
	if (py_dict != NULL && PyDict_SetItemString(py_dict, "__builtins__", PyEval_GetBuiltins()) == 0)
		py_code = Py_CompileString(text, "<pupitre/nursery/trust.py>", Py_file_input);
	if (py_code != NULL)
		py_result = PyEval_EvalCode(py_code, py_dict, py_dict);
	Py_XDECREF(py_code);
	if (py_result != NULL)
		Py_SETREF(py_result, PyObject_CallMethod(py_module, "begin", NULL));
	Py_XDECREF(py_result);
	return py_result == NULL ? -1 : 0;
}

/* trust.check(path), until trust.end() takes it away; in sys.modules the module is no longer then. */
static int
check(PyObject *py_path)
{
	PyObject *py_check = PyDict_GetItemString(py_names, "check"); /* borrowed */
	if (py_check == NULL)
		return 0;
	PyObject *py_result = PyObject_CallFunctionObjArgs(Py_NewRef(py_check), py_path, NULL);
	Py_DECREF(py_check);
	Py_XDECREF(py_result);
	return py_result == NULL ? -1 : 0;
}

static void
remember_refusal(void)
{
	PyObject *py_error = py_take_exception();
	PyObject *py_text = py_error == NULL || refusal[0] != '\0' ? NULL : PyObject_Str(py_error);
	const char *said = py_text == NULL ? NULL : PyUnicode_AsUTF8(py_text);
	if (said != NULL)
		snprintf(refusal, sizeof refusal, "%s", said);
	Py_XDECREF(py_text);
	py_put_exception(py_error);
}

/* In the place of what io.open_code() does, with which importlib, site and runpy open what they run. */
static PyObject *
open_code(PyObject *py_path, void *unused)
{
	(void)unused;
	if (state == NOT_YET && begin() < 0)
		state = IN_VAIN;
	if (state == IN_VAIN && PyErr_Occurred() == NULL)
		PyErr_SetString(PyExc_PermissionError, refusal);
	if (state == IN_VAIN || (py_names != NULL && check(py_path) < 0)) {
		remember_refusal();
		return NULL;
	}
	PyObject *py_io = PyImport_ImportModule("_io");
	PyObject *py_file = py_io == NULL ? NULL : PyObject_CallMethod(py_io, "open", "Os", py_path, "rb");
	Py_XDECREF(py_io);
	return py_file;
}

int
guard_install(void)
{
	return PyFile_SetOpenCodeHook(open_code, NULL);
}

const char *
guard_refusal(void)
{
	return refusal;
}
