/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Descriptor helpers. Everything made here is close-on-exec from birth, unless it says otherwise. Descriptors start at -1.
 */
#ifndef PUPITRE_BASE_FD_H
#define PUPITRE_BASE_FD_H

#include <stddef.h>

#include "base/err.h"

/* Close *fd unless it is -1, and make it -1. Keeps errno. */
void fd_close(int *fd);

#define FD_AUTO __attribute__((cleanup(fd_close))) int

/* Set or clear O_NONBLOCK. 0, or -1 with ERR_SYSTEM. */
int fd_set_nonblocking(int fd, int on, struct err *e);

/* Write all of it to a blocking descriptor, through EINTR. 0, or -1 with ERR_SYSTEM / ERR_CLOSED (EPIPE). */
int fd_write_all(int fd, const void *bytes, size_t size, struct err *e);

/* Wait until fd is readable (POLLIN or hang-up). 1, 0 when timeout_ms passed, -1 on a signal or an error.
 * timeout_ms < 0 waits without limit. */
int fd_wait_readable(int fd, int timeout_ms);

/* What reads as an empty file: /dev/null, or where there is none a pipe that nobody writes to. `flags`: O_CLOEXEC or 0. The descriptor, -1
 * with errno. */
int fd_open_empty(int flags);

/* Milliseconds of CLOCK_MONOTONIC. */
long long clock_ms(void);

#endif
