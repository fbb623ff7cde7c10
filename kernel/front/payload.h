/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What a worker that is not our child is told about us, and nobody but it may read: nursery/messages.h, struct nursery_payload.
 */
#ifndef PUPITRE_FRONT_PAYLOAD_H
#define PUPITRE_FRONT_PAYLOAD_H

#include "front/environment.h"

/* A sealed memfd with the environment and our umask; owned. -1 with *e set. */
int payload_make(const struct environment *environment, struct err *e);

#endif
