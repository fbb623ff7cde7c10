/* SPDX-License-Identifier: BSD-3-Clause */
#include "repair.h"

#include "ends.h"
#include "guard.h"

#define RECURSION_MIN 200 /* below this, our own code and IPython's cannot run */

/* Lists of sys that importing needs: broken when gone, empty or no list any more. */
static const char *const import_lists[] = { "meta_path", "path_hooks", "path" };
#define IMPORT_LISTS (sizeof import_lists / sizeof *import_lists)

static const char *const stream_names[] = { "stdout", "stderr" };
#define STREAMS (sizeof stream_names / sizeof *stream_names)

/* A dict and what was in it. */
struct picture {
	PyObject *py_live, *py_then; /* owned; NULL until protect() */
	uint64_t version;            /* of the dict at that time; 0 where Python tells none */
	uint64_t sound;              /* of the dict when it was last looked through and left as user code may have it */
};

static struct picture builtins, modules;
static PyObject *py_lists_then[IMPORT_LISTS];
static PyObject *py_streams_then[STREAMS];
static int recursion_then;

static PyObject *py_mended; /* owned list: names since the last repair(); NULL when there are none */

static void
note(const char *format, PyObject *py_key)
{
	PyObject *py_name = PyUnicode_FromFormat(format, py_key);
	if (py_mended == NULL)
		py_mended = PyList_New(0);
	if (py_name == NULL || py_mended == NULL || PyList_Append(py_mended, py_name) < 0)
		PyErr_Clear();
	Py_XDECREF(py_name);
}

static bool
is_broken(PyObject *py_then, PyObject *py_now, bool everything)
{
	if (py_now == NULL)
		return true;
	if (py_now == py_then)
		return false;
	if (PyType_Check(py_then) && !PyType_Check(py_now))
		return true; /* `except` and isinstance() take nothing else */
	return everything || (PyCallable_Check(py_then) && !PyCallable_Check(py_now));
}

/* Whether a module that was there at start is no module any more. Its own author may put an object into its place. */
static bool
is_lost(PyObject *py_then, PyObject *py_now, bool everything)
{
	if (py_now == NULL || py_now == Py_None)
		return py_now != py_then;
	return everything && PyModule_Check(py_then) && !PyModule_Check(py_now);
}

/* Whether the dict still begins as its copy does: the usual case, told without a look-up. PyDict_Next reads the names, and
 * with them pages of a template that a forked worker does not have yet; hence the version. */
static bool
is_unchanged(struct picture *p)
{
	if (p->version != 0 && p->version == py_dict_version(p->py_live))
		return true;
	PyObject *py_name, *py_value, *py_name_then, *py_value_then;
	Py_ssize_t position = 0, position_then = 0;
	while (PyDict_Next(p->py_then, &position_then, &py_name_then, &py_value_then)) {
		if (!PyDict_Next(p->py_live, &position, &py_name, &py_value) || py_name != py_name_then ||
		    py_value != py_value_then)
			return false;
	}
	p->sound = py_dict_version(p->py_live);
	return true;
}

/* User code is left several times for one cell, and IPython itself puts names into builtins and takes them out for each. */
static bool
is_known_to_be_sound(const struct picture *p)
{
	return p->sound != 0 && p->sound == py_dict_version(p->py_live);
}

static void
mend_builtins(bool everything)
{
	PyObject *py_name, *py_then;
	Py_ssize_t position = 0;
	if ((!everything && is_known_to_be_sound(&builtins)) || is_unchanged(&builtins))
		return;
	while (PyDict_Next(builtins.py_then, &position, &py_name, &py_then)) {
		PyObject *py_now = PyDict_GetItemWithError(builtins.py_live, py_name); /* borrowed */
		if (!is_broken(py_then, py_now, everything))
			continue;
		if (PyDict_SetItem(builtins.py_live, py_name, py_then) == 0)
			note("builtins.%U", py_name);
	}
	builtins.sound = py_dict_version(builtins.py_live);
	PyErr_Clear();
}

static void
mend_modules(bool everything)
{
	PyObject *py_name, *py_then;
	Py_ssize_t position = 0;
	bool broken = PySys_GetObject("modules") != modules.py_live && PySys_SetObject("modules", modules.py_live) == 0;
	if (!broken && ((!everything && is_known_to_be_sound(&modules)) || is_unchanged(&modules)))
		return;
	while (PyDict_Next(modules.py_then, &position, &py_name, &py_then)) {
		PyObject *py_now = PyDict_GetItemWithError(modules.py_live, py_name); /* borrowed */
		if (is_lost(py_then, py_now, everything) && PyDict_SetItem(modules.py_live, py_name, py_then) == 0)
			broken = true;
	}
	modules.sound = py_dict_version(modules.py_live);
	PyErr_Clear();
	if (broken)
		note("sys.modules", NULL);
}

static void
mend_lists(void)
{
	for (size_t i = 0; i < IMPORT_LISTS; i++) {
		PyObject *py_now = PySys_GetObject(import_lists[i]); /* borrowed */
		if (py_now != NULL && PyList_Check(py_now) && PyList_GET_SIZE(py_now) > 0)
			continue;
		PyObject *py_list = PySequence_List(py_lists_then[i]);
		if (py_list != NULL && PySys_SetObject(import_lists[i], py_list) == 0)
			note(i == 0 ? "sys.meta_path" : i == 1 ? "sys.path_hooks" : "sys.path", NULL);
		Py_XDECREF(py_list);
	}
	PyErr_Clear();
}

static void
mend_streams(void)
{
	for (size_t i = 0; i < STREAMS; i++) {
		PyObject *py_now = PySys_GetObject(stream_names[i]); /* borrowed */
		if (py_now != NULL && py_now != Py_None)
			continue;
		if (py_now != py_streams_then[i] && PySys_SetObject(stream_names[i], py_streams_then[i]) == 0)
			note(i == 0 ? "sys.stdout" : "sys.stderr", NULL);
	}
	PyErr_Clear();
}

static void
mend_recursion_limit(void)
{
	if (Py_GetRecursionLimit() >= RECURSION_MIN)
		return;
	Py_SetRecursionLimit(recursion_then);
	note("sys.recursionlimit", NULL);
}

static void
mend(bool everything)
{
	if (builtins.py_then == NULL)
		return;
	PyObject *py_error = py_take_exception();
	mend_recursion_limit();
	mend_builtins(everything);
	mend_modules(everything);
	mend_lists();
	mend_streams();
	py_put_exception(py_error);
}

void
repair_after_user(void)
{
	mend(false);
}

void
repair_everything(void)
{
	mend(true);
}

PyObject *
repair_method(PyObject *py_module, PyObject *py_everything)
{
	(void)py_module;
	mend(py_everything == Py_True);
	PyObject *py_names = py_mended == NULL ? PyList_New(0) : py_mended;
	py_mended = NULL;
	return py_names;
}

PyObject *
repair_changed(PyObject *py_module, PyObject *py_unused)
{
	(void)py_module;
	(void)py_unused;
	PyObject *py_changed = PyDict_New(), *py_name, *py_then;
	Py_ssize_t position = 0;
	if (py_changed == NULL || builtins.py_then == NULL || is_unchanged(&builtins))
		return py_changed;
	while (PyDict_Next(builtins.py_then, &position, &py_name, &py_then)) {
		PyObject *py_now = PyDict_GetItemWithError(builtins.py_live, py_name); /* borrowed */
		if (py_now != NULL && py_now != py_then)
			PyDict_SetItem(py_changed, py_name, py_now);
		if (PyErr_Occurred() != NULL) {
			Py_DECREF(py_changed);
			return NULL;
		}
	}
	return py_changed;
}

static int
picture_sys(void)
{
	for (size_t i = 0; i < IMPORT_LISTS; i++) {
		PyObject *py_now = PySys_GetObject(import_lists[i]); /* borrowed */
		PyObject *py_copy = py_now == NULL ? PyList_New(0) : PySequence_List(py_now);
		if (py_copy == NULL)
			return -1;
		Py_XSETREF(py_lists_then[i], py_copy);
	}
	for (size_t i = 0; i < STREAMS; i++) {
		PyObject *py_now = PySys_GetObject(stream_names[i]); /* borrowed */
		Py_XSETREF(py_streams_then[i], Py_NewRef(py_now == NULL ? Py_None : py_now));
	}
	recursion_then = Py_GetRecursionLimit();
	return 0;
}

/* Make or complete the picture of a dict. Entries that it has are not touched: a forked worker would pay for a page of
 * reference counts each. */
static int
take(struct picture *p, PyObject *py_live)
{
	PyObject *py_name, *py_value;
	Py_ssize_t position = 0;
	uint64_t version = py_dict_version(py_live);
	if (p->py_live == py_live && version != 0 && version == p->version)
		return 0;
	Py_XSETREF(p->py_live, Py_NewRef(py_live));
	if (p->py_then == NULL)
		p->py_then = PyDict_New();
	while (p->py_then != NULL && PyDict_Next(py_live, &position, &py_name, &py_value)) {
		int has = PyDict_Contains(p->py_then, py_name);
		if (has < 0 || (has == 0 && PyDict_SetItem(p->py_then, py_name, py_value) < 0))
			return -1;
	}
	p->version = version;
	return p->py_then == NULL ? -1 : 0;
}

PyObject *
repair_protect(PyObject *py_module, PyObject *py_unused)
{
	(void)py_module;
	(void)py_unused;
	PyObject *py_builtins_module = PyImport_ImportModule("builtins");
	if (py_builtins_module == NULL)
		return NULL;
	int failed = take(&builtins, PyModule_GetDict(py_builtins_module)) < 0;
	Py_DECREF(py_builtins_module);
	if (failed || take(&modules, PyImport_GetModuleDict()) < 0 || picture_sys() < 0)
		return NULL;
	if (ends_connected())
		guard_protect_loop();
	Py_RETURN_NONE;
}
