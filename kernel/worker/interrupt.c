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
#include "fork.h"
#include "handlers.h"
#include "lifeline.h"
#include "nudge.h"
#include "repair.h"
#include "unseen.h"

#define INSIST_MS 1000 /* a press this soon after the last one insists */
#define INSIST_MAX 16  /* KeyboardInterrupts that one press may raise in a row */
#define RENEW_MAX 16   /* times that one press is raised again after it was lost */
#define PENDING_MAX 64 /* pending signals' handlers run when user code is left */

/* Presses of the interrupt button during one stay in user code. Written by the handler, in the main thread. */
static volatile sig_atomic_t insist;   /* KeyboardInterrupts to raise after the next one */
static volatile sig_atomic_t raised;   /* one was raised during this stay */
static volatile sig_atomic_t renewals; /* left of the last press */
static int streak;
static long long last_press_ms;

/* While ours that user code calls may not be cut in two: how deep, and whether an interrupt came meanwhile. */
static int held;
static bool held_one;

static bool collector_was_on;  /* before our code took over */
static bool tracing_suspended; /* by us */

static pthread_t main_thread;
static PyObject *py_default_handler; /* owned: our default_int_handler */
static PyObject *py_signal_function; /* owned: _signal.signal */
static PyObject *py_getsignal;       /* owned: _signal.getsignal */
static PyObject *py_sigint;          /* owned: the int 2 */
static PyObject *py_tell;            /* owned: sys.unraisablehook as Python has it */
static PyObject *py_exit;            /* owned: a SystemExit that a handler raised outside user code; NULL: none */
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
	renewals = RENEW_MAX;
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
	} else if (pending.serial != 0) {
		wake_loop(); /* an await cell waits, or is between two of its steps: the loop cancels it */
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
	if (held > 0) {
		held_one = true;
		Py_RETURN_NONE;
	}
	raised = 1;
	nudge_end();
	if (insist > 0) {
		insist--;
		PyErr_SetInterruptEx(SIGINT);
	}
	PyErr_SetNone(PyExc_KeyboardInterrupt);
	return NULL;
}

/* sys.unraisablehook. A finalizer, a weak reference's callback, a hook of fork() or a callback of ctypes has nobody above it who takes
 * what it raises; a press that hits one is meant for the cell, and is raised again when the cell goes on. */
static PyObject *
tell_of_unraisable(PyObject *py_module, PyObject *py_told)
{
	(void)py_module;
	PyObject *py_type = PyObject_GetAttrString(py_told, "exc_type");
	if (py_type == NULL)
		return NULL;
	Py_DECREF(py_type); /* what is told of holds it */
	if (py_type != PyExc_KeyboardInterrupt || renewals == 0 || !pthread_equal(pthread_self(), main_thread))
		return PyObject_CallOneArg(py_tell, py_told);
	renewals--;
	PyErr_SetInterruptEx(SIGINT);
	nudge_begin();
	Py_RETURN_NONE;
}

static PyMethodDef tell_of_unraisable_def = { "unraisablehook", tell_of_unraisable, METH_O,
					      "Tell of an exception that nobody can take, but for Stop." };

/* 0, or -1 with an exception. */
static int
replace_unraisablehook(void)
{
	py_tell = Py_XNewRef(PySys_GetObject("unraisablehook"));
	PyObject *py_hook = py_tell == NULL ? NULL : PyCFunction_New(&tell_of_unraisable_def, NULL);
	int failure = py_hook == NULL ? -1 : PySys_SetObject("unraisablehook", py_hook);
	Py_XDECREF(py_hook);
	return failure;
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
	    PyObject_SetAttrString(py_module, "default_int_handler", py_default_handler) == 0 &&
	    handlers_init(py_module) == 0 && replace_unraisablehook() == 0)
		py_result = PyObject_CallFunctionObjArgs(py_signal_function, py_sigint, py_default_handler, NULL);
	Py_DECREF(py_module);
	if (py_result == NULL)
		return -1;
	Py_DECREF(py_result);
	replace_python_handler();
	return 0;
}

/* Whether SIGINT has a handler of the user's, in Python or none at all: 1, 0, or -1 with an exception. */
static int
has_own_handler(void)
{
	PyObject *py_handler = PyObject_CallOneArg(py_getsignal, py_sigint);
	if (py_handler == NULL)
		return -1;
	int own = py_handler != py_default_handler;
	Py_DECREF(py_handler);
	return own;
}

/* What a cell did with SIGINT ends with it. 0, or -1 with an exception. */
static int
put_handler_right(void)
{
	int own = has_own_handler();
	if (own <= 0)
		return own;
	PyObject *py_result = PyObject_CallFunctionObjArgs(py_signal_function, py_sigint, py_default_handler, NULL);
	Py_XDECREF(py_result);
	return py_result == NULL ? -1 : 0;
}

/* Before user code: SIGINT, the signal mask and the fatal handlers as they were at start; for a request also the Python level of
 * SIGINT. While an await cell is pending that is the cell's, in its callbacks, too. */
static int
put_signals_right(uint32_t serial)
{
	sigset_t wanted;
	sigemptyset(&wanted);
	sigaddset(&wanted, SIGINT);
	sigaddset(&wanted, LIFELINE_SIGNAL);
	sigaddset(&wanted, NUDGE_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &wanted, NULL);
	if (serial != 0 && pending.serial == 0 && put_handler_right() < 0)
		return -1;
	hold_handler();
	fault_mend();
	return 0;
}

/* Finalizers that the garbage collector finds and functions that trace are the user's: they have no turn while our code runs. */
static void
begin_ours(void)
{
	collector_was_on = PyGC_Disable() != 0;
	PyThreadState_EnterTracing(PyThreadState_Get());
	tracing_suspended = true;
}

static void
end_ours(void)
{
	if (tracing_suspended)
		PyThreadState_LeaveTracing(PyThreadState_Get());
	tracing_suspended = false;
	if (collector_was_on)
		PyGC_Enable();
	collector_was_on = false;
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
	if (before.activity == STATE_USER && next->activity != STATE_USER)
		begin_ours();
	else if (before.activity != STATE_USER && next->activity == STATE_USER)
		end_ours();
	return before;
}

/* Run the Python handlers of the signals that are pending, and forget the KeyboardInterrupts among them: whether there was one. */
static bool
drop_pending(void)
{
	bool dropped = false;
	insist = 0;
	renewals = 0;
	nudge_end();
	PyObject *py_error = py_take_exception();
	for (int i = 0; i < PENDING_MAX && PyErr_CheckSignals() < 0; i++) {
		insist = 0;
		dropped = dropped || PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) != 0;
		if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt))
			PyErr_Clear();
		else
			PyErr_WriteUnraisable(NULL);
	}
	py_put_exception(py_error);
	return dropped;
}

/* From user code back into user code an interrupt stays: the outer one is raised. One that Python did not notice before a step of an
 * await cell, or a callback beside it, was over is still meant for the cell: the loop cancels it. */
static void
leave_user(const struct activity *before, bool thorough)
{
	swap_activity(before);
	if (thorough)
		hold_handler();
	if (before->activity != STATE_USER && drop_pending() && pending.serial != 0)
		wake_loop();
}

/* Whether the front wanted this request interrupted before it got here. Only the first time. */
static bool
take_early_interrupt(uint32_t serial)
{
	uint32_t expected = serial;
	if (serial == 0 || atomic_load(&state()->interrupt_serial) != serial)
		return false;
	return atomic_compare_exchange_strong(&state()->interrupt_serial, &expected, 0);
}

/* Before user code of request `serial` is entered. True if it may not be: KeyboardInterrupt is set. A pending await cell is cancelled
 * by the loop, where it waits. */
static bool
is_refused(uint32_t serial)
{
	if (take_early_interrupt(pending.serial))
		wake_loop();
	if (!take_early_interrupt(serial))
		return false;
	PyErr_SetNone(PyExc_KeyboardInterrupt);
	return true;
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
	if (parse_place(py_args, &user) < 0)
		return NULL;
	if (!pthread_equal(pthread_self(), main_thread)) /* user code, all of it, and nobody interrupts it */
		return PyObject_Vectorcall(py_args[2], py_args + 3, (size_t)(count - 3), NULL);
	/* From user code, as for a repr during %run: the cell goes on after it, and what it did with its signals stays. */
	bool nested = atomic_load(&state()->activity) == STATE_USER;
	bool thorough = !nested && is_due(user.serial);
	if (thorough && put_signals_right(user.serial) < 0)
		return NULL;
	if (!nested)
		raised = 0;
	else if (user.cell == 0 && user.serial == atomic_load(&state()->serial))
		user.cell = atomic_load(&state()->cell);
	atomic_fetch_add(&state()->generation, 1);
	struct activity before = swap_activity(&user);
	PyObject *py_result = NULL;
	if (!is_refused(user.serial))
		py_result = PyObject_Vectorcall(py_args[2], py_args + 3, (size_t)(count - 3), NULL);
	if (py_result == NULL)
		unseen_clean();
	leave_user(&before, thorough);
	if (thorough)
		repair_after_user();
	return py_result;
}

/* Whether anybody else may want the garbage collector while we wait. */
static bool
has_threads(void)
{
	PyInterpreterState *interpreter = PyInterpreterState_Get();
	return PyThreadState_Next(PyInterpreterState_ThreadHead(interpreter)) != NULL;
}

PyObject *
interrupt_wait(PyObject *py_module, PyObject *const *py_args, Py_ssize_t count)
{
	(void)py_module;
	if (count < 1)
		return PyErr_Format(PyExc_TypeError, "wait() takes at least 1 argument (%zd given)", count);
	struct state *s = state();
	bool user = atomic_load(&s->activity) != STATE_OURS || !pthread_equal(pthread_self(), main_thread);
	if (user)
		return PyObject_Vectorcall(py_args[0], py_args + 1, (size_t)(count - 1), NULL);
	if (fork_is_child())
		fork_end_child(NULL);
	struct activity next = { STATE_OURS, 0, 0 };
	if (pending.serial != 0)
		next = pending;
	bool on = collector_was_on && has_threads();
	if (on) {
		PyGC_Enable();
		collector_was_on = false; /* true again when a signal's handler has run: begin_ours turned it off */
	}
	struct activity before = swap_activity(&next);
	if (take_early_interrupt(pending.serial))
		wake_loop();
	PyObject *py_result = PyObject_Vectorcall(py_args[0], py_args + 1, (size_t)(count - 1), NULL);
	swap_activity(&before);
	if (on)
		collector_was_on = PyGC_Disable() != 0 || collector_was_on;
	return py_result;
}

PyObject *
interrupt_ring(PyObject *py_module, PyObject *py_unused)
{
	(void)py_module;
	(void)py_unused;
	int own = has_own_handler();
	if (own <= 0)
		return own < 0 ? NULL : Py_NewRef(Py_False);
	struct activity user = { .activity = STATE_USER, .serial = pending.serial, .cell = pending.cell };
	struct activity before = swap_activity(&user);
	PyErr_SetInterruptEx(SIGINT);
	int failure = PyErr_CheckSignals();
	leave_user(&before, false);
	return failure < 0 ? NULL : Py_NewRef(Py_True);
}

PyObject *
interrupt_run_handler(PyObject *py_handler, PyObject *const *py_args, Py_ssize_t count)
{
	if (atomic_load(&state()->activity) == STATE_USER || count < 1)
		return PyObject_Vectorcall(py_handler, py_args, (size_t)count, NULL);
	struct activity user = { .activity = STATE_USER, .serial = pending.serial, .cell = pending.cell };
	struct activity before = swap_activity(&user);
	PyObject *py_result = PyObject_CallFunctionObjArgs(py_handler, py_args[0], Py_None, NULL);
	if (py_result == NULL && PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
		PyErr_Clear(); /* Stop, which is for the cell, too */
		if (pending.serial != 0)
			wake_loop();
	} else if (py_result == NULL && PyErr_ExceptionMatches(PyExc_SystemExit)) {
		Py_XSETREF(py_exit, py_take_exception()); /* there is nobody to catch it: the loop ends */
		wake_loop();
	} else if (py_result == NULL) {
		PyErr_WriteUnraisable(py_handler);
	}
	Py_XDECREF(py_result);
	leave_user(&before, false);
	Py_RETURN_NONE;
}

PyObject *
interrupt_take_exit(PyObject *py_module, PyObject *py_unused)
{
	(void)py_module;
	(void)py_unused;
	PyObject *py_result = py_exit == NULL ? Py_NewRef(Py_None) : py_exit;
	py_exit = NULL;
	return py_result;
}

bool
interrupt_is_default(PyObject *py_handler)
{
	return py_handler == py_default_handler;
}

void
interrupt_hold(void)
{
	if (pthread_equal(pthread_self(), main_thread))
		held++;
}

void
interrupt_release(void)
{
	if (!pthread_equal(pthread_self(), main_thread) || --held > 0 || !held_one)
		return;
	held_one = false;
	PyErr_SetInterruptEx(SIGINT);
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
