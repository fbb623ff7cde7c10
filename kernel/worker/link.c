/* SPDX-License-Identifier: BSD-3-Clause */
#include "link.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>

#include "base/fd.h"
#include "ends.h"
#include "fork.h"
#include "requests.h"
#include "stream.h"

#define SLICE_MS 50 /* how long a wait that signals may end goes on before it looks for one */

/* What is still to be sent of one frame. */
struct outgoing {
	struct iovec *at;
	size_t count;
	bool begun; /* the first byte is out: the rest must follow */
};

static pthread_mutex_t sending = PTHREAD_MUTEX_INITIALIZER;
static struct frame_reader reader = { .bytes = { .maximum = FRAME_SIZE_MAX } };
static struct frame decoded; /* the GIL serialises its use */

static int
raise_errno(int number)
{
	errno = number;
	PyErr_SetFromErrno(PyExc_OSError);
	return -1;
}

int
link_raise(const struct err *e)
{
	if (e->code == ERR_CLOSED)
		PyErr_SetString(PyExc_EOFError, e->text);
	else if (e->code == ERR_MEMORY)
		PyErr_NoMemory();
	else
		PyErr_SetString(PyExc_OSError, e->text);
	return -1;
}

static void
advance(struct outgoing *o, size_t sent)
{
	while (o->count > 0 && sent >= o->at->iov_len) {
		sent -= o->at->iov_len;
		o->at++;
		o->count--;
	}
	if (sent > 0) {
		o->at->iov_base = (char *)o->at->iov_base + sent;
		o->at->iov_len -= sent;
	}
}

/* Send what the socket takes now: 0 when all is out, else errno (EAGAIN: it is full). */
static int
push(struct outgoing *o)
{
	advance(o, 0);
	while (o->count > 0) {
		struct msghdr m = { .msg_iov = o->at, .msg_iovlen = o->count < IOV_MAX ? o->count : IOV_MAX };
		ssize_t n = sendmsg(ends_get()->link, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno;
		o->begun = true;
		advance(o, (size_t)n);
	}
	return 0;
}

/* As push, but waits for room. Without the GIL. EAGAIN only while nothing is out: time to look for signals. */
static int
push_waiting(struct outgoing *o)
{
	for (;;) {
		struct pollfd p = { .fd = ends_get()->link, .events = POLLOUT };
		poll(&p, 1, SLICE_MS);
		int failure = push(o);
		if (failure != EAGAIN || !o->begun)
			return failure;
	}
}

/* Take the mutex. 0, or -1 with an exception when a signal raised one meanwhile. */
static int
lock_sending(void)
{
	while (pthread_mutex_trylock(&sending) != 0) {
		PyThreadState *py_state = PyEval_SaveThread();
		struct timespec until;
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += SLICE_MS * 1000000L;
		until.tv_sec += until.tv_nsec / 1000000000L;
		until.tv_nsec %= 1000000000L;
		int failure = pthread_mutex_clocklock(&sending, CLOCK_MONOTONIC, &until);
		PyEval_RestoreThread(py_state);
		if (failure == 0)
			return 0;
		if (PyErr_CheckSignals() < 0)
			return -1;
	}
	return 0;
}

/* Send all of it. The first attempt keeps the GIL, which is cheaper than getting it back; waits give it up. */
static int
send_all(struct outgoing *o)
{
	if (lock_sending() < 0)
		return -1;
	int failure = push(o);
	while (failure == EAGAIN) {
		PyThreadState *py_state = PyEval_SaveThread();
		failure = push_waiting(o);
		PyEval_RestoreThread(py_state);
		if (failure != EAGAIN)
			break;
		/* Nothing is out yet. A signal's handler may send, too. */
		pthread_mutex_unlock(&sending);
		if (PyErr_CheckSignals() < 0 || lock_sending() < 0)
			return -1;
	}
	pthread_mutex_unlock(&sending);
	if (failure == 0)
		return 0;
	return PyErr_Occurred() != NULL ? -1 : raise_errno(failure);
}

int
link_send(const struct frame_header *header, const struct frame_part *parts, size_t count)
{
	if (fork_is_child())
		return raise_errno(EBADF);
	if (!ends_connected())
		return 0;
	bool closes = header->type == FRAME_REPLY || header->type == FRAME_DONE;
	if (closes && !requests_is_open(header->serial))
		return 0;
	bool shows = header->type == FRAME_PUBLISH || header->type == FRAME_INPUT_REQUEST;
	if (shows && stream_mark_pipes() < 0)
		return -1;
	struct frame_header stamped = *header;
	stamped.ring_position = ring_position(ends_get()->shared);
	BUF_AUTO head = BUF_INIT;
	struct err e = ERR_INIT;
	if (frame_encode_head(&head, &stamped, parts, count, &e) < 0)
		return link_raise(&e);
	struct iovec *out = PyMem_New(struct iovec, count + 1);
	if (out == NULL) {
		PyErr_NoMemory();
		return -1;
	}
	out[0] = (struct iovec){ .iov_base = head.data, .iov_len = head.size };
	for (size_t i = 0; i < count; i++)
		out[i + 1] = (struct iovec){ .iov_base = (void *)(uintptr_t)parts[i].data, .iov_len = parts[i].size };
	struct outgoing o = { .at = out, .count = count + 1 };
	int failure = send_all(&o);
	PyMem_Free(out);
	if (failure == 0 && closes)
		requests_close(header->serial);
	return failure;
}

static PyObject *
copy_parts(const struct frame *frame)
{
	uint32_t count = frame->header.part_count;
	PyObject *py_parts = PyList_New(count);
	for (uint32_t i = 0; py_parts != NULL && i < count; i++) {
		const struct frame_part *part = &frame->parts[i];
		PyObject *py_part = PyBytes_FromStringAndSize(part->data, (Py_ssize_t)part->size);
		if (py_part == NULL)
			Py_CLEAR(py_parts);
		else
			PyList_SET_ITEM(py_parts, i, py_part);
	}
	return py_parts;
}

/* Hand `decoded` out. A request counts as taken from here on, even if memory for its parts is short: it wants an answer. */
static int
accept_decoded(struct incoming *ret)
{
	const struct frame_header *h = &decoded.header;
	if (h->type == FRAME_REQUEST && requests_open(h->serial) < 0) {
		PyErr_NoMemory();
		return -1;
	}
	*ret = (struct incoming){
		.type = h->type, .flags = h->flags, .serial = h->serial, .py_parts = copy_parts(&decoded)
	};
	return 1;
}

/* The next whole frame into `decoded`. Nothing would tell the event loop of one that stayed in the reader for want of memory,
 * and the front would wait for its answer for ever; a death it can report. */
static int
take_frame(struct err *e)
{
	int got = frame_reader_next(&reader, &decoded, e);
	if (got < 0 && e->code == ERR_MEMORY)
		Py_FatalError("no memory for a request");
	return got;
}

int
link_next(struct incoming *ret)
{
	if (fork_is_child())
		return raise_errno(EBADF);
	for (;;) {
		struct err e = ERR_INIT;
		int got = take_frame(&e);
		if (got < 0)
			return link_raise(&e);
		if (got > 0)
			return accept_decoded(ret);
		if (frame_reader_fill(&reader, ends_get()->link, &e) <= 0)
			return e.code == ERR_BUSY ? 0 : link_raise(&e);
	}
}

int
link_wait(struct incoming *ret)
{
	int got;
	while ((got = link_next(ret)) == 0) {
		if (link_wait_readable(ends_get()->link) < 0)
			return -1;
	}
	return got;
}

int
link_wait_readable(int fd)
{
	sigset_t held, before;
	sigemptyset(&held);
	sigaddset(&held, SIGINT);
	pthread_sigmask(SIG_BLOCK, &held, &before);
	if (PyErr_CheckSignals() < 0) {
		pthread_sigmask(SIG_SETMASK, &before, NULL);
		return -1;
	}
	PyThreadState *py_state = PyEval_SaveThread();
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ppoll(&p, 1, NULL, &before);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	PyEval_RestoreThread(py_state);
	return PyErr_CheckSignals();
}

/* One uint argument of send. */
static int
parse_number(PyObject *py_number, unsigned long maximum, unsigned long *ret)
{
	unsigned long value = PyLong_AsUnsignedLong(py_number);
	if (value == (unsigned long)-1 && PyErr_Occurred() != NULL)
		return -1;
	if (value > maximum) {
		PyErr_SetString(PyExc_OverflowError, "type, flags or serial out of range");
		return -1;
	}
	*ret = value;
	return 0;
}

static PyObject *
send_buffers(const struct frame_header *header, PyObject *py_parts)
{
	size_t count = (size_t)PySequence_Fast_GET_SIZE(py_parts), held = 0;
	PyObject *py_result = NULL;
	Py_buffer *views = PyMem_New(Py_buffer, count);
	struct frame_part *parts = PyMem_New(struct frame_part, count);
	if (views == NULL || parts == NULL) {
		PyErr_NoMemory();
		goto out;
	}
	for (; held < count; held++) {
		PyObject *py_part = PySequence_Fast_GET_ITEM(py_parts, held); /* borrowed */
		if (PyObject_GetBuffer(py_part, &views[held], PyBUF_ANY_CONTIGUOUS) < 0)
			goto out;
		parts[held] = (struct frame_part){ .data = views[held].buf, .size = (size_t)views[held].len };
	}
	if (link_send(header, parts, count) == 0)
		py_result = Py_NewRef(Py_None);
out:
	while (held > 0)
		PyBuffer_Release(&views[--held]);
	PyMem_Free(parts);
	PyMem_Free(views);
	return py_result;
}

PyObject *
link_send_method(PyObject *py_module, PyObject *const *py_args, Py_ssize_t count)
{
	(void)py_module;
	unsigned long type, flags, serial;
	if (count != 4)
		return PyErr_Format(PyExc_TypeError, "send() takes 4 arguments (%zd given)", count);
	if (parse_number(py_args[0], UINT16_MAX, &type) < 0 || parse_number(py_args[1], UINT16_MAX, &flags) < 0 ||
	    parse_number(py_args[2], UINT32_MAX, &serial) < 0)
		return NULL;
	/* A copy: the list may change while the GIL is released. */
	PyObject *py_parts = PySequence_Tuple(py_args[3]);
	if (py_parts == NULL)
		return NULL;
	struct frame_header header = { .type = (uint16_t)type, .flags = (uint16_t)flags, .serial = (uint32_t)serial };
	PyObject *py_result = send_buffers(&header, py_parts);
	Py_DECREF(py_parts);
	return py_result;
}
