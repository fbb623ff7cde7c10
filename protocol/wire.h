/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The shape of a Jupyter message on the wire: which frame is which, and the limits that hold before anything is believed.
 * Pure functions on borrowed bytes; no JSON here. Jupyter messaging protocol, "The wire protocol".
 *
 *   identity* | <IDS|MSG> | signature | header | parent header | metadata | content | buffer*
 */
#ifndef PUPITRE_PROTOCOL_WIRE_H
#define PUPITRE_PROTOCOL_WIRE_H

#include <stddef.h>

#include "base/err.h"

#define WIRE_DELIMITER "<IDS|MSG>"
#define WIRE_DELIMITER_SIZE (sizeof WIRE_DELIMITER - 1)

struct wire_frame {
	const void *data; /* borrowed */
	size_t size;
};

enum wire_part { WIRE_HEADER, WIRE_PARENT, WIRE_METADATA, WIRE_CONTENT, WIRE_SIGNED_PARTS };

/* Borrowed views into the array given to wire_split. */
struct wire_msg {
	const struct wire_frame *identities;
	size_t identity_count;
	struct wire_frame signature;
	struct wire_frame parts[WIRE_SIGNED_PARTS]; /* by enum wire_part: what the signature covers */
	const struct wire_frame *buffers;           /* not covered by the signature */
	size_t buffer_count;
};

/* Find the parts of a message among its frames. 0, or -1 with ERR_INVALID (no delimiter, too few frames) or ERR_LIMIT
 * (limits.h). *ret borrows from `frames`. Constant memory; does not look inside the parts. */
int wire_split(const struct wire_frame *frames, size_t count, struct wire_msg *ret, struct err *e);

#endif
