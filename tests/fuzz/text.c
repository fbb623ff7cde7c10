/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/text.h"
#include "fuzz.h"
#include "protocol/header.h"
#include "protocol/json_read.h"

/* Any text becomes a JSON string; converted piece by piece it becomes the same. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	BUF_AUTO whole = BUF_INIT;
	BUF_AUTO pieces = BUF_INIT;
	const char *text = (const char *)data;
	size_t cut = size == 0 ? 0 : data[0] % (size + 1), end = text_whole(text, cut);
	require(end <= cut && cut - end <= 3);
	buf_append_string(&whole, "{\"t\":");
	require(text_append_json(&whole, text, size) == 0);
	buf_append_string(&whole, "}");
	require(json_check_object(whole.data, whole.size, NULL) == 0);

	buf_append_string(&pieces, "{\"t\":");
	text_append_json(&pieces, text, end);
	pieces.size--;
	size_t seam = pieces.size;
	text_append_json(&pieces, text + end, size - end);
	memmove(pieces.data + seam, pieces.data + seam + 1, pieces.size - seam - 1);
	pieces.data[pieces.size - 1] = '}';
	require(pieces.size == whole.size && memcmp(pieces.data, whole.data, whole.size) == 0);

	struct json_text back;
	require(json_string(json_member(whole.data, whole.size, "t"), &back) == 0);
	require(back.size <= 3 * size);
	free(back.data);
	return 0;
}
