/* SPDX-License-Identifier: BSD-3-Clause */
#include "unit.h"

#include "protocol/header.h"
#include "protocol/json_read.h"

static void
assert_span(struct json_span span, const char *wanted)
{
	assert_int_equal(span.size, strlen(wanted));
	assert_memory_equal(span.data, wanted, span.size);
}

static void
test_walk_over_members(void **state)
{
	(void)state;
	static const char *const members[][2] = {
		{ "\"a\"", "1" },           { "\"b\\\"}\"", "\"x\\\\\"" }, { "\"c\"", "[1, {\"]\": \"}\"}, []]" },
		{ "\"d\"", "{\"a\": {}}" }, { "\"e\"", "-1e999" },         { "\"f\"", "null" },
		{ "\"\"", "[[]]" },         { "\"g\"", "true" },
	};
	static const char text[] =
		" { \"a\":1,\n\"b\\\"}\" : \"x\\\\\", \"c\":[1, {\"]\": \"}\"}, []] ,\"d\":{\"a\": {}}\t,"
		"\"e\":-1e999,\"f\":null ,\"\":[[]],\"g\":true}  ";
	assert_works(json_check_object(text, sizeof text - 1, &e));
	struct json_cursor c = json_members(text, sizeof text - 1);
	struct json_span key, value;
	for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
		assert_true(json_next(&c, &key, &value));
		assert_span(key, members[i][0]);
		assert_span(value, members[i][1]);
	}
	assert_false(json_next(&c, &key, &value));
	assert_false(json_next(&c, &key, &value));
}

static void
test_empty_objects(void **state)
{
	(void)state;
	struct json_span key, value;
	struct json_cursor c = json_members("{}", 2);
	assert_false(json_next(&c, &key, &value));
	c = json_members(" { \n } ", 7);
	assert_false(json_next(&c, &key, &value));
}

static void
test_keys_are_compared_by_meaning(void **state)
{
	(void)state;
	struct json_span key = { "\"k\\u0065y\"", 10 };
	assert_true(json_key_is(key, "key"));
	assert_false(json_key_is(key, "ke"));
	assert_false(json_key_is(key, "keys"));
	assert_false(json_key_is(key, ""));
	assert_true(json_key_is((struct json_span){ "\"\"", 2 }, ""));
	assert_false(json_key_is((struct json_span){ "\"key\\u0000\"", 11 }, "key"));
	assert_true(json_key_is((struct json_span){ "\"\\u00e9\"", 8 }, "\xC3\xA9"));
	assert_true(json_key_is((struct json_span){ "\"\\ud83d\\ude00\"", 14 }, "\xF0\x9F\x98\x80"));
}

static void
test_last_member_of_a_name_wins(void **state)
{
	(void)state;
	static const char text[] = "{\"a\": 1, \"b\": 2, \"\\u0061\": 3}";
	assert_span(json_member(text, sizeof text - 1, "a"), "3");
	assert_span(json_member(text, sizeof text - 1, "b"), "2");
	assert_null(json_member(text, sizeof text - 1, "c").data);
}

static void
assert_string(const char *text, const char *wanted, size_t size, bool altered)
{
	struct json_text got;
	assert_int_equal(json_string((struct json_span){ text, strlen(text) }, &got), 0);
	assert_int_equal(got.size, size);
	assert_memory_equal(got.data, wanted, size + 1);
	assert_int_equal(got.altered, altered);
	free(got.data);
}

static void
test_strings(void **state)
{
	(void)state;
	assert_string("\"\"", "", 0, false);
	assert_string("\"a\\\"\\\\\\/\\b\\f\\n\\r\\tz\"", "a\"\\/\b\f\n\r\tz", 10, false);
	assert_string("\"\\u0041\\u00e9\\u20AC\\uD83D\\uDE00\"", "A\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", 10, false);
	assert_string("\"\\u0000\"", "\xEF\xBF\xBD", 3, true);
	assert_string("\"\\ud800\"", "\xEF\xBF\xBD", 3, true);
	assert_string("\"\\udc00\\ud800\"", "\xEF\xBF\xBD\xEF\xBF\xBD", 6, true);
	assert_string("\"\\ud800\\u0041\"",
		      "\xEF\xBF\xBD"
		      "A",
		      4, true);
	assert_string("\"\\ud800\\n\"", "\xEF\xBF\xBD\n", 4, true);
	assert_string("\"\\ufffd\"", "\xEF\xBF\xBD", 3, false);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_walk_over_members),
		cmocka_unit_test(test_empty_objects),
		cmocka_unit_test(test_keys_are_compared_by_meaning),
		cmocka_unit_test(test_last_member_of_a_name_wins),
		cmocka_unit_test(test_strings),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
