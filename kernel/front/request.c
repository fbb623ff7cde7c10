/* SPDX-License-Identifier: BSD-3-Clause */
#include "front/request.h"

#include <stdlib.h>
#include <string.h>

#define REQUEST_SUFFIX "_request"
#define REPLY_SUFFIX "_reply"

void
request_free(struct request *r)
{
	if (r == NULL)
		return;
	header_free(&r->header);
	message_free(r->message);
	free(r);
}

/* Length of the type without "_request", or 0 when it does not end so. */
static size_t
stem_size(const char *msg_type)
{
	size_t size = strlen(msg_type), suffix = strlen(REQUEST_SUFFIX);
	if (size <= suffix || strcmp(msg_type + size - suffix, REQUEST_SUFFIX) != 0)
		return 0;
	return size - suffix;
}

bool
request_wants_reply(const struct request *r)
{
	return stem_size(r->header.msg_type) > 0;
}

int
request_reply_type(const struct request *r, struct buf *out)
{
	size_t stem = stem_size(r->header.msg_type);
	buf_append(out, r->header.msg_type, stem == 0 ? strlen(r->header.msg_type) : stem);
	return buf_append(out, REPLY_SUFFIX, sizeof REPLY_SUFFIX);
}

bool
request_is(const struct request *r, const char *msg_type)
{
	return strcmp(r->header.msg_type, msg_type) == 0;
}

void
request_queue_init(struct request_queue *q)
{
	*q = (struct request_queue){ .last = &q->first };
}

void
request_queue_push(struct request_queue *q, struct request *r)
{
	r->next = NULL;
	*q->last = r;
	q->last = &r->next;
	q->count++;
	q->bytes += message_size(r->message);
}

struct request *
request_queue_pop(struct request_queue *q)
{
	struct request *r = q->first;
	if (r == NULL)
		return NULL;
	q->first = r->next;
	if (q->first == NULL)
		q->last = &q->first;
	r->next = NULL;
	q->count--;
	q->bytes -= message_size(r->message);
	return r;
}

void
request_queue_clear(struct request_queue *q)
{
	for (struct request *r; (r = request_queue_pop(q)) != NULL;)
		request_free(r);
}
