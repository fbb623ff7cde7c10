/* SPDX-License-Identifier: BSD-3-Clause */
#include "fuzz.h"
#include "protocol/limits.h"

/* What is accepted is the same frames, in order, and within every limit. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct wire_frame frames[FUZZ_FRAMES];
	struct wire_msg msg;
	struct err e = ERR_INIT;
	size_t count = fuzz_frames(data, size, frames);
	if (wire_split(frames, count, &msg, &e) < 0) {
		require(e.code == ERR_INVALID || e.code == ERR_LIMIT);
		return 0;
	}
	require(msg.identity_count <= LIMIT_IDENTITIES && msg.buffer_count <= LIMIT_BUFFERS);
	require(msg.identity_count + 2 + WIRE_SIGNED_PARTS + msg.buffer_count == count);
	const struct wire_frame *at = frames;
	for (size_t i = 0; i < msg.identity_count; i++, at++)
		require(msg.identities[i].data == at->data && at->size <= LIMIT_IDENTITY_SIZE);
	require(at->size == WIRE_DELIMITER_SIZE && memcmp(at->data, WIRE_DELIMITER, at->size) == 0);
	require(memcmp(&msg.signature, at + 1, sizeof *at) == 0);
	require(memcmp(msg.parts, at + 2, sizeof msg.parts) == 0);
	require(msg.parts[WIRE_HEADER].size <= LIMIT_HEADER_SIZE && msg.parts[WIRE_PARENT].size <= LIMIT_HEADER_SIZE);
	require(msg.buffer_count == 0 || msg.buffers == at + 2 + WIRE_SIGNED_PARTS);
	return 0;
}
