/* SPDX-License-Identifier: BSD-3-Clause */
#include "pipes.h"

#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define LOOKS_MAX 32u   /* in one tick of the coarse clock (1 to 10 ms), unless something comes by the pipes */
#define TRIES_MAX 8u    /* when the front reads a pipe at the same time */
#define YIELDS_MAX 4096 /* while it does; it may have lost its processor meanwhile */

static struct ring_pipes known; /* what was said last */
static uint32_t turn_before;    /* ring.pipe_turn when a look was granted last */
static unsigned looks;          /* how many are left */
static struct timespec tick;    /* when they were granted */

bool
pipes_may_look(const struct shared *shared)
{
	/* The front has read from a pipe: it notices what we do not look for. */
	uint32_t turn = atomic_load_explicit(&shared->ring.pipe_turn, memory_order_relaxed);
	if (looks > 0 && turn == turn_before)
		return true;
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (turn == turn_before && now.tv_nsec == tick.tv_nsec && now.tv_sec == tick.tv_sec)
		return false;
	turn_before = turn;
	tick = now;
	looks = LOOKS_MAX;
	return true;
}

/* The front's turn, when it reads no pipe. */
static uint32_t
await_turn(const struct ring *ring)
{
	uint32_t turn = atomic_load(&ring->pipe_turn);
	for (int i = 0; turn % 2 != 0 && i < YIELDS_MAX; i++) {
		sched_yield();
		turn = atomic_load(&ring->pipe_turn);
	}
	return turn;
}

/* What was ever written: what the front has read and what lies there unread, at one moment. Descriptors that are not the pipes any more
 * give nonsense, with which the front reads what it finds. */
static bool
measure(const struct shared *shared, struct ring_pipes *ret)
{
	const struct ring *ring = &shared->ring;
	for (unsigned attempt = 0; attempt < TRIES_MAX; attempt++) {
		uint32_t turn = await_turn(ring);
		for (int i = 0; i < 2; i++) {
			int unread = 0;
			if (ioctl(STDOUT_FILENO + i, FIONREAD, &unread) < 0 || unread < 0)
				unread = 0;
			ret->written[i] = atomic_load(&ring->pipe_read[i]) + (uint64_t)unread;
		}
		if (turn % 2 == 0 && atomic_load(&ring->pipe_turn) == turn)
			return true;
	}
	return false;
}

bool
pipes_have_more(const struct shared *shared, struct ring_pipes *ret)
{
	if (looks > 0)
		looks--;
	if (!measure(shared, ret) || memcmp(ret, &known, sizeof known) == 0)
		return false;
	known = *ret;
	looks = LOOKS_MAX;
	return true;
}
