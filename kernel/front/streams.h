/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Printed text on its way to `stream` messages: from the output ring (sys.stdout, sys.stderr) and from the pipes on the
 * worker's descriptors 1 and 2 (C code, subprocesses, a dying process). Joins adjacent text, sends at most every
 * STREAMS_INTERVAL_MS, and bounds what a cell may print. What is left out is said. The order of stdout and stderr is kept, until
 * they alternate more than STREAMS_SWITCHES_MAX times in a window.
 */
#ifndef PUPITRE_FRONT_STREAMS_H
#define PUPITRE_FRONT_STREAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct front;

enum stream { STREAM_STDOUT = 1, STREAM_STDERR = 2 };

#define STREAMS_INTERVAL_MS 50                   /* between two messages of text */
#define STREAMS_LINE_MS 5                        /* an unfinished line waits this long for its end */
#define STREAMS_MESSAGE_SIZE ((size_t)64 * 1024) /* bytes of text in one message, about */
#define STREAMS_SWITCHES_MAX 16u                 /* changes of stream in a window that get a message of their own */
#define STREAMS_CELL_MAX ((uint64_t)256 << 20)   /* bytes one request may print */
#define STREAMS_TAIL_SIZE 512                    /* last bytes of descriptor 2, to say why a worker did not start */

struct streams {
	struct buf text[2];   /* stdout's and stderr's, waits to be sent */
	struct buf content;   /* scratch */
	enum stream latest;   /* whose text came last */
	uint32_t serial;      /* of `text` */
	unsigned switches;    /* messages sent in this window because the stream changed */
	long long due_ms;     /* when `text` must be sent; 0: nothing waits */
	long long sent_ms;    /* when a window of text ended last */
	uint32_t cell_serial; /* the request that cell_bytes counts for */
	uint64_t cell_bytes;
	uint64_t left_out;     /* bytes not sent and not yet mentioned */
	uint64_t pipe_read[2]; /* bytes ever read from the pipes; a copy is in shared memory */
	uint32_t pipe_turn;
	char partial[2][4]; /* unfinished characters at the end of the pipes */
	size_t partial_size[2];
	char tail[STREAMS_TAIL_SIZE];
	size_t tail_size;
};

void streams_init(struct streams *s);
void streams_free(struct streams *s);

/* Text of a request (serial 0: of none). */
void streams_add(struct front *f, enum stream stream, uint32_t serial, const char *text, size_t size);

/* Read what waits in the pipes, at most `limit` bytes each. The text belongs to the active or latest request. */
void streams_read_pipes(struct front *f, size_t limit);

/* Read each pipe until `written` bytes ever came by it, or it is empty. What the worker says of them need not be true. */
void streams_read_pipes_until(struct front *f, const uint64_t written[2]);

/* Let go of pipes that are empty and that nobody can write to any more. */
void streams_close_ended(struct front *f);

/* How many bytes have come by each pipe so far, those included that wait. */
void streams_measure_pipes(const struct front *f, uint64_t ret_written[2]);

/* Other pipes are read from now on. */
void streams_change_pipes(struct streams *s);

/* Send what waits, now. Called before anything that must come after the text. */
void streams_flush(struct front *f);

/* The timer: send what is due. */
void streams_tick(struct front *f);

#endif
