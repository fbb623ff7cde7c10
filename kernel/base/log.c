/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"

#define FOREIGN_MAX 2000 /* bytes */

static const char *program_name = "pupitre";
static enum log_level level_shown = LOG_WARNING;
static unsigned lines_per_second = 20;

static const char *const level_names[] = {
	[LOG_QUIET] = "quiet", [LOG_ERROR] = "error", [LOG_WARNING] = "warning",
	[LOG_INFO] = "info",   [LOG_DEBUG] = "debug",
};

void
log_init(const char *program, enum log_level level)
{
	program_name = program;
	level_shown = level;
}

void
log_time(char ret[LOG_TIME_SIZE])
{
	struct tm parts;
	time_t now = time(NULL);
	ret[0] = '\0';
	if (localtime_r(&now, &parts) != NULL)
		strftime(ret, LOG_TIME_SIZE, "%Y-%m-%dT%H:%M:%S%z", &parts);
}

void
log_limit(unsigned lines)
{
	lines_per_second = lines;
}

enum log_level
log_level_get(void)
{
	return level_shown;
}

enum log_level
log_level_named(const char *name)
{
	for (enum log_level level = LOG_QUIET; level <= LOG_DEBUG; level++) {
		if (strcmp(name, level_names[level]) == 0)
			return level;
	}
	return LOG_WARNING;
}

/* Whether this line may be written; *ret_left_out is the number of lines dropped before it. NULL: the next line will tell. */
static int
within_rate(unsigned *ret_left_out)
{
	static long long second;
	static unsigned written, dropped;
	long long now = clock_ms() / 1000;
	if (now != second) {
		second = now;
		written = 0;
	}
	if (level_shown < LOG_DEBUG && written >= lines_per_second) {
		dropped++;
		return 0;
	}
	written++;
	if (ret_left_out != NULL) {
		*ret_left_out = dropped;
		dropped = 0;
	}
	return 1;
}

/* What a client sent may stand in a line, but may not end it. */
static void
replace_controls(char *text, char allowed)
{
	for (; *text != '\0'; text++) {
		if (((unsigned char)*text < 0x20 || *text == 0x7f) && *text != allowed)
			*text = '?';
	}
}

/* Whoever should read this may have stopped to; a line fits what a writable pipe takes without blocking. */
static void
write_line(const char *line, size_t size)
{
	struct pollfd reader = { .fd = STDERR_FILENO, .events = POLLOUT };
	if (poll(&reader, 1, 0) != 1 || (reader.revents & POLLOUT) == 0)
		return;
	ssize_t ignored = write(STDERR_FILENO, line, size);
	(void)ignored;
}

void
log_line(enum log_level level, const char *format, ...)
{
	unsigned left_out = 0;
	if (level > level_shown || !within_rate(&left_out))
		return;
	char line[512];
	int used = snprintf(line, sizeof line, "%s: %s: ", program_name, level_names[level]);
	va_list args;
	va_start(args, format);
	vsnprintf(line + used, sizeof line - (size_t)used - 32, format, args);
	va_end(args);
	replace_controls(line + used, '\0');
	size_t size = strlen(line);
	if (left_out > 0)
		size += (size_t)snprintf(line + size, 30, " left_out=%u", left_out);
	line[size++] = '\n';
	write_line(line, size);
}

void
log_foreign(const char *text, size_t size)
{
	char lines[FOREIGN_MAX + 1];
	if (size == 0 || !within_rate(NULL))
		return;
	size = size < FOREIGN_MAX ? size : FOREIGN_MAX - 1;
	memcpy(lines, text, size);
	lines[size] = '\0';
	for (char *nul; (nul = memchr(lines, '\0', size)) != NULL;)
		*nul = '?';
	replace_controls(lines, '\n');
	lines[size++] = '\n';
	write_line(lines, size);
}
