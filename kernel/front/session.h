/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The messaging session: who we are, how messages are signed, which were seen. Everything that enters passes session_receive, everything
 * that leaves passes session_send. Jupyter messaging protocol, "The wire protocol".
 */
#ifndef PUPITRE_FRONT_SESSION_H
#define PUPITRE_FRONT_SESSION_H

#include "front/output.h"
#include "front/request.h"
#include "link/frame.h"
#include "protocol/sign.h"

#define UUID_SIZE 37 /* text and NUL */

struct session;

/* Made of the connection's key and scheme (unsigned when `sign` is false). NULL with *e set. Owned. Borrows sockets and output. */
struct session *session_new(const struct connection *c, bool sign, struct sockets *sockets, struct output *output,
			    struct err *e);
void session_free(struct session *s);

const char *session_id(const struct session *s);    /* header.session of what we send; borrowed */
const char *session_ident(const struct session *s); /* uuid in iopub topics; borrowed */

/* Take one message from a channel: 1 and *ret (owned by the caller), 1 and NULL when it was not to be honoured (malformed, unsigned, replayed, our own;
 * counted in the log), 0 when none waits. Order of checks: frame count, sizes, signature, replay, header. */
int session_receive(struct session *s, enum channel channel, struct request **ret);

/* What to send. Borrowed throughout; frames of size 0 in parent, metadata and content mean {}. */
struct outgoing {
	enum channel channel;
	const struct wire_frame *identities; /* of the client that it goes to; none on iopub */
	size_t identity_count;
	const char *msg_type;
	struct wire_frame topic; /* iopub: first frame; empty: kernel.<ident>.<msg_type> */
	bool no_topic;           /* iopub: send no topic frame at all */
	struct wire_frame parent, metadata, content;
	const struct frame_part *buffers;
	size_t buffer_count;
};

/* Sign and send. A reply whose client is gone is dropped with a log line; for a question on stdin that is an error. 0, or -1 with *e set (memory, socket). When ret_msg_id is not NULL it
 * gets the message's id (SESSION_MSG_ID_SIZE bytes). */
#define SESSION_MSG_ID_SIZE HEADER_MSG_ID_SIZE
int session_send(struct session *s, const struct outgoing *out, char *ret_msg_id, struct err *e);

/* Random (version 4) uuid. */
int uuid_make(char ret[UUID_SIZE], struct err *e);

#endif
