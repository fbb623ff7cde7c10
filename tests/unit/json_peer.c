/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The other end of json_differential.py. Reads documents (uint32_t size, bytes) from descriptor 0, and writes one line for each: "reject",
 * or a JSON array of what the members "a", "b" and "msg_id" are: null when absent, else [value].
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "protocol/header.h"
#include "protocol/json_read.h"
#include "protocol/text.h"

static void
append_value(struct buf *out, struct json_span value)
{
	struct json_text text;
	if (value.data == NULL) {
		buf_append_string(out, "null");
		return;
	}
	buf_append_string(out, "[");
	if (!json_is_string(value)) {
		for (size_t i = 0; i < value.size; i++) /* newlines are spaces outside strings, and strings have none */
			buf_append(out, value.data[i] == '\n' || value.data[i] == '\r' ? " " : &value.data[i], 1);
	} else if (json_string(value, &text) == 0) {
		text_append_json(out, text.data, text.size);
		free(text.data);
	}
	buf_append_string(out, "]");
}

static void
answer(const char *document, size_t size, struct buf *out)
{
	static const char *const names[] = { "a", "b", "msg_id" };
	buf_reset(out);
	if (json_check_object(document, size, NULL) < 0) {
		buf_append_string(out, "reject");
		return;
	}
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		buf_append_string(out, i == 0 ? "[" : ", ");
		append_value(out, json_member(document, size, names[i]));
	}
	buf_append_string(out, "]");
}

int
main(void)
{
	BUF_AUTO document = BUF_INIT;
	BUF_AUTO out = BUF_INIT;
	uint32_t size;
	while (fread(&size, sizeof size, 1, stdin) == 1) {
		buf_reset(&document);
		if (buf_reserve(&document, size + 1) < 0 || fread(document.data, 1, size, stdin) != size)
			return 1;
		answer(document.data, size, &out);
		if (out.failed || fwrite(out.data, 1, out.size, stdout) != out.size || putchar('\n') == EOF)
			return 1;
	}
	return 0;
}
