/* SPDX-License-Identifier: BSD-3-Clause */
#include "front/inquiry.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "front/environment.h"
#include "front/interpreter.h"
#include "front/nursery.h"

union reply {
	struct nursery_answer answer;
	struct nursery_status status;
};

/* The nursery's word on itself. Bytes received; 0: it had none to say in time. */
static size_t
ask(int connection, union reply *ret)
{
	struct nursery_request request = { .magic = NURSERY_MAGIC,
					   .version = NURSERY_VERSION,
					   .op = NURSERY_STATUS,
					   .id = 1,
					   .build = NURSERY_BUILD };
	if (send(connection, &request, sizeof request, MSG_NOSIGNAL) != (ssize_t)sizeof request ||
	    fd_wait_readable(connection, ASK_STATUS_MS) <= 0)
		return 0;
	ssize_t n = recv(connection, ret, sizeof *ret, MSG_DONTWAIT);
	return n > 0 ? (size_t)n : 0;
}

static bool
is_same(const struct nursery_interpreter *a, const struct nursery_interpreter *b)
{
	return memcmp(a, b, sizeof *a) == 0;
}

/* Whether one of its warm Pythons would do. */
static unsigned
judge_templates(const struct nursery_status *status, const struct nursery_interpreter *python)
{
	unsigned reason = NURSERY_NOT_READY;
	for (uint32_t i = 0; i < status->template_count && i < NURSERY_TEMPLATES_MAX; i++) {
		const struct nursery_template_status *template = &status->templates[i];
		if (template->state != NURSERY_TEMPLATE_READY)
			continue;
		if (is_same(&template->python, python))
			return NURSERY_OK;
		reason = NURSERY_OTHER_PYTHON;
	}
	return reason;
}

static unsigned
judge(int connection, union reply *reply, const struct nursery_interpreter *python)
{
	size_t size = ask(connection, reply);
	if (size < sizeof reply->answer)
		return NURSERY_NO_ANSWER;
	if (reply->answer.magic != NURSERY_MAGIC || reply->answer.version != NURSERY_VERSION)
		return NURSERY_BAD_BUILD;
	if (size == sizeof reply->answer && reply->answer.op == NURSERY_REFUSED)
		return reply->answer.reason;
	if (size != sizeof reply->status || reply->status.op != NURSERY_STATUS)
		return NURSERY_NO_ANSWER;
	return reply->status.draining ? NURSERY_DRAINING : judge_templates(&reply->status, python);
}

/* Whose kernels: by name, where the number has one. */
static const char *
whose(void)
{
	static char number[16];
	const struct passwd *user = getpwuid(geteuid());
	snprintf(number, sizeof number, "%u", geteuid());
	return user == NULL ? number : user->pw_name;
}

/* How it went so far: it may refuse for what cannot be asked about. */
static void
say_yes(const char *place, const struct nursery_status *status)
{
	unsigned most = 0;
	for (unsigned i = 1; i < NURSERY_REASON_COUNT; i++) {
		if (status->refused[i] > status->refused[most])
			most = i;
	}
	printf("yes: kernels of %s come from the nursery at %s: %llu now, %llu so far, %llu refused", whose(), place,
	       (unsigned long long)status->live, (unsigned long long)status->forks,
	       (unsigned long long)status->refusals);
	if (most != 0)
		printf(" (most often: %s)", nursery_reason_text(most));
	putchar('\n');
}

/* `detail` goes behind the reason. */
static void
say_no(const char *reason, const char *detail)
{
	printf("no: kernels of %s start the ordinary way: %s%s\n", whose(), reason, detail);
}

/* Ask one place. False: nobody is there. */
static bool
visit(const struct sockaddr_un *place, const struct nursery_interpreter *python, unsigned *ret_reason)
{
	union reply reply = { 0 };
	char at[sizeof place->sun_path + 32];
	FD_AUTO connection = nursery_connect(place);
	if (connection < 0 && errno == EPERM)
		*ret_reason = NURSERY_NOT_ALLOWED;
	else if (connection < 0 && errno == EAGAIN)
		*ret_reason = NURSERY_NO_ANSWER;
	else if (connection < 0)
		return false;
	else
		*ret_reason = judge(connection, &reply, python);
	snprintf(at, sizeof at, " (the nursery at %s)", place->sun_path);
	if (*ret_reason == NURSERY_OK)
		say_yes(place->sun_path, &reply.status);
	else
		say_no(nursery_reason_text(*ret_reason), at);
	return true;
}

/* What needs no nursery to be known. False after saying it. */
static bool
look_at_ourselves(const char *option, struct nursery_interpreter *ret)
{
	char python[PATH_MAX], path[PATH_MAX];
	struct environment environment;
	struct err e = ERR_INIT;
	if (interpreter_find(option, python, &e) < 0 || interpreter_locate(python, path) < 0 ||
	    nursery_interpreter_of(path, ret) < 0 || environment_make(&environment, python, &e) < 0) {
		say_no(err_is_set(&e) ? e.text : "there is no Python interpreter", "");
		return false;
	}
	const char *obstacle = environment_obstacle(environment.list);
	if (obstacle != NULL)
		say_no(obstacle, " is set, and a copied Python cannot follow it. Unset it where Jupyter starts");
	environment_free(&environment);
	return obstacle == NULL;
}

bool
inquiry_run(const char *option)
{
	struct nursery_interpreter python;
	struct sockaddr_un place;
	unsigned reason;
	if (!look_at_ourselves(option, &python))
		return false;
	for (int i = 0, found; (found = nursery_place(i, &place)) >= 0; i++) {
		if (found > 0 && visit(&place, &python, &reason))
			return reason == NURSERY_OK;
	}
	say_no(nursery_reason_text(NURSERY_NO_NURSERY), "");
	return false;
}
