/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The front's one loop: wait for sockets, link, bell, pipes, worker, nursery and signals; serve control first, then what the worker
 * said, then the shell queue. No timer exists while there is nothing to wait for.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "front/exchange.h"
#include "front/front.h"
#include "protocol/limits.h"

#define CONTROL_AT_ONCE 64
#define SUBSCRIPTIONS_AT_ONCE 64

enum watched {
	WATCH_SIGNALS,
	WATCH_PARENT,
	WATCH_NURSERY,
	WATCH_CHILD,
	WATCH_LINK,
	WATCH_LINK_OUT,
	WATCH_ANSWERS_OUT,
	WATCH_BELL,
	WATCH_OUT,
	WATCH_ERR,
	WATCH_COUNT
};

static void
earlier(long long *due, long long when)
{
	if (when != 0 && (*due == 0 || when < *due))
		*due = when;
}

/* Milliseconds until the next thing that is due; -1: nothing is. */
static int
next_timeout(const struct front *f)
{
	long long due = 0, now = clock_ms();
	earlier(&due, f->streams.due_ms);
	earlier(&due, f->report_ms);
	earlier(&due, f->question.retry_ms);
	earlier(&due, f->cut_off_ms);
	earlier(&due, nursery_due(&f->nursery));
	if (f->worker.settle_ms != 0 && !f->worker.ended)
		earlier(&due, now + WORKER_SETTLE_RETRY_MS);
	if (!output_is_empty(&f->output))
		earlier(&due, now + OUTPUT_RETRY_MS);
	if (due == 0)
		return -1;
	return due > now ? (int)(due - now) : 0;
}

/* Ask for the bell. While text is being collected only a half-full ring is worth waking for. True: do not sleep. */
static bool
arm(struct front *f)
{
	if (relay_has_work(f))
		return true;
	if (nursery_holds_text(&f->nursery))
		return ring_arm(f->worker.shared, 0);
	if (output_is_full(&f->output) && !output_is_stuck(&f->output))
		return ring_arm(f->worker.shared, 0);
	return ring_arm(f->worker.shared, f->streams.due_ms == 0 ? 1 : RING_SIZE / 2);
}

/* It says that there is a worker, or that its status has changed. */
static void
on_nursery(struct front *f)
{
	nursery_serve(&f->nursery, &f->worker);
	interrupt_notice_stop(f);
}

/* A subscription frame: welcome the subscriber, as JEP 65 asks. */
static void
on_subscription(struct front *f, const struct wire_frame *frame)
{
	const char *bytes = frame->data;
	struct err e = ERR_INIT;
	BUF_AUTO content = BUF_INIT;
	if (frame->size == 0 || bytes[0] != 1 || frame->size - 1 > LIMIT_TOPIC_SIZE)
		return;
	struct wire_frame topic = { bytes + 1, frame->size - 1 };
	json_auto_t *document = json_pack("{s:o}", "subscription", json_stringn(topic.data, topic.size));
	if (document_append(&content, document, 0) < 0)
		return; /* the topic is not UTF-8 */
	struct outgoing out = {
		.channel = CHANNEL_IOPUB,
		.msg_type = "iopub_welcome",
		.topic = topic,
		.no_topic = topic.size == 0,
		.content = { content.data, content.size },
	};
	if (session_send(f->session, &out, NULL, &e) < 0)
		log_error("event=lost type=iopub_welcome reason=\"%s\"", e.text);
}

static void
on_iopub(struct front *f)
{
	const struct wire_frame *frames;
	size_t count;
	for (int i = 0; i < SUBSCRIPTIONS_AT_ONCE && !output_is_full(&f->output); i++) {
		if (sockets_receive(f->sockets, CHANNEL_IOPUB, &frames, &count) == 0)
			return;
		if (count == 1) {
			struct wire_frame frame = frames[0];
			on_subscription(f, &frame);
		}
	}
}

static void
on_channel(struct front *f, enum channel channel, void (*accept)(struct front *f, struct request *r))
{
	struct request *r;
	for (int i = 0; i < CONTROL_AT_ONCE && session_receive(f->session, channel, &r) > 0; i++) {
		if (r != NULL)
			accept(f, r);
	}
}

static void
on_channels(struct front *f, unsigned ready)
{
	if (ready & 1u << CHANNEL_HB)
		sockets_echo_heartbeat(f->sockets);
	if (ready & 1u << CHANNEL_IOPUB)
		on_iopub(f);
	if (ready & 1u << CHANNEL_CONTROL)
		on_channel(f, CHANNEL_CONTROL, control_accept);
	if (ready & 1u << CHANNEL_STDIN)
		on_channel(f, CHANNEL_STDIN, stdinput_accept);
	if (ready & 1u << CHANNEL_SHELL)
		shell_read(f);
}

/* The worker has ended: take what it left; if nobody asked it to, say why. One from a nursery that never said HELLO never was. */
static void
on_end(struct front *f)
{
	if (f->nursery.stage == ASK_FORKED) {
		nursery_lose(&f->nursery, NURSERY_UNLIKE);
		return;
	}
	if (!worker_settle(&f->worker))
		return;
	relay_drain(f);
	if (f->phase == FRONT_STOPPING) {
		shutdown_finish(f);
		return;
	}
	obituary_publish(f);
}

static void
on_timers(struct front *f)
{
	long long now = clock_ms();
	output_retry(&f->output);
	streams_tick(f);
	stdinput_tick(f);
	/* In the student's startup files, which may take as long as they like: as good as HELLO. */
	if (f->nursery.stage == ASK_FORKED && atomic_load(&f->worker.shared->state.generation) > 0)
		nursery_hello(&f->nursery);
	nursery_tick(&f->nursery);
	if (f->worker.settle_ms != 0 && !f->worker.ended && f->phase != FRONT_ENDED)
		on_end(f);
	if (f->report_ms != 0 && now >= f->report_ms)
		interrupt_report(f);
	if (f->cut_off_ms != 0 && now >= f->cut_off_ms) {
		f->cut_off_ms = 0;
		f->cut_off = true;
		worker_signal(&f->worker, SIGKILL);
	}
}

static void
watch(struct front *f, struct poll_set *set)
{
	struct poll_fd *fds = set->fds;
	bool full = output_is_full(&f->output);
	bool expecting = nursery_is_expecting(&f->nursery), quiet = nursery_holds_text(&f->nursery);
	const struct worker *w = &f->worker;
	for (int i = 0; i < WATCH_COUNT; i++)
		fds[i] = (struct poll_fd){ .fd = -1 };
	fds[WATCH_SIGNALS].fd = f->signal_fd;
	fds[WATCH_PARENT].fd = f->parent_fd;
	fds[WATCH_NURSERY].fd = f->nursery.connection;
	fds[WATCH_CHILD].fd = w->ended || w->settle_ms != 0 ? -1 : w->pidfd;
	fds[WATCH_LINK].fd = full || expecting ? -1 : w->link;
	fds[WATCH_LINK_OUT] = (struct poll_fd){ .fd = w->outgoing.bytes.size > 0 ? w->link : -1, .writable = true };
	fds[WATCH_ANSWERS_OUT] =
		(struct poll_fd){ .fd = w->unasked.bytes.size > 0 ? w->answers : -1, .writable = true };
	fds[WATCH_BELL].fd = w->bell;
	fds[WATCH_OUT].fd = full || quiet ? -1 : w->pipes[0];
	fds[WATCH_ERR].fd = full || quiet ? -1 : w->pipes[1];
	set->channels = (1u << CHANNEL_COUNT) - 1;
	if (f->queue.bytes >= FRONT_QUEUE_MAX)
		set->channels &= ~(1u << CHANNEL_SHELL);
	if (full)
		set->channels &= ~(1u << CHANNEL_IOPUB); /* whoever subscribes now is welcomed when there is room */
}

static void
serve(struct front *f, const struct poll_fd fds[WATCH_COUNT], unsigned channels)
{
	if (fds[WATCH_SIGNALS].ready)
		signals_serve(f);
	if (fds[WATCH_PARENT].ready)
		shutdown_at_once(f, 1, 0);
	if (f->phase == FRONT_ENDED)
		return;
	on_channels(f, channels);
	if (fds[WATCH_NURSERY].ready)
		on_nursery(f);
	if (fds[WATCH_LINK_OUT].ready || fds[WATCH_ANSWERS_OUT].ready)
		worker_flush(&f->worker);
	relay_read(f, fds[WATCH_BELL].ready);
	if (!output_is_full(&f->output) && (fds[WATCH_OUT].ready || fds[WATCH_ERR].ready))
		relay_read_pipes(f);
	if (fds[WATCH_CHILD].ready || f->worker.ended) /* SIGCHLD may have come between the poll and here */
		on_end(f);
}

/* Nothing came of asking a nursery. Last in its turn, since what was polled belongs to the worker that is given up. */
static void
fall_back(struct front *f)
{
	if (f->phase == FRONT_STARTING)
		start_cold(f);
	else
		shutdown_at_once(f, f->exit_status, 0);
}

void
front_run(struct front *f)
{
	while (f->phase != FRONT_ENDED) {
		struct poll_fd fds[WATCH_COUNT];
		struct poll_set set = { .fds = fds, .count = WATCH_COUNT };
		struct err e = ERR_INIT;
		shell_advance(f);
		watch(f, &set);
		int timeout = arm(f) ? 0 : next_timeout(f);
		if (sockets_poll(f->sockets, &set, timeout, &e) < 0 && e.code != ERR_BUSY) {
			log_error("event=poll reason=\"%s\"", e.text);
			shutdown_at_once(f, 1, 0);
			return;
		}
		if (!err_is_set(&e))
			serve(f, fds, set.ready);
		on_timers(f);
		if (f->nursery.stage == ASK_LOST && f->phase != FRONT_ENDED)
			fall_back(f);
	}
}
