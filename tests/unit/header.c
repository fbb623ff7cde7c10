/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Writing headers, and reading contents; cases/header holds the headers that are read.
 */
#include "unit.h"

#include <time.h>

#include "protocol/header.h"
#include "protocol/json_read.h"
#include "protocol/limits.h"

static const struct header_origin origin = { "5f0c1e4a-aaaa-4bbb-8ccc-0123456789ab", "N\xC3\xA9 \"x\"\xFF" };

static void
test_a_header_we_write(void **state)
{
	(void)state;
	static const char before[] =
		"{\"msg_id\": \"5f0c1e4a-aaaa-4bbb-8ccc-0123456789ab_4321_77\", \"msg_type\": \"status\", "
		"\"username\": \"N\xC3\xA9 \\\"x\\\"\xEF\xBF\xBD\", "
		"\"session\": \"5f0c1e4a-aaaa-4bbb-8ccc-0123456789ab\", \"date\": \"";
	static const char after[] = "\", \"version\": \"5.4\"}";
	BUF_AUTO b = BUF_INIT;
	assert_int_equal(header_write(&b, &origin, "status", 4321, 77), 0);
	assert_int_equal(b.size, sizeof before - 1 + strlen("2026-01-02T03:04:05.000006Z") + sizeof after - 1);
	assert_memory_equal(b.data, before, sizeof before - 1);
	assert_memory_equal(b.data + b.size - (sizeof after - 1), after, sizeof after - 1);
}

static void
test_what_we_write_can_be_read(void **state)
{
	(void)state;
	BUF_AUTO b = BUF_INIT;
	struct header h;
	assert_int_equal(header_write(&b, &origin, "odd \"type\"\n\xFF", 1, 18446744073709551615ull), 0);
	struct wire_frame frame = { b.data, b.size };
	assert_works(header_parse(&frame, &h, &e));
	assert_string_equal(h.msg_id, "5f0c1e4a-aaaa-4bbb-8ccc-0123456789ab_1_18446744073709551615");
	assert_string_equal(h.msg_type, "odd \"type\"\n\xEF\xBF\xBD");
	assert_string_equal(h.session, origin.session);
	assert_null(h.subshell_id);
	header_free(&h);
	assert_null(h.msg_id);
	header_free(&h);
}

static time_t fake_seconds;
static long fake_nanoseconds;

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);

int
__wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	(void)clock;
	*ret = (struct timespec){ fake_seconds, fake_nanoseconds };
	return 0;
}

static void
assert_date(time_t seconds, long nanoseconds)
{
	BUF_AUTO b = BUF_INIT;
	char wanted[64], day[32];
	struct tm tm;
	fake_seconds = seconds;
	fake_nanoseconds = nanoseconds;
	gmtime_r(&seconds, &tm);
	strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(wanted, sizeof wanted, "\"%s.%06ldZ\"", day, nanoseconds / 1000);
	assert_int_equal(header_write(&b, &origin, "status", 1, 1), 0);
	struct json_span date = json_member(b.data, b.size, "date");
	assert_int_equal(date.size, strlen(wanted));
	assert_memory_equal(date.data, wanted, date.size);
}

static void
test_dates_of_two_centuries(void **state)
{
	(void)state;
	for (long day = 0; day < 366 * 200; day++)
		assert_date(day * 86400 + day * 7919 % 86400, day * 104729 % 1000000000);
	assert_date(0, 0);
	assert_date(951782399, 999999999);
	assert_date(4107542400 - 1, 1);
}

static void
test_no_room_changes_nothing(void **state)
{
	(void)state;
	BUF_AUTO whole = BUF_INIT;
	header_write(&whole, &origin, "status", 1, 1);
	for (size_t room = 0; room < whole.size; room++) {
		BUF_AUTO b = BUF_INIT;
		b.maximum = room + 1;
		buf_append_string(&b, "x");
		assert_int_equal(header_write(&b, &origin, "status", 1, 1), -1);
		assert_true(b.failed);
		assert_buf(&b, "x");
	}
}

static void
test_size_limit_is_exact(void **state)
{
	(void)state;
	BUF_AUTO b = BUF_INIT;
	struct header h;
	buf_append_string(&b, "{\"msg_id\": \"1\", \"msg_type\": \"t\"}");
	while (b.size < LIMIT_HEADER_SIZE)
		buf_append_string(&b, " ");
	struct wire_frame frame = { b.data, b.size };
	assert_works(header_parse(&frame, &h, &e));
	header_free(&h);
	buf_append_string(&b, " ");
	frame = (struct wire_frame){ b.data, b.size };
	memset(&h, 0x5a, sizeof h);
	struct header before = h;
	assert_fails(header_parse(&frame, &h, &e), ERR_LIMIT);
	assert_memory_equal(&h, &before, sizeof h);
}

static void
test_members_of_contents(void **state)
{
	(void)state;
	struct wire_frame content =
		frame_of("{\"restart\": true, \"silent\": false, \"n\": 1, \"s\": \"a\\nb\", \"o\": {\"t\": true}}");
	assert_true(content_get_bool(&content, "restart", false));
	assert_false(content_get_bool(&content, "silent", true));
	assert_true(content_get_bool(&content, "n", true));
	assert_false(content_get_bool(&content, "n", false));
	assert_true(content_get_bool(&content, "t", true));
	assert_false(content_get_bool(&content, "t", false));
	char *text = content_get_string(&content, "s");
	assert_string_equal(text, "a\nb");
	free(text);
	assert_null(content_get_string(&content, "n"));
	assert_null(content_get_string(&content, "absent"));
	struct wire_frame broken = frame_of("{\"restart\": true, \"s\": \"x\""), none = { NULL, 0 };
	assert_false(content_get_bool(&broken, "restart", false));
	assert_true(content_get_bool(&none, "restart", true));
	assert_null(content_get_string(&broken, "s"));
	assert_null(content_get_string(&none, "s"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_header_we_write),      cmocka_unit_test(test_what_we_write_can_be_read),
		cmocka_unit_test(test_dates_of_two_centuries), cmocka_unit_test(test_no_room_changes_nothing),
		cmocka_unit_test(test_size_limit_is_exact),    cmocka_unit_test(test_members_of_contents),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
