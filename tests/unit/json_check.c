/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What cases/json cannot hold: depth, size, and every way to cut or lengthen a text.
 */
#include "unit.h"

#include "protocol/header.h"
#include "protocol/limits.h"

static const char rich[] =
	" {\"a\": [1, -0.5e+10, true, {\"\\u00e9\\n\": null, \"b\": []}, \"\xC3\xA9\"], \"c\": {}}\n";

static void
test_every_prefix_is_refused(void **state)
{
	(void)state;
	size_t whole = sizeof rich - 2; /* without the newline */
	for (size_t size = 0; size < whole; size++)
		assert_fails(json_check_object(rich, size, &e), ERR_INVALID);
	assert_works(json_check_object(rich, whole, &e));
	assert_works(json_check_object(rich, whole + 1, &e));
}

static void
test_nothing_may_follow(void **state)
{
	(void)state;
	for (int c = 0; c < 256; c++) {
		char text[] = { '{', '}', (char)c };
		if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
			assert_works(json_check_object(text, 3, &e));
		else
			assert_fails(json_check_object(text, 3, &e), ERR_INVALID);
	}
	assert_fails(json_check_object(NULL, 0, &e), ERR_INVALID);
}

/* Signed frames are concatenated without their lengths: bytes moved from one to the next must not make objects of both. */
static void
test_boundaries_cannot_be_shifted(void **state)
{
	(void)state;
	const char both[] = "{\"msg_id\": \"1\"}{\"a\": {\"b\": {}}}{}{}";
	size_t boundary = strlen("{\"msg_id\": \"1\"}");
	for (size_t cut = 0; cut < sizeof both; cut++) {
		bool good = json_check_object(both, cut, NULL) == 0;
		assert_int_equal(good, cut == boundary);
	}
}

static void
nest(struct buf *b, size_t depth, const char *open, const char *close)
{
	buf_append_string(b, "{\"a\":");
	for (size_t i = 1; i < depth; i++)
		buf_append_string(b, open);
	buf_append_string(b, "1");
	for (size_t i = 1; i < depth; i++)
		buf_append_string(b, close);
	buf_append_string(b, "}");
}

static void
test_depth_limit_is_exact(void **state)
{
	(void)state;
	static const char *const kinds[][2] = { { "[", "]" }, { "{\"a\":", "}" } };
	for (size_t kind = 0; kind < 2; kind++) {
		BUF_AUTO within = BUF_INIT;
		BUF_AUTO beyond = BUF_INIT;
		nest(&within, LIMIT_JSON_DEPTH, kinds[kind][0], kinds[kind][1]);
		nest(&beyond, LIMIT_JSON_DEPTH + 1, kinds[kind][0], kinds[kind][1]);
		assert_works(json_check_object(within.data, within.size, &e));
		assert_fails(json_check_object(beyond.data, beyond.size, &e), ERR_LIMIT);
	}
}

static void
test_a_million_brackets(void **state)
{
	(void)state;
	BUF_AUTO b = BUF_INIT;
	nest(&b, 1000000, "[", "]");
	assert_fails(json_check_object(b.data, b.size, &e), ERR_LIMIT);
	BUF_AUTO wide = BUF_INIT;
	buf_append_string(&wide, "{\"a\": [0");
	for (int i = 0; i < 300000; i++)
		buf_append_string(&wide, ",[]");
	buf_append_string(&wide, "]}");
	assert_works(json_check_object(wide.data, wide.size, &e));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_prefix_is_refused),      cmocka_unit_test(test_nothing_may_follow),
		cmocka_unit_test(test_boundaries_cannot_be_shifted), cmocka_unit_test(test_depth_limit_is_exact),
		cmocka_unit_test(test_a_million_brackets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
