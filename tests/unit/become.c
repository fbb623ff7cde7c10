/* SPDX-License-Identifier: BSD-3-Clause */
#include "child.h"

#include <locale.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "nursery/template/become.h"

#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)

static const char strings[] = "HOME=/home/x\0LANG=C.UTF-8\0EMPTY=\0PUPITRE_PYTHON=/bin/python3\0TZ=UTC-5\0A=b=c";
#define STRINGS 6

/* Owned descriptor of a payload. `change` is added to the header's size. */
static int
make_payload(const char *bytes, size_t size, uint32_t count, int seals)
{
	struct nursery_payload header = { NURSERY_MAGIC, NURSERY_VERSION, 027, count, size, 0 };
	int fd = memfd_create("payload", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, &header, sizeof header), sizeof header);
	assert_int_equal(write(fd, bytes, size), size);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

/* --- payload --- */

static void
test_open_a_payload(void **state)
{
	(void)state;
	struct payload p;
	int fd = make_payload(strings, sizeof strings, STRINGS, SEALS);
	assert_works(become_open(fd, &p, &e));
	assert_int_equal(p.umask, 027);
	assert_int_equal(p.count, STRINGS);
	assert_int_equal(p.size, sizeof strings);
	assert_memory_equal(p.strings, strings, sizeof strings);
	become_free(&p);
	assert_null(p.map);
	become_free(&p);
	close(fd);
	fd = make_payload("", 0, 0, SEALS);
	assert_works(become_open(fd, &p, &e));
	assert_int_equal(p.count, 0);
	become_free(&p);
	close(fd);
}

static void
test_open_only_what_cannot_change(void **state)
{
	(void)state;
	static const int incomplete[] = { 0, F_SEAL_WRITE | F_SEAL_SHRINK, F_SEAL_WRITE | F_SEAL_GROW,
					  F_SEAL_SHRINK | F_SEAL_GROW };
	struct payload p;
	for (size_t i = 0; i < sizeof incomplete / sizeof *incomplete; i++) {
		int fd = make_payload(strings, sizeof strings, STRINGS, incomplete[i]);
		assert_fails(become_open(fd, &p, &e), ERR_INVALID);
		close(fd);
	}
	int fds[2];
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_fails(become_open(fds[0], &p, &e), ERR_SYSTEM);
	assert_fails(become_open(-1, &p, &e), ERR_SYSTEM);
	close(fds[0]);
	close(fds[1]);
}

static void
test_open_nothing_too_large(void **state)
{
	(void)state;
	struct payload p;
	int fd = memfd_create("payload", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(fd, (off_t)NURSERY_PAYLOAD_MAX + 1), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, SEALS), 0);
	assert_fails(become_open(fd, &p, &e), ERR_LIMIT);
	close(fd);
	fd = memfd_create("payload", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, SEALS), 0);
	assert_fails(become_open(fd, &p, &e), ERR_LIMIT);
	close(fd);
}

struct malformed {
	const char *why;
	const char *bytes;
	size_t size;
	struct nursery_payload header;
};

#define MALFORMED(why, bytes, magic, version, umask, count, size) \
	{                                                         \
		why, bytes, sizeof(bytes) - 1,                    \
		{                                                 \
			magic, version, umask, count, size, 0     \
		}                                                 \
	}

static void
test_refuse_what_is_malformed(void **state)
{
	(void)state;
	static const struct malformed all[] = {
		MALFORMED("magic", "A=\0", 1, NURSERY_VERSION, 0, 1, 3),
		MALFORMED("version", "A=\0", NURSERY_MAGIC, NURSERY_VERSION + 1, 0, 1, 3),
		MALFORMED("umask", "A=\0", NURSERY_MAGIC, NURSERY_VERSION, 01000, 1, 3),
		MALFORMED("size less", "A=\0", NURSERY_MAGIC, NURSERY_VERSION, 0, 1, 2),
		MALFORMED("size more", "A=\0", NURSERY_MAGIC, NURSERY_VERSION, 0, 1, UINT64_MAX - 2),
		MALFORMED("count less", "A=\0B=\0", NURSERY_MAGIC, NURSERY_VERSION, 0, 1, 6),
		MALFORMED("count more", "A=\0B=\0", NURSERY_MAGIC, NURSERY_VERSION, 0, 3, 6),
		MALFORMED("count much more", "A=\0B=\0", NURSERY_MAGIC, NURSERY_VERSION, 0, UINT32_MAX, 6),
		MALFORMED("no NUL", "A=\0B=", NURSERY_MAGIC, NURSERY_VERSION, 0, 2, 5),
		MALFORMED("no sign", "A=\0B\0", NURSERY_MAGIC, NURSERY_VERSION, 0, 2, 5),
		MALFORMED("empty string", "A=\0\0", NURSERY_MAGIC, NURSERY_VERSION, 0, 2, 4),
		MALFORMED("rest", "A=\0rest", NURSERY_MAGIC, NURSERY_VERSION, 0, 1, 7),
	};
	char bytes[sizeof(struct nursery_payload) + 32];
	struct payload p = { .umask = 4711 };
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		print_message("%s\n", all[i].why);
		memcpy(bytes, &all[i].header, sizeof all[i].header);
		memcpy(bytes + sizeof all[i].header, all[i].bytes, all[i].size);
		assert_fails(become_parse(bytes, sizeof all[i].header + all[i].size, &p, &e), ERR_INVALID);
	}
	for (size_t size = 0; size < sizeof(struct nursery_payload); size++)
		assert_fails(become_parse(bytes, size, &p, &e), ERR_INVALID);
	assert_fails(become_parse(bytes, NURSERY_PAYLOAD_MAX + 1, &p, &e), ERR_LIMIT);
	assert_int_equal(p.umask, 4711);
}

/* --- descriptors --- */

/* A file of its own for each descriptor, so that fstat tells them apart. */
static ino_t
inode_of(int fd)
{
	struct stat st;
	child_require(fstat(fd, &st) == 0);
	return st.st_ino;
}

static void
hand_over(const void *numbers)
{
	const int *wanted = numbers;
	int fds[NURSERY_FD_COUNT], kept[2];
	ino_t inodes[NURSERY_FD_COUNT];
	int errors = fcntl(2, F_DUPFD_CLOEXEC, 300);
	for (int i = 0; i < NURSERY_FD_COUNT; i++) {
		int fd = memfd_create("one", MFD_CLOEXEC);
		int far = fcntl(fd, F_DUPFD_CLOEXEC, 200);
		child_require(fd >= 0 && far >= 200);
		inodes[i] = inode_of(far);
		fds[i] = far;
		close(fd);
	}
	close_range(0, 199, 0);
	for (int i = 0; i < NURSERY_FD_COUNT; i++) {
		child_require(dup3(fds[i], wanted[i], O_CLOEXEC) == wanted[i]);
		fds[i] = wanted[i];
	}
	struct err e = ERR_INIT;
	int none[BECOME_OURS] = { -1, -1 };
	int result = become_fds(fds, none, kept, &e);
	dup3(2, 300, O_CLOEXEC); /* ours is closed as everything else was */
	(void)errors;
	child_require(result == 0 && kept[0] == 9 && kept[1] == 10);
	for (int i = 0; i < NURSERY_FD_COUNT; i++) {
		child_require(inode_of(i + 1) == inodes[i]);
		child_require(fcntl(i + 1, F_GETFD) == (i + 1 >= 9 ? FD_CLOEXEC : 0));
	}
	struct stat null, zero;
	child_require(stat("/dev/null", &null) == 0 && fstat(0, &zero) == 0 && null.st_rdev == zero.st_rdev);
	child_require((fcntl(0, F_GETFL) & O_ACCMODE) == O_RDONLY && fcntl(0, F_GETFD) == 0);
	close(300);
	for (int fd = 11; fd < 400; fd++)
		child_require(fcntl(fd, F_GETFD) < 0 && errno == EBADF);
}

static void
test_descriptors_from_any_numbers(void **state)
{
	(void)state;
	static const int all[][NURSERY_FD_COUNT] = {
		{ 20, 21, 22, 23, 24, 25, 26, 27, 28, 29 }, /* as a template receives them */
		{ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 },          /* in place */
		{ 10, 9, 8, 7, 6, 5, 4, 3, 2, 1 },          /* mirrored */
		{ 2, 3, 4, 5, 6, 7, 8, 9, 10, 1 },          /* round by one */
		{ 9, 8, 7, 6, 5, 4, 3, 2, 1, 0 },           /* with 0 */
		{ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 },           { 11, 1, 12, 2, 13, 3, 14, 4, 15, 5 },
	};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		print_message("case %zu\n", i);
		run_in_child(hand_over, all[i]);
	}
}

static void
hand_over_too_few(const void *missing)
{
	int fds[NURSERY_FD_COUNT], kept[2];
	for (int i = 0; i < NURSERY_FD_COUNT; i++)
		fds[i] = memfd_create("one", MFD_CLOEXEC);
	int at = *(const int *)missing;
	close(fds[at]);
	fds[at] = at % 2 == 0 ? -1 : 150;
	struct err e = ERR_INIT;
	int none[BECOME_OURS] = { -1, -1 };
	child_require(become_fds(fds, none, kept, &e) == -1 && e.code == ERR_SYSTEM);
}

static void
test_a_missing_descriptor_is_an_error(void **state)
{
	(void)state;
	for (int i = 0; i < NURSERY_FD_COUNT; i++)
		run_in_child(hand_over_too_few, &i);
}

/* --- signals --- */

static void
on_signal(int number)
{
	(void)number;
}

static void
reset_signals(const void *unused)
{
	(void)unused;
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_ONSTACK };
	static char stack[1 << 16];
	stack_t alternate = { .ss_sp = stack, .ss_size = sizeof stack };
	sigset_t all;
	for (int i = 1; i <= SIGRTMAX; i++)
		sigaction(i, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	child_require(sigaltstack(&alternate, NULL) == 0);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	become_signals();
	const char *status = "/proc/self/status";
	child_require(number_of(status, "SigIgn:", 16) == 0);
	child_require(number_of(status, "SigCgt:", 16) == 0);
	child_require(number_of(status, "SigBlk:", 16) == 1LL << (SIGINT - 1));
	struct payload p = { .ignored = 1ULL << (SIGHUP - 1) | 1ULL << (SIGUSR1 - 1) | 1ULL << (SIGKILL - 1) };
	become_ignored(&p);
	child_require((uint64_t)number_of(status, "SigIgn:", 16) == (p.ignored & ~(1ULL << (SIGKILL - 1))));
	child_require(sigaltstack(NULL, &alternate) == 0 && (alternate.ss_flags & SS_DISABLE) != 0);
}

static void
test_signals_as_after_exec(void **state)
{
	(void)state;
	run_in_child(reset_signals, NULL);
}

/* --- place and environment --- */

static void
move(const void *directory)
{
	struct payload p = { .umask = 027 };
	int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	child_works(become_move(&p, fd, &e));
	char now[256];
	child_require(getcwd(now, sizeof now) != NULL && strcmp(now, directory) == 0);
	child_require(umask(0) == 027);
	child_fails(become_move(&p, -1, &e), ERR_SYSTEM);
	int file = open("/proc/self/status", O_PATH | O_CLOEXEC);
	child_fails(become_move(&p, file, &e), ERR_SYSTEM);
}

static void
test_move(void **state)
{
	(void)state;
	run_in_child(move, "/proc");
}

static void
read_whole(const char *path, char *ret, size_t size, size_t *ret_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, ret, size);
	child_require(n >= 0);
	close(fd);
	*ret_size = (size_t)n;
}

static void
replace(const void *unused)
{
	(void)unused;
	struct payload p;
	char bytes[512];
	size_t size;
	struct nursery_payload header = { NURSERY_MAGIC, NURSERY_VERSION, 0, STRINGS, sizeof strings, 0 };
	memcpy(bytes, &header, sizeof header);
	memcpy(bytes + sizeof header, strings, sizeof strings);
	setenv("LEFT_OVER", "1", 1);
	child_works(become_parse(bytes, sizeof header + sizeof strings, &p, &e));
	child_works(become_environment(&p, &e));
	memset(bytes, 'x', sizeof bytes);
	static const char *const wanted[] = { "HOME=/home/x", "LANG=C.UTF-8", "EMPTY=", "TZ=UTC-5", "A=b=c" };
	for (size_t i = 0; i < 5; i++)
		child_require(strcmp(environ[i], wanted[i]) == 0);
	child_require(environ[5] == NULL);
	child_require(getenv("LEFT_OVER") == NULL && strcmp(getenv("A"), "b=c") == 0);
	child_require(timezone == -5 * 3600);
	child_require(strcmp(setlocale(LC_CTYPE, NULL), "C.UTF-8") == 0 && !become_has_utf8_mode());
	read_whole("/proc/self/environ", bytes, sizeof bytes, &size);
	static const char shown[] = "HOME=/home/x\0LANG=C.UTF-8\0EMPTY=\0TZ=UTC-5\0A=b=c";
	child_require(size == sizeof shown && memcmp(bytes, shown, size) == 0);
	read_whole("/proc/self/cmdline", bytes, sizeof bytes, &size);
	child_require(size == sizeof "pupitre-worker" && strcmp(bytes, "pupitre-worker") == 0);
	child_require(setenv("NEW", "1", 1) == 0 && unsetenv("A") == 0 && getenv("A") == NULL);
	child_require(clearenv() == 0 && getenv("HOME") == NULL);
}

static void
test_environment(void **state)
{
	(void)state;
	run_in_child(replace, NULL);
}

static bool no_memory;
void *__real_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);

void *
__wrap_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
	return no_memory ? MAP_FAILED : __real_mmap(address, size, protection, flags, fd, offset);
}

static void
have_no_memory(const void *unused)
{
	(void)unused;
	static const char one[] = "A=1";
	struct payload p = { .count = 1, .strings = one, .size = sizeof one };
	no_memory = true;
	child_fails(become_environment(&p, &e), ERR_MEMORY);
}

static void
test_no_memory_for_the_environment(void **state)
{
	(void)state;
	run_in_child(have_no_memory, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open_a_payload),
		cmocka_unit_test(test_open_only_what_cannot_change),
		cmocka_unit_test(test_open_nothing_too_large),
		cmocka_unit_test(test_refuse_what_is_malformed),
		cmocka_unit_test(test_descriptors_from_any_numbers),
		cmocka_unit_test(test_a_missing_descriptor_is_an_error),
		cmocka_unit_test(test_signals_as_after_exec),
		cmocka_unit_test(test_move),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_no_memory_for_the_environment),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
