/* SPDX-License-Identifier: BSD-3-Clause */
#include "nursery/datagram.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "base/fd.h"

#define PATIENCE_US 2000

union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(DATAGRAM_FDS_MAX * sizeof(int))];
};

void
datagram_close(struct datagram *d)
{
	while (d->fd_count > 0)
		fd_close(&d->fds[--d->fd_count]);
}

static void
on_alarm(int signum)
{
	(void)signum; /* having arrived is its purpose */
}

void
datagram_hurry(bool begin)
{
	static const struct itimerval patience = { { 0, PATIENCE_US }, { 0, PATIENCE_US } }, none;
	static const struct sigaction alarm = { .sa_handler = on_alarm }; /* without SA_RESTART */
	static bool taken;
	if (!taken)
		taken = sigaction(SIGALRM, &alarm, NULL) == 0;
	setitimer(ITIMER_REAL, begin ? &patience : &none, NULL);
}

int
datagram_receive(int fd, void *bytes, size_t capacity, struct datagram *ret)
{
	union control control;
	struct iovec iov = { bytes, capacity };
	struct msghdr header = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control };
	header.msg_controllen =
		CMSG_LEN(sizeof ret->fds); /* with the padding of CMSG_SPACE there is room for one more */
	ssize_t n = recvmsg(fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? -1 : 0;
	*ret = (struct datagram){ .size = (size_t)n };
	struct cmsghdr *c = CMSG_FIRSTHDR(&header); /* the kernel makes one of the kind, with no more than fits */
	if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
		ret->fd_count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(ret->fds, CMSG_DATA(c), ret->fd_count * sizeof(int));
	}
	if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
		ret->size = DATAGRAM_TOO_LARGE;
	if (n == 0)
		datagram_close(ret); /* a datagram without bytes may carry descriptors all the same */
	return n > 0;
}

int
datagram_send(int fd, const void *bytes, size_t size, const int *fds, size_t fd_count)
{
	union control control = { .header = { CMSG_LEN(fd_count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec iov = { (void *)bytes, size };
	struct msghdr header = { .msg_iov = &iov, .msg_iovlen = 1 };
	assert(fd_count <= DATAGRAM_FDS_MAX);
	if (fd_count > 0) {
		memcpy(CMSG_DATA(&control.header), fds, fd_count * sizeof(int));
		header.msg_control = &control;
		header.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
	}
	return sendmsg(fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -1 : 0;
}

bool
datagram_check_fds(const int fds[NURSERY_FD_COUNT])
{
	static const enum {
		PIPE,
		SOCKET,
		EVENT,
		MEMORY,
		PLACE
	} wanted[NURSERY_FD_COUNT] = {
		[NURSERY_FD_OUT] = PIPE,     [NURSERY_FD_ERR] = PIPE,       [NURSERY_FD_LINK] = SOCKET,
		[NURSERY_FD_BELL] = EVENT,   [NURSERY_FD_SHARED] = MEMORY,  [NURSERY_FD_LIFELINE] = SOCKET,
		[NURSERY_FD_CRASH] = MEMORY, [NURSERY_FD_ANSWERS] = SOCKET, [NURSERY_FD_PAYLOAD] = MEMORY,
		[NURSERY_FD_CWD] = PLACE,
	};
	bool good = true;
	for (size_t i = 0; good && i < NURSERY_FD_COUNT; i++) {
		struct statx is;
		int domain, flags = fcntl(fds[i], F_GETFL);
		socklen_t size = sizeof domain;
		if (flags < 0 || statx(fds[i], "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &is) < 0)
			return false;
		switch (wanted[i]) {
		case PIPE: good = S_ISFIFO(is.stx_mode); break;
		case SOCKET:
			good = getsockopt(fds[i], SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX;
			break;
		case EVENT: good = (is.stx_mode & S_IFMT) == 0 && (flags & O_PATH) == 0; break;
		case MEMORY: good = fcntl(fds[i], F_GET_SEALS) >= 0; break;
		case PLACE: good = S_ISDIR(is.stx_mode) && (flags & O_PATH) != 0; break;
		}
	}
	return good;
}

enum nursery_reason
datagram_check_request(const struct nursery_request *r, size_t size, size_t fd_count)
{
	static const char build[NURSERY_BUILD_SIZE] = NURSERY_BUILD;
	static const struct nursery_note none;
	bool has_note = r->op == NURSERY_NOTE_COLD || r->op == NURSERY_NOTE_DIED;
	if (size != sizeof *r || r->magic != NURSERY_MAGIC || (!has_note && memcmp(&r->note, &none, sizeof none) != 0))
		return NURSERY_BAD_REQUEST;
	if (r->version != NURSERY_VERSION || memcmp(r->build, build, sizeof build) != 0)
		return NURSERY_BAD_BUILD;
	if (r->op < NURSERY_START || r->op > NURSERY_NOTE_DIED)
		return NURSERY_BAD_REQUEST;
	if (r->note.reason >= NURSERY_REASON_COUNT || r->note.cause >= NURSERY_CAUSE_COUNT)
		return NURSERY_BAD_REQUEST;
	return fd_count == (r->op == NURSERY_START ? NURSERY_FD_COUNT : 0) ? NURSERY_OK : NURSERY_BAD_REQUEST;
}

enum nursery_reason
datagram_check_report(struct nursery_report *r, size_t size, size_t fd_count)
{
	if (size != sizeof *r || r->magic != NURSERY_MAGIC || r->version != NURSERY_VERSION)
		return NURSERY_BAD_REQUEST;
	bool forked = r->op == NURSERY_FORKED, of_worker = forked || r->op == NURSERY_CHANGED;
	if (!of_worker && r->op != NURSERY_READY && r->op != NURSERY_UNFIT && r->op != NURSERY_FAILED)
		return NURSERY_BAD_REQUEST;
	if (fd_count != forked || (of_worker && r->pid <= 0) || r->reason >= NURSERY_REASON_COUNT)
		return NURSERY_BAD_REQUEST;
	r->text[sizeof r->text - 1] = '\0';
	for (char *at = r->text; *at != '\0'; at++)
		*at = *at < ' ' || *at > '~' ? '?' : *at;
	return NURSERY_OK;
}

enum nursery_verdict
datagram_verdict(enum nursery_reason reason)
{
	static const uint32_t passing = 1u << NURSERY_TOO_MANY | 1u << NURSERY_FULL | 1u << NURSERY_NOT_READY |
					1u << NURSERY_DRAINING | 1u << NURSERY_STALE | 1u << NURSERY_THREADS |
					1u << NURSERY_NO_MEMORY | 1u << NURSERY_PLACEMENT | 1u << NURSERY_TEMPLATE_DIED;
	_Static_assert(NURSERY_REASON_COUNT <= 32, "one bit each");
	return (passing >> reason & 1) != 0 ? NURSERY_COLD : NURSERY_FINAL;
}
