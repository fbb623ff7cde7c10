/* SPDX-License-Identifier: BSD-3-Clause
 *
 * input() and its answer. The question goes to the client whose request asks; answers to anything but the open question are
 * dropped, so that a late answer to an interrupted question does not satisfy the next one. Jupyter messaging protocol, "stdin".
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "front/exchange.h"
#include "front/front.h"

#define STALE_MAX 1024

/* Answers that were sent before the question cannot be answers to it. */
static void
drop_stale(struct front *f)
{
	struct request *r;
	for (int i = 0; i < STALE_MAX && session_receive(f->session, CHANNEL_STDIN, &r) > 0; i++)
		request_free(r);
}

void
stdinput_ask(struct front *f, uint32_t serial, const struct wire_frame *content)
{
	struct err e = ERR_INIT;
	if (f->active == NULL || f->active->serial != serial)
		return;
	drop_stale(f);
	struct outgoing out = {
		.channel = CHANNEL_STDIN,
		.to = f->active,
		.msg_type = "input_request",
		.parent = f->active->wire.parts[WIRE_HEADER],
		.content = *content,
	};
	if (session_send(f->session, &out, f->input_id, &e) < 0) {
		log_warning("event=lost type=input_request reason=\"%s\"", e.text);
		exchange_mention(f, "The code asks for input, but this client does not listen on its stdin channel. "
				    "Interrupt to go on.\n");
	}
}

/* Whether the message answers the open question. Clients that fill in no parent are believed. */
static bool
answers_question(const struct front *f, const struct request *r)
{
	struct header parent;
	struct err e = ERR_INIT;
	if (f->input_id[0] == '\0' || f->active == NULL || !request_is(r, "input_reply"))
		return false;
	if (header_parse(&r->wire.parts[WIRE_PARENT], &parent, &e) < 0)
		return true;
	bool matches = strcmp(parent.msg_id, f->input_id) == 0 || strcmp(parent.msg_id, f->active->header.msg_id) == 0;
	header_free(&parent);
	return matches;
}

void
stdinput_accept(struct front *f, struct request *r)
{
	struct err e = ERR_INIT;
	if (answers_question(f, r)) {
		struct frame_header header = { .type = FRAME_INPUT_REPLY, .serial = f->active->serial };
		struct frame_part content = { r->wire.parts[WIRE_CONTENT].data, r->wire.parts[WIRE_CONTENT].size };
		f->input_id[0] = '\0';
		worker_send(&f->worker, &header, &content, 1, &e);
	} else {
		log_info("event=dropped channel=stdin type=%.40s reason=\"answers no open question\"",
			 r->header.msg_type);
	}
	request_free(r);
}
