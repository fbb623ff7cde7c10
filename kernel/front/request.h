/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A verified message from a client, and the queue in which such messages wait for the worker.
 */
#ifndef PUPITRE_FRONT_REQUEST_H
#define PUPITRE_FRONT_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "front/sockets.h"
#include "protocol/connection.h"
#include "protocol/header.h"

/* Owned: request_free. */
struct request {
	struct request *next;
	struct message *message; /* holds the bytes of `wire` */
	struct wire_msg wire;
	struct header header;
	enum channel channel; /* where it came from and its reply goes */
	uint32_t serial;      /* given when it goes to the worker; 0 before */
	bool abort;           /* caught in an abort window: not to be run */
};

void request_free(struct request *r); /* NULL is fine */

/* Whether it must get a reply: its type ends in "_request". */
bool request_wants_reply(const struct request *r);

/* Append the type of its reply, NUL included: "x_request" -> "x_reply", anything else -> "<type>_reply". 0, or -1 with out->failed set. */
int request_reply_type(const struct request *r, struct buf *out);

bool request_is(const struct request *r, const char *msg_type);

struct request_queue {
	struct request *first, **last; /* last points at the final `next` */
	size_t count;
	size_t bytes;
};

void request_queue_init(struct request_queue *q);
void request_queue_push(struct request_queue *q, struct request *r); /* consumes r */
struct request *request_queue_pop(struct request_queue *q);          /* owned by the caller; NULL when empty */
void request_queue_clear(struct request_queue *q);

#endif
