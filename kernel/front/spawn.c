/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The cold start: pupitre-worker by exec. What the worker is given: 0 /dev/null, 1 and 2 pipes, 3 link, 4 bell, 5 shared memfd,
 * 6 lifeline, 7 memfd for the last words, 8 answers to input(); a session of its own; PUPITRE_PYTHON; only SIGINT blocked; ignored what
 * whoever started us had ignored, but for what Jupyter and we say by signals.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "front/environment.h"
#include "front/interpreter.h"
#include "front/worker.h"

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
	if (interpreter_own_dir(dir, e) < 0)
		return -1;
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		if (snprintf(ret, PATH_MAX, "%s/%s", dir, places[i]) < PATH_MAX && access(ret, X_OK) == 0)
			return 0;
	}
	return err_set(e, ERR_INVALID, "pupitre-worker is not installed beside %.100s; reinstall pupitre", dir);
}

static int
set_attributes(posix_spawnattr_t *attributes)
{
	sigset_t held, ours;
	sigemptyset(&held);
	sigaddset(&held, SIGINT); /* until the worker has a handler */
	sigemptyset(&ours);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGCHLD);
	sigaddset(&ours, SIGPIPE);
	int error = posix_spawnattr_setsigmask(attributes, &held);
	error |= posix_spawnattr_setsigdefault(attributes, &ours);
	error |= posix_spawnattr_setflags(attributes,
					  POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
	return error;
}

static int
execute(struct worker *w, const struct ends *ends, const char *path, const char *python, struct err *e)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	char name[] = "pupitre-worker";
	char *arguments[] = { name, NULL };
	struct environment environment;
	FD_AUTO empty = fd_open_empty(O_CLOEXEC);
	if (empty < 0)
		return err_system(e, "cannot make an empty standard input");
	if (environment_make(&environment, python, e) < 0)
		return -1;
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	int error = set_attributes(&attributes);
	error |= posix_spawn_file_actions_adddup2(&actions, empty, 0);
	for (int i = 0; i < ENDS_COUNT; i++)
		error |= posix_spawn_file_actions_adddup2(&actions, ends->fds[i], i + 1);
	if (error == 0)
		error = posix_spawn(&w->pid, path, &actions, &attributes, arguments, environment.list);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	environment_free(&environment);
	if (error != 0) {
		w->pid = 0;
		return err_set(e, ERR_SYSTEM, "cannot start %.150s: %s", path, strerror(error));
	}
	return 0;
}

int
spawn_worker(struct worker *w, const struct ends *ends, const char *python, struct err *e)
{
	char path[PATH_MAX];
	if (find_worker(path, e) < 0 || execute(w, ends, path, python, e) < 0)
		return -1;
	w->pidfd = (int)syscall(SYS_pidfd_open, w->pid, 0);
	return w->pidfd < 0 ? err_system(e, "pidfd_open") : 0;
}
