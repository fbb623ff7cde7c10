/* SPDX-License-Identifier: BSD-3-Clause */
#include "requests.h"

#include <stdlib.h>
#include <string.h>

struct request {
	uint32_t serial;
	char type[REQUEST_TYPE_SIZE];
};

static struct request *open_requests; /* owned */
static size_t open_count, open_capacity;
static uint32_t newest;

static struct request *
find(uint32_t serial)
{
	for (size_t i = 0; i < open_count; i++) {
		if (open_requests[i].serial == serial)
			return &open_requests[i];
	}
	return NULL;
}

static const char *
skip_blanks(const char *at, const char *end)
{
	while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
		at++;
	return at;
}

/* The value of "msg_type" in header JSON. A key cannot be mistaken for text inside a string, where its quotes have
 * backslashes. Whatever this cannot read is "". */
static void
copy_type(char *type, const char *header, size_t size)
{
	static const char key[] = "\"msg_type\"";
	const char *end = header + size;
	type[0] = '\0';
	const char *at = size == 0 ? NULL : memmem(header, size, key, sizeof key - 1);
	if (at == NULL)
		return;
	at = skip_blanks(at + sizeof key - 1, end);
	if (at == end || *at != ':')
		return;
	at = skip_blanks(at + 1, end);
	if (at == end || *at != '"')
		return;
	const char *first = at + 1;
	const char *quote = memchr(first, '"', (size_t)(end - first));
	size_t length = quote == NULL ? REQUEST_TYPE_SIZE : (size_t)(quote - first);
	if (length >= REQUEST_TYPE_SIZE || memchr(first, '\\', length) != NULL)
		return;
	memcpy(type, first, length);
	type[length] = '\0';
}

int
requests_open(uint32_t serial, const char *header, size_t size)
{
	if (open_count == open_capacity) {
		size_t capacity = open_capacity == 0 ? 4 : 2 * open_capacity;
		struct request *more = reallocarray(open_requests, capacity, sizeof *more);
		if (more == NULL)
			return -1;
		open_requests = more;
		open_capacity = capacity;
	}
	struct request *r = &open_requests[open_count++];
	r->serial = serial;
	copy_type(r->type, header, size);
	if (serial > newest)
		newest = serial;
	return 0;
}

bool
requests_is_open(uint32_t serial)
{
	return find(serial) != NULL;
}

void
requests_close(uint32_t serial)
{
	struct request *r = find(serial);
	if (r != NULL)
		*r = open_requests[--open_count];
}

const char *
requests_type(uint32_t serial)
{
	const struct request *r = find(serial);
	return r == NULL ? NULL : r->type;
}

uint32_t
requests_newest(void)
{
	return newest;
}
