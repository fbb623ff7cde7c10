/* SPDX-License-Identifier: BSD-3-Clause */
#include "front/payload.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "nursery/messages.h"

#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* There is no other way to read it that needs no /proc. Nothing is created meanwhile: our other threads only move bytes. */
static mode_t
read_umask(void)
{
	mode_t mask = umask(0777);
	umask(mask);
	return mask;
}

/* What a cold start would inherit. SIGINT, SIGCHLD and SIGPIPE are what Jupyter and we say by signals; see spawn.c. */
static uint64_t
read_ignored(void)
{
	uint64_t ignored = 0;
	struct sigaction is;
	for (int number = 1; number <= SIGRTMAX; number++) {
		bool ours = number == SIGINT || number == SIGCHLD || number == SIGPIPE;
		if (!ours && sigaction(number, NULL, &is) == 0 && is.sa_handler == SIG_IGN)
			ignored |= (uint64_t)1 << (number - 1);
	}
	return ignored;
}

/* Header and strings, without a buffer between: the heap does not shrink again. */
static int
write_payload(int fd, const struct environment *environment, struct err *e)
{
	struct nursery_payload header = { .magic = NURSERY_MAGIC,
					  .version = NURSERY_VERSION,
					  .umask = (uint32_t)read_umask(),
					  .count = (uint32_t)environment->count,
					  .ignored = read_ignored() };
	for (size_t i = 0; i < environment->count; i++)
		header.size += strlen(environment->list[i]) + 1;
	size_t size = sizeof header + header.size;
	if (size > NURSERY_PAYLOAD_MAX)
		return err_set(e, ERR_LIMIT, "an environment of %zu bytes", size);
	if (ftruncate(fd, (off_t)size) < 0)
		return err_system(e, "ftruncate");
	char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return err_system(e, "mmap");
	char *start = at;
	memcpy(at, &header, sizeof header);
	at += sizeof header;
	for (size_t i = 0; i < environment->count; i++)
		at = stpcpy(at, environment->list[i]) + 1;
	munmap(start, size);
	return 0;
}

int
payload_make(const struct environment *environment, struct err *e)
{
	int fd = memfd_create("pupitre-payload", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return err_system(e, "memfd_create");
	int result = write_payload(fd, environment, e);
	if (result == 0 && fcntl(fd, F_ADD_SEALS, SEALS) < 0)
		result = err_system(e, "sealing a memfd");
	if (result < 0)
		fd_close(&fd);
	return fd;
}
