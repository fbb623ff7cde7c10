/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Keeping an identity, which needs no privileges; drop_driver.c and drop_inject.py have the dropping.
 */
#include "placement.h"

#include <linux/securebits.h>

#include "nursery/template/drop.h"

static void
keep(const void *unused)
{
	(void)unused;
	struct nursery_placement p = placement_of_self();
	child_require(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0);
	child_works(drop_privileges(&p, &e));
	child_require(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1);
	for (uint32_t i = 0; i < p.group_count / 2; i++) { /* in any order */
		uint32_t other = p.groups[p.group_count - 1 - i];
		p.groups[p.group_count - 1 - i] = p.groups[i];
		p.groups[i] = other;
	}
	child_works(drop_privileges(&p, &e));
}

static void
test_keep_own_identity(void **state)
{
	(void)state;
	run_in_child(keep, NULL);
}

/* --- any difference ends it, before the process may be looked at --- */

typedef void (*spoil)(struct nursery_placement *);

static void
spoil_uid(struct nursery_placement *p)
{
	p->uid++;
}

static void
spoil_gid(struct nursery_placement *p)
{
	p->gid++;
}

static void
spoil_group_more(struct nursery_placement *p)
{
	p->groups[p->group_count++] = 54321;
}

static void
spoil_group_other(struct nursery_placement *p)
{
	if (p->group_count == 0)
		p->group_count = 1;
	p->groups[p->group_count - 1] += 54321;
}

static void
spoil_group_none(struct nursery_placement *p)
{
	p->groups[0] = UINT32_MAX;
	p->group_count = 1;
}

static void
spoil_group_count(struct nursery_placement *p)
{
	p->group_count = NURSERY_GROUPS_MAX + 1;
}

static void
spoil_bounding_less(struct nursery_placement *p)
{
	p->cap_bounding ^= 1;
}

static void
spoil_bounding_more(struct nursery_placement *p)
{
	p->cap_bounding |= (uint64_t)1 << 63;
}

static void
spoil_nobody(struct nursery_placement *p)
{
	p->uid = UINT32_MAX;
}

static void
spoil_no_group(struct nursery_placement *p)
{
	p->gid = UINT32_MAX;
}

static void
spoil_root(struct nursery_placement *p)
{
	p->uid = 0;
	p->keep_identity = 0;
}

static void
refuse(const void *how)
{
	struct nursery_placement p = placement_of_self();
	struct err e = ERR_INIT;
	(*(const spoil *)how)(&p);
	child_require(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0);
	child_require(drop_privileges(&p, &e) == -1);
	child_require(e.code == ERR_DENIED || e.code == ERR_INVALID);
	child_require(e.text[0] != '\0');
	child_require(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
}

static void
test_any_difference_is_refused(void **state)
{
	(void)state;
	static const spoil all[] = {
		spoil_uid,        spoil_gid,         spoil_group_more,    spoil_group_other,
		spoil_group_none, spoil_group_count, spoil_bounding_less, spoil_bounding_more,
		spoil_nobody,     spoil_no_group,    spoil_root,
	};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		print_message("case %zu\n", i);
		run_in_child(refuse, &all[i]);
	}
}

/* The unprivileged become nobody else. */
static void
become_other(const void *unused)
{
	(void)unused;
	struct nursery_placement p = placement_of_self();
	p.keep_identity = 0;
	p.uid = p.gid = 54321;
	p.group_count = 0;
	if (getuid() == 0)
		child_require(setresgid(1, 1, 1) == 0 && setresuid(1, 1, 1) == 0);
	child_fails(drop_privileges(&p, &e), ERR_SYSTEM);
	child_require(getuid() != 54321 && getgid() != 54321);
}

static void
test_the_unprivileged_become_nobody_else(void **state)
{
	(void)state;
	run_in_child(become_other, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keep_own_identity),
		cmocka_unit_test(test_any_difference_is_refused),
		cmocka_unit_test(test_the_unprivileged_become_nobody_else),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
