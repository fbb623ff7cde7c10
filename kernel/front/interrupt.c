/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Stop, as the user asks for it by SIGINT or interrupt_request. Only the student's code is interrupted, never ours: the state page says
 * which of the two runs. Between "sent to the worker" and "in user code" the wish is left in the state page.
 */
#include <signal.h>
#include <stdio.h>

#include "base/fd.h"
#include "base/log.h"
#include "front/exchange.h"
#include "front/front.h"

/* Leave the wish for a request on its way into user code. True when it got there meanwhile and missed the wish. */
static bool
leave_wish(struct state *state, uint32_t serial)
{
	atomic_store(&state->interrupt_serial, serial);
	if (atomic_load(&state->activity) == STATE_OURS)
		return false;
	uint32_t expected = serial;
	return atomic_compare_exchange_strong(&state->interrupt_serial, &expected, 0);
}

void
interrupt_now(struct front *f)
{
	struct state *state = &f->worker.shared->state;
	if (f->worker.pid <= 0 || f->worker.ended)
		return;
	bool inside = atomic_load(&state->activity) != STATE_OURS;
	if (!inside && f->active != NULL)
		inside = leave_wish(state, f->active->serial);
	if (f->worker.stopped)
		worker_signal(&f->worker, SIGCONT);
	if (inside)
		worker_signal(&f->worker, SIGINT);
	log_info("event=interrupt inside=%d", inside);
	if (f->active == NULL)
		return;
	f->interrupted_serial = f->active->serial;
	f->report_ms = clock_ms() + FRONT_INTERRUPT_REPORT_MS;
}

void
interrupt_report(struct front *f)
{
	char text[320];
	f->report_ms = 0;
	snprintf(text, sizeof text,
		 "In [%u] still runs 2 s after the interrupt: code outside Python (a C extension, a system call) has "
		 "to return "
		 "first, or the code catches KeyboardInterrupt. Interrupt again, or restart the kernel, which always "
		 "works.\n",
		 atomic_load(&f->worker.shared->state.cell));
	exchange_mention(f, text);
}

void
interrupt_notice_stop(struct front *f)
{
	bool is_news = f->worker.stopped && !f->stop_noticed && !f->suspended;
	f->stop_noticed = f->worker.stopped;
	if (!f->worker.stopped)
		f->suspended = false;
	if (!is_news)
		return;
	relay_read(f, false); /* what was printed before comes first */
	exchange_mention(
		f,
		"The Python of this kernel was stopped by a signal (SIGSTOP or SIGTSTP). Interrupt lets it go on.\n");
}
