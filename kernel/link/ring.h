/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The output ring: sys.stdout and sys.stderr of the worker, on their way to the front, in shared memory.
 * Single producer (the worker, which serialises its threads by the GIL), single consumer (the front).
 * No system call per write: the producer rings the bell (an eventfd) only when the consumer asked for it, and a full
 * ring makes the producer wait on a futex. Text written before a SIGKILL still arrives.
 * The consumer trusts nothing it reads here: a record that does not add up is ERR_INVALID.
 *
 * Text of C and of child processes comes by the pipes on descriptors 1 and 2 instead. A record of stream RING_PIPES says how much of it was
 * made before what follows in the ring (docs/decisions/014).
 *
 * Lives behind the state page in the memfd:  struct state | struct ring | data[RING_SIZE].
 */
#ifndef PUPITRE_LINK_RING_H
#define PUPITRE_LINK_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "link/state.h"

#define RING_SIZE ((size_t)64 * 1024)     /* bytes of data, a power of two */
#define RING_TEXT_MAX ((size_t)16 * 1024) /* bytes of text in one record; longer writes are split */

#define RING_PIPES 3u /* stream of a record that holds a struct ring_pipes, not text */

struct ring_record {
	uint32_t size;   /* bytes of text that follow, <= RING_TEXT_MAX */
	uint32_t serial; /* request the text belongs to; 0 = none */
	uint32_t stream; /* 1 = stdout, 2 = stderr, or RING_PIPES */
};

struct ring_pipes {
	uint64_t written[2]; /* bytes ever written to the pipes on descriptors 1 and 2 */
};

struct ring {
	_Alignas(64) _Atomic uint64_t head; /* bytes ever written (producer) */
	_Alignas(64) _Atomic uint64_t tail; /* bytes ever read (consumer) */
	_Alignas(64) _Atomic uint32_t
		bell_at;             /* consumer: ring the bell when at least this many bytes wait; 0 = never */
	_Atomic uint32_t waiting;    /* producer: sleeps on room_futex */
	_Atomic uint32_t room_futex; /* consumer: counts up when it has made room */
	_Alignas(64) _Atomic uint64_t pipe_read[2]; /* consumer: bytes ever read from the pipes */
	_Atomic uint32_t pipe_turn; /* consumer: counts up before and after it reads one: odd while it does */
};

/* What the memfd holds. */
struct shared {
	union {
		struct state state;
		char page[STATE_SIZE];
	};
	union {
		struct ring ring;
		char ring_page[STATE_SIZE];
	};
	char data[RING_SIZE];
};

/* Make the memfd (close-on-exec, sealed against resizing) and map it. Front. *ret_fd is owned. NULL on failure. */
struct shared *shared_new(int *ret_fd, struct err *e);

/* Map one that was handed down, checking size, magic and version. Worker. NULL on failure; fd stays the caller's. */
struct shared *shared_map(int fd, struct err *e);

void shared_unmap(struct shared *s); /* NULL is fine */

/* Producer. Write one record if it fits: true, or false when the ring has no room for all of it now.
 * size <= RING_TEXT_MAX. *ret_bell says that the bell must be rung (write 1 to the eventfd). */
bool ring_put(struct shared *s, const struct ring_record *record, const char *text, bool *ret_bell);

/* Producer. Sleep until there may be room, at most timeout_ms. 0, or -1 with errno EINTR when a signal arrived. */
int ring_wait_room(struct shared *s, int timeout_ms);

/* Producer: bytes ever written, for frame_header.ring_position. */
uint64_t ring_position(const struct shared *s);

/* Consumer. Copy the next record's text to `text` (RING_TEXT_MAX bytes): 1, 0 when empty, -1 with ERR_INVALID. */
int ring_take(struct shared *s, struct ring_record *ret, char *text, struct err *e);

/* Consumer: bytes ever read. Never further than the producer's position. */
uint64_t ring_taken(const struct shared *s);

/* Consumer: ask for the bell once `bytes` wait (0 = never). True when that many wait already: do not sleep. */
bool ring_arm(struct shared *s, uint32_t bytes);

/* Consumer: let a waiting producer go on. Call after taking records. */
void ring_made_room(struct shared *s);

#endif
