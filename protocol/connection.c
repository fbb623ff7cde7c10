/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/connection.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/document.h"
#include "protocol/limits.h"

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
	bool ours; /* some key was one of a connection file */
	bool has_ip;
	bool has_registration;
	size_t port_count;
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
	json_decref(c->rest);
	*c = (struct connection){ .transport = TRANSPORT_TCP };
}

/* Replace *target (owned) by a string member. */
static int
read_string(const char *name, const json_t *value, char **target, size_t *ret_size, struct err *e)
{
	size_t size = json_string_length(value);
	assert(target != NULL && *target != NULL);
	if (!json_is_string(value))
		return err_set(e, ERR_INVALID, "\"%s\" is not a string", name);
	if (memchr(json_string_value(value), '\0', size) != NULL)
		return err_set(e, ERR_INVALID, "\"%s\" holds a character that is not allowed", name);
	char *text = strdup(json_string_value(value));
	if (text == NULL)
		return err_memory(e);
	if (ret_size != NULL) {
		explicit_bzero(*target, *ret_size);
		*ret_size = size;
	}
	free(*target);
	*target = text;
	return 0;
}

/* A number, which languages without integers write as 5000.0, or a string of digits. */
static int
read_port(const char *name, const json_t *value, int *ret, struct err *e)
{
	const char *digits = json_string_value(value);
	double number = json_number_value(value); /* exact for every port */
	long long port = json_is_number(value) && number >= 0 && number <= INT_MAX ? (long long)number : -1;
	if (json_is_number(value) && (double)port != number)
		port = -1;
	if (digits != NULL && *digits == '\0')
		return err_set(e, ERR_INVALID, "\"%s\" is empty", name);
	if (digits != NULL && strspn(digits, "0123456789") == json_string_length(value))
		port = strtoll(digits, NULL, 10);
	if (port < 0 || port > INT_MAX)
		return err_set(e, ERR_INVALID, "\"%s\" is not a port number", name);
	*ret = (int)port;
	return 0;
}

static int
read_ip(struct parse *p, const json_t *value, struct err *e)
{
	if (read_string("ip", value, &p->c.ip, NULL, e) < 0)
		return -1;
	if (p->c.ip[0] == 0)
		return err_set(e, ERR_INVALID, "\"ip\" is empty");
	p->has_ip = true;
	return 0;
}

static int
read_key(struct parse *p, const json_t *value, struct err *e)
{
	return read_string("key", value, &p->c.key, &p->c.key_size, e);
}

static int
read_kernel_name(struct parse *p, const json_t *value, struct err *e)
{
	return read_string("kernel_name", value, &p->c.kernel_name, NULL, e);
}

static int
read_scheme(struct parse *p, const json_t *value, struct err *e)
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
read_transport(struct parse *p, const json_t *value, struct err *e)
{
	for (size_t i = 0; i < sizeof transport_names / sizeof *transport_names; i++) {
		if (json_is_string(value) && strcmp(json_string_value(value), transport_names[i]) == 0) {
			p->c.transport = (enum transport)i;
			return 0;
		}
	}
	return err_set(e, ERR_INVALID, "\"transport\" is neither \"tcp\" nor \"ipc\"");
}

/* Served in the clear, a client that asked for encryption would be worse off than without a kernel. */
static int
refuse_curve(struct parse *p, const json_t *value, struct err *e)
{
	(void)p;
	if (json_is_null(value) || (json_is_string(value) && json_string_length(value) == 0))
		return 0;
	return err_set(e, ERR_INVALID, "\"curve_publickey\" or \"curve_secretkey\" is set, and CURVE is not supported");
}

static const struct member {
	const char *name;
	int (*read)(struct parse *p, const json_t *value, struct err *e);
} members[] = {
	{ "transport", read_transport },
	{ "ip", read_ip },
	{ "key", read_key },
	{ "signature_scheme", read_scheme },
	{ "kernel_name", read_kernel_name },
	{ "curve_publickey", refuse_curve },
	{ "curve_secretkey", refuse_curve },
};

static const char *const port_names[CHANNEL_COUNT] = {
	[CHANNEL_SHELL] = "shell_port",     [CHANNEL_IOPUB] = "iopub_port", [CHANNEL_STDIN] = "stdin_port",
	[CHANNEL_CONTROL] = "control_port", [CHANNEL_HB] = "hb_port",
};

static int
read_member(struct parse *p, const char *key, json_t *value, struct err *e)
{
	for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
		if (strcmp(key, members[i].name) == 0) {
			p->ours = true;
			return members[i].read(p, value, e);
		}
	}
	for (size_t i = 0; i < CHANNEL_COUNT; i++) {
		if (strcmp(key, port_names[i]) == 0) {
			p->ours = true;
			p->port_count++;
			return read_port(port_names[i], value, &p->c.ports[i], e);
		}
	}
	p->has_registration = p->has_registration || strcmp(key, "registration_port") == 0;
	if (p->c.rest == NULL)
		p->c.rest = json_object();
	return json_object_set(p->c.rest, key, value) < 0 ? err_memory(e) : 0;
}

/* What no single key can say. */
static int
finish(struct parse *p, struct err *e)
{
	/* Beside all ports it is somebody else's: we are told where to listen. */
	if (p->has_registration && p->port_count < CHANNEL_COUNT)
		return err_set(
			e, ERR_INVALID,
			"\"registration_port\" without all other ports asks for a registration handshake, which is "
			"not supported");
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
	return 0;
}

int
connection_parse(const void *bytes, size_t size, struct connection *ret, struct err *e)
{
	struct parse p = { .has_ip = false };
	const char *key;
	json_t *value;
	if (size > LIMIT_CONNECTION_FILE_SIZE)
		return err_set(e, ERR_LIMIT, "%zu bytes are too many for a connection file (limit %u)", size,
			       LIMIT_CONNECTION_FILE_SIZE);
	json_auto_t *document = document_read(bytes, size, JSON_ALLOW_NUL, e);
	if (document == NULL || connection_init(&p.c, e) < 0)
		return -1;
	int result = 0;
	json_object_foreach(document, key, value)
	{
		if (result == 0)
			result = read_member(&p, key, value, e);
	}
	if (result == 0)
		result = finish(&p, e);
	if (result < 0)
		connection_free(&p.c);
	else
		*ret = p.c;
	return result;
}

int
connection_write(const struct connection *c, struct buf *out)
{
	size_t before = out->size;
	const int *ports = c->ports;
	json_auto_t *document =
		json_pack("{s:i, s:i, s:i, s:i, s:i, s:s, s:o, s:s%, s:s, s:s}", port_names[0], ports[0], port_names[1],
			  ports[1], port_names[2], ports[2], port_names[3], ports[3], port_names[4], ports[4],
			  "transport", transport_names[c->transport], "ip", document_text(c->ip, strlen(c->ip)), "key",
			  c->key, c->key_size, "signature_scheme", c->signature_scheme, "kernel_name", c->kernel_name);
	if (c->rest != NULL)
		json_object_update(document, c->rest);
	document_append(out, document, JSON_INDENT(2));
	buf_append_string(out, "\n");
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
connection_endpoint(const struct connection *c, const char *ip, int port, struct buf *out, struct err *e)
{
	size_t before = out->size;
	if (c->transport == TRANSPORT_TCP)
		append_tcp(ip, port, out);
	else
		buf_appendf(out, "ipc://%s-%d", ip, port);
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
