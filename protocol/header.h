/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Message headers: reading those of clients, writing ours. Jupyter messaging protocol, "Message header".
 * The frames themselves are echoed byte for byte as parent headers; only what the front must act on is extracted here.
 */
#ifndef PUPITRE_PROTOCOL_HEADER_H
#define PUPITRE_PROTOCOL_HEADER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "protocol/wire.h"

#define HEADER_PROTOCOL_VERSION "5.4"

/* Owned by the caller: header_free. Strings are NUL-terminated UTF-8; an escaped NUL or lone surrogate in one is U+FFFD here, so that it equals
 * no name of ours. */
struct header {
	char *msg_id;      /* never NULL after a successful header_parse */
	char *msg_type;    /* never NULL */
	char *session;     /* NULL when absent or not a string */
	char *subshell_id; /* NULL when absent or null; the JSON text of what is neither that nor a string */
};

/* Parse a header frame: exactly one JSON object, depth <= LIMIT_JSON_DEPTH, with string msg_id and msg_type; all other keys
 * and types are allowed, duplicate keys: the last wins, any number is accepted. 0, or -1 with ERR_INVALID / ERR_LIMIT /
 * ERR_MEMORY and *ret untouched. */
int header_parse(const struct wire_frame *frame, struct header *ret, struct err *e);
void header_free(struct header *h); /* NULL members are fine; leaves it empty */

/* Whether the bytes are exactly one JSON object within LIMIT_JSON_DEPTH and valid UTF-8. Iterative: no recursion whatever the
 * input. 0 or -1 with ERR_INVALID / ERR_LIMIT. Used before anything recursive parses them. */
int json_check_object(const void *bytes, size_t size, struct err *e);

/* Read one boolean / string member of a JSON object frame, for the few contents the front handles itself. `fallback` (or NULL) when the
 * object is malformed, the member is absent or of another type. The string is owned by the caller (free). */
bool content_get_bool(const struct wire_frame *content, const char *name, bool fallback);
char *content_get_string(const struct wire_frame *content, const char *name);

/* Who we are, for headers we write. Borrowed strings. */
struct header_origin {
	const char *session;  /* uuid of this kernel process */
	const char *username; /* any UTF-8; escaped here */
};

/* Append a header of `msg_type`: msg_id `<session>_<pid>_<count>`, date now, UTC with six digits and "Z".
 * 0, or -1 with out->failed set. */
int header_write(struct buf *out, const struct header_origin *origin, const char *msg_type, long pid,
		 unsigned long long count);

#endif
