/* SPDX-License-Identifier: BSD-3-Clause */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "nursery/template/become.h"

#define OPENED_OF 16 /* one input in so many goes through a sealed memfd, too */

/* Each string of an accepted payload ends within it and names a variable; together they are all of it. */
static void
check_strings(const struct payload *p, const uint8_t *data, size_t size)
{
	const char *at = p->strings, *end = p->strings + p->size;
	require(at == (const char *)data + sizeof(struct nursery_payload) && end == (const char *)data + size);
	for (uint32_t i = 0; i < p->count; i++) {
		size_t length = strnlen(at, (size_t)(end - at));
		require(at + length < end && strchr(at, '=') != NULL);
		at += length + 1;
	}
	require(at == end && p->umask <= 0777);
}

static void
check_opened(const uint8_t *data, size_t size, int parsed)
{
	struct err e = ERR_INIT;
	struct payload p;
	int fd = memfd_create("payload", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	require(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	require(become_open(fd, &p, &e) == -1);
	require(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW) == 0);
	e = ERR_INIT;
	int opened = become_open(fd, &p, &e);
	close(fd);
	require(opened == parsed);
	if (opened == 0) {
		check_strings(&p, p.map, size);
		become_free(&p);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = ERR_INIT;
	struct payload p;
	int parsed = become_parse(data, size, &p, &e);
	if (parsed == 0)
		check_strings(&p, data, size);
	else
		require(e.code == ERR_INVALID || e.code == ERR_LIMIT);
	if (size % OPENED_OF == 0)
		check_opened(data, size, parsed);
	return 0;
}
