/* SPDX-License-Identifier: BSD-3-Clause */
#include "link/ring.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

_Static_assert((RING_SIZE & (RING_SIZE - 1)) == 0, "the ring's size is a power of two");
_Static_assert(sizeof(struct shared) == (size_t)2 * STATE_SIZE + RING_SIZE, "the ring fits its page");

struct shared *
shared_new(int *ret_fd, struct err *e)
{
	int fd = memfd_create("pupitre", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0) {
		err_system(e, "memfd_create");
		return NULL;
	}
	struct shared *s = MAP_FAILED;
	if (ftruncate(fd, sizeof *s) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (s == MAP_FAILED) {
		err_system(e, "making the shared page");
		close(fd);
		return NULL;
	}
	s->state.magic = STATE_MAGIC;
	s->state.version = STATE_VERSION;
	*ret_fd = fd;
	return s;
}

struct shared *
shared_map(int fd, struct err *e)
{
	struct stat st;
	if (fstat(fd, &st) < 0) {
		err_system(e, "fstat of the shared page");
		return NULL;
	}
	if (st.st_size != (off_t)sizeof(struct shared)) {
		err_set(e, ERR_INVALID, "the shared page has %lld bytes", (long long)st.st_size);
		return NULL;
	}
	struct shared *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (s == MAP_FAILED) {
		err_system(e, "mmap of the shared page");
		return NULL;
	}
	if (s->state.magic != STATE_MAGIC || s->state.version != STATE_VERSION) {
		err_set(e, ERR_INVALID, "the shared page is of another version");
		shared_unmap(s);
		return NULL;
	}
	return s;
}

void
shared_unmap(struct shared *s)
{
	if (s != NULL)
		munmap(s, sizeof *s);
}

static void
copy_in(char *data, uint64_t at, const void *bytes, size_t size)
{
	size_t offset = at & (RING_SIZE - 1);
	size_t first = RING_SIZE - offset < size ? RING_SIZE - offset : size;
	memcpy(data + offset, bytes, first);
	memcpy(data, (const char *)bytes + first, size - first);
}

static void
copy_out(const char *data, uint64_t at, void *bytes, size_t size)
{
	size_t offset = at & (RING_SIZE - 1);
	size_t first = RING_SIZE - offset < size ? RING_SIZE - offset : size;
	memcpy(bytes, data + offset, first);
	memcpy((char *)bytes + first, data, size - first);
}

bool
ring_put(struct shared *s, const struct ring_record *record, const char *text, bool *ret_bell)
{
	struct ring *r = &s->ring;
	assert(record->size <= RING_TEXT_MAX);
	uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
	uint64_t used = head - atomic_load(&r->tail);
	size_t wanted = sizeof *record + record->size;
	*ret_bell = false;
	if (used > RING_SIZE || RING_SIZE - used < wanted)
		return false;
	copy_in(s->data, head, record, sizeof *record);
	copy_in(s->data, head + sizeof *record, text, record->size);
	atomic_store(&r->head, head + wanted);
	uint32_t bell_at = atomic_load(&r->bell_at);
	if (bell_at != 0 && head + wanted - atomic_load(&r->tail) >= bell_at)
		*ret_bell = atomic_exchange(&r->bell_at, 0) != 0;
	return true;
}

static long
futex(_Atomic uint32_t *word, int operation, uint32_t value, const struct timespec *timeout)
{
	return syscall(SYS_futex, word, operation, value, timeout, NULL, 0);
}

int
ring_wait_room(struct shared *s, int timeout_ms)
{
	struct ring *r = &s->ring;
	uint32_t seen = atomic_load(&r->room_futex);
	atomic_store(&r->waiting, 1);
	if (atomic_load(&r->head) - atomic_load(&r->tail) <= RING_SIZE - sizeof(struct ring_record) - RING_TEXT_MAX)
		return 0;
	struct timespec t = { .tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000L };
	if (futex(&r->room_futex, FUTEX_WAIT, seen, &t) < 0 && errno == EINTR)
		return -1;
	return 0;
}

uint64_t
ring_position(const struct shared *s)
{
	return atomic_load(&s->ring.head);
}

int
ring_take(struct shared *s, struct ring_record *ret, char *text, struct err *e)
{
	struct ring *r = &s->ring;
	uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
	uint64_t waiting = atomic_load(&r->head) - tail;
	struct ring_record record;
	if (waiting == 0)
		return 0;
	if (waiting > RING_SIZE || waiting < sizeof record)
		return err_set(e, ERR_INVALID, "the output ring holds %llu bytes", (unsigned long long)waiting);
	copy_out(s->data, tail, &record, sizeof record);
	if (record.size > RING_TEXT_MAX || record.size > waiting - sizeof record)
		return err_set(e, ERR_INVALID, "a record of %u bytes in the output ring", record.size);
	copy_out(s->data, tail + sizeof record, text, record.size);
	atomic_store(&r->tail, tail + sizeof record + record.size);
	*ret = record;
	return 1;
}

uint64_t
ring_taken(const struct shared *s)
{
	return atomic_load_explicit(&s->ring.tail, memory_order_relaxed);
}

bool
ring_arm(struct shared *s, uint32_t bytes)
{
	struct ring *r = &s->ring;
	atomic_store(&r->bell_at, bytes);
	return bytes != 0 && atomic_load(&r->head) - atomic_load(&r->tail) >= bytes;
}

void
ring_made_room(struct shared *s)
{
	struct ring *r = &s->ring;
	if (atomic_exchange(&r->waiting, 0) == 0)
		return;
	atomic_fetch_add(&r->room_futex, 1);
	futex(&r->room_futex, FUTEX_WAKE, INT_MAX, NULL);
}
