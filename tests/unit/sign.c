/* SPDX-License-Identifier: BSD-3-Clause */
#include "unit.h"

#include "protocol/sign.h"

static const char *const schemes[] = { "hmac-sha256", "hmac-sha384", "hmac-sha512" };

static struct signer *
make(const char *scheme, const void *key, size_t key_size)
{
	struct err e = ERR_INIT;
	struct signer *s = signer_new(scheme, key, key_size, &e);
	if (s == NULL)
		fail_msg("%s", e.text);
	return s;
}

/* A message of four parts and its signature, as it would come from a client. */
struct signed_message {
	struct wire_msg wire;
	char hex[SIGN_HEX_MAX + 1];
};

static void
sign(struct signer *s, struct signed_message *m, const char *header)
{
	const char *parts[] = { header, "{}", "{\"m\": 1}", "{\"code\": \"1+1\"}" };
	*m = (struct signed_message){ 0 };
	for (size_t i = 0; i < WIRE_SIGNED_PARTS; i++)
		m->wire.parts[i] = frame_of(parts[i]);
	assert_works(signer_sign(s, m->wire.parts, m->hex, NULL, &e));
	m->wire.signature = frame_of(m->hex);
}

/* RFC 4231, test cases 1, 2, 3, 6 and 7: data, and the MACs by SHA-256 and SHA-512 as `openssl dgst` prints them too. */
static void
assert_vector(const char *scheme, const char *key, size_t key_size, const char *data, const char *wanted)
{
	struct signer *s = make(scheme, key, key_size);
	size_t size = strlen(data), half = size / 2;
	struct wire_frame parts[] = {
		{ data, half }, { NULL, 0 }, { data + half, 1 }, { data + half + 1, size - half - 1 }
	};
	char hex[SIGN_HEX_MAX];
	struct mac mac;
	for (int again = 0; again < 3; again++) {
		assert_works(signer_sign(s, parts, hex, &mac, &e));
		assert_int_equal(signer_hex_size(s), strlen(wanted));
		assert_memory_equal(hex, wanted, strlen(wanted));
		assert_int_equal(mac.size, strlen(wanted) / 2);
	}
	signer_free(s);
}

static void
test_published_vectors(void **state)
{
	(void)state;
	char key[131];
	memset(key, 0x0b, 20);
	assert_vector("hmac-sha256", key, 20, "Hi There",
		      "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	assert_vector(
		"hmac-sha384", key, 20, "Hi There",
		"afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6");
	assert_vector("hmac-sha512", key, 20, "Hi There",
		      "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4"
		      "be9d914eeb61f1702e696c203a126854");
	assert_vector("hmac-sha256", "Jefe", 4, "what do ya want for nothing?",
		      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(key, 0xaa, sizeof key);
	const char *data = "Test Using Larger Than Block-Size Key - Hash Key First";
	assert_vector("hmac-sha256", key, 131, data,
		      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
	assert_vector("hmac-sha512", key, 131, data,
		      "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f352"
		      "6b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598");
}

static void
test_own_signature_verifies_and_gives_the_mac(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
		struct signer *s = make(schemes[i], "key", 3);
		struct signed_message m;
		struct mac made, seen;
		sign(s, &m, "{\"msg_id\": \"1\"}");
		assert_works(signer_sign(s, m.wire.parts, m.hex, &made, &e));
		assert_true(signer_verify(s, &m.wire, &seen));
		assert_int_equal(seen.size, made.size);
		assert_memory_equal(seen.bytes, made.bytes, made.size);
		signer_free(s);
	}
}

static void
assert_rejected(struct signer *s, const struct wire_msg *wire)
{
	struct mac mac = { .size = 99 };
	assert_false(signer_verify(s, wire, &mac));
	assert_int_equal(mac.size, 99);
}

static void
test_every_changed_bit_is_seen(void **state)
{
	(void)state;
	struct signer *s = make("hmac-sha256", "key", 3);
	struct signed_message m;
	struct mac mac;
	sign(s, &m, "{\"msg_id\": \"1\"}");
	for (size_t part = 0; part < WIRE_SIGNED_PARTS; part++) {
		struct wire_frame good = m.wire.parts[part];
		char changed[64];
		for (size_t bit = 0; bit < 8 * good.size; bit++) {
			memcpy(changed, good.data, good.size);
			changed[bit / 8] = (char)(changed[bit / 8] ^ (1 << bit % 8));
			m.wire.parts[part].data = changed;
			assert_rejected(s, &m.wire);
		}
		m.wire.parts[part] = good;
	}
	for (size_t bit = 0; bit < 8 * signer_hex_size(s); bit++) {
		m.hex[bit / 8] = (char)(m.hex[bit / 8] ^ (1 << bit % 8));
		assert_rejected(s, &m.wire);
		m.hex[bit / 8] = (char)(m.hex[bit / 8] ^ (1 << bit % 8));
	}
	assert_true(signer_verify(s, &m.wire, &mac));
	signer_free(s);
}

static void
test_signatures_of_another_form(void **state)
{
	(void)state;
	struct signer *s = make("hmac-sha256", "key", 3);
	struct signed_message m;
	sign(s, &m, "{\"msg_id\": \"with letters in its signature\"}");
	for (size_t size = 0; size < 64; size++) {
		m.wire.signature.size = size;
		assert_rejected(s, &m.wire);
	}
	char longer[SIGN_HEX_MAX + 1] = { 0 }, upper[SIGN_HEX_MAX + 1] = { 0 };
	memcpy(longer, m.hex, 64);
	m.wire.signature = (struct wire_frame){ longer, 65 };
	assert_rejected(s, &m.wire);
	m.wire.signature = (struct wire_frame){ longer, 128 };
	assert_rejected(s, &m.wire);
	for (size_t i = 0; i < 64; i++)
		upper[i] = (char)(m.hex[i] >= 'a' ? m.hex[i] - 32 : m.hex[i]);
	assert_string_not_equal(upper, m.hex);
	m.wire.signature = (struct wire_frame){ upper, 64 };
	assert_rejected(s, &m.wire);
	signer_free(s);
}

static void
test_other_keys_and_schemes_do_not_verify(void **state)
{
	(void)state;
	struct signer *s = make("hmac-sha256", "key", 3);
	struct signer *other = make("hmac-sha256", "kez", 3);
	struct signer *longer = make("hmac-sha512", "key", 3);
	struct signed_message m;
	sign(s, &m, "{}");
	assert_rejected(other, &m.wire);
	assert_rejected(longer, &m.wire);
	signer_free(s);
	signer_free(other);
	signer_free(longer);
}

static void
test_without_a_key(void **state)
{
	(void)state;
	struct signer *s = make("hmac-sha256", "", 0);
	struct signed_message m;
	struct mac mac = { .size = 5 };
	sign(s, &m, "{}");
	assert_int_equal(signer_hex_size(s), 0);
	assert_int_equal(m.hex[0], 0);
	m.wire.signature = frame_of("anything");
	assert_true(signer_verify(s, &m.wire, &mac));
	assert_int_equal(mac.size, 0);
	signer_free(s);
}

static void
test_unknown_schemes(void **state)
{
	(void)state;
	const char *const unknown[] = { "",          "none",   "hmac",        "hmac-",       "hmac-md5",
					"hmac-sha1", "sha256", "HMAC-SHA256", "hmac-sha256 " };
	for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
		struct err e = ERR_INIT;
		assert_null(signer_new(unknown[i], "key", 3, &e));
		assert_int_equal(e.code, ERR_INVALID);
		e = ERR_INIT;
		assert_null(signer_new(unknown[i], "", 0, &e));
		assert_int_equal(e.code, ERR_INVALID);
	}
	signer_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_published_vectors),
		cmocka_unit_test(test_own_signature_verifies_and_gives_the_mac),
		cmocka_unit_test(test_every_changed_bit_is_seen),
		cmocka_unit_test(test_signatures_of_another_form),
		cmocka_unit_test(test_other_keys_and_schemes_do_not_verify),
		cmocka_unit_test(test_without_a_key),
		cmocka_unit_test(test_unknown_schemes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
