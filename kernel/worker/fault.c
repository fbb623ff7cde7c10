/* SPDX-License-Identifier: BSD-3-Clause */
#include "fault.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "compat.h"
#include "ends.h"

#define ALTERNATE_STACK_SIZE ((size_t)128 * 1024)
#define STACK_REACH ((uintptr_t)1024 * 1024) /* a fault this close to the stack pointer is the stack's end */

static const int fatal_signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
#define FATAL_COUNT (sizeof fatal_signals / sizeof *fatal_signals)

static struct sigaction next_actions[FATAL_COUNT]; /* faulthandler's */
static PyObject *py_enable, *py_disable;           /* owned: faulthandler's functions */
static PyObject *py_enable_arguments;              /* owned: a dict of keywords */

static uintptr_t
stack_pointer(const ucontext_t *context)
{
#if defined(__x86_64__)
	return (uintptr_t)context->uc_mcontext.gregs[REG_RSP];
#elif defined(__aarch64__)
	return (uintptr_t)context->uc_mcontext.sp;
#else
#error "Pupitre runs on x86-64 and arm64"
#endif
}

static bool
is_stack_overflow(int signum, const siginfo_t *info, const ucontext_t *context)
{
	if (signum != SIGSEGV || info->si_code <= 0)
		return false;
	uintptr_t address = (uintptr_t)info->si_addr, pointer = stack_pointer(context);
	uintptr_t distance = address > pointer ? address - pointer : pointer - address;
	return distance < STACK_REACH;
}

static void
chain(int signum, siginfo_t *info, void *context)
{
	for (size_t i = 0; i < FATAL_COUNT; i++) {
		if (fatal_signals[i] != signum)
			continue;
		const struct sigaction *next = &next_actions[i];
		if ((next->sa_flags & SA_SIGINFO) != 0) {
			next->sa_sigaction(signum, info, context);
			return;
		}
		if (next->sa_handler != SIG_DFL && next->sa_handler != SIG_IGN) {
			next->sa_handler(signum);
			return;
		}
	}
	signal(signum, SIG_DFL);
	raise(signum); /* pending until we return */
}

static void
on_fatal(int signum, siginfo_t *info, void *context)
{
	int saved = errno;
	struct state *s = &ends_get()->shared->state;
	bool stack = is_stack_overflow(signum, info, context);
	atomic_store(&s->fault_signal, (uint32_t)signum);
	atomic_store(&s->fault_address, info->si_code > 0 ? (uint64_t)(uintptr_t)info->si_addr : 0);
	atomic_store(&s->fault, stack ? STATE_FAULT_STACK : STATE_FAULT_SIGNAL);
	chain(signum, info, context);
	errno = saved;
}

static int
use_alternate_stack(void)
{
	void *memory = mmap(NULL, ALTERNATE_STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK,
			    -1, 0);
	stack_t stack = { .ss_sp = memory, .ss_size = ALTERNATE_STACK_SIZE };
	if (memory != MAP_FAILED && sigaltstack(&stack, NULL) == 0)
		return 0;
	PyErr_SetFromErrno(PyExc_OSError);
	return -1;
}

/* Enable faulthandler and put on_fatal in front of its handlers. */
static int
install(void)
{
	PyObject *py_result = PyObject_CallNoArgs(py_disable); /* so that enable does not think it has nothing to do */
	if (py_result == NULL)
		return -1;
	Py_DECREF(py_result);
	py_result = PyObject_VectorcallDict(py_enable, NULL, 0, py_enable_arguments);
	if (py_result == NULL)
		return -1;
	Py_DECREF(py_result);
	struct sigaction ours = { .sa_sigaction = on_fatal, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	sigemptyset(&ours.sa_mask);
	for (size_t i = 0; i < FATAL_COUNT; i++) {
		struct sigaction now;
		if (sigaction(fatal_signals[i], NULL, &now) < 0 || now.sa_sigaction == on_fatal)
			continue;
		next_actions[i] = now;
		sigaction(fatal_signals[i], &ours, NULL);
	}
	return 0;
}

int
fault_init(void)
{
	int crash = ends_get()->crash;
	PyObject *py_module = PyImport_ImportModule("faulthandler");
	if (py_module == NULL)
		return -1;
	py_enable = PyObject_GetAttrString(py_module, "enable");
	py_disable = PyObject_GetAttrString(py_module, "disable");
	Py_DECREF(py_module);
	py_enable_arguments = Py_BuildValue("{s:i,s:O}", "file", crash, "all_threads", Py_False);
#if PY_VERSION_HEX >= 0x030E0000
	/* The C stack is walked by code that may not be called after a crash. */
	if (py_enable_arguments != NULL && PyDict_SetItemString(py_enable_arguments, "c_stack", Py_False) < 0)
		return -1;
#endif
	if (py_enable == NULL || py_disable == NULL || py_enable_arguments == NULL || install() < 0)
		return -1;
	return use_alternate_stack();
}

void
fault_mend(void)
{
	bool lost = false;
	if (py_enable == NULL)
		return; /* a template, which nobody asks for last words */
	for (size_t i = 0; i < FATAL_COUNT; i++) {
		struct sigaction now;
		if (sigaction(fatal_signals[i], NULL, &now) == 0 &&
		    (now.sa_handler == SIG_DFL || now.sa_handler == SIG_IGN))
			lost = true;
	}
	if (!lost)
		return;
	PyObject *py_error = py_take_exception();
	if (install() < 0)
		PyErr_Clear();
	py_put_exception(py_error);
}
