/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The invariant of the protocol, in one place: every request gets busy, exactly one reply (if its type wants one), idle. Whoever
 * begins a request ends it with exchange_end or exchange_fail; nothing else publishes busy or idle.
 */
#ifndef PUPITRE_FRONT_EXCHANGE_H
#define PUPITRE_FRONT_EXCHANGE_H

#include "front/front.h"
#include "protocol/document.h"

/* Publish busy. */
void exchange_begin(struct front *f, const struct request *r);

struct reply {
	struct wire_frame metadata, content;
	const struct frame_part *buffers;
	size_t buffer_count;
};

/* Send pending text, then the reply (NULL: none), without the idle that exchange_end publishes. */
void exchange_reply(struct front *f, const struct request *r, const struct reply *reply);

/* Reply (NULL: none) and idle. Consumes r. */
void exchange_end(struct front *f, struct request *r, const struct reply *reply);

/* Reply with a document as the content (borrowed; NULL: it could not be made) and idle. Without memory for it the reply is an error
 * that says so. Consumes r. */
void exchange_end_document(struct front *f, struct request *r, const json_t *document);

/* A request that was not served, or not to its end, looks like it to every client: some look at the reply only, others at what was
 * published only. `error` below: {ename, evalue, traceback}, borrowed; NULL: it could not be made. */

/* Publish it as an `error`. */
void exchange_show_error(struct front *f, struct wire_frame parent, const json_t *error);

/* Reply with it if the type wants a reply, and idle. `count`: a cell's execution_count, or null. Consumes r and count. */
void exchange_end_with_error(struct front *f, struct request *r, json_t *error, json_t *count);

/* Both: published only for what should have run a cell. Consumes r. */
void exchange_refuse(struct front *f, struct request *r, json_t *error);

/* exchange_refuse() with these two texts. Consumes r. */
void exchange_fail(struct front *f, struct request *r, const char *ename, const char *evalue);

/* Begin and end in one: a request that the front answers with ready-made content. Consumes r. */
void exchange_answer(struct front *f, struct request *r, const char *content, size_t size);

/* A line on the standard error of the cell that runs, if one does. */
void exchange_mention(struct front *f, const char *text);

/* Publish on iopub under a parent (empty: {}). A failure is logged: there is nobody to tell. */
void exchange_publish(struct front *f, const char *msg_type, struct wire_frame parent, const char *content,
		      size_t size);

#endif
