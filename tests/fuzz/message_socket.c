/* SPDX-License-Identifier: BSD-3-Clause */
#include "message.h"

#include "protocol/document.h"
#include "protocol/limits.h"

unsigned json_reads;

static struct wire_frame frames[FUZZ_FRAMES];
static size_t frame_count;
static char hex[SIGN_HEX_MAX];

json_t *__real_document_read(const void *bytes, size_t size, size_t flags, struct err *e);
json_t *__wrap_document_read(const void *bytes, size_t size, size_t flags, struct err *e);

json_t *
__wrap_document_read(const void *bytes, size_t size, size_t flags, struct err *e)
{
	json_reads++;
	return __real_document_read(bytes, size, flags, e);
}

bool
fuzz_socket_fill(const uint8_t *data, size_t size, bool sign)
{
	struct wire_msg msg;
	struct err e = ERR_INIT;
	frame_count = fuzz_frames(data, size, frames);
	if (wire_split(frames, frame_count, &msg, NULL) < 0)
		return false;
	struct signer *s = signer_new("hmac-sha256", "key", 3, &e);
	require(s != NULL && signer_sign(s, msg.parts, hex, NULL, &e) == 0);
	struct wire_frame right = { hex, signer_hex_size(s) };
	signer_free(s);
	struct wire_frame *signature = &frames[msg.identity_count + 1];
	if (sign)
		*signature = right;
	return signature->size == right.size && memcmp(signature->data, hex, right.size) == 0;
}

int
sockets_receive(struct sockets *s, enum channel channel, const struct wire_frame **ret_frames, size_t *ret_count)
{
	(void)s;
	(void)channel;
	*ret_frames = frames;
	*ret_count = frame_count > LIMIT_FRAMES ? 0 : frame_count;
	return 1;
}

struct message *
sockets_keep(struct sockets *s)
{
	(void)s;
	return (struct message *)(void *)frames;
}

void
message_free(struct message *m)
{
	(void)m;
}

const struct wire_frame *
message_frames(const struct message *m, size_t *ret_count)
{
	*ret_count = frame_count;
	return (const struct wire_frame *)(const void *)m;
}

size_t
message_size(const struct message *m)
{
	(void)m;
	return 0;
}

/* Nothing is sent here; session.c wants the names. */
int
sockets_send(struct sockets *s, enum channel channel, const struct wire_frame *out, size_t count, struct err *e)
{
	(void)s, (void)channel, (void)out, (void)count;
	return err_set(e, ERR_CLOSED, "nobody there");
}

int
output_send(struct output *o, const struct wire_frame *out, size_t count, struct err *e)
{
	(void)o, (void)out, (void)count;
	return err_set(e, ERR_CLOSED, "nobody there");
}
