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
#include "protocol/header.h"

#define OK "{\"status\": \"ok\"}"

static void
serve_kernel_info(struct front *f, struct request *r)
{
	exchange_answer(f, r, f->kernel_info, f->kernel_info_size);
}

static void
serve_connect(struct front *f, struct request *r)
{
	BUF_AUTO content = BUF_INIT;
	buf_append_string(&content, "{\"status\": \"ok\"");
	for (int i = 0; i < CHANNEL_COUNT; i++)
		buf_appendf(&content, ", \"%s_port\": %d", channel_names[i], f->connection.ports[i]);
	buf_append_string(&content, "}");
	exchange_answer(f, r, content.data, content.size);
}

static void
serve_interrupt(struct front *f, struct request *r)
{
	exchange_begin(f, r);
	interrupt_now(f);
	exchange_end(f, r, &(struct reply){ .content = { OK, strlen(OK) } });
}

static void
serve_usage(struct front *f, struct request *r)
{
	BUF_AUTO content = BUF_INIT;
	exchange_begin(f, r);
	if (usage_write(f, &content) < 0)
		exchange_fail(f, r, "KernelError", "cannot read /proc");
	else
		exchange_end(f, r, &(struct reply){ .content = { content.data, content.size } });
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
serve_shutdown(struct front *f, struct request *r)
{
	static const char *const contents[] = { "{\"status\": \"ok\", \"restart\": false}",
						"{\"status\": \"ok\", \"restart\": true}" };
	bool restart = content_get_bool(&r->wire.parts[WIRE_CONTENT], "restart", false);
	const char *content = contents[restart];
	exchange_begin(f, r);
	exchange_reply(f, r, &(struct reply){ .content = { content, strlen(content) } });
	announce_shutdown(f, r, content);
	exchange_end(f, r, NULL);
	shutdown_begin(f, restart);
}

static void
serve_debug(struct front *f, struct request *r)
{
	exchange_begin(f, r);
	exchange_fail(f, r, "NotImplementedError", "this kernel has no debugger");
}

static void
serve_subshell(struct front *f, struct request *r)
{
	exchange_begin(f, r);
	exchange_fail(f, r, "NotImplementedError", "this kernel has no subshells");
}

static const struct handler {
	const char *msg_type;
	void (*serve)(struct front *f, struct request *r); /* consumes r */
	bool needs_worker;                                 /* wait for HELLO */
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

bool
control_serve(struct front *f, struct request *r)
{
	const struct handler *h = find(r);
	if (h == NULL || (h->needs_worker && f->kernel_info == NULL))
		return false;
	struct err invalid = ERR_INIT;
	const struct wire_frame *content = &r->wire.parts[WIRE_CONTENT];
	if (json_check_object(content->data, content->size, &invalid) < 0) {
		exchange_begin(f, r);
		exchange_fail(f, r, "ValueError", invalid.text);
	} else {
		h->serve(f, r);
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
