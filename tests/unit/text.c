/* SPDX-License-Identifier: BSD-3-Clause */
#include "unit.h"

#include "protocol/document.h"
#include "protocol/header.h"
#include "protocol/text.h"
#include "protocol/utf8.h"

#define FFFD "\xEF\xBF\xBD"

static void
assert_json(const char *text, size_t size, const char *wanted)
{
	BUF_AUTO b = BUF_INIT;
	buf_append_string(&b, "x");
	assert_int_equal(text_append_json(&b, text, size), 0);
	buf_append(&b, "", 1);
	assert_string_equal(b.data + 1, wanted);
}

#define assert_text(text, wanted) assert_json(text, sizeof text - 1, "\"" wanted "\"")

static void
test_what_needs_escapes(void **state)
{
	(void)state;
	assert_text("", "");
	assert_text("plain, 8 or more", "plain, 8 or more");
	assert_text("say \"a\\b\"", "say \\\"a\\\\b\\\"");
	assert_text("\b\t\n\f\r", "\\b\\t\\n\\f\\r");
	assert_text("a\0b", "a\\u0000b");
	assert_text("\x01\x0b\x1b\x1f\x7f", "\\u0001\\u000b\\u001b\\u001f\x7f");
	assert_json(NULL, 0, "\"\"");
}

static void
test_whole_characters_pass(void **state)
{
	(void)state;
	assert_text("\xC2\x80 \xDF\xBF \xE0\xA0\x80 \xED\x9F\xBF \xEE\x80\x80 \xEF\xBF\xBF",
		    "\xC2\x80 \xDF\xBF \xE0\xA0\x80 \xED\x9F\xBF \xEE\x80\x80 \xEF\xBF\xBF");
	assert_text("\xF0\x90\x80\x80\xF4\x8F\xBF\xBF", "\xF0\x90\x80\x80\xF4\x8F\xBF\xBF");
}

/* The Unicode standard, section 3.9, "U+FFFD Substitution of Maximal Subparts", and one for each surrogate. */
static void
test_ill_formed_sequences(void **state)
{
	(void)state;
	assert_text("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD "A");
	assert_text("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", FFFD FFFD FFFD FFFD FFFD "A" FFFD FFFD "B");
	assert_text("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", FFFD FFFD FFFD FFFD "A");
	assert_text("\xED\xA0\x80\x41\xED\xBF\xBF\xED\xB0\x80", FFFD "A" FFFD FFFD);
	assert_text("\xED\xA0\xBD\xED\xB8\x80", FFFD FFFD);
	assert_text("\xED\xA0\x41", FFFD "A");
	assert_text("a\xC3", "a" FFFD);
	assert_text("a\xF0\x9F\x98", "a" FFFD);
	assert_text("a\xED\xA0", "a" FFFD);
}

/* The string that a reader makes of what we made of the text. Owned. */
static json_t *
read_back(const char *text, size_t size)
{
	BUF_AUTO b = BUF_INIT;
	struct err e = ERR_INIT;
	buf_append_string(&b, "{\"a\":");
	assert_int_equal(text_append_json(&b, text, size), 0);
	buf_append_string(&b, "}");
	json_auto_t *document = document_read(b.data, b.size, JSON_ALLOW_NUL, &e);
	assert_non_null(document);
	return json_incref(json_object_get(document, "a"));
}

static size_t
encode(unsigned long code, char *out)
{
	static const unsigned char leads[] = { 0, 0, 0xC0, 0xE0, 0xF0 };
	size_t size = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
	for (size_t i = size - 1; i > 0; i--, code >>= 6)
		out[i] = (char)(0x80 | (code & 0x3F));
	out[0] = (char)(leads[size] | code);
	return size;
}

/* All of Unicode comes back as it was, two thousand characters at a time. */
static void
test_every_code_point(void **state)
{
	(void)state;
	static char text[4 * 2048 + 1], wanted[4 * 2048 + 1];
	for (unsigned long first = 0; first <= 0x10FFFF; first += 2048) {
		size_t size = 0, wanted_size = 0;
		for (unsigned long code = first; code < first + 2048; code++) {
			bool surrogate = code >= 0xD800 && code <= 0xDFFF;
			size += encode(code, text + size);
			wanted_size += encode(surrogate ? 0xFFFD : code, wanted + wanted_size);
		}
		json_auto_t *back = read_back(text, size);
		assert_int_equal(json_string_length(back), wanted_size);
		assert_memory_equal(json_string_value(back), wanted, wanted_size);
	}
}

/* Whatever the bytes, the result is a JSON string, and the same that a document of jansson's gets. */
static void
test_every_pair_of_bytes(void **state)
{
	(void)state;
	for (unsigned pair = 0; pair < 65536; pair++) {
		char text[] = { (char)(pair >> 8), (char)pair };
		json_auto_t *back = read_back(text, 2);
		json_auto_t *other = document_text(text, 2);
		assert_true(json_equal(back, other));
	}
}

static void
test_no_room_changes_nothing(void **state)
{
	(void)state;
	BUF_AUTO b = BUF_INIT;
	b.maximum = 8;
	buf_append_string(&b, "abc");
	assert_int_equal(text_append_json(&b, "\x01", 1), -1);
	assert_true(b.failed);
	assert_int_equal(b.size, 3);
	buf_reset(&b);
	assert_int_equal(text_append_json(&b, "\x01", 1), 0);
}

static void
assert_whole(const char *text, size_t wanted)
{
	assert_int_equal(text_whole(text, strlen(text)), wanted);
}

static void
test_whole_part_of_a_piece(void **state)
{
	(void)state;
	assert_whole("", 0);
	assert_whole("abc", 3);
	assert_whole("abc\xC3", 3);
	assert_whole("abc\xC3\xA9", 5);
	assert_whole("\xE2\x82", 0);
	assert_whole("ab\xF0\x9F", 2);
	assert_whole("ab\xF0\x9F\x98", 2);
	assert_whole("ab\xF0\x9F\x98\x80", 6);
	assert_whole("ab\xED\xA0", 2);
	assert_whole("ab\xED\xA0\x80", 5);
	assert_whole("ab\x80", 3);
	assert_whole("ab\x80\x80\x80\x80", 6);
	assert_whole("ab\xFF", 3);
	assert_whole("ab\xC0", 3);
	assert_whole("ab\xF0\x80", 4);
	assert_whole("ab\xF5\x80\x80", 5);
}

/* Text cut anywhere and converted piece by piece is the text converted at once. */
static void
test_pieces_make_the_whole(void **state)
{
	(void)state;
	const char text[] = "a\xC3\xA9\xF0\x9F\x98\x80\xE2\x82\xAC\xFF\xED\xA0\x80z";
	BUF_AUTO at_once = BUF_INIT;
	text_append_json(&at_once, text, sizeof text - 1);
	for (size_t cut = 0; cut < sizeof text; cut++) {
		BUF_AUTO first = BUF_INIT;
		BUF_AUTO second = BUF_INIT;
		size_t whole = text_whole(text, cut);
		text_append_json(&first, text, whole);
		text_append_json(&second, text + whole, sizeof text - 1 - whole);
		first.size--;
		buf_append(&first, second.data + 1, second.size - 1);
		assert_int_equal(first.size, at_once.size);
		assert_memory_equal(first.data, at_once.data, at_once.size);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_needs_escapes),    cmocka_unit_test(test_whole_characters_pass),
		cmocka_unit_test(test_ill_formed_sequences),  cmocka_unit_test(test_every_code_point),
		cmocka_unit_test(test_every_pair_of_bytes),   cmocka_unit_test(test_no_room_changes_nothing),
		cmocka_unit_test(test_whole_part_of_a_piece), cmocka_unit_test(test_pieces_make_the_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
