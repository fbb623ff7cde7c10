/* SPDX-License-Identifier: BSD-3-Clause */
#include "unit.h"

#include <malloc.h>

#include "protocol/replay.h"

/* Distinct, well spread MACs by number. */
static struct mac
mac_of(uint64_t n)
{
	struct mac m = { .size = 32 };
	uint64_t x = n * 0x9E3779B97F4A7C15u;
	x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
	x = (x ^ x >> 27) * 0x94D049BB133111EBu;
	x ^= x >> 31;
	memcpy(m.bytes, &x, sizeof x);
	return m;
}

static bool
enter(struct replay *r, uint64_t n)
{
	struct mac m = mac_of(n);
	return replay_enter(r, &m);
}

static struct replay *
make(void)
{
	struct err e = ERR_INIT;
	struct replay *r = replay_new(&e);
	assert_non_null(r);
	return r;
}

static void
test_each_is_new_once(void **state)
{
	(void)state;
	struct replay *r = make();
	for (uint64_t i = 0; i < 5000; i++)
		assert_true(enter(r, i));
	for (uint64_t i = 0; i < 5000; i++)
		assert_false(enter(r, i));
	replay_free(r);
	replay_free(NULL);
}

static void
test_without_a_key_everything_is_new(void **state)
{
	(void)state;
	struct replay *r = make();
	struct mac none = { .size = 0 };
	assert_true(replay_enter(r, &none));
	assert_true(replay_enter(r, &none));
	replay_free(r);
}

static void
test_a_mac_of_zeros_is_one_too(void **state)
{
	(void)state;
	struct replay *r = make();
	struct mac zeros = { .size = 32 };
	assert_true(replay_enter(r, &zeros));
	assert_false(replay_enter(r, &zeros));
	replay_free(r);
}

/* Neighbouring prefixes, which fall into neighbouring slots and run over the table's end. */
static void
test_clusters(void **state)
{
	(void)state;
	struct replay *r = make();
	for (int round = 0; round < 2; round++) {
		for (uint64_t i = 0; i < 300; i++) {
			struct mac m = { .size = 32 };
			uint64_t value = 900 + i;
			memcpy(m.bytes, &value, sizeof value);
			assert_int_equal(replay_enter(r, &m), round == 0);
		}
	}
	replay_free(r);
}

#define KEPT 393216u /* three quarters of the largest generation */

static void
test_forgets_the_oldest_only(void **state)
{
	(void)state;
	struct replay *r = make();
	const uint64_t entered = 1500000;
	for (uint64_t i = 0; i < entered; i++)
		assert_true(enter(r, i));
	for (uint64_t i = entered - KEPT; i < entered; i++)
		assert_false(enter(r, i));
	assert_true(enter(r, 0));
	assert_false(enter(r, 0));
	replay_free(r);
}

static void
test_memory_is_bounded(void **state)
{
	(void)state;
	struct mallinfo2 before = mallinfo2();
	struct replay *r = make();
	for (uint64_t i = 0; i < 3000000; i++)
		assert_true(enter(r, i));
	struct mallinfo2 after = mallinfo2();
	assert_true(after.uordblks + after.hblkhd - before.uordblks - before.hblkhd < (9u << 20));
	replay_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_is_new_once),
		cmocka_unit_test(test_without_a_key_everything_is_new),
		cmocka_unit_test(test_a_mac_of_zeros_is_one_too),
		cmocka_unit_test(test_clusters),
		cmocka_unit_test(test_forgets_the_oldest_only),
		cmocka_unit_test(test_memory_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
