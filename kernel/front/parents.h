/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The header frames of the newest FRAME_PARENTS_KEPT requests, byte for byte as they came, to be parent headers, and the identities of
 * the clients that sent them, for questions that their code asks.
 */
#ifndef PUPITRE_FRONT_PARENTS_H
#define PUPITRE_FRONT_PARENTS_H

#include <stdint.h>

#include "link/frame.h"
#include "protocol/wire.h"

struct parents {
	struct parent_slot {
		uint32_t serial; /* 0: empty */
		size_t identity_count;
		struct wire_frame header, *identities; /* one piece of memory, owned; NULL */
	} slots[FRAME_PARENTS_KEPT];
};

/* Remember a copy of header and identities. Without memory the parent will be {}. */
void parents_enter(struct parents *p, uint32_t serial, const struct wire_msg *wire);

/* Borrowed until the slot is entered again; an empty frame when the serial is unknown. */
struct wire_frame parents_find(const struct parents *p, uint32_t serial);

/* The same with the identities; NULL when the serial is unknown. */
const struct parent_slot *parents_find_slot(const struct parents *p, uint32_t serial);

void parents_free(struct parents *p);

#endif
