/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/header.h"
#include "fuzz.h"

/* What was read, written into a header of ours, is read as the same again. */
static void
check_round_trip(const struct header *h)
{
	BUF_AUTO b = BUF_INIT;
	struct header again;
	struct err e = ERR_INIT;
	struct header_origin origin = { "session", h->msg_id };
	require(header_write(&b, &origin, h->msg_type, 1, 2) == 0);
	struct wire_frame frame = { b.data, b.size };
	require(header_parse(&frame, &again, &e) == 0);
	char *username = content_get_string(&frame, "username");
	require(strcmp(again.msg_type, h->msg_type) == 0 && username != NULL && strcmp(username, h->msg_id) == 0);
	free(username);
	header_free(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_frame frame = { data, size };
	struct header h;
	struct err e = ERR_INIT;
	if (header_parse(&frame, &h, &e) == 0) {
		check_round_trip(&h);
		char *id = content_get_string(&frame, "msg_id");
		require(id != NULL && strcmp(id, h.msg_id) == 0);
		free(id);
		header_free(&h);
	} else {
		require(e.code == ERR_INVALID || e.code == ERR_LIMIT);
	}
	require(content_get_bool(&frame, "restart", true) || !content_get_bool(&frame, "restart", false));
	return 0;
}
