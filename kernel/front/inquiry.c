/* SPDX-License-Identifier: BSD-3-Clause */
#include "front/inquiry.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "front/environment.h"
#include "front/interpreter.h"
#include "front/nursery.h"

#define WHAT_SIZE 512

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

/* What it refused so far: requests may fail for what cannot be asked about. */
static void
tell_refusals(const struct nursery_status *status, char *what, size_t size)
{
	unsigned most = 0;
	for (unsigned i = 1; i < NURSERY_REASON_COUNT; i++) {
		if (status->refused[i] > status->refused[most])
			most = i;
	}
	snprintf(what, size, "ready; kernels now: %llu, started: %llu, refused: %llu", (unsigned long long)status->live,
		 (unsigned long long)status->forks, (unsigned long long)status->refusals);
	size_t used = strlen(what);
	if (most != 0)
		snprintf(what + used, size - used, " (most often: %s)", nursery_reason_text(most));
}

/* Ask one place. False: nobody is there. */
static bool
visit(const struct sockaddr_un *place, const struct nursery_interpreter *python, unsigned *ret_reason,
      char what[WHAT_SIZE])
{
	union reply reply = { 0 };
	FD_AUTO connection = nursery_connect(place);
	if (connection < 0 && errno == EPERM)
		*ret_reason = NURSERY_NOT_ALLOWED;
	else if (connection < 0 && errno == EAGAIN)
		*ret_reason = NURSERY_NO_ANSWER;
	else if (connection < 0)
		return false;
	else
		*ret_reason = judge(connection, &reply, python);
	if (*ret_reason == NURSERY_OK)
		tell_refusals(&reply.status, what, WHAT_SIZE);
	else
		snprintf(what, WHAT_SIZE, "%s", nursery_reason_text(*ret_reason));
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
		printf("nursery: none: %s\n", err_is_set(&e) ? e.text : "there is no Python interpreter");
		return false;
	}
	const char *obstacle = environment_obstacle(environment.list);
	if (obstacle != NULL)
		printf("nursery: none: %s: %s\n", nursery_reason_text(NURSERY_ENVIRONMENT), obstacle);
	environment_free(&environment);
	return obstacle == NULL;
}

bool
inquiry_run(const char *option)
{
	struct nursery_interpreter python;
	struct sockaddr_un place;
	char what[WHAT_SIZE];
	unsigned reason;
	if (!look_at_ourselves(option, &python))
		return false;
	for (int i = 0, found; (found = nursery_place(i, &place)) >= 0; i++) {
		if (found > 0 && visit(&place, &python, &reason, what)) {
			printf("nursery: %s: %s\n", place.sun_path, what);
			return reason == NURSERY_OK;
		}
	}
	printf("nursery: none: %s\n", nursery_reason_text(NURSERY_NO_NURSERY));
	return false;
}
