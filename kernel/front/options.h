/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The command line of pupitre-kernel. What is ours is kept here; everything else (IPython's options, names of files, what somebody
 * else's kernel understands) is handed to the worker, where IPython itself reads it, ignoring what it does not know.
 */
#ifndef PUPITRE_FRONT_OPTIONS_H
#define PUPITRE_FRONT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "protocol/connection.h"

enum options_action { OPTIONS_RUN, OPTIONS_VERSION, OPTIONS_HELP, OPTIONS_HELP_ALL, OPTIONS_ASK_NURSERY };

/* Borrows from argv; options_free releases the list. */
struct options {
	enum options_action action;
	const char *connection_file; /* NULL: make kernel-<pid>.json in the runtime directory */
	const char *python;          /* NULL: find one */
	const char *ip;              /* NULL: as the file says */
	const char *transport;       /* NULL, "tcp", "ipc" */
	int ports[CHANNEL_COUNT];    /* 0: as the file says */
	bool allow_unsigned;         /* serve tcp without a key */
	bool no_secure;              /* ignore the key of the file: sign nothing */
	int verbosity;               /* -1 quiet .. 2 debug */
	char *const *typed;          /* all arguments but the program's name */
	size_t typed_count;
	char **forwarded; /* what is not ours */
	size_t forwarded_count;
	char **owned; /* values that do not stand so in argv */
	size_t owned_count;
};

/* Fill *ret from the command line. 0, or -1 with ERR_INVALID (one line for the user, exit status 2). */
int options_parse(int argc, char **argv, struct options *ret, struct err *e);
void options_free(struct options *o);

void options_print_help(bool all);

#endif
