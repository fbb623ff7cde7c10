/* SPDX-License-Identifier: BSD-3-Clause */
#include "front/streams.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "front/exchange.h"
#include "front/front.h"
#include "protocol/text.h"

#define TEE_SIZE 4096u /* PIPE_BUF: a write of this much to a writable pipe does not block */
#define KEEP_SIZE ((size_t)16 * 1024)
#define PIPE_HOLDS_MAX ((uint64_t)1 << 20) /* bytes: what anybody may make of a pipe, unless root did */

static const char *const stream_names[] = { [STREAM_STDOUT] = "stdout", [STREAM_STDERR] = "stderr" };

void
streams_init(struct streams *s)
{
	*s = (struct streams){ .text = { BUF_INIT, BUF_INIT }, .content = BUF_INIT };
}

void
streams_free(struct streams *s)
{
	buf_free(&s->text[0]);
	buf_free(&s->text[1]);
	buf_free(&s->content);
}

void
streams_change_pipes(struct streams *s)
{
	s->partial_size[0] = s->partial_size[1] = 0;
	s->pipe_read[0] = s->pipe_read[1] = 0;
	s->tail_size = 0;
}

static void
publish_text(struct front *f, enum stream stream, uint32_t serial, const char *text, size_t size)
{
	struct streams *s = &f->streams;
	struct err ignored = ERR_INIT;
	char topic[32];
	buf_reset(&s->content);
	buf_appendf(&s->content, "{\"name\": \"%s\", \"text\": ", stream_names[stream]);
	text_append_json(&s->content, text, size);
	buf_append_string(&s->content, "}");
	int topic_size = snprintf(topic, sizeof topic, "stream.%s", stream_names[stream]);
	struct outgoing out = {
		.channel = CHANNEL_IOPUB,
		.msg_type = "stream",
		.topic = { topic, (size_t)topic_size },
		.parent = parents_find(&f->parents, serial),
		.content = { s->content.data, s->content.size },
	};
	if (s->content.failed || session_send(f->session, &out, NULL, &ignored) < 0)
		s->left_out += size;
	buf_reset(&s->content);
	buf_shrink(&s->content, KEEP_SIZE);
}

/* Say how much was left out, once there is room again. */
static void
mention_left_out(struct front *f, uint32_t serial)
{
	struct streams *s = &f->streams;
	char line[128];
	if (s->left_out == 0 || output_is_full(&f->output))
		return;
	int size = snprintf(line, sizeof line, "\n[Pupitre: %llu bytes of output are left out here]\n",
			    (unsigned long long)s->left_out);
	s->left_out = 0;
	publish_text(f, STREAM_STDERR, serial, line, (size_t)size);
}

static struct buf *
text_of(struct streams *s, enum stream stream)
{
	return &s->text[stream == STREAM_STDERR];
}

static enum stream
other(enum stream stream)
{
	return stream == STREAM_STDOUT ? STREAM_STDERR : STREAM_STDOUT;
}

static void
flush_one(struct front *f, enum stream stream)
{
	struct buf *text = text_of(&f->streams, stream);
	if (text->size == 0)
		return;
	publish_text(f, stream, f->streams.serial, text->data, text->size);
	buf_reset(text);
	buf_shrink(text, KEEP_SIZE);
}

void
streams_flush(struct front *f)
{
	struct streams *s = &f->streams;
	if (s->due_ms != 0) {
		flush_one(f, other(s->latest));
		flush_one(f, s->latest);
		s->sent_ms = clock_ms();
		s->due_ms = 0;
		s->switches = 0;
	}
	mention_left_out(f, s->serial);
}

/* Whether a request has printed more than it may; counts. */
static bool
over_limit(struct streams *s, uint32_t serial, size_t size)
{
	if (serial != s->cell_serial) {
		s->cell_serial = serial;
		s->cell_bytes = 0;
	}
	s->cell_bytes += size;
	return s->cell_bytes > STREAMS_CELL_MAX;
}

/* When the text that waits is to be sent: at once after a pause, but a line that is not finished gets a moment to become so. */
static long long
due(struct streams *s)
{
	const struct buf *text = text_of(s, s->latest);
	long long interval = s->sent_ms + STREAMS_INTERVAL_MS;
	long long moment = text->data[text->size - 1] == '\n' ? 1 : clock_ms() + STREAMS_LINE_MS;
	long long soonest = interval > moment ? interval : moment;
	return s->due_ms != 0 && s->due_ms < soonest ? s->due_ms : soonest;
}

/* Text that waits and may not be joined with what comes now goes out first. */
static void
make_way(struct front *f, enum stream stream, uint32_t serial)
{
	struct streams *s = &f->streams;
	if (s->due_ms != 0 && s->serial != serial) {
		streams_flush(f);
	} else if (text_of(s, other(stream))->size > 0 && s->latest != stream && s->switches < STREAMS_SWITCHES_MAX) {
		flush_one(f, s->latest);
		s->switches++;
	}
}

void
streams_add(struct front *f, enum stream stream, uint32_t serial, const char *text, size_t size)
{
	struct streams *s = &f->streams;
	if (size == 0)
		return;
	if (over_limit(s, serial, size) || output_is_stuck(&f->output)) {
		s->left_out += size;
		return;
	}
	make_way(f, stream, serial);
	struct buf *waiting = text_of(s, stream);
	if (buf_append(waiting, text, size) < 0) {
		s->left_out += size;
		waiting->failed = false;
		return;
	}
	s->latest = stream;
	s->serial = serial;
	s->due_ms = due(s);
	if (waiting->size >= STREAMS_MESSAGE_SIZE)
		streams_flush(f);
}

void
streams_tick(struct front *f)
{
	if (f->streams.due_ms != 0 && clock_ms() >= f->streams.due_ms)
		streams_flush(f);
}

/* What programs print goes to our own standard error as well, as long as somebody reads it. */
static void
tee(const char *text, size_t size)
{
	struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };
	while (size > 0 && poll(&p, 1, 0) == 1 && (p.revents & (POLLOUT | POLLERR | POLLHUP | POLLNVAL)) == POLLOUT) {
		ssize_t n = write(STDERR_FILENO, text, size < TEE_SIZE ? size : TEE_SIZE);
		if (n <= 0)
			return;
		text += n;
		size -= (size_t)n;
	}
}

static void
keep_tail(struct streams *s, const char *text, size_t size)
{
	if (size > sizeof s->tail) {
		text += size - sizeof s->tail;
		size = sizeof s->tail;
	}
	size_t kept = s->tail_size + size > sizeof s->tail ? sizeof s->tail - size : s->tail_size;
	memmove(s->tail, s->tail + s->tail_size - kept, kept);
	memcpy(s->tail + kept, text, size);
	s->tail_size = kept + size;
}

/* read(), counted, so that the worker can tell what ever came by the pipe. */
static ssize_t
read_counted(struct front *f, int i, char *bytes, size_t size)
{
	struct streams *s = &f->streams;
	struct ring *ring = &f->worker.shared->ring;
	atomic_store(&ring->pipe_turn, ++s->pipe_turn);
	ssize_t n = read(f->worker.pipes[i], bytes, size);
	if (n > 0)
		s->pipe_read[i] += (uint64_t)n;
	atomic_store(&ring->pipe_read[i], s->pipe_read[i]);
	atomic_store(&ring->pipe_turn, ++s->pipe_turn);
	return n;
}

/* Read a pipe once, at most `limit` bytes; `i` is 0 for stdout, 1 for stderr. Bytes read, 0 when there was nothing. */
static size_t
read_pipe(struct front *f, int i, size_t limit)
{
	struct streams *s = &f->streams;
	char bytes[8192];
	size_t had = s->partial_size[i], room = sizeof bytes - had;
	memcpy(bytes, s->partial[i], had);
	ssize_t n = read_counted(f, i, bytes + had, limit < room ? limit : room);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		fd_close(&f->worker.pipes[i]);
	if (n <= 0)
		return 0;
	tee(bytes + had, (size_t)n);
	if (i == 1)
		keep_tail(s, bytes + had, (size_t)n);
	size_t size = had + (size_t)n;
	size_t whole = text_whole(bytes, size);
	s->partial_size[i] = size - whole;
	memcpy(s->partial[i], bytes + whole, size - whole);
	streams_add(f, i == 0 ? STREAM_STDOUT : STREAM_STDERR, f->last_serial, bytes, whole);
	return (size_t)n;
}

void
streams_read_pipes(struct front *f, size_t limit)
{
	for (int i = 0; i < 2; i++) {
		size_t taken = 0;
		while (f->worker.pipes[i] >= 0 && taken < limit) {
			size_t n = read_pipe(f, i, limit - taken);
			if (n == 0)
				break;
			taken += n;
		}
	}
}

void
streams_read_pipes_until(struct front *f, const uint64_t written[2])
{
	const struct streams *s = &f->streams;
	for (int i = 0; i < 2; i++) {
		uint64_t most = s->pipe_read[i] + PIPE_HOLDS_MAX;
		uint64_t end = written[i] < most ? written[i] : most;
		while (f->worker.pipes[i] >= 0 && s->pipe_read[i] < end) {
			if (read_pipe(f, i, end - s->pipe_read[i]) == 0)
				break;
		}
	}
}

void
streams_close_ended(struct front *f)
{
	for (int i = 0; i < 2; i++) {
		struct pollfd p = { .fd = f->worker.pipes[i], .events = POLLIN };
		if (poll(&p, 1, 0) == 1 && (p.revents & POLLIN) == 0)
			fd_close(&f->worker.pipes[i]);
	}
}

void
streams_measure_pipes(const struct front *f, uint64_t ret_written[2])
{
	for (int i = 0; i < 2; i++) {
		int waiting = 0;
		if (f->worker.pipes[i] < 0 || ioctl(f->worker.pipes[i], FIONREAD, &waiting) < 0 || waiting < 0)
			waiting = 0;
		ret_written[i] = f->streams.pipe_read[i] + (uint64_t)waiting;
	}
}
