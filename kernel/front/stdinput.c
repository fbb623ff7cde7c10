/* SPDX-License-Identifier: BSD-3-Clause
 *
 * input() and its answer. The question goes to the client of the request in whose name it is asked; answers to anything but the open
 * question are dropped, so that a late answer to an interrupted question does not satisfy the next one. A question ends with the
 * request that is active: no thread waits for an answer that nobody can give any more. Jupyter messaging protocol, "stdin".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "front/exchange.h"
#include "front/front.h"

#define STALE_MAX 1024
#define RETRY_MS \
	20 /* a client opens its channels one after the other, and may have sent the cell before its stdin is there */
#define ABSENT_MS 1000 /* that long after the cell it will not come any more */

/* Answers that were sent before the question cannot be answers to it. */
static void
drop_stale(struct front *f)
{
	struct request *r;
	for (int i = 0; i < STALE_MAX && session_receive(f->session, CHANNEL_STDIN, &r) > 0; i++)
		request_free(r);
}

/* Tell the worker: the answer to its question, or, without one, that there will be none. */
static void
tell_worker(struct front *f, uint16_t number, const struct wire_frame *content)
{
	struct err e = ERR_INIT;
	struct frame_header header = { .type = FRAME_INPUT_REPLY, .flags = number };
	struct frame_part part = { content == NULL ? NULL : content->data, content == NULL ? 0 : content->size };
	if (worker_answer(&f->worker, &header, &part, content != NULL, &e) < 0)
		log_warning("event=lost type=input_reply reason=\"%s\"", e.text);
}

/* Whom to ask, and the parent header of the question. */
static void
address(struct front *f, uint32_t serial, struct outgoing *out)
{
	const struct parent_slot *earlier = parents_find_slot(&f->parents, serial);
	const struct wire_msg *active = &f->active->wire;
	struct header header;
	struct err e = ERR_INIT;
	f->question.asker[0] = '\0';
	if (serial == f->active->serial || earlier == NULL) {
		out->parent = active->parts[WIRE_HEADER];
		out->identities = active->identities;
		out->identity_count = active->identity_count;
	} else {
		out->parent = earlier->header;
		out->identities = earlier->identities;
		out->identity_count = earlier->identity_count;
	}
	if (header_parse(&out->parent, &header, &e) < 0)
		return;
	snprintf(f->question.asker, sizeof f->question.asker, "%s", header.msg_id);
	header_free(&header);
}

/* Send the open question. */
static void
put_question(struct front *f)
{
	struct err e = ERR_INIT;
	struct question *q = &f->question;
	struct outgoing out = { .channel = CHANNEL_STDIN,
				.msg_type = "input_request",
				.content = { q->content.data, q->content.size } };
	q->retry_ms = 0;
	address(f, q->serial, &out);
	if (session_send(f->session, &out, q->id, &e) == 0)
		return;
	q->id[0] = '\0';
	if (e.code == ERR_CLOSED && clock_ms() < q->until_ms) {
		q->retry_ms = clock_ms() + RETRY_MS;
		return;
	}
	log_warning("event=lost type=input_request reason=\"%s\"", e.text);
	if (e.code == ERR_CLOSED || e.code == ERR_BUSY)
		exchange_mention(f, "The code asks for input, but this client does not listen on its stdin channel. "
				    "Interrupt to go on.\n");
	else
		stdinput_close(f); /* the failure is ours */
}

void
stdinput_ask(struct front *f, uint32_t serial, uint16_t number, const struct wire_frame *content)
{
	struct question *q = &f->question;
	buf_reset(&q->content);
	if (f->active == NULL || f->phase == FRONT_STOPPING ||
	    buf_append(&q->content, content->data, content->size) < 0) {
		tell_worker(f, number, NULL);
		return;
	}
	drop_stale(f);
	q->open = true;
	q->number = number;
	q->serial = serial;
	q->until_ms = clock_ms() + ABSENT_MS;
	put_question(f);
}

void
stdinput_tick(struct front *f)
{
	if (f->question.retry_ms != 0 && clock_ms() >= f->question.retry_ms)
		put_question(f);
}

/* Whether the message answers the open question. Clients that fill in no parent are believed. */
static bool
answers_question(const struct front *f, const struct request *r)
{
	const struct question *q = &f->question;
	struct header parent;
	struct err e = ERR_INIT;
	if (!q->open || q->id[0] == '\0' || !request_is(r, "input_reply"))
		return false;
	if (header_parse(&r->wire.parts[WIRE_PARENT], &parent, &e) < 0)
		return true;
	bool matches = strcmp(parent.msg_id, q->id) == 0 || strcmp(parent.msg_id, q->asker) == 0;
	header_free(&parent);
	return matches;
}

void
stdinput_accept(struct front *f, struct request *r)
{
	if (answers_question(f, r)) {
		f->question.open = false;
		tell_worker(f, f->question.number, &r->wire.parts[WIRE_CONTENT]);
	} else {
		log_info("event=dropped channel=stdin type=%.40s reason=\"answers no open question\"",
			 r->header.msg_type);
	}
	request_free(r);
}

void
stdinput_close(struct front *f)
{
	if (!f->question.open)
		return;
	f->question.open = false;
	f->question.retry_ms = 0;
	tell_worker(f, f->question.number, NULL);
}
