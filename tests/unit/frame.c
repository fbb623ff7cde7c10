/* SPDX-License-Identifier: BSD-3-Clause */
#include "unit.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "link/frame.h"

static struct frame frame;

static const struct frame_header reply = {
	.type = FRAME_REPLY, .flags = FRAME_ABORT_QUEUE, .serial = 7, .ring_position = 1234567890123
};

static void
encode(struct buf *out, const struct frame_part *parts, size_t count)
{
	assert_works(frame_encode(out, &reply, parts, count, &e));
}

static void
assert_part(size_t i, const char *text)
{
	assert_int_equal(frame.parts[i].size, strlen(text));
	if (frame.parts[i].size > 0)
		assert_memory_equal(frame.parts[i].data, text, strlen(text));
}

static void
test_round_trip(void **state)
{
	(void)state;
	BUF_AUTO b = BUF_INIT;
	struct frame_reader r = FRAME_READER_INIT;
	struct err error = ERR_INIT;
	encode(&b, (struct frame_part[]){ { "one", 3 }, { NULL, 0 }, { "three", 5 } }, 3);
	assert_works(frame_reader_feed(&r, b.data, b.size, &e));
	assert_int_equal(frame_reader_next(&r, &frame, &error), 1);
	assert_int_equal(frame.header.magic, FRAME_MAGIC);
	assert_int_equal(frame.header.type, FRAME_REPLY);
	assert_int_equal(frame.header.flags, FRAME_ABORT_QUEUE);
	assert_int_equal(frame.header.serial, 7);
	assert_int_equal(frame.header.part_count, 3);
	assert_int_equal(frame.header.ring_position, 1234567890123);
	assert_part(0, "one");
	assert_part(1, "");
	assert_part(2, "three");
	assert_int_equal(frame_reader_next(&r, &frame, &error), 0);
	frame_reader_free(&r);
}

static void
test_head_and_parts_sent_apart(void **state)
{
	(void)state;
	BUF_AUTO whole = BUF_INIT;
	BUF_AUTO head = BUF_INIT;
	struct frame_part parts[] = { { "one", 3 }, { "two", 3 } };
	encode(&whole, parts, 2);
	assert_works(frame_encode_head(&head, &reply, parts, 2, &e));
	assert_int_equal(head.size, sizeof(struct frame_header) + 2 * sizeof(uint32_t));
	buf_append_string(&head, "onetwo");
	assert_int_equal(head.size, whole.size);
	assert_memory_equal(head.data, whole.data, whole.size);
}

static void
test_any_cut_of_the_stream(void **state)
{
	(void)state;
	BUF_AUTO b = BUF_INIT;
	encode(&b, (struct frame_part[]){ { "one", 3 }, { "two", 3 } }, 2);
	encode(&b, NULL, 0);
	encode(&b, (struct frame_part[]){ { "last", 4 } }, 1);
	for (size_t step = 1; step <= b.size; step++) {
		struct frame_reader r = FRAME_READER_INIT;
		struct err error = ERR_INIT;
		size_t frames = 0, parts = 0;
		for (size_t at = 0; at < b.size; at += step) {
			size_t n = b.size - at < step ? b.size - at : step;
			assert_works(frame_reader_feed(&r, b.data + at, n, &e));
			int got;
			while ((got = frame_reader_next(&r, &frame, &error)) == 1) {
				frames++;
				parts += frame.header.part_count;
			}
			assert_int_equal(got, 0);
		}
		assert_int_equal(frames, 3);
		assert_int_equal(parts, 3);
		assert_part(0, "last");
		frame_reader_free(&r);
	}
}

static void
test_encode_limits(void **state)
{
	(void)state;
	BUF_AUTO b = BUF_INIT;
	static struct frame_part parts[FRAME_PARTS_MAX + 1];
	encode(&b, parts, FRAME_PARTS_MAX);
	size_t before = b.size;
	assert_fails(frame_encode(&b, &reply, parts, FRAME_PARTS_MAX + 1, &e), ERR_LIMIT);
	struct frame_part huge[] = { { "", FRAME_SIZE_MAX / 2 }, { "", FRAME_SIZE_MAX / 2 } };
	assert_fails(frame_encode_head(&b, &reply, huge, 2, &e), ERR_LIMIT);
	huge[0].size = SIZE_MAX;
	assert_fails(frame_encode_head(&b, &reply, huge, 2, &e), ERR_LIMIT);
	assert_int_equal(b.size, before);
}

static void
test_a_full_buffer_stays_usable(void **state)
{
	(void)state;
	BUF_AUTO b = BUF_INIT;
	b.maximum = 100;
	char bytes[100] = "x";
	encode(&b, (struct frame_part[]){ { "one", 3 } }, 1);
	size_t before = b.size;
	assert_fails(frame_encode(&b, &reply, &(struct frame_part){ bytes, 60 }, 1, &e), ERR_MEMORY);
	assert_fails(frame_encode_head(&b, &reply, (struct frame_part[20]){ { bytes, 1 } }, 20, &e), ERR_MEMORY);
	assert_int_equal(b.size, before);
	assert_false(b.failed);
	encode(&b, (struct frame_part[]){ { "two", 3 } }, 1);
}

/* Feed a frame of which `damage` bytes at `offset` are overwritten. */
static void
assert_nonsense(size_t offset, const void *damage, size_t size, enum err_code wanted)
{
	BUF_AUTO b = BUF_INIT;
	struct frame_reader r = FRAME_READER_INIT;
	encode(&b, (struct frame_part[]){ { "one", 3 }, { "two", 3 } }, 2);
	memcpy(b.data + offset, damage, size);
	assert_works(frame_reader_feed(&r, b.data, b.size, &e));
	assert_fails(frame_reader_next(&r, &frame, &e), wanted);
	assert_fails(frame_reader_next(&r, &frame, &e), wanted);
	frame_reader_free(&r);
}

static void
test_nonsense_is_refused(void **state)
{
	(void)state;
	uint32_t many = FRAME_PARTS_MAX + 1, most = UINT32_MAX, huge = (uint32_t)FRAME_SIZE_MAX;
	assert_nonsense(0, "X", 1, ERR_INVALID);
	assert_nonsense(offsetof(struct frame_header, part_count), &many, sizeof many, ERR_LIMIT);
	assert_nonsense(offsetof(struct frame_header, part_count), &most, sizeof most, ERR_LIMIT);
	assert_nonsense(sizeof(struct frame_header), &huge, sizeof huge, ERR_LIMIT);
	assert_nonsense(sizeof(struct frame_header) + 4, &most, sizeof most, ERR_LIMIT);
}

static void
test_fill_reads_a_descriptor(void **state)
{
	(void)state;
	BUF_AUTO b = BUF_INIT;
	struct frame_reader r = FRAME_READER_INIT;
	struct err error = ERR_INIT;
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
	assert_fails((int)frame_reader_fill(&r, fds[0], &e), ERR_BUSY);
	encode(&b, (struct frame_part[]){ { "one", 3 } }, 1);
	assert_works(fd_write_all(fds[1], b.data, b.size, &e));
	assert_int_equal(frame_reader_fill(&r, fds[0], &error), b.size);
	assert_int_equal(frame_reader_next(&r, &frame, &error), 1);
	assert_part(0, "one");
	fd_close(&fds[1]);
	assert_int_equal(frame_reader_fill(&r, fds[0], &error), 0);
	assert_int_equal(error.code, ERR_CLOSED);
	fd_close(&fds[0]);
	assert_fails((int)frame_reader_fill(&r, -1, &e), ERR_SYSTEM);
	frame_reader_free(&r);
}

static void
test_large_frame_through_a_small_pipe(void **state)
{
	(void)state;
	BUF_AUTO b = BUF_INIT;
	struct frame_reader r = FRAME_READER_INIT;
	struct err error = ERR_INIT;
	size_t size = 3000000, sent = 0;
	char *bytes = malloc(size);
	assert_non_null(bytes);
	memset(bytes, 'x', size);
	encode(&b, (struct frame_part[]){ { bytes, size } }, 1);
	int fds[2];
	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	while (frame_reader_next(&r, &frame, &error) == 0) {
		ssize_t n = write(fds[1], b.data + sent, b.size - sent);
		assert_true(n > 0);
		sent += (size_t)n;
		assert_int_equal(frame_reader_fill(&r, fds[0], &error), n);
	}
	assert_int_equal(sent, b.size);
	assert_int_equal(frame.parts[0].size, size);
	assert_memory_equal(frame.parts[0].data, bytes, size);
	fd_close(&fds[0]);
	fd_close(&fds[1]);
	frame_reader_free(&r);
	free(bytes);
}

static void
test_a_frame_of_as_many_parts_as_there_may_be(void **state)
{
	(void)state;
	static struct frame_part parts[FRAME_PARTS_MAX];
	BUF_AUTO b = BUF_INIT;
	struct frame_reader r = FRAME_READER_INIT;
	struct err error = ERR_INIT;
	for (size_t i = 0; i < FRAME_PARTS_MAX; i++)
		parts[i] = (struct frame_part){ &parts[i], i % 3 };
	encode(&b, parts, FRAME_PARTS_MAX);
	encode(&b, parts, 2);
	assert_works(frame_reader_feed(&r, b.data, b.size, &e));
	assert_int_equal(frame_reader_next(&r, &frame, &error), 1);
	assert_int_equal(frame.header.part_count, FRAME_PARTS_MAX);
	for (size_t i = 0; i < FRAME_PARTS_MAX; i++) {
		assert_int_equal(frame.parts[i].size, parts[i].size);
		if (parts[i].size > 0)
			assert_memory_equal(frame.parts[i].data, parts[i].data, parts[i].size);
	}
	assert_int_equal(frame_reader_next(&r, &frame, &error), 1);
	assert_int_equal(frame.header.part_count, 2);
	assert_true(r.parts_capacity <= 256);
	frame_reader_free(&r);
}

static void
test_a_reader_knows_what_it_holds(void **state)
{
	(void)state;
	BUF_AUTO b = BUF_INIT;
	struct frame_reader r = FRAME_READER_INIT;
	struct err error = ERR_INIT;
	assert_false(frame_reader_holds(&r));
	encode(&b, (struct frame_part[]){ { "one", 3 }, { "two", 3 } }, 2);
	for (size_t i = 0; i < b.size; i++) {
		assert_false(frame_reader_holds(&r));
		assert_works(frame_reader_feed(&r, b.data + i, 1, &e));
	}
	assert_true(frame_reader_holds(&r));
	assert_works(frame_reader_feed(&r, b.data, b.size, &e));
	assert_works(frame_reader_feed(&r, b.data, 5, &e));
	assert_int_equal(frame_reader_next(&r, &frame, &error), 1);
	assert_true(frame_reader_holds(&r));
	assert_int_equal(frame_reader_next(&r, &frame, &error), 1);
	assert_false(frame_reader_holds(&r));
	frame_reader_free(&r);
}

static void
test_a_reader_of_nonsense_has_something_to_say(void **state)
{
	(void)state;
	struct frame_reader r = FRAME_READER_INIT;
	static const char nonsense[sizeof(struct frame_header)] = "nonsense";
	assert_works(frame_reader_feed(&r, nonsense, sizeof nonsense, &e));
	assert_true(frame_reader_holds(&r));
	frame_reader_free(&r);
}

static void
test_an_empty_reader_gives_memory_back(void **state)
{
	(void)state;
	BUF_AUTO b = BUF_INIT;
	struct frame_reader r = FRAME_READER_INIT;
	struct err error = ERR_INIT;
	static char bytes[1000000];
	encode(&b, (struct frame_part[]){ { bytes, sizeof bytes } }, 1);
	assert_works(frame_reader_feed(&r, b.data, b.size, &e));
	assert_int_equal(frame_reader_next(&r, &frame, &error), 1);
	assert_works(frame_reader_feed(&r, "", 0, &e));
	assert_true(r.bytes.capacity <= 128 * 1024);
	assert_int_equal(frame_reader_next(&r, &frame, &error), 0);
	frame_reader_free(&r);
}

static void
test_a_frame_at_the_limit_fits_the_reader(void **state)
{
	(void)state;
	struct frame_reader r = FRAME_READER_INIT;
	r.bytes.maximum = 100000; /* the same arithmetic as with FRAME_SIZE_MAX */
	struct err error = ERR_INIT;
	BUF_AUTO b = BUF_INIT;
	static char bytes[100000 - sizeof(struct frame_header) - sizeof(uint32_t)];
	encode(&b, (struct frame_part[]){ { bytes, sizeof bytes } }, 1);
	assert_int_equal(b.size, r.bytes.maximum);
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
	for (size_t sent = 0; sent < b.size; sent += 1000) {
		assert_works(fd_write_all(fds[1], b.data + sent, 1000, &e));
		assert_int_equal(frame_reader_fill(&r, fds[0], &error), 1000);
	}
	assert_int_equal(frame_reader_next(&r, &frame, &error), 1);
	fd_close(&fds[0]);
	fd_close(&fds[1]);
	frame_reader_free(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_head_and_parts_sent_apart),
		cmocka_unit_test(test_any_cut_of_the_stream),
		cmocka_unit_test(test_encode_limits),
		cmocka_unit_test(test_a_full_buffer_stays_usable),
		cmocka_unit_test(test_nonsense_is_refused),
		cmocka_unit_test(test_fill_reads_a_descriptor),
		cmocka_unit_test(test_large_frame_through_a_small_pipe),
		cmocka_unit_test(test_a_frame_of_as_many_parts_as_there_may_be),
		cmocka_unit_test(test_a_reader_knows_what_it_holds),
		cmocka_unit_test(test_a_reader_of_nonsense_has_something_to_say),
		cmocka_unit_test(test_an_empty_reader_gives_memory_back),
		cmocka_unit_test(test_a_frame_at_the_limit_fits_the_reader),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
