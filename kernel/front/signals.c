/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Signals. To everybody else there is one process, ours, and what they send to it is meant for the student's code, as in any Python process:
 * it goes on to the worker, where a handler of the code's own runs, or the signal is ignored, or it ends the worker, and us in the same way.
 * There is no list of signals. Exceptions are what the kernel itself is asked by a signal: SIGINT (interrupt.c), news of a child, and job
 * control, which the two do together.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/proc.h"
#include "front/front.h"

int
signals_take(struct front *f, struct err *e)
{
	sigset_t set;
	signal(SIGCHLD, SIG_DFL); /* else children are reaped before they are asked how they ended */
	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	f->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return f->signal_fd < 0 ? err_system(e, "signalfd") : 0;
}

void
signals_act_as_default(int number)
{
	sigset_t set;
	signal(number, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, number);
	raise(number);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

/* Whether a signal would end us, had we not taken it: as the system says, signal(7), and whoever started us. */
static bool
would_end(int number)
{
	struct sigaction is;
	static const int harmless[] = { SIGCHLD, SIGCONT, SIGURG, SIGWINCH, SIGTSTP, SIGTTIN, SIGTTOU };
	for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++) {
		if (harmless[i] == number)
			return false;
	}
	return sigaction(number, NULL, &is) == 0 && is.sa_handler != SIG_IGN;
}

static void
pass_on(struct front *f, const struct signalfd_siginfo *info)
{
	int number = (int)info->ssi_signo;
	bool is_queued = info->ssi_code == SI_QUEUE; /* with a value, and by somebody who may want to be known */
	siginfo_t with = { .si_signo = number, .si_code = SI_QUEUE };
	with.si_pid = (pid_t)info->ssi_pid;
	with.si_uid = info->ssi_uid;
	with.si_ptr = (void *)(uintptr_t)info->ssi_ptr;
	log_info("event=signal number=%d", number);
	if (start_has_worker(f)) {
		f->passed_on = number;
		worker_signal_alone(&f->worker, number, is_queued ? &with : NULL);
	} else if (would_end(number)) {
		shutdown_at_once(f, 0, number);
	}
}

/* Whether the worker does what a signal does by default. Where that cannot be told it does. */
static bool
is_default(const struct front *f, int number)
{
	static char text[PROC_TEXT_MAX];
	char name[32];
	uint64_t caught = 0, ignored = 0;
	snprintf(name, sizeof name, "/proc/%ld/status", (long)f->worker.pid);
	if (proc_read(AT_FDCWD, name, text) < 0)
		return true;
	proc_numbers(text, "SigCgt", 16, 1, &caught);
	proc_numbers(text, "SigIgn", 16, 1, &ignored);
	return ((caught | ignored) >> (number - 1) & 1) == 0;
}

/* SIGTSTP and its like: both stop, by the default of the signal. The worker has a session of its own, in which the system would drop the
 * signal; for us it may do so as well, and then nothing has happened. */
static void
suspend(struct front *f, const struct signalfd_siginfo *info)
{
	sigset_t pending;
	if (!start_has_worker(f) || !is_default(f, (int)info->ssi_signo)) {
		pass_on(f, info);
		return;
	}
	f->suspended = true;
	worker_signal(&f->worker, SIGSTOP);
	signals_act_as_default((int)info->ssi_signo);
	if (sigpending(&pending) == 0 && sigismember(&pending, SIGCONT))
		return; /* we stopped, and here it is what let us go on, for the worker as well */
	f->suspended = false;
	worker_signal(&f->worker, SIGCONT);
}

static void
serve(struct front *f, const struct signalfd_siginfo *info)
{
	bool is_sent = info->ssi_code <= 0; /* by a process; else the system tells us something */
	switch (info->ssi_signo) {
	case SIGINT: interrupt_now(f); return;
	case SIGCHLD:
		worker_reap(&f->worker);
		interrupt_notice_stop(f);
		if (is_sent)
			pass_on(f, info);
		return;
	case SIGTSTP:
	case SIGTTIN:
	case SIGTTOU: suspend(f, info); return;
	case SIGCONT: worker_signal(&f->worker, SIGCONT); return;
	default: pass_on(f, info);
	}
}

void
signals_serve(struct front *f)
{
	struct signalfd_siginfo info;
	while (f->phase != FRONT_ENDED && read(f->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
		if ((pid_t)info.ssi_pid != getpid()) /* SIGPIPE for what we wrote ourselves, and the like */
			serve(f, &info);
	}
}
