/* SPDX-License-Identifier: BSD-3-Clause */
#include "unit.h"

static void
test_append_in_every_way(void **state)
{
	(void)state;
	BUF_AUTO b = BUF_INIT;
	assert_null(b.data);
	assert_int_equal(buf_append(&b, "ab", 2), 0);
	assert_int_equal(buf_append(&b, NULL, 0), 0);
	assert_int_equal(buf_append_string(&b, "cd"), 0);
	assert_int_equal(buf_appendf(&b, "%d%s", 5, "f"), 0);
	assert_buf(&b, "abcd5f");
	assert_false(b.failed);
}

static void
test_grows_past_any_first_guess(void **state)
{
	(void)state;
	BUF_AUTO b = BUF_INIT;
	for (int i = 0; i < 10000; i++)
		buf_appendf(&b, "%05d", i);
	assert_false(b.failed);
	assert_int_equal(b.size, 50000);
	assert_memory_equal(b.data + 5 * 9999, "09999", 5);
	assert_memory_equal(b.data + 5 * 1234, "01234", 5);
}

static void
test_maximum_is_exact_and_failure_sticks(void **state)
{
	(void)state;
	BUF_AUTO b = BUF_INIT;
	b.maximum = 300;
	char bytes[300];
	memset(bytes, 'x', sizeof bytes);
	assert_int_equal(buf_append(&b, bytes, 299), 0);
	assert_int_equal(buf_append(&b, bytes, 2), -1);
	assert_true(b.failed);
	assert_int_equal(b.size, 299);
	assert_int_equal(buf_append(&b, bytes, 1), -1);
	assert_int_equal(buf_appendf(&b, "%d", 1), -1);
	buf_reset(&b);
	assert_false(b.failed);
	assert_int_equal(buf_append(&b, bytes, 300), 0);
	assert_true(b.capacity <= 300);
	assert_int_equal(buf_reserve(&b, SIZE_MAX), -1);
	assert_int_equal(b.size, 300);
}

static void
test_reset_keeps_memory_and_shrink_returns_it(void **state)
{
	(void)state;
	BUF_AUTO b = BUF_INIT;
	buf_reserve(&b, 5000);
	char *data = b.data;
	buf_append_string(&b, "x");
	buf_reset(&b);
	buf_shrink(&b, 5000);
	assert_ptr_equal(b.data, data);
	buf_shrink(&b, 4999);
	assert_null(b.data);
	assert_int_equal(b.capacity, 0);
	assert_int_equal(b.maximum, BUF_MAXIMUM);
	assert_int_equal(buf_append_string(&b, "again"), 0);
	assert_buf(&b, "again");
}

static void
test_consume_drops_the_front(void **state)
{
	(void)state;
	BUF_AUTO b = BUF_INIT;
	buf_consume(&b, 0);
	buf_append_string(&b, "abcdef");
	buf_consume(&b, 0);
	buf_consume(&b, 2);
	assert_buf(&b, "cdef");
	buf_consume(&b, 4);
	assert_buf(&b, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_append_in_every_way),
		cmocka_unit_test(test_grows_past_any_first_guess),
		cmocka_unit_test(test_maximum_is_exact_and_failure_sticks),
		cmocka_unit_test(test_reset_keeps_memory_and_shrink_returns_it),
		cmocka_unit_test(test_consume_drops_the_front),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
