/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/connection.h"
#include "fuzz.h"

/* What is accepted has usable endpoints or says why not, and is written as it will be read. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct connection c, again;
	struct err e = ERR_INIT;
	BUF_AUTO first = BUF_INIT;
	BUF_AUTO second = BUF_INIT;
	if (connection_parse(data, size, &c, &e) < 0) {
		require(e.code == ERR_INVALID || e.code == ERR_LIMIT);
		require(strchr(e.text, '\n') == NULL);
		return 0;
	}
	for (int i = 0; i < CHANNEL_COUNT; i++) {
		struct err why = ERR_INIT;
		require(c.ports[i] >= 0 && (c.transport == TRANSPORT_IPC || c.ports[i] <= 65535));
		if (connection_endpoint(&c, c.ip, c.ports[i], &second, &why) < 0)
			require(why.code == ERR_LIMIT && c.transport == TRANSPORT_IPC);
	}
	require(strlen(c.key) == c.key_size && c.ip[0] != '\0');
	require(connection_write(&c, &first) == 0);
	if (connection_parse(first.data, first.size, &again, &e) == 0) {
		buf_reset(&second);
		require(connection_write(&again, &second) == 0);
		require(first.size == second.size && memcmp(first.data, second.data, first.size) == 0);
		require(connection_same_ports(&again, c.ports));
		connection_free(&again);
	} else {
		require(e.code == ERR_LIMIT); /* grown past it by indentation */
	}
	connection_free(&c);
	return 0;
}
