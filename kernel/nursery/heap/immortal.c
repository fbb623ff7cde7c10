/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Since 3.12 CPython does not count the references of an object whose counter has a certain value (PEP 683). That value is
 * the interpreter's own affair and may change: the versions are listed, and the interpreter that runs is tried first.
 */
#include "heap.h"

#if PY_VERSION_HEX < 0x030C0000 || PY_VERSION_HEX >= 0x030F0000 || defined(Py_GIL_DISABLED)

int
heap_immortalise(PyObject *py_roots, PyObject *py_mortal, struct heap_immortal *ret, struct err *e)
{
	(void)py_roots;
	(void)py_mortal;
	(void)ret;
	return err_set(e, ERR_DENIED, "immortal objects are known of CPython 3.12 to 3.14 with a GIL only");
}

#else

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#if PY_VERSION_HEX >= 0x030E0000
#define IMMORTAL ((uint32_t)3 << 30)
#else
#define IMMORTAL UINT32_MAX
#endif

#define SLOT sizeof(void *)
#define STACK_MIN ((size_t)1 << 20)
#define SET_SIZE ((size_t)1 << 16) /* a power of two; half of it may be used */

struct walk {
	PyObject **stack; /* borrowed: immortal, or known to the collector; what they refer to is still to be visited */
	size_t depth, room;
	const void **seen; /* a hash table: static types, which were immortal before, and objects to stay mortal */
	size_t seen_count;
	bool failed; /* for want of memory */
	struct heap_immortal did;
};

/* The low half of the counter, where all the versions have it: the machine is little-endian. */
static uint32_t
count_get(const PyObject *object)
{
	uint32_t count;
	memcpy(&count, object, sizeof count);
	return count;
}

static bool
is_immortal(const PyObject *object)
{
	return (int32_t)count_get(object) < 0;
}

static void
make_immortal(PyObject *object)
{
	const uint32_t count = IMMORTAL;
	memcpy(object, &count, sizeof count);
}

/* Add to the table. Whether it was not there. */
static bool
see(struct walk *w, const void *object)
{
	size_t i = ((uintptr_t)object >> 4) * 0x9E3779B97F4A7C15u >> 48;
	for (; w->seen[i] != NULL; i = (i + 1) & (SET_SIZE - 1))
		if (w->seen[i] == object)
			return false;
	if (w->seen_count >= SET_SIZE / 2) {
		w->failed = true;
		return false;
	}
	w->seen[i] = object;
	w->seen_count++;
	return true;
}

static bool
is_seen(const struct walk *w, const void *object)
{
	size_t i = ((uintptr_t)object >> 4) * 0x9E3779B97F4A7C15u >> 48;
	for (; w->seen[i] != NULL; i = (i + 1) & (SET_SIZE - 1))
		if (w->seen[i] == object)
			return true;
	return false;
}

static void
push(struct walk *w, PyObject *object)
{
	if (w->depth == w->room) {
		void *larger = mremap(w->stack, w->room * SLOT, 2 * w->room * SLOT, MREMAP_MAYMOVE);
		if (larger == MAP_FAILED) {
			w->failed = true;
			return;
		}
		w->stack = larger;
		w->room *= 2;
	}
	w->stack[w->depth++] = object;
}

/* Empty ones are there to be filled, and often dropped with what they hold by then: lists of things to do. Immortal, they would
 * hold it for ever. */
static bool
is_empty_container(PyObject *object)
{
	if (PyList_CheckExact(object))
		return PyList_GET_SIZE(object) == 0;
	if (PyDict_CheckExact(object))
		return PyDict_GET_SIZE(object) == 0;
	return Py_IS_TYPE(object, &PySet_Type) && PySet_GET_SIZE(object) == 0;
}

/* Whether dropping the last reference has an effect that the program may count on, or the object changes while it runs. */
static bool
must_stay_mortal(const struct walk *w, PyObject *object)
{
	const PyTypeObject *type = Py_TYPE(object);
	return type->tp_finalize != NULL || type->tp_del != NULL || type == &PyFrame_Type ||
	       type == &PyTraceBack_Type || type == &PyMemoryView_Type || is_empty_container(object) ||
	       is_seen(w, object);
}

static bool
is_static_type(PyObject *object)
{
	return PyType_Check(object) && (((PyTypeObject *)object)->tp_flags & Py_TPFLAGS_HEAPTYPE) == 0;
}

/* A visitproc. */
static int
visit(PyObject *object, void *walk)
{
	struct walk *w = walk;
	if (object == NULL)
		return 0;
	if (is_immortal(object)) {
		if (is_static_type(object) && see(w, object))
			push(w, object);
		return 0;
	}
	if (must_stay_mortal(w, object))
		return 0;
	make_immortal(object);
	w->did.objects++;
	push(w, object);
	return 0;
}

static void
visit_code(PyCodeObject *code, struct walk *w)
{
	PyObject *const parts[] = {
		code->co_consts,          code->co_names,    code->co_exceptiontable, code->co_localsplusnames,
		code->co_localspluskinds, code->co_filename, code->co_name,           code->co_qualname,
		code->co_linetable
	};
	for (size_t i = 0; i < sizeof parts / SLOT; i++)
		visit(parts[i], w);
}

/* What tp_traverse of types leaves out, or, for a static one, must not be asked for. */
static void
visit_type(PyTypeObject *type, struct walk *w)
{
	if ((type->tp_flags & Py_TPFLAGS_HEAPTYPE) == 0) {
		visit(type->tp_dict, w);
		visit(type->tp_mro, w);
		visit(type->tp_bases, w);
		return;
	}
	PyHeapTypeObject *heap_type = (PyHeapTypeObject *)type;
	visit(heap_type->ht_name, w);
	visit(heap_type->ht_qualname, w);
	visit(heap_type->ht_slots, w);
}

static bool
is_descriptor(const PyTypeObject *type)
{
	return type == &PyMethodDescr_Type || type == &PyGetSetDescr_Type || type == &PyMemberDescr_Type ||
	       type == &PyWrapperDescr_Type || type == &PyClassMethodDescr_Type;
}

static void
visit_parts(PyObject *object, struct walk *w)
{
	PyTypeObject *type = Py_TYPE(object);
	visit((PyObject *)type, w);
	if (PyType_Check(object))
		visit_type((PyTypeObject *)object, w);
	else if (PyCode_Check(object))
		visit_code((PyCodeObject *)object, w);
	else if (is_descriptor(type)) {
		visit(((PyDescrObject *)object)->d_name, w);
		visit(((PyDescrObject *)object)->d_qualname, w);
	}
	if (type->tp_traverse != NULL && PyObject_IS_GC(object))
		type->tp_traverse(object, visit, w);
}

static void
drain(struct walk *w)
{
	while (w->depth > 0)
		visit_parts(w->stack[--w->depth], w);
}

/* For PyUnstable_GC_VisitObjects. */
static int
visit_root(PyObject *object, void *walk)
{
	struct walk *w = walk;
	visit(object, w);
	if (!is_immortal(object)) {
		w->did.mortal++;
		push(w, object);
	}
	drain(w);
	return !w->failed;
}

static int
visit_sequence(PyObject *py_sequence, struct walk *w, bool is_mortal)
{
	Py_ssize_t size = py_sequence == NULL ? 0 : PySequence_Size(py_sequence);
	for (Py_ssize_t i = 0; i < size; i++) {
		PyObject *py_item = PySequence_GetItem(py_sequence, i);
		if (py_item == NULL)
			return -1;
		if (is_mortal)
			see(w, py_item);
		else
			visit(py_item, w);
		Py_DECREF(py_item);
		drain(w);
	}
	return size < 0 ? -1 : 0;
}

/* Try it on one object: functions compiled into the interpreter, and ours, must leave the counter alone. */
static int
refuse(struct err *e)
{
	if (heap_refuse_sanitizer(e) < 0)
		return -1;
	if (Py_Version >> 16 != PY_VERSION_HEX >> 16)
		return err_set(e, ERR_DENIED, "built for Python %d.%d, run by another", PY_MAJOR_VERSION,
			       PY_MINOR_VERSION);
	if (count_get(Py_None) < IMMORTAL || count_get(Py_True) < IMMORTAL || !is_immortal((PyObject *)&PyType_Type))
		return err_set(e, ERR_DENIED, "None, True or type has not the reference count of an immortal object");
	PyObject *py_probe = PyList_New(0), *py_holder = PyList_New(0);
	if (py_probe == NULL || py_holder == NULL || is_immortal(py_probe)) {
		PyErr_Clear();
		return err_set(e, ERR_DENIED, "a new list is immortal, or cannot be made");
	}
	make_immortal(py_probe); /* and with that it is lost */
	for (int i = 0; i < 100; i++) {
		Py_IncRef(py_probe);
		Py_INCREF(py_probe);
		PyList_Append(py_holder, py_probe);
	}
	Py_DECREF(py_holder);
	for (int i = 0; i < 1000; i++) {
		Py_DecRef(py_probe);
		Py_DECREF(py_probe);
	}
	if (count_get(py_probe) != IMMORTAL || PyList_GET_SIZE(py_probe) != 0)
		return err_set(e, ERR_DENIED, "the reference count of an immortal object changes");
	return 0;
}

int
heap_immortalise(PyObject *py_roots, PyObject *py_mortal, struct heap_immortal *ret, struct err *e)
{
	if (refuse(e) < 0)
		return -1;
	struct walk w = { .room = STACK_MIN };
	w.stack = maps_room(w.room * SLOT);
	w.seen = maps_room(SET_SIZE * SLOT);
	int failure = 0;
	if (w.stack == NULL || w.seen == NULL)
		failure = err_memory(e);
	else if (visit_sequence(py_mortal, &w, true) < 0 || visit_sequence(py_roots, &w, false) < 0)
		failure = -1;
	else
		PyUnstable_GC_VisitObjects(visit_root, &w);
	if (failure == 0 && w.failed)
		failure = err_memory(e);
	if (failure == 0)
		*ret = w.did;
	if (w.stack != NULL)
		munmap(w.stack, w.room * SLOT);
	if (w.seen != NULL)
		munmap(w.seen, SET_SIZE * SLOT);
	return failure;
}

#endif
