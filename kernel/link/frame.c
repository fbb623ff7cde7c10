/* SPDX-License-Identifier: BSD-3-Clause */
#include "link/frame.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_SIZE ((size_t)64 * 1024)
#define KEEP_SIZE ((size_t)64 * 1024) /* an empty reader gives back what it has above this */
#define PARTS_MIN ((size_t)16)
#define PARTS_KEPT ((size_t)256)

/* Undo a half-made append, so that a queue of frames survives the one that did not fit. */
static int
take_back(struct buf *out, size_t size, struct err *e)
{
	out->size = size;
	out->failed = false;
	return err_memory(e);
}

int
frame_encode_head(struct buf *out, const struct frame_header *header, const struct frame_part *parts, size_t count,
		  struct err *e)
{
	size_t total = sizeof *header + count * sizeof(uint32_t);
	if (count > FRAME_PARTS_MAX)
		return err_set(e, ERR_LIMIT, "a link frame of %zu parts (limit %u)", count, FRAME_PARTS_MAX);
	for (size_t i = 0; i < count; i++) {
		if (parts[i].size > FRAME_SIZE_MAX - total)
			return err_set(e, ERR_LIMIT, "a link frame above %zu bytes", FRAME_SIZE_MAX);
		total += parts[i].size;
	}
	size_t before = out->size;
	struct frame_header h = *header;
	h.magic = FRAME_MAGIC;
	h.part_count = (uint32_t)count;
	buf_append(out, &h, sizeof h);
	for (size_t i = 0; i < count; i++) {
		uint32_t size = (uint32_t)parts[i].size;
		buf_append(out, &size, sizeof size);
	}
	if (out->failed)
		return take_back(out, before, e);
	return 0;
}

int
frame_encode(struct buf *out, const struct frame_header *header, const struct frame_part *parts, size_t count,
	     struct err *e)
{
	size_t before = out->size;
	if (frame_encode_head(out, header, parts, count, e) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		buf_append(out, parts[i].data, parts[i].size);
	if (out->failed)
		return take_back(out, before, e);
	return 0;
}

void
frame_reader_free(struct frame_reader *r)
{
	buf_free(&r->bytes);
	r->taken = 0;
	free(r->parts);
	r->parts = NULL;
	r->parts_capacity = 0;
}

/* Make room for the list of a frame's parts; a long list is not kept for the short ones that follow. */
static int
reserve_parts(struct frame_reader *r, size_t count, struct err *e)
{
	bool too_long = r->parts_capacity > PARTS_KEPT && count <= PARTS_KEPT;
	if (count <= r->parts_capacity && !too_long)
		return 0;
	size_t capacity = count > PARTS_MIN ? count : PARTS_MIN;
	struct frame_part *parts = realloc(r->parts, capacity * sizeof *parts);
	if (parts == NULL)
		return err_memory(e);
	r->parts = parts;
	r->parts_capacity = capacity;
	return 0;
}

/* Forget what was given out, so that new bytes have room. */
static void
compact(struct frame_reader *r)
{
	if (r->taken == 0)
		return;
	buf_consume(&r->bytes, r->taken);
	r->taken = 0;
	if (r->bytes.size == 0)
		buf_shrink(&r->bytes, KEEP_SIZE);
}

/* The whole size of the frame that starts at `at`, or 0 while that is not known yet, or SIZE_MAX when it is nonsense. */
static size_t
frame_size(const char *at, size_t available, struct err *e)
{
	struct frame_header h;
	if (at == NULL || available < sizeof h)
		return 0;
	memcpy(&h, at, sizeof h);
	if (h.magic != FRAME_MAGIC) {
		err_set(e, ERR_INVALID, "a link frame with the wrong magic");
		return SIZE_MAX;
	}
	if (h.part_count > FRAME_PARTS_MAX) {
		err_set(e, ERR_LIMIT, "a link frame of %u parts (limit %u)", h.part_count, FRAME_PARTS_MAX);
		return SIZE_MAX;
	}
	size_t total = sizeof h + h.part_count * sizeof(uint32_t);
	if (available < total)
		return 0;
	const char *sizes = at + sizeof h;
	for (uint32_t i = 0; i < h.part_count; i++) {
		uint32_t size;
		memcpy(&size, sizes + i * sizeof size, sizeof size);
		if (size > FRAME_SIZE_MAX - total) {
			err_set(e, ERR_LIMIT, "a link frame above %zu bytes", FRAME_SIZE_MAX);
			return SIZE_MAX;
		}
		total += size;
	}
	return total;
}

long
frame_reader_fill(struct frame_reader *r, int fd, struct err *e)
{
	compact(r);
	struct err ignored = ERR_INIT;
	size_t wanted = frame_size(r->bytes.data, r->bytes.size, &ignored);
	size_t room = wanted != SIZE_MAX && wanted > r->bytes.size ? wanted - r->bytes.size : 0;
	if (room < READ_SIZE)
		room = READ_SIZE;
	if (room > r->bytes.maximum - r->bytes.size)
		room = r->bytes.maximum - r->bytes.size;
	if (buf_reserve(&r->bytes, room) < 0) {
		r->bytes.failed = false;
		return err_memory(e);
	}
	ssize_t n = read(fd, r->bytes.data + r->bytes.size, r->bytes.capacity - r->bytes.size);
	if (n == 0) {
		err_set(e, ERR_CLOSED, "the other end of the link is closed");
		return 0;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return err_set(e, ERR_BUSY, "nothing to read on the link");
	if (n < 0 && errno == ECONNRESET) {
		err_set(e, ERR_CLOSED, "the other end of the link is closed");
		return 0;
	}
	if (n < 0)
		return err_system(e, "read from the link");
	r->bytes.size += (size_t)n;
	return n;
}

int
frame_reader_feed(struct frame_reader *r, const void *bytes, size_t size, struct err *e)
{
	compact(r);
	if (buf_append(&r->bytes, bytes, size) < 0) {
		r->bytes.failed = false;
		return err_memory(e);
	}
	return 0;
}

bool
frame_reader_holds(const struct frame_reader *r)
{
	struct err ignored = ERR_INIT;
	size_t available = r->bytes.size - r->taken;
	size_t total = available == 0 ? 0 : frame_size(r->bytes.data + r->taken, available, &ignored);
	return total == SIZE_MAX || (total > 0 && total <= available);
}

int
frame_reader_next(struct frame_reader *r, struct frame *ret, struct err *e)
{
	const char *at = r->bytes.data == NULL ? NULL : r->bytes.data + r->taken;
	size_t available = r->bytes.size - r->taken;
	size_t total = frame_size(at, available, e);
	if (total == SIZE_MAX)
		return -1;
	if (total == 0 || available < total)
		return 0;
	struct frame_header h;
	memcpy(&h, at, sizeof h);
	if (reserve_parts(r, h.part_count, e) < 0)
		return -1;
	const char *sizes = at + sizeof h;
	const char *data = sizes + h.part_count * sizeof(uint32_t);
	for (uint32_t i = 0; i < h.part_count; i++) {
		uint32_t size;
		memcpy(&size, sizes + i * sizeof size, sizeof size);
		r->parts[i] = (struct frame_part){ .data = data, .size = size };
		data += size;
	}
	assert(data == at + total);
	*ret = (struct frame){ .header = h, .parts = r->parts };
	r->taken += total;
	return 1;
}
