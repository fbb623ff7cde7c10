/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/sign.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#define BLOCK_MAX 128u /* bytes of the longest block (sha384, sha512) */

/* SHA-2 needs neither openssl.cnf nor the names and texts of everything else: 60 kB of heap less. */
#define INIT_OPTIONS                                                                                       \
	(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ADD_ALL_CIPHERS | OPENSSL_INIT_NO_ADD_ALL_DIGESTS | \
	 OPENSSL_INIT_NO_LOAD_CRYPTO_STRINGS | OPENSSL_INIT_NO_ATEXIT)

/* HMAC (RFC 2104) over a message digest, rather than OpenSSL's EVP_MAC: one algorithm family less to load, and no
 * allocation per message. The padded keys live in pages of their own, which core dumps leave out; what a digest
 * context keeps after a message is the MAC, which is no secret. */
struct secret {
	unsigned char inner[BLOCK_MAX];
	unsigned char outer[BLOCK_MAX];
};

struct signer {
	EVP_MD *digest;
	EVP_MD_CTX *work;
	struct secret *secret; /* NULL without a key */
	size_t block_size, mac_size;
};

static const struct scheme {
	const char *name, *digest;
} schemes[] = {
	{ "hmac-sha256", "SHA256" },
	{ "hmac-sha384", "SHA384" },
	{ "hmac-sha512", "SHA512" },
};

static const struct scheme *
scheme_find(const char *name)
{
	for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
		if (strcmp(schemes[i].name, name) == 0)
			return &schemes[i];
	}
	return NULL;
}

static int
load_digest(struct signer *s, const char *name)
{
	OPENSSL_init_crypto(INIT_OPTIONS, NULL);
	s->digest = EVP_MD_fetch(NULL, name, NULL);
	s->work = EVP_MD_CTX_new();
	if (s->digest == NULL || s->work == NULL || EVP_DigestInit_ex(s->work, s->digest, NULL) != 1)
		return -1;
	s->block_size = (size_t)EVP_MD_get_block_size(s->digest);
	s->mac_size = (size_t)EVP_MD_get_size(s->digest);
	assert(s->block_size <= BLOCK_MAX && s->mac_size <= SIGN_MAC_MAX);
	return 0;
}

static int
pad_key(struct signer *s, const void *key, size_t key_size)
{
	unsigned char block[BLOCK_MAX] = { 0 };
	if (key_size <= s->block_size)
		memcpy(block, key, key_size);
	else if (EVP_DigestUpdate(s->work, key, key_size) != 1 || EVP_DigestFinal_ex(s->work, block, NULL) != 1)
		return -1;
	for (size_t i = 0; i < s->block_size; i++) {
		s->secret->inner[i] = block[i] ^ 0x36;
		s->secret->outer[i] = block[i] ^ 0x5c;
	}
	OPENSSL_cleanse(block, sizeof block);
	return 0;
}

static struct secret *
secret_new(void)
{
	void *pages = mmap(NULL, sizeof(struct secret), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pages == MAP_FAILED)
		return NULL;
	madvise(pages, sizeof(struct secret), MADV_DONTDUMP);
	return pages;
}

struct signer *
signer_new(const char *scheme, const void *key, size_t key_size, struct err *e)
{
	const struct scheme *found = scheme_find(scheme);
	if (found == NULL) {
		err_set(e, ERR_INVALID, "the signature scheme is not one of hmac-sha256, hmac-sha384, hmac-sha512");
		return NULL;
	}
	struct signer *s = calloc(1, sizeof *s);
	if (s == NULL) {
		err_memory(e);
		return NULL;
	}
	if (key_size == 0)
		return s;
	s->secret = secret_new();
	if (s->secret == NULL) {
		err_memory(e);
		signer_free(s);
		return NULL;
	}
	if (load_digest(s, found->digest) < 0 || pad_key(s, key, key_size) < 0) {
		err_set(e, ERR_SYSTEM, "OpenSSL cannot provide %s", found->digest);
		signer_free(s);
		return NULL;
	}
	return s;
}

void
signer_free(struct signer *s)
{
	if (s == NULL)
		return;
	if (s->secret != NULL) {
		OPENSSL_cleanse(s->secret, sizeof *s->secret);
		munmap(s->secret, sizeof *s->secret);
	}
	EVP_MD_CTX_free(s->work);
	EVP_MD_free(s->digest);
	free(s);
}

size_t
signer_hex_size(const struct signer *s)
{
	return s->secret == NULL ? 0 : 2 * s->mac_size;
}

static bool
begin(struct signer *s, const unsigned char *pad)
{
	return EVP_DigestInit_ex(s->work, NULL, NULL) == 1 && EVP_DigestUpdate(s->work, pad, s->block_size) == 1;
}

static bool
compute(struct signer *s, const struct wire_frame parts[WIRE_SIGNED_PARTS], unsigned char *ret)
{
	bool good = begin(s, s->secret->inner);
	for (size_t i = 0; good && i < WIRE_SIGNED_PARTS; i++)
		good = EVP_DigestUpdate(s->work, parts[i].data, parts[i].size) == 1;
	return good && EVP_DigestFinal_ex(s->work, ret, NULL) == 1 && begin(s, s->secret->outer) &&
	       EVP_DigestUpdate(s->work, ret, s->mac_size) == 1 && EVP_DigestFinal_ex(s->work, ret, NULL) == 1;
}

static void
write_hex(const unsigned char *bytes, size_t size, char *ret_hex)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < size; i++) {
		ret_hex[2 * i] = digits[bytes[i] >> 4];
		ret_hex[2 * i + 1] = digits[bytes[i] & 15];
	}
}

int
signer_sign(struct signer *s, const struct wire_frame parts[WIRE_SIGNED_PARTS], char *ret_hex, struct mac *ret_mac,
	    struct err *e)
{
	struct mac mac = { .size = 0 };
	if (s->secret != NULL) {
		if (!compute(s, parts, mac.bytes))
			return err_set(e, ERR_SYSTEM, "OpenSSL failed to compute a signature");
		mac.size = s->mac_size;
		write_hex(mac.bytes, mac.size, ret_hex);
	}
	if (ret_mac != NULL)
		*ret_mac = mac;
	return 0;
}

bool
signer_verify(struct signer *s, const struct wire_msg *msg, struct mac *ret_mac)
{
	char hex[SIGN_HEX_MAX];
	struct mac mac;
	size_t size = signer_hex_size(s);
	if (size != 0 && msg->signature.size != size)
		return false;
	if (signer_sign(s, msg->parts, hex, &mac, NULL) < 0)
		return false;
	if (size != 0 && CRYPTO_memcmp(hex, msg->signature.data, size) != 0)
		return false;
	*ret_mac = mac;
	return true;
}
