/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What is counted of each user, how many lines they may have, and when an hour is worth one. Time is a number here.
 */
#include "unit.h"

#include <signal.h>

#include "nursery/scribe/ledger.h"

static struct ledger l;
static long long now;
static char text[LEDGER_TEXT_SIZE];

static int
set_up(void **state)
{
	(void)state;
	l = (struct ledger){ 0 };
	now = 5000;
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	free(l.users);
	return 0;
}

static struct ledger_user *
happens(uint32_t op, uint32_t uid, struct nursery_note note)
{
	struct nursery_event e = { .op = op, .uid = uid, .account = uid, .is_start = 1, .note = note };
	return ledger_count(&l, &e, now);
}

static struct ledger_user *
cold(uint32_t uid, enum nursery_reason reason)
{
	return happens(NURSERY_NOTE_COLD, uid, (struct nursery_note){ .reason = (uint16_t)reason });
}

static struct ledger_user *
forked(uint32_t uid)
{
	return happens(NURSERY_FORKED, uid, (struct nursery_note){ .pid = 7 });
}

static void
test_counts(void **state)
{
	(void)state;
	forked(1001);
	happens(NURSERY_CHANGED, 1001, (struct nursery_note){ .used_us = 500 });
	happens(NURSERY_NOTE_DIED, 1001, (struct nursery_note){ .cause = NURSERY_CAUSE_LIMIT });
	happens(NURSERY_NOTE_DIED, 1001, (struct nursery_note){ .status = SIGSEGV });
	cold(1002, NURSERY_ENVIRONMENT);
	const struct nursery_user *u =
		&happens(NURSERY_REFUSED, 1001, (struct nursery_note){ .reason = NURSERY_FULL })->told;
	assert_int_equal(u->forks, 1);
	assert_int_equal(u->used_us, 500);
	assert_int_equal(u->deaths, 2);
	assert_int_equal(u->over_memory, 1);
	assert_int_equal(u->cold[NURSERY_FULL], 1);
	assert_int_equal(l.users[1].told.cold[NURSERY_ENVIRONMENT], 1);
	assert_int_equal(l.count, 2);
}

/* What was asked for in vain, and was no kernel, is no cold start. */
static void
test_refused_is_not_always_cold(void **state)
{
	(void)state;
	struct nursery_event e = { .op = NURSERY_REFUSED, .account = 1001, .note.reason = NURSERY_NOT_ALLOWED };
	assert_int_equal(ledger_count(&l, &e, now)->told.cold[NURSERY_NOT_ALLOWED], 0);
}

/* A worker that did not fit its user was forked, and then is none of the kernels that were. */
static void
test_forked_in_vain(void **state)
{
	(void)state;
	forked(1001);
	assert_int_equal(cold(1001, NURSERY_UNLIKE)->told.forks, 0);
	assert_true(ledger_end_hour(&l, now, text));
	assert_non_null(strstr(text, "1 of 1 kernels started cold"));
	assert_int_equal(cold(1001, NURSERY_UNLIKE)->told.forks, 0);
}

static void
test_hour(void **state)
{
	(void)state;
	assert_false(ledger_end_hour(&l, now, text));
	for (uint32_t i = 0; i < 18; i++)
		forked(1000 + i);
	cold(1001, NURSERY_FULL);
	cold(1002, NURSERY_FULL);
	assert_false(ledger_end_hour(&l, now, text)); /* a tenth is not more than a tenth */
	for (uint32_t i = 0; i < 18; i++)
		forked(1000 + i);
	cold(1001, NURSERY_FULL);
	cold(1002, NURSERY_FULL);
	cold(1003, NURSERY_ENVIRONMENT);
	now += LEDGER_HOUR_MS;
	assert_true(ledger_end_hour(&l, now, text));
	assert_string_equal(
		text,
		"3 of 21 kernels started cold: most often, the nursery has as many kernels as it may (in 60 min)");
	assert_false(ledger_end_hour(&l, now, text));
}

/* Whoever says that thousands of their kernels start cold is one user, in whose line it stands. */
static void
test_one_user_is_not_the_class(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 2000; i++)
		forked(1000 + i);
	for (uint32_t i = 0; i < 10000; i++)
		cold(999, NURSERY_ENVIRONMENT);
	assert_int_equal(cold(999, NURSERY_ENVIRONMENT)->told.cold[NURSERY_ENVIRONMENT], 10001);
	assert_false(ledger_end_hour(&l, now, text));
	for (uint32_t i = 0; i < 10000; i++)
		cold(NURSERY_STRANGERS, NURSERY_NOT_ALLOWED);
	assert_false(ledger_end_hour(&l, now, text));
}

static void
test_lines_are_limited_for_each_user(void **state)
{
	(void)state;
	struct ledger_user *u = forked(1001);
	int said = 0;
	for (int i = 0; i < 100; i++)
		said += ledger_may_say(u, now);
	assert_int_equal(said, LEDGER_BURST_MS / LEDGER_LINE_MS);
	assert_int_equal(u->left_out, 70);
	assert_true(ledger_may_say(forked(1002), now));
	assert_false(ledger_may_say(&l.users[0], now));
	assert_true(ledger_may_say(&l.users[0], now + LEDGER_LINE_MS));
}

static void
test_many_users(void **state)
{
	(void)state;
	for (uint32_t uid = 1; uid <= LEDGER_USERS_MAX + 1000; uid++)
		assert_non_null(forked(uid));
	assert_int_equal(l.count, LEDGER_USERS_MAX + 1);
	assert_int_equal(l.users[LEDGER_USERS_MAX].told.uid, NURSERY_STRANGERS);
	assert_int_equal(l.users[LEDGER_USERS_MAX].told.forks, 1000);
}

static const char *
described(uint32_t op, struct nursery_note note)
{
	static const unsigned char id[16] = { 0x6f, 0x1c, 0x2a, 0x3b, 0,    0,    0x40, 0,
					      0x80, 0,    0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc };
	struct nursery_event e = { .op = op, .uid = 1001, .note = note };
	struct ledger_user u = { .name = "amelie" };
	memcpy(e.kernel, id, sizeof id);
	ledger_describe(&u, &e, text);
	return text;
}

#define WHO "user=amelie uid=1001 kernel=6f1c2a3b-0000-4000-8000-123456789abc pid=7"

static void
test_descriptions(void **state)
{
	(void)state;
	struct nursery_note died = { .pid = 7, .status = SIGSEGV, .cell = 14, .used_us = 1500000, .peak_kib = 2048 };
	assert_string_equal(described(NURSERY_NOTE_DIED, died),
			    WHO " cell=14 reason=\"ended by signal 11 (Segmentation fault)\" peak_mb=2.0 cpu_s=1.5");
	died.cell = 0;
	died.status = 3 << 8;
	assert_string_equal(described(NURSERY_NOTE_DIED, died),
			    WHO " reason=\"ended with exit status 3\" peak_mb=2.0 cpu_s=1.5");
	died.cause = NURSERY_CAUSE_MEMORY;
	assert_string_equal(described(NURSERY_NOTE_DIED, died),
			    WHO " reason=\"out of memory: the machine had no more\" peak_mb=2.0 cpu_s=1.5");
	died.cause = NURSERY_CAUSE_STATUS;
	died.status = 120; /* a signal that there is not */
	assert_non_null(strstr(described(NURSERY_NOTE_DIED, died), "ended by signal 120 (unknown)"));
	assert_string_equal(described(NURSERY_NOTE_COLD, (struct nursery_note){ .pid = 7, .reason = NURSERY_FULL }),
			    WHO " reason=\"the nursery has as many kernels as it may\"");
	assert_string_equal(described(NURSERY_FORKED, (struct nursery_note){ .pid = 7 }), WHO);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_counts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refused_is_not_always_cold, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_forked_in_vain, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_hour, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_one_user_is_not_the_class, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_lines_are_limited_for_each_user, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_many_users, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_descriptions, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
