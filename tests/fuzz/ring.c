/* SPDX-License-Identifier: BSD-3-Clause */
#include "link/ring.h"
#include "fuzz.h"

static struct shared shared;
static char text[RING_TEXT_MAX];

/* The worker scribbled over the shared pages: head and tail from the first 16 bytes, records from the rest. Whatever is there, the
 * consumer ends after a bounded number of steps and never reads further than the producer's position. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ring_record record;
	uint64_t position[2] = { 0, 0 };
	struct err e = ERR_INIT;
	int got;
	if (size < sizeof position)
		return 0;
	memcpy(position, data, sizeof position);
	memset(&shared, 0, sizeof shared);
	shared.ring.head = position[0];
	shared.ring.tail = position[1];
	for (size_t i = sizeof position; i < size; i++)
		shared.data[(position[1] + i - sizeof position) % RING_SIZE] = (char)data[i];
	for (size_t steps = 0; (got = ring_take(&shared, &record, text, &e)) == 1; steps++) {
		require(steps <= RING_SIZE / sizeof record && record.size <= RING_TEXT_MAX);
		require(ring_position(&shared) - ring_taken(&shared) <= RING_SIZE);
	}
	require(got == 0 ? ring_taken(&shared) == position[0] : e.code == ERR_INVALID);
	ring_arm(&shared, 1);
	ring_made_room(&shared);
	bool bell;
	ring_put(&shared, &(struct ring_record){ .size = 5, .serial = 1, .stream = 1 }, "hello", &bell);
	return 0;
}
