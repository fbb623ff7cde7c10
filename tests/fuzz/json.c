/* SPDX-License-Identifier: BSD-3-Clause */
#include "fuzz.h"
#include "protocol/header.h"
#include "protocol/json_read.h"

/* Every member of an accepted object is itself JSON, and written out anew the object is accepted still. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	BUF_AUTO again = BUF_INIT;
	struct json_span key, value;
	if (json_check_object(data, size, NULL) < 0)
		return 0;
	buf_append_string(&again, "{");
	struct json_cursor c = json_members(data, size);
	while (json_next(&c, &key, &value)) {
		struct json_text text;
		require(json_is_string(key) && value.size > 0);
		require(json_string(key, &text) == 0 && text.size < key.size && text.data[text.size] == 0);
		require(text.altered || json_key_is(key, text.data));
		require(text.altered || strlen(text.data) == text.size);
		free(text.data);
		buf_appendf(&again, "%s", again.size == 1 ? "" : ",");
		buf_append(&again, key.data, key.size);
		buf_append_string(&again, ":");
		buf_append(&again, value.data, value.size);
		if (value.data[0] != '{')
			continue;
		require(json_check_object(value.data, value.size, NULL) == 0);
	}
	buf_append_string(&again, "}");
	require(!again.failed && json_check_object(again.data, again.size, NULL) == 0);
	return 0;
}
