/* SPDX-License-Identifier: BSD-3-Clause */
#include "ledger.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static struct ledger_user *
find(struct ledger *l, uint32_t account)
{
	for (size_t i = 0; i < l->count; i++) {
		if (l->users[i].told.uid == account)
			return &l->users[i];
	}
	if (l->count >= LEDGER_USERS_MAX && account != NURSERY_STRANGERS)
		return find(l, NURSERY_STRANGERS);
	struct ledger_user *users = reallocarray(l->users, l->count + 1, sizeof *users);
	if (users == NULL)
		return NULL;
	l->users = users;
	users[l->count] = (struct ledger_user){ .told.uid = account };
	return &users[l->count++];
}

/* Whether a kernel counts in this hour, which is then. Who starts them in a loop is not the class. */
static bool
count_in_hour(struct ledger *l, struct ledger_user *u, long long now_ms)
{
	if (u->told.uid == NURSERY_STRANGERS || u->counted >= LEDGER_OF_ONE_USER)
		return false;
	if (l->hour_ms == 0)
		l->hour_ms = now_ms;
	u->counted++;
	l->started++;
	return true;
}

static void
count_cold(struct ledger *l, struct ledger_user *u, unsigned reason, long long now_ms)
{
	bool was_forked = reason == NURSERY_UNLIKE && u->told.forks > 0;
	u->told.cold[reason]++;
	u->told.forks -= was_forked;
	if (was_forked && l->hour_ms != 0) /* it is among those that were counted */
		l->cold[reason] += u->counted < LEDGER_OF_ONE_USER;
	else if (count_in_hour(l, u, now_ms))
		l->cold[reason]++;
}

struct ledger_user *
ledger_count(struct ledger *l, const struct nursery_event *e, long long now_ms)
{
	struct ledger_user *u = find(l, e->account);
	if (u == NULL)
		return NULL;
	bool is_over_memory = e->note.cause == NURSERY_CAUSE_LIMIT || e->note.cause == NURSERY_CAUSE_MEMORY;
	switch (e->op) {
	case NURSERY_FORKED:
		u->told.forks++;
		count_in_hour(l, u, now_ms);
		break;
	case NURSERY_REFUSED:
		if (e->is_start)
			count_cold(l, u, e->note.reason, now_ms);
		break;
	case NURSERY_NOTE_COLD: count_cold(l, u, e->note.reason, now_ms); break;
	case NURSERY_CHANGED: u->told.used_us += e->note.used_us; break;
	case NURSERY_NOTE_DIED:
		u->told.deaths++;
		u->told.over_memory += is_over_memory;
		break;
	default: break;
	}
	return u;
}

bool
ledger_may_say(struct ledger_user *u, long long now_ms)
{
	long long spoken = (u->spoken_ms > now_ms ? u->spoken_ms : now_ms) + LEDGER_LINE_MS;
	if (spoken > now_ms + LEDGER_BURST_MS) {
		u->left_out++;
		return false;
	}
	u->spoken_ms = spoken;
	return true;
}

/* What ended a worker, as an administrator would say it. */
static void
describe_end(const struct nursery_note *note, char *ret, size_t size)
{
	const char *cause = nursery_cause_text(note->cause);
	if (cause != NULL)
		snprintf(ret, size, "%s", cause);
	else if (WIFSIGNALED(note->status))
		snprintf(ret, size, "ended by signal %d (%s)", WTERMSIG(note->status),
			 sigdescr_np(WTERMSIG(note->status)) ?: "unknown");
	else
		snprintf(ret, size, "ended with exit status %d", WEXITSTATUS(note->status));
}

static void
write_kernel(const uint64_t kernel[2], char *ret, size_t size)
{
	static const uint64_t none[2];
	unsigned char b[16];
	memcpy(b, kernel, sizeof b);
	if (memcmp(kernel, none, sizeof none) == 0)
		snprintf(ret, size, "-");
	else
		snprintf(ret, size, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
			 b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

void
ledger_describe(const struct ledger_user *u, const struct nursery_event *e, char ret[LEDGER_TEXT_SIZE])
{
	const struct nursery_note *note = &e->note;
	char kernel[40], what[160] = "", used[80] = "", more[32] = "";
	write_kernel(e->kernel, kernel, sizeof kernel);
	if (e->op == NURSERY_REFUSED || e->op == NURSERY_NOTE_COLD)
		snprintf(what, sizeof what, " reason=\"%s\"", nursery_reason_text(note->reason));
	if (e->op == NURSERY_NOTE_DIED || e->op == NURSERY_CHANGED) {
		char end[120];
		describe_end(note, end, sizeof end);
		snprintf(what, sizeof what, " reason=\"%s\"", end);
		snprintf(used, sizeof used, " peak_mb=%.1f cpu_s=%.1f", (double)note->peak_kib / 1024,
			 (double)note->used_us / 1e6);
	}
	if (e->op == NURSERY_NOTE_DIED && note->cell != 0)
		snprintf(more, sizeof more, " cell=%u", note->cell);
	snprintf(ret, LEDGER_TEXT_SIZE, "user=%s uid=%u kernel=%s pid=%d%s%s%s", u->name[0] == '\0' ? "-" : u->name,
		 e->uid, kernel, note->pid, more, what, used);
}

bool
ledger_end_hour(struct ledger *l, long long now_ms, char ret[LEDGER_TEXT_SIZE])
{
	unsigned cold = 0, most = 0;
	for (unsigned i = 0; i < NURSERY_REASON_COUNT; i++) {
		cold += l->cold[i];
		most = l->cold[i] > l->cold[most] ? i : most;
	}
	bool is_worth = cold > 0 && (unsigned long long)cold * LEDGER_SHARE > l->started;
	if (is_worth)
		snprintf(ret, LEDGER_TEXT_SIZE, "%u of %u kernels started cold: %s%s (in %lld min)", cold, l->started,
			 cold > l->cold[most] ? "most often, " : "", nursery_reason_text(most),
			 (now_ms - l->hour_ms + 59999) / 60000);
	for (size_t i = 0; i < l->count; i++)
		l->users[i].counted = 0;
	l->hour_ms = 0;
	l->started = 0;
	memset(l->cold, 0, sizeof l->cold);
	return is_worth;
}
