/* SPDX-License-Identifier: BSD-3-Clause */
#include "guard.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WORD_BITS 64
#define EXPORTED __attribute__((visibility("default")))

static uint64_t protected_fds[GUARD_MAX / WORD_BITS];
static pid_t owner; /* a vfork child shares our memory, so only its pid tells it apart */

static bool
is_marked(unsigned fd)
{
	return fd < GUARD_MAX && (protected_fds[fd / WORD_BITS] >> (fd % WORD_BITS) & 1) != 0;
}

static bool
is_protected(int fd)
{
	return fd >= 0 && is_marked((unsigned)fd) && getpid() == owner;
}

void
guard_protect(int fd)
{
	if (owner == 0)
		owner = getpid();
	if (fd >= 0 && fd < GUARD_MAX)
		protected_fds[fd / WORD_BITS] |= UINT64_C(1) << (fd % WORD_BITS);
}

static bool
belongs_to_loop(int directory, const char *name)
{
	char target[32];
	ssize_t n = readlinkat(directory, name, target, sizeof target - 1);
	if (n < 0)
		return false;
	target[n] = '\0';
	return strcmp(target, "anon_inode:[eventpoll]") == 0 || strncmp(target, "socket:", 7) == 0;
}

void
guard_protect_loop(void)
{
	DIR *directory = opendir("/proc/self/fd");
	if (directory == NULL)
		return;
	for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
		int fd = atoi(entry->d_name);
		if (fd > STDERR_FILENO && belongs_to_loop(dirfd(directory), entry->d_name))
			guard_protect(fd);
	}
	closedir(directory);
}

void
guard_close_all(int keep)
{
	for (int fd = 0; fd < GUARD_MAX; fd++) {
		if (fd != keep && is_marked((unsigned)fd))
			syscall(SYS_close, fd);
	}
}

static int
refuse(void)
{
	errno = EBADF;
	return -1;
}

EXPORTED int
close(int fd)
{
	return is_protected(fd) ? refuse() : (int)syscall(SYS_close, fd);
}

EXPORTED int
dup2(int from, int to)
{
	if (from != to && is_protected(to))
		return refuse();
#ifdef SYS_dup2
	return (int)syscall(SYS_dup2, from, to);
#else
	if (from == to)
		return fcntl(from, F_GETFD) < 0 ? -1 : to;
	return (int)syscall(SYS_dup3, from, to, 0);
#endif
}

EXPORTED int
dup3(int from, int to, int flags)
{
	return is_protected(to) ? refuse() : (int)syscall(SYS_dup3, from, to, flags);
}

EXPORTED int
close_range(unsigned first, unsigned last, int flags)
{
	if (getpid() != owner)
		return (int)syscall(SYS_close_range, first, last, flags);
	for (unsigned fd = first; fd <= last && fd < GUARD_MAX; fd++) {
		if (!is_marked(fd))
			continue;
		if (fd > first && syscall(SYS_close_range, first, fd - 1, flags) < 0)
			return -1;
		first = fd + 1;
	}
	return first > last ? 0 : (int)syscall(SYS_close_range, first, last, flags);
}

EXPORTED void
closefrom(int first)
{
	close_range(first < 0 ? 0 : (unsigned)first, UINT_MAX, 0);
}
