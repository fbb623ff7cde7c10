/* SPDX-License-Identifier: BSD-3-Clause */
#include "drop.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/proc.h"
#include "place.h"

#define CAPABILITIES_MAX 64
#define NOBODY UINT32_MAX /* setresuid takes it for: leave */

/* --- what is --- */

/* Real, effective, saved and file system id. */
static int
check_ids(const char *status, const char *name, uint32_t wanted, struct err *e)
{
	uint64_t is[4] = { 0 };
	if (!proc_numbers(status, name, 10, 4, is))
		return err_set(e, ERR_DENIED, "%s is not four numbers", name);
	for (int i = 0; i < 4; i++) {
		if (is[i] != wanted)
			return err_set(e, ERR_DENIED, "%s %d of 4 is %" PRIu64 ", not %" PRIu32, name, i + 1, is[i],
				       wanted);
	}
	return 0;
}

static int
compare_ids(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static int
check_groups(const char *status, const struct nursery_placement *p, struct err *e)
{
	uint64_t wanted[NURSERY_GROUPS_MAX], is[NURSERY_GROUPS_MAX + 1];
	uint32_t count = p->group_count;
	if (!proc_numbers(status, "Groups", 10, count, is) || proc_numbers(status, "Groups", 10, count + 1, is))
		return err_set(e, ERR_DENIED, "there are not %" PRIu32 " groups", count);
	for (uint32_t i = 0; i < count; i++)
		wanted[i] = p->groups[i];
	qsort(wanted, count, sizeof *wanted, compare_ids);
	qsort(is, count, sizeof *is, compare_ids);
	for (uint32_t i = 0; i < count; i++) {
		if (is[i] != wanted[i])
			return err_set(e, ERR_DENIED, "group %" PRIu64 " instead of %" PRIu64, is[i], wanted[i]);
	}
	return 0;
}

/* A process of root that was started by exec may do what its bounding set says, any other nothing. */
static int
check_capabilities(const char *status, const struct nursery_placement *p, uint64_t bounding, struct err *e)
{
	uint64_t own = p->uid == 0 ? bounding : 0;
	const struct {
		const char *name;
		uint64_t wanted;
	} sets[] = {
		{ "CapInh", 0 }, { "CapPrm", own }, { "CapEff", own }, { "CapBnd", bounding }, { "CapAmb", 0 },
	};
	for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
		uint64_t is = 0;
		if (!proc_numbers(status, sets[i].name, 16, 1, &is) || is != sets[i].wanted)
			return err_set(e, ERR_DENIED, "%s is %" PRIx64 ", not %" PRIx64, sets[i].name, is,
				       sets[i].wanted);
	}
	return 0;
}

static int
verify(const struct nursery_placement *p, uint64_t bounding, struct err *e)
{
	char status[PROC_TEXT_MAX];
	if (proc_read(AT_FDCWD, "/proc/self/status", status) < 0)
		return err_system(e, "reading /proc/self/status");
	if (check_ids(status, "Uid", p->uid, e) < 0 || check_ids(status, "Gid", p->gid, e) < 0 ||
	    check_groups(status, p, e) < 0 || check_capabilities(status, p, bounding, e) < 0)
		return -1;
	int bits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
	if (bits < 0)
		return err_system(e, "PR_GET_SECUREBITS");
	return bits == 0 ? 0 : err_set(e, ERR_DENIED, "securebits are 0x%x", (unsigned)bits);
}

/* --- what is to be --- */

static int
check_placement(const struct nursery_placement *p, struct err *e)
{
	if (p->uid == NOBODY || p->gid == NOBODY || p->group_count > NURSERY_GROUPS_MAX)
		return err_set(e, ERR_INVALID, "nobody to become");
	for (uint32_t i = 0; i < p->group_count; i++) {
		if (p->groups[i] == NOBODY)
			return err_set(e, ERR_INVALID, "group %" PRIu32 " is none", i);
	}
	if (p->uid == 0 && !p->keep_identity)
		return err_set(e, ERR_DENIED, "root is not served");
	return 0;
}

static int
clear_ambient(struct err *e)
{
	int bits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
	if (bits < 0)
		return err_system(e, "PR_GET_SECUREBITS");
	if ((bits & SECBIT_KEEP_CAPS) != 0 && prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0)
		return err_system(e, "PR_SET_KEEPCAPS");
	if ((bits & ~SECBIT_KEEP_CAPS) != 0)
		return err_set(e, ERR_DENIED, "securebits are 0x%x", (unsigned)bits);
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return err_system(e, "PR_CAP_AMBIENT_CLEAR_ALL");
	return 0;
}

/* No more than the caller's. *ret_left: what is left. */
static int
narrow_bounding_set(uint64_t wanted, uint64_t *ret_left, struct err *e)
{
	uint64_t left = 0;
	for (int capability = 0; capability < CAPABILITIES_MAX; capability++) {
		int has = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
		if (has < 0 && errno == EINVAL && capability > 0)
			break; /* the kernel's last one was before */
		if (has < 0)
			return err_system(e, "PR_CAPBSET_READ %d", capability);
		if (has == 0)
			continue;
		if ((wanted >> capability & 1) != 0)
			left |= (uint64_t)1 << capability;
		else if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0)
			return err_system(e, "PR_CAPBSET_DROP %d", capability);
	}
	*ret_left = left;
	return 0;
}

static int
clear_capabilities(struct err *e)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3, .pid = 0 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { { 0, 0, 0 } };
	return syscall(SYS_capset, &header, none) < 0 ? err_system(e, "capset") : 0;
}

/* `worked` is the result of something that only root may do. */
static int
must_fail(int worked, const char *what, struct err *e)
{
	if (worked >= 0)
		return err_set(e, ERR_DENIED, "%s still works", what);
	return errno == EPERM ? 0 : err_system(e, "%s", what);
}

static int
try_to_regain(const struct nursery_placement *p, struct err *e)
{
	uid_t same_uid = (uid_t)-1;
	if (must_fail(setresuid(0, 0, 0), "setresuid", e) < 0 ||
	    must_fail(setresuid(same_uid, 0, same_uid), "seteuid", e) < 0 ||
	    must_fail(setgroups(0, NULL), "setgroups", e) < 0)
		return -1;
	setfsuid(0); /* they never say that they failed: verify sees when one did not */
	setfsgid(0);
	return p->gid == 0 ? 0 : must_fail(setresgid(0, 0, 0), "setresgid", e);
}

/* --- the keyring --- */

static long
session_keyring(void)
{
	return syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);
}

/* Whether keys are nothing that anybody here could use: the kernel knows none, or a filter, which a cold start has as well, keeps all that
 * deals with them away. One refusal would not say so: of the nursery's keyring, another call could make use. */
static bool
keys_are_away(int why)
{
	if (why != ENOSYS && (why != EPERM || prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != SECCOMP_MODE_FILTER))
		return false;
	return session_keyring() < 0 && errno == why && syscall(SYS_add_key, NULL, NULL, NULL, 0, 0) < 0 &&
	       errno == why && syscall(SYS_request_key, NULL, NULL, NULL, 0) < 0 && errno == why;
}

/* A session keyring of the user's own with their user keyring in it, as a login makes it. */
static int
change_keyring(struct err *e)
{
	long own = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
	if (own < 0) {
		int why = errno;
		if (keys_are_away(why))
			return 0;
		errno = why;
		return err_system(e, "KEYCTL_JOIN_SESSION_KEYRING");
	}
	if (session_keyring() != own)
		return err_set(e, ERR_DENIED, "the session keyring stayed");
	if (syscall(SYS_keyctl, KEYCTL_LINK, KEY_SPEC_USER_KEYRING, KEY_SPEC_SESSION_KEYRING) < 0)
		return err_system(e, "KEYCTL_LINK");
	return 0;
}

/* --- */

static int
become_user(const struct nursery_placement *p, struct err *e)
{
	_Static_assert(sizeof(gid_t) == sizeof p->groups[0], "an order carries gid_t");
	uint64_t bounding = 0;
	if (setgroups(p->group_count, p->groups) < 0)
		return err_system(e, "setgroups");
	if (setresgid(p->gid, p->gid, p->gid) < 0)
		return err_system(e, "setresgid");
	if (clear_ambient(e) < 0 || narrow_bounding_set(p->cap_bounding, &bounding, e) < 0)
		return -1;
	if (setresuid(p->uid, p->uid, p->uid) < 0)
		return err_system(e, "setresuid");
	if (clear_capabilities(e) < 0 || try_to_regain(p, e) < 0 || verify(p, bounding, e) < 0)
		return -1;
	return change_keyring(e);
}

static int
show(struct err *e)
{
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0)
		return err_system(e, "PR_SET_DUMPABLE");
	if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 1)
		return err_set(e, ERR_SYSTEM, "the process stayed undumpable");
	return 0;
}

int
drop_privileges(const struct nursery_placement *p, struct err *e)
{
	if (check_placement(p, e) < 0)
		return -1;
	int result = p->keep_identity ? verify(p, p->cap_bounding, e) : become_user(p, e);
	return result < 0 || place_fits(e) < 0 ? -1 : show(e);
}
