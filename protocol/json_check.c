/* SPDX-License-Identifier: BSD-3-Clause
 *
 * JSON as Python's json module reads it: RFC 8259 and, besides, NaN, Infinity, -Infinity and lone surrogate escapes. A client whose
 * content holds one of those deserves an error reply, so the check must not take the message away from under it.
 */
#include <stdint.h>
#include <string.h>

#include "protocol/header.h"
#include "protocol/limits.h"
#include "protocol/utf8.h"

enum expect { VALUE, VALUE_OR_CLOSE, KEY, KEY_OR_CLOSE, COMMA_OR_CLOSE };

struct check {
	const char *at, *end;
	unsigned depth;
	enum expect expect;
	bool in_object[LIMIT_JSON_DEPTH]; /* by depth: object or array */
	bool too_deep;
};

static void
skip_space(struct check *c)
{
	while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\n' || *c->at == '\r'))
		c->at++;
}

static bool
take(struct check *c, char wanted)
{
	if (c->at == c->end || *c->at != wanted)
		return false;
	c->at++;
	return true;
}

static bool
take_word(struct check *c, const char *word)
{
	size_t size = strlen(word);
	if ((size_t)(c->end - c->at) < size || memcmp(c->at, word, size) != 0)
		return false;
	c->at += size;
	return true;
}

static bool
take_digits(struct check *c)
{
	const char *first = c->at;
	while (c->at < c->end && *c->at >= '0' && *c->at <= '9')
		c->at++;
	return c->at > first;
}

static bool
take_number(struct check *c)
{
	if (take(c, '-') && take_word(c, "Infinity"))
		return true;
	if (!take(c, '0') && !take_digits(c))
		return false;
	if (take(c, '.') && !take_digits(c))
		return false;
	if (!take(c, 'e') && !take(c, 'E'))
		return true;
	if (!take(c, '+'))
		take(c, '-');
	return take_digits(c);
}

static bool
is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* What follows a backslash. */
static bool
take_escape(struct check *c)
{
	if (c->at == c->end)
		return false;
	char letter = *c->at++;
	if (letter != 'u')
		return letter != 0 && strchr("\"\\/bfnrt", letter) != NULL;
	for (int i = 0; i < 4; i++) {
		if (c->at == c->end || !is_hex(*c->at++))
			return false;
	}
	return true;
}

static bool
take_string(struct check *c)
{
	if (!take(c, '"'))
		return false;
	for (;;) {
		size_t size;
		c->at += utf8_plain(c->at, (size_t)(c->end - c->at));
		if (take(c, '"'))
			return true;
		if (take(c, '\\')) {
			if (!take_escape(c))
				return false;
			continue;
		}
		if (c->at == c->end || (unsigned char)*c->at < 0x80) /* the end, or a control character */
			return false;
		if (utf8_next(c->at, (size_t)(c->end - c->at), &size) != UTF8_WHOLE)
			return false;
		c->at += size;
	}
}

static bool
take_scalar(struct check *c)
{
	switch (*c->at) {
	case '"': return take_string(c);
	case 't': return take_word(c, "true");
	case 'f': return take_word(c, "false");
	case 'n': return take_word(c, "null");
	case 'N': return take_word(c, "NaN");
	case 'I': return take_word(c, "Infinity");
	default: return take_number(c);
	}
}

static bool
take_value(struct check *c)
{
	bool object = *c->at == '{';
	if (!object && *c->at != '[') {
		c->expect = COMMA_OR_CLOSE;
		return take_scalar(c);
	}
	if (c->depth == LIMIT_JSON_DEPTH) {
		c->too_deep = true;
		return false;
	}
	c->at++;
	c->in_object[c->depth++] = object;
	c->expect = object ? KEY_OR_CLOSE : VALUE_OR_CLOSE;
	return true;
}

static bool
take_key(struct check *c)
{
	c->expect = VALUE;
	if (!take_string(c))
		return false;
	skip_space(c);
	return take(c, ':');
}

/* Take one token or scalar. The object or array around it is in_object[depth - 1]. */
static bool
take_step(struct check *c)
{
	bool object = c->in_object[c->depth - 1];
	if (c->expect != VALUE && c->expect != KEY && take(c, object ? '}' : ']')) {
		c->depth--;
		c->expect = COMMA_OR_CLOSE;
		return true;
	}
	if (c->expect == COMMA_OR_CLOSE) {
		c->expect = object ? KEY : VALUE;
		return take(c, ',');
	}
	return c->expect == KEY || c->expect == KEY_OR_CLOSE ? take_key(c) : take_value(c);
}

int
json_check_object(const void *bytes, size_t size, struct err *e)
{
	struct check c = { .at = bytes, .end = size == 0 ? bytes : (const char *)bytes + size };
	skip_space(&c);
	bool good = c.at < c.end && *c.at == '{' && take_value(&c);
	while (good && c.depth > 0) {
		skip_space(&c);
		good = c.at < c.end && take_step(&c);
	}
	skip_space(&c);
	if (c.too_deep)
		return err_set(e, ERR_LIMIT, "JSON nested deeper than %u", LIMIT_JSON_DEPTH);
	if (!good)
		return err_set(e, ERR_INVALID, "not a JSON object: byte %zu of %zu",
			       (size_t)(c.at - (const char *)bytes), size);
	if (c.at != c.end)
		return err_set(e, ERR_INVALID, "bytes after a JSON object");
	return 0;
}
