/* SPDX-License-Identifier: BSD-3-Clause */
#include "policy.h"

#include <stdlib.h>

struct policy_user *
policy_user(struct policy *p, uint32_t uid, long long now_ms)
{
	struct policy_user *idle = NULL;
	for (size_t i = 0; i < p->user_count; i++) {
		struct policy_user *u = &p->users[i];
		if (u->uid == uid)
			return u;
		if (u->waiting == 0 && u->kernels == 0 && u->spent_ms <= now_ms)
			idle = u;
	}
	if (idle == NULL) {
		struct policy_user *more = reallocarray(p->users, p->user_count + 1, sizeof *more);
		if (more == NULL)
			return NULL;
		p->users = more;
		idle = &more[p->user_count++];
	}
	*idle = (struct policy_user){ .uid = uid };
	return idle;
}

int
policy_wait(struct policy *p, uint32_t uid, int change, long long now_ms)
{
	struct policy_user *u = policy_user(p, uid, now_ms);
	if (u == NULL || (change > 0 && (u->waiting >= POLICY_WAITING_MAX || u->spent_ms > now_ms + POLICY_BURST_MS)))
		return -1;
	u->waiting += (uint32_t)change;
	p->waiting += (uint32_t)change;
	return 0;
}

enum nursery_reason
policy_admit(struct policy *p, uint32_t uid, long long now_ms)
{
	struct policy_user *u = policy_user(p, uid, now_ms);
	if (u == NULL)
		return NURSERY_NO_MEMORY;
	if (p->max_total != 0 && p->kernels >= p->max_total)
		return NURSERY_FULL;
	/* Each launch spends its share of the time in which a burst comes back. */
	long long spent =
		(u->spent_ms > now_ms ? u->spent_ms : now_ms) + (p->burst == 0 ? 0 : POLICY_BURST_MS / p->burst);
	if ((p->max_per_user != 0 && u->kernels >= p->max_per_user) || spent > now_ms + POLICY_BURST_MS)
		return NURSERY_TOO_MANY;
	u->spent_ms = spent;
	u->kernels++;
	p->kernels++;
	return NURSERY_OK;
}

void
policy_release(struct policy *p, uint32_t uid, long long now_ms)
{
	policy_user(p, uid, now_ms)->kernels--; /* not NULL: it has a kernel */
	p->kernels--;
}

void
policy_ban(struct policy *p, uint32_t uid, long long now_ms)
{
	struct policy_user *u = policy_user(p, uid, now_ms);
	if (u != NULL)
		u->spent_ms = now_ms + POLICY_BURST_MS + POLICY_BAN_MS;
}
