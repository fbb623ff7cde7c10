/* SPDX-License-Identifier: BSD-3-Clause
 *
 * drop_driver CASE, as root: be a nursery with more than it should have, drop, and tell what came of it, for drop_inject.py. Exit status 70
 * when drop_privileges failed, as a child of the template; 0 with /proc/self/status and a few lines more on stdout when it says that it worked.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "nursery/template/drop.h"

#define EXIT_FAILED 70
#define EXIT_BROKEN 99 /* the driver itself */
#define UID 64123      /* nobody else's: limits on its processes are tested */
#define GID 64124
#define KEPT_CAPABILITY CAP_NET_RAW
#define LOST_CAPABILITY CAP_SYS_CHROOT
#define SECONDS 20

static void
need(bool worked, const char *what)
{
	if (!worked) {
		perror(what);
		_exit(EXIT_BROKEN);
	}
}

static uint64_t
bounding_set(void)
{
	uint64_t set = 0;
	for (int i = 0; i < 64; i++)
		set |= prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1 ? (uint64_t)1 << i : 0;
	return set;
}

/* Groups, inheritable and ambient capabilities, a session keyring: all that a child could take along by mistake. */
static void
have_too_much(void)
{
	static const gid_t groups[] = { 0, 4, 27 };
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3, .pid = 0 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	need(setgroups(3, groups) == 0, "setgroups");
	need(syscall(SYS_capget, &header, data) == 0, "capget");
	data[0].inheritable |= 1U << KEPT_CAPABILITY | 1U << LOST_CAPABILITY;
	need(syscall(SYS_capset, &header, data) == 0, "capset");
	need(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, KEPT_CAPABILITY, 0, 0) == 0, "ambient");
	need(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0, "keepcaps");
	need(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0, "dumpable");
}

static long
session_keyring(void)
{
	return syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);
}

static void
print_status(long keyring)
{
	char bytes[16384];
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, bytes, sizeof bytes);
	need(n > 0, "/proc/self/status");
	fflush(stdout);
	need(write(1, bytes, (size_t)n) == n, "stdout");
	int kept = open("/proc/self/environ", O_RDONLY | O_CLOEXEC);
	printf("Dumpable:\t%d\nSecurebits:\t%d\nKeyring:\t%s\nEnviron:\t%s\nRegained:\t%d\n",
	       prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), prctl(PR_GET_SECUREBITS, 0, 0, 0, 0),
	       keyring >= 0 && session_keyring() == keyring ? "nursery" : "own", kept < 0 ? "closed" : "open",
	       setresuid(0, 0, 0) == 0 || setgroups(0, NULL) == 0);
	fflush(stdout);
}

/* As a container's filter: this system call fails with this error. */
static void
forbid(unsigned number, unsigned error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof code / sizeof *code, code };
	need(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0, "filter");
}

/* keys-WHICH-ERROR: which system calls are left that deal with keys. */
static void
forbid_keys(const char *name)
{
	unsigned error = strstr(name, "EPERM") != NULL ? EPERM : ENOSYS;
	forbid(SYS_keyctl, error);
	if (strncmp(name, "keys-none", 9) == 0 || strncmp(name, "keys-add", 8) == 0)
		forbid(SYS_request_key, error);
	if (strncmp(name, "keys-none", 9) == 0 || strncmp(name, "keys-request", 12) == 0)
		forbid(SYS_add_key, error);
}

/* What differs from the plain case. */
static void
prepare(const char *name, struct nursery_placement *p)
{
	struct rlimit limit = { 1, 1 };
	if (strcmp(name, "no-groups") == 0)
		p->group_count = 0;
	else if (strcmp(name, "gid-0") == 0)
		p->gid = 0;
	else if (strcmp(name, "many-groups") == 0)
		for (p->group_count = 0; p->group_count < NURSERY_GROUPS_MAX; p->group_count++)
			p->groups[p->group_count] = 4000000000U - p->group_count;
	else if (strcmp(name, "wider") == 0)
		need(prctl(PR_CAPBSET_DROP, KEPT_CAPABILITY, 0, 0, 0) == 0, "bounding set");
	else if (strcmp(name, "nothing") == 0)
		p->cap_bounding = 0;
	else if (strcmp(name, "everything") == 0)
		p->cap_bounding = UINT64_MAX;
	else if (strcmp(name, "full") == 0)
		need(setrlimit(RLIMIT_NPROC, &limit) == 0, "limit");
	else if (strcmp(name, "root") == 0)
		p->uid = 0;
	else if (strcmp(name, "no-setpcap") == 0) {
		struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3, .pid = 0 };
		struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
		need(syscall(SYS_capget, &header, data) == 0, "capget");
		data[0].effective &= ~(1U << CAP_SETPCAP);
		need(syscall(SYS_capset, &header, data) == 0, "capset");
	} else if (strcmp(name, "securebits") == 0)
		need(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) == 0, "securebits");
	else if (strncmp(name, "keys-", 5) == 0)
		forbid_keys(name);
	else
		need(strcmp(name, "plain") == 0, name);
}

int
main(int argc, char **argv)
{
	struct err e = ERR_INIT;
	need(argc == 2, "usage: drop_driver CASE");
	alarm(SECONDS);
	have_too_much();
	struct nursery_placement p = { .uid = UID, .gid = GID, .group_count = 3, .groups = { GID, 100, 70000 } };
	p.cap_bounding = bounding_set() & ~((uint64_t)1 << LOST_CAPABILITY);
	prepare(argv[1], &p);
	long keyring = session_keyring();
	access("/begin", F_OK); /* for who reads the trace */
	int result = drop_privileges(&p, &e);
	access("/end", F_OK);
	if (result < 0) {
		dprintf(2, "%s\n", e.text);
		_exit(EXIT_FAILED);
	}
	printf("Wanted:\t%" PRIx64 "\n", p.cap_bounding);
	print_status(keyring);
	_exit(0);
}
