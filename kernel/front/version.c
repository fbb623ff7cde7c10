/* SPDX-License-Identifier: BSD-3-Clause */
#include "front/version.h"

#include <jansson.h>
#include <openssl/crypto.h>
#include <stdio.h>

#include "front/sockets.h"

void
version_print(void)
{
	char zmq[32];
	sockets_version(zmq, sizeof zmq);
	printf("pupitre-kernel %s\n%s\n%s\njansson %s\n", PUPITRE_VERSION, zmq, OpenSSL_version(OPENSSL_VERSION),
	       JANSSON_VERSION);
}
