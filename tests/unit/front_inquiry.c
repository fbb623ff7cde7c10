/* SPDX-License-Identifier: BSD-3-Clause
 *
 * pupitre-kernel --ask-nursery, asked of a process of this test.
 */
#include "unit.h"

#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "front/inquiry.h"
#include "front/nursery.h"

#define PYTHON "/bin/sh"

static char dir[32], path[64], line[1024];
static struct nursery_status status;

static int
set_up(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/pupitre-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof path, "%s/s", dir);
	clearenv();
	setenv("PATH", "/usr/bin:/bin", 1);
	setenv(NURSERY_SOCKET_VARIABLE, path, 1);
	status = (struct nursery_status){
		.magic = NURSERY_MAGIC, .version = NURSERY_VERSION, .op = NURSERY_STATUS, .id = 1, .template_count = 1
	};
	status.templates[0].state = NURSERY_TEMPLATE_READY;
	return nursery_interpreter_of(PYTHON, &status.templates[0].python);
}

static int
tear_down(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(dir);
}

/* In a process of its own: take one request and answer with these bytes. */
static pid_t
listen_and_answer(const void *bytes, size_t size)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	strcpy(address.sun_path, path);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(listener, 1), 0);
	pid_t pid = fork();
	if (pid != 0) {
		close(listener);
		return pid;
	}
	struct nursery_request request;
	int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	bool good = recv(connection, &request, sizeof request, 0) == (ssize_t)sizeof request &&
		    request.magic == NURSERY_MAGIC && request.op == NURSERY_STATUS &&
		    strcmp(request.build, NURSERY_BUILD) == 0;
	if (good && size > 0)
		send(connection, bytes, size, MSG_NOSIGNAL);
	_exit(!good);
}

/* What is printed, into `line`. */
static bool
inquire(void)
{
	char file[64];
	snprintf(file, sizeof file, "%s/out", dir);
	fflush(stdout);
	int saved = dup(STDOUT_FILENO), out = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	dup2(out, STDOUT_FILENO);
	bool would = inquiry_run(PYTHON);
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	ssize_t n = pread(out, line, sizeof line - 1, 0);
	line[n > 0 ? n : 0] = '\0';
	close(saved);
	close(out);
	unlink(file);
	return would;
}

/* Ask whoever answers with these bytes: whether it would, and yes or no, with `what`. */
static void
assert_says(const void *bytes, size_t size, bool wanted, const char *what)
{
	char text[512];
	int child_status;
	pid_t pid = listen_and_answer(bytes, size);
	assert_int_equal(inquire(), wanted);
	const char *user = getpwuid(geteuid())->pw_name;
	if (wanted)
		snprintf(text, sizeof text, "yes: kernels of %s come from the nursery at %s: %s\n", user, path, what);
	else
		snprintf(text, sizeof text, "no: kernels of %s start the ordinary way: %s (the nursery at %s)\n", user,
			 what, path);
	assert_string_equal(line, text);
	assert_int_equal(waitpid(pid, &child_status, 0), pid);
	assert_int_equal(child_status, 0);
	unlink(path);
}

static void
test_ready(void **state)
{
	(void)state;
	status.live = 2;
	status.forks = 30;
	assert_says(&status, sizeof status, true, "2 now, 30 so far, 0 refused");
	status.refusals = 4;
	status.refused[NURSERY_FULL] = 1;
	status.refused[NURSERY_SECCOMP] = 3;
	assert_says(&status, sizeof status, true,
		    "2 now, 30 so far, 4 refused (most often: the kernel is under a seccomp filter "
		    "that the nursery is not under)");
}

static void
test_second_template(void **state)
{
	(void)state;
	status.template_count = 2;
	status.templates[1] = status.templates[0];
	status.templates[0].python.program_ino++;
	assert_says(&status, sizeof status, true, "0 now, 0 so far, 0 refused");
}

static void
test_not_for_us(void **state)
{
	(void)state;
	status.templates[0].python.dir_ino++;
	assert_says(&status, sizeof status, false, nursery_reason_text(NURSERY_OTHER_PYTHON));
	status.templates[0].state = NURSERY_TEMPLATE_BUILDING;
	assert_says(&status, sizeof status, false, nursery_reason_text(NURSERY_NOT_READY));
	status.template_count = 0;
	assert_says(&status, sizeof status, false, nursery_reason_text(NURSERY_NOT_READY));
	status.draining = 1;
	assert_says(&status, sizeof status, false, nursery_reason_text(NURSERY_DRAINING));
}

static void
test_more_templates_than_there_can_be(void **state)
{
	(void)state;
	status.template_count = 1u << 30;
	status.templates[0].state = NURSERY_TEMPLATE_UNFIT;
	assert_says(&status, sizeof status, false, nursery_reason_text(NURSERY_NOT_READY));
}

static void
test_refused(void **state)
{
	(void)state;
	struct nursery_answer refused = {
		.magic = NURSERY_MAGIC, .version = NURSERY_VERSION, .op = NURSERY_REFUSED, .reason = NURSERY_NOT_ALLOWED
	};
	assert_says(&refused, sizeof refused, false, nursery_reason_text(NURSERY_NOT_ALLOWED));
	refused.reason = 9999;
	assert_says(&refused, sizeof refused, false, "an unknown reason");
	refused.version++;
	assert_says(&refused, sizeof refused, false, nursery_reason_text(NURSERY_BAD_BUILD));
}

static void
test_nonsense(void **state)
{
	(void)state;
	assert_says("", 0, false, nursery_reason_text(NURSERY_NO_ANSWER));
	assert_says("what?", 5, false, nursery_reason_text(NURSERY_NO_ANSWER));
	assert_says(&status, sizeof status - 1, false, nursery_reason_text(NURSERY_NO_ANSWER));
	status.op = NURSERY_DONE;
	assert_says(&status, sizeof status, false, nursery_reason_text(NURSERY_NO_ANSWER));
}

static void
test_without_asking(void **state)
{
	(void)state;
	assert_false(inquire());
	assert_non_null(strstr(line, " start the ordinary way: no nursery listens\n"));
	setenv("PYTHONHASHSEED", "5", 1);
	assert_false(inquire());
	assert_non_null(strstr(line,
			       " start the ordinary way: PYTHONHASHSEED=5 is set, and a copied Python cannot follow "
			       "it. Unset it where Jupyter starts\n"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ready, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_second_template, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_not_for_us, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_more_templates_than_there_can_be, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nonsense, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_without_asking, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
