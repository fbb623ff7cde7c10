/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The state page: what the front may know of the worker without asking Python, and the two words
 * through which they agree about interrupts. First page of the shared memfd; the output ring follows.
 * The worker may scribble over it: the front reads it as a hint and never trusts a value as a length.
 */
#ifndef PUPITRE_LINK_STATE_H
#define PUPITRE_LINK_STATE_H

#include <stdatomic.h>
#include <stdint.h>

#define STATE_MAGIC 0x54535550u /* "PUST" */
#define STATE_VERSION 1u
#define STATE_SIZE 4096u /* bytes: one page */

enum state_activity {
	STATE_OURS = 0,    /* our code, or waiting with nothing to interrupt: SIGINT would be swallowed */
	STATE_USER = 1,    /* the student's code (IPython included): SIGINT raises KeyboardInterrupt */
	STATE_WAITING = 2, /* the event loop waits inside an `await` cell: SIGINT cancels the cell's task */
};

enum state_fault {
	STATE_FAULT_NONE = 0,
	STATE_FAULT_SIGNAL = 1,
	STATE_FAULT_STACK = 2, /* SIGSEGV close to the stack pointer: the C stack is used up */
};

/* All words are written by the worker except where it says otherwise. */
struct state {
	uint32_t magic, version;
	_Atomic uint32_t activity;         /* enum state_activity */
	_Atomic uint32_t generation;       /* counts entries into user code */
	_Atomic uint32_t serial;           /* request being served; 0 = none */
	_Atomic uint32_t cell;             /* execution count shown beside it; 0 = not a cell */
	_Atomic uint32_t interrupt_serial; /* front: this request is to be interrupted when it enters user code */
	_Atomic uint32_t fault;            /* enum state_fault, written by the fatal-signal handler */
	_Atomic uint32_t fault_signal;
	_Atomic uint64_t fault_address;
};

_Static_assert(sizeof(struct state) <= STATE_SIZE, "the state fits its page");

#endif
