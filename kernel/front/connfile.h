/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The connection file on disk: finding, reading, writing back, removing what we made.
 */
#ifndef PUPITRE_FRONT_CONNFILE_H
#define PUPITRE_FRONT_CONNFILE_H

#include <stdbool.h>

#include "base/err.h"
#include "protocol/connection.h"

/* Owned: connfile_close. */
struct connfile {
	char *path;   /* absolute */
	bool existed; /* it was there when we started: never removed by us */
	bool ours;    /* in the runtime directory, which we may make */
};

/* Find and read the connection file `name` (NULL: kernel-<pid>.json in Jupyter's runtime directory, made with a fresh key). A bare name that
 * is not in the current directory is looked for in the runtime directory; a name that is nowhere is made. Refuses files
 * that are not regular, belong to another user or exceed LIMIT_CONNECTION_FILE_SIZE. 0, or -1 with one line for the user. */
int connfile_open(const char *name, struct connfile *ret, struct connection *ret_connection, struct err *e);

/* Merge the ports that were bound into the file (mode 0600, atomically). Does nothing when nothing changed and the file existed. */
int connfile_write(const struct connfile *f, const struct connection *c, bool changed, struct err *e);

/* Release; removes the file when we made it. */
void connfile_close(struct connfile *f);

#endif
