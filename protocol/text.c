/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "protocol/utf8.h"

#define EACH_BYTE(b) (UINT64_C(0x0101010101010101) * (b))

/* How many bytes a character takes that starts with `lead`, and what its second byte may be. 0 for no lead byte. */
static size_t
lead_size(unsigned char lead, unsigned char *ret_low, unsigned char *ret_high)
{
	*ret_low = 0x80;
	*ret_high = 0xBF;
	if (lead >= 0xC2 && lead <= 0xDF)
		return 2;
	if (lead >= 0xE0 && lead <= 0xEF) {
		if (lead == 0xE0)
			*ret_low = 0xA0;
		return 3;
	}
	if (lead >= 0xF0 && lead <= 0xF4) {
		if (lead == 0xF0)
			*ret_low = 0x90;
		if (lead == 0xF4)
			*ret_high = 0x8F;
		return 4;
	}
	return 0;
}

enum utf8_kind
utf8_next(const char *at, size_t size, size_t *ret_size)
{
	const unsigned char *p = (const unsigned char *)at;
	unsigned char low, high;
	*ret_size = 1;
	if (p[0] < 0x80)
		return UTF8_WHOLE;
	size_t wanted = lead_size(p[0], &low, &high);
	for (size_t i = 1; i < wanted; i++) {
		if (i == size) {
			*ret_size = size;
			return UTF8_CUT;
		}
		if (p[i] < low || p[i] > high) {
			*ret_size = i;
			return UTF8_BROKEN;
		}
		low = 0x80;
		high = 0xBF;
	}
	if (wanted == 0)
		return UTF8_BROKEN;
	*ret_size = wanted;
	return p[0] == 0xED && p[1] >= 0xA0 ? UTF8_BROKEN : UTF8_WHOLE;
}

/* Whether any of eight bytes is a control character, a quote, a backslash or not ASCII. May say so wrongly, never
 * the other way: a borrow between bytes only comes out of a byte that is special itself. */
static bool
eight_special(uint64_t bytes)
{
	uint64_t quote = bytes ^ EACH_BYTE('"'), backslash = bytes ^ EACH_BYTE('\\');
	uint64_t found = bytes | (bytes - EACH_BYTE(0x20)) | (quote - EACH_BYTE(1)) | (backslash - EACH_BYTE(1));
	return (found & EACH_BYTE(0x80)) != 0;
}

size_t
utf8_plain(const char *at, size_t size)
{
	size_t n = 0;
	for (uint64_t bytes; n + sizeof bytes <= size; n += sizeof bytes) {
		memcpy(&bytes, at + n, sizeof bytes);
		if (eight_special(bytes))
			break;
	}
	while (n < size && (unsigned char)at[n] >= 0x20 && (unsigned char)at[n] < 0x80 && at[n] != '"' && at[n] != '\\')
		n++;
	return n;
}

/* Append one ASCII character that cannot stand in a JSON string as it is. */
static void
append_escape(struct buf *out, char c)
{
	static const char letters[] = {
		['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r', ['"'] = '"', ['\\'] = '\\'
	};
	static const char digits[] = "0123456789abcdef";
	char letter = letters[(unsigned char)c];
	if (letter != 0)
		buf_append(out, (char[]){ '\\', letter }, 2);
	else
		buf_append(out, (char[]){ '\\', 'u', '0', '0', digits[c >> 4], digits[c & 15] }, 6);
}

/* How many bytes at the start need no escape. */
static size_t
verbatim(const char *text, size_t size)
{
	size_t n = 0;
	while ((n += utf8_plain(text + n, size - n)) < size && (unsigned char)text[n] >= 0x80) {
		size_t wide;
		if (utf8_next(text + n, size - n, &wide) != UTF8_WHOLE)
			break;
		n += wide;
	}
	return n;
}

int
text_append_json(struct buf *out, const char *text, size_t size)
{
	size_t before = out->size;
	buf_reserve(out, size + 2);
	buf_append(out, "\"", 1);
	for (size_t at = 0; at < size && !out->failed;) {
		size_t n = verbatim(text + at, size - at);
		buf_append(out, text + at, n);
		at += n;
		if (at == size)
			break;
		if ((unsigned char)text[at] < 0x80) {
			append_escape(out, text[at++]);
			continue;
		}
		utf8_next(text + at, size - at, &n);
		buf_append_string(out, UTF8_REPLACEMENT);
		at += n;
	}
	buf_append(out, "\"", 1);
	if (!out->failed)
		return 0;
	out->size = before;
	return -1;
}

size_t
text_whole(const char *text, size_t size)
{
	for (size_t back = 1; back <= 3 && back <= size; back++) {
		unsigned char c = (unsigned char)text[size - back];
		size_t n;
		if (c >= 0x80 && c < 0xC0)
			continue;
		return utf8_next(text + size - back, back, &n) == UTF8_CUT ? size - back : size;
	}
	return size;
}
