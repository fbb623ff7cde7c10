/* SPDX-License-Identifier: BSD-3-Clause */
#include "answers.h"

#include <errno.h>

#include "ends.h"
#include "fork.h"
#include "link.h"

static struct frame_reader reader = { .bytes = { .maximum = FRAME_SIZE_MAX } };
static struct frame frame; /* the GIL serialises its use */

/* The next frame that has arrived: 1, 0 when none has, -1 with an exception. */
static int
next(void)
{
	for (;;) {
		struct err e = ERR_INIT;
		int got = frame_reader_next(&reader, &frame, &e);
		if (got < 0)
			return link_raise(&e);
		if (got > 0)
			return 1;
		if (frame_reader_fill(&reader, ends_get()->answers, &e) <= 0)
			return e.code == ERR_BUSY ? 0 : link_raise(&e);
	}
}

PyObject *
answers_wait_method(PyObject *py_module, PyObject *py_number)
{
	(void)py_module;
	long number = PyLong_AsLong(py_number);
	if (number == -1 && PyErr_Occurred() != NULL)
		return NULL;
	for (;;) {
		if (fork_is_child()) {
			errno = EBADF;
			return PyErr_SetFromErrno(PyExc_OSError);
		}
		int got = next();
		if (got < 0)
			return NULL;
		if (got == 0) {
			if (link_wait_readable(ends_get()->answers) < 0)
				return NULL;
		} else if (frame.header.type == FRAME_INPUT_REPLY && frame.header.flags == number) {
			if (frame.header.part_count == 0)
				Py_RETURN_NONE;
			return PyBytes_FromStringAndSize(frame.parts[0].data, (Py_ssize_t)frame.parts[0].size);
		}
	}
}
