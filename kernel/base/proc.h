/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the kernel writes in files of /proc/PID, read. Those that take apart status, limits and cgroup are pure functions on NUL-terminated
 * text, and fuzzed by tests/fuzz/nursery.c.
 */
#ifndef PUPITRE_BASE_PROC_H
#define PUPITRE_BASE_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROC_TEXT_MAX 16384 /* bytes of a file with its NUL; a longer one is an error */

/* A file as a string. `dir` as openat takes it. Its size, or -errno, errno set too, with an empty string. */
ssize_t proc_read(int dir, const char *name, char ret[PROC_TEXT_MAX]);

#define PROC_NO_NUMBER INT64_MIN

/* The number that a file begins with, or `otherwise` with errno. */
int64_t proc_number(int dir, const char *name, int base, int64_t otherwise);

/* status: `count` numbers in `base` (10 or 16) behind "NAME:". false when they are not there. */
bool proc_numbers(const char *status, const char *name, int base, size_t count, uint64_t *ret);

/* Whether both texts have the same line "NAME: ...", or neither has one. */
bool proc_same_line(const char *a, const char *b, const char *name);

/* limits: soft and hard by RLIMIT_ number, of exactly `count` limits; UINT64_MAX where there is none. */
bool proc_limits(const char *text, uint64_t ret[][2], size_t count);

#define PROC_CGROUP_MAX 4000 /* bytes of a line */

/* One line of cgroup. Both strings are borrowed from the text and not terminated. */
struct proc_cgroup {
	const char *controllers, *path; /* path begins with a slash */
	int controllers_size, path_size;
};

/* The lines of `theirs` that `ours` does not have. Their number, or -1: not what the kernel writes, or more than `maximum`. */
int proc_cgroups(const char *ours, const char *theirs, struct proc_cgroup ret[], int maximum);

/* cgroup.procs of that line's cgroup, open for writing, found beneath /sys/fs/cgroup without following links. Owned; -1: it cannot be. */
int proc_open_cgroup(const struct proc_cgroup *line);

#endif
