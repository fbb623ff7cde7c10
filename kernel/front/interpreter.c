/* SPDX-License-Identifier: BSD-3-Clause */
#include "front/interpreter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

int
interpreter_own_dir(char ret[PATH_MAX], struct err *e)
{
	ssize_t n = readlink("/proc/self/exe", ret, PATH_MAX - 1);
	if (n >= 0)
		ret[n] = '\0';
	else if (realpath((const char *)getauxval(AT_EXECFN), ret) == NULL) /* as exec was called */
		return err_system(e,
				  "cannot tell where this program is: there is no /proc, and no file under its name");
	*strrchr(ret, '/') = '\0';
	return 0;
}

int
interpreter_find(const char *option, char ret[PATH_MAX], struct err *e)
{
	char dir[PATH_MAX];
	struct err ignored = ERR_INIT;
	const char *named = option != NULL ? option : getenv("PUPITRE_PYTHON");
	snprintf(ret, PATH_MAX, "%s", named != NULL && *named != '\0' ? named : "python3");
	if (strchr(ret, '/') != NULL && access(ret, X_OK) < 0)
		return err_system(e, "cannot use the Python interpreter %.150s", ret);
	if ((named != NULL && *named != '\0') || interpreter_own_dir(dir, &ignored) < 0)
		return 0;
	char beside[PATH_MAX + 16];
	snprintf(beside, sizeof beside, "%s/python3", dir);
	if (access(beside, X_OK) == 0)
		snprintf(ret, PATH_MAX, "%.*s", PATH_MAX - 1, beside);
	return 0;
}

int
interpreter_locate(const char *name, char ret[PATH_MAX])
{
	const char *at = getenv("PATH");
	if (strchr(name, '/') != NULL)
		return snprintf(ret, PATH_MAX, "%s", name) < PATH_MAX ? 0 : -1;
	while (at != NULL && *at != '\0') {
		size_t size = strcspn(at, ":");
		int written = snprintf(ret, PATH_MAX, "%.*s/%s", (int)size, at, name);
		if (size > 0 && written < PATH_MAX && access(ret, X_OK) == 0)
			return 0;
		at += size + (at[size] == ':');
	}
	return -1;
}
