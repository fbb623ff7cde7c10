/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "listener.h"

#define BACKLOG 4096

/* Go into the directory of the socket, which nobody but us may change, and stay. What is left of the path in *ret. */
static int
enter(const struct options *o, struct sockaddr_un *ret, struct err *e)
{
	char dir[PATH_MAX];
	struct stat is;
	const char *slash = strrchr(o->socket, '/');
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(dir, sizeof dir, "%.*s/", (int)(slash - o->socket), o->socket);
	snprintf(ret->sun_path, sizeof ret->sun_path, "%s", slash + 1);
	if (slash[1] == '\0' || strlen(slash + 1) >= sizeof ret->sun_path)
		return err_set(e, ERR_INVALID, "%.150s: not the path of a socket", o->socket);
	if (mkdir(dir, o->system ? 0755 : 0700) < 0 && errno != EEXIST)
		return err_system(e, "cannot make %.150s", dir);
	FD_AUTO fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &is) < 0 || fchdir(fd) < 0)
		return err_system(e, "cannot enter %.150s", dir);
	if (is.st_uid != geteuid() || (is.st_mode & 022) != 0)
		return err_set(e, ERR_DENIED, "%.150s belongs to another user, or others may write in it", dir);
	return 0;
}

/* Remove a socket of ours that nobody listens at any more. */
static int
remove_stale(const struct sockaddr_un *name, const char *path, struct err *e)
{
	struct stat is;
	if (lstat(name->sun_path, &is) < 0)
		return errno == ENOENT ? 0 : err_system(e, "cannot look at %.150s", path);
	if (!S_ISSOCK(is.st_mode) || is.st_uid != geteuid())
		return err_set(e, ERR_DENIED, "%.150s is there already and no socket of ours", path);
	FD_AUTO fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (connect(fd, (const struct sockaddr *)name, sizeof *name) == 0 || errno != ECONNREFUSED)
		return err_set(e, ERR_BUSY, "somebody already listens at %.150s", path);
	return unlink(name->sun_path) < 0 ? err_system(e, "cannot remove %.150s", path) : 0;
}

int
door_open(struct listener *l, struct err *e)
{
	struct sockaddr_un name;
	struct stat is;
	if (enter(&l->options, &name, e) < 0 || remove_stale(&name, l->options.socket, e) < 0)
		return -1;
	l->door = (struct watch){ socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), client_accept };
	mode_t before = umask(l->options.system ? 0111 : 0177);
	int bound = bind(l->door.fd, (const struct sockaddr *)&name, sizeof name);
	umask(before);
	if (bound < 0 || lstat(name.sun_path, &is) < 0 || listen(l->door.fd, BACKLOG) < 0 ||
	    watch_add(l, &l->door, EPOLLIN) < 0)
		return err_system(e, "cannot listen at %.150s", l->options.socket);
	l->door_dev = is.st_dev;
	l->door_ino = is.st_ino;
	return 0;
}

void
door_close(struct listener *l)
{
	struct stat is;
	const char *name = strrchr(l->options.socket, '/') + 1;
	watch_close(l, &l->door);
	if (lstat(name, &is) == 0 && is.st_dev == l->door_dev && is.st_ino == l->door_ino)
		unlink(name);
}

void
door_notify(const char *state)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	size_t size = path == NULL ? 0 : strlen(path);
	if (size == 0 || size > sizeof name.sun_path || (*path != '/' && *path != '@'))
		return;
	memcpy(name.sun_path, path, size);
	if (*path == '@') /* abstract */
		name.sun_path[0] = '\0';
	FD_AUTO fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	sendto(fd, state, strlen(state), MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&name,
	       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size));
}
