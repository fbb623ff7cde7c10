/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Which requests the worker has taken and not answered yet. What makes "exactly one reply" a property of the C side.
 * Called with the GIL. No Python objects.
 */
#ifndef PUPITRE_WORKER_REQUESTS_H
#define PUPITRE_WORKER_REQUESTS_H

#include <stdbool.h>
#include <stdint.h>

/* Request `serial` came in. 0, or -1 for want of memory. */
int requests_open(uint32_t serial);

/* Whether `serial` still wants its REPLY or DONE. */
bool requests_is_open(uint32_t serial);

/* It has been answered. */
void requests_close(uint32_t serial);

/* The highest serial seen. */
uint32_t requests_newest(void);

#endif
