/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "listener.h"

#define ROOM (4 << 20) /* bytes of rows on their way, where we are allowed as many; what does not fit is not sent */

static int
compare(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
	return (left > right) - (left < right);
}

static void
fill(const struct listener *l, struct nursery_status *s)
{
	uint32_t times[FORK_TIMES];
	size_t count = l->forks < FORK_TIMES ? l->forks : FORK_TIMES;
	memcpy(times, l->fork_us, sizeof times);
	qsort(times, count, sizeof *times, compare);
	s->fork_p50_us = count == 0 ? 0 : times[count / 2];
	s->fork_p95_us = count == 0 ? 0 : times[count * 95 / 100];
	for (size_t i = 0; i < NURSERY_REASON_COUNT; i++)
		s->refusals += s->refused[i] = l->refused[i];
	for (size_t i = 0; i < NURSERY_TEMPLATES_MAX; i++) {
		const struct template *t = &l->templates[i];
		if (t->state == NURSERY_TEMPLATE_NONE)
			continue;
		struct nursery_template_status *to = &s->templates[s->template_count++];
		*to = (struct nursery_template_status){
			.pid = t->pid, .state = t->state, .forks = t->forks, .python = t->python
		};
		to->age_s = (uint64_t)(l->now_ms - t->since_ms) / 1000;
		memcpy(to->text, t->text, sizeof to->text);
	}
}

void
status_tell(struct listener *l, struct client *c)
{
	int room = ROOM, sent;
	struct client *w;
	struct nursery_status s = {
		.magic = NURSERY_MAGIC, .version = NURSERY_VERSION, .op = NURSERY_STATUS, .id = c->id
	};
	s.pid = getpid();
	s.draining = l->draining;
	s.per_user = !l->options.system;
	s.uptime_s = (uint64_t)(l->now_ms - l->start_ms) / 1000;
	s.forks = l->forks;
	s.live = l->policy.kernels;
	fill(l, &s);
	setsockopt(c->front.fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
	sent = message_send(c->front.fd, &s, sizeof s, NULL, 0);
	TAILQ_FOREACH(w, &l->clients[CLIENT_LIVE], next)
	{
		if (sent < 0 || (c->caller.uid != 0 && c->caller.uid != w->caller.uid))
			continue;
		struct nursery_row row = {
			.magic = NURSERY_MAGIC, .version = NURSERY_VERSION, .op = NURSERY_STATUS, .id = c->id
		};
		row.pid = w->pid;
		row.uid = w->caller.uid;
		row.age_s = (uint64_t)(l->now_ms - w->since_ms) / 1000;
		row.stopped = w->stopped;
		sent = message_send(c->front.fd, &row, sizeof row, NULL, 0);
	}
}
