/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A growing byte buffer with a hard maximum: the only type in which frames are assembled.
 * A failed append leaves the buffer as it was and sets `failed`, which sticks until buf_reset, so
 * that a run of appends may be checked once at its end.
 */
#ifndef PUPITRE_BASE_BUF_H
#define PUPITRE_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
	char *data;      /* owned; NULL while nothing was appended; not NUL-terminated */
	size_t size;     /* bytes in use */
	size_t capacity; /* bytes allocated */
	size_t maximum;  /* bytes that may ever be in use */
	bool failed;     /* an append did not fit or could not be allocated */
};

/* The default maximum, for buffers whose content is bounded elsewhere. */
#define BUF_MAXIMUM ((size_t)1 << 30)

#define BUF_INIT ((struct buf){ .maximum = BUF_MAXIMUM })

void buf_free(struct buf *b);  /* releases the bytes; b is empty and usable again */
void buf_reset(struct buf *b); /* forgets the content, keeps the memory, clears `failed` */

/* Give memory back when more than `keep` bytes are allocated. Call only on an empty buffer. */
void buf_shrink(struct buf *b, size_t keep);

/* Make room for `more` bytes after size. 0, or -1 with b->failed set. */
int buf_reserve(struct buf *b, size_t more);

/* Append bytes / a NUL-terminated string / formatted text. 0, or -1 with b->failed set. */
int buf_append(struct buf *b, const void *bytes, size_t size);
int buf_append_string(struct buf *b, const char *string);
int buf_appendf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Drop the first n bytes (n <= size), moving the rest to the front. */
void buf_consume(struct buf *b, size_t n);

#define BUF_AUTO __attribute__((cleanup(buf_free))) struct buf

#endif
