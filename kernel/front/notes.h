/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the nursery cannot know, told to it for its log and its ledger: that a kernel starts cold, and that one has died. Nothing
 * waits for an answer, but for a moment at the end, and nothing comes of it when nobody listens.
 */
#ifndef PUPITRE_FRONT_NOTES_H
#define PUPITRE_FRONT_NOTES_H

#include "nursery/messages.h"

#define NOTES_PATIENCE_MS 250

/* The id that Jupyter gave the kernel, from the name of its connection file, kernel-ID.json. The text is borrowed from `path`, *ret_size
 * bytes; the number is that of a UUID, and zeros for anything else. */
const char *notes_kernel(const char *path, int *ret_size, uint64_t ret[2]);

/* Tell the nursery that would be asked for a worker. The connection, owned; -1: there is none. */
int notes_send(enum nursery_op op, const uint64_t kernel[2], const struct nursery_note *note);

/* Wait until it was heard, NOTES_PATIENCE_MS at most, while we can still be seen. Closes. */
void notes_settle(int *connection);

#endif
