/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the front answers itself, on either channel and without asking Python. Jupyter messaging protocol, "Messages on the
 * control channel" and "Kernel info", "Connect".
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "front/exchange.h"
#include "front/front.h"
#include "protocol/document.h"
#include "protocol/limits.h"

#define OK "{\"status\": \"ok\"}"

static void
serve_kernel_info(struct front *f, struct request *r, const json_t *content)
{
	(void)content;
	exchange_answer(f, r, f->kernel_info, f->kernel_info_size);
}

static void
serve_connect(struct front *f, struct request *r, const json_t *content)
{
	(void)content;
	const int *ports = f->connection.ports;
	json_auto_t *answer =
		json_pack("{s:s, s:i, s:i, s:i, s:i, s:i}", "status", "ok", "shell_port", ports[CHANNEL_SHELL],
			  "iopub_port", ports[CHANNEL_IOPUB], "stdin_port", ports[CHANNEL_STDIN], "control_port",
			  ports[CHANNEL_CONTROL], "hb_port", ports[CHANNEL_HB]);
	exchange_begin(f, r);
	exchange_end_document(f, r, answer);
}

static void
serve_interrupt(struct front *f, struct request *r, const json_t *content)
{
	(void)content;
	exchange_begin(f, r);
	interrupt_now(f);
	exchange_end(f, r, &(struct reply){ .content = { OK, strlen(OK) } });
}

static void
serve_usage(struct front *f, struct request *r, const json_t *content)
{
	(void)content;
	exchange_begin(f, r);
	json_auto_t *answer = usage_measure(f);
	exchange_end_document(f, r, answer);
}

static void
announce_shutdown(struct front *f, const struct request *r, const char *content)
{
	struct err e = ERR_INIT;
	char topic[64];
	int size = snprintf(topic, sizeof topic, "kernel.%s.shutdown", session_ident(f->session));
	struct outgoing out = {
		.channel = CHANNEL_IOPUB,
		.msg_type = "shutdown_reply",
		.topic = { topic, (size_t)size },
		.parent = r->wire.parts[WIRE_HEADER],
		.content = { content, strlen(content) },
	};
	if (session_send(f->session, &out, NULL, &e) < 0)
		log_error("event=lost type=shutdown_reply reason=\"%s\"", e.text);
}

/* Reply first, then tell everybody on iopub, then idle; the worker's own last words may follow. */
static void
serve_shutdown(struct front *f, struct request *r, const json_t *content)
{
	static const char *const answers[] = { "{\"status\": \"ok\", \"restart\": false}",
					       "{\"status\": \"ok\", \"restart\": true}" };
	bool restart = json_is_true(json_object_get(content, "restart"));
	const char *answer = answers[restart];
	exchange_begin(f, r);
	exchange_reply(f, r, &(struct reply){ .content = { answer, strlen(answer) } });
	announce_shutdown(f, r, answer);
	exchange_end(f, r, NULL);
	shutdown_begin(f);
}

static void
serve_debug(struct front *f, struct request *r, const json_t *content)
{
	(void)content;
	exchange_begin(f, r);
	exchange_fail(f, r, "NotImplementedError", "this kernel has no debugger");
}

static void
serve_subshell(struct front *f, struct request *r, const json_t *content)
{
	(void)content;
	exchange_begin(f, r);
	exchange_fail(f, r, "NotImplementedError", "this kernel has no subshells");
}

static const struct handler {
	const char *msg_type;
	void (*serve)(struct front *f, struct request *r, const json_t *content); /* consumes r */
	bool needs_worker;                                                        /* wait for HELLO */
} handlers[] = {
	{ "kernel_info_request", serve_kernel_info, true },
	{ "connect_request", serve_connect, false },
	{ "interrupt_request", serve_interrupt, false },
	{ "shutdown_request", serve_shutdown, false },
	{ "usage_request", serve_usage, false },
	{ "debug_request", serve_debug, false },
	{ "create_subshell_request", serve_subshell, false },
	{ "delete_subshell_request", serve_subshell, false },
	{ "list_subshell_request", serve_subshell, false },
};

static const struct handler *
find(const struct request *r)
{
	for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++) {
		if (request_is(r, handlers[i].msg_type))
			return &handlers[i];
	}
	return NULL;
}

static json_t *
read_content(const struct wire_frame *frame, struct err *e)
{
	if (frame->size <= LIMIT_CONTENT_SIZE)
		return document_read(frame->data, frame->size, DOCUMENT_OF_CLIENT | JSON_DECODE_ANY, e);
	err_set(e, ERR_LIMIT, "a content of %zu bytes (limit %u)", frame->size, LIMIT_CONTENT_SIZE);
	return NULL;
}

bool
control_serve(struct front *f, struct request *r)
{
	const struct handler *h = find(r);
	if (h == NULL || (h->needs_worker && f->kernel_info == NULL))
		return false;
	struct err invalid = ERR_INIT;
	json_auto_t *content = read_content(&r->wire.parts[WIRE_CONTENT], &invalid);
	if (content == NULL) {
		exchange_begin(f, r);
		exchange_fail(f, r, "ValueError", invalid.text);
	} else {
		h->serve(f, r, content);
	}
	return true;
}

void
control_accept(struct front *f, struct request *r)
{
	/* What the worker must serve waits its turn in the queue; its reply goes to control all the same. */
	if (!control_serve(f, r))
		shell_accept(f, r);
}
