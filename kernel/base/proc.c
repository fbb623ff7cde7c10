/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/proc.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"

#define LIMIT_COLUMN 26 /* "%-25s %-20s %-20s %-10s" */

ssize_t
proc_read(int dir, const char *name, char ret[PROC_TEXT_MAX])
{
	FD_AUTO fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	ssize_t size = 0, n = fd < 0 ? -1 : 1;
	while (n > 0 && (n = read(fd, ret + size, (size_t)(PROC_TEXT_MAX - size))) > 0)
		size += n;
	if (size == PROC_TEXT_MAX)
		errno = EFBIG;
	size = n < 0 || size == PROC_TEXT_MAX ? -errno : size;
	ret[size < 0 ? 0 : size] = '\0';
	return size;
}

int64_t
proc_number(int dir, const char *name, int base, int64_t otherwise)
{
	char text[PROC_TEXT_MAX], *end;
	ssize_t size = proc_read(dir, name, text);
	int64_t number = strtoll(text, &end, base);
	if (end != text)
		return number;
	errno = size < 0 ? errno : EINVAL;
	return otherwise;
}

static const char *
next_line(const char *at)
{
	at += strcspn(at, "\n");
	return *at == '\n' ? at + 1 : at;
}

/* What stands behind "name:", or NULL. A process's own name cannot make such a line: the kernel escapes newlines. */
static const char *
find(const char *text, const char *name)
{
	size_t size = strlen(name);
	for (; *text != '\0'; text = next_line(text)) {
		if (strncmp(text, name, size) == 0 && text[size] == ':')
			return text + size + 1;
	}
	return NULL;
}

/* One number of this line, or "unlimited"; *at moves behind it. */
static bool
number(const char **at, int base, uint64_t *ret)
{
	static const char unlimited[] = "unlimited";
	char *end;
	*at += strspn(*at, " \t");
	if (strncmp(*at, unlimited, sizeof unlimited - 1) == 0) {
		*at += sizeof unlimited - 1;
		*ret = UINT64_MAX;
		return true;
	}
	errno = 0;
	*ret = strtoull(*at, &end, base);
	bool is_number = isxdigit((unsigned char)**at) && end != *at && errno == 0;
	*at = end;
	return is_number;
}

bool
proc_numbers(const char *status, const char *name, int base, size_t count, uint64_t *ret)
{
	const char *at = find(status, name);
	bool found = at != NULL;
	for (size_t i = 0; found && i < count; i++)
		found = number(&at, base, &ret[i]);
	return found;
}

bool
proc_same_line(const char *a, const char *b, const char *name)
{
	const char *in_a = find(a, name), *in_b = find(b, name);
	if (in_a == NULL || in_b == NULL)
		return in_a == in_b;
	size_t size = strcspn(in_a, "\n");
	return size == strcspn(in_b, "\n") && memcmp(in_a, in_b, size) == 0;
}

bool
proc_limits(const char *text, uint64_t ret[][2], size_t count)
{
	for (size_t i = 0; i < count; i++) {
		text = next_line(text);
		const char *at = text + LIMIT_COLUMN;
		if (strcspn(text, "\n") < LIMIT_COLUMN || !number(&at, 10, &ret[i][0]) || !number(&at, 10, &ret[i][1]))
			return false;
	}
	return *next_line(text) == '\0';
}

/* "HIERARCHY:CONTROLLERS:PATH" */
static bool
split_cgroup(const char *line, size_t size, struct proc_cgroup *ret)
{
	const char *end = line + size, *first = memchr(line, ':', size);
	const char *second = first == NULL ? NULL : memchr(first + 1, ':', (size_t)(end - first - 1));
	if (second == NULL || second + 1 == end || second[1] != '/' || size > PROC_CGROUP_MAX)
		return false;
	*ret = (struct proc_cgroup){ first + 1, second + 1, (int)(second - first - 1), (int)(end - second - 1) };
	return true;
}

int
proc_cgroups(const char *ours, const char *theirs, struct proc_cgroup ret[], int maximum)
{
	int count = 0;
	for (; *theirs != '\0'; theirs = next_line(theirs)) {
		size_t size = strcspn(theirs, "\n");
		const char *same = ours;
		while (*same != '\0' && (strcspn(same, "\n") != size || memcmp(same, theirs, size) != 0))
			same = next_line(same);
		if (*same != '\0')
			continue;
		if (count == maximum || !split_cgroup(theirs, size, &ret[count]))
			return -1;
		count++;
	}
	return count;
}

int
proc_open_cgroup(const struct proc_cgroup *line)
{
	static const struct open_how how = {
		.flags = O_WRONLY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
	};
	char path[PROC_CGROUP_MAX + sizeof "/cgroup.procs"], name[PROC_CGROUP_MAX];
	struct statfs fs;
	snprintf(path, sizeof path, "%.*s/cgroup.procs", line->path_size, line->path);
	snprintf(name, sizeof name, "%.*s", line->controllers_size, line->controllers);
	const char *dir = strncmp(name, "name=", 5) == 0 ? name + 5 : name;
	FD_AUTO base = open("/sys/fs/cgroup", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*dir == '\0') /* version 2, alone or beside version 1 */
		dir = fstatfs(base, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC ? "." : "unified";
	FD_AUTO root = openat(base, dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int fd = (int)syscall(SYS_openat2, root, path + strspn(path, "/"), &how, sizeof how);
	if (fd >= 0 && (fstatfs(fd, &fs) < 0 || (fs.f_type != CGROUP2_SUPER_MAGIC && fs.f_type != CGROUP_SUPER_MAGIC)))
		fd_close(&fd);
	return fd;
}
