/* SPDX-License-Identifier: BSD-3-Clause */
#include "policy.h"

#include <stdlib.h>

struct policy_user *
policy_user(struct policy *p, uint32_t uid, long long now_ms)
{
	struct policy_user *idle = NULL;
	for (struct policy_user *u = p->users; u != NULL; u = u->next) {
		if (u->uid == uid)
			return u;
		if (u->waiting == 0 && u->kernels == 0 && u->ushers == 0 && u->spent_ms <= now_ms)
			idle = u;
	}
	if (idle == NULL && (idle = malloc(sizeof *idle)) != NULL) {
		idle->next = p->users;
		p->users = idle;
	}
	if (idle != NULL)
		*idle = (struct policy_user){ .next = idle->next, .uid = uid };
	return idle;
}

enum nursery_reason
policy_spend(const struct policy *p, struct policy_user *u, long long now_ms)
{
	/* Each time spends its share of the time in which a burst comes back. */
	long long spent =
		(u->spent_ms > now_ms ? u->spent_ms : now_ms) + (p->burst == 0 ? 0 : POLICY_BURST_MS / p->burst);
	if (spent > now_ms + POLICY_BURST_MS)
		return NURSERY_TOO_MANY;
	u->spent_ms = spent;
	return NURSERY_OK;
}

enum nursery_reason
policy_admit(struct policy *p, struct policy_user *u, long long now_ms)
{
	if (p->max_total != 0 && p->kernels >= p->max_total)
		return NURSERY_FULL;
	if ((p->max_per_user != 0 && u->kernels >= p->max_per_user) || policy_spend(p, u, now_ms) != NURSERY_OK)
		return NURSERY_TOO_MANY;
	u->kernels++;
	p->kernels++;
	return NURSERY_OK;
}

void
policy_release(struct policy *p, struct policy_user *u)
{
	u->kernels--;
	p->kernels--;
}
