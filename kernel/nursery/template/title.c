/* SPDX-License-Identifier: BSD-3-Clause */
#include "title.h"

#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

static char *words; /* those of the command line, one behind the other */
static size_t size;

void
title_take(int argc, char **argv)
{
	words = argv[0];
	size = (size_t)(argv[argc - 1] - argv[0]) + strlen(argv[argc - 1]) + 1;
}

void
title_set(const char *name)
{
	prctl(PR_SET_NAME, name);
	memset(words, 0, size); /* a last byte that is not 0 would let the environment be read as well */
	snprintf(words, size, "%s", name);
}
