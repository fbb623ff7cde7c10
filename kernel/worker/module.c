/* SPDX-License-Identifier: BSD-3-Clause */
#include "module.h"

#include "answers.h"
#include "compat.h"
#include "dispatch.h"
#include "ends.h"
#include "fork.h"
#include "interrupt.h"
#include "link.h"
#include "printed.h"
#include "repair.h"
#include "stream.h"
#include "unseen.h"

#define FASTCALL(function) ((PyCFunction)(void (*)(void))(function))

static const struct {
	const char *name;
	long value;
} constants[] = {
	{ "START", FRAME_START },
	{ "REQUEST", FRAME_REQUEST },
	{ "EXIT", FRAME_EXIT },
	{ "HELLO", FRAME_HELLO },
	{ "REPLY", FRAME_REPLY },
	{ "DONE", FRAME_DONE },
	{ "PUBLISH", FRAME_PUBLISH },
	{ "INPUT_REQUEST", FRAME_INPUT_REQUEST },
	{ "BYE", FRAME_BYE },
	{ "LOG", FRAME_LOG },
	{ "ABORT_QUEUE", FRAME_ABORT_QUEUE },
	{ "PARENTS_KEPT", FRAME_PARENTS_KEPT },
};

static PyObject *
is_child_method(PyObject *py_module, PyObject *py_unused)
{
	(void)py_module;
	(void)py_unused;
	return PyBool_FromLong(fork_is_child());
}

static PyMethodDef methods[] = {
	{ "send", FASTCALL(link_send_method), METH_FASTCALL, "send(type, flags, serial, parts, /)" },
	{ "wait_for_answer", answers_wait_method, METH_O, "wait_for_answer(number, /)" },
	{ "set_handler", FASTCALL(dispatch_set_handler), METH_FASTCALL, "set_handler(handle, fail, /)" },
	{ "dispatch", dispatch_waiting_frames, METH_NOARGS, "dispatch()" },
	{ "call_ours", FASTCALL(dispatch_call_ours), METH_FASTCALL, "call_ours(serial, func, /, *args)" },
	{ "call_user", FASTCALL(interrupt_call_user), METH_FASTCALL, "call_user(serial, cell, func, /, *args)" },
	{ "wait", FASTCALL(interrupt_wait), METH_FASTCALL, "wait(func, /, *args)" },
	{ "ring", interrupt_ring, METH_NOARGS, "ring()" },
	{ "take_exit", interrupt_take_exit, METH_NOARGS, "take_exit()" },
	{ "set_pending", FASTCALL(interrupt_set_pending), METH_FASTCALL, "set_pending(serial, cell, /)" },
	{ "set_parent", stream_set_parent, METH_O, "set_parent(parent, /)" },
	{ "take_printed", printed_take, METH_O, "take_printed(serial, /)" },
	{ "repair", repair_method, METH_O, "repair(everything, /)" },
	{ "changed_builtins", repair_changed, METH_NOARGS, "changed_builtins()" },
	{ "protect", repair_protect, METH_NOARGS, "protect()" },
	{ "is_child", is_child_method, METH_NOARGS, "is_child()" },
	{ 0 },
};

static struct PyModuleDef definition = {
	PyModuleDef_HEAD_INIT,
	.m_name = "_pupitre",
	.m_doc = "The only door between Python and the front; see _pupitre.pyi.",
	.m_size = -1,
	.m_methods = methods,
};

static int
add_ends(PyObject *py_module)
{
	if (PyModule_AddIntConstant(py_module, "link_fd", ends_get()->link) < 0)
		return -1;
	return PyModule_AddIntConstant(py_module, "wake_fd", ends_get()->wake);
}

static int
add_constants(PyObject *py_module)
{
	for (size_t i = 0; i < sizeof constants / sizeof *constants; i++) {
		if (PyModule_AddIntConstant(py_module, constants[i].name, constants[i].value) < 0)
			return -1;
	}
	if (add_ends(py_module) < 0)
		return -1;
	return PyModule_AddStringConstant(py_module, "version", PUPITRE_VERSION);
}

static PyObject *
make_module(void)
{
	PyObject *py_module = PyModule_Create(&definition);
	if (py_module == NULL)
		return NULL;
	if (add_constants(py_module) < 0 || stream_init(py_module) < 0 || unseen_init(py_module) < 0)
		Py_CLEAR(py_module);
	return py_module;
}

int
module_refresh(void)
{
	PyObject *py_module = PyImport_ImportModule("_pupitre");
	int failure = py_module == NULL ? -1 : add_ends(py_module);
	Py_XDECREF(py_module);
	return failure;
}

int
module_register(void)
{
	return PyImport_AppendInittab("_pupitre", make_module);
}
