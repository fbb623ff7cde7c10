/* SPDX-License-Identifier: BSD-3-Clause
 *
 * How much each user may have, how often they may ask, and whose turn it is. Numbers only; the caller brings the time.
 */
#ifndef PUPITRE_NURSERY_LISTENER_POLICY_H
#define PUPITRE_NURSERY_LISTENER_POLICY_H

#include <stddef.h>
#include <stdint.h>

#include "nursery/messages.h"

#define POLICY_WAITING_MAX 64 /* connections of one user that have not been served yet */
#define POLICY_BURST_MS 4000  /* a burst, and as many again after this long */
#define POLICY_BAN_MS 3600000 /* whoever tries to make us wait is not heard for this long */

struct policy_user {
	uint32_t uid, waiting, kernels;
	uint64_t turn;      /* the number of the last one they got */
	long long spent_ms; /* the time at which the whole burst is theirs again */
};

/* Limits of 0: none. Begins with zeros. */
struct policy {
	uint32_t max_total, max_per_user, burst;
	uint32_t waiting, kernels; /* of all users */
	uint64_t turn;
	struct policy_user *users; /* owned, for the life of the process */
	size_t user_count;
};

/* What is known of a user; NULL when there is no memory. Valid until the next call; what is remembered lasts while `waiting` or `kernels` is
 * not 0, or the burst is not whole. */
struct policy_user *policy_user(struct policy *p, uint32_t uid, long long now_ms);

/* Count a connection that waits to be served (+1), or no longer does (-1). 0, or -1: there are too many, or the user is banned. */
int policy_wait(struct policy *p, uint32_t uid, int change, long long now_ms);

/* A launch is asked for: NURSERY_OK, later followed by one policy_release; NURSERY_TOO_MANY, NURSERY_FULL or NURSERY_NO_MEMORY. */
enum nursery_reason policy_admit(struct policy *p, uint32_t uid, long long now_ms);
void policy_release(struct policy *p, uint32_t uid, long long now_ms);

void policy_ban(struct policy *p, uint32_t uid, long long now_ms);

#endif
