/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Whether a datagram is what messages.h says. Pure functions on bytes; fuzzed by tests/fuzz/nursery.c.
 */
#ifndef PUPITRE_NURSERY_LISTENER_CHECK_H
#define PUPITRE_NURSERY_LISTENER_CHECK_H

#include <stddef.h>

#include "nursery/messages.h"

/* A request of `size` bytes, whole in *r when that is its size, that came with fd_count descriptors. NURSERY_OK, NURSERY_BAD_REQUEST
 * or NURSERY_BAD_BUILD. */
enum nursery_reason check_request(const struct nursery_request *r, size_t size, size_t fd_count);

/* A template's report. NURSERY_OK with its text made one printable line, or NURSERY_BAD_REQUEST. */
enum nursery_reason check_report(struct nursery_report *r, size_t size, size_t fd_count);

/* What the front should do after a refusal for `reason`. */
enum nursery_verdict check_verdict(enum nursery_reason reason);

#endif
