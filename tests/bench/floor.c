/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The floor of the benchmarks: the least a kernel can do. It reads a connection file, checks the signature of each request
 * on the shell channel, looks for its type, and answers with the same signed messages every time. It runs no code.
 * Compiled by tests/bench/floor.py; started like a kernel: floor -f CONNECTION_FILE. Any failure is exit status 1.
 */
#define _GNU_SOURCE /* memmem */
#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define FRAMES_MAX 16
#define DELIMITER "<IDS|MSG>"
#define SIGNATURE_SIZE 64

struct bytes {
	const char *data;
	size_t size;
};

struct request {
	zmq_msg_t frames[FRAMES_MAX];
	size_t count;
	struct bytes identity, signature, json[4]; /* borrowed from frames */
};

static const char *key;
static size_t key_size;
static void *shell, *iopub;

static void
die(const char *what)
{
	fprintf(stderr, "floor: %s\n", what);
	exit(1);
}

static struct bytes
bytes_of(const char *text)
{
	return (struct bytes){ text, strlen(text) };
}

/* The text behind `"name":` in JSON that is known to be ours: no nesting, no escapes. */
static struct bytes
find_value(struct bytes json, const char *quoted_name)
{
	const char *end = json.data + json.size;
	const char *at = memmem(json.data, json.size, quoted_name, strlen(quoted_name));
	for (at = at ? at + strlen(quoted_name) : end; at < end && (*at == ':' || *at == ' ');)
		at++;
	if (at == end)
		die("a name is missing");
	return (struct bytes){ at, (size_t)(end - at) };
}

static struct bytes
read_connection(const char *path)
{
	static char text[65536];
	FILE *file = fopen(path, "r");
	size_t size = file ? fread(text, 1, sizeof text - 1, file) : 0;
	if (!file || fclose(file) != 0)
		die("cannot read the connection file");
	return (struct bytes){ text, size };
}

static void
sign(const struct bytes json[4], char ret_hex[SIGNATURE_SIZE + 1])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int size = 0;
	HMAC_CTX *mac = HMAC_CTX_new();
	HMAC_Init_ex(mac, key, (int)key_size, EVP_sha256(), NULL);
	for (int i = 0; i < 4; i++)
		HMAC_Update(mac, (const unsigned char *)json[i].data, json[i].size);
	HMAC_Final(mac, digest, &size);
	HMAC_CTX_free(mac);
	for (unsigned int i = 0; i < size; i++)
		snprintf(ret_hex + 2 * i, 3, "%02x", digest[i]);
}

static void
send_message(void *socket, struct bytes identity, const char *type, struct bytes parent, const char *content)
{
	static unsigned long sent;
	char header[256], signature[SIGNATURE_SIZE + 1];
	snprintf(header, sizeof header,
		 "{\"msg_id\":\"floor-%lu\",\"session\":\"floor\",\"username\":\"floor\",\"date\":\"2026-01-01T00:00:"
		 "00Z\","
		 "\"msg_type\":\"%s\",\"version\":\"5.3\"}",
		 sent++, type);
	struct bytes json[4] = { bytes_of(header), parent, bytes_of("{}"), bytes_of(content) };
	sign(json, signature);
	zmq_send(socket, identity.data, identity.size, ZMQ_SNDMORE);
	zmq_send(socket, DELIMITER, strlen(DELIMITER), ZMQ_SNDMORE);
	zmq_send(socket, signature, SIGNATURE_SIZE, ZMQ_SNDMORE);
	for (int i = 0; i < 4; i++)
		zmq_send(socket, json[i].data, json[i].size, i < 3 ? ZMQ_SNDMORE : 0);
}

static void
receive(struct request *r)
{
	int more = 1;
	for (r->count = 0; more; r->count++) {
		if (r->count == FRAMES_MAX)
			die("too many frames");
		zmq_msg_t *frame = &r->frames[r->count];
		zmq_msg_init(frame);
		if (zmq_msg_recv(frame, shell, 0) < 0)
			die("cannot receive");
		more = zmq_msg_more(frame);
	}
}

static struct bytes
frame_bytes(struct request *r, size_t index)
{
	return (struct bytes){ zmq_msg_data(&r->frames[index]), zmq_msg_size(&r->frames[index]) };
}

static void
check(struct request *r)
{
	char expected[SIGNATURE_SIZE + 1];
	if (r->count < 7)
		die("too few frames");
	r->identity = frame_bytes(r, 0);
	r->signature = frame_bytes(r, 2);
	for (size_t i = 0; i < 4; i++)
		r->json[i] = frame_bytes(r, 3 + i);
	sign(r->json, expected);
	if (r->signature.size != SIGNATURE_SIZE || CRYPTO_memcmp(expected, r->signature.data, SIGNATURE_SIZE) != 0)
		die("bad signature");
}

static void
answer(struct request *r)
{
	struct bytes type = find_value(r->json[0], "\"msg_type\"");
	send_message(iopub, bytes_of("status"), "status", r->json[0], "{\"execution_state\":\"busy\"}");
	if (type.size > 13 && memcmp(type.data, "\"kernel_info_", 13) == 0) {
		send_message(shell, r->identity, "kernel_info_reply", r->json[0],
			     "{\"status\":\"ok\",\"protocol_version\":\"5.3\",\"language_info\":{\"name\":\"none\"},"
			     "\"banner\":\"\"}");
	} else {
		send_message(iopub, bytes_of("execute_input"), "execute_input", r->json[0],
			     "{\"code\":\"pass\",\"execution_count\":1}");
		send_message(shell, r->identity, "execute_reply", r->json[0],
			     "{\"status\":\"ok\",\"execution_count\":1,\"user_expressions\":{},\"payload\":[]}");
	}
	send_message(iopub, bytes_of("status"), "status", r->json[0], "{\"execution_state\":\"idle\"}");
	for (size_t i = 0; i < r->count; i++)
		zmq_msg_close(&r->frames[i]);
}

static void *
bind_socket(void *context, struct bytes connection, int type, const char *port)
{
	char address[64];
	void *socket = zmq_socket(context, type);
	snprintf(address, sizeof address, "tcp://127.0.0.1:%d", atoi(find_value(connection, port).data));
	if (zmq_bind(socket, address) < 0)
		die("cannot bind");
	return socket;
}

int
main(int argc, char **argv)
{
	if (argc != 3)
		die("usage: floor -f CONNECTION_FILE");
	struct bytes connection = read_connection(argv[2]);
	key = find_value(connection, "\"key\"").data + 1;
	key_size = strcspn(key, "\"");
	void *context = zmq_ctx_new();
	shell = bind_socket(context, connection, ZMQ_ROUTER, "\"shell_port\"");
	iopub = bind_socket(context, connection, ZMQ_PUB, "\"iopub_port\"");
	bind_socket(context, connection, ZMQ_ROUTER, "\"control_port\"");
	bind_socket(context, connection, ZMQ_ROUTER, "\"stdin_port\"");
	bind_socket(context, connection, ZMQ_REP, "\"hb_port\"");
	for (;;) {
		struct request request;
		receive(&request);
		check(&request);
		answer(&request);
	}
}
