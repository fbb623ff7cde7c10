/* SPDX-License-Identifier: BSD-3-Clause */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/fd.h"
#include "link/ring.h"

static struct shared *shared;
static int shared_fd = -1;
static char text[RING_TEXT_MAX], got[RING_TEXT_MAX];

static int
make(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	shared = shared_new(&shared_fd, &e);
	return shared == NULL;
}

static int
unmake(void **state)
{
	(void)state;
	shared_unmap(shared);
	fd_close(&shared_fd);
	return 0;
}

static bool
put(uint32_t serial, const char *bytes, size_t size, bool *ret_bell)
{
	struct ring_record record = { .size = (uint32_t)size, .serial = serial, .stream = 1 };
	return ring_put(shared, &record, bytes, ret_bell);
}

static void
assert_take(uint32_t serial, const char *bytes, size_t size)
{
	struct ring_record record;
	struct err e = ERR_INIT;
	assert_int_equal(ring_take(shared, &record, got, &e), 1);
	assert_int_equal(record.serial, serial);
	assert_int_equal(record.size, size);
	assert_int_equal(record.stream, 1);
	assert_memory_equal(got, bytes, size);
}

static int
take_nothing(void)
{
	struct ring_record record = { .serial = 77 };
	struct err e = ERR_INIT;
	int result = ring_take(shared, &record, got, &e);
	assert_int_equal(record.serial, 77);
	assert_int_equal(e.code, result == 0 ? ERR_NONE : ERR_INVALID);
	return result;
}

static void
test_order_and_positions(void **state)
{
	(void)state;
	bool bell;
	assert_int_equal(take_nothing(), 0);
	assert_true(put(1, "one", 3, &bell));
	assert_false(bell);
	assert_true(put(2, "", 0, &bell));
	assert_true(put(3, "three", 5, &bell));
	assert_int_equal(ring_position(shared), 3 * sizeof(struct ring_record) + 8);
	assert_int_equal(ring_taken(shared), 0);
	assert_take(1, "one", 3);
	assert_int_equal(ring_taken(shared), sizeof(struct ring_record) + 3);
	assert_take(2, "", 0);
	assert_take(3, "three", 5);
	assert_int_equal(take_nothing(), 0);
	assert_int_equal(ring_taken(shared), ring_position(shared));
}

static void
test_wraps_at_every_offset(void **state)
{
	(void)state;
	bool bell;
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (char)(i * 31 % 251);
	for (uint32_t i = 0; i < 20000; i++) {
		size_t size = i * 7919 % 4001;
		assert_true(put(i, text + i % 1000, size, &bell));
		assert_take(i, text + i % 1000, size);
	}
	assert_true(ring_position(shared) > 100 * RING_SIZE);
}

static void
test_full_ring_refuses_whole_records(void **state)
{
	(void)state;
	bool bell;
	uint32_t n = 0;
	while (put(n, text, RING_TEXT_MAX, &bell))
		n++;
	assert_int_equal(n, RING_SIZE / (RING_TEXT_MAX + sizeof(struct ring_record)));
	size_t left = RING_SIZE - ring_position(shared) - sizeof(struct ring_record);
	assert_false(put(n, text, left + 1, &bell));
	assert_true(put(n, text, left, &bell));
	assert_int_equal(ring_position(shared), RING_SIZE);
	assert_false(put(n, "", 0, &bell));
	for (uint32_t i = 0; i < n; i++)
		assert_take(i, text, RING_TEXT_MAX);
	assert_take(n, text, left);
	assert_int_equal(take_nothing(), 0);
}

static void
test_bell_rings_once_when_asked(void **state)
{
	(void)state;
	bool bell;
	size_t head = sizeof(struct ring_record);
	assert_false(ring_arm(shared, (uint32_t)(2 * head + 4)));
	assert_true(put(1, "ab", 2, &bell));
	assert_false(bell);
	assert_true(put(1, "cd", 2, &bell));
	assert_true(bell);
	assert_true(put(1, "ef", 2, &bell));
	assert_false(bell);
	assert_true(ring_arm(shared, 1));
	assert_false(ring_arm(shared, 0));
	assert_true(put(1, "gh", 2, &bell));
	assert_false(bell);
}

static void
test_room_wait_returns_at_once_or_in_time(void **state)
{
	(void)state;
	bool bell;
	assert_int_equal(ring_wait_room(shared, 10000), 0);
	while (put(1, text, RING_TEXT_MAX, &bell))
		;
	long long before = clock_ms();
	assert_int_equal(ring_wait_room(shared, 30), 0);
	long long passed = clock_ms() - before;
	assert_true(passed >= 29 && passed < 5000);
}

static void
ignore_signal(int number)
{
	(void)number;
}

static void
test_signal_ends_the_wait(void **state)
{
	(void)state;
	bool bell;
	while (put(1, text, RING_TEXT_MAX, &bell))
		;
	struct sigaction action = { .sa_handler = ignore_signal };
	struct itimerval every_ms = { { 0, 1000 }, { 0, 1000 } }, never = { { 0, 0 }, { 0, 0 } };
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &every_ms, NULL);
	assert_int_equal(ring_wait_room(shared, 10000), -1);
	assert_int_equal(errno, EINTR);
	setitimer(ITIMER_REAL, &never, NULL);
}

#define THREAD_RECORDS 200000u

static size_t
record_size(uint32_t i)
{
	return i % 997 == 0 ? RING_TEXT_MAX : i * 2654435761u % 300;
}

/* Producer. Returns how often it had to wait, or -1 when a wait did not end. */
static void *
produce(void *unused)
{
	(void)unused;
	bool bell;
	intptr_t waits = 0;
	for (uint32_t i = 0; i < THREAD_RECORDS; i++) {
		while (!put(i, text + i % 64, record_size(i) - (record_size(i) > 64 ? 64 : 0), &bell)) {
			long long before = clock_ms();
			ring_wait_room(shared, 20000);
			if (clock_ms() - before >= 19000)
				return (void *)(intptr_t)-1;
			waits++;
		}
	}
	return (void *)waits;
}

static void
test_two_threads(void **state)
{
	(void)state;
	pthread_t producer;
	void *waits;
	long long deadline = clock_ms() + 60000;
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (char)(i % 251);
	assert_int_equal(pthread_create(&producer, NULL, produce, NULL), 0);
	for (uint32_t i = 0; i < THREAD_RECORDS;) {
		struct ring_record record;
		struct err e = ERR_INIT;
		int n = ring_take(shared, &record, got, &e);
		assert_true(n >= 0);
		assert_true(clock_ms() < deadline);
		if (n == 0) {
			ring_made_room(shared);
			continue;
		}
		assert_int_equal(record.serial, i);
		assert_int_equal(record.size, record_size(i) - (record_size(i) > 64 ? 64 : 0));
		assert_memory_equal(got, text + i % 64, record.size);
		i++;
	}
	assert_int_equal(pthread_join(producer, &waits), 0);
	assert_true((intptr_t)waits > 0);
	assert_int_equal(take_nothing(), 0);
}

static void
test_nonsense_in_the_ring_is_refused(void **state)
{
	(void)state;
	struct ring *r = &shared->ring;
	bool bell;
	r->head = 1;
	assert_int_equal(take_nothing(), -1);
	r->head = sizeof(struct ring_record) - 1;
	assert_int_equal(take_nothing(), -1);
	r->head = RING_SIZE + 1;
	assert_int_equal(take_nothing(), -1);
	assert_false(put(1, "x", 1, &bell));
	r->head = 0;
	r->tail = 1;
	assert_int_equal(take_nothing(), -1);
	r->tail = 0;
	assert_true(put(1, "abc", 3, &bell));
	((struct ring_record *)(void *)shared->data)->size = 4;
	assert_int_equal(take_nothing(), -1);
	((struct ring_record *)(void *)shared->data)->size = UINT32_MAX;
	assert_int_equal(take_nothing(), -1);
	r->head = RING_SIZE;
	((struct ring_record *)(void *)shared->data)->size = RING_TEXT_MAX + 1;
	assert_int_equal(take_nothing(), -1);
	((struct ring_record *)(void *)shared->data)->size = RING_TEXT_MAX;
	assert_int_equal(ring_take(shared, &(struct ring_record){ 0 }, got, NULL), 1);
}

static void
test_positions_far_from_zero(void **state)
{
	(void)state;
	bool bell;
	shared->ring.head = shared->ring.tail = UINT64_MAX - 20;
	assert_true(put(5, "over the edge", 13, &bell));
	assert_take(5, "over the edge", 13);
	assert_int_equal(ring_position(shared), (uint64_t)(UINT64_MAX - 20 + sizeof(struct ring_record) + 13));
}

static void
test_both_ends_see_one_page(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	bool bell;
	assert_true(fcntl(shared_fd, F_GETFD) & FD_CLOEXEC);
	assert_true(ftruncate(shared_fd, 0) < 0 && ftruncate(shared_fd, 1 << 20) < 0);
	struct shared *other = shared_map(shared_fd, &e);
	assert_non_null(other);
	assert_true(ring_put(other, &(struct ring_record){ .size = 2, .serial = 9, .stream = 1 }, "hi", &bell));
	assert_take(9, "hi", 2);
	shared_unmap(other);
	shared_unmap(NULL);
}

static void
assert_map_refused(int fd, enum err_code code)
{
	struct err e = ERR_INIT;
	assert_null(shared_map(fd, &e));
	assert_int_equal(e.code, code);
}

static void
test_foreign_pages_are_refused(void **state)
{
	(void)state;
	assert_map_refused(-1, ERR_SYSTEM);
	int fd = memfd_create("small", MFD_CLOEXEC);
	assert_map_refused(fd, ERR_INVALID);
	assert_int_equal(ftruncate(fd, sizeof(struct shared)), 0);
	assert_map_refused(fd, ERR_INVALID);
	fd_close(&fd);
	shared->state.version++;
	assert_map_refused(shared_fd, ERR_INVALID);
}

int
main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, make, unmake)
	const struct CMUnitTest tests[] = {
		test(test_order_and_positions),
		test(test_wraps_at_every_offset),
		test(test_full_ring_refuses_whole_records),
		test(test_bell_rings_once_when_asked),
		test(test_room_wait_returns_at_once_or_in_time),
		test(test_signal_ends_the_wait),
		test(test_two_threads),
		test(test_nonsense_in_the_ring_is_refused),
		test(test_positions_far_from_zero),
		test(test_both_ends_see_one_page),
		test(test_foreign_pages_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
