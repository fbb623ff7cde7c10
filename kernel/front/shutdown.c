/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Orderly and disorderly ends. Jupyter messaging protocol, "Kernel shutdown".
 */
#include <signal.h>

#include "base/fd.h"
#include "base/log.h"
#include "front/front.h"

void
shutdown_begin(struct front *f, bool restart)
{
	struct err e = ERR_INIT;
	struct frame_header header = { .type = FRAME_EXIT, .flags = restart ? FRAME_RESTART : 0 };
	if (f->phase == FRONT_STOPPING)
		return;
	bool busy = f->active != NULL || f->phase == FRONT_STARTING;
	f->phase = FRONT_STOPPING;
	f->kill_ms = clock_ms() + (busy ? FRONT_BUSY_STOP_MS : FRONT_IDLE_STOP_MS);
	worker_send(&f->worker, &header, NULL, 0, &e);
	if (f->active != NULL)
		interrupt_now(f);
	f->report_ms = 0;
	if (nursery_is_expecting(&f->nursery))
		f->kill_ms = clock_ms(); /* there is nobody to wait for */
}

void
shutdown_kill(struct front *f)
{
	log_info("event=kill pid=%ld", (long)f->worker.pid);
	f->kill_ms = 0;
	worker_signal(&f->worker, SIGKILL);
	if (f->nursery.stage == ASK_NONE || f->nursery.stage == ASK_DONE)
		return;
	/* It is not ours yet, and may not even be ours to kill: the nursery sees that we are gone, and it that its lifeline is. */
	shell_answer_rest(f);
	f->phase = FRONT_ENDED;
}

void
shutdown_at_once(struct front *f, int status, int signal)
{
	worker_signal(&f->worker, SIGKILL);
	shell_answer_rest(f);
	f->exit_status = status;
	f->exit_signal = signal;
	f->phase = FRONT_ENDED;
}
