/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What is this project's own around jansson: the limit on depth, the errors, text of any quality, and buffers of any size.
 */
#include "unit.h"

#include <pthread.h>

#include "protocol/document.h"
#include "protocol/limits.h"

#define SMALL_STACK (128u << 10) /* bytes: far less than jansson takes for its own limit on depth */

/* `pattern` so often, then `middle`, then `closing` as often, as the value of a member. */
static void
nest(struct buf *out, const char *pattern, const char *closing, size_t depth)
{
	buf_append_string(out, "{\"a\": ");
	for (size_t i = 1; i < depth; i++)
		buf_append_string(out, pattern);
	buf_append_string(out, "1");
	for (size_t i = 1; i < depth; i++)
		buf_append_string(out, closing);
	buf_append_string(out, "}");
}

static enum err_code
read_nested(const char *pattern, const char *closing, size_t depth)
{
	BUF_AUTO b = BUF_INIT;
	struct err e = ERR_INIT;
	nest(&b, pattern, closing, depth);
	json_auto_t *document = document_read(b.data, b.size, DOCUMENT_OF_CLIENT, &e);
	assert_int_equal(document == NULL, e.code != ERR_NONE);
	return e.code;
}

static void *
read_all_depths(void *unused)
{
	static const char *const kinds[][2] = { { "[", "]" }, { "{\"b\":", "}" }, { "[{\"\\\"]\":", "}]" } };
	for (size_t i = 0; i < 3; i++) {
		size_t each = i == 2 ? 2 : 1;
		for (size_t depth = 1; depth <= 1000000; depth = depth < 200 ? depth + 1 : depth * 10) {
			bool within = 1 + (depth - 1) * each <= LIMIT_JSON_DEPTH;
			assert_int_equal(read_nested(kinds[i][0], kinds[i][1], depth), within ? ERR_NONE : ERR_LIMIT);
		}
		assert_int_equal(read_nested(kinds[i][0], "", 1000000), ERR_LIMIT);
	}
	return unused;
}

static void
test_no_depth_overflows_a_small_stack(void **state)
{
	(void)state;
	pthread_t thread;
	pthread_attr_t attributes;
	assert_int_equal(pthread_attr_init(&attributes), 0);
	assert_int_equal(pthread_attr_setstacksize(&attributes, SMALL_STACK), 0);
	assert_int_equal(pthread_create(&thread, &attributes, read_all_depths, NULL), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	pthread_attr_destroy(&attributes);
}

/* Brackets in strings, and behind what is no JSON any more, do not count. */
static void
test_only_nesting_counts(void **state)
{
	(void)state;
	BUF_AUTO b = BUF_INIT;
	struct err e = ERR_INIT;
	buf_append_string(&b, "{\"a\\\"\\\\\": \"");
	for (int i = 0; i < 1000; i++)
		buf_append_string(&b, "[\\\"{");
	buf_append_string(&b, "\", \"b\": [");
	for (int i = 0; i < 1000; i++)
		buf_append_string(&b, "[{}],");
	buf_append_string(&b, "0]}");
	json_auto_t *document = document_read(b.data, b.size, DOCUMENT_OF_CLIENT, &e);
	assert_int_equal(json_array_size(json_object_get(document, "b")), 1001);
}

/* Every beginning of a document is refused, and its error repeats nothing of it. */
static void
test_no_beginning_is_a_document(void **state)
{
	(void)state;
	static const char text[] =
		" {\"SECRET\": \"SECRET \\u00e9\", \"SECRET2\" : [1, -2.5e3, true, false, null, {}, []]} \n";
	size_t whole = (size_t)(strrchr(text, '}') - text) + 1;
	for (size_t size = 0; size <= sizeof text - 1; size++) {
		char *copy = malloc(size + (size == 0)); /* so that a byte too many is noticed */
		struct err e = ERR_INIT;
		assert_non_null(copy);
		memcpy(copy, text, size);
		json_auto_t *document = document_read(copy, size, 0, &e);
		free(copy);
		assert_int_equal(document != NULL, size >= whole);
		assert_int_equal(e.code, size >= whole ? ERR_NONE : ERR_INVALID);
		assert_null(strstr(e.text, "SECRET"));
	}
	struct err e = ERR_INIT;
	assert_null(document_read(NULL, 0, 0, &e));
	static const char *const nothing[] = { "null", " [ ]\n" };
	for (size_t i = 0; i < sizeof nothing / sizeof *nothing; i++) {
		assert_null(document_read(nothing[i], strlen(nothing[i]), 0, &e));
		json_auto_t *empty = document_read(nothing[i], strlen(nothing[i]), JSON_DECODE_ANY, &e);
		assert_true(json_is_object(empty) && json_object_size(empty) == 0);
	}
	assert_null(document_read("[0]", 3, JSON_DECODE_ANY, &e));
	assert_null(document_read("0", 1, JSON_DECODE_ANY, &e));
	assert_int_equal(e.code, ERR_INVALID);
}

static void
test_text_of_any_quality(void **state)
{
	(void)state;
	static const struct {
		const char *text, *wanted;
		size_t size;
	} rows[] = {
		{ "", "", 0 },
		{ "plain", "plain", 5 },
		{ "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", 9 },
		{ "a\xFFz", "a\xEF\xBF\xBDz", 3 },
		{ "\xFF\xFE", "\xEF\xBF\xBD\xEF\xBF\xBD", 2 },
		{ "\xE2\x82", "\xEF\xBF\xBD", 2 },
		{ "\xED\xA0\x80", "\xEF\xBF\xBD", 3 },
	};
	json_auto_t *reused = json_string("before");
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		json_auto_t *made = document_text(rows[i].text, rows[i].size);
		document_set_text(reused, rows[i].text, rows[i].size);
		assert_string_equal(json_string_value(made), rows[i].wanted);
		assert_true(json_equal(made, reused));
	}
	json_auto_t *with_nul = document_text("a\0b", 3);
	assert_int_equal(json_string_length(with_nul), 3);
}

/* Documents shorter and longer than the room that is there are appended whole, or not at all. */
static void
test_documents_of_any_size(void **state)
{
	(void)state;
	char text[1200];
	memset(text, 'x', sizeof text);
	for (size_t size = 0; size < sizeof text; size++) {
		BUF_AUTO b = BUF_INIT;
		BUF_AUTO narrow = BUF_INIT;
		json_auto_t *document = json_pack("{s:s%}", "a", text, size);
		buf_append_string(&b, "before ");
		assert_int_equal(document_append(&b, document, JSON_COMPACT), 0);
		assert_int_equal(b.size, 7 + size + 8);
		assert_memory_equal(b.data, "before {\"a\":\"", 13);
		assert_memory_equal(b.data + b.size - 2, "\"}", 2);
		narrow.maximum = 7 + size + 7;
		buf_append_string(&narrow, "before ");
		assert_int_equal(document_append(&narrow, document, JSON_COMPACT), -1);
		assert_true(narrow.failed);
		assert_buf(&narrow, "before ");
	}
	BUF_AUTO none = BUF_INIT;
	assert_int_equal(document_append(&none, NULL, 0), -1);
	assert_true(none.failed);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_depth_overflows_a_small_stack),
		cmocka_unit_test(test_only_nesting_counts),
		cmocka_unit_test(test_no_beginning_is_a_document),
		cmocka_unit_test(test_text_of_any_quality),
		cmocka_unit_test(test_documents_of_any_size),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
