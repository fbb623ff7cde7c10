/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Since 3.11 CPython counts inside its bytecode how often an instruction ran, or which way a jump went, to decide when to
 * specialise it. So running a function writes to the page that its code lies on. What is counted has no meaning but this: a
 * page of a child that differs from the template's in nothing else may be dropped, and the count begins anew.
 *
 * Such a place must stay one for as long as the child lives: the code objects are never freed.
 */
#include "heap.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "maps.h"

#define UNIT sizeof(uint16_t) /* an instruction, and each entry of the cache behind it */
#define BITS_SIZE (MAPS_PAGE / UNIT / 8)
#define PLACES_MIN ((size_t)1 << 20)
#define OPCODES ((size_t)256)
#define NONE 255

/* Ordered by address, in one private mapping with `bits`, which heap_remap makes part of the file. */
static const uintptr_t *pages;
static const unsigned char (*bits)[BITS_SIZE]; /* of each page: which of its units are counters */
static size_t page_count;

struct notes {
	const unsigned char *entries, *places; /* by opcode: see heap_note_counters */
	uintptr_t *at;
	size_t count, room;
	bool failed; /* for want of memory */
	struct heap_counted did;
};

static void
note(struct notes *n, uintptr_t at)
{
	if (n->count == n->room) {
		void *larger = mremap(n->at, n->room * sizeof *n->at, 2 * n->room * sizeof *n->at, MREMAP_MAYMOVE);
		if (larger == MAP_FAILED) {
			n->failed = true;
			return;
		}
		n->at = larger;
		n->room *= 2;
	}
	n->at[n->count++] = at;
}

static void
note_code(struct notes *n, PyCodeObject *code)
{
	const unsigned char *unit = (const unsigned char *)code->co_code_adaptive;
	const unsigned char *end = unit + (size_t)Py_SIZE(code) * UNIT;
	size_t before = n->count;
	for (; unit < end && n->entries[*unit] != NONE; unit += (1 + (size_t)n->entries[*unit]) * UNIT)
		if (n->places[*unit] != NONE)
			note(n, (uintptr_t)unit + (1 + (size_t)n->places[*unit]) * UNIT);
	if (unit != end)
		n->count = before; /* somebody traces it, or it was compiled further */
	Py_INCREF(code);           /* for ever */
	n->did.codes++;
	for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(code->co_consts); i++) {
		PyObject *py_part = PyTuple_GET_ITEM(code->co_consts, i); /* borrowed */
		if (PyCode_Check(py_part))
			note_code(n, (PyCodeObject *)py_part);
	}
}

/* A visitproc. */
static int
visit(PyObject *object, void *notes)
{
	if (object != NULL && PyCode_Check(object))
		note_code(notes, (PyCodeObject *)object);
	return 0;
}

static int
order(const void *one, const void *other)
{
	uintptr_t a = *(const uintptr_t *)one, b = *(const uintptr_t *)other;
	return (a > b) - (a < b);
}

/* Make the table from the places, which are in order. */
static int
tabulate(struct notes *n, struct err *e)
{
	size_t count = 0;
	for (size_t i = 0; i < n->count; i++)
		count += i == 0 || n->at[i] / MAPS_PAGE != n->at[i - 1] / MAPS_PAGE;
	uintptr_t *found = maps_room(count * (sizeof *found + BITS_SIZE));
	if (found == NULL)
		return err_memory(e);
	unsigned char(*marks)[BITS_SIZE] = (void *)(found + count);
	size_t last = 0;
	for (size_t i = 0; i < n->count; i++) {
		size_t unit = n->at[i] % MAPS_PAGE / UNIT;
		last += i > 0 && n->at[i] / MAPS_PAGE != n->at[i - 1] / MAPS_PAGE;
		found[last] = n->at[i] & ~(uintptr_t)(MAPS_PAGE - 1);
		n->did.counters += i == 0 || n->at[i] != n->at[i - 1];
		marks[last][unit / 8] |= (unsigned char)(1U << unit % 8);
	}
	pages = found;
	bits = (const unsigned char(*)[BITS_SIZE])marks;
	page_count = n->did.pages = count;
	return 0;
}

/* Whether the code of the one that asks lies where this file believes. */
static bool
is_laid_out_as_known(PyObject *py_probe)
{
	PyObject *py_code = PyCode_Check(py_probe) ? PyObject_GetAttrString(py_probe, "_co_code_adaptive") : NULL;
	const char *code = ((PyCodeObject *)py_probe)->co_code_adaptive;
	bool is_known = py_code != NULL && PyBytes_Check(py_code) &&
			PyBytes_GET_SIZE(py_code) == Py_SIZE(py_probe) * (Py_ssize_t)UNIT &&
			memcmp(PyBytes_AS_STRING(py_code), code, (size_t)PyBytes_GET_SIZE(py_code)) == 0;
	PyErr_Clear();
	Py_XDECREF(py_code);
	return is_known;
}

int
heap_note_counters(PyObject *py_objects, PyObject *py_probe, const unsigned char layout[HEAP_LAYOUT_SIZE],
		   struct heap_counted *ret, struct err *e)
{
	if (heap_refuse_sanitizer(e) < 0)
		return -1;
	if (PY_VERSION_HEX >= 0x030F0000 || Py_Version >> 16 != PY_VERSION_HEX >> 16 || !is_laid_out_as_known(py_probe))
		return err_set(e, ERR_DENIED, "the bytecode of CPython 3.11 to 3.14 is known only");
	if (page_count > 0)
		return err_set(e, ERR_DENIED, "done before");
	struct notes n = { .entries = layout, .places = layout + OPCODES, .room = PLACES_MIN };
	n.at = maps_room(n.room * sizeof *n.at);
	if (n.at == NULL)
		return err_memory(e);
	for (Py_ssize_t i = 0; i < PyList_GET_SIZE(py_objects); i++) {
		PyObject *py_object = PyList_GET_ITEM(py_objects, i); /* borrowed */
		visit(py_object, &n);
		if (Py_TYPE(py_object)->tp_traverse != NULL)
			Py_TYPE(py_object)->tp_traverse(py_object, visit, &n);
	}
	qsort(n.at, n.count, sizeof *n.at, order);
	int failure = n.failed ? err_memory(e) : tabulate(&n, e);
	munmap(n.at, n.room * sizeof *n.at);
	if (failure == 0)
		*ret = n.did;
	return failure;
}

static const unsigned char *
bits_of(uintptr_t page)
{
	size_t low = 0, high = page_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (pages[middle] == page)
			return bits[middle];
		if (pages[middle] < page)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

bool
heap_differs_in_counters_only(uintptr_t page, const char *one, const char *other)
{
	const unsigned char *counters = bits_of(page);
	if (counters == NULL)
		return false;
	for (size_t i = 0; i < MAPS_PAGE / UNIT; i += sizeof(uint64_t) / UNIT) {
		uint64_t a, b;
		memcpy(&a, one + i * UNIT, sizeof a);
		memcpy(&b, other + i * UNIT, sizeof b);
		a ^= b;
		for (size_t j = i; a != 0; j++, a >>= 8 * UNIT) /* of a little-endian machine */
			if ((uint16_t)a != 0 && (counters[j / 8] >> j % 8 & 1) == 0)
				return false;
	}
	return true;
}
