/* SPDX-License-Identifier: BSD-3-Clause */
#include "front/exchange.h"

#include <string.h>

#include "base/log.h"
#include "protocol/header.h"
#include "protocol/text.h"

#define BUSY "{\"execution_state\": \"busy\"}"
#define IDLE "{\"execution_state\": \"idle\"}"
#define NO_MEMORY                                                                                        \
	"{\"status\": \"error\", \"ename\": \"MemoryError\", \"evalue\": \"no memory for the answer\", " \
	"\"traceback\": []}"

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
	BUF_AUTO msg_type = BUF_INIT;
	struct err e = ERR_INIT;
	streams_flush(f);
	if (reply == NULL)
		return;
	if (request_reply_type(r, &msg_type) < 0) {
		log_error("event=lost type=reply reason=\"no memory\"");
		return;
	}
	struct outgoing out = {
		.channel = r->channel,
		.identities = r->wire.identities,
		.identity_count = r->wire.identity_count,
		.msg_type = msg_type.data,
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
exchange_end_document(struct front *f, struct request *r, const json_t *document)
{
	BUF_AUTO content = BUF_INIT;
	struct wire_frame text = { NO_MEMORY, strlen(NO_MEMORY) };
	if (document_append(&content, document, 0) == 0)
		text = (struct wire_frame){ content.data, content.size };
	exchange_end(f, r, &(struct reply){ .content = text });
}

void
exchange_show_error(struct front *f, struct wire_frame parent, const json_t *error)
{
	BUF_AUTO content = BUF_INIT;
	streams_flush(f);
	if (document_append(&content, error, 0) == 0)
		exchange_publish(f, "error", parent, content.data, content.size);
	else
		log_error("event=lost type=error reason=\"no memory\"");
}

/* What clients read of an answer of this type whatever its status says; jupyter_client adapts to the protocol's version first. */
static json_t *
members_of_type(const struct request *r, json_t *count)
{
	if (request_is(r, "execute_request"))
		return json_pack("{s:O, s:{}, s:[]}", "execution_count", count, "user_expressions", "payload");
	if (request_is(r, "kernel_info_request"))
		return json_pack("{s:s, s:s, s:s, s:{s:s, s:s, s:s, s:s}, s:s, s:[]}", "protocol_version",
				 HEADER_PROTOCOL_VERSION, "implementation", "ipython", "implementation_version", "",
				 "language_info", "name", "python", "version", "", "mimetype", "text/x-python",
				 "file_extension", ".py", "banner", "", "help_links");
	return json_object();
}

void
exchange_end_with_error(struct front *f, struct request *r, json_t *error, json_t *count)
{
	json_auto_t *number = count;
	if (!request_wants_reply(r)) {
		exchange_end(f, r, NULL);
		return;
	}
	json_auto_t *content = error == NULL ? NULL : json_pack("{s:s}", "status", "error");
	json_object_update(content, error);
	json_auto_t *more = members_of_type(r, number);
	json_object_update(content, more);
	exchange_end_document(f, r, content);
}

void
exchange_refuse(struct front *f, struct request *r, json_t *error)
{
	if (request_is(r, "execute_request"))
		exchange_show_error(f, r->wire.parts[WIRE_HEADER], error);
	exchange_end_with_error(f, r, error, json_null());
}

void
exchange_fail(struct front *f, struct request *r, const char *ename, const char *evalue)
{
	BUF_AUTO line = BUF_INIT;
	buf_appendf(&line, "%s: %s", ename, evalue);
	json_auto_t *error =
		json_pack("{s:o, s:o, s:[o]}", "ename", document_text(ename, strlen(ename)), "evalue",
			  document_text(evalue, strlen(evalue)), "traceback", document_text(line.data, line.size));
	exchange_refuse(f, r, error);
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
	if (buf_append_string(&content, "}") < 0)
		return;
	exchange_publish(f, "stream", f->active->wire.parts[WIRE_HEADER], content.data, content.size);
}
