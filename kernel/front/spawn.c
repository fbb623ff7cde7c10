/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The cold start: pupitre-worker by exec. What the worker is given: 0 /dev/null, 1 and 2 pipes, 3 link, 4 bell, 5 shared memfd,
 * 6 lifeline, 7 memfd for the last words; a session of its own; PUPITRE_PYTHON; no signal ignored, only SIGINT blocked.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "front/worker.h"

#define FIRST_FD 3
#define LINK_BUFFER_SIZE (1 << 20) /* bytes on their way between front and worker */
#define GIVEN_FDS 5                /* link, bell, shared, lifeline, crash at 3..7 */

/* The worker's ends. */
struct ends {
	int out, err;
	int given[GIVEN_FDS];
};

static void
ends_close(struct ends *ends)
{
	fd_close(&ends->out);
	fd_close(&ends->err);
	for (int i = 0; i < GIVEN_FDS; i++)
		fd_close(&ends->given[i]);
}

/* Move a descriptor above those that the child's dup2s will overwrite. */
static int
raise_fd(int *fd, struct err *e)
{
	int high = fcntl(*fd, F_DUPFD_CLOEXEC, FIRST_FD + GIVEN_FDS);
	if (high < 0)
		return err_system(e, "duplicating a descriptor");
	fd_close(fd);
	*fd = high;
	return 0;
}

/* Large displays cross in fewer turns. As much as the system grants; the default does as well. */
static void
widen(int link)
{
	int size = LINK_BUFFER_SIZE;
	if (setsockopt(link, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) < 0)
		setsockopt(link, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

static int
make_ends(struct worker *w, struct ends *ends, struct err *e)
{
	int out[2] = { -1, -1 }, error[2] = { -1, -1 }, link[2] = { -1, -1 }, life[2] = { -1, -1 };
	bool made = pipe2(out, O_CLOEXEC) == 0 && pipe2(error, O_CLOEXEC) == 0 &&
		    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link) == 0 &&
		    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, life) == 0;
	w->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int shared = -1;
	w->pipes[0] = out[0];
	w->pipes[1] = error[0];
	w->link = link[0];
	w->lifeline = life[0];
	*ends = (struct ends){ .out = out[1], .err = error[1], .given = { link[1], -1, -1, life[1], -1 } };
	w->crash = memfd_create("pupitre-crash", MFD_CLOEXEC);
	if (!made || w->bell < 0 || w->crash < 0)
		return err_system(e, "cannot make the link to the worker");
	w->shared = shared_new(&shared, e);
	if (w->shared == NULL)
		return -1;
	ends->given[2] = shared;
	ends->given[1] = fcntl(w->bell, F_DUPFD_CLOEXEC, FIRST_FD + GIVEN_FDS);
	ends->given[4] = fcntl(w->crash, F_DUPFD_CLOEXEC, FIRST_FD + GIVEN_FDS);
	if (raise_fd(&ends->out, e) < 0 || raise_fd(&ends->err, e) < 0)
		return -1;
	for (int i = 0; i < GIVEN_FDS; i++) {
		if (ends->given[i] < 0 || raise_fd(&ends->given[i], e) < 0)
			return err_system(e, "cannot make the link to the worker");
	}
	widen(w->link);
	widen(ends->given[0]);
	if (fd_set_nonblocking(w->link, 1, e) < 0 || fd_set_nonblocking(w->pipes[0], 1, e) < 0 ||
	    fd_set_nonblocking(w->pipes[1], 1, e) < 0)
		return -1;
	return 0;
}

/* The directory of our own executable. */
static int
own_dir(char ret[PATH_MAX], struct err *e)
{
	ssize_t n = readlink("/proc/self/exe", ret, PATH_MAX - 1);
	if (n < 0)
		return err_system(e, "readlink /proc/self/exe");
	ret[n] = '\0';
	*strrchr(ret, '/') = '\0';
	return 0;
}

/* Where pupitre-worker is: $PUPITRE_WORKER, beside us, in libexec, in the build tree. */
static int
find_worker(char ret[PATH_MAX], struct err *e)
{
	static const char *const places[] = { "pupitre-worker", "../libexec/pupitre/pupitre-worker",
					      "../worker/pupitre-worker" };
	char dir[PATH_MAX];
	const char *named = getenv("PUPITRE_WORKER");
	if (named != NULL && *named != '\0') {
		snprintf(ret, PATH_MAX, "%s", named);
		return 0;
	}
	if (own_dir(dir, e) < 0)
		return -1;
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		if (snprintf(ret, PATH_MAX, "%s/%s", dir, places[i]) < PATH_MAX && access(ret, X_OK) == 0)
			return 0;
	}
	return err_set(e, ERR_INVALID, "pupitre-worker is not installed beside %.100s; reinstall pupitre", dir);
}

/* The interpreter whose environment the worker takes: the option, $PUPITRE_PYTHON, python3 beside us, python3 on PATH. */
static int
find_python(const char *option, char ret[PATH_MAX], struct err *e)
{
	char dir[PATH_MAX];
	struct err ignored = ERR_INIT;
	const char *named = option != NULL ? option : getenv("PUPITRE_PYTHON");
	snprintf(ret, PATH_MAX, "%s", named != NULL && *named != '\0' ? named : "python3");
	if (strchr(ret, '/') != NULL && access(ret, X_OK) < 0)
		return err_system(e, "cannot use the Python interpreter %.150s", ret);
	if ((named != NULL && *named != '\0') || own_dir(dir, &ignored) < 0)
		return 0;
	char beside[PATH_MAX + 16];
	snprintf(beside, sizeof beside, "%s/python3", dir);
	if (access(beside, X_OK) == 0)
		snprintf(ret, PATH_MAX, "%.*s", PATH_MAX - 1, beside);
	return 0;
}

/* Our environment with PUPITRE_PYTHON replaced. Owned array of borrowed strings. */
static char **
make_environment(char *python)
{
	size_t count = 0, kept = 0;
	while (environ[count] != NULL)
		count++;
	char **result = calloc(count + 2, sizeof *result);
	for (size_t i = 0; result != NULL && i < count; i++) {
		if (strncmp(environ[i], "PUPITRE_PYTHON=", strlen("PUPITRE_PYTHON=")) != 0)
			result[kept++] = environ[i];
	}
	if (result != NULL)
		result[kept] = python;
	return result;
}

static int
set_attributes(posix_spawnattr_t *attributes)
{
	sigset_t held, all;
	sigemptyset(&held);
	sigaddset(&held, SIGINT); /* until the worker has a handler */
	sigfillset(&all);
	int error = posix_spawnattr_setsigmask(attributes, &held);
	error |= posix_spawnattr_setsigdefault(attributes, &all);
	error |= posix_spawnattr_setflags(attributes,
					  POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
	return error;
}

static int
execute(struct worker *w, const struct ends *ends, const char *path, char *python, struct err *e)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	char name[] = "pupitre-worker";
	char *arguments[] = { name, NULL };
	char **environment = make_environment(python);
	if (environment == NULL)
		return err_memory(e);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	int error = set_attributes(&attributes);
	error |= posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	error |= posix_spawn_file_actions_adddup2(&actions, ends->out, 1);
	error |= posix_spawn_file_actions_adddup2(&actions, ends->err, 2);
	for (int i = 0; i < GIVEN_FDS; i++)
		error |= posix_spawn_file_actions_adddup2(&actions, ends->given[i], FIRST_FD + i);
	if (error == 0)
		error = posix_spawn(&w->pid, path, &actions, &attributes, arguments, environment);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	free(environment);
	if (error != 0) {
		w->pid = 0;
		return err_set(e, ERR_SYSTEM, "cannot start %.150s: %s", path, strerror(error));
	}
	return 0;
}

int
worker_spawn(struct worker *w, const struct spawn *how, struct err *e)
{
	struct ends ends = { -1, -1, { -1, -1, -1, -1, -1 } };
	char path[PATH_MAX], python[PATH_MAX];
	char variable[PATH_MAX + sizeof "PUPITRE_PYTHON="];
	*w = WORKER_INIT;
	int result = find_python(how->python, python, e);
	snprintf(variable, sizeof variable, "PUPITRE_PYTHON=%s", python);
	if (result == 0)
		result = find_worker(path, e);
	if (result == 0)
		result = make_ends(w, &ends, e);
	if (result == 0)
		result = execute(w, &ends, path, variable, e);
	ends_close(&ends);
	if (result == 0 && (w->pidfd = (int)syscall(SYS_pidfd_open, w->pid, 0)) < 0)
		result = err_system(e, "pidfd_open");
	struct frame_header header = { .type = FRAME_START };
	struct frame_part start = { how->start, how->start_size };
	if (result == 0)
		result = worker_send(w, &header, &start, 1, e);
	if (result < 0)
		worker_close(w);
	return result;
}
