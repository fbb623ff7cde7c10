/* SPDX-License-Identifier: BSD-3-Clause */
#include "requests.h"

#include <stdlib.h>

static uint32_t *open_requests; /* owned */
static size_t open_count, open_capacity;
static uint32_t newest;

static uint32_t *
find(uint32_t serial)
{
	for (size_t i = 0; i < open_count; i++) {
		if (open_requests[i] == serial)
			return &open_requests[i];
	}
	return NULL;
}

int
requests_open(uint32_t serial)
{
	if (open_count == open_capacity) {
		size_t capacity = open_capacity == 0 ? 4 : 2 * open_capacity;
		uint32_t *more = reallocarray(open_requests, capacity, sizeof *more);
		if (more == NULL)
			return -1;
		open_requests = more;
		open_capacity = capacity;
	}
	open_requests[open_count++] = serial;
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
	uint32_t *found = find(serial);
	if (found != NULL)
		*found = open_requests[--open_count];
}

uint32_t
requests_newest(void)
{
	return newest;
}
