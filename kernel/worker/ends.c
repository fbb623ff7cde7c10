/* SPDX-License-Identifier: BSD-3-Clause */
#include "ends.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "guard.h"

enum handed_down { LINK_FD = 3, BELL_FD, SHARED_FD, LIFELINE_FD, CRASH_FD, ANSWERS_FD };

static struct ends ends = { .link = -1, .answers = -1, .bell = -1, .lifeline = -1, .wake = -1, .crash = -1 };

/* A copy of fd as high as the limit on descriptors allows, or -1 with errno. */
static int
copy_high(int fd)
{
	static const int floors[] = { 200, 100, 50, 20, 3 };
	for (size_t i = 0; i < sizeof floors / sizeof *floors; i++) {
		int high = fcntl(fd, F_DUPFD_CLOEXEC, floors[i]);
		if (high >= 0)
			return high;
	}
	return -1;
}

int
ends_move_high(int fd, struct err *e)
{
	int high = copy_high(fd);
	if (high >= 0)
		close(fd);
	else if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return err_system(e, "fcntl F_SETFD on %d", fd);
	else
		high = fd;
	guard_protect(high);
	return high;
}

int
ends_take(struct err *e)
{
	for (int fd = LINK_FD; fd <= ANSWERS_FD; fd++) {
		if (fcntl(fd, F_GETFD) < 0)
			return err_set(e, ERR_INVALID, "descriptor %d is not open: pupitre-kernel starts this program",
				       fd);
	}
	shared_unmap(ends.shared);
	ends.shared = shared_map(SHARED_FD, e);
	if (ends.shared == NULL)
		return -1;
	close(SHARED_FD);
	ends.link = ends_move_high(LINK_FD, e);
	ends.bell = ends_move_high(BELL_FD, e);
	ends.lifeline = ends_move_high(LIFELINE_FD, e);
	ends.crash = ends_move_high(CRASH_FD, e);
	ends.answers = ends_move_high(ANSWERS_FD, e);
	if (err_is_set(e) || fd_set_nonblocking(ends.link, 1, e) < 0 || fd_set_nonblocking(ends.answers, 1, e) < 0)
		return -1;
	int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (wake < 0)
		return err_system(e, "eventfd");
	ends.wake = ends_move_high(wake, e);
	return err_is_set(e) ? -1 : 0;
}

int
ends_imagine(struct err *e)
{
	void *private = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (private == MAP_FAILED)
		return err_memory(e);
	ends.shared = private;
	return 0;
}

bool
ends_connected(void)
{
	return ends.link >= 0;
}

const struct ends *
ends_get(void)
{
	return &ends;
}

void
ends_drop(void)
{
	int *mine[] = { &ends.link, &ends.answers, &ends.bell, &ends.lifeline, &ends.wake };
	for (size_t i = 0; i < sizeof mine / sizeof *mine; i++)
		fd_close(mine[i]);
	dup3(STDERR_FILENO, ends.crash, O_CLOEXEC); /* a child's last words are not the kernel's */
	struct shared *s = ends.shared;
	uint32_t activity = atomic_load(&s->state.activity);
	void *private = mmap(s, sizeof *s, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (private == MAP_FAILED)
		_exit(1);
	atomic_store(&s->state.activity, activity);
}
