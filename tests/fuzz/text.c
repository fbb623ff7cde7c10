/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/text.h"
#include "fuzz.h"
#include "protocol/document.h"

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
	json_auto_t *document = document_read(whole.data, whole.size, JSON_ALLOW_NUL, NULL);
	json_auto_t *wanted = document_text(text, size);
	require(json_equal(json_object_get(document, "t"), wanted));

	buf_append_string(&pieces, "{\"t\":");
	text_append_json(&pieces, text, end);
	pieces.size--;
	size_t seam = pieces.size;
	text_append_json(&pieces, text + end, size - end);
	memmove(pieces.data + seam, pieces.data + seam + 1, pieces.size - seam - 1);
	pieces.data[pieces.size - 1] = '}';
	require(pieces.size == whole.size && memcmp(pieces.data, whole.data, whole.size) == 0);
	return 0;
}
