/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Headers of clients, by a table of what is accepted and what is refused; and the headers that we write.
 */
#include "unit.h"

#include <time.h>

#include "protocol/document.h"
#include "protocol/header.h"
#include "protocol/limits.h"

#define SESSION "5f0c1e4a-aaaa-4bbb-8ccc-0123456789ab"
#define GOOD "\"msg_id\": \"a_1\", \"msg_type\": \"t\""
#define EIGHT(x) x x x x x x x x
#define DEEP(bracket) EIGHT(EIGHT(bracket bracket)) /* 128 */

/* A header, and what is read of it; `reason` is a part of the error of one that is refused. */
static const struct row {
	const char *text;
	const char *msg_id, *msg_type, *session;
	bool in_subshell;
	const char *reason;
} rows[] = {
	/* What is accepted. */
	{ "{" GOOD "}", "a_1", "t", NULL, false, NULL },
	{ "{\"msg_id\": \"8d-4_12_3\", \"msg_type\": \"execute_request\", \"username\": \"root\", \"session\": "
	  "\"8d-4\", "
	  "\"date\": \"2026-01-02T03:04:05.000006Z\", \"version\": \"5.4\"}",
	  "8d-4_12_3", "execute_request", "8d-4", false, NULL }, /* jupyter_client's */
	{ "{\"date\":\"2026-01-02T03:04:05.006Z\",\"msg_id\":\"6f1c\",\"msg_type\":\"t\",\"session\":\"77aa\","
	  "\"username\":\"\",\"version\":\"5.2\",\"subshell_id\":null}",
	  "6f1c", "t", "77aa", false, NULL }, /* JupyterLab's */
	{ "\n{ \"msg_id\"\t:\"a\" , \"msg_type\" : \"t\"\r\n}\n", "a", "t", NULL, false, NULL },
	{ "{\"msg_id\": \"\", \"msg_type\": \"\", \"session\": \"\"}", "", "", "", false, NULL },
	{ "{\"msg_id\": 17, \"msg_type\": \"t\"}", "17", "t", NULL, false, NULL }, /* some clients count */
	{ "{\"msg_id\": \"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\", \"msg_type\": \"t\"}",
	  "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", "t", NULL, false, NULL },
	{ "{\"msg_id\": \"a\\\"\\\\\\/\\n\\u00e9\\ud83d\\ude00\", \"msg_type\": \"t\"}",
	  "a\"\\/\n\xC3\xA9\xF0\x9F\x98\x80", "t", NULL, false, NULL },
	{ "{\"msg_id\": \"first\", \"msg_id\": 5, " GOOD "}", "a_1", "t", NULL, false, NULL }, /* the last wins */
	{ "{" GOOD ", \"msg\\u005fid\": \"last\"}", "last", "t", NULL, false, NULL },
	{ "{\"x\": {\"msg_id\": \"inner\", \"y\": [\"]\", \"}\"]}, " GOOD "}", "a_1", "t", NULL, false, NULL },
	{ "{" GOOD ", \"x\": 123456789012345678901234567890, \"y\": -1e308}", "a_1", "t", NULL, false, NULL },
	{ "{\"msg_id\": \"a\\u0000b\", \"msg_type\": \"t\\u0000\"}",
	  "a\x1A"
	  "b",
	  "t\x1A", NULL, false, NULL },
	{ "{" GOOD ", \"session\": 1}", "a_1", "t", NULL, false, NULL },
	{ "{" GOOD ", \"subshell_id\": \"\"}", "a_1", "t", NULL, true, NULL },
	{ "{" GOOD ", \"subshell_id\": {\"a\": 1}}", "a_1", "t", NULL, true, NULL },
	/* What is no JSON, or not to jansson. Python reads the lone surrogate, NaN, 1e999 and the NUL in a key. */
	{ "", NULL, NULL, NULL, false, "its end is missing" },
	{ "{" GOOD, NULL, NULL, NULL, false, "its end is missing" },
	{ "[{" GOOD "}]", NULL, NULL, NULL, false, "an array" },
	{ "{" GOOD "}{}", NULL, NULL, NULL, false, "more bytes after it" },
	{ "\x80\x04}\x94.", NULL, NULL, NULL, false, "not UTF-8" }, /* a pickle */
	{ "{" GOOD ", \"username\": \"\xE9\"}", NULL, NULL, NULL, false, "not UTF-8" },
	{ "{" GOOD ", \"username\": \"\\udcff\"}", NULL, NULL, NULL, false, "bad syntax" },
	{ "{" GOOD ", \"date\": NaN}", NULL, NULL, NULL, false, "bad syntax" },
	{ "{" GOOD ", \"date\": 1e999}", NULL, NULL, NULL, false, "too large" },
	{ "{" GOOD ", \"a\\u0000\": 1}", NULL, NULL, NULL, false, "NUL" },
	{ "{" GOOD ", \"x\": " DEEP("[") DEEP("]") "}", NULL, NULL, NULL, false, "nested deeper" },
	/* What is JSON and no header. */
	{ "{}", NULL, NULL, NULL, false, "without msg_id" },
	{ "{\"header\": {" GOOD "}}", NULL, NULL, NULL, false, "without msg_id" },
	{ "{" GOOD ", \"msg_id\": null}", NULL, NULL, NULL, false, "without msg_id" },
	{ "{\"msg_id\": \"a\", \"msg_type\": [\"t\"]}", NULL, NULL, NULL, false, "without msg_type" },
};

static void
assert_text(const char *got, const char *wanted)
{
	assert_int_equal(got == NULL, wanted == NULL);
	if (wanted != NULL)
		assert_string_equal(got, wanted);
}

static void
test_header_of_a_client(void **state)
{
	const struct row *row = *state;
	struct wire_frame frame = frame_of(row->text);
	struct header h;
	struct err e = ERR_INIT;
	memset(&h, 0x5a, sizeof h);
	struct header before = h;
	if (row->reason != NULL) {
		assert_int_equal(header_parse(&frame, &h, &e), -1);
		assert_memory_equal(&h, &before, sizeof h);
		assert_non_null(strstr(e.text, row->reason));
		assert_true(e.code == ERR_INVALID || e.code == ERR_LIMIT);
		return;
	}
	assert_int_equal(header_parse(&frame, &h, &e), 0);
	assert_text(h.msg_id, row->msg_id);
	assert_text(h.msg_type, row->msg_type);
	assert_text(h.session, row->session);
	assert_int_equal(h.in_subshell, row->in_subshell);
	header_free(&h);
	assert_null(h.msg_id);
	header_free(&h);
}

static void
test_a_header_we_write(void **state)
{
	(void)state;
	static const char before[] = "{\"msg_id\": \"" SESSION "_4321_77\", \"msg_type\": \"status\", "
				     "\"username\": \"N\xC3\xA9 \\\"x\\\"\xEF\xBF\xBD\", "
				     "\"session\": \"" SESSION "\", \"date\": \"";
	static const char after[] = "\", \"version\": \"5.4\"}";
	BUF_AUTO b = BUF_INIT;
	struct err e = ERR_INIT;
	char id[HEADER_MSG_ID_SIZE];
	struct header_writer *w = header_writer_new(SESSION, "N\xC3\xA9 \"x\"\xFF", 4321, &e);
	assert_non_null(w);
	for (int i = 0; i < 2; i++) { /* the second time nothing of another message is left */
		buf_reset(&b);
		assert_int_equal(header_write(w, &b, "odd \"type\"\n\xFF", 18446744073709551615ull, id), 0);
		assert_string_equal(id, SESSION "_4321_18446744073709551615");
		buf_reset(&b);
		assert_int_equal(header_write(w, &b, "status", 77, id), 0);
		assert_string_equal(id, SESSION "_4321_77");
		assert_int_equal(b.size, sizeof before - 1 + strlen("2026-01-02T03:04:05.000006Z") + sizeof after - 1);
		assert_memory_equal(b.data, before, sizeof before - 1);
		assert_memory_equal(b.data + b.size - (sizeof after - 1), after, sizeof after - 1);
	}
	header_writer_free(w);
	header_writer_free(NULL);
}

static void
test_what_we_write_can_be_read(void **state)
{
	(void)state;
	BUF_AUTO b = BUF_INIT;
	struct header h;
	struct err e = ERR_INIT;
	char id[HEADER_MSG_ID_SIZE];
	struct header_writer *w = header_writer_new(SESSION, "user", 1, &e);
	assert_int_equal(header_write(w, &b, "odd \"type\"\n\xFF", 2, id), 0);
	struct wire_frame frame = { b.data, b.size };
	assert_int_equal(header_parse(&frame, &h, &e), 0);
	assert_string_equal(h.msg_id, id);
	assert_string_equal(h.msg_type, "odd \"type\"\n\xEF\xBF\xBD");
	assert_string_equal(h.session, SESSION);
	assert_false(h.in_subshell);
	header_free(&h);
	header_writer_free(w);
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
assert_date(struct header_writer *w, time_t seconds, long nanoseconds)
{
	BUF_AUTO b = BUF_INIT;
	char wanted[64], day[32], id[HEADER_MSG_ID_SIZE];
	struct tm tm;
	fake_seconds = seconds;
	fake_nanoseconds = nanoseconds;
	gmtime_r(&seconds, &tm);
	strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(wanted, sizeof wanted, "\"date\": \"%s.%06ldZ\"", day, nanoseconds / 1000);
	assert_int_equal(header_write(w, &b, "status", 1, id), 0);
	assert_non_null(memmem(b.data, b.size, wanted, strlen(wanted)));
}

static void
test_dates_of_two_centuries(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct header_writer *w = header_writer_new(SESSION, "user", 1, &e);
	for (long day = 0; day < 366 * 200; day++)
		assert_date(w, day * 86400 + day * 7919 % 86400, day * 104729 % 1000000000);
	assert_date(w, 0, 0);
	assert_date(w, 951782399, 999999999);
	assert_date(w, 4107542400 - 1, 1);
	header_writer_free(w);
}

static void
test_no_room_changes_nothing(void **state)
{
	(void)state;
	BUF_AUTO whole = BUF_INIT;
	struct err e = ERR_INIT;
	char id[HEADER_MSG_ID_SIZE];
	struct header_writer *w = header_writer_new(SESSION, "user", 1, &e);
	header_write(w, &whole, "status", 1, id);
	for (size_t room = 0; room < whole.size; room++) {
		BUF_AUTO b = BUF_INIT;
		b.maximum = room + 1;
		buf_append_string(&b, "x");
		assert_int_equal(header_write(w, &b, "status", 1, id), -1);
		assert_true(b.failed);
		assert_buf(&b, "x");
	}
	header_writer_free(w);
}

static void
test_size_limit_is_exact(void **state)
{
	(void)state;
	BUF_AUTO b = BUF_INIT;
	struct header h;
	buf_append_string(&b, "{" GOOD "}");
	while (b.size < LIMIT_HEADER_SIZE)
		buf_append_string(&b, " ");
	struct wire_frame frame = { b.data, b.size };
	assert_works(header_parse(&frame, &h, &e));
	header_free(&h);
	buf_append_string(&b, " ");
	frame = (struct wire_frame){ b.data, b.size };
	assert_fails(header_parse(&frame, &h, &e), ERR_LIMIT);
}

int
main(void)
{
	enum { ROWS = sizeof rows / sizeof *rows };
	static struct CMUnitTest table[ROWS];
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_header_we_write),      cmocka_unit_test(test_what_we_write_can_be_read),
		cmocka_unit_test(test_dates_of_two_centuries), cmocka_unit_test(test_no_room_changes_nothing),
		cmocka_unit_test(test_size_limit_is_exact),
	};
	for (size_t i = 0; i < ROWS; i++)
		table[i] = (struct CMUnitTest){ rows[i].text, test_header_of_a_client, NULL, NULL,
						(void *)(uintptr_t)&rows[i] };
	int failed = cmocka_run_group_tests_name("headers of clients", table, NULL, NULL);
	return failed + cmocka_run_group_tests_name("headers of ours", tests, NULL, NULL);
}
