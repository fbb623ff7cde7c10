/* SPDX-License-Identifier: BSD-3-Clause */
#include "front/session.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/log.h"
#include "protocol/limits.h"
#include "protocol/replay.h"

struct session {
	struct sockets *sockets; /* borrowed */
	struct output *output;   /* borrowed */
	struct signer *signer;
	struct replay *replay;
	char id[UUID_SIZE];
	char ident[UUID_SIZE];
	struct header_writer *headers;
	unsigned long long count;   /* messages sent */
	unsigned long long dropped; /* messages not honoured */
	struct buf header;          /* scratch */
	struct buf frames;          /* scratch: wire_frames of the message that is sent */
};

#define FRAMES_BESIDE ((size_t)2 + WIRE_SIGNED_PARTS) /* delimiter, signature, and what that covers */
#define FRAMES_KEPT ((size_t)256)

static const struct wire_frame empty_object = { "{}", 2 };

int
uuid_make(char ret[UUID_SIZE], struct err *e)
{
	unsigned char b[16];
	if (getrandom(b, sizeof b, 0) != (ssize_t)sizeof b)
		return err_system(e, "getrandom");
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	snprintf(ret, UUID_SIZE, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
		 b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
	return 0;
}

struct session *
session_new(const struct connection *c, bool sign, struct sockets *sockets, struct output *output, struct err *e)
{
	struct session *s = calloc(1, sizeof *s);
	if (s == NULL) {
		err_memory(e);
		return NULL;
	}
	const char *user = getenv("USER");
	s->sockets = sockets;
	s->output = output;
	s->header = BUF_INIT;
	s->frames = BUF_INIT;
	s->signer = signer_new(c->signature_scheme, c->key, sign ? c->key_size : 0, e);
	s->replay = s->signer == NULL ? NULL : replay_new(e);
	if (s->replay == NULL || uuid_make(s->id, e) < 0 || uuid_make(s->ident, e) < 0 ||
	    (s->headers = header_writer_new(s->id, user == NULL || *user == '\0' ? "username" : user, getpid(), e)) ==
		    NULL) {
		session_free(s);
		return NULL;
	}
	return s;
}

void
session_free(struct session *s)
{
	if (s == NULL)
		return;
	signer_free(s->signer);
	replay_free(s->replay);
	buf_free(&s->header);
	buf_free(&s->frames);
	header_writer_free(s->headers);
	free(s);
}

const char *
session_id(const struct session *s)
{
	return s->id;
}

const char *
session_ident(const struct session *s)
{
	return s->ident;
}

/* The checks on a message that is still the socket's, cheapest first. */
static int
check(struct session *s, const struct wire_frame *frames, size_t count, struct err *e)
{
	struct wire_msg wire;
	struct mac mac;
	if (count == 0)
		return err_set(e, ERR_LIMIT, "more than %u frames, or no memory for them", LIMIT_FRAMES);
	if (wire_split(frames, count, &wire, e) < 0)
		return -1;
	if (!signer_verify(s->signer, &wire, &mac))
		return err_set(e, ERR_DENIED, "wrong signature");
	if (!replay_enter(s->replay, &mac))
		return err_set(e, ERR_DENIED, "signature seen before");
	return 0;
}

/* Make a request of the checked message that was received last. */
static struct request *
adopt(struct session *s, enum channel channel, struct err *e)
{
	struct request *r = calloc(1, sizeof *r);
	size_t count;
	if (r == NULL || (r->message = sockets_keep(s->sockets)) == NULL) {
		err_memory(e);
		request_free(r);
		return NULL;
	}
	const struct wire_frame *frames = message_frames(r->message, &count);
	r->channel = channel;
	if (wire_split(frames, count, &r->wire, e) < 0 ||
	    header_parse(&r->wire.parts[WIRE_HEADER], &r->header, e) < 0) {
		request_free(r);
		return NULL;
	}
	if (r->header.session != NULL && strcmp(r->header.session, s->id) == 0) {
		err_set(e, ERR_DENIED, "a message of our own");
		request_free(r);
		return NULL;
	}
	return r;
}

int
session_receive(struct session *s, enum channel channel, struct request **ret)
{
	const struct wire_frame *frames;
	size_t count;
	struct err e = ERR_INIT;
	*ret = NULL;
	if (sockets_receive(s->sockets, channel, &frames, &count) == 0)
		return 0;
	if (check(s, frames, count, &e) == 0)
		*ret = adopt(s, channel, &e);
	if (*ret == NULL)
		log_warning("event=dropped channel=%s count=%llu reason=\"%s\"", channel_names[channel], ++s->dropped,
			    e.text);
	else
		log_debug("event=received channel=%s type=%.40s id=%.60s", channel_names[channel],
			  (*ret)->header.msg_type, (*ret)->header.msg_id);
	return 1;
}

/* Gathers the frames of an outgoing message in s->frames. */
struct frame_list {
	struct wire_frame *frames;
	size_t count;
};

/* An empty list that has room for all the frames of `out`. */
static int
begin_list(struct session *s, const struct outgoing *out, struct frame_list *ret, struct err *e)
{
	size_t address = out->channel == CHANNEL_IOPUB ? 1 : out->identity_count;
	size_t count = address + FRAMES_BESIDE + out->buffer_count;
	buf_reset(&s->frames);
	buf_shrink(&s->frames, FRAMES_KEPT * sizeof *ret->frames);
	if (buf_reserve(&s->frames, count * sizeof *ret->frames) < 0) {
		err_memory(e);
		return -1;
	}
	*ret = (struct frame_list){ .frames = (void *)s->frames.data };
	return 0;
}

static void
add(struct frame_list *list, const void *data, size_t size)
{
	list->frames[list->count++] = (struct wire_frame){ data, size };
}

static struct wire_frame
or_empty(struct wire_frame frame)
{
	return frame.size == 0 ? empty_object : frame;
}

/* The frames before the delimiter: the topic on iopub, the client's identities elsewhere. */
static void
add_address(struct session *s, struct frame_list *list, const struct outgoing *out, char *topic, size_t topic_size)
{
	if (out->channel != CHANNEL_IOPUB) {
		for (size_t i = 0; i < out->identity_count; i++)
			list->frames[list->count++] = out->identities[i];
		return;
	}
	if (out->no_topic)
		return;
	if (out->topic.size > 0) {
		add(list, out->topic.data, out->topic.size);
		return;
	}
	int size = snprintf(topic, topic_size, "kernel.%s.%s", s->ident, out->msg_type);
	add(list, topic, (size_t)size < topic_size ? (size_t)size : topic_size - 1);
}

static int
transmit(struct session *s, const struct outgoing *out, const struct frame_list *list, struct err *e)
{
	if (out->channel == CHANNEL_IOPUB)
		return output_send(s->output, list->frames, list->count, e);
	struct err refused = ERR_INIT;
	if (sockets_send(s->sockets, out->channel, list->frames, list->count, &refused) == 0)
		return 0;
	if ((refused.code != ERR_CLOSED && refused.code != ERR_BUSY) || out->channel == CHANNEL_STDIN)
		return err_set(e, refused.code, "%s", refused.text);
	log_warning("event=undeliverable type=%s reason=\"%s\"", out->msg_type, refused.text);
	return 0;
}

int
session_send(struct session *s, const struct outgoing *out, char *ret_msg_id, struct err *e)
{
	struct frame_list list;
	char hex[SIGN_HEX_MAX];
	char topic[128];
	char msg_id[SESSION_MSG_ID_SIZE];
	buf_reset(&s->header);
	if (header_write(s->headers, &s->header, out->msg_type, s->count++, msg_id) < 0)
		return err_memory(e);
	if (ret_msg_id != NULL)
		memcpy(ret_msg_id, msg_id, sizeof msg_id);
	struct wire_frame parts[WIRE_SIGNED_PARTS] = {
		[WIRE_HEADER] = { s->header.data, s->header.size },
		[WIRE_PARENT] = or_empty(out->parent),
		[WIRE_METADATA] = or_empty(out->metadata),
		[WIRE_CONTENT] = or_empty(out->content),
	};
	if (signer_sign(s->signer, parts, hex, NULL, e) < 0 || begin_list(s, out, &list, e) < 0)
		return -1;
	add_address(s, &list, out, topic, sizeof topic);
	add(&list, WIRE_DELIMITER, WIRE_DELIMITER_SIZE);
	add(&list, hex, signer_hex_size(s->signer));
	for (int i = 0; i < WIRE_SIGNED_PARTS; i++)
		list.frames[list.count++] = parts[i];
	for (size_t i = 0; i < out->buffer_count; i++)
		add(&list, out->buffers[i].data, out->buffers[i].size);
	log_debug("event=sent channel=%s type=%s", channel_names[out->channel], out->msg_type);
	return transmit(s, out, &list, e);
}
