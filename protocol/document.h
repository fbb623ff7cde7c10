/* SPDX-License-Identifier: BSD-3-Clause
 *
 * jansson with this project's errors and limits. What C reads of JSON passes document_read; what it writes is a json_t
 * that document_append turns into bytes. Only the text of `stream` messages goes another way (text.h).
 */
#ifndef PUPITRE_PROTOCOL_DOCUMENT_H
#define PUPITRE_PROTOCOL_DOCUMENT_H

#include <jansson.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

/* How the headers and contents of clients are read: integers beyond 63 bits, as reals, and NUL in strings. */
#define DOCUMENT_OF_CLIENT (JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL)

/* Read exactly one JSON object, nested at most LIMIT_JSON_DEPTH deep. `flags` are jansson's (JSON_...); with JSON_DECODE_ANY null and
 * [] are an empty object. Needs no more stack
 * than that depth takes, whatever the bytes are; what it allocates is wiped when it is freed. Owned: json_decref.
 * NULL with ERR_INVALID, ERR_LIMIT or ERR_MEMORY; the error tells where, but repeats nothing of the bytes. */
json_t *document_read(const void *bytes, size_t size, size_t flags, struct err *e);

/* A JSON string of text of any quality: each ill-formed sequence becomes U+FFFD. Owned; NULL for want of memory. */
json_t *document_text(const char *text, size_t size);

/* Make a JSON string hold such text instead. Failure shows in document_append. */
void document_set_text(json_t *string, const char *text, size_t size);

/* Append the text of a document (borrowed; NULL: it could not be made). `flags` are jansson's. 0, or -1 with out->failed set: also
 * when any allocation of jansson's has failed since the last call, so that a document is put together without looking at each
 * result. Hence every document that is begun ends here, made or not. */
int document_append(struct buf *out, const json_t *document, size_t flags);

#endif
