/* SPDX-License-Identifier: BSD-3-Clause
 *
 * From fork to HELLO. Each step makes one thing what a cold start of the caller would have; one that fails ends the process before it
 * said hello, and the front starts cold.
 */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "become.h"
#include "drop.h"
#include "ends.h"
#include "fork.h"
#include "lifeline.h"
#include "module.h"
#include "nudge.h"
#include "nursery/datagram.h"
#include "nursery/heap/heap.h"
#include "place.h"
#include "start.h"
#include "template.h"
#include "title.h"

#define PYTHON_VARIABLE "PUPITRE_PYTHON="

static _Noreturn void
give_up(const struct err *e)
{
	log_error("event=unfit_child error=\"%s\"", e->text);
	_exit(CHILD_FAILED);
}

/* The interpreter that the front chose for its worker, as a path. */
static void
copy_python(const struct payload *payload, char ret[PATH_MAX])
{
	const char *at = payload->strings;
	ret[0] = '\0';
	for (uint32_t i = 0; i < payload->count; i++, at += strlen(at) + 1) {
		if (strncmp(at, PYTHON_VARIABLE, strlen(PYTHON_VARIABLE)) == 0)
			snprintf(ret, PATH_MAX, "%s", at + strlen(PYTHON_VARIABLE));
	}
}

/* The caller's descriptors, which came with the order in a socket: only the one they are for may be their last owner. */
static int
take_descriptors(int hand, int ret_fds[NURSERY_FD_COUNT], struct err *e)
{
	struct datagram d;
	char byte;
	if (datagram_receive(hand, &byte, sizeof byte, &d) <= 0 || d.fd_count != NURSERY_FD_COUNT)
		return err_set(e, ERR_INVALID, "the caller's descriptors did not come");
	memcpy(ret_fds, d.fds, NURSERY_FD_COUNT * sizeof *ret_fds);
	return 0;
}

/* The process, before any Python runs in it: where it is accounted, what it may use, who it is, what it holds. */
static int
become_process(const struct nursery_order *order, const int *fds, char ret_python[PATH_MAX], uint64_t *ret_ignored,
	       struct err *e)
{
	const struct nursery_placement *p = &order->placement;
	struct payload payload;
	int theirs[NURSERY_FD_COUNT], kept[2], ours[BECOME_OURS] = { heap_file(), fds[NURSERY_ORDER_HAND] };
	if (place_in_cgroups(p, fds + NURSERY_ORDER_FDS, e) < 0)
		return -1;
	if (setsid() < 0)
		return err_system(e, "setsid");
	if (take_descriptors(fds[NURSERY_ORDER_HAND], theirs, e) < 0 || place_process(p, e) < 0 ||
	    become_fds(theirs, ours, kept, e) < 0 || drop_privileges(p, e) < 0)
		return -1;
	close(ours[1]); /* which tells the listener that we are the user's from now on */
	heap_set_file(ours[0]);
	title_set("pupitre-worker");
	become_signals();
	if (become_open(kept[0], &payload, e) < 0)
		return -1;
	copy_python(&payload, ret_python);
	become_ignored(&payload);
	*ret_ignored = payload.ignored;
	int failure = become_move(&payload, kept[1], e);
	if (failure == 0)
		failure = become_environment(&payload, e);
	become_free(&payload);
	close(kept[0]);
	close(kept[1]);
	return failure;
}

/* What Python does for C's own files when it starts. */
static void
set_buffers(void)
{
	const char *unbuffered = getenv("PYTHONUNBUFFERED");
	char *end = NULL;
	if (unbuffered == NULL || *unbuffered == '\0' || (strtol(unbuffered, &end, 10) == 0 && *end == '\0'))
		return;
	setvbuf(stdin, NULL, _IONBF, BUFSIZ);
	setvbuf(stdout, NULL, _IONBF, BUFSIZ);
	setvbuf(stderr, NULL, _IONBF, BUFSIZ);
}

/* What pupitre-worker's main sets up before Python. */
static int
become_worker(struct err *e)
{
	log_init("pupitre-worker", LOG_WARNING);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	if (heap_file() >= 0)
		heap_set_file(ends_move_high(heap_file(), e));
	if (ends_take(e) < 0 || nudge_init(e) < 0 || lifeline_watch(false, e) < 0)
		return -1;
	return fork_watch(e);
}

static PyObject *
environment(void)
{
	PyObject *py_environment = PyDict_New();
	for (char **at = environ; py_environment != NULL && *at != NULL; at++) {
		const char *value = strchr(*at, '=');
		if (value == NULL)
			continue;
		PyObject *py_name = PyBytes_FromStringAndSize(*at, value - *at);
		PyObject *py_value = PyBytes_FromString(value + 1);
		if (py_name == NULL || py_value == NULL || PyDict_SetItem(py_environment, py_name, py_value) < 0)
			Py_CLEAR(py_environment);
		Py_XDECREF(py_name);
		Py_XDECREF(py_value);
	}
	return py_environment;
}

/* pupitre.nursery.fresh.awake(environment, python, ignored): true when this Python may serve the caller. */
static int
awake(const char *python, uint64_t ignored)
{
	PyObject *py_fresh = PyImport_ImportModule("pupitre.nursery.fresh");
	PyObject *py_environment = py_fresh == NULL ? NULL : environment();
	PyObject *py_result = NULL;
	if (py_environment != NULL)
		py_result = PyObject_CallMethod(py_fresh, "awake", "OsK", py_environment, python,
						(unsigned long long)ignored);
	int serves = py_result == NULL ? -1 : PyObject_IsTrue(py_result);
	Py_XDECREF(py_result);
	Py_XDECREF(py_environment);
	Py_XDECREF(py_fresh);
	return serves;
}

_Noreturn void
child_run(const struct nursery_order *order, const int *fds)
{
	struct err e = ERR_INIT;
	char python[PATH_MAX];
	uint64_t ignored = 0;
	if (become_process(order, fds, python, &ignored, &e) < 0)
		give_up(&e);
	if (heap_own_shared(&e) < 0)
		give_up(&e);
	heap_copy_expected();
	if (become_worker(&e) < 0)
		give_up(&e);
	set_buffers();
	heap_tune_worker();
	PyOS_AfterFork_Child();
	int serves = module_refresh() < 0 ? -1 : awake(python, ignored);
	if (serves == 0)
		_exit(CHILD_UNLIKE);
	if (serves < 0) {
		PyErr_Print();
		_exit(CHILD_FAILED);
	}
	start_finish_forked(start_engine());
}
