/* SPDX-License-Identifier: BSD-3-Clause */
#include "become.h"

#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <linux/prctl.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"

#define ALL (NURSERY_FD_COUNT + BECOME_OURS) /* each at its index + 1 */
#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)
#define UMASK_MAX 0777
#define PROGRAM "pupitre-worker"
#define PRIVATE_VARIABLE "PUPITRE_PYTHON="
#define STAT_FIELDS 53 /* of /proc/self/stat, numbered as in proc(5) */

static bool utf8_mode;

/* --- descriptors and signals --- */

int
become_fds(const int fds[NURSERY_FD_COUNT], int ours[BECOME_OURS], int ret_kept[2], struct err *e)
{
	int high[ALL];
	for (int i = 0; i < ALL; i++) {
		int fd = i < NURSERY_FD_COUNT ? fds[i] : ours[i - NURSERY_FD_COUNT];
		bool is_there = fd >= 0 || i < NURSERY_FD_COUNT;
		high[i] = fd > ALL || !is_there ? fd : fcntl(fd, F_DUPFD_CLOEXEC, ALL + 1);
		if (high[i] < 0 && is_there)
			return err_system(e, "descriptor %d of %d", i + 1, ALL);
	}
	int empty = fd_open_empty(0); /* not close-on-exec: it may be 0 already */
	if (empty < 0 || dup2(empty, 0) < 0)
		return err_system(e, "an empty standard input");
	for (int i = 0; i < ALL; i++) {
		bool is_given = i < NURSERY_FD_PAYLOAD;
		if (high[i] < 0)
			close(i + 1);
		else if (dup3(high[i], i + 1, is_given ? 0 : O_CLOEXEC) < 0)
			return err_system(e, "descriptor %d of %d", i + 1, ALL);
	}
	if (close_range(ALL + 1, ~0U, 0) < 0)
		return err_system(e, "close_range");
	for (int i = 0; i < BECOME_OURS; i++)
		ours[i] = high[NURSERY_FD_COUNT + i] < 0 ? -1 : NURSERY_FD_COUNT + i + 1;
	ret_kept[0] = NURSERY_FD_PAYLOAD + 1;
	ret_kept[1] = NURSERY_FD_CWD + 1;
	return 0;
}

void
become_signals(void)
{
	const struct sigaction standard = { .sa_handler = SIG_DFL };
	const stack_t none = { .ss_flags = SS_DISABLE };
	struct sigaction is;
	sigset_t held;
	for (int number = 1; number <= SIGRTMAX; number++) {
		if (sigaction(number, NULL, &is) == 0 && is.sa_handler != SIG_DFL)
			sigaction(number, &standard, NULL);
	}
	sigaltstack(&none, NULL);
	sigemptyset(&held);
	sigaddset(&held, SIGINT);
	sigprocmask(SIG_SETMASK, &held, NULL);
}

/* --- the payload --- */

static int
check_strings(const struct payload *p, struct err *e)
{
	const char *at = p->strings, *end = p->strings + p->size;
	for (uint32_t i = 0; i < p->count; i++) {
		const char *nul = memchr(at, '\0', (size_t)(end - at));
		if (nul == NULL)
			return err_set(e, ERR_INVALID, "the payload ends in string %u of %u", i + 1, p->count);
		if (memchr(at, '=', (size_t)(nul - at)) == NULL)
			return err_set(e, ERR_INVALID, "string %u of the payload is no variable", i + 1);
		at = nul + 1;
	}
	return at == end ? 0 : err_set(e, ERR_INVALID, "the payload goes on after its last string");
}

int
become_parse(const void *bytes, size_t size, struct payload *ret, struct err *e)
{
	struct nursery_payload header;
	if (size > NURSERY_PAYLOAD_MAX)
		return err_set(e, ERR_LIMIT, "the payload has %zu bytes", size);
	if (size < sizeof header)
		return err_set(e, ERR_INVALID, "the payload has %zu bytes only", size);
	memcpy(&header, bytes, sizeof header);
	if (header.magic != NURSERY_MAGIC || header.version != NURSERY_VERSION)
		return err_set(e, ERR_INVALID, "the payload is of another version");
	if (header.size != size - sizeof header || header.umask > UMASK_MAX)
		return err_set(e, ERR_INVALID, "the payload's header is wrong");
	struct payload p = { .umask = header.umask,
			     .ignored = header.ignored,
			     .count = header.count,
			     .strings = (const char *)bytes + sizeof header,
			     .size = size - sizeof header };
	if (check_strings(&p, e) < 0)
		return -1;
	*ret = p;
	return 0;
}

int
become_open(int payload_fd, struct payload *ret, struct err *e)
{
	struct stat st;
	int seals = fcntl(payload_fd, F_GET_SEALS);
	if (seals < 0 || fstat(payload_fd, &st) < 0)
		return err_system(e, "the payload");
	if ((seals & SEALS) != SEALS)
		return err_set(e, ERR_INVALID, "the payload is not sealed");
	if (st.st_size < (off_t)sizeof(struct nursery_payload) || (uint64_t)st.st_size > NURSERY_PAYLOAD_MAX)
		return err_set(e, ERR_LIMIT, "the payload has %lld bytes", (long long)st.st_size);
	size_t size = (size_t)st.st_size;
	void *map = mmap(NULL, size, PROT_READ, MAP_PRIVATE, payload_fd, 0);
	if (map == MAP_FAILED)
		return err_system(e, "mapping the payload");
	if (become_parse(map, size, ret, e) < 0) {
		munmap(map, size);
		return -1;
	}
	ret->map = map;
	ret->map_size = size;
	return 0;
}

void
become_free(struct payload *payload)
{
	if (payload->map != NULL)
		munmap(payload->map, payload->map_size);
	*payload = (struct payload){ 0 };
}

void
become_ignored(const struct payload *payload)
{
	const struct sigaction ignore = { .sa_handler = SIG_IGN };
	for (int number = 1; number <= SIGRTMAX; number++) {
		if (payload->ignored >> (number - 1) & 1)
			sigaction(number, &ignore, NULL);
	}
}

int
become_move(const struct payload *payload, int cwd_fd, struct err *e)
{
	if (fchdir(cwd_fd) < 0)
		return err_system(e, "the caller's working directory");
	umask(payload->umask);
	return 0;
}

/* --- the environment --- */

/* The fields of /proc/self/stat from the 4th on. */
static int
read_stat(uint64_t ret[STAT_FIELDS])
{
	char text[2048];
	FD_AUTO fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (n <= 0)
		return -1;
	text[n] = '\0';
	char *at = strrchr(text, ')'); /* the name may hold anything, and one letter follows it */
	if (at == NULL || strlen(at) < 4)
		return -1;
	at += 3;
	for (int i = 4; i < STAT_FIELDS; i++) {
		char *end;
		ret[i] = strtoull(at, &end, 10); /* negative ones are not among those we want */
		if (end == at)
			return -1;
		at = end;
	}
	return 0;
}

/* Let /proc/self/{cmdline,environ} show these bytes, which must stay. A kernel that cannot goes on showing the template's. */
static void
show_memory(const char *arguments, const char *environment, const char *end)
{
	uint64_t stat[STAT_FIELDS];
	if (read_stat(stat) < 0)
		return;
	struct prctl_mm_map map = {
		.start_code = stat[26],
		.end_code = stat[27],
		.start_stack = stat[28],
		.start_data = stat[45],
		.end_data = stat[46],
		.start_brk = stat[47],
		.brk = (uint64_t)(uintptr_t)sbrk(0),
		.arg_start = (uint64_t)(uintptr_t)arguments,
		.arg_end = (uint64_t)(uintptr_t)environment,
		.env_start = (uint64_t)(uintptr_t)environment,
		.env_end = (uint64_t)(uintptr_t)end,
		.exe_fd = UINT32_MAX,
	};
	prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0);
}

/* One allocation, never freed: the array, our own name, the strings. */
static int
replace_environ(const struct payload *p, struct err *e)
{
	size_t array = ((size_t)p->count + 1) * sizeof(char *);
	/* Memory of no file: /proc shows nothing else as arguments or environment. */
	char *block = mmap(NULL, array + sizeof PROGRAM + p->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);
	if (block == MAP_FAILED)
		return err_memory(e);
	char **variables = (char **)(void *)block;
	char *name = block + array, *first = name + sizeof PROGRAM, *end = first;
	memcpy(name, PROGRAM, sizeof PROGRAM);
	program_invocation_name = program_invocation_short_name = name;
	const char *at = p->strings;
	size_t count = 0;
	for (uint32_t i = 0; i < p->count; i++) {
		size_t size = strlen(at) + 1;
		if (strncmp(at, PRIVATE_VARIABLE, sizeof PRIVATE_VARIABLE - 1) != 0) {
			variables[count++] = memcpy(end, at, size);
			end += size;
		}
		at += size;
	}
	variables[count] = NULL;
	clearenv();
	environ = variables;
	show_memory(name, first, end);
	return 0;
}

/* --- the locale, as CPython's pre-initialization leaves it (PEP 538, PEP 540) --- */

/* The C locale, when nothing forces it, becomes one with UTF-8, and so for what user code starts. */
static void
coerce_locale(void)
{
	static const char *const targets[] = { "C.UTF-8", "C.utf8", "UTF-8" };
	const char *forced = getenv("LC_ALL");
	if (forced != NULL && *forced != '\0')
		return;
	for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
		if (setlocale(LC_CTYPE, targets[i]) == NULL)
			continue;
		if (setenv("LC_CTYPE", targets[i], 1) == 0)
			setlocale(LC_ALL, "");
		return;
	}
}

static int
become_locale(struct err *e)
{
	setlocale(LC_ALL, "C");
	setlocale(LC_CTYPE, "");
	utf8_mode = strcmp(setlocale(LC_CTYPE, NULL), "C") == 0;
	if (utf8_mode)
		coerce_locale();
	setlocale(LC_CTYPE, "");
	const char *encoding = nl_langinfo(CODESET);
	if (strcmp(encoding, "UTF-8") != 0)
		return err_set(e, ERR_INVALID, "the encoding of the caller's locale is %.40s", encoding);
	return 0;
}

int
become_environment(const struct payload *payload, struct err *e)
{
	if (replace_environ(payload, e) < 0)
		return -1;
	tzset();
	return become_locale(e);
}

bool
become_has_utf8_mode(void)
{
	return utf8_mode;
}
