/* SPDX-License-Identifier: BSD-3-Clause */
#include "interrupt.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "ends.h"
#include "fault.h"
#include "lifeline.h"
#include "nudge.h"
#include "repair.h"

#define INSIST_MS 1000 /* a press this soon after the last one insists */
#define INSIST_MAX 16  /* KeyboardInterrupts that one press may raise in a row */
#define PENDING_MAX 64 /* pending signals' handlers run when user code is left */

/* Presses of the interrupt button during one stay in user code. Written by the handler, in the main thread. */
static volatile sig_atomic_t insist; /* KeyboardInterrupts to raise after the next one */
static volatile sig_atomic_t raised; /* one was raised during this stay */
static int streak;
static long long last_press_ms;

static pthread_t main_thread;
static PyObject *py_default_handler; /* owned: our default_int_handler */
static PyObject *py_signal_function; /* owned: _signal.signal */
static PyObject *py_getsignal;       /* owned: _signal.getsignal */
static PyObject *py_sigint;          /* owned: the int 2 */
static struct activity pending;      /* the await cell that set_pending told of */

static struct state *
state(void)
{
	return &ends_get()->shared->state;
}

static void
wake_loop(void)
{
	static const uint64_t one = 1;
	while (write(ends_get()->wake, &one, sizeof one) < 0 && errno == EINTR)
		continue;
}

/* Count the presses that come in quick succession: each makes the next KeyboardInterrupt repeat itself once more. */
static void
count_press(void)
{
	long long now = clock_ms();
	streak = raised && now - last_press_ms <= INSIST_MS ? streak + 1 : 0;
	last_press_ms = now;
	insist = streak < INSIST_MAX ? streak : INSIST_MAX;
}

static void
on_sigint(int signum)
{
	int saved = errno;
	uint32_t activity = atomic_load(&state()->activity);
	if (!pthread_equal(pthread_self(), main_thread)) {
		pthread_kill(main_thread, signum); /* so that a system call there ends */
	} else if (activity == STATE_USER) {
		count_press();
		PyErr_SetInterruptEx(signum);
		nudge_begin();
	} else if (activity == STATE_WAITING) {
		wake_loop();
	} else if (pending.serial != 0) {
		/* Between two steps of an await cell: it is raised at the next one. */
		atomic_store(&state()->interrupt_serial, pending.serial);
	}
	errno = saved;
}

/* Python's level of the handler. Trips itself again while a press insists: the next KeyboardInterrupt then comes in the `except`
 * clause that swallowed this one. */
static PyObject *
default_int_handler(PyObject *py_module, PyObject *py_args)
{
	(void)py_module;
	(void)py_args;
	raised = 1;
	nudge_end();
	if (insist > 0) {
		insist--;
		PyErr_SetInterruptEx(SIGINT);
	}
	PyErr_SetNone(PyExc_KeyboardInterrupt);
	return NULL;
}

static PyMethodDef default_int_handler_def = { "default_int_handler", default_int_handler, METH_VARARGS,
					       "The default handler for SIGINT: it raises KeyboardInterrupt." };

static void
install_handler(void)
{
	struct sigaction action = { .sa_handler = on_sigint, .sa_flags = SA_ONSTACK };
	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
}

/* Learn Python's own handler in C, and have it replaced by ours from now on: signal.signal(), which asyncio.run() calls, would
 * otherwise take away the nudge. Handlers in Python run all the same. */
static void
replace_python_handler(void)
{
	static struct sigaction python;
	if (python.sa_handler == NULL && sigaction(SIGINT, NULL, &python) < 0)
		return;
	lifeline_replace_handler(SIGINT, python.sa_handler, on_sigint);
	install_handler();
}

static void
hold_handler(void)
{
	struct sigaction now;
	if (sigaction(SIGINT, NULL, &now) < 0 || now.sa_handler != on_sigint)
		install_handler();
}

int
interrupt_init(void)
{
	main_thread = pthread_self();
	if (py_default_handler != NULL) { /* a template did the rest before it forked us */
		replace_python_handler();
		return 0;
	}
	PyObject *py_module = PyImport_ImportModule("_signal");
	if (py_module == NULL)
		return -1;
	py_default_handler = PyCFunction_New(&default_int_handler_def, NULL);
	py_signal_function = PyObject_GetAttrString(py_module, "signal");
	py_getsignal = PyObject_GetAttrString(py_module, "getsignal");
	py_sigint = PyLong_FromLong(SIGINT);
	PyObject *py_result = NULL;
	if (py_default_handler != NULL && py_signal_function != NULL && py_getsignal != NULL && py_sigint != NULL &&
	    PyObject_SetAttrString(py_module, "default_int_handler", py_default_handler) == 0)
		py_result = PyObject_CallFunctionObjArgs(py_signal_function, py_sigint, py_default_handler, NULL);
	Py_DECREF(py_module);
	if (py_result == NULL)
		return -1;
	Py_DECREF(py_result);
	replace_python_handler();
	return 0;
}

/* Before user code: SIGINT, its Python level, the signal mask and the fatal handlers as they were at start. */
static int
put_signals_right(void)
{
	sigset_t wanted;
	sigemptyset(&wanted);
	sigaddset(&wanted, SIGINT);
	sigaddset(&wanted, LIFELINE_SIGNAL);
	sigaddset(&wanted, NUDGE_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &wanted, NULL);
	PyObject *py_handler = PyObject_CallOneArg(py_getsignal, py_sigint);
	if (py_handler == NULL)
		return -1;
	bool ours = py_handler == py_default_handler;
	Py_DECREF(py_handler);
	if (!ours) {
		PyObject *py_result =
			PyObject_CallFunctionObjArgs(py_signal_function, py_sigint, py_default_handler, NULL);
		if (py_result == NULL)
			return -1;
		Py_DECREF(py_result);
	}
	hold_handler();
	fault_mend();
	return 0;
}

static struct activity
swap_activity(const struct activity *next)
{
	struct state *s = state();
	struct activity before = { .serial = atomic_load(&s->serial), .cell = atomic_load(&s->cell) };
	if (next->activity == STATE_OURS)
		before.activity = atomic_exchange(&s->activity, STATE_OURS);
	atomic_store(&s->serial, next->serial);
	atomic_store(&s->cell, next->cell);
	if (next->activity != STATE_OURS)
		before.activity = atomic_exchange(&s->activity, next->activity);
	return before;
}

/* Run the Python handlers of the signals that are pending, and forget the KeyboardInterrupts among them. */
static void
drop_pending(void)
{
	insist = 0;
	nudge_end();
	PyObject *py_error = py_take_exception();
	for (int i = 0; i < PENDING_MAX && PyErr_CheckSignals() < 0; i++) {
		insist = 0;
		if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt))
			PyErr_Clear();
		else
			PyErr_WriteUnraisable(NULL);
	}
	py_put_exception(py_error);
}

static void
leave_user(const struct activity *before, bool thorough)
{
	swap_activity(before);
	if (thorough)
		hold_handler();
	drop_pending();
}

/* Whether the front wanted this request interrupted before it got here. Only the first time. */
static bool
take_early_interrupt(uint32_t serial)
{
	uint32_t expected = serial;
	return serial != 0 && atomic_compare_exchange_strong(&state()->interrupt_serial, &expected, 0);
}

struct activity
interrupt_enter_ours(void)
{
	struct state *s = state();
	struct activity ours = { STATE_OURS, atomic_load(&s->serial), atomic_load(&s->cell) };
	return swap_activity(&ours);
}

void
interrupt_leave_ours(const struct activity *before)
{
	swap_activity(before);
}

static int
parse_place(PyObject *const *py_args, struct activity *ret)
{
	unsigned long serial = PyLong_AsUnsignedLong(py_args[0]);
	if (serial == (unsigned long)-1 && PyErr_Occurred() != NULL)
		return -1;
	unsigned long cell = PyLong_AsUnsignedLong(py_args[1]);
	if (cell == (unsigned long)-1 && PyErr_Occurred() != NULL)
		return -1;
	ret->serial = (uint32_t)serial;
	ret->cell = (uint32_t)cell;
	return 0;
}

/* Whether to look after signals and builtins around this stay in user code: always for a cell, and once in a while for the
 * callbacks of the event loop and the steps of an await cell, of which there may be hundreds of thousands a second. */
static bool
is_due(uint32_t serial)
{
	static long long last_ms;
	bool brief = serial == 0 || serial == pending.serial;
	long long now = clock_ms();
	if (brief && now == last_ms)
		return false;
	last_ms = now;
	return true;
}

PyObject *
interrupt_call_user(PyObject *py_module, PyObject *const *py_args, Py_ssize_t count)
{
	(void)py_module;
	struct activity user = { .activity = STATE_USER };
	if (count < 3)
		return PyErr_Format(PyExc_TypeError, "call_user() takes at least 3 arguments (%zd given)", count);
	if (!pthread_equal(pthread_self(), main_thread)) {
		PyErr_SetString(PyExc_RuntimeError, "call_user() belongs to the main thread");
		return NULL;
	}
	if (parse_place(py_args, &user) < 0)
		return NULL;
	bool thorough = is_due(user.serial);
	if (thorough && put_signals_right() < 0)
		return NULL;
	raised = 0;
	atomic_fetch_add(&state()->generation, 1);
	struct activity before = swap_activity(&user);
	PyObject *py_result = NULL;
	if (take_early_interrupt(user.serial))
		PyErr_SetNone(PyExc_KeyboardInterrupt);
	else
		py_result = PyObject_Vectorcall(py_args[2], py_args + 3, (size_t)(count - 3), NULL);
	leave_user(&before, thorough);
	if (thorough)
		repair_after_user();
	return py_result;
}

PyObject *
interrupt_waiting(PyObject *py_module, PyObject *py_begins)
{
	(void)py_module;
	int begins = PyObject_IsTrue(py_begins);
	if (begins < 0)
		return NULL;
	bool waits = begins && pending.serial != 0;
	struct activity next = { STATE_OURS, 0, 0 };
	if (waits)
		next = pending;
	swap_activity(&next);
	if (waits && take_early_interrupt(pending.serial))
		wake_loop();
	Py_RETURN_NONE;
}

PyObject *
interrupt_set_pending(PyObject *py_module, PyObject *const *py_args, Py_ssize_t count)
{
	(void)py_module;
	struct activity next = { .activity = STATE_WAITING };
	if (count != 2)
		return PyErr_Format(PyExc_TypeError, "set_pending() takes 2 arguments (%zd given)", count);
	if (parse_place(py_args, &next) < 0)
		return NULL;
	pending = next;
	Py_RETURN_NONE;
}

void
interrupt_in_child(void)
{
	main_thread = pthread_self();
}
