/* SPDX-License-Identifier: BSD-3-Clause
 *
 * UTF-8 as the Unicode standard has it (table 3-7), for the modules of this folder.
 */
#ifndef PUPITRE_PROTOCOL_UTF8_H
#define PUPITRE_PROTOCOL_UTF8_H

#include <stddef.h>

enum utf8_kind {
	UTF8_WHOLE,  /* one well-formed character */
	UTF8_BROKEN, /* a maximal ill-formed sequence; the three bytes of a surrogate count as one */
	UTF8_CUT,    /* the bytes end inside what may yet become a character */
};

/* What stands at `at` (size >= 1), and in *ret_size how many bytes of it there are (>= 1). */
enum utf8_kind utf8_next(const char *at, size_t size, size_t *ret_size);

/* How many bytes at the start are printable ASCII other than quote and backslash: what JSON strings carry as it is. */
size_t utf8_plain(const char *at, size_t size);

#define UTF8_REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

#endif
