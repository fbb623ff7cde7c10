/* SPDX-License-Identifier: BSD-3-Clause */
#include "link/frame.h"
#include "fuzz.h"

static struct frame frame;

/* A frame that was understood, encoded again, is the same bytes. */
static void
check_round_trip(const struct frame_reader *r, struct err *e)
{
	BUF_AUTO b = BUF_INIT;
	require(frame.header.part_count <= FRAME_PARTS_MAX);
	require(frame_encode(&b, &frame.header, frame.parts, frame.header.part_count, e) == 0);
	require(b.size <= r->taken && memcmp(b.data, r->bytes.data + r->taken - b.size, b.size) == 0);
}

/* The first byte says in pieces of which size the rest arrives. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame_reader r = FRAME_READER_INIT;
	struct err e = ERR_INIT;
	size_t piece = size == 0 ? 1 : 1 + data[0] * 8u;
	int got = 0;
	for (size_t at = 1; at < size && got >= 0; at += piece) {
		size_t n = size - at < piece ? size - at : piece;
		require(frame_reader_feed(&r, data + at, n, &e) == 0);
		while ((got = frame_reader_next(&r, &frame, &e)) == 1)
			check_round_trip(&r, &e);
		require(got == 0 || e.code == ERR_INVALID || e.code == ERR_LIMIT);
	}
	require(r.taken <= r.bytes.size && r.bytes.size <= size);
	frame_reader_free(&r);
	return 0;
}
