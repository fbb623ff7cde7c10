/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/json_read.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/utf8.h"

static void
skip_space(struct json_cursor *c)
{
	while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\n' || *c->at == '\r'))
		c->at++;
}

static void
skip_string(struct json_cursor *c)
{
	for (c->at++; *c->at != '"'; c->at++) {
		if (*c->at == '\\')
			c->at++;
	}
	c->at++;
}

static void
skip_value(struct json_cursor *c)
{
	size_t depth = 0;
	do {
		char first = *c->at;
		if (first == '"') {
			skip_string(c);
			continue;
		}
		if (first == '{' || first == '[')
			depth++;
		else if (first == '}' || first == ']')
			depth--;
		c->at++;
		if (depth == 0 && first != '}' && first != ']')
			while (strchr(",}] \t\r\n", *c->at) == NULL)
				c->at++;
	} while (depth > 0);
}

struct json_cursor
json_members(const void *object, size_t size)
{
	struct json_cursor c = { .at = object, .end = (const char *)object + size };
	skip_space(&c);
	c.at++;
	return c;
}

bool
json_next(struct json_cursor *c, struct json_span *ret_key, struct json_span *ret_value)
{
	while (c->at < c->end && *c->at != '"') {
		if (*c->at == '}')
			return false;
		c->at++;
	}
	if (c->at == c->end)
		return false;
	ret_key->data = c->at;
	skip_string(c);
	ret_key->size = (size_t)(c->at - ret_key->data);
	skip_space(c);
	c->at++;
	skip_space(c);
	ret_value->data = c->at;
	skip_value(c);
	ret_value->size = (size_t)(c->at - ret_value->data);
	return true;
}

static unsigned long
hex4(const char *at)
{
	unsigned long code = 0;
	for (int i = 0; i < 4; i++) {
		char c = at[i];
		code = code << 4 | (unsigned long)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
	}
	return code;
}

/* Resolve \uXXXX, of which *at points at the u: a pair of surrogates is one character. Moves *at behind it. */
static unsigned long
take_unicode(const char **at, const char *end)
{
	unsigned long high = hex4(*at + 1);
	*at += 5;
	if (high < 0xD800 || high > 0xDFFF)
		return high == 0 ? UTF8_REPLACEMENT : high;
	if (high > 0xDBFF || end - *at < 6 || (*at)[0] != '\\' || (*at)[1] != 'u')
		return UTF8_REPLACEMENT;
	unsigned long low = hex4(*at + 2);
	if (low < 0xDC00 || low > 0xDFFF)
		return UTF8_REPLACEMENT;
	*at += 6;
	return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
}

/* Take one character or escape of a string's inside as UTF-8 bytes. Returns how many (1 to 4). */
static size_t
take_character(const char **at, const char *end, char *out, bool *altered)
{
	static const char letters[] = { ['b'] = '\b', ['f'] = '\f', ['n'] = '\n', ['r'] = '\r', ['t'] = '\t' };
	if (**at != '\\') {
		*out = *(*at)++;
		return 1;
	}
	++*at;
	if (**at != 'u') {
		unsigned char letter = (unsigned char)*(*at)++;
		*out = letter < sizeof letters && letters[letter] != 0 ? letters[letter] : (char)letter;
		return 1;
	}
	bool replaced_already = hex4(*at + 1) == UTF8_REPLACEMENT;
	unsigned long code = take_unicode(at, end);
	if (code == UTF8_REPLACEMENT && !replaced_already)
		*altered = true;
	return utf8_encode(code, out);
}

bool
json_key_is(struct json_span key, const char *name)
{
	const char *at = key.data + 1, *end = key.data + key.size - 1;
	bool altered = false;
	while (at < end) {
		char bytes[4];
		size_t size = take_character(&at, end, bytes, &altered);
		if (strncmp(name, bytes, size) != 0)
			return false;
		name += size;
	}
	return *name == 0;
}

struct json_span
json_member(const void *object, size_t size, const char *name)
{
	struct json_cursor c = json_members(object, size);
	struct json_span key, value, found = { NULL, 0 };
	while (json_next(&c, &key, &value)) {
		if (json_key_is(key, name))
			found = value;
	}
	return found;
}

int
json_string(struct json_span value, struct json_text *ret)
{
	assert(json_is_string(value));
	/* No escape is shorter than what it stands for, and the quotes leave room for the NUL. */
	char *data = malloc(value.size);
	if (data == NULL)
		return -1;
	const char *at = value.data + 1, *end = value.data + value.size - 1;
	struct json_text text = { .data = data };
	while (at < end)
		text.size += take_character(&at, end, data + text.size, &text.altered);
	data[text.size] = 0;
	*ret = text;
	return 0;
}
