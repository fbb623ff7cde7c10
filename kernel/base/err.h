/* SPDX-License-Identifier: BSD-3-Clause
 *
 * One error value, filled by the callee and printed by whoever decides what to do.
 * The first error wins: err_set on a filled struct changes nothing, so cleanup code may fail
 * without hiding the cause. Libraries fill it and never log.
 */
#ifndef PUPITRE_BASE_ERR_H
#define PUPITRE_BASE_ERR_H

#include <stdarg.h>
#include <stdbool.h>

/* Split by what the caller does next, not by what went wrong. */
enum err_code {
	ERR_NONE = 0,
	ERR_INVALID, /* the input is malformed: reject it, go on */
	ERR_DENIED,  /* authentic input that must not be honoured: drop it, go on */
	ERR_LIMIT,   /* larger than a documented limit: reject it, go on */
	ERR_SYSTEM,  /* a system call failed: the text holds strerror */
	ERR_MEMORY,  /* no memory: the operation had no effect */
	ERR_CLOSED,  /* the peer is gone: wind up */
	ERR_BUSY,    /* not now (EAGAIN): try when the descriptor is ready */
};

struct err {
	enum err_code code;
	char text[240]; /* one line, UTF-8, no newline, never a key and never cell text */
};

#define ERR_INIT ((struct err){ .code = ERR_NONE })

/* Fill *e when it is empty. Always returns -1, so that `return err_set(...)` reads well. e may be NULL. */
int err_set(struct err *e, enum err_code code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* As err_set with ERR_SYSTEM, appending ": strerror(errno)". Always returns -1; keeps errno. */
int err_system(struct err *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ERR_MEMORY with a fixed text. Always returns -1. */
int err_memory(struct err *e);

static inline bool
err_is_set(const struct err *e)
{
	return e->code != ERR_NONE;
}

#endif
