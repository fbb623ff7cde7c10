/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Shell requests: one at a time, in the order in which they came, and the abort window after an error.
 * A cell that fails with stop_on_error takes with it the execute_requests that were sent before its failure was known, those still in the
 * socket included; other requests run as usual. Jupyter messaging protocol, "Execution results".
 */
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "front/exchange.h"
#include "front/front.h"

#define MESSAGES_AT_ONCE 64 /* in one turn of the loop */
#define MANY 32             /* with which libzmq's queue was perhaps full */
#define DRAIN_MS 50
#define REST_MS 1000                            /* for answers at the kernel's end, however much a stranger sends */
#define QUIET_MS 20                             /* without a message: that was all */
#define REQUEST_BUFFERS (WIRE_SIGNED_PARTS + 2) /* parts before the buffers: type, what is signed, identity */
#define PARTS_USUAL 16                          /* of a request that needs no list of its own */
#define ABORTED "{\"status\": \"aborted\"}"
#define STOPPED "KernelStopped" /* ename of what the end of the kernel left undone */

void
shell_accept(struct front *f, struct request *r)
{
	request_queue_push(&f->queue, r);
}

/* Read at most `count` messages from the shell channel. True: there may be more. */
static bool
read_some(struct front *f, int count)
{
	struct request *r;
	for (int i = 0; i < count; i++) {
		if (f->queue.bytes >= FRONT_QUEUE_MAX || session_receive(f->session, CHANNEL_SHELL, &r) == 0)
			return false;
		if (r != NULL)
			shell_accept(f, r);
	}
	return true;
}

void
shell_read(struct front *f)
{
	read_some(f, MESSAGES_AT_ONCE);
}

static bool
more_comes(struct front *f, unsigned channels, int timeout_ms)
{
	struct poll_set set = { .channels = channels };
	struct err ignored = ERR_INIT;
	return sockets_poll(f->sockets, &set, timeout_ms, &ignored) == 0 && set.ready != 0;
}

/* Everything that was sent. libzmq takes more off the wire only when there is room: after many an empty socket says nothing yet. */
static void
read_all(struct front *f)
{
	long long until = clock_ms() + DRAIN_MS;
	bool many;
	do {
		size_t before = f->queue.count;
		while (read_some(f, MESSAGES_AT_ONCE) && clock_ms() < until)
			;
		many = f->queue.count - before >= MANY;
	} while (many && clock_ms() < until && f->queue.bytes < FRONT_QUEUE_MAX &&
		 more_comes(f, 1u << CHANNEL_SHELL, QUIET_MS));
}

void
shell_open_abort_window(struct front *f)
{
	read_all(f);
	for (struct request *r = f->queue.first; r != NULL; r = r->next)
		r->abort = r->abort || request_is(r, "execute_request");
}

/* Clients take "aborted" for "nothing went wrong here", so it is said only where another cell's failure is the reason. */
static void
abort_request(struct front *f, struct request *r)
{
	struct wire_frame aborted = { ABORTED, strlen(ABORTED) };
	struct reply reply = { .metadata = aborted, .content = aborted };
	exchange_begin(f, r);
	exchange_end(f, r, request_wants_reply(r) ? &reply : NULL);
}

/* The kernel ends before the request's turn came: by this error, or because it was told to. */
static void
refuse_request(struct front *f, struct request *r, json_t *error)
{
	exchange_begin(f, r);
	if (error != NULL) {
		exchange_refuse(f, r, error);
		return;
	}
	exchange_fail(f, r, STOPPED,
		      f->left ? "This was not run, because exit() or quit() has ended the kernel."
			      : "This was not run, because the kernel was shut down.");
}

/* Give a request for the worker its serial and remember its header. What the front answers itself needs neither, and would push the
 * headers out that the worker still prints for. */
static void
number(struct front *f, struct request *r)
{
	if (++f->last_serial == 0)
		f->last_serial = 1;
	r->serial = f->last_serial;
	parents_enter(&f->parents, r->serial, &r->wire);
}

static int
send_request(struct worker *w, const struct request *r, struct err *e)
{
	const struct wire_msg *wire = &r->wire;
	struct frame_header header = { .type = FRAME_REQUEST, .serial = r->serial };
	struct frame_part few[PARTS_USUAL];
	size_t count = 0, total = REQUEST_BUFFERS + wire->buffer_count;
	struct frame_part *parts = total <= PARTS_USUAL ? few : calloc(total, sizeof *parts);
	if (parts == NULL)
		return err_memory(e);
	parts[count++] = (struct frame_part){ r->header.msg_type, strlen(r->header.msg_type) };
	for (int i = 0; i < WIRE_SIGNED_PARTS; i++)
		parts[count++] = (struct frame_part){ wire->parts[i].data, wire->parts[i].size };
	static const struct wire_frame nobody = { "", 0 };
	size_t identities = wire->identity_count;
	const struct wire_frame *identity = identities > 0 ? &wire->identities[identities - 1] : &nobody;
	parts[count++] = (struct frame_part){ identity->data, identity->size };
	for (size_t i = 0; i < wire->buffer_count; i++)
		parts[count++] = (struct frame_part){ wire->buffers[i].data, wire->buffers[i].size };
	int result = worker_send(w, &header, parts, count, e);
	if (parts != few)
		free(parts);
	return result;
}

/* Hand a request to the worker. Consumes r on failure; on success it is f->active. */
static void
pass_on(struct front *f, struct request *r)
{
	struct err e = ERR_INIT;
	number(f, r);
	/* The worker starts while the subscribers are told. */
	int failure = send_request(&f->worker, r, &e);
	exchange_begin(f, r);
	if (failure < 0) {
		exchange_fail(f, r, "KernelError", e.text);
		return;
	}
	f->active = r;
}

static void
begin(struct front *f, struct request *r)
{
	if (r->abort && f->phase != FRONT_STOPPING) {
		abort_request(f, r);
	} else if (r->header.in_subshell) {
		exchange_begin(f, r);
		exchange_fail(f, r, "SubshellNotFound", "this kernel has no such subshell");
	} else if (!control_serve(f, r)) {
		if (f->phase == FRONT_STOPPING)
			refuse_request(f, r, NULL);
		else
			pass_on(f, r);
	}
}

void
shell_advance(struct front *f)
{
	while (f->active == NULL && f->queue.first != NULL && f->phase != FRONT_STARTING && f->phase != FRONT_ENDED &&
	       !output_is_full(&f->output))
		begin(f, request_queue_pop(&f->queue));
}

/* Read what waits on shell and control, a bounded number of messages. True: something did. */
static bool
read_round(struct front *f)
{
	struct request *r;
	size_t before = f->queue.count;
	bool any = false;
	for (int i = 0; i < MESSAGES_AT_ONCE && session_receive(f->session, CHANNEL_CONTROL, &r) > 0; i++) {
		any = true;
		if (r != NULL)
			control_accept(f, r);
	}
	return read_some(f, MESSAGES_AT_ONCE) || any || f->queue.count != before;
}

/* libzmq takes more off the wire only when there is room, so an empty socket does not tell that nothing waits. */
void
shell_read_rest(struct front *f, bool wait)
{
	long long until = clock_ms() + REST_MS;
	int patience_ms = wait ? QUIET_MS : 0;
	do {
		if (read_round(f))
			patience_ms = QUIET_MS;
	} while (clock_ms() < until && f->queue.bytes < FRONT_QUEUE_MAX &&
		 more_comes(f, 1u << CHANNEL_SHELL | 1u << CHANNEL_CONTROL, patience_ms));
}

void
shell_refuse_rest(struct front *f, json_t *error)
{
	for (struct request *r; (r = request_queue_pop(&f->queue)) != NULL;)
		refuse_request(f, r, error);
}

struct request *
shell_release(struct front *f)
{
	struct request *r = f->active;
	if (r == NULL)
		return NULL;
	f->active = NULL;
	f->report_ms = 0;
	stdinput_close(f);
	atomic_store(&f->worker.shared->state.interrupt_serial, 0);
	return r;
}

void
shell_answer_rest(struct front *f)
{
	struct request *r = shell_release(f);
	shell_read_rest(f, false);
	if (r != NULL)
		exchange_fail(f, r, STOPPED, "The kernel was shut down before this was done.");
	shell_refuse_rest(f, NULL);
}
