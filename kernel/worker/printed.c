/* SPDX-License-Identifier: BSD-3-Clause */
#include "printed.h"

#include <string.h>

#include "requests.h"

#define RUNS_MAX 32 /* changes between the two streams */

static char kept[PRINTED_MAX];
static size_t used;
static uint32_t owner; /* serial of the request */
static struct run {
	uint32_t number;
	size_t size;
} runs[RUNS_MAX];
static size_t run_count;

static void
forget(uint32_t serial)
{
	owner = serial;
	used = run_count = 0;
}

void
printed_keep(uint32_t number, uint32_t serial, const char *text, size_t size)
{
	if (serial != owner) {
		if (serial != requests_newest())
			return;
		forget(serial);
	}
	size_t n = size < PRINTED_MAX - used ? size : PRINTED_MAX - used;
	if (n == 0)
		return;
	if (run_count == 0 || runs[run_count - 1].number != number) {
		if (run_count == RUNS_MAX)
			return;
		runs[run_count++] = (struct run){ .number = number };
	}
	memcpy(kept + used, text, n);
	used += n;
	runs[run_count - 1].size += n;
}

PyObject *
printed_take(PyObject *py_module, PyObject *py_serial)
{
	(void)py_module;
	unsigned long serial = PyLong_AsUnsignedLong(py_serial);
	if (serial == (unsigned long)-1 && PyErr_Occurred() != NULL)
		return NULL;
	PyObject *py_runs = PyList_New(0);
	const char *at = kept;
	for (size_t i = 0; py_runs != NULL && serial == owner && i < run_count; i++) {
		PyObject *py_text = PyUnicode_DecodeUTF8(at, (Py_ssize_t)runs[i].size, "ignore");
		PyObject *py_run = py_text == NULL ? NULL : Py_BuildValue("(IN)", runs[i].number, py_text);
		if (py_run == NULL || PyList_Append(py_runs, py_run) < 0)
			Py_CLEAR(py_runs);
		Py_XDECREF(py_run);
		at += runs[i].size;
	}
	if (serial == owner)
		forget(owner);
	return py_runs;
}
