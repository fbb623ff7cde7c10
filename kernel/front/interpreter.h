/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Which Python interpreter's environment the worker takes.
 */
#ifndef PUPITRE_FRONT_INTERPRETER_H
#define PUPITRE_FRONT_INTERPRETER_H

#include <limits.h>

#include "base/err.h"

/* The option (NULL: not given), $PUPITRE_PYTHON, python3 beside us, python3 on PATH, as it was named. 0, or -1 with *e set. */
int interpreter_find(const char *option, char ret[PATH_MAX], struct err *e);

/* The same with a folder: a bare name is looked up on PATH, as Python does. 0, or -1: not found. */
int interpreter_locate(const char *name, char ret[PATH_MAX]);

/* The directory of our own executable. */
int interpreter_own_dir(char ret[PATH_MAX], struct err *e);

#endif
