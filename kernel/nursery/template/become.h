/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The forked child takes on what else a cold start of the caller has: descriptors, signals, working directory, umask, environment, locale.
 * The payload is the caller's own and may be hostile: only become_fds may be called before drop_privileges, and nothing here trusts it.
 * No Python. One thread.
 */
#ifndef PUPITRE_NURSERY_TEMPLATE_BECOME_H
#define PUPITRE_NURSERY_TEMPLATE_BECOME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "nursery/messages.h"

/* A validated payload. The strings are borrowed from `bytes`. */
struct payload {
	uint32_t umask;
	uint64_t ignored;    /* bit N - 1: signal N */
	uint32_t count;      /* strings, each NAME=VALUE with its NUL */
	const char *strings; /* the first one; the others follow it */
	size_t size;         /* bytes of all strings */
	void *map;           /* owned, or NULL; become_free */
	size_t map_size;
};

#define BECOME_OURS 2

/* 0 is /dev/null, 1..8 what a cold start is handed down (without close-on-exec), 9 the payload, 10 the working directory, then what `ours`
 * were unless they are -1 (close-on-exec); everything else is closed. `fds` and `ours` (consumed; its new numbers) may have any numbers.
 * ret_kept: { payload, working directory }. 0, or -1 with ERR_SYSTEM. */
int become_fds(const int fds[NURSERY_FD_COUNT], int ours[BECOME_OURS], int ret_kept[2], struct err *e);

/* All dispositions the default (see become_ignored), no alternate stack, nothing blocked but SIGINT: as front/spawn.c starts a worker. */
void become_signals(void);

/* Read a payload from bytes (borrowed). 0, or -1 with ERR_INVALID / ERR_LIMIT. */
int become_parse(const void *bytes, size_t size, struct payload *ret, struct err *e);

/* As become_parse, of a memfd (borrowed) that is sealed against every change. *ret is to be freed. 0, or -1 also with ERR_SYSTEM. */
int become_open(int payload_fd, struct payload *ret, struct err *e);

void become_free(struct payload *payload);

/* After become_signals: ignore what the caller's starter had ignored. */
void become_ignored(const struct payload *payload);

/* Working directory (a descriptor, borrowed) and umask. 0, or -1 with ERR_SYSTEM. */
int become_move(const struct payload *payload, int cwd_fd, struct err *e);

/* Replace the environment by the payload's (but for PUPITRE_PYTHON, which a worker does not pass on), so that getenv, environ and
 * /proc/self/environ have it; /proc/self/cmdline says pupitre-worker. Then time zone and locale: LC_CTYPE and the coercion of the C locale
 * as CPython starts with them, which may add LC_CTYPE=C.UTF-8 to the environment. The payload may be freed afterwards.
 * 0, or -1 with ERR_MEMORY, or ERR_INVALID when the locale's encoding is not UTF-8: the template's Python could not be told. */
int become_environment(const struct payload *payload, struct err *e);

/* After become_environment: whether a cold start would have sys.flags.utf8_mode = 1 (it started in the C locale). */
bool become_has_utf8_mode(void);

#endif
