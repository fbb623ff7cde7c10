/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Reading members out of JSON text without building a tree. Only for bytes that json_check_object (header.h) has
 * accepted: the grammar is not checked again. Numbers of any size, NaN and lone surrogates are passed by unread.
 */
#ifndef PUPITRE_PROTOCOL_JSON_READ_H
#define PUPITRE_PROTOCOL_JSON_READ_H

#include <stdbool.h>
#include <stddef.h>

/* The text of one value as it stands, quotes or brackets included. Borrowed. data is NULL for "absent". */
struct json_span {
	const char *data;
	size_t size;
};

struct json_cursor {
	const char *at, *end;
};

/* Start at the first member of a checked object. */
struct json_cursor json_members(const void *object, size_t size);

/* The next member, in the order of the text. False at the end. */
bool json_next(struct json_cursor *c, struct json_span *ret_key, struct json_span *ret_value);

/* Whether a key (a string's text) means `name`, escapes resolved. Allocates nothing. */
bool json_key_is(struct json_span key, const char *name);

/* The last member of that name, as Python has it; data NULL when there is none. */
struct json_span json_member(const void *object, size_t size, const char *name);

static inline bool
json_is_string(struct json_span value)
{
	return value.size > 0 && value.data[0] == '"';
}

struct json_text {
	char *data; /* owned, UTF-8, NUL-terminated */
	size_t size;
	bool altered; /* lone surrogates or NUL, which a C string cannot carry, became U+FFFD */
};

/* Resolve the escapes of a string's text. One allocation of value.size bytes at most. -1 when there is no memory, and *ret untouched. */
int json_string(struct json_span value, struct json_text *ret);

#endif
