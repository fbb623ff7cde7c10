/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What cases/connection cannot show: limits, round trips, and the fields themselves.
 */
#include "unit.h"

#include "protocol/connection.h"
#include "protocol/limits.h"

static struct connection
parse(const char *text)
{
	struct connection c;
	struct err e = ERR_INIT;
	if (connection_parse(text, strlen(text), &c, &e) < 0)
		fail_msg("%s", e.text);
	return c;
}

static void
test_defaults(void **state)
{
	(void)state;
	struct connection c;
	assert_works(connection_init(&c, &e));
	assert_int_equal(c.transport, TRANSPORT_TCP);
	assert_string_equal(c.ip, "127.0.0.1");
	assert_string_equal(c.signature_scheme, "hmac-sha256");
	assert_string_equal(c.key, "");
	assert_int_equal(c.key_size, 0);
	assert_string_equal(c.kernel_name, "");
	assert_true(connection_same_ports(&c, (int[CHANNEL_COUNT]){ 0 }));
	connection_free(&c);
	assert_null(c.key);
	connection_free(&c);
}

static void
test_key_is_bytes(void **state)
{
	(void)state;
	struct connection c = parse("{\"key\": \"first\", \"key\": \"a0436f6c-1916\\u00e9\"}");
	assert_int_equal(c.key_size, 15);
	assert_string_equal(c.key, "a0436f6c-1916\xC3\xA9");
	connection_free(&c);
}

static void
test_ports_by_channel(void **state)
{
	(void)state;
	struct connection c = parse("{\"shell_port\": 1, \"iopub_port\": 2, \"stdin_port\": 3, \"control_port\": "
				    "\"4\", \"hb_port\": 65535}");
	assert_true(connection_same_ports(&c, (int[]){ 1, 2, 3, 4, 65535 }));
	assert_false(connection_same_ports(&c, (int[]){ 1, 2, 3, 4, 5 }));
	connection_free(&c);
}

/* What is written is read as the same, however often. */
static void
test_writing_is_stable(void **state)
{
	(void)state;
	struct connection c = parse("{\"ip\": \"*\", \"key\": \"k\\\"\", \"hb_port\": 9, \"x\": [1e99, "
				    "-12345678901234, \"\\u0000\"], \"y\":{}}");
	BUF_AUTO first = BUF_INIT;
	BUF_AUTO second = BUF_INIT;
	struct connection again;
	assert_int_equal(connection_write(&c, &first), 0);
	assert_works(connection_parse(first.data, first.size, &again, &e));
	assert_int_equal(connection_write(&again, &second), 0);
	assert_int_equal(first.size, second.size);
	assert_memory_equal(first.data, second.data, first.size);
	assert_int_equal(first.data[first.size - 1], '\n');
	for (size_t room = 0; room < first.size; room++) {
		BUF_AUTO small = BUF_INIT;
		small.maximum = room;
		assert_int_equal(connection_write(&c, &small), -1);
		assert_true(small.failed && small.size == 0);
	}
	connection_free(&c);
	connection_free(&again);
}

static void
test_failure_leaves_the_result_alone(void **state)
{
	(void)state;
	struct connection c, before;
	memset(&c, 0x5a, sizeof c);
	before = c;
	const char *text = "{\"ip\": \"1.2.3.4\", \"rest\": 1, \"key\": 5}";
	assert_fails(connection_parse(text, strlen(text), &c, &e), ERR_INVALID);
	assert_memory_equal(&c, &before, sizeof c);
}

static void
test_size_limit_is_exact(void **state)
{
	(void)state;
	BUF_AUTO b = BUF_INIT;
	struct connection c;
	buf_append_string(&b, "{\"key\": \"\"}");
	while (b.size < LIMIT_CONNECTION_FILE_SIZE)
		buf_append_string(&b, " ");
	assert_works(connection_parse(b.data, b.size, &c, &e));
	connection_free(&c);
	buf_append_string(&b, " ");
	assert_fails(connection_parse(b.data, b.size, &c, &e), ERR_LIMIT);
}

static void
test_ipc_path_limit_is_exact(void **state)
{
	(void)state;
	struct connection c;
	BUF_AUTO b = BUF_INIT;
	char path[106];
	assert_works(connection_init(&c, &e));
	c.transport = TRANSPORT_IPC;
	free(c.ip);
	memset(path, 'x', sizeof path - 1);
	path[sizeof path - 1] = '\0';
	c.ip = path;
	assert_works(connection_endpoint(&c, c.ip, 1, &b, &e));
	assert_int_equal(b.size, strlen("ipc://") + 107);
	assert_string_equal(b.data + b.size - 3, "x-1");
	assert_fails(connection_endpoint(&c, c.ip, 10, &b, &e), ERR_LIMIT);
	assert_int_equal(b.size, strlen("ipc://") + 107);
	c.ip = NULL;
	connection_free(&c);
}

static void
test_no_message_tells_the_key(void **state)
{
	(void)state;
	static const char *const files[] = {
		"{\"key\": \"SECRET",           "{\"key\": [\"SECRET\"]}",
		"{\"key\": \"SECRET\\u0000\"}", "{\"key\": \"SECRET\", \"ip\": 1}",
		"{\"key\": \"SECRET\"} x",      "{\"signature_scheme\": \"SECRET\"}",
		"{\"transport\": \"SECRET\"}",
	};
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		struct err e = ERR_INIT;
		struct connection c;
		assert_int_equal(connection_parse(files[i], strlen(files[i]), &c, &e), -1);
		assert_null(strstr(e.text, "SECRET"));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_key_is_bytes),
		cmocka_unit_test(test_ports_by_channel),
		cmocka_unit_test(test_writing_is_stable),
		cmocka_unit_test(test_failure_leaves_the_result_alone),
		cmocka_unit_test(test_size_limit_is_exact),
		cmocka_unit_test(test_ipc_path_limit_is_exact),
		cmocka_unit_test(test_no_message_tells_the_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
