/* SPDX-License-Identifier: BSD-3-Clause */
#include "unseen.h"

#include <stdbool.h>
#include <stddef.h>
#include <structmember.h>

#include "interrupt.h"

struct unseen {
	PyObject_HEAD PyObject *py_function; /* owned */
	vectorcallfunc call;
	bool holds;
};

static PyObject *py_folder; /* owned: the package's, with a slash at its end; NULL until somebody made an unseen */

/* pupitre.__path__[0] + "/". 0, or -1 with an exception. */
static int
find_folder(void)
{
	if (py_folder != NULL)
		return 0;
	PyObject *py_package = PyImport_ImportModule("pupitre");
	PyObject *py_file = py_package == NULL ? NULL : PyObject_GetAttrString(py_package, "__file__");
	Py_ssize_t slash = py_file == NULL ? -1 : PyUnicode_FindChar(py_file, '/', 0, PyUnicode_GetLength(py_file), -1);
	if (slash >= 0)
		py_folder = PyUnicode_Substring(py_file, 0, slash + 1);
	Py_XDECREF(py_file);
	Py_XDECREF(py_package);
	if (py_folder == NULL && PyErr_Occurred() == NULL)
		PyErr_SetString(PyExc_ImportError, "the package pupitre has no file");
	return py_folder == NULL ? -1 : 0;
}

static bool
is_ours(PyTracebackObject *tb)
{
	PyCodeObject *code = PyFrame_GetCode(tb->tb_frame);
	bool ours = PyUnicode_Tailmatch(code->co_filename, py_folder, 0, PY_SSIZE_T_MAX, -1) == 1;
	Py_DECREF(code);
	return ours;
}

void
unseen_clean(void)
{
	if (PyErr_Occurred() == NULL || py_folder == NULL)
		return;
	PyObject *py_error = py_take_exception();
	PyObject *py_traceback = PyException_GetTraceback(py_error);
	PyTracebackObject *tb = (PyTracebackObject *)py_traceback; /* borrowed from here on */
	while (tb != NULL && is_ours(tb))
		tb = tb->tb_next;
	if (tb == NULL) /* None, which PyException_SetTraceback takes, would stay there as if it were one */
		Py_CLEAR(((PyBaseExceptionObject *)py_error)->traceback);
	else if ((PyObject *)tb != py_traceback)
		PyException_SetTraceback(py_error, (PyObject *)tb);
	Py_XDECREF(py_traceback);
	py_put_exception(py_error);
}

static PyObject *
call(PyObject *py_self, PyObject *const *py_args, size_t count, PyObject *py_names)
{
	struct unseen *self = (struct unseen *)py_self;
	if (self->holds)
		interrupt_hold();
	PyObject *py_result = PyObject_Vectorcall(self->py_function, py_args, count, py_names);
	if (self->holds)
		interrupt_release();
	if (py_result == NULL)
		unseen_clean();
	return py_result;
}

static PyObject *
make(PyTypeObject *type, PyObject *py_args, bool holds)
{
	PyObject *py_function;
	if (!PyArg_ParseTuple(py_args, "O", &py_function) || find_folder() < 0)
		return NULL;
	struct unseen *self = (struct unseen *)type->tp_alloc(type, 0);
	if (self == NULL)
		return NULL;
	self->py_function = Py_NewRef(py_function);
	self->call = call;
	self->holds = holds;
	return (PyObject *)self;
}

static PyObject *
make_unseen(PyTypeObject *type, PyObject *py_args, PyObject *py_keywords)
{
	(void)py_keywords;
	return make(type, py_args, false);
}

static PyObject *
make_held(PyTypeObject *type, PyObject *py_args, PyObject *py_keywords)
{
	(void)py_keywords;
	return make(type, py_args, true);
}

static int
traverse(PyObject *py_self, visitproc visit, void *arg)
{
	Py_VISIT(Py_TYPE(py_self));
	Py_VISIT(((struct unseen *)py_self)->py_function);
	return 0;
}

static int
clear(PyObject *py_self)
{
	Py_CLEAR(((struct unseen *)py_self)->py_function);
	return 0;
}

static void
dealloc(PyObject *py_self)
{
	PyTypeObject *type = Py_TYPE(py_self);
	PyObject_GC_UnTrack(py_self);
	clear(py_self);
	type->tp_free(py_self);
	Py_DECREF(type);
}

/* A method, as a function is. */
static PyObject *
bind(PyObject *py_self, PyObject *py_object, PyObject *py_type)
{
	(void)py_type;
	return py_object == NULL || py_object == Py_None ? Py_NewRef(py_self) : PyMethod_New(py_self, py_object);
}

/* Names, code, signature and whatever else it is asked for are the function's, but not how it is pickled. */
static PyObject *
get_attribute(PyObject *py_self, PyObject *py_name)
{
	if (PyUnicode_CompareWithASCIIString(py_name, "__reduce_ex__") == 0 ||
	    PyUnicode_CompareWithASCIIString(py_name, "__reduce__") == 0)
		return PyObject_GenericGetAttr(py_self, py_name);
	PyObject *py_value = PyObject_GetAttr(((struct unseen *)py_self)->py_function, py_name);
	if (py_value != NULL || !PyErr_ExceptionMatches(PyExc_AttributeError))
		return py_value;
	PyErr_Clear();
	return PyObject_GenericGetAttr(py_self, py_name);
}

static int
set_attribute(PyObject *py_self, PyObject *py_name, PyObject *py_value)
{
	return PyObject_SetAttr(((struct unseen *)py_self)->py_function, py_name, py_value);
}

static PyObject *
describe(PyObject *py_self)
{
	return PyObject_Repr(((struct unseen *)py_self)->py_function);
}

/* By name, for pickle. */
static PyObject *
reduce(PyObject *py_self, PyObject *py_unused)
{
	(void)py_unused;
	return PyObject_GetAttrString(py_self, "__qualname__");
}

static PyMethodDef methods[] = {
	{ "__reduce__", reduce, METH_NOARGS, "The qualified name." },
	{ 0 },
};

static PyMemberDef members[] = {
	{ "__wrapped__", T_OBJECT, offsetof(struct unseen, py_function), READONLY, "The function." },
	{ "__vectorcalloffset__", T_PYSSIZET, offsetof(struct unseen, call), READONLY, NULL },
	{ 0 },
};

#define SLOTS(new)                                                                                                    \
	{                                                                                                             \
		{ Py_tp_new, new }, { Py_tp_traverse, traverse }, { Py_tp_clear, clear }, { Py_tp_dealloc, dealloc }, \
			{ Py_tp_call, PyVectorcall_Call }, { Py_tp_descr_get, bind },                                 \
			{ Py_tp_getattro, get_attribute }, { Py_tp_setattro, set_attribute },                         \
			{ Py_tp_repr, describe }, { Py_tp_methods, methods }, { Py_tp_members, members },             \
		{                                                                                                     \
			0                                                                                             \
		}                                                                                                     \
	}

static PyType_Slot unseen_slots[] = SLOTS(make_unseen);
static PyType_Slot held_slots[] = SLOTS(make_held);

static int
add_type(PyObject *py_module, const char *name, const char *whole_name, PyType_Slot *slots)
{
	PyType_Spec spec = {
		.name = whole_name,
		.basicsize = sizeof(struct unseen),
		.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
			 Py_TPFLAGS_METHOD_DESCRIPTOR,
		.slots = slots,
	};
	PyObject *py_type = PyType_FromSpec(&spec);
	int failure = py_type == NULL ? -1 : PyModule_AddObjectRef(py_module, name, py_type);
	Py_XDECREF(py_type);
	return failure;
}

int
unseen_init(PyObject *py_module)
{
	if (add_type(py_module, "unseen", "_pupitre.unseen", unseen_slots) < 0)
		return -1;
	return add_type(py_module, "held", "_pupitre.held", held_slots);
}
