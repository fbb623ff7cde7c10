/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
buf_free(struct buf *b)
{
	free(b->data);
	*b = (struct buf){ .maximum = b->maximum };
}

void
buf_reset(struct buf *b)
{
	b->size = 0;
	b->failed = false;
}

void
buf_shrink(struct buf *b, size_t keep)
{
	assert(b->size == 0);
	if (b->capacity > keep)
		buf_free(b);
}

int
buf_reserve(struct buf *b, size_t more)
{
	if (b->failed || more > b->maximum || b->size > b->maximum - more) {
		b->failed = true;
		return -1;
	}
	size_t wanted = b->size + more;
	if (wanted <= b->capacity)
		return 0;
	size_t capacity = b->capacity < 128 ? 256 : b->capacity * 2;
	if (capacity < wanted)
		capacity = wanted;
	if (capacity > b->maximum)
		capacity = b->maximum;
	char *data = realloc(b->data, capacity);
	if (data == NULL) {
		b->failed = true;
		return -1;
	}
	b->data = data;
	b->capacity = capacity;
	return 0;
}

int
buf_append(struct buf *b, const void *bytes, size_t size)
{
	if (buf_reserve(b, size) < 0)
		return -1;
	if (size > 0)
		memcpy(b->data + b->size, bytes, size);
	b->size += size;
	return 0;
}

int
buf_append_string(struct buf *b, const char *string)
{
	return buf_append(b, string, strlen(string));
}

int
buf_appendf(struct buf *b, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int size = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (size < 0 || buf_reserve(b, (size_t)size + 1) < 0) {
		b->failed = true;
		return -1;
	}
	va_start(args, format);
	vsnprintf(b->data + b->size, (size_t)size + 1, format, args);
	va_end(args);
	b->size += (size_t)size;
	return 0;
}

void
buf_consume(struct buf *b, size_t n)
{
	assert(n <= b->size);
	if (n == 0)
		return;
	memmove(b->data, b->data + n, b->size - n);
	b->size -= n;
}
