/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A socket for the message target: always the same message, cut from the input.
 */
#ifndef PUPITRE_TESTS_FUZZ_MESSAGE_H
#define PUPITRE_TESTS_FUZZ_MESSAGE_H

#include "base/log.h"
#include "front/session.h"
#include "fuzz.h"

/* How often document_read was called. */
extern unsigned json_reads;

/* Make the message that every receive returns; with `sign`, put the right signature for the key "key" into it. Whether the message has the
 * right signature, then or by luck. */
bool fuzz_socket_fill(const uint8_t *data, size_t size, bool sign);

#endif
