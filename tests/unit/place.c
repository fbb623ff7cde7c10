/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What needs no privileges; drop_driver.c and drop_inject.py have the rest.
 */
#include "placement.h"

#include <linux/capability.h>
#include <pthread.h>

#include "nursery/template/place.h"

/* A user's: privileges would let through what is refused here. */
static void
give_up_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3, .pid = 0 };
	struct __user_cap_data_struct none[2] = { { 0, 0, 0 } };
	child_require(syscall(SYS_capset, &header, none) == 0);
}

static void
stay(const void *unused)
{
	(void)unused;
	give_up_capabilities();
	struct nursery_placement p = placement_of_self();
	child_works(place_process(&p, &e));
	struct nursery_placement now = placement_of_self();
	child_require(memcmp(&p, &now, sizeof p) == 0);
}

static void
test_same_needs_no_privileges(void **state)
{
	(void)state;
	run_in_child(stay, NULL);
}

/* The lowest of the processors that it may use. */
static void
keep_one_cpu(struct nursery_placement *p)
{
	size_t i = 0;
	while (p->cpus[i] == 0)
		i++;
	uint64_t lowest = p->cpus[i] & -p->cpus[i];
	memset(p->cpus, 0, sizeof p->cpus);
	p->cpus[i] = lowest;
}

static void
change_all(const void *unused)
{
	(void)unused;
	give_up_capabilities();
	struct nursery_placement p = placement_of_self();
	p.nice = p.nice < 15 ? p.nice + 3 : 19;
	p.policy = SCHED_BATCH;
	p.ioprio = 2 << 13 | 6; /* best effort, 6 */
	p.oom_score_adj = p.oom_score_adj < 900 ? p.oom_score_adj + 77 : 1000;
	p.timer_slack_ns = 70001;
	p.coredump_filter = 0x21;
	p.personality |= ADDR_NO_RANDOMIZE;
	keep_one_cpu(&p);
	p.limits[RLIMIT_CORE][0] = p.limits[RLIMIT_CORE][1] = 0;
	p.limits[RLIMIT_NOFILE][0] = 64;
	p.limits[RLIMIT_NOFILE][1] = 128;
	p.limits[RLIMIT_STACK][0] = 3 << 20;
	child_works(place_process(&p, &e));
	struct nursery_placement now = placement_of_self();
	child_require(memcmp(&p, &now, sizeof p) == 0);
	pthread_attr_t attributes;
	size_t size;
	child_require(pthread_getattr_default_np(&attributes) == 0);
	child_require(pthread_attr_getstacksize(&attributes, &size) == 0 && size == 3 << 20);
	child_require(strncmp(line_of("/proc/self/limits", "Max open files"), "            64 ", 14) != 0 ||
		      strstr(line_of("/proc/self/limits", "Max open files"), "128") != NULL);
}

static void
test_all_may_be_changed(void **state)
{
	(void)state;
	run_in_child(change_all, NULL);
}

static void
reset_on_fork(const void *unused)
{
	(void)unused;
	give_up_capabilities();
	struct nursery_placement p = placement_of_self();
	child_require(setpriority(PRIO_PROCESS, 0, 0) == 0 || getpriority(PRIO_PROCESS, 0) >= 0);
	int nice = getpriority(PRIO_PROCESS, 0);
	p.policy = SCHED_BATCH | SCHED_RESET_ON_FORK;
	p.nice = nice;
	child_works(place_process(&p, &e));
	child_require(sched_getscheduler(0) == SCHED_BATCH && getpriority(PRIO_PROCESS, 0) == nice);
	if (nice == 0) {
		p.policy = SCHED_FIFO | SCHED_RESET_ON_FORK;
		p.priority = 50;
		p.nice = 5;
		child_works(place_process(&p, &e));
		child_require(sched_getscheduler(0) == SCHED_OTHER);
		p.policy = SCHED_OTHER | SCHED_RESET_ON_FORK;
		p.priority = 0;
		p.nice = -5;
		child_works(place_process(&p, &e));
		child_require(getpriority(PRIO_PROCESS, 0) == 0);
	}
}

static void
test_reset_on_fork_is_what_a_child_would_have(void **state)
{
	(void)state;
	run_in_child(reset_on_fork, NULL);
}

/* --- what cannot be done is an error, each alone --- */

typedef void (*spoil)(struct nursery_placement *);

static void
spoil_nice(struct nursery_placement *p)
{
	p->limits[RLIMIT_NICE][0] = 0;
	p->nice = -20;
}

static void
spoil_policy(struct nursery_placement *p)
{
	p->policy = SCHED_FIFO;
	p->priority = 10;
}

static void
spoil_policy_number(struct nursery_placement *p)
{
	p->policy = 12345;
}

static void
spoil_ioprio(struct nursery_placement *p)
{
	p->ioprio = 1 << 13 | 4; /* real time */
}

static void
spoil_ioprio_number(struct nursery_placement *p)
{
	p->ioprio = -1;
}

static void
spoil_affinity(struct nursery_placement *p)
{
	memset(p->cpus, 0, sizeof p->cpus);
}

static void
spoil_affinity_too_many(struct nursery_placement *p)
{
	p->cpus[NURSERY_CPUS / 64 - 1] |= (uint64_t)1 << 63;
}

static void
spoil_oom(struct nursery_placement *p)
{
	p->oom_score_adj = -1001;
}

static void
spoil_loginuid(struct nursery_placement *p)
{
	p->loginuid = p->loginuid == 4711 ? 4712 : 4711;
}

static void
spoil_hard_limit(struct nursery_placement *p)
{
	p->limits[RLIMIT_NOFILE][1] = RLIM_INFINITY; /* above fs.nr_open: not even root */
}

static void
spoil_soft_limit(struct nursery_placement *p)
{
	p->limits[RLIMIT_CPU][0] = 20;
	p->limits[RLIMIT_CPU][1] = 10;
}

static void
spoil_address_space(struct nursery_placement *p)
{
	p->limits[RLIMIT_AS][0] = 1 << 20;
}

static void
spoil_data(struct nursery_placement *p)
{
	p->limits[RLIMIT_DATA][0] = 1 << 16;
}

static void
refuse(const void *how)
{
	struct nursery_placement p = placement_of_self();
	give_up_capabilities();
	(*(const spoil *)how)(&p);
	struct err e = ERR_INIT;
	child_require(place_process(&p, &e) == -1);
	child_require(e.code == ERR_SYSTEM || e.code == ERR_LIMIT);
}

/* Set, then set again: a login uid that is set must not be changed by the unprivileged. */
static void
refuse_loginuid(const void *unused)
{
	(void)unused;
	struct nursery_placement p = placement_of_self();
	give_up_capabilities();
	spoil_loginuid(&p);
	struct err e = ERR_INIT;
	if (place_process(&p, &e) == 0)
		child_require(number_of("/proc/self/loginuid", "", 10) == p.loginuid);
	p.loginuid++;
	child_require(place_process(&p, &e) == -1);
	child_require(number_of("/proc/self/loginuid", "", 10) != p.loginuid);
}

static void
test_what_cannot_be_made_equal_is_an_error(void **state)
{
	(void)state;
	static const spoil all[] = {
		spoil_nice,
		spoil_policy,
		spoil_policy_number,
		spoil_ioprio,
		spoil_ioprio_number,
		spoil_affinity,
		spoil_affinity_too_many,
		spoil_oom,
		spoil_hard_limit,
		spoil_soft_limit,
		spoil_data,
		spoil_address_space,
	};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		print_message("case %zu\n", i);
		run_in_child(refuse, &all[i]);
	}
	run_in_child(refuse_loginuid, NULL);
}

/* --- cgroups, by descriptors that are not --- */

static void
test_join_writes_zero_to_each(void **state)
{
	(void)state;
	int pipes[2][2], fds[2];
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pipe2(pipes[i], O_CLOEXEC), 0);
		fds[i] = pipes[i][1];
	}
	struct nursery_placement p = { .cgroup_count = 2 };
	assert_works(place_in_cgroups(&p, fds, &e));
	for (int i = 0; i < 2; i++) {
		char got[4] = { 0 };
		assert_int_equal(read(pipes[i][0], got, sizeof got), 1);
		assert_string_equal(got, "0");
	}
	p.cgroup_count = 0;
	assert_works(place_in_cgroups(&p, NULL, &e));
	p.cgroup_count = 2;
	close(pipes[1][1]);
	assert_fails(place_in_cgroups(&p, fds, &e), ERR_SYSTEM);
	p.cgroup_count = NURSERY_CGROUPS_MAX + 1;
	assert_fails(place_in_cgroups(&p, fds, &e), ERR_INVALID);
	close(pipes[0][0]);
	close(pipes[0][1]);
	close(pipes[1][0]);
}

static void
fit(const void *unused)
{
	(void)unused;
	child_works(place_fits(&e));
	child_require(waitpid(-1, NULL, __WALL | WNOHANG) == -1 && errno == ECHILD);
}

static void
test_fits_leaves_nothing_behind(void **state)
{
	(void)state;
	run_in_child(fit, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_needs_no_privileges),
		cmocka_unit_test(test_all_may_be_changed),
		cmocka_unit_test(test_reset_on_fork_is_what_a_child_would_have),
		cmocka_unit_test(test_what_cannot_be_made_equal_is_an_error),
		cmocka_unit_test(test_join_writes_zero_to_each),
		cmocka_unit_test(test_fits_leaves_nothing_behind),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
