/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The one place that includes Python.h, and what differs between CPython 3.11 and 3.14.
 */
#ifndef PUPITRE_WORKER_COMPAT_H
#define PUPITRE_WORKER_COMPAT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

#if PY_VERSION_HEX < 0x030B0000
#error "Pupitre needs CPython 3.11 or newer"
#endif

/* Take the exception that is set, normalised, out of the interpreter. New reference, NULL when there is none. */
static inline PyObject *
py_take_exception(void)
{
#if PY_VERSION_HEX >= 0x030C0000
	return PyErr_GetRaisedException();
#else
	PyObject *type, *value, *traceback;
	PyErr_Fetch(&type, &value, &traceback);
	if (type == NULL)
		return NULL;
	PyErr_NormalizeException(&type, &value, &traceback);
	if (traceback != NULL)
		PyException_SetTraceback(value, traceback);
	Py_DECREF(type);
	Py_XDECREF(traceback);
	return value;
#endif
}

/* Set an exception. Consumes it; NULL does nothing. */
static inline void
py_put_exception(PyObject *py_exception)
{
	if (py_exception == NULL)
		return;
#if PY_VERSION_HEX >= 0x030C0000
	PyErr_SetRaisedException(py_exception);
#else
	PyErr_Restore(Py_NewRef(Py_TYPE(py_exception)), py_exception, PyException_GetTraceback(py_exception));
#endif
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
/* A number that changes whenever the dict does, and that no other dict ever has; 0 where Python tells none. */
static inline uint64_t
py_dict_version(PyObject *py_dict)
{
#if PY_VERSION_HEX < 0x030E0000
	return ((PyDictObject *)py_dict)->ma_version_tag;
#else
	(void)py_dict;
	return 0;
#endif
}
#pragma GCC diagnostic pop

#endif
