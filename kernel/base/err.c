/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int
err_set(struct err *e, enum err_code code, const char *format, ...)
{
	if (e == NULL || e->code != ERR_NONE)
		return -1;
	va_list args;
	va_start(args, format);
	e->code = code;
	vsnprintf(e->text, sizeof e->text, format, args);
	va_end(args);
	return -1;
}

int
err_system(struct err *e, const char *format, ...)
{
	int saved = errno;
	if (e == NULL || e->code != ERR_NONE)
		return -1;
	va_list args;
	va_start(args, format);
	e->code = ERR_SYSTEM;
	int used = vsnprintf(e->text, sizeof e->text, format, args);
	va_end(args);
	size_t at = used < 0 ? 0 : (size_t)used;
	if (at < sizeof e->text)
		snprintf(e->text + at, sizeof e->text - at, ": %s", strerror(saved));
	errno = saved;
	return -1;
}

int
err_memory(struct err *e)
{
	return err_set(e, ERR_MEMORY, "out of memory");
}
