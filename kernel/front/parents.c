/* SPDX-License-Identifier: BSD-3-Clause */
#include "front/parents.h"

#include <stdlib.h>
#include <string.h>

/* Copy a frame to *at, which moves behind it. */
static struct wire_frame
copy(char **at, const struct wire_frame *frame)
{
	struct wire_frame copied = { memcpy(*at, frame->data, frame->size), frame->size };
	*at += frame->size;
	return copied;
}

void
parents_enter(struct parents *p, uint32_t serial, const struct wire_msg *wire)
{
	struct parent_slot *slot = &p->slots[serial % FRAME_PARENTS_KEPT];
	const struct wire_frame *header = &wire->parts[WIRE_HEADER];
	size_t list_size = wire->identity_count * sizeof *wire->identities, size = list_size + header->size;
	for (size_t i = 0; i < wire->identity_count; i++)
		size += wire->identities[i].size;
	free(slot->identities);
	*slot = (struct parent_slot){ .identities = malloc(size) };
	if (slot->identities == NULL)
		return;
	char *at = (char *)slot->identities + list_size;
	slot->header = copy(&at, header);
	for (size_t i = 0; i < wire->identity_count; i++)
		slot->identities[i] = copy(&at, &wire->identities[i]);
	slot->identity_count = wire->identity_count;
	slot->serial = serial;
}

const struct parent_slot *
parents_find_slot(const struct parents *p, uint32_t serial)
{
	const struct parent_slot *slot = &p->slots[serial % FRAME_PARENTS_KEPT];
	return serial == 0 || slot->serial != serial ? NULL : slot;
}

struct wire_frame
parents_find(const struct parents *p, uint32_t serial)
{
	const struct parent_slot *slot = parents_find_slot(p, serial);
	return slot == NULL ? (struct wire_frame){ NULL, 0 } : slot->header;
}

void
parents_free(struct parents *p)
{
	for (size_t i = 0; i < FRAME_PARENTS_KEPT; i++)
		free(p->slots[i].identities);
	*p = (struct parents){ 0 };
}
