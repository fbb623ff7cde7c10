/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Which requests the worker has taken and not answered yet. What makes "exactly one reply" a property of the C side.
 * Called with the GIL. No Python objects.
 */
#ifndef PUPITRE_WORKER_REQUESTS_H
#define PUPITRE_WORKER_REQUESTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REQUEST_TYPE_SIZE 64 /* bytes of a msg_type with its NUL; a longer one is kept as "" */

/* Request `serial` came in; `header` is its header JSON, in which the msg_type is looked up. 0, or -1 for want of memory. */
int requests_open(uint32_t serial, const char *header, size_t size);

/* Whether `serial` still wants its REPLY or DONE. */
bool requests_is_open(uint32_t serial);

/* It has been answered. */
void requests_close(uint32_t serial);

/* The msg_type of an open request ("" when unknown), borrowed until the next open or close. NULL when it is not open. */
const char *requests_type(uint32_t serial);

/* The highest serial seen. */
uint32_t requests_newest(void);

#endif
