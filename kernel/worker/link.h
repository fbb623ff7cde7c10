/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The worker's end of the link: frames out, whole, one after the other, and frames in.
 * Only the main thread takes frames in: link_wait once, for START, and from then on dispatch.c, which sees that each request is
 * answered. What other threads wait for comes another way (answers.h). Everything is called with the GIL; waits release it. Failures are
 * Python exceptions: OSError, EOFError (the front is gone), KeyboardInterrupt. In a forked child: OSError(EBADF).
 */
#ifndef PUPITRE_WORKER_LINK_H
#define PUPITRE_WORKER_LINK_H

#include "compat.h"
#include "link/frame.h"

/* A frame that came in. py_parts: a list of bytes; NULL when there was no memory for it, with MemoryError set. */
struct incoming {
	uint16_t type, flags;
	uint32_t serial;
	PyObject *py_parts; /* owned by the caller of link_next */
};

/* Send one frame stamped with the ring position. A signal may interrupt the wait before the first byte only. A REPLY or
 * DONE for a serial that is not open is dropped silently, and closes the serial otherwise. header: type, flags, serial.
 * 0, or -1 with an exception. */
int link_send(const struct frame_header *header, const struct frame_part *parts, size_t count);

/* The next frame if a whole one is there: 1, 0 when there is none, -1 with an exception. */
int link_next(struct incoming *ret);

/* As link_next, but waits for one: 1, or -1 with an exception. */
int link_wait(struct incoming *ret);

/* Wait, without the GIL, until fd is readable or a signal has come. A SIGINT between the look for signals and the wait ends the wait too,
 * because it is held back until then. 0, or -1 with the exception that a signal's handler raised. */
int link_wait_readable(int fd);

/* Raise *e: EOFError for ERR_CLOSED, MemoryError, else OSError. -1. */
int link_raise(const struct err *e);

/* The method of the module, see _pupitre.pyi. */
PyObject *link_send_method(PyObject *py_module, PyObject *const *py_args, Py_ssize_t count);

#endif
