/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/header.h"
#include "fuzz.h"
#include "protocol/document.h"

/* What was read, written into a header of ours, is read as the same again. */
static void
check_round_trip(const struct header *h)
{
	BUF_AUTO b = BUF_INIT;
	struct header again;
	struct err e = ERR_INIT;
	char id[HEADER_MSG_ID_SIZE];
	struct header_writer *w = header_writer_new("session", h->msg_id, 1, &e);
	require(w != NULL && header_write(w, &b, h->msg_type, 2, id) == 0);
	struct wire_frame frame = { b.data, b.size };
	require(header_parse(&frame, &again, &e) == 0);
	json_auto_t *document = document_read(b.data, b.size, DOCUMENT_OF_CLIENT, &e);
	const char *username = json_string_value(json_object_get(document, "username"));
	require(strcmp(again.msg_type, h->msg_type) == 0 && username != NULL && strcmp(username, h->msg_id) == 0);
	require(strcmp(again.msg_id, id) == 0 && strcmp(id, "session_1_2") == 0);
	header_free(&again);
	header_writer_free(w);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_frame frame = { data, size };
	struct header h;
	struct err e = ERR_INIT;
	if (header_parse(&frame, &h, &e) == 0) {
		check_round_trip(&h);
		header_free(&h);
	} else {
		require(e.code == ERR_INVALID || e.code == ERR_LIMIT);
	}
	return 0;
}
