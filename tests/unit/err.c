/* SPDX-License-Identifier: BSD-3-Clause */
#include "unit.h"

#include <errno.h>

static void
test_set_fills_an_empty_error(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	assert_false(err_is_set(&e));
	assert_int_equal(err_set(&e, ERR_LIMIT, "%d of %s", 3, "four"), -1);
	assert_true(err_is_set(&e));
	assert_int_equal(e.code, ERR_LIMIT);
	assert_string_equal(e.text, "3 of four");
}

static void
test_first_error_wins(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	err_set(&e, ERR_INVALID, "first");
	err_set(&e, ERR_LIMIT, "second");
	errno = ENOENT;
	assert_int_equal(err_system(&e, "third"), -1);
	assert_int_equal(err_memory(&e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	assert_string_equal(e.text, "first");
}

static void
test_nobody_needs_to_listen(void **state)
{
	(void)state;
	assert_int_equal(err_set(NULL, ERR_INVALID, "x"), -1);
	assert_int_equal(err_system(NULL, "x"), -1);
	assert_int_equal(err_memory(NULL), -1);
}

static void
test_system_names_the_cause_and_keeps_errno(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	errno = ENOENT;
	assert_int_equal(err_system(&e, "open of %s", "it"), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(e.code, ERR_SYSTEM);
	assert_string_equal(e.text, "open of it: No such file or directory");
}

static void
test_long_text_is_cut(void **state)
{
	(void)state;
	char text[1000];
	memset(text, 'x', sizeof text);
	text[sizeof text - 1] = '\0';
	struct err e = ERR_INIT;
	err_set(&e, ERR_INVALID, "%s", text);
	assert_int_equal(strlen(e.text), sizeof e.text - 1);
	e = ERR_INIT;
	errno = ENOENT;
	err_system(&e, "%s", text);
	assert_int_equal(strlen(e.text), sizeof e.text - 1);
	e = ERR_INIT;
	err_system(&e, "%.*s", (int)sizeof e.text - 2, text);
	assert_int_equal(e.text[sizeof e.text - 2], ':');
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set_fills_an_empty_error),
		cmocka_unit_test(test_first_error_wins),
		cmocka_unit_test(test_nobody_needs_to_listen),
		cmocka_unit_test(test_system_names_the_cause_and_keeps_errno),
		cmocka_unit_test(test_long_text_is_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
