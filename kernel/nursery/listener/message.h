/* SPDX-License-Identifier: BSD-3-Clause
 *
 * One datagram with descriptors, sent and received without waiting.
 */
#ifndef PUPITRE_NURSERY_LISTENER_MESSAGE_H
#define PUPITRE_NURSERY_LISTENER_MESSAGE_H

#include <stddef.h>

#include "nursery/messages.h"

#define MESSAGE_FDS_MAX (NURSERY_FD_COUNT + NURSERY_CGROUPS_MAX)
#define MESSAGE_TOO_LARGE ((size_t)-1) /* bytes or descriptors did not fit */

struct message {
	size_t size;              /* bytes received, or MESSAGE_TOO_LARGE */
	int fds[MESSAGE_FDS_MAX]; /* owned; the first fd_count */
	size_t fd_count;
};

/* Receive one datagram into `bytes`. 1 with *ret filled (message_close it); 0 when the peer hung up; -1 when there is none now. */
int message_receive(int fd, void *bytes, size_t capacity, struct message *ret);

/* Send one datagram with borrowed descriptors (at most MESSAGE_FDS_MAX). 0, or -1 with errno: EAGAIN when the peer does not read. */
int message_send(int fd, const void *bytes, size_t size, const int *fds, size_t fd_count);

/* Close the descriptors. */
void message_close(struct message *m);

#endif
