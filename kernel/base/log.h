/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Log lines for programs (never libraries): one line an event, `key=value`, on descriptor 2.
 * Never cell text, never a key. Writing to a dead descriptor 2 is ignored.
 */
#ifndef PUPITRE_BASE_LOG_H
#define PUPITRE_BASE_LOG_H

#include <stddef.h>

enum log_level { LOG_QUIET, LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

/* The program's name (borrowed for the life of the process) and how much to say. Default: LOG_WARNING. */
void log_init(const char *program, enum log_level level);
enum log_level log_level_get(void);

/* The level of that name, or LOG_WARNING. */
enum log_level log_level_named(const char *name);

#define LOG_TIME_SIZE 32

/* The time of day, for a line that is read where nobody adds it: "2026-11-29T10:20:30+0100". */
void log_time(char ret[LOG_TIME_SIZE]);

/* How many lines a second there may be. Default: 20. */
void log_limit(unsigned lines);

/* One line. What is over the limit is left out, counted, and said with the next line. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Lines that somebody else has put together (borrowed, any bytes), as they are but for control characters. Under the same limit. */
void log_foreign(const char *text, size_t size);

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

#endif
