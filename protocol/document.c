/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/document.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/limits.h"
#include "protocol/utf8.h"

#define FIRST_ROOM 256 /* bytes: enough for nearly every document that we write */

/* An allocation has failed. jansson reports that as bad syntax, leaves a byte out of a long string without a word, or tells a
 * caller who would have to look at every result. */
static bool exhausted;

static void *
allocate(size_t size)
{
	void *block = malloc(size);
	exhausted = exhausted || block == NULL;
	return block;
}

/* One of the documents is the connection file, which holds the key. */
static void
wipe_and_free(void *block)
{
	if (block != NULL)
		explicit_bzero(block, malloc_usable_size(block));
	free(block);
}

__attribute__((constructor)) static void
watch_allocations(void)
{
	json_set_alloc_funcs(allocate, wipe_and_free);
}

static bool
take_exhausted(void)
{
	bool was = exhausted;
	exhausted = false;
	return was;
}

/* Whether brackets are nested deeper than jansson may follow them: it recurses, and its own limit of 2,048 needs more stack
 * than `ulimit -s` may leave. Exact for JSON; of other bytes jansson does not read further than they look like it. */
static bool
is_too_deep(const char *bytes, size_t size)
{
	size_t depth = 0;
	bool in_string = false;
	for (size_t i = 0; i < size; i++) {
		if (bytes[i] == '"')
			in_string = !in_string;
		else if (in_string)
			i += bytes[i] == '\\';
		else if ((bytes[i] == '{' || bytes[i] == '[') && ++depth > LIMIT_JSON_DEPTH)
			return true;
		else if ((bytes[i] == '}' || bytes[i] == ']') && depth > 0)
			depth--;
	}
	return false;
}

/* In our words: jansson's repeat what stands there, which may be a key. */
static const char *
describe(const json_error_t *error)
{
	switch (json_error_code(error)) {
	case json_error_numeric_overflow: return "a number that is too large";
	case json_error_invalid_utf8: return "not UTF-8";
	case json_error_null_character:
	case json_error_null_byte_in_key: return "NUL";
	case json_error_premature_end_of_input: return "its end is missing";
	case json_error_end_of_input_expected: return "more bytes after it";
	default: return "bad syntax";
	}
}

/* What clients send where they mean {}. */
static bool
is_nothing(const json_t *value)
{
	return json_is_null(value) || (json_is_array(value) && json_array_size(value) == 0);
}

json_t *
document_read(const void *bytes, size_t size, size_t flags, struct err *e)
{
	json_error_t error;
	if (size > 0 && is_too_deep(bytes, size)) {
		err_set(e, ERR_LIMIT, "JSON nested deeper than %u", LIMIT_JSON_DEPTH);
		return NULL;
	}
	take_exhausted();
	json_t *document = json_loadb(size == 0 ? "" : bytes, size, flags, &error);
	bool failed = take_exhausted();
	if (json_is_object(document) && !failed)
		return document;
	if ((flags & JSON_DECODE_ANY) != 0 && is_nothing(document) && !failed) {
		json_decref(document);
		document = json_object();
		if (document != NULL)
			return document;
		failed = take_exhausted();
	}
	if (failed)
		err_memory(e);
	else if (document != NULL)
		err_set(e, ERR_INVALID,
			json_is_array(document) ? "not a JSON object but an array" : "not a JSON object");
	else
		err_set(e, ERR_INVALID, "not a JSON object: byte %d of %zu: %s", error.position, size,
			describe(&error));
	json_decref(document);
	return NULL;
}

/* How many bytes at the start are well-formed. */
static size_t
well_formed(const char *text, size_t size)
{
	size_t n = 0, wide;
	while (n < size && utf8_next(text + n, size - n, &wide) == UTF8_WHOLE)
		n += wide;
	return n;
}

void
document_set_text(json_t *string, const char *text, size_t size)
{
	size_t n = well_formed(text, size);
	if (n == size) {
		json_string_setn_nocheck(string, text, size);
		return;
	}
	BUF_AUTO mended = BUF_INIT;
	for (size_t wide; n < size; n = well_formed(text, size)) {
		buf_append(&mended, text, n);
		buf_append_string(&mended, UTF8_REPLACEMENT);
		utf8_next(text + n, size - n, &wide);
		text += n + wide;
		size -= n + wide;
	}
	buf_append(&mended, text, size);
	exhausted = exhausted || mended.failed;
	if (!mended.failed)
		json_string_setn_nocheck(string, mended.data, mended.size);
}

json_t *
document_text(const char *text, size_t size)
{
	json_t *string = json_string_nocheck("");
	if (string != NULL)
		document_set_text(string, text, size);
	return string;
}

int
document_append(struct buf *out, const json_t *document, size_t flags)
{
	size_t wanted = take_exhausted() || document == NULL ? 0 : FIRST_ROOM;
	while (wanted > 0 && buf_reserve(out, wanted) == 0) {
		size_t room = out->capacity - out->size;
		wanted = json_dumpb(document, out->data + out->size, room, flags);
		if (wanted > 0 && wanted <= room) {
			out->size += wanted;
			return 0;
		}
	}
	take_exhausted();
	out->failed = true;
	return -1;
}
