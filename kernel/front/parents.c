/* SPDX-License-Identifier: BSD-3-Clause */
#include "front/parents.h"

#include <stdlib.h>
#include <string.h>

void
parents_enter(struct parents *p, uint32_t serial, const struct wire_frame *header)
{
	struct parent_slot *slot = &p->slots[serial % FRAME_PARENTS_KEPT];
	free(slot->bytes);
	*slot = (struct parent_slot){ .bytes = malloc(header->size) };
	if (slot->bytes == NULL)
		return;
	memcpy(slot->bytes, header->data, header->size);
	slot->size = header->size;
	slot->serial = serial;
}

struct wire_frame
parents_find(const struct parents *p, uint32_t serial)
{
	const struct parent_slot *slot = &p->slots[serial % FRAME_PARENTS_KEPT];
	if (serial == 0 || slot->serial != serial)
		return (struct wire_frame){ NULL, 0 };
	return (struct wire_frame){ slot->bytes, slot->size };
}

void
parents_free(struct parents *p)
{
	for (size_t i = 0; i < FRAME_PARENTS_KEPT; i++)
		free(p->slots[i].bytes);
	*p = (struct parents){ 0 };
}
