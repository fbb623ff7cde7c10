/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What every unit test includes: cmocka behind its four mandatory headers, and assertions on struct err.
 */
#ifndef PUPITRE_TESTS_UNIT_H
#define PUPITRE_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "protocol/wire.h"

/* `call` must fail with `wanted`, and say something on one line. */
#define assert_fails(call, wanted)                                              \
	do {                                                                    \
		struct err e = ERR_INIT;                                        \
		assert_int_equal(call, -1);                                     \
		assert_int_equal(e.code, wanted);                               \
		assert_true(e.text[0] != '\0' && strchr(e.text, '\n') == NULL); \
	} while (0)

/* `call` must succeed and leave e alone. */
#define assert_works(call)                                 \
	do {                                               \
		struct err e = ERR_INIT;                   \
		if ((call) < 0)                            \
			fail_msg("%s: %s", #call, e.text); \
		assert_false(err_is_set(&e));              \
	} while (0)

static inline struct wire_frame
frame_of(const char *text)
{
	return (struct wire_frame){ text, strlen(text) };
}

static inline void
assert_buf(const struct buf *b, const char *wanted)
{
	assert_int_equal(b->size, strlen(wanted));
	if (b->size > 0)
		assert_memory_equal(b->data, wanted, b->size);
}

#endif
