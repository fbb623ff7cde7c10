/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the "ip" of a connection file means to bind: libzmq takes numbers and names of interfaces, clients connect to names of hosts, too.
 */
#ifndef PUPITRE_FRONT_ADDRESS_H
#define PUPITRE_FRONT_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define ADDRESS_SIZE 128 /* bytes of the longest address with its NUL */

struct address {
	char text[ADDRESS_SIZE]; /* as an endpoint has it: number, name of an interface, or "*" */
	bool ipv6;
};

/* All addresses that a client may mean by `ip`: a number, a host's name, an interface, or "*". One at least, none twice. NULL with
 * ERR_INVALID or ERR_MEMORY (one line that names `ip`). Owned: free. Blocks while it asks for a host's name. */
struct address *address_resolve(const char *ip, size_t *ret_count, struct err *e);

#endif
