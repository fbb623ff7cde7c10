/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

void
fd_close(int *fd)
{
	int saved = errno;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

int
fd_set_nonblocking(int fd, int on, struct err *e)
{
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0)
		return err_system(e, "fcntl F_GETFL on %d", fd);
	flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	if (fcntl(fd, F_SETFL, flags) < 0)
		return err_system(e, "fcntl F_SETFL on %d", fd);
	return 0;
}

int
fd_write_all(int fd, const void *bytes, size_t size, struct err *e)
{
	const char *at = bytes;
	while (size > 0) {
		ssize_t n = write(fd, at, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EPIPE)
			return err_set(e, ERR_CLOSED, "the reader of descriptor %d is gone", fd);
		if (n < 0)
			return err_system(e, "write to %d", fd);
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

int
fd_wait_readable(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int n = poll(&p, 1, timeout_ms);
	return n > 0 ? 1 : n;
}

int
fd_open_empty(int flags)
{
	int ends[2];
	int fd = open("/dev/null", O_RDONLY | flags);
	if (fd >= 0 || pipe2(ends, flags) < 0)
		return fd;
	fd_close(&ends[1]);
	return ends[0];
}

long long
clock_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}
