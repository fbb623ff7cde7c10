/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What happened, user by user: counted, and put into lines for the log. No clock, no files, no names: whoever calls brings the time.
 * Of what fronts say only their own user's line is made, and only so many lines of the log.
 */
#ifndef PUPITRE_NURSERY_SCRIBE_LEDGER_H
#define PUPITRE_NURSERY_SCRIBE_LEDGER_H

#include <stdbool.h>
#include <stddef.h>

#include "nursery/messages.h"

#define LEDGER_USERS_MAX 4096 /* who comes later is counted with the strangers */
#define LEDGER_BURST_MS 60000 /* lines of one user: a burst at once, and as many again after this long */
#define LEDGER_LINE_MS 2000   /* by 30 lines */
#define LEDGER_HOUR_MS 3600000LL
#define LEDGER_SHARE 10        /* an hour is worth a line when more than one in so many started cold */
#define LEDGER_OF_ONE_USER 100 /* kernels of one user that count in an hour */
#define LEDGER_NAME_SIZE 33
#define LEDGER_TEXT_SIZE 400

struct ledger_user {
	struct nursery_user told;
	char name[LEDGER_NAME_SIZE]; /* "": not looked up yet */
	long long spoken_ms;         /* the time at which the whole burst is theirs again */
	unsigned left_out;           /* lines */
	unsigned counted;            /* kernels in this hour */
};

/* Begins with zeros. */
struct ledger {
	struct ledger_user *users; /* owned */
	size_t count;
	long long hour_ms; /* when the hour began; 0: nothing has happened in it */
	unsigned started, cold[NURSERY_REASON_COUNT];
};

/* Count an event. Whose it was, valid until the next call; NULL: there is no memory. */
struct ledger_user *ledger_count(struct ledger *l, const struct nursery_event *e, long long now_ms);

/* Whether this user may have a line now. If not, it is counted in `left_out`. */
bool ledger_may_say(struct ledger_user *u, long long now_ms);

/* "user=... kernel=... pid=... reason=..." of an event, without its name and time. */
void ledger_describe(const struct ledger_user *u, const struct nursery_event *e, char ret[LEDGER_TEXT_SIZE]);

/* End the hour. Whether it is worth a line: "N of M kernels started cold: why". */
bool ledger_end_hour(struct ledger *l, long long now_ms, char ret[LEDGER_TEXT_SIZE]);

#endif
