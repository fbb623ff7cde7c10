/* SPDX-License-Identifier: BSD-3-Clause */
#include "message.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"

union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(MESSAGE_FDS_MAX * sizeof(int))];
};

void
message_close(struct message *m)
{
	while (m->fd_count > 0)
		fd_close(&m->fds[--m->fd_count]);
}

int
message_receive(int fd, void *bytes, size_t capacity, struct message *ret)
{
	union control control;
	struct iovec iov = { bytes, capacity };
	struct msghdr header = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
	};
	ssize_t n = recvmsg(fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? -1 : 0;
	*ret = (struct message){ .size = (size_t)n };
	struct cmsghdr *c = CMSG_FIRSTHDR(&header); /* the kernel makes one of the kind, with no more than fits */
	if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
		ret->fd_count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(ret->fds, CMSG_DATA(c), ret->fd_count * sizeof(int));
	}
	if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
		ret->size = MESSAGE_TOO_LARGE;
	if (n == 0)
		message_close(ret); /* a datagram without bytes may carry descriptors all the same */
	return n > 0;
}

int
message_send(int fd, const void *bytes, size_t size, const int *fds, size_t fd_count)
{
	union control control = { .header = { CMSG_LEN(fd_count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec iov = { (void *)bytes, size };
	struct msghdr header = { .msg_iov = &iov, .msg_iovlen = 1 };
	assert(fd_count <= MESSAGE_FDS_MAX);
	if (fd_count > 0) {
		memcpy(CMSG_DATA(&control.header), fds, fd_count * sizeof(int));
		header.msg_control = &control;
		header.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
	}
	return sendmsg(fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -1 : 0;
}
