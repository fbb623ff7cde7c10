/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Every allocation fails once: each operation is repeated with its first, second, ... allocation failing until it succeeds. On the way
 * it must say ERR_MEMORY, leave its result alone and leak nothing.
 */
#include "unit.h"

#include <sys/mman.h>

#include <openssl/crypto.h>

#include "link/frame.h"
#include "protocol/connection.h"
#include "protocol/document.h"
#include "protocol/header.h"
#include "protocol/replay.h"
#include "protocol/sign.h"
#include "protocol/text.h"

static long fail_at;  /* the allocation that fails, from 1; 0 = none */
static long attempts; /* allocations since arm() */
static long live;     /* blocks not yet freed */

/* Whether the allocation at hand is the one to fail. */
static bool
unlucky(void)
{
	return ++attempts == fail_at;
}

static void *
counted(void *block)
{
	live += block != NULL;
	return block;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void __real_free(void *block);
void *__real_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
void __wrap_free(void *block);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t size);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);

void *
__wrap_malloc(size_t size)
{
	return unlucky() ? NULL : counted(__real_malloc(size));
}

void *
__wrap_calloc(size_t count, size_t size)
{
	return unlucky() ? NULL : counted(__real_calloc(count, size));
}

void *
__wrap_realloc(void *block, size_t size)
{
	if (unlucky())
		return NULL;
	void *moved = __real_realloc(block, size);
	live += block == NULL && moved != NULL;
	return moved;
}

void
__wrap_free(void *block)
{
	live -= block != NULL;
	__real_free(block);
}

char *
__wrap_strndup(const char *text, size_t size)
{
	size_t length = strnlen(text, size);
	char *copy = __wrap_malloc(length + 1);
	if (copy != NULL) {
		memcpy(copy, text, length);
		copy[length] = '\0';
	}
	return copy;
}

char *
__wrap_strdup(const char *text)
{
	return __wrap_strndup(text, SIZE_MAX);
}

void *
__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
	return unlucky() ? MAP_FAILED : __real_mmap(at, size, protection, flags, fd, offset);
}

/* What libcrypto allocates is its own affair, also when it is linked from its archive: it keeps what it loaded. */
static void *
crypto_malloc(size_t size, const char *file, int line)
{
	(void)file, (void)line;
	return __real_malloc(size);
}

static void *
crypto_realloc(void *block, size_t size, const char *file, int line)
{
	(void)file, (void)line;
	return __real_realloc(block, size);
}

static void
crypto_free(void *block, const char *file, int line)
{
	(void)file, (void)line;
	__real_free(block);
}

/* One operation, complete with its clean-up: true when it succeeded; else *e says why. Asserts that its result was left alone. */
typedef bool operation(struct err *e);

static bool
make_connection(struct err *e)
{
	struct connection c, before;
	memset(&c, 0x5a, sizeof c);
	before = c;
	if (connection_init(&c, e) < 0) {
		assert_memory_equal(&c, &before, sizeof c);
		return false;
	}
	connection_free(&c);
	return true;
}

static bool
parse_connection(struct err *e)
{
	static const char text[] = "{\"transport\": \"ipc\", \"ip\": \"/tmp/x\", \"key\": \"secret\", "
				   "\"signature_scheme\": \"hmac-sha512\","
				   "\"kernel_name\": \"k\", \"jupyter_session\": \"/n.ipynb\", \"more\": [1, 2, 3]}";
	struct connection c, before;
	memset(&c, 0x5a, sizeof c);
	before = c;
	if (connection_parse(text, sizeof text - 1, &c, e) < 0) {
		assert_memory_equal(&c, &before, sizeof c);
		return false;
	}
	BUF_AUTO b = BUF_INIT;
	bool written = connection_write(&c, &b) == 0;
	if (!written)
		err_memory(e);
	written = written && connection_endpoint(&c, c.ip, 3, &b, e) == 0;
	connection_free(&c);
	return written;
}

static bool
parse_header(struct err *e)
{
	struct wire_frame frame =
		frame_of("{\"msg_id\": \"1\", \"msg_type\": \"t\", \"session\": \"s\", \"subshell_id\": 5}");
	struct header h, before;
	memset(&h, 0x5a, sizeof h);
	before = h;
	if (header_parse(&frame, &h, e) < 0) {
		assert_memory_equal(&h, &before, sizeof h);
		return false;
	}
	header_free(&h);
	return true;
}

static bool
write_header(struct err *e)
{
	BUF_AUTO b = BUF_INIT;
	char id[HEADER_MSG_ID_SIZE];
	struct header_writer *w = header_writer_new("session", "us\xFFr", 1, e);
	if (w == NULL)
		return false;
	bool good = header_write(w, &b, "type", 2, id) == 0;
	if (!good) {
		assert_int_equal(b.size, 0);
		err_memory(e);
	}
	header_writer_free(w);
	return good;
}

static bool
read_document(struct err *e)
{
	static const char text[] = "{\"a\": \"t\\u00e9xt that is longer than any first guess at its size\", \"b\": "
				   "[true, null, {\"c\": 1.5}], \"d\": -12, \"e\": {}, \"f\": [], \"g\": \"\"}";
	json_t *document = document_read(text, sizeof text - 1, 0, e);
	json_decref(document);
	return document != NULL;
}

static bool
make_document(struct err *e)
{
	BUF_AUTO b = BUF_INIT;
	json_t *list = json_array();
	for (int i = 0; i < 20; i++)
		json_array_append_new(list, document_text("bad \xFF text", 10));
	json_t *document =
		json_pack("{s:s, s:o, s:{s:i, s:[s, s]}}", "a", "text", "list", list, "inner", "i", 1, "of", "x", "y");
	bool good = document_append(&b, document, 0) == 0;
	json_decref(document);
	if (!good)
		err_memory(e);
	return good;
}

static bool
append_text(struct err *e)
{
	BUF_AUTO b = BUF_INIT;
	char text[1000];
	memset(text, '\1', sizeof text);
	if (text_append_json(&b, text, sizeof text) == 0)
		return true;
	assert_int_equal(b.size, 0);
	err_memory(e);
	return false;
}

static bool
sign_message(struct err *e)
{
	struct wire_frame parts[WIRE_SIGNED_PARTS] = { { "{}", 2 }, { "{}", 2 }, { "{}", 2 }, { "{}", 2 } };
	char hex[SIGN_HEX_MAX];
	struct signer *s = signer_new("hmac-sha256", "key", 3, e);
	if (s == NULL)
		return false;
	long before = attempts;
	for (int i = 0; i < 100; i++)
		assert_int_equal(signer_sign(s, parts, hex, NULL, e), 0);
	assert_int_equal(attempts, before);
	signer_free(s);
	return true;
}

static bool
make_replay(struct err *e)
{
	struct replay *r = replay_new(e);
	if (r == NULL)
		return false;
	replay_free(r);
	return true;
}

static bool
encode_and_read_frame(struct err *e)
{
	static struct frame frame, before;
	struct frame_part parts[] = { { "one", 3 }, { "two", 3 } };
	struct frame_reader r = FRAME_READER_INIT;
	BUF_AUTO b = BUF_INIT;
	memset(&frame, 0x5a, sizeof frame);
	before = frame;
	bool good = frame_encode(&b, &(struct frame_header){ .type = FRAME_REPLY }, parts, 2, e) == 0;
	if (!good)
		assert_int_equal(b.size, 0);
	good = good && frame_reader_feed(&r, b.data, b.size, e) == 0;
	bool held = good;
	good = good && frame_reader_next(&r, &frame, e) == 1;
	if (!good)
		assert_memory_equal(&frame, &before, sizeof frame);
	if (held)
		assert_int_equal(frame_reader_holds(&r), !good);
	frame_reader_free(&r);
	return good;
}

static void
test_until_success(void **state)
{
	operation *const *run = *state;
	long before = live;
	struct err e = ERR_INIT;
	assert_true((*run)(&e));
	for (fail_at = 1;; fail_at++) {
		e = ERR_INIT;
		attempts = 0;
		bool good = (*run)(&e);
		assert_int_equal(live, before);
		if (attempts < fail_at) {
			assert_true(good);
			break;
		}
		assert_false(good);
		assert_int_equal(e.code, ERR_MEMORY);
	}
	assert_true(fail_at > 1);
	fail_at = 0;
}

/* A table that cannot grow forgets the oldest and goes on. */
static void
test_replay_without_memory(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct replay *r = replay_new(&e);
	assert_non_null(r);
	struct mac first = { .bytes = { 0 }, .size = 32 };
	assert_true(replay_enter(r, &first));
	for (uint64_t i = 1; i < 10000; i++) {
		struct mac m = { .size = 32 };
		uint64_t value = i * 0x9E3779B97F4A7C15u;
		memcpy(m.bytes, &value, sizeof value);
		attempts = 0;
		fail_at = 1;
		assert_true(replay_enter(r, &m));
		assert_false(replay_enter(r, &m));
	}
	fail_at = 0;
	assert_true(replay_enter(r, &first));
	replay_free(r);
}

int
main(void)
{
	static const struct {
		const char *name;
		operation *run;
	} operations[] = {
		{ "make_connection", make_connection }, { "parse_connection", parse_connection },
		{ "parse_header", parse_header },       { "write_header", write_header },
		{ "read_document", read_document },     { "make_document", make_document },
		{ "append_text", append_text },         { "sign_message", sign_message },
		{ "make_replay", make_replay },         { "encode_and_read_frame", encode_and_read_frame },
	};
	if (CRYPTO_set_mem_functions(crypto_malloc, crypto_realloc, crypto_free) != 1)
		return 1;
	enum { COUNT = sizeof operations / sizeof *operations };
	struct CMUnitTest tests[COUNT + 1];
	for (size_t i = 0; i < COUNT; i++)
		tests[i] = (struct CMUnitTest){ operations[i].name, test_until_success, NULL, NULL,
						(void *)&operations[i].run };
	tests[COUNT] = (struct CMUnitTest)cmocka_unit_test(test_replay_without_memory);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
