/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/wire.h"

#include <stdbool.h>
#include <string.h>

#include "protocol/limits.h"

#define AFTER_DELIMITER (1 + WIRE_SIGNED_PARTS) /* the signature and what it covers */

static bool
is_delimiter(const struct wire_frame *frame)
{
	return frame->size == WIRE_DELIMITER_SIZE && memcmp(frame->data, WIRE_DELIMITER, WIRE_DELIMITER_SIZE) == 0;
}

static int
check_identities(const struct wire_frame *frames, size_t count, struct err *e)
{
	if (count > LIMIT_IDENTITIES)
		return err_set(e, ERR_LIMIT, "a message with %zu identities (limit %u)", count, LIMIT_IDENTITIES);
	for (size_t i = 0; i < count; i++) {
		if (frames[i].size > LIMIT_IDENTITY_SIZE)
			return err_set(e, ERR_LIMIT, "an identity of %zu bytes (limit %u)", frames[i].size,
				       LIMIT_IDENTITY_SIZE);
	}
	return 0;
}

static int
check_parts(const struct wire_msg *msg, struct err *e)
{
	if (msg->buffer_count > LIMIT_BUFFERS)
		return err_set(e, ERR_LIMIT, "a message with %zu buffers (limit %u)", msg->buffer_count, LIMIT_BUFFERS);
	if (msg->parts[WIRE_HEADER].size > LIMIT_HEADER_SIZE || msg->parts[WIRE_PARENT].size > LIMIT_HEADER_SIZE)
		return err_set(e, ERR_LIMIT, "a header of more than %u bytes", LIMIT_HEADER_SIZE);
	return 0;
}

int
wire_split(const struct wire_frame *frames, size_t count, struct wire_msg *ret, struct err *e)
{
	if (count > LIMIT_FRAMES)
		return err_set(e, ERR_LIMIT, "a message of %zu frames (limit %u)", count, LIMIT_FRAMES);
	size_t at = 0;
	while (at < count && !is_delimiter(&frames[at]))
		at++;
	if (at == count)
		return err_set(e, ERR_INVALID, "a message of %zu frames without a delimiter", count);
	if (check_identities(frames, at, e) < 0)
		return -1;
	size_t after = count - at - 1;
	if (after < AFTER_DELIMITER)
		return err_set(e, ERR_INVALID, "a message with %zu frames after the delimiter (at least %d)", after,
			       AFTER_DELIMITER);
	struct wire_msg msg = { .identities = frames, .identity_count = at, .signature = frames[at + 1] };
	memcpy(msg.parts, frames + at + 2, sizeof msg.parts);
	msg.buffers = frames + at + 1 + AFTER_DELIMITER;
	msg.buffer_count = after - AFTER_DELIMITER;
	if (check_parts(&msg, e) < 0)
		return -1;
	*ret = msg;
	return 0;
}
