/* SPDX-License-Identifier: BSD-3-Clause */
#include "message.h"

/* The way of a client's message through the front (kernel/front/session.c), with a socket made of the input. The first byte says
 * whether the message is signed, so that what lies behind the signature is searched too. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct connection c;
	struct err e = ERR_INIT;
	struct request *r = NULL, *replayed = NULL;
	if (size < 2)
		return 0;
	log_init("fuzz", LOG_QUIET);
	require(connection_init(&c, &e) == 0);
	free(c.key);
	c.key = strdup("key");
	c.key_size = 3;
	struct session *s = session_new(&c, true, NULL, NULL, &e);
	require(s != NULL);
	bool authentic = fuzz_socket_fill(data + 1, size - 1, data[0] & 1);
	json_reads = 0;
	require(session_receive(s, CHANNEL_SHELL, &r) == 1);
	require(json_reads == 0 || authentic); /* nothing is parsed before it is known to be the client's */
	require(r == NULL || (authentic && r->wire.identity_count <= 8 && r->header.msg_id != NULL));
	require(session_receive(s, CHANNEL_CONTROL, &replayed) == 1);
	require(replayed == NULL);
	request_free(r);
	session_free(s);
	connection_free(&c);
	return 0;
}
