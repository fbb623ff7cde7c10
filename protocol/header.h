/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Message headers: reading those of clients, writing ours. Jupyter messaging protocol, "Message header".
 * The frames themselves are echoed byte for byte as parent headers; only what the front must act on is extracted here.
 */
#ifndef PUPITRE_PROTOCOL_HEADER_H
#define PUPITRE_PROTOCOL_HEADER_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "protocol/wire.h"

#define HEADER_PROTOCOL_VERSION "5.4"

/* Owned by the caller: header_free. Strings are NUL-terminated UTF-8; a NUL inside one is SUBSTITUTE (U+001A) here, so that it
 * equals no name of ours. */
struct header {
	char *msg_id;     /* never NULL after a successful header_parse; a number in 17 digits */
	char *msg_type;   /* never NULL */
	char *session;    /* NULL when absent or not a string */
	bool in_subshell; /* subshell_id is there and not null */
};

/* Parse a header frame: exactly one JSON object as DOCUMENT_OF_CLIENT has it, of at most LIMIT_HEADER_SIZE bytes, with a string
 * or number msg_id and a string msg_type; all other keys and types are allowed, duplicate keys: the last wins. 0, or -1 with ERR_INVALID / ERR_LIMIT /
 * ERR_MEMORY and *ret untouched. */
int header_parse(const struct wire_frame *frame, struct header *ret, struct err *e);
void header_free(struct header *h); /* NULL members are fine; leaves it empty */

/* Writes our own headers. Owned: header_writer_free. */
struct header_writer;

/* Who we are: the uuid of this kernel process, its user's name (any bytes), its pid. NULL with *e set. */
struct header_writer *header_writer_new(const char *session, const char *username, long pid, struct err *e);
void header_writer_free(struct header_writer *w); /* NULL is fine */

/* Append a header of `msg_type`: msg_id `<session>_<pid>_<count>`, which *ret_msg_id gets, date now, UTC with six digits and "Z".
 * 0, or -1 with out->failed set. */
#define HEADER_MSG_ID_SIZE 80 /* bytes with the NUL */
int header_write(struct header_writer *w, struct buf *out, const char *msg_type, unsigned long long count,
		 char ret_msg_id[HEADER_MSG_ID_SIZE]);

#endif
