/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The connection file's content: what to bind, where, and with which key. Bytes to struct and back; files are the front's
 * business. jupyter_client documentation, "Connection files"; JEP 106.
 */
#ifndef PUPITRE_PROTOCOL_CONNECTION_H
#define PUPITRE_PROTOCOL_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

enum channel { CHANNEL_SHELL, CHANNEL_IOPUB, CHANNEL_STDIN, CHANNEL_CONTROL, CHANNEL_HB, CHANNEL_COUNT };

extern const char *const channel_names[CHANNEL_COUNT]; /* "shell", "iopub", "stdin", "control", "hb" */

enum transport { TRANSPORT_TCP, TRANSPORT_IPC };

/* Owned by the caller: connection_free wipes the key. */
struct connection {
	enum transport transport;
	char *ip;                 /* host part or, for ipc, the path prefix; "*" stays "*" */
	int ports[CHANNEL_COUNT]; /* 0 = pick one; 1..65535 for tcp, >= 1 for ipc */
	char *signature_scheme;   /* "hmac-sha256" when absent */
	char *key;                /* bytes, NUL-terminated; may be "" */
	size_t key_size;
	char *kernel_name;   /* "" when absent */
	struct json_t *rest; /* the members that we do not know, for connection_write; NULL when none */
};

/* Defaults: tcp, 127.0.0.1, ports 0, hmac-sha256, no key. 0 or -1 with ERR_MEMORY. */
int connection_init(struct connection *ret, struct err *e);

/* Parse a connection file. Ports may be whole numbers (5000.0, too) or strings of digits. Unknown keys are kept. -1 with ERR_INVALID (one line that names
 * the key at fault), ERR_LIMIT, ERR_MEMORY, and *ret untouched. Refuses transports and signature schemes we do not have, and
 * CURVE keys (not yet supported: a kernel that silently served in the clear would be worse). */
int connection_parse(const void *bytes, size_t size, struct connection *ret, struct err *e);
void connection_free(struct connection *c);

/* Append the file's content: what was read, unknown keys included, with the actual transport, ip and ports. Indented JSON, newline at
 * the end. 0, or -1 with out->failed set. */
int connection_write(const struct connection *c, struct buf *out);

/* Append a ZeroMQ endpoint, e.g. tcp://127.0.0.1:5555, tcp://0.0.0.0:5555 for "*", ipc://PREFIX-1. `ip` is c->ip or, for tcp, an address
 * that it stands for. NUL-terminated (the NUL is not counted in out->size). -1 with ERR_LIMIT when an ipc path exceeds 107 bytes. */
int connection_endpoint(const struct connection *c, const char *ip, int port, struct buf *out, struct err *e);

/* Whether two connections would write the same file. */
bool connection_same_ports(const struct connection *c, const int ports[CHANNEL_COUNT]);

#endif
