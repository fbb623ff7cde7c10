/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What goes out on iopub, in order. A subscriber that does not read makes messages wait here, bounded in bytes: above the
 * bound the loop stops reading from the worker, so that print() waits; when nothing moved for OUTPUT_STUCK_MS, stream text is left out
 * (streams.c counts it). Status, results and errors are never left out.
 */
#ifndef PUPITRE_FRONT_OUTPUT_H
#define PUPITRE_FRONT_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "front/sockets.h"

#define OUTPUT_BACKLOG_MAX ((size_t)32 << 20) /* bytes waiting, above which the worker is not read */
#define OUTPUT_STUCK_MS 5000                  /* no message accepted for this long: text is left out */
#define OUTPUT_RETRY_MS 5                     /* between attempts while something waits */

struct waiting_message;

struct output {
	struct sockets *sockets; /* borrowed */
	struct waiting_message *first, **last;
	size_t bytes;          /* waiting */
	long long progress_ms; /* clock_ms() of the last message accepted, or of the first that waited */
};

void output_init(struct output *o, struct sockets *sockets);
void output_free(struct output *o);

/* Send, or keep a copy until the subscribers have room. 0, or -1 with ERR_MEMORY. */
int output_send(struct output *o, const struct wire_frame *frames, size_t count, struct err *e);

/* Send what waits, as far as it goes. */
void output_retry(struct output *o);

bool output_is_empty(const struct output *o);
bool output_is_full(const struct output *o);  /* do not read from the worker now */
bool output_is_stuck(const struct output *o); /* full, and nothing has moved for OUTPUT_STUCK_MS */

#endif
