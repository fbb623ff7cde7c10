/* SPDX-License-Identifier: BSD-3-Clause */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/proc.h"

static const char status[] =
	"Name:\tUid:\t7\nUmask:\t0022\nUid:\t1000\t1001\t1002\t1003\nGroups:\t4 24 \nCapBnd:\t000001ffFEffffff\n"
	"NoNewPrivs:\t0\nSeccomp:\t2\nSeccomp_filters:\t3";

static int
folder_with(const char *name, const char *text)
{
	char path[] = "/tmp/pupitre-proc-XXXXXX";
	assert_non_null(mkdtemp(path));
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int file = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(file, text, strlen(text)), strlen(text));
	close(file);
	assert_int_equal(rmdir(path) < 0 ? errno : 0, ENOTEMPTY);
	return dir;
}

static void
forget(int dir, const char *name)
{
	char path[64], link[200];
	snprintf(path, sizeof path, "/proc/self/fd/%d", dir);
	ssize_t size = readlink(path, link, sizeof link - 1);
	assert_true(size > 0);
	link[size] = '\0';
	assert_int_equal(unlinkat(dir, name, 0), 0);
	assert_int_equal(rmdir(link), 0);
	close(dir);
}

static void
test_read(void **state)
{
	(void)state;
	static char longest[PROC_TEXT_MAX + 1], text[PROC_TEXT_MAX];
	memset(longest, 'x', PROC_TEXT_MAX);
	static const struct {
		size_t size;
		ssize_t result;
	} cases[] = { { 0, 0 }, { 1, 1 }, { PROC_TEXT_MAX - 1, PROC_TEXT_MAX - 1 }, { PROC_TEXT_MAX, -EFBIG } };
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		longest[cases[i].size] = '\0';
		int dir = folder_with("f", longest);
		assert_int_equal(proc_read(dir, "f", text), cases[i].result);
		assert_int_equal(strlen(text), cases[i].result < 0 ? 0 : cases[i].result);
		forget(dir, "f");
		longest[cases[i].size] = 'x';
	}
	strcpy(text, "before");
	assert_int_equal(proc_read(AT_FDCWD, "/proc/self/no_such_file", text), -ENOENT);
	assert_string_equal(text, "");
	assert_int_equal(proc_read(AT_FDCWD, "/proc", text), -EISDIR);
}

static void
test_number_of_a_file(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int base;
		int64_t number;
	} cases[] = { { "12\n", 10, 12 },
		      { "-1000\n", 10, -1000 },
		      { "00000033\n", 16, 0x33 },
		      { "", 10, 7 },
		      { "x\n", 10, 7 } };
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int dir = folder_with("n", cases[i].text);
		assert_int_equal(proc_number(dir, "n", cases[i].base, 7), cases[i].number);
		assert_true(cases[i].number != 7 || errno == EINVAL);
		forget(dir, "n");
	}
	assert_true(proc_number(AT_FDCWD, "/proc/self/no_such_file", 10, PROC_NO_NUMBER) == PROC_NO_NUMBER);
	assert_int_equal(errno, ENOENT);
}

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
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_number_of_a_file),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_same_line),
		cmocka_unit_test(test_limits_of_this_kernel),
		cmocka_unit_test(test_limits_malformed),
		cmocka_unit_test(test_cgroups),
		cmocka_unit_test(test_cgroup_too_long),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
