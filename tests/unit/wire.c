/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Every shape of a short message; what the cases of cases/wire show by example is counted here.
 */
#include "unit.h"

#include "protocol/limits.h"

static const char *const atoms[] = { WIRE_DELIMITER, "", "{}", "<IDS|MSG", "<IDS|MSG>x" };

#define ATOMS (sizeof atoms / sizeof *atoms)
#define LONGEST 8

/* What wire_split must say of frames[0..count), found another way. */
static bool
is_message(const struct wire_frame *frames, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (frames[i].data == atoms[0])
			return i <= LIMIT_IDENTITIES && count - i >= 6;
	}
	return false;
}

static void
test_every_shape_of_up_to_eight_frames(void **state)
{
	(void)state;
	size_t shapes = 0, accepted = 0;
	for (size_t count = 0; count <= LONGEST; count++) {
		size_t combinations = 1;
		for (size_t i = 0; i < count; i++)
			combinations *= ATOMS;
		for (size_t n = 0; n < combinations; n++, shapes++) {
			struct wire_frame frames[LONGEST + 1];
			struct wire_msg msg;
			size_t rest = n;
			for (size_t i = 0; i < count; i++, rest /= ATOMS)
				frames[i] = frame_of(atoms[rest % ATOMS]);
			struct err e = ERR_INIT;
			bool good = wire_split(frames, count, &msg, &e) == 0;
			assert_int_equal(good, is_message(frames, count));
			assert_int_equal(e.code, good ? ERR_NONE : ERR_INVALID);
			accepted += good;
			if (good)
				assert_int_equal(msg.identity_count + 6 + msg.buffer_count, count);
		}
	}
	assert_true(shapes > 400000 && accepted > 0);
}

static void
test_views_point_into_the_array(void **state)
{
	(void)state;
	struct wire_frame frames[10];
	struct wire_msg msg;
	for (size_t i = 0; i < 10; i++)
		frames[i] = frame_of(i == 2 ? WIRE_DELIMITER : "x");
	assert_works(wire_split(frames, 10, &msg, &e));
	assert_ptr_equal(msg.identities, frames);
	assert_int_equal(msg.identity_count, 2);
	assert_ptr_equal(msg.signature.data, frames[3].data);
	assert_memory_equal(msg.parts, frames + 4, sizeof msg.parts);
	assert_ptr_equal(msg.buffers, frames + 8);
	assert_int_equal(msg.buffer_count, 2);
}

static void
test_failure_leaves_the_result_alone(void **state)
{
	(void)state;
	struct wire_frame frames[6];
	struct wire_msg msg, before;
	memset(&msg, 0x5a, sizeof msg);
	before = msg;
	for (size_t i = 0; i < 6; i++)
		frames[i] = frame_of(i == 1 ? WIRE_DELIMITER : "");
	assert_fails(wire_split(frames, 6, &msg, &e), ERR_INVALID);
	assert_memory_equal(&msg, &before, sizeof msg);
	assert_int_equal(wire_split(frames, 6, &msg, NULL), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_shape_of_up_to_eight_frames),
		cmocka_unit_test(test_views_point_into_the_array),
		cmocka_unit_test(test_failure_leaves_the_result_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
