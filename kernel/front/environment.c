/* SPDX-License-Identifier: BSD-3-Clause */
#include "front/environment.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define PYTHON_VARIABLE "PUPITRE_PYTHON="

int
environment_make(struct environment *ret, const char *python, struct err *e)
{
	size_t count = 0, kept = 0;
	while (environ[count] != NULL)
		count++;
	struct environment made = { .list = calloc(count + 2, sizeof *made.list) };
	if (made.list == NULL || asprintf(&made.python, PYTHON_VARIABLE "%s", python) < 0) {
		free(made.list);
		return err_memory(e);
	}
	for (size_t i = 0; i < count; i++) {
		if (strncmp(environ[i], PYTHON_VARIABLE, strlen(PYTHON_VARIABLE)) != 0)
			made.list[kept++] = environ[i];
	}
	made.list[kept++] = made.python;
	made.count = kept;
	*ret = made;
	return 0;
}

void
environment_free(struct environment *environment)
{
	free(environment->list);
	free(environment->python);
	*environment = (struct environment){ 0 };
}

static bool
is_any(const char *value)
{
	(void)value;
	return true;
}

static bool
is_none(const char *value)
{
	(void)value;
	return false;
}

static bool
is_not_random(const char *value)
{
	return strcmp(value, "random") != 0;
}

static bool
is_not_one(const char *value)
{
	return strcmp(value, "1") != 0;
}

static bool
is_not_on(const char *value)
{
	return strcmp(value, "on") != 0;
}

/* The first pattern that fits a name decides. */
static const struct rule {
	const char *pattern;
	bool (*hinders)(const char *value); /* never asked about an empty value, which everybody takes for none */
} rules[] = {
	/* Applied by the worker after the fork, or read by Python when it is used. */
	{ "PYTHONPATH", is_none },
	{ "PYTHONDONTWRITEBYTECODE", is_none },
	{ "PYTHONPYCACHEPREFIX", is_none },
	{ "PYTHONWARNINGS", is_none },
	{ "PYTHONBREAKPOINT", is_none },
	{ "PYTHONSTARTUP", is_none },
	{ "PYTHONUNBUFFERED", is_none },
	{ "PYTHONIOENCODING", is_none },
	{ "PYTHONHASHSEED", is_not_random },
	{ "PYTHON_FROZEN_MODULES", is_not_on }, /* as they are anyway; VS Code says so to every kernel */
	/* Not Python's: by the first people name an interpreter (node-gyp, our own scripts), by the others the images named
	 * python say what is in them. */
	{ "PYTHON", is_none },
	{ "PYTHON_VERSION", is_none },
	{ "PYTHON_SHA256", is_none },
	{ "PYTHON_PIP_*", is_none },
	{ "PYTHON_GET_PIP_*", is_none },
	{ "PYTHON_SETUPTOOLS_VERSION", is_none },
	/* Read by the interpreter when it starts; every release knows new ones. */
	{ "PYTHON*", is_any },
	/* Read by the dynamic linker and by malloc. */
	{ "LD_*", is_any },
	{ "MALLOC_*", is_any },
	{ "GLIBC_TUNABLES", is_any },
	/* Read by the libraries under numpy when they are loaded. A warm Python has one thread. */
	{ "OMP_*_THREADS", is_not_one },
	{ "OPENBLAS_*_THREADS", is_not_one },
	{ "GOTO_*_THREADS", is_not_one },
	{ "MKL_*_THREADS", is_not_one },
	{ "NUMEXPR_*_THREADS", is_not_one },
	{ "BLIS_*_THREADS", is_not_one },
	{ "VECLIB_*_THREADS", is_not_one },
	{ "OPENBLAS_CORETYPE", is_any },
	/* Read by packages while they are imported. */
	{ "KMP_*", is_any },
	{ "NPY_*", is_any },
	{ "NUMPY_*", is_any },
	{ "PANDAS_*", is_any },
	{ "SCIPY_*", is_any },
	{ "MPL_IGNORE_SYSTEM_FONTS", is_any },
	/* Another program than the one that the nursery stands for. */
	{ "PUPITRE_WORKER", is_any },
};

static bool
hinders(const char *variable)
{
	char name[64];
	const char *equals = strchr(variable, '=');
	if (equals == NULL)
		return true; /* no variable at all: exec hands such a thing down, setenv does not */
	if (equals[1] == '\0')
		return false;
	snprintf(name, sizeof name, "%.*s", (int)(equals - variable), variable);
	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
		if (fnmatch(rules[i].pattern, name, 0) == 0)
			return rules[i].hinders(equals + 1);
	}
	return false;
}

/* Whether a locale's name says UTF-8, or one of those for which Python takes UTF-8 by itself. */
static bool
is_utf8_locale(const char *name)
{
	const char *dot = strchr(name, '.');
	if (strcmp(name, "C") == 0 || strcmp(name, "POSIX") == 0)
		return true;
	if (dot == NULL)
		return false;
	size_t size = strcspn(++dot, "@");
	return (size == 5 && strncasecmp(dot, "UTF-8", size) == 0) ||
	       (size == 4 && strncasecmp(dot, "UTF8", size) == 0);
}

/* The variable that chooses the encoding; NULL: none does. */
static const char *
find_locale(char *const list[])
{
	static const char *const names[] = { "LC_ALL=", "LC_CTYPE=",
					     "LANG=" }; /* the first that is set and not empty */
	for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
		size_t size = strlen(names[n]);
		for (size_t i = 0; list[i] != NULL; i++) {
			if (strncmp(list[i], names[n], size) == 0 && list[i][size] != '\0')
				return list[i];
		}
	}
	return NULL;
}

const char *
environment_obstacle(char *const list[])
{
	for (size_t i = 0; list[i] != NULL; i++) {
		if (hinders(list[i]))
			return list[i];
	}
	const char *locale = find_locale(list);
	return locale == NULL || is_utf8_locale(strchr(locale, '=') + 1) ? NULL : locale;
}
