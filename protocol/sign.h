/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Message signatures: HMAC over header, parent header, metadata and content, as lower-case hex.
 * Jupyter messaging protocol, "The wire protocol". Schemes: hmac-sha256, hmac-sha384, hmac-sha512.
 */
#ifndef PUPITRE_PROTOCOL_SIGN_H
#define PUPITRE_PROTOCOL_SIGN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "protocol/wire.h"

#define SIGN_MAC_MAX 64u /* bytes of the longest MAC (sha512) */
#define SIGN_HEX_MAX (2 * SIGN_MAC_MAX)

struct signer;

/* A signer for `scheme` with a copy of `key`, kept out of core dumps and wiped by signer_free. key_size 0 makes one that
 * signs with an empty frame and accepts everything (the protocol's "no key"). NULL with ERR_INVALID for an
 * unknown scheme, ERR_MEMORY, ERR_SYSTEM. Owned. */
struct signer *signer_new(const char *scheme, const void *key, size_t key_size, struct err *e);
void signer_free(struct signer *s);

/* Length of a hexadecimal signature: 64, 96, 128, or 0 without a key. */
size_t signer_hex_size(const struct signer *s);

struct mac {
	unsigned char bytes[SIGN_MAC_MAX];
	size_t size; /* 0 without a key */
};

/* Write the signature of the four parts to ret_hex (SIGN_HEX_MAX bytes; signer_hex_size() of them are used, no NUL) and, when
 * ret_mac is not NULL, its bytes. 0, or -1 with ERR_SYSTEM. Allocates nothing that grows with the input. */
int signer_sign(struct signer *s, const struct wire_frame parts[WIRE_SIGNED_PARTS], char *ret_hex, struct mac *ret_mac,
		struct err *e);

/* Whether the message's signature is right, compared in constant time. True fills *ret_mac with the computed bytes (for
 * replay.h). A signature of the wrong length or not lower-case hex is false. */
bool signer_verify(struct signer *s, const struct wire_msg *msg, struct mac *ret_mac);

#endif
