/* SPDX-License-Identifier: BSD-3-Clause */
#include "front/notes.h"

#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "front/nursery.h"
#include "nursery/datagram.h"

#define PREFIX "kernel-"
#define SUFFIX ".json"
#define UUID_SIZE 36

/* The bytes of a UUID in its usual form. False: it is none. */
static bool
read_uuid(const char *text, uint64_t ret[2])
{
	unsigned char bytes[16];
	for (size_t i = 0; i < sizeof bytes; i++) {
		int used = 0;
		if (sscanf(text, "%2hhx%n", &bytes[i], &used) != 1 || used != 2)
			return false;
		text += 2 + (text[2] == '-');
	}
	memcpy(ret, bytes, sizeof bytes);
	return true;
}

const char *
notes_kernel(const char *path, int *ret_size, uint64_t ret[2])
{
	const char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;
	if (strncmp(name, PREFIX, strlen(PREFIX)) == 0)
		name += strlen(PREFIX);
	size_t size = strlen(name);
	if (size > strlen(SUFFIX) && strcmp(name + size - strlen(SUFFIX), SUFFIX) == 0)
		size -= strlen(SUFFIX);
	memset(ret, 0, 2 * sizeof *ret);
	if (size == UUID_SIZE && !read_uuid(name, ret))
		memset(ret, 0, 2 * sizeof *ret);
	*ret_size = (int)size;
	return name;
}

int
notes_send(enum nursery_op op, const uint64_t kernel[2], const struct nursery_note *note)
{
	struct sockaddr_un place;
	struct nursery_request request = { .magic = NURSERY_MAGIC,
					   .version = NURSERY_VERSION,
					   .op = (uint16_t)op,
					   .build = NURSERY_BUILD,
					   .kernel = { kernel[0], kernel[1] },
					   .note = *note };
	for (int i = 0, found; (found = nursery_place(i, &place)) >= 0; i++) {
		int connection = found > 0 ? nursery_connect(&place) : -1;
		if (connection >= 0 && datagram_send(connection, &request, sizeof request, NULL, 0) == 0)
			return connection;
		fd_close(&connection);
	}
	return -1;
}

void
notes_settle(int *connection)
{
	if (*connection >= 0)
		fd_wait_readable(*connection, NOTES_PATIENCE_MS);
	fd_close(connection);
}
