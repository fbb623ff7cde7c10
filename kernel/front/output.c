/* SPDX-License-Identifier: BSD-3-Clause */
#include "front/output.h"

#include <stdlib.h>
#include <string.h>

#include "base/fd.h"

/* One message: the frames' array, then their bytes, in one allocation. */
struct waiting_message {
	struct waiting_message *next;
	size_t bytes;
	size_t count;
	struct wire_frame frames[];
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
	free(m);
}

void
output_free(struct output *o)
{
	while (o->first != NULL)
		drop_first(o);
}

static int
keep(struct output *o, const struct wire_frame *frames, size_t count, struct err *e)
{
	size_t bytes = 0;
	for (size_t i = 0; i < count; i++)
		bytes += frames[i].size;
	struct waiting_message *m = malloc(sizeof *m + count * sizeof *frames + bytes);
	if (m == NULL)
		return err_memory(e);
	*m = (struct waiting_message){ .bytes = bytes, .count = count };
	char *at = (char *)&m->frames[count];
	for (size_t i = 0; i < count; i++) {
		m->frames[i] = (struct wire_frame){ at, frames[i].size };
		if (frames[i].size > 0)
			memcpy(at, frames[i].data, frames[i].size);
		at += frames[i].size;
	}
	if (o->first == NULL)
		o->progress_ms = clock_ms();
	*o->last = m;
	o->last = &m->next;
	o->bytes += bytes;
	return 0;
}

int
output_send(struct output *o, const struct wire_frame *frames, size_t count, struct err *e)
{
	struct err refused = ERR_INIT;
	if (o->first == NULL && sockets_send(o->sockets, CHANNEL_IOPUB, frames, count, &refused) == 0)
		return 0;
	if (o->first == NULL && refused.code != ERR_BUSY)
		return err_set(e, refused.code, "%s", refused.text);
	return keep(o, frames, count, e);
}

void
output_retry(struct output *o)
{
	while (o->first != NULL) {
		struct err refused = ERR_INIT;
		if (sockets_send(o->sockets, CHANNEL_IOPUB, o->first->frames, o->first->count, &refused) < 0 &&
		    refused.code == ERR_BUSY)
			return;
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
