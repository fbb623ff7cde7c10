/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The link's frame: what front and worker say to each other over one AF_UNIX stream socket, and over a second one, from the front
 * only, that carries answers to input().
 * Both ends are the same build on the same machine, so integers are native; both ends check every
 * length all the same, because the worker runs a student's code and may send anything.
 * JSON crosses as bytes and is parsed on neither way in the front; what the front must know stands in `flags`.
 *
 *   struct frame_header | uint32_t sizes[part_count] | part 0 | part 1 | ...
 *
 * Called by the front (frame_reader, frame_encode) and the worker (the same two). libc only.
 */
#ifndef PUPITRE_LINK_FRAME_H
#define PUPITRE_LINK_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define FRAME_MAGIC 0x32505550u          /* "PUP2": bumped when the format changes */
#define FRAME_PARTS_MAX 65600u           /* parts of one frame: room for the buffers of any message */
#define FRAME_SIZE_MAX ((size_t)1 << 30) /* bytes of one frame, header included */

enum frame_type {
	/* front -> worker */
	FRAME_START = 1,   /* first frame. parts: start JSON (see docs/protocol.md, "The link") */
	FRAME_REQUEST = 2, /* parts: msg_type, header, parent header, metadata, content, identity, buffers... */
	FRAME_INPUT_REPLY =
		3,      /* on the answers' socket. flags: number of the question. parts: content of the input_reply;
				* none: no answer will come */
	FRAME_EXIT = 4, /* orderly end. no parts */
	/* worker -> front */
	FRAME_HELLO = 16,   /* ready. parts: content of kernel_info_reply */
	FRAME_REPLY = 17,   /* answers serial. parts: metadata, content, buffers... */
	FRAME_DONE = 18,    /* serial is finished: see below. parts: none, or the name of an exception */
	FRAME_PUBLISH = 19, /* iopub. parts: msg_type, topic, parent header, metadata, content, buffers... */
	FRAME_INPUT_REQUEST =
		20,     /* stdin, to the client that sent serial. flags: number of the question. parts: content */
	FRAME_BYE = 21, /* the worker ends by itself (exit, quit). status in serial. no parts */
	FRAME_LOG = 22, /* lines for the server's log. parts: text, which may be any bytes */
};

/* PUBLISH: an empty parent part means the header of request `serial`, which the front keeps for the newest
 * FRAME_PARENTS_KEPT requests; serial 0 with an empty part means the parent {}. */
#define FRAME_PARENTS_KEPT 64u
/* PUBLISH: an empty topic part means kernel.<id>.<msg_type>. */
/* DONE without a part: the request wants no reply (comm_msg and the like). With one: it could not be served, and the front says so. */

enum frame_flag {
	FRAME_ABORT_QUEUE = 1 << 0, /* REPLY: the rest of the queue is to be aborted (stop_on_error) */
};

struct frame_header {
	uint32_t magic;
	uint16_t type;          /* enum frame_type */
	uint16_t flags;         /* enum frame_flag; of INPUT_REQUEST and INPUT_REPLY the number of the question */
	uint32_t serial;        /* request serial, from 1; 0 = none */
	uint32_t part_count;    /* <= FRAME_PARTS_MAX */
	uint64_t ring_position; /* bytes ever written to the output ring before this frame; 0 from the front */
};

struct frame_part {
	const void *data; /* borrowed */
	size_t size;
};

/* A decoded frame: borrowed views into a frame_reader, valid until its next call. */
struct frame {
	struct frame_header header;
	const struct frame_part *parts; /* header.part_count of them */
};

/* Append header and sizes (not the parts) of a frame to `out`; the caller sends the parts after it, e.g. by
 * writev. header->part_count is taken from `count`. 0, or -1 with ERR_LIMIT / ERR_MEMORY and out unchanged. */
int frame_encode_head(struct buf *out, const struct frame_header *header, const struct frame_part *parts, size_t count,
		      struct err *e);

/* Append the whole frame to `out`. As frame_encode_head. */
int frame_encode(struct buf *out, const struct frame_header *header, const struct frame_part *parts, size_t count,
		 struct err *e);

/* Reassembles frames from a byte stream. Owned by its user; frame_reader_free releases it. */
struct frame_reader {
	struct buf bytes;
	size_t taken;             /* bytes of `bytes` already given out */
	struct frame_part *parts; /* of the frame given out last */
	size_t parts_capacity;
};

#define FRAME_READER_INIT ((struct frame_reader){ .bytes = { .maximum = FRAME_SIZE_MAX } })

void frame_reader_free(struct frame_reader *r);

/* Read once from fd into the reader. Bytes read, 0 with ERR_CLOSED at end of stream, -1 with ERR_BUSY (EAGAIN, EINTR)
 * or ERR_SYSTEM / ERR_MEMORY. Blocks only when fd does. Invalidates frames given out before. */
long frame_reader_fill(struct frame_reader *r, int fd, struct err *e);

/* As fill, from bytes in memory (tests, fuzzing). 0 or -1 with ERR_MEMORY / ERR_LIMIT. */
int frame_reader_feed(struct frame_reader *r, const void *bytes, size_t size, struct err *e);

/* Whether frame_reader_next has something to say: a whole frame, or nonsense. */
bool frame_reader_holds(const struct frame_reader *r);

/* Take the next whole frame: 1 and *ret filled, 0 when more bytes are needed, -1 with ERR_INVALID / ERR_LIMIT when the
 * peer sent nonsense (the stream cannot be used any more), or ERR_MEMORY (the frame is still there). */
int frame_reader_next(struct frame_reader *r, struct frame *ret, struct err *e);

#endif
