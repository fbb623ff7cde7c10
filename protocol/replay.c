/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/replay.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Two generations of an open-addressing set. Entries go into the current one; when that is full and may not grow, it
 * becomes the previous one and what the previous one held is forgotten: the oldest first, without a date on each entry. */
#define SLOTS_FIRST ((size_t)1 << 10) /* 8 KiB, twice */
#define SLOTS_LAST ((size_t)1 << 19)  /* 4 MiB, twice */

struct set {
	uint64_t *slots; /* 0 = free */
	size_t capacity; /* a power of two */
	size_t used;
};

struct replay {
	struct set current, previous;
};

struct replay *
replay_new(struct err *e)
{
	struct replay *r = calloc(1, sizeof *r);
	if (r != NULL) {
		r->current = (struct set){ calloc(SLOTS_FIRST, sizeof(uint64_t)), SLOTS_FIRST, 0 };
		r->previous = (struct set){ calloc(SLOTS_FIRST, sizeof(uint64_t)), SLOTS_FIRST, 0 };
	}
	if (r == NULL || r->current.slots == NULL || r->previous.slots == NULL) {
		replay_free(r);
		err_memory(e);
		return NULL;
	}
	return r;
}

void
replay_free(struct replay *r)
{
	if (r == NULL)
		return;
	free(r->current.slots);
	free(r->previous.slots);
	free(r);
}

/* The slot that holds `value`, or the free one where it belongs. MACs are uniform already: no hash is needed. */
static uint64_t *
find(const struct set *s, uint64_t value)
{
	size_t i = value & (s->capacity - 1);
	while (s->slots[i] != 0 && s->slots[i] != value)
		i = (i + 1) & (s->capacity - 1);
	return &s->slots[i];
}

static int
grow(struct set *s)
{
	struct set larger = { .capacity = s->capacity * 2, .used = s->used };
	if (s->capacity >= SLOTS_LAST)
		return -1;
	larger.slots = calloc(larger.capacity, sizeof(uint64_t));
	if (larger.slots == NULL)
		return -1;
	for (size_t i = 0; i < s->capacity; i++) {
		if (s->slots[i] != 0)
			*find(&larger, s->slots[i]) = s->slots[i];
	}
	free(s->slots);
	*s = larger;
	return 0;
}

static void
forget_oldest(struct replay *r)
{
	struct set emptied = r->previous;
	memset(emptied.slots, 0, emptied.capacity * sizeof(uint64_t));
	emptied.used = 0;
	r->previous = r->current;
	r->current = emptied;
}

bool
replay_enter(struct replay *r, const struct mac *mac)
{
	uint64_t value;
	if (mac->size == 0)
		return true;
	memcpy(&value, mac->bytes, sizeof value);
	if (value == 0)
		value = 1;
	if (*find(&r->current, value) != 0 || *find(&r->previous, value) != 0)
		return false;
	if (r->current.used >= r->current.capacity / 4 * 3 && grow(&r->current) < 0)
		forget_oldest(r);
	*find(&r->current, value) = value;
	r->current.used++;
	return true;
}
