/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Every limit of the wire format, in one place, with units. docs/protocol.md lists them for users.
 */
#ifndef PUPITRE_PROTOCOL_LIMITS_H
#define PUPITRE_PROTOCOL_LIMITS_H

#include <stddef.h>

#define LIMIT_IDENTITIES 8u               /* identity frames of one message */
#define LIMIT_IDENTITY_SIZE 255u          /* bytes of one */
#define LIMIT_BUFFERS 65536u              /* binary buffers of one message */
#define LIMIT_FRAMES (LIMIT_BUFFERS + 14) /* frames of one message, with 8 identities */
#define LIMIT_HEADER_SIZE 65536u          /* bytes of the header, and of the parent header */
#define LIMIT_CONTENT_SIZE 65536u         /* bytes of a content that the front itself reads */
#define LIMIT_JSON_DEPTH 128u             /* nesting of what C reads */
#define LIMIT_SHELL_SIZE (64l << 20)      /* bytes of one frame on the shell and stdin channels */
#define LIMIT_CONTROL_SIZE (1l << 20)     /* ... control */
#define LIMIT_IOPUB_SIZE 4096l            /* ... subscriptions */
#define LIMIT_HEARTBEAT_SIZE 1024l        /* ... heartbeat */
#define LIMIT_TOPIC_SIZE 256u             /* bytes of a subscription that is welcomed */
#define LIMIT_CONNECTION_FILE_SIZE 65536u /* bytes */

#endif
