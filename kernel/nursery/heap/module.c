/* SPDX-License-Identifier: BSD-3-Clause */
#include "heap.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

#define COMM_SIZE 32
#define FASTCALL_KEYWORDS(function) ((PyCFunction)(void (*)(void))(function))

/* What became of a trick that was not done: {"refused": reason}, or the exception that is set. New reference. */
static PyObject *
refused(const struct err *e)
{
	if (PyErr_Occurred() != NULL)
		return NULL;
	return Py_BuildValue("{ss}", "refused", e->text);
}

static PyObject *
tune_malloc(PyObject *py_module, PyObject *py_unused)
{
	(void)py_module;
	(void)py_unused;
	struct err e = ERR_INIT;
	if (heap_refuse_sanitizer(&e) < 0)
		return refused(&e);
	if (heap_tune_malloc() < 0) {
		err_set(&e, ERR_DENIED, "mallopt has no such knobs in this C library");
		return refused(&e);
	}
	return PyDict_New();
}

static PyObject *
thp_off(PyObject *py_module, PyObject *py_unused)
{
	(void)py_module;
	(void)py_unused;
	struct err e = ERR_INIT;
	return heap_refuse_huge_pages(&e) < 0 ? refused(&e) : PyDict_New();
}

static PyObject *
plug_holes(PyObject *py_module, PyObject *py_unused)
{
	(void)py_module;
	(void)py_unused;
	struct err e = ERR_INIT;
	struct heap_plugged did;
	if (heap_plug(&did, &e) < 0)
		return refused(&e);
	return Py_BuildValue("{sn,sn,sn,sn}", "blocks", did.blocks, "block_bytes", did.block_bytes, "chunks",
			     did.chunks, "chunk_bytes", did.chunk_bytes);
}

static PyObject *
immortalise(PyObject *py_module, PyObject *py_args, PyObject *py_keywords)
{
	(void)py_module;
	char *names[] = { (char[]){ "roots" }, (char[]){ "mortal" }, NULL };
	PyObject *py_roots = NULL, *py_mortal = NULL; /* borrowed */
	if (!PyArg_ParseTupleAndKeywords(py_args, py_keywords, "|$OO", names, &py_roots, &py_mortal))
		return NULL;
	struct err e = ERR_INIT;
	struct heap_immortal did;
	if (heap_immortalise(py_roots, py_mortal, &did, &e) < 0)
		return refused(&e);
	return Py_BuildValue("{sn,sn}", "objects", did.objects, "mortal", did.mortal);
}

static PyObject *
note_counters(PyObject *py_module, PyObject *py_args)
{
	(void)py_module;
	PyObject *py_objects, *py_probe; /* borrowed */
	const char *layout;
	Py_ssize_t size;
	if (!PyArg_ParseTuple(py_args, "O!O!y#", &PyList_Type, &py_objects, &PyCode_Type, &py_probe, &layout, &size))
		return NULL;
	if (size != HEAP_LAYOUT_SIZE)
		return PyErr_SetString(PyExc_ValueError, "layout"), NULL;
	struct err e = ERR_INIT;
	struct heap_counted did;
	if (heap_note_counters(py_objects, py_probe, (const unsigned char *)layout, &did, &e) < 0)
		return refused(&e);
	return Py_BuildValue("{sn,sn,sn}", "codes", did.codes, "counters", did.counters, "pages", did.pages);
}

static PyObject *
remap_heap(PyObject *py_module, PyObject *py_unused)
{
	(void)py_module;
	(void)py_unused;
	struct err e = ERR_INIT;
	struct heap_remapped did;
	if (heap_remap(&did, &e) < 0)
		return refused(&e);
	return Py_BuildValue("{sn,sn,sn}", "mappings", did.mappings, "pieces", did.pieces, "bytes", did.bytes);
}

static PyObject *
reshare(PyObject *py_module, PyObject *py_unused)
{
	(void)py_module;
	(void)py_unused;
	struct err e = ERR_INIT;
	struct heap_reshared did;
	if (heap_reshare(&did, &e) < 0)
		return refused(&e);
	return Py_BuildValue("{sn,sn}", "looked_at", did.looked_at, "pages", did.pages);
}

static PyObject *
list_copies(PyObject *py_module, PyObject *py_unused)
{
	(void)py_module;
	(void)py_unused;
	struct err e = ERR_INIT;
	struct heap_copies *copies = heap_list_copies(&e);
	if (copies == NULL) {
		PyErr_SetString(PyExc_OSError, e.text);
		return NULL;
	}
	Py_ssize_t size = (Py_ssize_t)(copies->count * sizeof *copies->ranges);
	PyObject *py_ranges = PyBytes_FromStringAndSize((const char *)copies->ranges, size);
	heap_free_copies(copies);
	return py_ranges;
}

static PyObject *
expect_copies(PyObject *py_module, PyObject *py_ranges)
{
	(void)py_module;
	struct err e = ERR_INIT;
	char *data;
	Py_ssize_t size;
	if (PyBytes_AsStringAndSize(py_ranges, &data, &size) < 0)
		return NULL;
	size_t count = (size_t)size / sizeof(struct maps_range);
	if (heap_expect_copies((const struct maps_range *)(void *)data, count, &e) < 0)
		return refused(&e);
	return Py_BuildValue("{sn}", "ranges", (Py_ssize_t)count);
}

static PyObject *
copy_expected(PyObject *py_module, PyObject *py_unused)
{
	(void)py_module;
	(void)py_unused;
	heap_copy_expected();
	Py_RETURN_NONE;
}

static PyObject *
trim(PyObject *py_module, PyObject *py_unused)
{
	(void)py_module;
	(void)py_unused;
	heap_trim();
	Py_RETURN_NONE;
}

static PyObject *
names_asked(PyObject *py_module, PyObject *py_unused)
{
	(void)py_module;
	(void)py_unused;
	PyObject *py_names = PyList_New(0);
	for (const char *at = heap_names_asked(); py_names != NULL && *at != '\0'; at += strlen(at) + 1) {
		PyObject *py_name = PyBytes_FromString(at);
		if (py_name == NULL || PyList_Append(py_names, py_name) < 0)
			Py_CLEAR(py_names);
		Py_XDECREF(py_name);
	}
	return py_names;
}

static int
append_shared(void *py_list, const struct maps_range *range, int protection, const char *name)
{
	(void)protection;
	PyObject *py_entry = Py_BuildValue("kkN", range->begin, range->end, PyUnicode_DecodeFSDefault(name));
	int failure = py_entry == NULL ? -1 : PyList_Append(py_list, py_entry);
	Py_XDECREF(py_entry);
	return failure;
}

static PyObject *
shared_mappings(PyObject *py_module, PyObject *py_unused)
{
	(void)py_module;
	(void)py_unused;
	struct err e = ERR_INIT;
	PyObject *py_list = PyList_New(0);
	if (py_list != NULL && heap_each_shared(append_shared, py_list, &e) < 0) {
		Py_CLEAR(py_list);
		if (PyErr_Occurred() == NULL)
			PyErr_SetString(PyExc_OSError, e.text);
	}
	return py_list;
}

static PyObject *
note_shared(PyObject *py_module, PyObject *py_unused)
{
	(void)py_module;
	(void)py_unused;
	struct err e = ERR_INIT;
	if (heap_note_shared(&e) == 0)
		Py_RETURN_NONE;
	PyErr_SetString(PyExc_OSError, e.text);
	return NULL;
}

/* The name of a thread of ours as (tid, str). New reference. */
static PyObject *
name_thread(long tid)
{
	char path[64], comm[COMM_SIZE];
	snprintf(path, sizeof path, "/proc/self/task/%ld/comm", tid);
	FD_AUTO fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? -1 : read(fd, comm, sizeof comm);
	if (size < 0) /* it has just ended */
		size = 0;
	PyObject *py_comm = PyUnicode_DecodeUTF8(comm, size > 0 && comm[size - 1] == '\n' ? size - 1 : size, "replace");
	return py_comm == NULL ? NULL : Py_BuildValue("lN", tid, py_comm);
}

static PyObject *
thread_names(PyObject *py_module, PyObject *py_unused)
{
	(void)py_module;
	(void)py_unused;
	DIR *directory = opendir("/proc/self/task");
	if (directory == NULL)
		return PyErr_SetFromErrnoWithFilename(PyExc_OSError, "/proc/self/task");
	PyObject *py_names = PyList_New(0);
	for (struct dirent *entry; py_names != NULL && (entry = readdir(directory)) != NULL;) {
		long tid = strtol(entry->d_name, NULL, 10);
		if (tid <= 0)
			continue;
		PyObject *py_name = name_thread(tid);
		if (py_name == NULL || PyList_Append(py_names, py_name) < 0)
			Py_CLEAR(py_names);
		Py_XDECREF(py_name);
	}
	closedir(directory);
	return py_names;
}

static PyObject *
count_threads(PyObject *py_module, PyObject *py_unused)
{
	(void)py_module;
	(void)py_unused;
	return PyLong_FromLong(heap_count_threads());
}

static PyObject *
memory_of(PyObject *py_module, PyObject *py_pid)
{
	(void)py_module;
	struct err e = ERR_INIT;
	struct heap_memory memory;
	long pid = PyLong_AsLong(py_pid);
	if (pid == -1 && PyErr_Occurred() != NULL)
		return NULL;
	if (heap_memory_of((pid_t)pid, &memory, &e) < 0) {
		PyErr_SetString(PyExc_OSError, e.text);
		return NULL;
	}
	return Py_BuildValue("{sk,sk,sk,sk,sk}", "rss", memory.rss, "pss", memory.pss, "private", memory.private,
			     "shared", memory.shared, "swap", memory.swap);
}

static PyMethodDef methods[] = {
	{ "tune_malloc", tune_malloc, METH_NOARGS, "tune_malloc()" },
	{ "thp_off", thp_off, METH_NOARGS, "thp_off()" },
	{ "plug_holes", plug_holes, METH_NOARGS, "plug_holes()" },
	{ "immortalise", FASTCALL_KEYWORDS(immortalise), METH_VARARGS | METH_KEYWORDS,
	  "immortalise(*, roots=(), mortal=())" },
	{ "note_counters", note_counters, METH_VARARGS, "note_counters(objects, probe, layout, /)" },
	{ "remap_heap", remap_heap, METH_NOARGS, "remap_heap()" },
	{ "reshare", reshare, METH_NOARGS, "reshare()" },
	{ "list_copies", list_copies, METH_NOARGS, "list_copies()" },
	{ "expect_copies", expect_copies, METH_O, "expect_copies(ranges, /)" },
	{ "copy_expected", copy_expected, METH_NOARGS, "copy_expected()" },
	{ "names_asked", names_asked, METH_NOARGS, "names_asked()" },
	{ "shared_mappings", shared_mappings, METH_NOARGS, "shared_mappings()" },
	{ "note_shared", note_shared, METH_NOARGS, "note_shared()" },
	{ "trim", trim, METH_NOARGS, "trim()" },
	{ "thread_names", thread_names, METH_NOARGS, "thread_names()" },
	{ "count_threads", count_threads, METH_NOARGS, "count_threads()" },
	{ "memory_of", memory_of, METH_O, "memory_of(pid, /)" },
	{ 0 },
};

PyObject *
heap_make_module(void)
{
	static struct PyModuleDef definition = {
		PyModuleDef_HEAD_INIT,
		.m_name = "_nursery",
		.m_doc = "What pupitre-template does to its own memory. docs/memory.md",
		.m_size = -1,
		.m_methods = methods,
	};
	return PyModule_Create(&definition);
}
