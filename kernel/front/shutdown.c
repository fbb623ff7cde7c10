/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Orderly and disorderly ends. Jupyter messaging protocol, "Kernel shutdown".
 * An orderly one has no clock of ours. Who asks for it waits as long as they like and then signals, as jupyter_client does: SIGTERM after
 * 2.5 s, SIGKILL after 5 s; the first ends a worker that does not handle it, whatever it computes, the second us, and with us the worker.
 */
#include <signal.h>
#include <sys/wait.h>

#include "base/log.h"
#include "front/front.h"

void
shutdown_begin(struct front *f)
{
	struct err e = ERR_INIT;
	struct frame_header header = { .type = FRAME_EXIT };
	if (f->phase == FRONT_STOPPING)
		return;
	f->phase = FRONT_STOPPING;
	if (!start_has_worker(f)) { /* there is nobody to wait for */
		shutdown_at_once(f, 0, 0);
		return;
	}
	/* On a closed link the worker is ending, or is about to be cut off. */
	if (worker_send(&f->worker, &header, NULL, 0, &e) < 0 && e.code != ERR_CLOSED) {
		log_error("event=lost type=exit reason=\"%s\"", e.text);
		shutdown_at_once(f, 0, 0);
		return;
	}
	stdinput_close(f);
	if (f->worker.stopped)
		worker_signal(&f->worker, SIGCONT);
	/* A manager has interrupted it already; once more, and it would hit the `finally:` that the first one began. */
	if (f->active != NULL && f->active->serial != f->interrupted_serial)
		interrupt_now(f);
	f->report_ms = 0;
}

void
shutdown_finish(struct front *f)
{
	int status = f->worker.status;
	shell_answer_rest(f);
	if (!f->worker.unknown && WIFSIGNALED(status))
		f->exit_signal = WTERMSIG(status);
	else if (!f->worker.unknown)
		f->exit_status = WEXITSTATUS(status);
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
