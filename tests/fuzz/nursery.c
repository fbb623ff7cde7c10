/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/proc.h"
#include "fuzz.h"
#include "nursery/datagram.h"
#include "nursery/listener/policy.h"

/* What the listener takes apart: datagrams of strangers and templates, files of /proc, and the order in which users come. The first byte
 * says which of them the rest is. */

static void
try_request(const uint8_t *data, size_t size)
{
	struct nursery_request r = { 0 };
	size_t fd_count = data[0];
	memcpy(&r, data + 1, size - 1 < sizeof r ? size - 1 : sizeof r);
	enum nursery_reason reason = datagram_check_request(&r, size - 1, fd_count);
	require(reason == NURSERY_OK || reason == NURSERY_BAD_REQUEST || reason == NURSERY_BAD_BUILD);
	if (reason != NURSERY_OK)
		return;
	require(size - 1 == sizeof r && r.magic == NURSERY_MAGIC && r.version == NURSERY_VERSION);
	require(strcmp(r.build, NURSERY_BUILD) == 0 && r.op >= NURSERY_START && r.op <= NURSERY_RELOAD);
	require(fd_count == (r.op == NURSERY_START ? NURSERY_FD_COUNT : 0));
}

static void
try_report(const uint8_t *data, size_t size)
{
	struct nursery_report r = { 0 };
	size_t fd_count = data[0];
	memcpy(&r, data + 1, size - 1 < sizeof r ? size - 1 : sizeof r);
	if (datagram_check_report(&r, size - 1, fd_count) != NURSERY_OK)
		return;
	require(size - 1 == sizeof r && fd_count == (r.op == NURSERY_FORKED) && r.reason < NURSERY_REASON_COUNT);
	require(r.pid > 0 || (r.op != NURSERY_FORKED && r.op != NURSERY_CHANGED));
	require(memchr(r.text, '\0', sizeof r.text) != NULL && nursery_reason_text(r.reason) != NULL);
	require(datagram_verdict(r.reason) == NURSERY_COLD || datagram_verdict(r.reason) == NURSERY_FINAL);
	for (const char *at = r.text; *at != '\0'; at++)
		require(*at >= ' ' && *at <= '~');
}

/* Two texts, the first up to a NUL. */
static void
try_proc(const char *a, const char *b)
{
	static const char *const names[] = { "Uid", "Groups", "CapBnd", "Seccomp" };
	uint64_t numbers[4], limits[NURSERY_LIMITS][2];
	struct proc_cgroup lines[NURSERY_CGROUPS_MAX];
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		bool found = proc_numbers(a, names[i], i == 2 ? 16 : 10, 4, numbers);
		require(!found || strstr(a, names[i]) != NULL);
		require(proc_same_line(a, a, names[i]) &&
			proc_same_line(a, b, names[i]) == proc_same_line(b, a, names[i]));
	}
	if (proc_limits(a, limits, NURSERY_LIMITS))
		require(strlen(a) > NURSERY_LIMITS * sizeof "cpu");
	require(proc_cgroups(a, a, lines, NURSERY_CGROUPS_MAX) == 0);
	int count = proc_cgroups(a, b, lines, NURSERY_CGROUPS_MAX);
	require(count >= -1 && count <= NURSERY_CGROUPS_MAX);
	for (int i = 0; i < count; i++) {
		const struct proc_cgroup *l = &lines[i];
		require(l->path[0] == '/' && l->path_size > 0 && l->path_size < PROC_CGROUP_MAX &&
			l->controllers_size >= 0);
		require(l->path > b && l->path + l->path_size <= b + strlen(b) && l->controllers > b);
		require(memchr(l->path, '\n', (size_t)l->path_size) == NULL);
	}
}

/* Each byte is one thing that one of eight users does; what they have is counted here once more. */
static void
try_policy(const uint8_t *data, size_t size)
{
	struct policy p = { .max_total = data[0] % 8, .max_per_user = data[0] / 8 % 4, .burst = data[0] / 32 };
	uint32_t waiting[8] = { 0 }, kernels[8] = { 0 }, all_kernels = 0;
	long long now = 0;
	for (size_t i = 1; i < size; i++) {
		uint32_t uid = data[i] % 8;
		struct policy_user *u = policy_user(&p, uid, now);
		require(u != NULL);
		switch (data[i] / 8 % 6) {
		case 0:
			u->waiting++;
			waiting[uid]++;
			break;
		case 1:
			u->waiting -= waiting[uid] > 0;
			waiting[uid] -= waiting[uid] > 0;
			break;
		case 2:
			if (policy_admit(&p, u, now) == NURSERY_OK)
				all_kernels += ++kernels[uid] > 0;
			break;
		case 3:
			if (kernels[uid] > 0)
				policy_release(&p, u);
			all_kernels -= kernels[uid] > 0 ? kernels[uid]-- > 0 : 0;
			break;
		default: now += data[i] * 10; break;
		}
		require(p.kernels == all_kernels);
		require(p.max_total == 0 || p.kernels <= p.max_total);
		require(p.max_per_user == 0 || kernels[uid] <= p.max_per_user);
		u = policy_user(&p, uid, now);
		require(u != NULL && u->kernels == kernels[uid] && u->waiting == waiting[uid]);
	}
	size_t count = 0;
	for (struct policy_user *next, *u = p.users; u != NULL; u = next, count++) {
		next = u->next;
		free(u);
	}
	require(count <= 8);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	if (data[0] % 4 == 0)
		try_request(data + 1, size - 1);
	else if (data[0] % 4 == 1)
		try_report(data + 1, size - 1);
	else if (data[0] % 4 == 2)
		try_policy(data + 1, size - 1);
	if (data[0] % 4 != 3)
		return 0;
	/* Copies of exactly their size, so that a sanitizer sees the first byte read behind them. */
	char *b = malloc(size);
	require(b != NULL);
	memcpy(b, data + 1, size - 1);
	b[size - 1] = '\0';
	size_t first = strlen(b);
	char *a = strdup(b);
	require(a != NULL);
	memmove(b, b + (first < size - 1 ? first + 1 : first), size - 1 - first);
	b[size - 1 - (first < size - 1 ? first + 1 : first)] = '\0';
	try_proc(a, b);
	free(a);
	free(b);
	return 0;
}
