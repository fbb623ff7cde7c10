/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/connection.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/header.h"
#include "protocol/json_read.h"
#include "protocol/limits.h"
#include "protocol/text.h"

#define IPC_PATH_MAX 107u /* sun_path without its NUL */
#define TCP_PORT_MAX 65535

const char *const channel_names[CHANNEL_COUNT] = {
	[CHANNEL_SHELL] = "shell",     [CHANNEL_IOPUB] = "iopub", [CHANNEL_STDIN] = "stdin",
	[CHANNEL_CONTROL] = "control", [CHANNEL_HB] = "hb",
};

static const char *const transport_names[] = { [TRANSPORT_TCP] = "tcp", [TRANSPORT_IPC] = "ipc" };

/* What one parse is about. */
struct parse {
	struct connection c;
	struct buf rest;
	bool ours; /* some key was one of a connection file */
	bool has_ip;
};

int
connection_init(struct connection *ret, struct err *e)
{
	struct connection c = {
		.transport = TRANSPORT_TCP,
		.ip = strdup("127.0.0.1"),
		.signature_scheme = strdup("hmac-sha256"),
		.key = strdup(""),
		.kernel_name = strdup(""),
	};
	if (c.ip == NULL || c.signature_scheme == NULL || c.key == NULL || c.kernel_name == NULL) {
		connection_free(&c);
		return err_memory(e);
	}
	*ret = c;
	return 0;
}

void
connection_free(struct connection *c)
{
	if (c->key != NULL)
		explicit_bzero(c->key, c->key_size);
	free(c->ip);
	free(c->signature_scheme);
	free(c->key);
	free(c->kernel_name);
	free(c->rest);
	*c = (struct connection){ .transport = TRANSPORT_TCP };
}

/* Replace *target (owned) by a string member. */
static int
read_string(const char *name, struct json_span value, char **target, size_t *ret_size, struct err *e)
{
	struct json_text text;
	assert(target != NULL && *target != NULL);
	if (!json_is_string(value))
		return err_set(e, ERR_INVALID, "\"%s\" is not a string", name);
	if (json_string(value, &text) < 0)
		return err_memory(e);
	if (text.altered) {
		explicit_bzero(text.data, text.size);
		free(text.data);
		return err_set(e, ERR_INVALID, "\"%s\" holds a character that is not allowed", name);
	}
	if (ret_size != NULL) {
		explicit_bzero(*target, *ret_size);
		*ret_size = text.size;
	}
	free(*target);
	*target = text.data;
	return 0;
}

static int
read_port(const char *name, struct json_span value, int *ret, struct err *e)
{
	const char *at = value.data, *end = value.data + value.size;
	long port = 0;
	if (json_is_string(value)) {
		at++;
		end--;
	}
	if (at == end)
		return err_set(e, ERR_INVALID, "\"%s\" is empty", name);
	for (; at < end; at++) {
		if (*at < '0' || *at > '9')
			return err_set(e, ERR_INVALID, "\"%s\" is not a port number", name);
		port = port * 10 + (*at - '0');
		if (port > INT_MAX)
			return err_set(e, ERR_INVALID, "\"%s\" is not a port number", name);
	}
	*ret = (int)port;
	return 0;
}

static int
read_ip(struct parse *p, struct json_span value, struct err *e)
{
	if (read_string("ip", value, &p->c.ip, NULL, e) < 0)
		return -1;
	if (p->c.ip[0] == 0)
		return err_set(e, ERR_INVALID, "\"ip\" is empty");
	p->has_ip = true;
	return 0;
}

static int
read_key(struct parse *p, struct json_span value, struct err *e)
{
	return read_string("key", value, &p->c.key, &p->c.key_size, e);
}

static int
read_kernel_name(struct parse *p, struct json_span value, struct err *e)
{
	return read_string("kernel_name", value, &p->c.kernel_name, NULL, e);
}

static int
read_scheme(struct parse *p, struct json_span value, struct err *e)
{
	static const char *const known[] = { "hmac-sha256", "hmac-sha384", "hmac-sha512" };
	if (read_string("signature_scheme", value, &p->c.signature_scheme, NULL, e) < 0)
		return -1;
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		if (strcmp(p->c.signature_scheme, known[i]) == 0)
			return 0;
	}
	return err_set(e, ERR_INVALID, "\"signature_scheme\" is not one of hmac-sha256, hmac-sha384, hmac-sha512");
}

static int
read_transport(struct parse *p, struct json_span value, struct err *e)
{
	for (size_t i = 0; i < sizeof transport_names / sizeof *transport_names; i++) {
		if (json_is_string(value) && json_key_is(value, transport_names[i])) {
			p->c.transport = (enum transport)i;
			return 0;
		}
	}
	return err_set(e, ERR_INVALID, "\"transport\" is neither \"tcp\" nor \"ipc\"");
}

/* Served in the clear, a client that asked for encryption would be worse off than without a kernel. */
static int
refuse_curve(struct parse *p, struct json_span value, struct err *e)
{
	(void)p;
	if (value.data[0] == 'n' || (json_is_string(value) && value.size == 2))
		return 0;
	return err_set(e, ERR_INVALID, "\"curve_publickey\" or \"curve_secretkey\" is set, and CURVE is not supported");
}

static int
refuse_registration(struct parse *p, struct json_span value, struct err *e)
{
	(void)p;
	(void)value;
	return err_set(e, ERR_INVALID,
		       "\"registration_port\" asks for a registration handshake, which is not supported");
}

static const struct member {
	const char *name;
	int (*read)(struct parse *p, struct json_span value, struct err *e);
} members[] = {
	{ "transport", read_transport },
	{ "ip", read_ip },
	{ "key", read_key },
	{ "signature_scheme", read_scheme },
	{ "kernel_name", read_kernel_name },
	{ "curve_publickey", refuse_curve },
	{ "curve_secretkey", refuse_curve },
	{ "registration_port", refuse_registration },
};

static const char *const port_names[CHANNEL_COUNT] = {
	[CHANNEL_SHELL] = "shell_port",     [CHANNEL_IOPUB] = "iopub_port", [CHANNEL_STDIN] = "stdin_port",
	[CHANNEL_CONTROL] = "control_port", [CHANNEL_HB] = "hb_port",
};

static int
read_member(struct parse *p, struct json_span key, struct json_span value, struct err *e)
{
	for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
		if (json_key_is(key, members[i].name)) {
			p->ours = true;
			return members[i].read(p, value, e);
		}
	}
	for (size_t i = 0; i < CHANNEL_COUNT; i++) {
		if (json_key_is(key, port_names[i])) {
			p->ours = true;
			return read_port(port_names[i], value, &p->c.ports[i], e);
		}
	}
	buf_append_string(&p->rest, ",\n  ");
	buf_append(&p->rest, key.data, key.size);
	buf_append_string(&p->rest, ": ");
	buf_append(&p->rest, value.data, value.size);
	return p->rest.failed ? err_memory(e) : 0;
}

/* What no single key can say. */
static int
finish(struct parse *p, struct err *e)
{
	if (!p->ours)
		return err_set(e, ERR_INVALID,
			       "not a connection file: \"transport\", \"ip\", \"key\" and all ports are missing");
	if (p->c.transport == TRANSPORT_IPC && !p->has_ip)
		return err_set(e, ERR_INVALID,
			       "\"ip\" is missing: with \"transport\" \"ipc\" it is the path of the sockets");
	for (size_t i = 0; i < CHANNEL_COUNT; i++) {
		if (p->c.transport == TRANSPORT_TCP && p->c.ports[i] > TCP_PORT_MAX)
			return err_set(e, ERR_INVALID, "\"%s\" is above %d", port_names[i], TCP_PORT_MAX);
	}
	if (p->rest.size == 0)
		return 0;
	if (buf_append(&p->rest, "", 1) < 0)
		return err_memory(e);
	p->c.rest = p->rest.data;
	p->rest = BUF_INIT;
	return 0;
}

int
connection_parse(const void *bytes, size_t size, struct connection *ret, struct err *e)
{
	struct parse p = { .rest = BUF_INIT };
	struct json_span key, value;
	if (size > LIMIT_CONNECTION_FILE_SIZE)
		return err_set(e, ERR_LIMIT, "%zu bytes are too many for a connection file (limit %u)", size,
			       LIMIT_CONNECTION_FILE_SIZE);
	if (json_check_object(bytes, size, e) < 0 || connection_init(&p.c, e) < 0)
		return -1;
	struct json_cursor cursor = json_members(bytes, size);
	int result = 0;
	while (result == 0 && json_next(&cursor, &key, &value))
		result = read_member(&p, key, value, e);
	if (result == 0)
		result = finish(&p, e);
	buf_free(&p.rest);
	if (result < 0)
		connection_free(&p.c);
	else
		*ret = p.c;
	return result;
}

static void
write_string(struct buf *out, const char *name, const char *text, size_t size)
{
	buf_appendf(out, ",\n  \"%s\": ", name);
	text_append_json(out, text, size);
}

int
connection_write(const struct connection *c, struct buf *out)
{
	size_t before = out->size;
	const char *transport = transport_names[c->transport];
	buf_append_string(out, "{");
	for (size_t i = 0; i < CHANNEL_COUNT; i++)
		buf_appendf(out, "%s\n  \"%s\": %d", i == 0 ? "" : ",", port_names[i], c->ports[i]);
	write_string(out, "transport", transport, strlen(transport));
	write_string(out, "ip", c->ip, strlen(c->ip));
	write_string(out, "key", c->key, c->key_size);
	write_string(out, "signature_scheme", c->signature_scheme, strlen(c->signature_scheme));
	write_string(out, "kernel_name", c->kernel_name, strlen(c->kernel_name));
	if (c->rest != NULL)
		buf_append_string(out, c->rest);
	buf_append_string(out, "\n}\n");
	if (!out->failed)
		return 0;
	out->size = before;
	return -1;
}

/* The host as an endpoint has it: all interfaces for "*", brackets around an IPv6 address. */
static int
append_tcp(const char *ip, int port, struct buf *out)
{
	if (strcmp(ip, "*") == 0)
		return buf_appendf(out, "tcp://0.0.0.0:%d", port);
	bool bare_ipv6 = strchr(ip, ':') != NULL && ip[0] != '[';
	return buf_appendf(out, bare_ipv6 ? "tcp://[%s]:%d" : "tcp://%s:%d", ip, port);
}

int
connection_endpoint(const struct connection *c, enum channel channel, int port, struct buf *out, struct err *e)
{
	size_t before = out->size;
	(void)channel;
	if (c->transport == TRANSPORT_TCP)
		append_tcp(c->ip, port, out);
	else
		buf_appendf(out, "ipc://%s-%d", c->ip, port);
	if (out->failed) {
		out->size = before;
		return err_memory(e);
	}
	if (c->transport == TRANSPORT_IPC && out->size - before > strlen("ipc://") + IPC_PATH_MAX) {
		out->size = before;
		return err_set(e, ERR_LIMIT, "\"ip\" makes a socket path of more than %u bytes", IPC_PATH_MAX);
	}
	return 0;
}

bool
connection_same_ports(const struct connection *c, const int ports[CHANNEL_COUNT])
{
	return memcmp(c->ports, ports, sizeof c->ports) == 0;
}
