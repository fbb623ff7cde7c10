/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The worker's frames onto the wire. Text of the ring and frames of the link are taken in the order in which the worker made them:
 * a frame names the ring position that comes before it. A worker that sends nonsense is killed and reported.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "front/exchange.h"
#include "front/front.h"
#include "protocol/limits.h"

#define STARTING "{\"execution_state\": \"starting\"}"
#define ENGINE_FAILED                                                                                                  \
	"The kernel's own code failed on this request; what the request was to do may be done in part or not at all. " \
	"If it happens again, restart the kernel."
#define CAUSE_MAX 200      /* bytes */
#define FRAMES_AT_ONCE 512 /* in one turn of the loop, so that a worker that floods the link is still interrupted */
#define FILLS_AT_ONCE 64
#define DRAIN_MS 500 /* for what a dead worker left; a descendant may still hold its end and go on writing */
#define RING_LOOKS 4
#define RING_RECORDS_MAX (RING_SIZE / sizeof(struct ring_record))
#define PIPE_BYTES_BEFORE_REPLY ((size_t)256 * 1024)
#define PIPE_BYTES_OF_THE_DEAD ((size_t)4 * 1024 * 1024)

enum { DONE_CAUSE };
enum { REPLY_METADATA, REPLY_CONTENT, REPLY_BUFFERS };
enum { PUBLISH_TYPE, PUBLISH_TOPIC, PUBLISH_PARENT, PUBLISH_METADATA, PUBLISH_CONTENT, PUBLISH_BUFFERS };

_Static_assert(PUBLISH_BUFFERS + LIMIT_BUFFERS <= FRAME_PARTS_MAX, "the link takes every message");

static struct wire_frame
part(const struct frame *frame, uint32_t i)
{
	return (struct wire_frame){ frame->parts[i].data, frame->parts[i].size };
}

/* A part as a NUL-terminated message type. */
static int
part_type(const struct frame *frame, uint32_t i, char ret[64], struct err *e)
{
	struct wire_frame p = part(frame, i);
	if (p.size == 0 || p.size >= 64 || memchr(p.data, '\0', p.size) != NULL)
		return err_set(e, ERR_INVALID, "a message type of %zu bytes", p.size);
	memcpy(ret, p.data, p.size);
	ret[p.size] = '\0';
	return 0;
}

/* A record of the ring that says how much of the pipes' text comes before what follows. */
static void
read_pipes_of(struct front *f, const char *content, size_t size)
{
	struct ring_pipes pipes;
	if (size != sizeof pipes)
		return;
	memcpy(&pipes, content, sizeof pipes);
	streams_read_pipes_until(f, pipes.written);
}

static void
take_ring(struct front *f, uint64_t position, struct err *e)
{
	static char text[RING_TEXT_MAX];
	struct ring_record record;
	/* Counted, because the worker could set the ring's position back for ever. */
	for (size_t i = 0; i < RING_RECORDS_MAX && ring_taken(f->worker.shared) < position; i++) {
		if (ring_take(f->worker.shared, &record, text, e) <= 0)
			break;
		if (record.stream == RING_PIPES) {
			read_pipes_of(f, text, record.size);
			continue;
		}
		streams_add(f, record.stream == STREAM_STDERR ? STREAM_STDERR : STREAM_STDOUT, record.serial, text,
			    record.size);
	}
	ring_made_room(f->worker.shared);
}

static int
on_hello(struct front *f, const struct frame *frame, struct err *e)
{
	(void)e;
	struct wire_frame info = part(frame, 0);
	free(f->kernel_info);
	f->kernel_info = malloc(info.size + 1);
	if (f->kernel_info == NULL)
		return err_memory(e);
	memcpy(f->kernel_info, info.data, info.size);
	f->kernel_info_size = info.size;
	nursery_hello(&f->nursery);
	if (f->phase == FRONT_STARTING) {
		exchange_publish(f, "status", (struct wire_frame){ NULL, 0 }, STARTING, strlen(STARTING));
		f->phase = FRONT_READY;
	}
	log_info("event=ready pid=%ld start=%s", (long)f->worker.pid, f->worker.born ? "nursery" : "cold");
	return 0;
}

static int
on_reply(struct front *f, const struct frame *frame, struct err *e)
{
	if (f->active == NULL || frame->header.serial != f->active->serial)
		return err_set(e, ERR_INVALID, "a reply to request %u, which is not open", frame->header.serial);
	struct reply reply = { .metadata = part(frame, REPLY_METADATA),
			       .content = part(frame, REPLY_CONTENT),
			       .buffers = frame->parts + REPLY_BUFFERS,
			       .buffer_count = frame->header.part_count - REPLY_BUFFERS };
	streams_read_pipes(f, PIPE_BYTES_BEFORE_REPLY);
	if (frame->header.flags & FRAME_ABORT_QUEUE)
		shell_open_abort_window(f);
	exchange_end(f, shell_release(f), &reply);
	return 0;
}

/* The engine has failed on a request and could not say so itself. */
static void
fail_for(struct front *f, struct request *r, struct wire_frame cause)
{
	BUF_AUTO why = BUF_INIT;
	buf_append_string(&why, ENGINE_FAILED);
	buf_appendf(&why, " (%.*s)", cause.size < CAUSE_MAX ? (int)cause.size : CAUSE_MAX, (const char *)cause.data);
	buf_append(&why, "", 1);
	exchange_fail(f, r, "KernelError", why.failed ? ENGINE_FAILED : why.data);
}

static int
on_done(struct front *f, const struct frame *frame, struct err *e)
{
	if (f->active == NULL || frame->header.serial != f->active->serial)
		return err_set(e, ERR_INVALID, "the end of request %u, which is not open", frame->header.serial);
	streams_read_pipes(f, PIPE_BYTES_BEFORE_REPLY);
	struct request *r = shell_release(f);
	if (frame->header.part_count > 0)
		fail_for(f, r, part(frame, DONE_CAUSE));
	else if (request_wants_reply(r))
		exchange_fail(f, r, "NotImplementedError", "this kernel has no answer to that request");
	else
		exchange_end(f, r, NULL);
	return 0;
}

static int
on_publish(struct front *f, const struct frame *frame, struct err *e)
{
	char msg_type[64];
	if (part_type(frame, PUBLISH_TYPE, msg_type, e) < 0)
		return -1;
	struct outgoing out = {
		.channel = CHANNEL_IOPUB,
		.msg_type = msg_type,
		.topic = part(frame, PUBLISH_TOPIC),
		.parent = part(frame, PUBLISH_PARENT),
		.metadata = part(frame, PUBLISH_METADATA),
		.content = part(frame, PUBLISH_CONTENT),
		.buffers = frame->parts + PUBLISH_BUFFERS,
		.buffer_count = frame->header.part_count - PUBLISH_BUFFERS,
	};
	if (out.parent.size == 0)
		out.parent = parents_find(&f->parents, frame->header.serial);
	struct err lost = ERR_INIT;
	streams_flush(f);
	if (session_send(f->session, &out, NULL, &lost) < 0)
		log_error("event=lost type=%s reason=\"%s\"", msg_type, lost.text);
	return 0;
}

static int
on_input_request(struct front *f, const struct frame *frame, struct err *e)
{
	(void)e;
	struct wire_frame content = part(frame, 0);
	streams_read_pipes(f, PIPE_BYTES_BEFORE_REPLY);
	streams_flush(f);
	stdinput_ask(f, frame->header.serial, frame->header.flags, &content);
	return 0;
}

static int
on_log(struct front *f, const struct frame *frame, struct err *e)
{
	(void)f;
	(void)e;
	struct wire_frame text = part(frame, 0);
	log_foreign(text.data, text.size);
	return 0;
}

static int
on_bye(struct front *f, const struct frame *frame, struct err *e)
{
	(void)e;
	if (f->phase == FRONT_STOPPING)
		return 0;
	f->exit_status = (int)(frame->header.serial & 0xff);
	f->left = true;
	f->phase = FRONT_STOPPING;
	return 0;
}

static const struct handler {
	enum frame_type type;
	uint32_t parts_min;
	int (*run)(struct front *f, const struct frame *frame, struct err *e);
} handlers[] = {
	{ FRAME_REPLY, REPLY_BUFFERS, on_reply },
	{ FRAME_DONE, 0, on_done },
	{ FRAME_PUBLISH, PUBLISH_BUFFERS, on_publish },
	{ FRAME_INPUT_REQUEST, 1, on_input_request },
	{ FRAME_HELLO, 1, on_hello },
	{ FRAME_BYE, 0, on_bye },
	{ FRAME_LOG, 1, on_log },
};

static int
handle(struct front *f, const struct frame *frame, struct err *e)
{
	for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++) {
		if (handlers[i].type != frame->header.type)
			continue;
		if (frame->header.part_count < handlers[i].parts_min)
			return err_set(e, ERR_INVALID, "a frame of type %u with %u parts", frame->header.type,
				       frame->header.part_count);
		take_ring(f, frame->header.ring_position, e);
		return err_is_set(e) ? -1 : handlers[i].run(f, frame, e);
	}
	return err_set(e, ERR_INVALID, "a frame of unknown type %u", frame->header.type);
}

/* The next frame, if the reader holds a whole one: 1, 0 when it does not, -1 with *e set. */
static int
take_frame(struct front *f, struct err *e)
{
	struct frame frame;
	int got = frame_reader_next(&f->worker.reader, &frame, e);
	return got > 0 && handle(f, &frame, e) < 0 ? -1 : got;
}

static void
distrust(struct front *f, const struct err *e)
{
	enum log_level level = f->nursery.stage == ASK_FORKED ? LOG_INFO : LOG_ERROR; /* another will come */
	log_line(level, "event=nonsense reason=\"%s\"", e->text);
	fd_close(&f->worker.link);
	f->cut_off = true;
	worker_signal(&f->worker, SIGKILL);
}

/* The worker has ended, or its code closed what is ours; the loop waits a moment to see which. */
static void
lose_link(struct front *f)
{
	fd_close(&f->worker.link);
	f->cut_off_ms = clock_ms() + FRONT_CUT_OFF_MS;
}

static void
silence_bell(struct worker *w)
{
	uint64_t count;
	ssize_t ignored = read(w->bell, &count, sizeof count);
	(void)ignored;
}

/* Read the link until it is empty (true), or the output is full or this turn has done enough (false). */
static bool
read_link(struct front *f, struct err *e)
{
	struct worker *w = &f->worker;
	int frames = 0, fills = 0;
	while (w->link >= 0 && !output_is_full(&f->output) && frames < FRAMES_AT_ONCE && fills < FILLS_AT_ONCE) {
		struct err end = ERR_INIT;
		int got = take_frame(f, e);
		if (got < 0)
			return false;
		if (got > 0) {
			frames++;
			continue;
		}
		fills++;
		if (frame_reader_fill(&w->reader, w->link, &end) > 0)
			continue;
		if (end.code == ERR_CLOSED)
			lose_link(f);
		else if (end.code != ERR_BUSY)
			*e = end;
		return true;
	}
	return w->link < 0;
}

bool
relay_has_work(const struct front *f)
{
	return f->worker.link >= 0 && !output_is_full(&f->output) && frame_reader_holds(&f->worker.reader);
}

void
relay_read(struct front *f, bool rung)
{
	struct worker *w = &f->worker;
	struct err e = ERR_INIT;
	if (rung)
		silence_bell(w);
	if (nursery_is_expecting(&f->nursery))
		return;
	/* Frames sent before text are in the socket once the text is in the ring: so look at the ring first, empty the link, and only then
	 * take the text seen at first. */
	uint64_t position = ring_position(w->shared);
	bool emptied = read_link(f, &e);
	/* A subscriber that is stuck gets no text: then it is taken out of the worker's way. */
	bool take = output_is_full(&f->output) ? output_is_stuck(&f->output) : emptied;
	if (!err_is_set(&e) && take && !nursery_holds_text(&f->nursery))
		take_ring(f, position, &e);
	if (err_is_set(&e))
		distrust(f, &e);
}

void
relay_read_pipes(struct front *f)
{
	uint64_t written[2];
	streams_measure_pipes(f, written);
	/* Text that is in the ring by now may have been made before some of it, and says so. Once the ring is empty all of what was
	 * measured comes before whatever follows. A worker that prints without end looks at the pipes itself. */
	for (int i = 0; i < RING_LOOKS && ring_position(f->worker.shared) != ring_taken(f->worker.shared); i++) {
		relay_read(f, false);
		streams_measure_pipes(f, written);
	}
	if (output_is_full(&f->output) || ring_position(f->worker.shared) != ring_taken(f->worker.shared))
		return;
	streams_read_pipes_until(f, written);
	streams_close_ended(f);
}

void
relay_drain(struct front *f)
{
	struct worker *w = &f->worker;
	struct err e = ERR_INIT;
	worker_signal(w, SIGKILL); /* what is left of its group */
	for (long long until = clock_ms() + DRAIN_MS; w->link >= 0 && clock_ms() < until;) {
		struct err end = ERR_INIT;
		int got = take_frame(f, &e);
		if (got < 0 || (got == 0 && frame_reader_fill(&w->reader, w->link, &end) <= 0))
			break;
	}
	take_ring(f, UINT64_MAX, &e);
	streams_read_pipes(f, PIPE_BYTES_OF_THE_DEAD);
	streams_flush(f);
}
