/* SPDX-License-Identifier: BSD-3-Clause */
#include "unit.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

static long long fake_ms = 1000000;

long long __wrap_clock_ms(void);

long long
__wrap_clock_ms(void)
{
	return fake_ms;
}

static int saved_stderr, pipe_fds[2];

static int
capture(void **state)
{
	(void)state;
	fake_ms += 10000;
	log_init("prog", LOG_INFO);
	saved_stderr = dup(STDERR_FILENO);
	return pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) < 0 || dup2(pipe_fds[1], STDERR_FILENO) < 0;
}

static int
release(void **state)
{
	(void)state;
	dup2(saved_stderr, STDERR_FILENO);
	fd_close(&saved_stderr);
	fd_close(&pipe_fds[0]);
	fd_close(&pipe_fds[1]);
	return 0;
}

/* What was written to descriptor 2 since the last call. */
static const char *
written(void)
{
	static char text[65536];
	ssize_t n = read(pipe_fds[0], text, sizeof text - 1);
	text[n < 0 ? 0 : n] = '\0';
	return text;
}

static size_t
count_lines(const char *text)
{
	size_t lines = 0;
	for (; *text != '\0'; text++)
		lines += *text == '\n';
	return lines;
}

static void
test_one_line_with_program_and_level(void **state)
{
	(void)state;
	log_warning("event=%s n=%d", "x", 3);
	assert_string_equal(written(), "prog: warning: event=x n=3\n");
	log_error("event=y");
	assert_string_equal(written(), "prog: error: event=y\n");
}

static void
test_levels(void **state)
{
	(void)state;
	log_debug("no");
	assert_string_equal(written(), "");
	log_init("prog", LOG_QUIET);
	assert_int_equal(log_level_get(), LOG_QUIET);
	log_error("no");
	assert_string_equal(written(), "");
}

static void
test_at_most_twenty_a_second_and_the_rest_is_counted(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++)
		log_error("line %d", i);
	assert_int_equal(count_lines(written()), 20);
	fake_ms += 1000;
	log_error("next");
	assert_string_equal(written(), "prog: error: next left_out=80\n");
	log_error("next");
	assert_string_equal(written(), "prog: error: next\n");
}

static void
test_debug_leaves_nothing_out(void **state)
{
	(void)state;
	log_init("prog", LOG_DEBUG);
	for (int i = 0; i < 100; i++)
		log_debug("line %d", i);
	assert_int_equal(count_lines(written()), 100);
}

static void
test_long_lines_are_cut(void **state)
{
	(void)state;
	char text[2000];
	memset(text, 'x', sizeof text);
	text[sizeof text - 1] = '\0';
	log_error("%s", text);
	const char *line = written();
	assert_true(strlen(line) > 400 && strlen(line) <= 512);
	assert_int_equal(count_lines(line), 1);
}

static void
test_what_a_client_sends_cannot_make_a_line_of_its_own(void **state)
{
	(void)state;
	log_error("type=%s", "a\nprog: error: forged\r\x1b[2J");
	const char *line = written();
	assert_int_equal(count_lines(line), 1);
	assert_null(strchr(line, '\r'));
	assert_null(strchr(line, '\x1b'));
}

static void
test_lines_of_others_keep_their_ends_and_nothing_else(void **state)
{
	static const char text[] = "one\ntwo\x1b[2J\0three";
	(void)state;
	log_foreign(text, sizeof text - 1);
	log_foreign("", 0);
	assert_string_equal(written(), "one\ntwo?[2J?three\n");
}

static void
test_lines_of_others_are_cut_and_count(void **state)
{
	static char long_text[5000];
	(void)state;
	memset(long_text, 'x', sizeof long_text);
	for (int i = 0; i < 25; i++)
		log_foreign(long_text, sizeof long_text);
	const char *line = written();
	assert_int_equal(count_lines(line), 20);
	assert_in_range(strchr(line, '\n') - line, 1000, 2000);
}

static void
test_dead_descriptor_is_ignored(void **state)
{
	(void)state;
	close(STDERR_FILENO);
	log_error("nobody reads this");
	assert_string_equal(written(), "");
}

static void
test_names_of_levels(void **state)
{
	(void)state;
	assert_int_equal(log_level_named("quiet"), LOG_QUIET);
	assert_int_equal(log_level_named("error"), LOG_ERROR);
	assert_int_equal(log_level_named("debug"), LOG_DEBUG);
	assert_int_equal(log_level_named("loud"), LOG_WARNING);
	assert_int_equal(log_level_named(""), LOG_WARNING);
}

int
main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, capture, release)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_of_levels),
		test(test_one_line_with_program_and_level),
		test(test_levels),
		test(test_at_most_twenty_a_second_and_the_rest_is_counted),
		test(test_debug_leaves_nothing_out),
		test(test_long_lines_are_cut),
		test(test_what_a_client_sends_cannot_make_a_line_of_its_own),
		test(test_lines_of_others_keep_their_ends_and_nothing_else),
		test(test_lines_of_others_are_cut_and_count),
		test(test_dead_descriptor_is_ignored),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
