/* SPDX-License-Identifier: BSD-3-Clause */
#include "unit.h"

#include "nursery/listener/policy.h"

static struct policy p;
static long long now;

static int
begin(void **state)
{
	(void)state;
	p = (struct policy){ 0 };
	now = 1000000;
	return 0;
}

static int
end(void **state)
{
	(void)state;
	for (struct policy_user *next, *u = p.users; u != NULL; u = next) {
		next = u->next;
		free(u);
	}
	return 0;
}

static struct policy_user *
user(uint32_t uid)
{
	return policy_user(&p, uid, now);
}

static enum nursery_reason
admit(uint32_t uid)
{
	return policy_admit(&p, user(uid), now);
}

static void
enter(uint32_t uid)
{
	user(uid)->waiting++;
}

static size_t
count_users(void)
{
	size_t count = 0;
	for (struct policy_user *u = p.users; u != NULL; u = u->next)
		count++;
	return count;
}

static void
test_without_limits(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 2000; i++)
		assert_int_equal(admit(1000), NURSERY_OK);
	assert_int_equal(p.kernels, 2000);
}

static void
test_per_user(void **state)
{
	(void)state;
	p.max_per_user = 2;
	assert_int_equal(admit(1000), NURSERY_OK);
	assert_int_equal(admit(1000), NURSERY_OK);
	assert_int_equal(admit(1000), NURSERY_TOO_MANY);
	assert_int_equal(admit(1001), NURSERY_OK);
	policy_release(&p, user(1000));
	assert_int_equal(admit(1000), NURSERY_OK);
	assert_int_equal(admit(1000), NURSERY_TOO_MANY);
	assert_int_equal(p.kernels, 3);
}

static void
test_total(void **state)
{
	(void)state;
	p.max_total = 3;
	for (uint32_t uid = 1; uid <= 3; uid++)
		assert_int_equal(admit(uid), NURSERY_OK);
	assert_int_equal(admit(4), NURSERY_FULL);
	policy_release(&p, user(2));
	assert_int_equal(admit(4), NURSERY_OK);
	assert_int_equal(admit(2), NURSERY_FULL);
}

static void
test_burst(void **state)
{
	(void)state;
	p.burst = 32;
	for (int i = 0; i < 32; i++)
		assert_int_equal(admit(1000), NURSERY_OK);
	assert_int_equal(admit(1000), NURSERY_TOO_MANY);
	assert_int_equal(admit(1001), NURSERY_OK);
	/* Eight a second come back, whether asked for in between or not, and no more than the burst. */
	now += POLICY_BURST_MS / 32 - 1;
	assert_int_equal(admit(1000), NURSERY_TOO_MANY);
	now += 1;
	assert_int_equal(admit(1000), NURSERY_OK);
	assert_int_equal(admit(1000), NURSERY_TOO_MANY);
	now += 1000;
	for (int i = 0; i < 8; i++)
		assert_int_equal(admit(1000), NURSERY_OK);
	assert_int_equal(admit(1000), NURSERY_TOO_MANY);
	now += 3600000;
	for (int i = 0; i < 32; i++)
		assert_int_equal(admit(1000), NURSERY_OK);
	assert_int_equal(admit(1000), NURSERY_TOO_MANY);
}

/* Refused for another reason, a launch spends nothing. */
static void
test_burst_is_spent_by_launches(void **state)
{
	(void)state;
	p.burst = 2;
	p.max_per_user = 1;
	assert_int_equal(admit(1000), NURSERY_OK);
	for (int i = 0; i < 10; i++)
		assert_int_equal(admit(1000), NURSERY_TOO_MANY);
	policy_release(&p, user(1000));
	assert_int_equal(admit(1000), NURSERY_OK);
	policy_release(&p, user(1000));
	assert_int_equal(admit(1000), NURSERY_TOO_MANY);
}

/* Somebody with many names takes no memory for those that nothing is remembered of. */
static void
test_idle_users_are_forgotten(void **state)
{
	(void)state;
	p.burst = 32;
	assert_int_equal(admit(7), NURSERY_OK);
	for (uint32_t uid = 100000; uid < 165536; uid++) {
		enter(uid);
		user(uid)->waiting--;
	}
	assert_int_equal(count_users(), 2);
	/* Whoever spent of the burst is remembered until it is whole. */
	policy_release(&p, user(7));
	enter(8);
	enter(9);
	assert_int_equal(count_users(), 3);
	now += POLICY_BURST_MS / 32;
	enter(10);
	assert_int_equal(count_users(), 3);
}

static void
test_turns_last(void **state)
{
	(void)state;
	assert_int_equal(admit(1000), NURSERY_OK);
	user(1000)->turn = ++p.turn;
	assert_int_equal(admit(1001), NURSERY_OK);
	assert_int_equal(user(1000)->turn, 1);
	assert_int_equal(user(1001)->turn, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_without_limits, begin, end),
		cmocka_unit_test_setup_teardown(test_per_user, begin, end),
		cmocka_unit_test_setup_teardown(test_total, begin, end),
		cmocka_unit_test_setup_teardown(test_burst, begin, end),
		cmocka_unit_test_setup_teardown(test_burst_is_spent_by_launches, begin, end),
		cmocka_unit_test_setup_teardown(test_idle_users_are_forgotten, begin, end),
		cmocka_unit_test_setup_teardown(test_turns_last, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
