/* SPDX-License-Identifier: BSD-3-Clause */
#include "front/nursery.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "front/interpreter.h"
#include "front/payload.h"
#include "nursery/datagram.h"

#define PLACES 4  /* where a nursery may be, if nobody names it */
#define FDS_MAX 4 /* descriptors taken from one answer; one is right */

/* Of those that are not named, as kernel/pupitre/nursery/places.py has them. The length, as snprintf; 0: there is no such place. */
static int
write_place(int i, char *ret, size_t size)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR"), *home = getenv("HOME");
	struct utsname machine;
	switch (i) {
	case 0: return runtime == NULL || *runtime != '/' ? 0 : snprintf(ret, size, "%s/" NURSERY_SOCKET, runtime);
	case 1: return snprintf(ret, size, NURSERY_RUNTIME_FOLDERS "%u/" NURSERY_SOCKET, (unsigned)geteuid());
	case 2:
		if (home == NULL || *home != '/' || uname(&machine) < 0)
			return 0;
		return snprintf(ret, size, "%s/" NURSERY_HOME_SOCKET "%s.sock", home, machine.nodename);
	default: return snprintf(ret, size, NURSERY_SYSTEM_SOCKET);
	}
}

int
nursery_place(int i, struct sockaddr_un *ret)
{
	const char *named = getenv(NURSERY_SOCKET_VARIABLE);
	struct sockaddr_un place = { .sun_family = AF_UNIX };
	int size = 0;
	if (i >= (named != NULL ? 1 : PLACES))
		return -1;
	if (named == NULL)
		size = write_place(i, place.sun_path, sizeof place.sun_path);
	else if (strcmp(named, "off") != 0)
		size = snprintf(place.sun_path, sizeof place.sun_path, "%s", named);
	if (size <= 0 || (size_t)size >= sizeof place.sun_path)
		return 0;
	*ret = place;
	return 1;
}

/* Our request carries an environment: only root and we ourselves may be its reader. */
static bool
is_trusted(int connection)
{
	struct ucred peer;
	socklen_t size = sizeof peer;
	if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return false;
	return peer.uid == 0 || peer.uid == geteuid();
}

int
nursery_connect(const struct sockaddr_un *place)
{
	int connection = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (connection < 0)
		return -1;
	if (connect(connection, (const struct sockaddr *)place, sizeof *place) < 0) {
		fd_close(&connection);
	} else if (!is_trusted(connection)) {
		log_info("event=distrust reason=\"the nursery's socket is somebody else's\"");
		fd_close(&connection);
		errno = EPERM;
	}
	return connection;
}

static bool
send_start(const struct nursery *n)
{
	struct nursery_request request = { .magic = NURSERY_MAGIC,
					   .version = NURSERY_VERSION,
					   .op = NURSERY_START,
					   .id = n->id,
					   .build = NURSERY_BUILD,
					   .python = n->python,
					   .kernel = { n->kernel[0], n->kernel[1] } };
	return datagram_send(n->connection, &request, sizeof request, n->fds, NURSERY_FD_COUNT) == 0;
}

static void
enter(struct nursery *n, enum ask_stage stage, int deadline_ms)
{
	n->stage = stage;
	n->retry_ms = 0;
	n->deadline_ms = deadline_ms == 0 ? 0 : clock_ms() + deadline_ms;
}

/* Send START to the first place from n->place on that takes it. */
static void
ask_somebody(struct nursery *n)
{
	struct sockaddr_un place;
	for (int found; (found = nursery_place(n->place, &place)) >= 0; n->place++) {
		fd_close(&n->connection);
		n->connection = found > 0 ? nursery_connect(&place) : -1;
		if (n->connection >= 0 && send_start(n)) {
			enter(n, ASK_SENT, ASK_QUEUED_MS);
			return;
		}
		if (found == 0 || n->connection >= 0 || errno != EAGAIN)
			continue;
		if (n->stage != ASK_CONNECTING)
			enter(n, ASK_CONNECTING, ASK_CONNECT_MS);
		n->retry_ms = clock_ms() + ASK_CONNECT_RETRY_MS;
		if (clock_ms() < n->deadline_ms)
			return;
		n->stage = ASK_NONE; /* the next place has a deadline of its own */
		n->reason = NURSERY_NO_ANSWER;
	}
	nursery_lose(n, n->reason != NURSERY_OK ? n->reason : NURSERY_NO_NURSERY);
}

/* What goes with START. True, or false with n->reason; what was made until then stays in n. */
static bool
pack(struct nursery *n, const char *python)
{
	char path[PATH_MAX];
	struct environment environment;
	struct err e = ERR_INIT;
	n->reason = NURSERY_OTHER_PYTHON;
	if (interpreter_locate(python, path) < 0 || nursery_interpreter_of(path, &n->python) < 0)
		return false;
	n->reason = NURSERY_ENVIRONMENT;
	if (environment_make(&environment, python, &e) < 0)
		return false;
	const char *obstacle = environment_obstacle(environment.list);
	if (obstacle != NULL)
		log_info("event=obstacle variable=%.*s", (int)strcspn(obstacle, "="), obstacle);
	else
		n->fds[NURSERY_FD_PAYLOAD] = payload_make(&environment, &e);
	environment_free(&environment);
	if (n->fds[NURSERY_FD_PAYLOAD] < 0)
		return false;
	n->reason = NURSERY_PLACEMENT;
	n->fds[NURSERY_FD_CWD] = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (n->fds[NURSERY_FD_CWD] < 0 || getrandom(&n->id, sizeof n->id, 0) != (ssize_t)sizeof n->id)
		return false;
	n->reason = NURSERY_OK;
	return true;
}

/* Whether any place is worth packing for. Costs a few failing system calls where there is none. */
static bool
anybody(void)
{
	struct sockaddr_un place;
	for (int i = 0, found; (found = nursery_place(i, &place)) >= 0; i++) {
		if (found > 0 && access(place.sun_path, F_OK) == 0)
			return true;
	}
	return false;
}

bool
nursery_begin(struct nursery *n, struct ends *ends, const char *python)
{
	struct nursery fresh = NURSERY_INIT;
	memcpy(fresh.kernel, n->kernel, sizeof fresh.kernel);
	*n = fresh;
	if (!anybody()) {
		n->reason = NURSERY_NO_NURSERY;
		return false;
	}
	if (pack(n, python)) {
		memcpy(n->fds, ends->fds, sizeof ends->fds);
		ask_somebody(n);
		if (n->stage != ASK_LOST) {
			*ends = ENDS_INIT;
			return true;
		}
		for (int i = 0; i < ENDS_COUNT; i++)
			n->fds[i] = -1; /* they are the caller's again */
	}
	nursery_close(n);
	n->stage = ASK_NONE;
	return false;
}

static void
release_fds(struct nursery *n)
{
	for (int i = 0; i < NURSERY_FD_COUNT; i++)
		fd_close(&n->fds[i]);
}

void
nursery_close(struct nursery *n)
{
	fd_close(&n->connection);
	release_fds(n);
}

void
nursery_lose(struct nursery *n, unsigned reason)
{
	if (n->stage == ASK_DONE || n->stage == ASK_LOST)
		return;
	enter(n, ASK_LOST, 0);
	n->reason = reason;
	fd_close(&n->connection);
}

/* Whether fd is a pidfd of this process. */
static bool
is_pidfd_of(int fd, pid_t pid)
{
	char path[48], line[128];
	long found = -1;
	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return false;
	while (found < 0 && fgets(line, sizeof line, file) != NULL)
		sscanf(line, "Pid: %ld", &found);
	fclose(file);
	return pid > 0 && found == pid;
}

/* What came from the listener. */
struct letter {
	struct nursery_answer answer; /* zeros: it had another size */
	int pidfd;                    /* owned by whoever reads it; -1: none */
};

static void
on_queued(struct nursery *n, struct worker *w, struct letter *letter)
{
	(void)w, (void)letter;
	enter(n, ASK_QUEUED, ASK_FORKED_MS);
}

/* The worker is there; what it was given is no longer ours. */
static void
on_forked(struct nursery *n, struct worker *w, struct letter *letter)
{
	if (!is_pidfd_of(letter->pidfd, letter->answer.pid)) {
		nursery_lose(n, NURSERY_NO_ANSWER);
		return;
	}
	w->pid = letter->answer.pid;
	w->pidfd = letter->pidfd;
	w->born = true;
	letter->pidfd = -1;
	release_fds(n);
	enter(n, ASK_FORKED, ASK_HELLO_MS);
	n->hold_ms = clock_ms() + ASK_HOLD_MS;
	log_info("event=forked pid=%ld", (long)w->pid);
}

/* There is no worker, nor will there be: somebody else may be asked with the same descriptors. */
static void
on_refused(struct nursery *n, struct worker *w, struct letter *letter)
{
	(void)w;
	n->reason = letter->answer.reason == NURSERY_OK ? NURSERY_NO_ANSWER : letter->answer.reason;
	n->is_known = true;
	if (n->reason == NURSERY_TEMPLATE_DIED) { /* perhaps after it forked: nobody else may get these descriptors */
		nursery_lose(n, n->reason);
		return;
	}
	n->place++;
	ask_somebody(n);
}

/* It was forked, but could not become what it was to be. */
static void
on_stillborn(struct nursery *n, struct worker *w, struct letter *letter)
{
	(void)w;
	nursery_lose(n, letter->answer.reason);
}

static void
on_changed(struct nursery *n, struct worker *w, struct letter *letter)
{
	(void)n;
	if (letter->answer.pid != w->pid)
		return;
	w->used_us = letter->answer.user_us + letter->answer.system_us;
	w->peak_kib = letter->answer.peak_kib;
	worker_tell(w, letter->answer.status);
}

#define STAGE(stage) (1u << (stage))

static const struct handler {
	enum nursery_op op;
	unsigned stages; /* in which it may come */
	void (*run)(struct nursery *n, struct worker *w, struct letter *letter);
} handlers[] = {
	{ NURSERY_QUEUED, STAGE(ASK_SENT), on_queued },
	{ NURSERY_FORKED, STAGE(ASK_SENT) | STAGE(ASK_QUEUED), on_forked },
	{ NURSERY_REFUSED, STAGE(ASK_SENT) | STAGE(ASK_QUEUED), on_refused },
	{ NURSERY_REFUSED, STAGE(ASK_FORKED), on_stillborn },
	{ NURSERY_CHANGED, STAGE(ASK_FORKED) | STAGE(ASK_DONE), on_changed },
};

static const struct handler *
find(const struct nursery *n, const struct nursery_answer *answer)
{
	if (answer->magic != NURSERY_MAGIC || answer->version != NURSERY_VERSION || answer->id != n->id)
		return NULL;
	for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++) {
		if (handlers[i].op == answer->op && (handlers[i].stages & STAGE(n->stage)))
			return &handlers[i];
	}
	return NULL;
}

/* 1, 0 when none waits, -1 when there will be none. */
static int
receive(int connection, struct letter *ret)
{
	struct datagram d;
	int got = datagram_receive(connection, &ret->answer, sizeof ret->answer, &d);
	ret->pidfd = -1;
	if (got <= 0)
		return got < 0 ? 0 : -1;
	if (d.size != sizeof ret->answer || d.fd_count > FDS_MAX)
		ret->answer = (struct nursery_answer){ 0 };
	if (d.fd_count == 1) /* a lone descriptor is the worker's pidfd */
		ret->pidfd = d.fds[--d.fd_count];
	datagram_close(&d);
	return 1;
}

static void
on_nonsense(struct nursery *n, const struct nursery_answer *answer)
{
	log_info("event=nonsense from=nursery op=%u stage=%d", answer->op, (int)n->stage);
	nursery_lose(n, NURSERY_NO_ANSWER);
}

/* A worker that is there can do without a listener, which may be about to come back. */
static void
on_hang_up(struct nursery *n)
{
	fd_close(&n->connection);
	if (n->stage != ASK_FORKED)
		nursery_lose(n, NURSERY_NO_ANSWER);
}

void
nursery_serve(struct nursery *n, struct worker *w)
{
	struct letter letter;
	int got = 1;
	while (n->connection >= 0 && got > 0) {
		got = receive(n->connection, &letter);
		const struct handler *handler = got > 0 ? find(n, &letter.answer) : NULL;
		if (handler != NULL)
			handler->run(n, w, &letter);
		else if (got > 0)
			on_nonsense(n, &letter.answer);
		else if (got < 0)
			on_hang_up(n);
		fd_close(&letter.pidfd);
	}
}

long long
nursery_due(const struct nursery *n)
{
	if (n->retry_ms != 0 && n->retry_ms < n->deadline_ms)
		return n->retry_ms;
	return nursery_holds_text(n) && n->stage == ASK_FORKED ? n->hold_ms : n->deadline_ms;
}

void
nursery_tick(struct nursery *n)
{
	long long now = clock_ms();
	if (n->stage == ASK_CONNECTING && now >= n->retry_ms)
		ask_somebody(n);
	else if (n->deadline_ms != 0 && now >= n->deadline_ms)
		nursery_lose(n, NURSERY_NO_ANSWER);
}

void
nursery_hello(struct nursery *n)
{
	if (n->stage == ASK_FORKED)
		enter(n, ASK_DONE, 0);
}

bool
nursery_is_expecting(const struct nursery *n)
{
	return n->stage == ASK_CONNECTING || n->stage == ASK_SENT || n->stage == ASK_QUEUED;
}

bool
nursery_holds_text(const struct nursery *n)
{
	return nursery_is_expecting(n) || (n->stage == ASK_FORKED && clock_ms() < n->hold_ms);
}
