/* SPDX-License-Identifier: BSD-3-Clause */
#include "front/exchange.h"

#include <string.h>

#include "base/log.h"
#include "protocol/text.h"

#define BUSY "{\"execution_state\": \"busy\"}"
#define IDLE "{\"execution_state\": \"idle\"}"

void
exchange_publish(struct front *f, const char *msg_type, struct wire_frame parent, const char *content, size_t size)
{
	struct err e = ERR_INIT;
	struct outgoing out = {
		.channel = CHANNEL_IOPUB, .msg_type = msg_type, .parent = parent, .content = { content, size }
	};
	if (session_send(f->session, &out, NULL, &e) < 0)
		log_error("event=lost type=%s reason=\"%s\"", msg_type, e.text);
}

void
exchange_begin(struct front *f, const struct request *r)
{
	exchange_publish(f, "status", r->wire.parts[WIRE_HEADER], BUSY, strlen(BUSY));
}

void
exchange_reply(struct front *f, const struct request *r, const struct reply *reply)
{
	char msg_type[128];
	struct err e = ERR_INIT;
	streams_flush(f);
	if (reply == NULL)
		return;
	request_reply_type(r, msg_type, sizeof msg_type);
	struct outgoing out = {
		.channel = r->channel,
		.identities = r->wire.identities,
		.identity_count = r->wire.identity_count,
		.msg_type = reply->msg_type != NULL ? reply->msg_type : msg_type,
		.parent = r->wire.parts[WIRE_HEADER],
		.metadata = reply->metadata,
		.content = reply->content,
		.buffers = reply->buffers,
		.buffer_count = reply->buffer_count,
	};
	if (session_send(f->session, &out, NULL, &e) < 0)
		log_error("event=lost type=%s reason=\"%s\"", out.msg_type, e.text);
}

void
exchange_end(struct front *f, struct request *r, const struct reply *reply)
{
	exchange_reply(f, r, reply);
	exchange_publish(f, "status", r->wire.parts[WIRE_HEADER], IDLE, strlen(IDLE));
	request_free(r);
}

void
exchange_show_error(struct front *f, struct wire_frame parent, const struct buf *members)
{
	BUF_AUTO content = BUF_INIT;
	streams_flush(f);
	buf_append_string(&content, "{");
	buf_append(&content, members->data, members->size);
	buf_append_string(&content, "}");
	exchange_publish(f, "error", parent, content.data, content.size);
}

void
exchange_end_with_error(struct front *f, struct request *r, const struct buf *members, const char *count)
{
	BUF_AUTO content = BUF_INIT;
	if (!request_wants_reply(r)) {
		exchange_end(f, r, NULL);
		return;
	}
	buf_append_string(&content, "{\"status\": \"error\", ");
	buf_append(&content, members->data, members->size);
	if (request_is(r, "execute_request"))
		buf_appendf(&content, ", \"execution_count\": %s, \"user_expressions\": {}, \"payload\": []", count);
	buf_append_string(&content, "}");
	exchange_end(f, r, &(struct reply){ .content = { content.data, content.size } });
}

void
exchange_refuse(struct front *f, struct request *r, const struct buf *members)
{
	if (request_is(r, "execute_request"))
		exchange_show_error(f, r->wire.parts[WIRE_HEADER], members);
	exchange_end_with_error(f, r, members, "null");
}

void
exchange_fail(struct front *f, struct request *r, const char *ename, const char *evalue)
{
	BUF_AUTO members = BUF_INIT, line = BUF_INIT;
	buf_appendf(&line, "%s: %s", ename, evalue);
	buf_append_string(&members, "\"ename\": ");
	text_append_json(&members, ename, strlen(ename));
	buf_append_string(&members, ", \"evalue\": ");
	text_append_json(&members, evalue, strlen(evalue));
	buf_append_string(&members, ", \"traceback\": [");
	text_append_json(&members, line.data, line.size);
	buf_append_string(&members, "]");
	exchange_refuse(f, r, &members);
}

void
exchange_answer(struct front *f, struct request *r, const char *content, size_t size)
{
	exchange_begin(f, r);
	exchange_end(f, r, &(struct reply){ .content = { content, size } });
}

void
exchange_mention(struct front *f, const char *text)
{
	BUF_AUTO content = BUF_INIT;
	if (f->active == NULL)
		return;
	streams_flush(f);
	buf_append_string(&content, "{\"name\": \"stderr\", \"text\": ");
	text_append_json(&content, text, strlen(text));
	buf_append_string(&content, "}");
	exchange_publish(f, "stream", f->active->wire.parts[WIRE_HEADER], content.data, content.size);
}
