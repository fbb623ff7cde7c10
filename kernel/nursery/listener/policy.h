/* SPDX-License-Identifier: BSD-3-Clause
 *
 * How much each user may have, how often they may ask, and whose turn it is. Numbers only; the caller brings the time.
 */
#ifndef PUPITRE_NURSERY_LISTENER_POLICY_H
#define PUPITRE_NURSERY_LISTENER_POLICY_H

#include <stdint.h>

#include "nursery/messages.h"

#define POLICY_WAITING_MAX 64 /* connections of one user that have not been served yet */
#define POLICY_BURST_MS 4000  /* a burst, and as many again after this long */

struct policy_user {
	struct policy_user *next;
	uint32_t uid, kernels;
	uint32_t waiting;   /* connections to be served, or to read an answer; counted by client.c */
	uint32_t ushers;    /* processes that look at them; counted by usher.c */
	uint64_t turn;      /* the number of the last one they got */
	long long spent_ms; /* the time at which the whole burst is theirs again */
};

/* Limits of 0: none. Begins with zeros. */
struct policy {
	uint32_t max_total, max_per_user, burst;
	uint32_t kernels; /* of all users */
	uint64_t turn;
	struct policy_user *users; /* owned, for the life of the process */
};

/* What is known of a user; NULL when there is no memory. It lasts while `waiting`, `kernels` or `ushers` is not 0, or the burst is not whole. */
struct policy_user *policy_user(struct policy *p, uint32_t uid, long long now_ms);

/* A launch is asked for: NURSERY_OK, later followed by one policy_release; NURSERY_TOO_MANY or NURSERY_FULL. */
enum nursery_reason policy_admit(struct policy *p, struct policy_user *u, long long now_ms);
void policy_release(struct policy *p, struct policy_user *u);

/* Something else is asked for that counts as often as a launch: NURSERY_OK or NURSERY_TOO_MANY. */
enum nursery_reason policy_spend(const struct policy *p, struct policy_user *u, long long now_ms);

#endif
