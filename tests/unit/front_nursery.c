/* SPDX-License-Identifier: BSD-3-Clause
 *
 * kernel/front/nursery.c: whom it asks, and what.
 */
#include <sys/utsname.h>

#include "midwife.h"

static void
assert_never_begun(unsigned reason)
{
	assert_false(nursery_begin(&t.nursery, &t.ends, PYTHON));
	assert_int_equal(t.nursery.stage, ASK_NONE);
	assert_int_equal(t.nursery.reason, reason);
	assert_int_equal(t.nursery.connection, -1);
	for (int i = 0; i < NURSERY_FD_COUNT; i++)
		assert_int_equal(t.nursery.fds[i], -1);
	for (int i = 0; i < ENDS_COUNT; i++)
		assert_true(fcntl(t.ends.fds[i], F_GETFD) >= 0);
}

/* --- places --- */

static void
test_places(void **state)
{
	(void)state;
	struct sockaddr_un place;
	char path[200];
	assert_int_equal(nursery_place(0, &place), 1);
	assert_string_equal(place.sun_path, t.place.sun_path);
	assert_int_equal(nursery_place(1, &place), -1);
	static const char *const nowhere[] = { "", "off" };
	for (size_t i = 0; i < 2; i++) {
		setenv(NURSERY_SOCKET_VARIABLE, nowhere[i], 1);
		assert_int_equal(nursery_place(0, &place), 0);
		assert_int_equal(nursery_place(1, &place), -1);
	}
	memset(path, 'x', sizeof path);
	path[sizeof path - 1] = '\0';
	setenv(NURSERY_SOCKET_VARIABLE, path, 1);
	assert_int_equal(nursery_place(0, &place), 0);
}

static void
assert_place(int i, const char *path)
{
	struct sockaddr_un place;
	assert_int_equal(nursery_place(i, &place), 1);
	assert_string_equal(place.sun_path, path);
}

static void
test_places_by_default(void **state)
{
	(void)state;
	struct sockaddr_un place;
	struct utsname machine;
	char path[200];
	unsetenv(NURSERY_SOCKET_VARIABLE);
	unsetenv("XDG_RUNTIME_DIR");
	unsetenv("HOME");
	assert_int_equal(nursery_place(0, &place), 0);
	assert_int_equal(nursery_place(2, &place), 0);
	setenv("XDG_RUNTIME_DIR", "relative", 1);
	setenv("HOME", "relative", 1);
	assert_int_equal(nursery_place(0, &place), 0);
	assert_int_equal(nursery_place(2, &place), 0);
	setenv("XDG_RUNTIME_DIR", "/run/somewhere", 1);
	setenv("HOME", "/home/ada", 1);
	assert_place(0, "/run/somewhere/pupitre/nursery.sock");
	snprintf(path, sizeof path, "/run/user/%u/pupitre/nursery.sock", (unsigned)geteuid());
	assert_place(1, path);
	assert_int_equal(uname(&machine), 0);
	snprintf(path, sizeof path, "/home/ada/.local/state/pupitre/nursery-%s.sock", machine.nodename);
	assert_place(2, path);
	assert_place(3, "/run/pupitre/nursery.sock");
	assert_int_equal(nursery_place(4, &place), -1);
	memset(path, 'x', sizeof path);
	path[0] = '/';
	path[sizeof path - 1] = '\0';
	setenv("HOME", path, 1);
	assert_int_equal(nursery_place(2, &place), 0);
}

/* --- before anything is sent --- */

static void
test_no_socket(void **state)
{
	(void)state;
	assert_never_begun(NURSERY_NO_NURSERY);
}

static void
test_nobody_listens(void **state)
{
	(void)state;
	int fd = listen_at(t.place.sun_path, 1);
	fd_close(&fd);
	assert_never_begun(NURSERY_NO_NURSERY);
}

static void
test_somebody_elses_socket(void **state)
{
	(void)state;
	t.listener = listen_at(t.place.sun_path, 4);
	peer_uid = geteuid() + 1;
	assert_never_begun(NURSERY_NO_NURSERY);
	t.connection = accept4(t.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	char byte;
	assert_int_equal(recv(t.connection, &byte, 1, 0), 0); /* and not a word was said */
}

static void
test_roots_socket(void **state)
{
	(void)state;
	peer_uid = 0;
	begin();
}

static void
test_environment_stands_in_the_way(void **state)
{
	(void)state;
	t.listener = listen_at(t.place.sun_path, 4);
	setenv("PYTHONHASHSEED", "0", 1);
	assert_never_begun(NURSERY_ENVIRONMENT);
	assert_int_equal(accept4(t.listener, NULL, NULL, 0), -1);
}

static void
test_no_such_python(void **state)
{
	(void)state;
	t.listener = listen_at(t.place.sun_path, 4);
	assert_false(nursery_begin(&t.nursery, &t.ends, "no-such-python"));
	assert_int_equal(t.nursery.reason, NURSERY_OTHER_PYTHON);
}

/* --- the request --- */

static void
test_request(void **state)
{
	(void)state;
	struct nursery_interpreter python;
	struct stat given, own;
	begin();
	assert_int_equal(t.request.magic, NURSERY_MAGIC);
	assert_int_equal(t.request.version, NURSERY_VERSION);
	assert_int_equal(t.request.op, NURSERY_START);
	assert_true(t.request.id != 0);
	assert_string_equal(t.request.build, NURSERY_BUILD);
	assert_int_equal(nursery_interpreter_of(PYTHON, &python), 0);
	assert_memory_equal(&t.request.python, &python, sizeof python);
	assert_memory_equal(&t.request.note, &(struct nursery_note){ 0 }, sizeof t.request.note);
	assert_int_equal(t.fd_count, NURSERY_FD_COUNT);
	assert_int_equal(fstat(t.fds[NURSERY_FD_CWD], &given), 0);
	assert_int_equal(stat(".", &own), 0);
	assert_true(given.st_ino == own.st_ino && given.st_dev == own.st_dev);
	assert_int_equal(write(t.fds[NURSERY_FD_OUT], "x", 1), 1);
	char byte = 0;
	assert_int_equal(read(t.worker.pipes[0], &byte, 1), 1);
	assert_int_equal(byte, 'x');
	for (int i = 0; i < ENDS_COUNT; i++)
		assert_int_equal(t.ends.fds[i], -1);
}

static void
test_payload(void **state)
{
	(void)state;
	struct nursery_payload header;
	struct stat st;
	char text[4096];
	setenv("PUPITRE_PYTHON", "/somewhere/else", 1);
	setenv("EMPTY", "", 1);
	mode_t before = umask(027);
	begin();
	assert_int_equal(umask(before), 027);
	int fd = t.fds[NURSERY_FD_PAYLOAD];
	assert_int_equal(fcntl(fd, F_GET_SEALS), F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	assert_int_equal(pread(fd, &header, sizeof header, 0), sizeof header);
	assert_int_equal(header.magic, NURSERY_MAGIC);
	assert_int_equal(header.version, NURSERY_VERSION);
	assert_int_equal(header.umask, 027);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, sizeof header + header.size);
	assert_int_equal(pread(fd, text, sizeof text, sizeof header), header.size);
	uint32_t count = 0;
	bool python = false, empty = false;
	for (const char *at = text; at < text + header.size; at += strlen(at) + 1, count++) {
		assert_string_not_equal(at, "PUPITRE_PYTHON=/somewhere/else");
		python = python || strcmp(at, "PUPITRE_PYTHON=" PYTHON) == 0;
		empty = empty || strcmp(at, "EMPTY=") == 0;
	}
	assert_int_equal(count, header.count);
	assert_true(python && empty);
}

static void
test_directory_that_is_gone(void **state)
{
	(void)state;
	char dir[] = "/tmp/pupitre-XXXXXX";
	FD_AUTO back = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(rmdir(dir), 0);
	begin();
	assert_int_equal(fchdir(back), 0);
	assert_int_equal(t.fd_count, NURSERY_FD_COUNT);
}

/* --- a listener that has too much to do --- */

static int waiting[64]; /* connections nobody accepts */

static size_t
fill_backlog(void)
{
	size_t count = 0;
	while (count < 64) {
		waiting[count] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		int result = connect(waiting[count++], (struct sockaddr *)&t.place, sizeof t.place);
		if (result < 0)
			return count;
	}
	fail_msg("a backlog without end");
	return count;
}

static void
empty_backlog(size_t count)
{
	for (int fd; (fd = accept4(t.listener, NULL, NULL, SOCK_CLOEXEC)) >= 0;)
		close(fd);
	for (size_t i = 0; i < count; i++)
		fd_close(&waiting[i]);
}

static void
test_full_backlog(void **state)
{
	(void)state;
	t.listener = listen_at(t.place.sun_path, 0);
	size_t count = fill_backlog();
	assert_true(nursery_begin(&t.nursery, &t.ends, PYTHON));
	assert_int_equal(t.nursery.stage, ASK_CONNECTING);
	assert_int_equal(nursery_due(&t.nursery), now_ms + ASK_CONNECT_RETRY_MS);
	assert_true(nursery_is_expecting(&t.nursery) && nursery_holds_text(&t.nursery));
	nursery_tick(&t.nursery);
	assert_int_equal(t.nursery.stage, ASK_CONNECTING);
	now_ms += ASK_CONNECT_MS - 2 * ASK_CONNECT_RETRY_MS;
	nursery_tick(&t.nursery);
	assert_int_equal(t.nursery.stage, ASK_CONNECTING);
	empty_backlog(count);
	now_ms = nursery_due(&t.nursery);
	nursery_tick(&t.nursery);
	assert_int_equal(t.nursery.stage, ASK_SENT);
}

static void
test_full_backlog_for_too_long(void **state)
{
	(void)state;
	t.listener = listen_at(t.place.sun_path, 0);
	size_t count = fill_backlog();
	assert_true(nursery_begin(&t.nursery, &t.ends, PYTHON));
	now_ms += ASK_CONNECT_MS;
	nursery_tick(&t.nursery);
	assert_lost(NURSERY_NO_ANSWER);
	empty_backlog(count);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_places, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_places_by_default, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_socket, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nobody_listens, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_somebody_elses_socket, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_roots_socket, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_environment_stands_in_the_way, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_such_python, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_request, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_payload, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_directory_that_is_gone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_full_backlog, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_full_backlog_for_too_long, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
