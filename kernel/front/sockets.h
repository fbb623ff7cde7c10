/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The five sockets. The only file of the project that knows ZeroMQ: everything else sees channels and frames.
 * Nothing here blocks except sockets_poll, and sockets_close for at most the linger time.
 */
#ifndef PUPITRE_FRONT_SOCKETS_H
#define PUPITRE_FRONT_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "protocol/connection.h"
#include "protocol/wire.h"

struct sockets;

/* A message of ours: one received that outlives the next receive, or one to be sent. Owned: message_free. */
struct message;

/* Bind the channels of `c`; ports that were 0 are picked and written to c->ports. NULL with ERR_SYSTEM (one line that
 * names the channel and the address). Owned: sockets_close. */
struct sockets *sockets_open(struct connection *c, struct err *e);

/* Give the sockets at most linger_ms to deliver what was sent, then let go. Removes ipc paths. NULL is fine. */
void sockets_close(struct sockets *s, int linger_ms);

/* A descriptor of ours to poll beside the sockets. */
struct poll_fd {
	int fd;        /* -1: not polled */
	bool writable; /* poll for writing instead of reading */
	bool ready;    /* out: ready, hung up or in error */
};

/* What to wait for, and what there was. Channels are bit sets of 1 << channel. */
struct poll_set {
	unsigned channels;   /* to watch for reading */
	struct poll_fd *fds; /* borrowed */
	size_t count;        /* of fds */
	unsigned ready;      /* out: channels that are readable */
};

/* Wait for a readable channel, a ready descriptor or timeout_ms (-1: no limit). 0, or -1 with ERR_BUSY on a signal, ERR_SYSTEM. */
int sockets_poll(struct sockets *s, struct poll_set *set, int timeout_ms, struct err *e);

/* Receive one message without waiting: 1 and its frames (borrowed until the next receive or sockets_keep), 0 when there is none. A message of more
 * than LIMIT_FRAMES frames, or than there is memory for, is discarded whole and *ret_count is 0. */
int sockets_receive(struct sockets *s, enum channel channel, const struct wire_frame **ret_frames, size_t *ret_count);

/* Take ownership of the message received last; what was borrowed from the receive
 * is void: use message_frames. NULL: no memory. */
struct message *sockets_keep(struct sockets *s);
void message_free(struct message *m);
const struct wire_frame *message_frames(const struct message *m, size_t *ret_count); /* borrowed from m */
size_t message_size(const struct message *m);                                        /* bytes of memory it takes */

/* A copy of `frames`, to be sent. NULL with ERR_MEMORY. */
struct message *message_new(const struct wire_frame *frames, size_t count, struct err *e);

/* Send a message without waiting, all or nothing. 0, and m is consumed; or -1 with ERR_BUSY (queue of a peer full), ERR_CLOSED (no such
 * peer any more), ERR_SYSTEM, and m is whole and still the caller's. */
int sockets_send_message(struct sockets *s, enum channel channel, struct message *m, struct err *e);

/* The same with a copy of `frames`. ERR_MEMORY as well. */
int sockets_send(struct sockets *s, enum channel channel, const struct wire_frame *frames, size_t count, struct err *e);

/* Echo whatever waits on the heartbeat channel, at most a bounded number of messages. */
void sockets_echo_heartbeat(struct sockets *s);

/* Versions for --version, e.g. "libzmq 4.3.4". */
void sockets_version(char *ret, size_t size);

#endif
