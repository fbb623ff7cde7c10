/* SPDX-License-Identifier: BSD-3-Clause
 *
 * pupitre-worker: the process that runs the student's code. Started by pupitre-kernel with descriptors 3 = link,
 * 4 = bell, 5 = shared memory, 6 = lifeline, 7 = last words, as the leader of a session of its own.
 * One thread, Python's main thread. What it is made of, in the order it is set up:
 *   ends       the descriptors           lifeline   dies with the front      fork      children never answer
 *   start      CPython                   module     _pupitre                 interrupt SIGINT, with nudge
 *   fault      last words                link       frames                   dispatch  the net under every request
 *   stream     sys.stdout into the ring  repair     what user code destroys  guard     what user code closes
 */
#include <signal.h>
#include <stdio.h>

#include "base/log.h"
#include "ends.h"
#include "fork.h"
#include "lifeline.h"
#include "nudge.h"
#include "start.h"

#define EXIT_USAGE 2
#define EXIT_FAILED 4

/* SIGINT is blocked until here, so that there is no window in which it kills; ignoring forgets one that is pending. */
static void
ignore_signals(void)
{
	sigset_t interrupt;
	sigemptyset(&interrupt);
	sigaddset(&interrupt, SIGINT);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* as python does: a file that may not grow is an OSError */
	signal(SIGINT, SIG_IGN);  /* until interrupt_init */
	sigprocmask(SIG_UNBLOCK, &interrupt, NULL);
}

int
main(void)
{
	struct err e = ERR_INIT;
	log_init("pupitre-worker", LOG_WARNING);
	ignore_signals();
	if (ends_take(&e) < 0) {
		log_error("error=\"%s\"", e.text);
		return EXIT_USAGE;
	}
	if (nudge_init(&e) < 0 || lifeline_watch(true, &e) < 0 || fork_watch(&e) < 0 || start_python(&e) < 0) {
		log_error("error=\"%s\"", e.text);
		return EXIT_FAILED;
	}
	start_finish(start_engine());
}
