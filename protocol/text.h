/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Text of any quality into JSON strings. Nothing is ever refused: what is not UTF-8 becomes U+FFFD.
 */
#ifndef PUPITRE_PROTOCOL_TEXT_H
#define PUPITRE_PROTOCOL_TEXT_H

#include <stddef.h>

#include "base/buf.h"

/* Append `text` as a JSON string, quotes included: control characters, quote and backslash escaped, NUL as \u0000, each maximal
 * ill-formed sequence (lone surrogates included: one for each) as U+FFFD. 0, or -1 with out->failed set. */
int text_append_json(struct buf *out, const char *text, size_t size);

/* How many bytes at the start form whole characters: size minus at most 3 bytes of a character that may yet be completed.
 * For text that arrives in pieces (pipes). */
size_t text_whole(const char *text, size_t size);

#endif
