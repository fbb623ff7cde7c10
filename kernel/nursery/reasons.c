/* SPDX-License-Identifier: BSD-3-Clause */
#include "nursery/messages.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char *const texts[NURSERY_REASON_COUNT] = {
	[NURSERY_OK] = "nothing is wrong",
	[NURSERY_BAD_REQUEST] = "the request was malformed",
	[NURSERY_BAD_BUILD] = "the nursery is another version of Pupitre",
	[NURSERY_NOT_ALLOWED] = "this user may not use this nursery",
	[NURSERY_TOO_MANY] = "this user has as many kernels, or starts them as often, as the nursery allows",
	[NURSERY_FULL] = "the nursery has as many kernels as it may",
	[NURSERY_NOT_READY] = "the nursery's Python is not ready: still loading, or it could not be loaded",
	[NURSERY_DRAINING] = "the nursery is being drained",
	[NURSERY_OTHER_PYTHON] = "the kernel wants another interpreter or virtual environment than the nursery's",
	[NURSERY_STALE] = "packages changed since the nursery's Python was loaded",
	[NURSERY_THREADS] = "the nursery's Python has a thread, with which it cannot be copied",
	[NURSERY_NO_MEMORY] = "the machine could not fork",
	[NURSERY_OTHER_NAMESPACE] = "the kernel runs in other namespaces (a container) than the nursery",
	[NURSERY_OTHER_LABEL] = "the kernel has another security label than the nursery",
	[NURSERY_SECCOMP] = "the kernel is under a seccomp filter that the nursery is not under",
	[NURSERY_NO_NEW_PRIVS] =
		"no_new_privs of the kernel and of the nursery differ, or both have it and serve-confined is off",
	[NURSERY_OTHER_ROOT] = "the kernel has another root directory than the nursery",
	[NURSERY_GROUPS] = "the user is in more groups than a request can carry",
	[NURSERY_CGROUP] = "the kernel's cgroup cannot be joined",
	[NURSERY_PLACEMENT] = "something about the kernel's process cannot be reproduced",
	[NURSERY_ENVIRONMENT] = "an environment variable is set that a copied Python cannot follow",
	[NURSERY_TEMPLATE_DIED] = "the nursery's Python died",
	[NURSERY_NO_NURSERY] = "no nursery listens",
	[NURSERY_NO_ANSWER] = "the nursery did not answer in time",
	[NURSERY_UNLIKE] =
		"the user's settings do not fit the copied Python (a matplotlibrc, a module with the same name)",
};

static const char *const causes[NURSERY_CAUSE_COUNT] = {
	[NURSERY_CAUSE_LIMIT] = "out of memory: the limit of this user or server was reached",
	[NURSERY_CAUSE_MEMORY] = "out of memory: the machine had no more",
	[NURSERY_CAUSE_STACK] = "the C stack is used up (endless recursion)",
	[NURSERY_CAUSE_CUT_OFF] = "its connection to the kernel was closed",
	[NURSERY_CAUSE_UNKNOWN] = "nobody could tell how it ended",
};

const char *
nursery_reason_text(unsigned reason)
{
	return reason < NURSERY_REASON_COUNT && texts[reason] != NULL ? texts[reason] : "an unknown reason";
}

const char *
nursery_cause_text(unsigned cause)
{
	return cause < NURSERY_CAUSE_COUNT ? causes[cause] : NULL;
}

int
nursery_interpreter_of(const char *path, struct nursery_interpreter *ret)
{
	struct stat program, dir;
	char parent[PATH_MAX];
	const char *slash = strrchr(path, '/');
	if (slash == NULL || (size_t)(slash - path) >= sizeof parent - 1) {
		errno = EINVAL;
		return -1;
	}
	snprintf(parent, sizeof parent, "%.*s/", (int)(slash - path), path);
	if (stat(path, &program) < 0 || stat(parent, &dir) < 0)
		return -1;
	*ret = (struct nursery_interpreter){ program.st_dev, program.st_ino, dir.st_dev, dir.st_ino };
	return 0;
}
