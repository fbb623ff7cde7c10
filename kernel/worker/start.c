/* SPDX-License-Identifier: BSD-3-Clause */
#include "start.h"

#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "compat.h"
#include "fault.h"
#include "fork.h"
#include "interrupt.h"
#include "link.h"
#include "module.h"

#define EXIT_FAILED 4 /* no worker: see the front's exit codes */
#define EXIT_ORPHANED 1

static int
report(struct err *e, PyStatus status)
{
	const char *where = status.func == NULL ? "Python" : status.func;
	return err_set(e, ERR_SYSTEM, "%s: %s", where, status.err_msg == NULL ? "cannot start" : status.err_msg);
}

/* The settings of `python` without arguments, but for what a host of other people's code must do itself. */
static PyStatus
configure(PyConfig *config)
{
	PyConfig_InitPythonConfig(config);
	config->parse_argv = 0;
	config->install_signal_handlers = 0;
	const char *python = getenv("PUPITRE_PYTHON");
	if (python == NULL || python[0] == '\0')
		return PyStatus_Ok();
	PyStatus status = PyConfig_SetBytesString(config, &config->program_name, python);
	if (PyStatus_Exception(status))
		return status;
	status = PyConfig_SetBytesString(config, &config->executable, python);
	if (!PyStatus_Exception(status))
		status = PyConfig_SetBytesArgv(config, 1, (char *const[]){ (char *)(uintptr_t)python });
	unsetenv("PUPITRE_PYTHON"); /* it is between the front and us: what user code starts must not inherit it */
	return status;
}

int
start_python(struct err *e)
{
	PyPreConfig before;
	PyPreConfig_InitPythonConfig(&before);
	PyStatus status = Py_PreInitialize(&before);
	if (PyStatus_Exception(status))
		return report(e, status);
	if (module_register() < 0)
		return err_memory(e);
	PyConfig config;
	status = configure(&config);
	if (!PyStatus_Exception(status))
		status = Py_InitializeFromConfig(&config);
	PyConfig_Clear(&config);
	if (PyStatus_Exception(status))
		return report(e, status);
	return 0;
}

/* The bytes of the START frame. New reference, NULL with an exception. */
static PyObject *
receive_start(void)
{
	struct incoming in;
	if (link_wait(&in) < 0 || in.py_parts == NULL)
		return NULL;
	PyObject *py_start = NULL;
	if (in.type != FRAME_START)
		PyErr_Format(PyExc_RuntimeError, "the front began with a frame of type %d, not START", (int)in.type);
	else
		py_start = Py_XNewRef(PyList_GetItem(in.py_parts, 0)); /* borrowed */
	Py_DECREF(in.py_parts);
	return py_start;
}

/* pupitre.engine.main(start). Its status, or -1 with an exception. */
static int
run_main(PyObject *py_start)
{
	PyObject *py_engine = PyImport_ImportModule("pupitre.engine");
	if (py_engine == NULL)
		log_error("error=\"cannot import pupitre.engine\" python=%d.%d.%d", PY_MAJOR_VERSION, PY_MINOR_VERSION,
			  PY_MICRO_VERSION);
	PyObject *py_result = py_engine == NULL ? NULL : PyObject_CallMethod(py_engine, "main", "O", py_start);
	Py_XDECREF(py_engine);
	if (py_result == NULL)
		return -1;
	long status = py_result == Py_None ? 0 : PyLong_AsLong(py_result);
	Py_DECREF(py_result);
	if (status == -1 && PyErr_Occurred() != NULL)
		return -1;
	return (int)(status & 0xff);
}

/* The exception that is set, on descriptor 2: the ring belongs to user code. A SystemExit ends the process here. */
static void
print_failure(void)
{
	PyObject *py_error = py_take_exception();
	PyObject *py_stderr = PySys_GetObject("__stderr__"); /* borrowed */
	if (py_stderr != NULL && PySys_SetObject("stderr", py_stderr) < 0)
		PyErr_Clear();
	py_put_exception(py_error);
	PyErr_Print();
}

int
start_engine(void)
{
	if (interrupt_init() < 0 || fault_init() < 0) {
		print_failure();
		return EXIT_FAILED;
	}
	PyObject *py_start = receive_start();
	int status = py_start == NULL ? -1 : run_main(py_start);
	Py_XDECREF(py_start);
	if (fork_is_child())
		fork_end_child(py_take_exception());
	if (status >= 0)
		return status;
	if (PyErr_ExceptionMatches(PyExc_EOFError)) {
		PyErr_Clear();
		return EXIT_ORPHANED;
	}
	print_failure();
	return EXIT_FAILED;
}

_Noreturn void
start_finish(int status)
{
	Py_FinalizeEx();
	_exit(status);
}

/* Call module.function(). What it raises is of no use to anybody any more. */
static void
call(const char *module, const char *function)
{
	PyObject *py_module = PyImport_ImportModule(module);
	PyObject *py_result = py_module == NULL ? NULL : PyObject_CallMethod(py_module, function, NULL);
	if (py_result == NULL)
		PyErr_Clear();
	Py_XDECREF(py_result);
	Py_XDECREF(py_module);
}

_Noreturn void
start_finish_forked(int status)
{
	call("pupitre.nursery.fresh", "flush");
	_exit(status);
}
