/* SPDX-License-Identifier: BSD-3-Clause */
#include "stream.h"

#include <errno.h>
#include <stddef.h>
#include <structmember.h>
#include <unistd.h>

#include "ends.h"
#include "fork.h"
#include "link/frame.h"
#include "pipes.h"
#include "printed.h"
#include "requests.h"

#define SLICE_MS 50
#define PARENT_AGE_MAX (FRAME_PARENTS_KEPT - 4) /* requests after which the front may have forgotten a header */

/* What a Stream has after the fields of its base type. */
struct stream {
	uint32_t number; /* 1 = stdout, 2 = stderr */
	char slow;
	char closed;
};

static Py_ssize_t base_size;
static PyObject *py_parent_variable; /* owned: the ContextVar */
static PyObject *py_default_parent;  /* owned, may be NULL: for contexts without one */

static struct stream *
stream_of(PyObject *py_self)
{
	return (struct stream *)((char *)py_self + base_size);
}

static void
ring_the_bell(void)
{
	static const uint64_t one = 1;
	while (write(ends_get()->bell, &one, sizeof one) < 0 && errno == EINTR)
		continue;
}

/* Put one record, waiting for room. 0, or -1 with an exception that a signal raised. */
static int
put_record(const struct ring_record *record, const char *text)
{
	struct shared *shared = ends_get()->shared;
	bool bell;
	while (!ring_put(shared, record, text, &bell)) {
		ring_the_bell();
		PyThreadState *py_state = PyEval_SaveThread();
		ring_wait_room(shared, SLICE_MS);
		PyEval_RestoreThread(py_state);
		if (PyErr_CheckSignals() < 0)
			return -1;
	}
	if (bell)
		ring_the_bell();
	return 0;
}

int
stream_mark_pipes(void)
{
	const struct shared *shared = ends_get()->shared;
	struct ring_pipes pipes;
	if (!pipes_may_look(shared) || !ends_connected() || !pipes_have_more(shared, &pipes))
		return 0;
	struct ring_record record = { .size = sizeof pipes, .stream = RING_PIPES };
	return put_record(&record, (const char *)&pipes);
}

/* How much of `size` bytes of UTF-8 goes into one record: whole characters. */
static size_t
piece_size(const char *text, size_t size)
{
	if (size <= RING_TEXT_MAX)
		return size;
	size_t n = RING_TEXT_MAX;
	while (n > RING_TEXT_MAX - 4 && ((unsigned char)text[n] & 0xC0) == 0x80)
		n--;
	return n;
}

static int
put_bytes(uint32_t number, uint32_t serial, const char *text, size_t size)
{
	if (fork_is_child())
		return fork_write(number, text, size);
	if (stream_mark_pipes() < 0)
		return -1;
	while (size > 0 && ends_connected()) {
		size_t n = piece_size(text, size);
		struct ring_record record = { .size = (uint32_t)n, .serial = serial, .stream = number };
		if (put_record(&record, text) < 0)
			return -1;
		printed_keep(number, serial, text, n);
		text += n;
		size -= n;
	}
	return 0;
}

static int
put_text(uint32_t number, uint32_t serial, PyObject *py_text)
{
	if (PyUnicode_IS_COMPACT_ASCII(py_text))
		return put_bytes(number, serial, PyUnicode_DATA(py_text), (size_t)PyUnicode_GET_LENGTH(py_text));
	PyObject *py_bytes = PyUnicode_AsEncodedString(py_text, "utf-8", "surrogatepass");
	if (py_bytes == NULL)
		return -1;
	int failure = put_bytes(number, serial, PyBytes_AS_STRING(py_bytes), (size_t)PyBytes_GET_SIZE(py_bytes));
	Py_DECREF(py_bytes);
	return failure;
}

/* The parent of output made here and now: a new reference to (serial, message), or to None. NULL with an exception. */
static PyObject *
current_parent(void)
{
	PyObject *py_default = py_default_parent == NULL ? Py_None : py_default_parent, *py_parent;
	if (PyContextVar_Get(py_parent_variable, py_default, &py_parent) < 0)
		return NULL;
	return py_parent;
}

static int
parent_serial(PyObject *py_parent, uint32_t *ret)
{
	*ret = 0;
	if (py_parent == Py_None)
		return 0;
	if (!PyTuple_Check(py_parent) || PyTuple_GET_SIZE(py_parent) < 1) {
		PyErr_SetString(PyExc_TypeError, "the parent must be a tuple (serial, message)");
		return -1;
	}
	unsigned long serial = PyLong_AsUnsignedLong(PyTuple_GET_ITEM(py_parent, 0));
	if (serial == (unsigned long)-1 && PyErr_Occurred() != NULL)
		return -1;
	*ret = (uint32_t)serial;
	return 0;
}

static bool
is_usable(PyObject *py_self, PyObject *py_text)
{
	if (!PyUnicode_Check(py_text)) {
		PyErr_Format(PyExc_TypeError, "write() argument must be str, not %s", Py_TYPE(py_text)->tp_name);
		return false;
	}
	if (stream_of(py_self)->closed) {
		PyErr_SetString(PyExc_ValueError, "I/O operation on closed file");
		return false;
	}
	return true;
}

static PyObject *
stream_write(PyObject *py_self, PyObject *py_text)
{
	struct stream *s = stream_of(py_self);
	if (!is_usable(py_self, py_text))
		return NULL;
	if (PyUnicode_GET_LENGTH(py_text) == 0)
		return PyLong_FromLong(0);
	PyObject *py_parent = current_parent();
	uint32_t serial;
	PyObject *py_result = NULL;
	if (py_parent == NULL || parent_serial(py_parent, &serial) < 0)
		goto out;
	bool old = serial != 0 && requests_newest() > serial && requests_newest() - serial > PARENT_AGE_MAX;
	if ((s->slow || old) && !fork_is_child())
		py_result = PyObject_CallMethod(py_self, "write_slowly", "OO", py_text, py_parent);
	else if (put_text(s->number, serial, py_text) == 0)
		py_result = PyLong_FromSsize_t(PyUnicode_GET_LENGTH(py_text));
out:
	Py_XDECREF(py_parent);
	return py_result;
}

static PyObject *
stream_put(PyObject *py_self, PyObject *const *py_args, Py_ssize_t count)
{
	if (count != 2)
		return PyErr_Format(PyExc_TypeError, "put() takes 2 arguments (%zd given)", count);
	unsigned long serial = PyLong_AsUnsignedLong(py_args[0]);
	if (serial == (unsigned long)-1 && PyErr_Occurred() != NULL)
		return NULL;
	if (!is_usable(py_self, py_args[1]) || put_text(stream_of(py_self)->number, (uint32_t)serial, py_args[1]) < 0)
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *
stream_write_slowly(PyObject *py_self, PyObject *py_args)
{
	(void)py_args;
	return PyErr_Format(PyExc_NotImplementedError, "%s has no write_slowly()", Py_TYPE(py_self)->tp_name);
}

/* Nothing to do but in a forked child: the front takes the text from shared memory. */
static PyObject *
stream_flush(PyObject *py_self, PyObject *py_unused)
{
	(void)py_unused;
	if (stream_of(py_self)->closed) {
		PyErr_SetString(PyExc_ValueError, "I/O operation on closed file");
		return NULL;
	}
	if (fork_flush() < 0)
		return NULL;
	Py_RETURN_NONE;
}

/* Closing is remembered here for write(), and done by the base type. */
static PyObject *
stream_close(PyObject *py_self, PyObject *py_unused)
{
	(void)py_unused;
	PyObject *py_base = (PyObject *)Py_TYPE(py_self)->tp_base; /* borrowed; any base of Stream will do */
	while (((PyTypeObject *)py_base)->tp_basicsize > base_size)
		py_base = (PyObject *)((PyTypeObject *)py_base)->tp_base;
	PyObject *py_result = PyObject_CallMethod(py_base, "close", "O", py_self);
	if (py_result != NULL)
		stream_of(py_self)->closed = 1;
	return py_result;
}

static int
stream_start(PyObject *py_self, PyObject *py_args, PyObject *py_keywords)
{
	static char first[] = "number";
	static char *names[] = { first, NULL };
	int number;
	if (!PyArg_ParseTupleAndKeywords(py_args, py_keywords, "i", names, &number))
		return -1;
	if (number != STDOUT_FILENO && number != STDERR_FILENO) {
		PyErr_SetString(PyExc_ValueError, "a Stream is number 1 (stdout) or 2 (stderr)");
		return -1;
	}
	stream_of(py_self)->number = (uint32_t)number;
	return 0;
}

static PyMethodDef methods[] = {
	{ "write", stream_write, METH_O, "Write text; the number of characters." },
	{ "write_slowly", stream_write_slowly, METH_VARARGS,
	  "What write() does when it may not use the ring directly." },
	{ "put", (PyCFunction)(void (*)(void))stream_put, METH_FASTCALL,
	  "Write text under an explicit request serial." },
	{ "flush", stream_flush, METH_NOARGS, "Write what a forked child still holds." },
	{ "close", stream_close, METH_NOARGS, "Close; later writes raise ValueError." },
	{ 0 },
};

/* Offsets are known once the base type is. */
static PyMemberDef members[] = {
	{ "slow", T_BOOL, offsetof(struct stream, slow), 0, "Send every write through write_slowly()." },
	{ 0 },
};

static char type_doc[] = "The C half of sys.stdout and sys.stderr.";

static PyType_Slot slots[] = {
	{ Py_tp_doc, type_doc },
	{ Py_tp_init, stream_start },
	{ Py_tp_methods, methods },
	{ Py_tp_members, members },
	{ 0 },
};

/* The abstract io.TextIOBase must own up to a type that derives from its C base only. */
static int
register_type(PyObject *py_type)
{
	PyObject *py_io = PyImport_ImportModule("io");
	PyObject *py_abstract = py_io == NULL ? NULL : PyObject_GetAttrString(py_io, "TextIOBase");
	PyObject *py_result = py_abstract == NULL ? NULL : PyObject_CallMethod(py_abstract, "register", "O", py_type);
	int failure = py_result == NULL ? -1 : 0;
	Py_XDECREF(py_result);
	Py_XDECREF(py_abstract);
	Py_XDECREF(py_io);
	return failure;
}

static PyObject *
make_type(void)
{
	PyObject *py_io = PyImport_ImportModule("_io");
	PyObject *py_base = py_io == NULL ? NULL : PyObject_GetAttrString(py_io, "_TextIOBase");
	Py_XDECREF(py_io);
	if (py_base == NULL)
		return NULL;
	base_size = ((PyTypeObject *)py_base)->tp_basicsize;
	members[0].offset = base_size + (Py_ssize_t)offsetof(struct stream, slow);
	PyType_Spec spec = {
		.name = "_pupitre.Stream",
		.basicsize = (int)(base_size + (Py_ssize_t)sizeof(struct stream)),
		.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
		.slots = slots,
	};
	PyObject *py_type = PyType_FromSpecWithBases(&spec, py_base);
	Py_DECREF(py_base);
	return py_type;
}

int
stream_init(PyObject *py_module)
{
	py_parent_variable = PyContextVar_New("pupitre_parent", NULL);
	PyObject *py_type = py_parent_variable == NULL ? NULL : make_type();
	int failure = -1;
	if (py_type != NULL && register_type(py_type) == 0 && PyModule_AddObjectRef(py_module, "Stream", py_type) == 0)
		failure = PyModule_AddObjectRef(py_module, "parent", py_parent_variable);
	Py_XDECREF(py_type);
	return failure;
}

PyObject *
stream_set_parent(PyObject *py_module, PyObject *py_parent)
{
	(void)py_module;
	uint32_t serial;
	if (parent_serial(py_parent, &serial) < 0)
		return NULL;
	Py_XSETREF(py_default_parent, Py_NewRef(py_parent));
	Py_RETURN_NONE;
}
