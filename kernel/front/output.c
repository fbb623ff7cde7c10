/* SPDX-License-Identifier: BSD-3-Clause */
#include "front/output.h"

#include <stdlib.h>

#include "base/fd.h"
#include "base/log.h"

struct waiting_message {
	struct waiting_message *next;
	struct message *message; /* owned; NULL once it is sent */
	size_t bytes;
};

void
output_init(struct output *o, struct sockets *sockets)
{
	*o = (struct output){ .sockets = sockets, .last = &o->first };
}

static void
drop_first(struct output *o)
{
	struct waiting_message *m = o->first;
	o->first = m->next;
	if (o->first == NULL)
		o->last = &o->first;
	o->bytes -= m->bytes;
	message_free(m->message);
	free(m);
}

void
output_free(struct output *o)
{
	while (o->first != NULL)
		drop_first(o);
}

/* Put a message behind those that wait. Consumes it on success. */
static int
keep(struct output *o, struct message *message, struct err *e)
{
	struct waiting_message *m = malloc(sizeof *m);
	if (m == NULL)
		return err_memory(e);
	*m = (struct waiting_message){ .message = message, .bytes = message_size(message) };
	if (o->first == NULL)
		o->progress_ms = clock_ms();
	*o->last = m;
	o->last = &m->next;
	o->bytes += m->bytes;
	return 0;
}

int
output_send(struct output *o, const struct wire_frame *frames, size_t count, struct err *e)
{
	struct err refused = ERR_INIT;
	struct message *m = message_new(frames, count, e);
	if (m == NULL)
		return -1;
	if (o->first == NULL && sockets_send_message(o->sockets, CHANNEL_IOPUB, m, &refused) == 0)
		return 0;
	int result;
	if (o->first == NULL && refused.code != ERR_BUSY)
		result = err_set(e, refused.code, "%s", refused.text);
	else
		result = keep(o, m, e);
	if (result < 0)
		message_free(m);
	return result;
}

void
output_retry(struct output *o)
{
	while (o->first != NULL) {
		struct err refused = ERR_INIT;
		if (sockets_send_message(o->sockets, CHANNEL_IOPUB, o->first->message, &refused) == 0)
			o->first->message = NULL;
		else if (refused.code == ERR_BUSY)
			return;
		else
			log_error("event=lost channel=iopub reason=\"%s\"", refused.text);
		o->progress_ms = clock_ms();
		drop_first(o);
	}
}

bool
output_is_empty(const struct output *o)
{
	return o->first == NULL;
}

bool
output_is_full(const struct output *o)
{
	return o->bytes > OUTPUT_BACKLOG_MAX;
}

bool
output_is_stuck(const struct output *o)
{
	return output_is_full(o) && clock_ms() - o->progress_ms > OUTPUT_STUCK_MS;
}
