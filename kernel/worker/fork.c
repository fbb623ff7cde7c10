/* SPDX-License-Identifier: BSD-3-Clause */
#include "fork.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "ends.h"
#include "guard.h"
#include "interrupt.h"

#define LINE_MAX_SIZE ((size_t)4096) /* PIPE_BUF: a write of this size is not torn apart */
#define STREAM_COUNT 2

static bool is_child;
static pid_t child; /* whose lines these are; a vfork child shares them and must not write them */
static struct buf lines[STREAM_COUNT] = { { .maximum = BUF_MAXIMUM }, { .maximum = BUF_MAXIMUM } };

static void
in_child(void)
{
	int saved = errno;
	if (!is_child) {
		is_child = true;
		ends_drop();
		guard_close_all(ends_get()->crash);
	}
	child = getpid();
	for (size_t i = 0; i < STREAM_COUNT; i++)
		buf_reset(&lines[i]); /* a grandchild does not repeat its parent's */
	interrupt_in_child();
	errno = saved;
}

int
fork_watch(struct err *e)
{
	return pthread_atfork(NULL, NULL, in_child) == 0 ? 0 : err_memory(e);
}

bool
fork_is_child(void)
{
	return is_child;
}

/* Write what is held of descriptor 1 or 2. Needs no GIL. 0, or -1 with *e. */
static int
write_line(size_t stream, struct err *e)
{
	BUF_AUTO taken = lines[stream];
	lines[stream] = BUF_INIT;
	return fd_write_all((int)stream + 1, taken.data, taken.size, e);
}

static int
raise_error(const struct err *e)
{
	PyErr_SetString(PyExc_OSError, e->text);
	return -1;
}

int
fork_write(unsigned number, const char *text, size_t size)
{
	struct buf *line = &lines[number - 1];
	struct err e = ERR_INIT;
	if (buf_append(line, text, size) < 0) {
		buf_reset(line);
		PyErr_NoMemory();
		return -1;
	}
	if (line->size < LINE_MAX_SIZE && memchr(text, '\n', size) == NULL)
		return 0;
	PyThreadState *py_state = PyEval_SaveThread();
	int failure = write_line(number - 1, &e);
	PyEval_RestoreThread(py_state);
	return failure < 0 ? raise_error(&e) : 0;
}

int
fork_flush(void)
{
	struct err e = ERR_INIT;
	if (child == 0 || getpid() != child)
		return 0;
	PyThreadState *py_state = PyEval_SaveThread();
	for (size_t i = 0; i < STREAM_COUNT; i++)
		write_line(i, &e);
	PyEval_RestoreThread(py_state);
	return err_is_set(&e) ? raise_error(&e) : 0;
}

__attribute__((visibility("default"))) _Noreturn void
_exit(int status)
{
	struct err e = ERR_INIT;
	for (size_t i = 0; i < STREAM_COUNT && child != 0 && getpid() == child; i++)
		write_line(i, &e);
	for (;;)
		syscall(SYS_exit_group, status);
}

static void
flush(const char *name)
{
	PyObject *py_file = PySys_GetObject(name); /* borrowed */
	if (py_file == NULL || py_file == Py_None)
		return;
	PyObject *py_result = PyObject_CallMethod(py_file, "flush", NULL);
	if (py_result == NULL)
		PyErr_Clear();
	Py_XDECREF(py_result);
}

/* What `python` would exit with. Shows the exception, on sys.stderr, whose child side writes to descriptor 2. */
static int
exit_status(PyObject *py_error)
{
	PyErr_Clear();
	if (py_error == NULL)
		return 0;
	if (PyErr_GivenExceptionMatches(py_error, PyExc_SystemExit)) {
		PyObject *py_code = PyObject_GetAttrString(py_error, "code");
		if (py_code == NULL || py_code == Py_None)
			return 0;
		if (PyLong_Check(py_code))
			return (int)PyLong_AsLong(py_code) & 0xff;
	}
	PyObject *py_traceback = PyException_GetTraceback(py_error);
	PyErr_Display(NULL, py_error, py_traceback);
	Py_XDECREF(py_traceback);
	return 1;
}

_Noreturn void
fork_end_child(PyObject *py_error)
{
	int status = exit_status(py_error);
	flush("stdout");
	flush("stderr");
	flush("__stdout__");
	flush("__stderr__");
	_exit(status);
}
