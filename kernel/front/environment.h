/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The environment that a worker is given, and whether one that was forked from a warm Python could be given it.
 */
#ifndef PUPITRE_FRONT_ENVIRONMENT_H
#define PUPITRE_FRONT_ENVIRONMENT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* Ours, with PUPITRE_PYTHON replaced. */
struct environment {
	char **list;  /* owned; NULL-terminated; of borrowed strings but the last */
	char *python; /* owned: "PUPITRE_PYTHON=..." */
	size_t count;
};

/* 0, or -1 with ERR_MEMORY. Valid until the environment changes. */
int environment_make(struct environment *ret, const char *python, struct err *e);
void environment_free(struct environment *environment);

/* The variable of `list` (NULL-terminated) that is to blame when a warm Python cannot become what a new one would be: it is read
 * before Python or its libraries run, or chooses an encoding that is not UTF-8. Borrowed, "NAME=value". NULL: none. What a worker
 * applies later (PYTHONPATH, PYTHONWARNINGS and the like) is none. */
const char *environment_obstacle(char *const list[]);

#endif
