/* SPDX-License-Identifier: BSD-3-Clause
 *
 * For tests of what a process can do only once: each runs in a child of its own, with a deadline.
 */
#ifndef PUPITRE_TESTS_CHILD_H
#define PUPITRE_TESTS_CHILD_H

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nursery/messages.h"

#define CHILD_SECONDS 20

/* In the child: go on only when it holds. */
#define child_require(condition)                                                                         \
	do {                                                                                             \
		if (!(condition)) {                                                                      \
			dprintf(2, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, strerror(errno)); \
			_exit(1);                                                                        \
		}                                                                                        \
	} while (0)

#define child_works(call)                                                                 \
	do {                                                                              \
		struct err e = ERR_INIT;                                                  \
		if ((call) < 0) {                                                         \
			dprintf(2, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, e.text); \
			_exit(1);                                                         \
		}                                                                         \
		child_require(!err_is_set(&e));                                           \
	} while (0)

#define child_fails(call, wanted)                                                               \
	do {                                                                                    \
		struct err e = ERR_INIT;                                                        \
		child_require((call) == -1);                                                    \
		if (e.code != (wanted)) {                                                       \
			dprintf(2, "%s:%d: code %d: %s\n", __FILE__, __LINE__, e.code, e.text); \
			_exit(1);                                                               \
		}                                                                               \
	} while (0)

/* body(argument) in a child must return. */
static inline void
run_in_child(void (*body)(const void *), const void *argument)
{
	fflush(NULL);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		alarm(CHILD_SECONDS);
		body(argument);
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* The line of a small file that begins with `name`, without it; "" when there is none. Static storage. */
static inline const char *
line_of(const char *path, const char *name)
{
	static char line[4096];
	FILE *file = fopen(path, "re");
	while (file != NULL && fgets(line, sizeof line, file) != NULL) {
		if (strncmp(line, name, strlen(name)) == 0) {
			fclose(file);
			line[strcspn(line, "\n")] = '\0';
			return line + strlen(name);
		}
	}
	if (file != NULL)
		fclose(file);
	return "";
}

static inline long long
number_of(const char *path, const char *name, int base)
{
	return strtoll(line_of(path, name), NULL, base);
}

#endif
