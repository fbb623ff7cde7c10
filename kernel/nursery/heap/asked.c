/* SPDX-License-Identifier: BSD-3-Clause
 *
 * getenv, defined in the executable as guard.c defines close: what libraries ask for while the template is built is noted. What the C
 * library asks for itself does not come here; that is known (kernel/front/environment.c, become.h).
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "heap.h"

#define NAMES_SIZE ((size_t)32768)
#define EXPORTED __attribute__((visibility("default")))

static char names[NAMES_SIZE]; /* each with its NUL, the last one with another */
static size_t size;
static bool is_over;

static void
note(const char *name)
{
	size_t length = strlen(name) + 1;
	for (const char *at = names; at < names + size; at += strlen(at) + 1) {
		if (strcmp(at, name) == 0)
			return;
	}
	if (length > 1 && size + length < sizeof names) {
		memcpy(names + size, name, length);
		size += length;
	}
}

EXPORTED char *
getenv(const char *name)
{
	size_t length = strlen(name);
	if (!is_over)
		note(name);
	for (char **at = environ; length > 0 && at != NULL && *at != NULL; at++) {
		if (strncmp(*at, name, length) == 0 && (*at)[length] == '=')
			return *at + length + 1;
	}
	return NULL;
}

EXPORTED char *
secure_getenv(const char *name)
{
	return getenv(name);
}

const char *
heap_names_asked(void)
{
	is_over = true;
	return names;
}
