/* SPDX-License-Identifier: BSD-3-Clause
 *
 * In which order text of C (by the pipes on descriptors 1 and 2) and text of sys.stdout and sys.stderr (by the ring) were made. Nothing
 * in memory says that somebody has written to a pipe, and a system call for each print would double its cost: so the pipes are
 * looked at before the first prints of a moment, and before all of them while something comes by the pipes (docs/decisions/014).
 * Called with the GIL.
 */
#ifndef PUPITRE_WORKER_PIPES_H
#define PUPITRE_WORKER_PIPES_H

#include <stdbool.h>

#include "link/ring.h"

/* Whether a look at the pipes is affordable now. Makes no system call. */
bool pipes_may_look(const struct shared *shared);

/* Look: true, and *ret filled, when something was written to the pipes since this was last true. Two system calls. */
bool pipes_have_more(const struct shared *shared, struct ring_pipes *ret);

#endif
