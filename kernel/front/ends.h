/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The link between front and worker, made by the front whatever way the worker starts: our ends go into struct worker, the
 * worker's into struct ends, in the order in which they become its descriptors 1 to 8 (nursery/messages.h).
 */
#ifndef PUPITRE_FRONT_ENDS_H
#define PUPITRE_FRONT_ENDS_H

#include "base/err.h"
#include "nursery/messages.h"

struct worker;

#define ENDS_COUNT (NURSERY_FD_ANSWERS + 1)

struct ends {
	int fds[ENDS_COUNT]; /* by enum nursery_fd; close-on-exec, and above the numbers they become; -1: none */
};

#define ENDS_INIT ((struct ends){ .fds = { [0 ... ENDS_COUNT - 1] = -1 } })

/* Make both. w must be WORKER_INIT. 0, or -1 with *e set; what was made until then stays in w and *ret either way. */
int ends_make(struct worker *w, struct ends *ret, struct err *e);

void ends_close(struct ends *ends);

#endif
