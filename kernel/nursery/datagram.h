/* SPDX-License-Identifier: BSD-3-Clause
 *
 * One datagram of messages.h with its descriptors: sent, received, and compared with what messages.h says. Nothing here waits, whatever
 * the peer does, as long as datagram_hurry was said where a stranger's descriptors are closed. Fuzzed by tests/fuzz/nursery.c.
 */
#ifndef PUPITRE_NURSERY_DATAGRAM_H
#define PUPITRE_NURSERY_DATAGRAM_H

#include <stdbool.h>
#include <stddef.h>

#include "nursery/messages.h"

#define DATAGRAM_FDS_MAX (NURSERY_FD_COUNT + NURSERY_CGROUPS_MAX)
#define DATAGRAM_TOO_LARGE ((size_t)-1) /* bytes or descriptors did not fit */

struct datagram {
	size_t size;               /* bytes received, or DATAGRAM_TOO_LARGE */
	int fds[DATAGRAM_FDS_MAX]; /* owned; the first fd_count */
	size_t fd_count;
};

/* Receive one into `bytes`. 1 with *ret filled (datagram_close it); 0 when the peer hung up; -1 when there is none now. */
int datagram_receive(int socket, void *bytes, size_t capacity, struct datagram *ret);

/* Send one with borrowed descriptors, at most DATAGRAM_FDS_MAX. 0, or -1 with errno: EAGAIN when the peer does not read. */
int datagram_send(int socket, const void *bytes, size_t size, const int *fds, size_t fd_count);

/* Close the descriptors. */
void datagram_close(struct datagram *d);

/* From true to false: whatever waits in this thread is interrupted by SIGALRM, again and again after a few ms. So is closing a socket
 * that lingers for a stranger, or that has such a one in it unread; it is closed all the same. */
void datagram_hurry(bool begin);

/* Whether the ten descriptors of START are pipes, AF_UNIX sockets, memfds, an eventfd and an O_PATH directory, each in its place. Of
 * others even closing may take as long as a stranger wants: files of FUSE, TCP sockets that linger. */
bool datagram_check_fds(const int fds[NURSERY_FD_COUNT]);

/* A request of `size` bytes with fd_count descriptors. NURSERY_OK, NURSERY_BAD_REQUEST or NURSERY_BAD_BUILD. */
enum nursery_reason datagram_check_request(const struct nursery_request *r, size_t size, size_t fd_count);

/* A template's report. NURSERY_OK with its text made one printable line, or NURSERY_BAD_REQUEST. */
enum nursery_reason datagram_check_report(struct nursery_report *r, size_t size, size_t fd_count);

/* What a front should do when it is refused for `reason`. */
enum nursery_verdict datagram_verdict(enum nursery_reason reason);

#endif
