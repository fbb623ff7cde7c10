/* SPDX-License-Identifier: BSD-3-Clause */
#include "unit.h"

#include <sys/resource.h>
#include <unistd.h>

#include "base/proc.h"

static const char status[] =
	"Name:\tUid:\t7\nUmask:\t0022\nUid:\t1000\t1001\t1002\t1003\nGroups:\t4 24 \nCapBnd:\t000001ffFEffffff\n"
	"NoNewPrivs:\t0\nSeccomp:\t2\nSeccomp_filters:\t3";

static void
test_numbers(void **state)
{
	(void)state;
	uint64_t n[5] = { 0 };
	assert_true(proc_numbers(status, "Uid", 10, 4, n));
	assert_true(n[0] == 1000 && n[1] == 1001 && n[2] == 1002 && n[3] == 1003);
	assert_true(proc_numbers(status, "CapBnd", 16, 1, n));
	assert_true(n[0] == 0x1fffeffffff);
	assert_true(proc_numbers(status, "Seccomp", 10, 1, n));
	assert_int_equal(n[0], 2);
	assert_true(proc_numbers(status, "Seccomp_filters", 10, 1, n));
	assert_int_equal(n[0], 3);
	static const struct {
		const char *text, *name;
		int base;
		size_t count;
	} bad[] = {
		{ status, "Gid", 10, 4 },     /* not there */
		{ status, "Uid", 10, 5 },     /* one number fewer: that of the next line is not taken */
		{ status, "Ui", 10, 1 },      /* no name of a line */
		{ status, "id", 10, 1 },      /* nor this */
		{ "", "Uid", 10, 1 },         /* nothing */
		{ "Uid:", "Uid", 10, 1 },     /* no number */
		{ "Uid:\t-1", "Uid", 10, 1 }, /* a sign */
		{ "Uid:\t+1", "Uid", 10, 1 }, /* another */
		{ "Uid:\tx", "Uid", 10, 1 },  /* a word */
		{ "Uid:\ta", "Uid", 10, 1 },  /* a digit of another base */
		{ "Uid:\n1", "Uid", 10, 1 },  /* on the next line */
		{ "Uid:\t18446744073709551616", "Uid", 10, 1 },    /* 2^64 */
		{ "CapBnd:\t10000000000000000", "CapBnd", 16, 1 }, /* the same */
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(proc_numbers(bad[i].text, bad[i].name, bad[i].base, bad[i].count, n));
}

static void
test_same_line(void **state)
{
	(void)state;
	assert_true(proc_same_line(status, status, "Groups"));
	assert_true(proc_same_line("A:\t1\nB:\t2\n", "B:\t2", "B"));
	assert_true(proc_same_line("A:\t1\n", "A:\t1\n", "B"));
	assert_false(proc_same_line("A:\t1\n", "B:\t1\n", "A"));
	assert_false(proc_same_line("B:\t1\n", "A:\t1\n", "A"));
	assert_false(proc_same_line("A:\t1\n", "A:\t12\n", "A"));
	assert_false(proc_same_line("A:\t12\n", "A:\t1\n", "A"));
	assert_false(proc_same_line("A:\t1\n", "A:\t2\n", "A"));
}

/* The file that the kernel makes, by what it says to getrlimit. */
static void
test_limits_of_this_kernel(void **state)
{
	(void)state;
	uint64_t limits[RLIM_NLIMITS][2];
	char text[8192];
	FILE *file = fopen("/proc/self/limits", "re");
	assert_non_null(file);
	text[fread(text, 1, sizeof text - 1, file)] = '\0';
	fclose(file);
	assert_true(proc_limits(text, limits, RLIM_NLIMITS));
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		struct rlimit is;
		assert_int_equal(getrlimit((__rlimit_resource_t)i, &is), 0);
		assert_true(limits[i][0] == is.rlim_cur && limits[i][1] == is.rlim_max);
	}
	assert_false(proc_limits(text, limits, RLIM_NLIMITS - 1)); /* one more than we know of */
	*strrchr(text, 'M') = '\0';
	assert_false(proc_limits(text, limits, RLIM_NLIMITS)); /* one fewer */
}

static void
test_limits_malformed(void **state)
{
	(void)state;
	uint64_t limits[1][2];
	static const char head[] = "Limit                     Soft Limit           Hard Limit           Units     \n";
	static const struct {
		const char *line;
		bool good;
	} cases[] = {
		{ "Max cpu time              unlimited            12                   seconds   \n", true },
		{ "Max cpu time              12                   18446744073709551615 seconds", true },
		{ "Max cpu time              12                   \n", false },
		{ "Max cpu time              \n", false },
		{ "Max cpu time\n", false },
		{ "Max cpu time              none                 12                   seconds   \n", false },
		{ "Max cpu time              12                   18446744073709551616 seconds   \n", false },
		{ "", false },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char text[400];
		snprintf(text, sizeof text, "%s%s", head, cases[i].line);
		assert_int_equal(proc_limits(text, limits, 1), cases[i].good);
	}
}

static void
assert_cgroup(const struct proc_cgroup *is, const char *controllers, const char *path)
{
	assert_int_equal(is->controllers_size, strlen(controllers));
	assert_memory_equal(is->controllers, controllers, strlen(controllers));
	assert_int_equal(is->path_size, strlen(path));
	assert_memory_equal(is->path, path, strlen(path));
}

static void
test_cgroups(void **state)
{
	(void)state;
	static const char ours[] = "9:name=systemd:/a\n4:cpu,cpuacct:/\n1:memory:/m\n0::/s\n";
	struct proc_cgroup lines[4];
	assert_int_equal(proc_cgroups(ours, ours, lines, 4), 0);
	assert_int_equal(proc_cgroups(ours, "", lines, 4), 0);
	assert_int_equal(proc_cgroups(ours, "9:name=systemd:/b\n4:cpu,cpuacct:/\n1:memory:/m/n:o\n0::/t\n", lines, 4),
			 3);
	assert_cgroup(&lines[0], "name=systemd", "/b");
	assert_cgroup(&lines[1], "memory", "/m/n:o"); /* a colon may be part of a cgroup's name */
	assert_cgroup(&lines[2], "", "/t");
	assert_int_equal(proc_cgroups("", "0::/\n", lines, 4), 1);
	assert_cgroup(&lines[0], "", "/");
	/* The end of a line of ours is not a line of ours. */
	assert_int_equal(proc_cgroups("0::/ab\n", "0::/a\n", lines, 4), 1);
	assert_int_equal(proc_cgroups("0::/a\n", "0::/ab\n", lines, 4), 1);
	static const char *const bad[] = { "\n", "0\n", "0:\n", "0::\n", "0::a\n", "0:/a\n", ":\n", "x" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(proc_cgroups(ours, bad[i], lines, 4), -1);
	assert_int_equal(proc_cgroups(ours, "0::/1\n0::/2\n0::/3\n0::/4\n", lines, 4), 4);
	assert_int_equal(proc_cgroups(ours, "0::/1\n0::/2\n0::/3\n0::/4\n0::/5\n", lines, 4), -1);
}

static void
test_cgroup_too_long(void **state)
{
	(void)state;
	struct proc_cgroup line;
	char text[PROC_CGROUP_MAX + 8];
	memset(text, 'x', sizeof text);
	memcpy(text, "0::/", 4);
	text[PROC_CGROUP_MAX + 1] = '\0';
	assert_int_equal(proc_cgroups("", text, &line, 1), -1);
	text[PROC_CGROUP_MAX] = '\0';
	assert_int_equal(proc_cgroups("", text, &line, 1), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_same_line),
		cmocka_unit_test(test_limits_of_this_kernel),
		cmocka_unit_test(test_limits_malformed),
		cmocka_unit_test(test_cgroups),
		cmocka_unit_test(test_cgroup_too_long),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
