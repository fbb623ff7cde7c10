/* SPDX-License-Identifier: BSD-3-Clause */
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "listener.h"

#define TEMPLATE_SOCKET 3

/* In the new process. Nothing of ours stays but descriptors 0 to 2: no variable, handler, limit or descriptor. */
static _Noreturn void
become(const struct listener *l, int socket)
{
	struct __user_cap_header_struct self = { .version = _LINUX_CAPABILITY_VERSION_3 };
	static const struct __user_cap_data_struct nothing[_LINUX_CAPABILITY_U32S_3];
	static const sigset_t none; /* empty */
	if (geteuid() != 0)         /* a session may have given us some, which its other processes do not have */
		syscall(SYS_capset, &self, nothing);
	clearenv();
	setenv("HOME", l->options[OPTION_HOME], 1);
	setenv("PUPITRE_PYTHON", l->options[OPTION_PYTHON], 1);
	setenv("PUPITRE_LOG_LEVEL", l->options[OPTION_LOG_LEVEL], 1);
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	int null = open("/dev/null", O_RDWR);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && dup2(null, STDIN_FILENO) == STDIN_FILENO && setpgid(0, 0) == 0 &&
	    setrlimit(RLIMIT_NOFILE, &l->files) == 0 && dup2(STDERR_FILENO, STDOUT_FILENO) >= 0 &&
	    dup2(socket, TEMPLATE_SOCKET) >= 0 && close_range(TEMPLATE_SOCKET + 1, ~0u, 0) == 0 && chdir("/") == 0)
		execl(l->options[OPTION_TEMPLATE], l->options[OPTION_TEMPLATE], l->options[OPTION_SETTINGS],
		      l->system ? "guarded" : NULL, NULL);
	_exit(127);
}

/* It will send nothing any more, or is not to. Unless it was old another is built, each time later. */
static void
hang_up(struct listener *l, struct template *t, enum nursery_template_state state)
{
	bool needed = t->status.state == NURSERY_TEMPLATE_READY || t->status.state == NURSERY_TEMPLATE_BUILDING;
	if (needed && state == NURSERY_TEMPLATE_NONE && t->status.pid > 0)
		kill(t->status.pid, SIGKILL);
	watch_close(l, &t->socket);
	t->status.state = state;
	t->deadline_ms = 0;
	l->ready = l->ready == t ? NULL : l->ready;
	client_orphan(l, t);
	if (needed) {
		l->build_ms = l->now_ms + (BACKOFF_MS << l->died);
		l->died += l->died < BACKOFF_MAX;
	}
	client_dispatch(l);
}

/* It tells how its workers end, and forks no more. */
static void
retire(struct listener *l)
{
	l->ready->status.state = NURSERY_TEMPLATE_OLD;
	shutdown(l->ready->socket.fd, SHUT_WR);
	l->ready = NULL;
}

static void
become_ready(struct listener *l, struct template *t)
{
	if (l->ready != NULL)
		retire(l);
	l->ready = t;
	t->status.state = NURSERY_TEMPLATE_READY;
	t->deadline_ms = 0;
	log_info("event=template_ready pid=%d", t->status.pid);
	notify("READY=1\nSTATUS=ready to fork");
	if (!l->announced)
		l->announced = write(STDOUT_FILENO, "ready\n", 6) != 0;
}

/* One report. */
static void
socket_ready(struct listener *l, void *template)
{
	struct template *t = template;
	struct nursery_report r;
	struct datagram d;
	int got = datagram_receive(t->socket.fd, &r, sizeof r, &d);
	if (got < 0)
		return;
	if (got == 0 || datagram_check_report(&r, d.size, d.fd_count) != NURSERY_OK) {
		hang_up(l, t, NURSERY_TEMPLATE_NONE);
	} else if (t->status.state == NURSERY_TEMPLATE_BUILDING) {
		memcpy(t->status.text, r.text, sizeof r.text);
		if (r.op == NURSERY_READY) {
			become_ready(l, t);
		} else {
			log_error("event=template_unfit why=\"%s\"", r.text);
			notify("STATUS=the template is unfit; kernels start cold");
			/* What was ready before is no mistake: a package may be half written. */
			l->status_of_mistake = l->announced ? 0 : r.status;
			hang_up(l, t, NURSERY_TEMPLATE_UNFIT);
		}
	} else {
		client_report(l, t, &r, &d);
		if (r.op == NURSERY_FAILED && r.reason == NURSERY_STALE && t == l->ready) {
			retire(l);
			template_build(l, false);
		}
		client_dispatch(l);
	}
	if (got > 0)
		datagram_close(&d);
}

void
template_build(struct listener *l, bool asked)
{
	/* Where one was unfit, else in a free place, else in that of the oldest that was replaced, who then reports no more. */
	static const int rank[] = { 1, 4, 3, 2, 0 }; /* by state: NONE, BUILDING, READY, OLD, UNFIT */
	struct template *t = l->templates;
	int ends[2] = { -1, -1 };
	l->build_ms = 0;
	if (asked)
		l->died = 0;
	for (struct template *other = l->templates; other < TEMPLATES_END(l); other++) {
		int by = rank[other->status.state] - rank[t->status.state];
		if (other->status.state == NURSERY_TEMPLATE_BUILDING)
			return;
		if (by < 0 || (by == 0 && other->since_ms < t->since_ms))
			t = other;
	}
	if (t->status.state == NURSERY_TEMPLATE_OLD)
		hang_up(l, t, NURSERY_TEMPLATE_NONE);
	*t = (struct template){ .socket = { -1, socket_ready, t }, .status = { .pid = -1, NURSERY_TEMPLATE_BUILDING } };
	t->since_ms = l->now_ms;
	t->deadline_ms = l->now_ms + BUILD_MS;
	if (nursery_interpreter_of(l->options[OPTION_PYTHON], &t->status.python) == 0 &&
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0)
		t->status.pid = fork();
	if (t->status.pid == 0)
		become(l, ends[1]);
	log_info("event=template_build pid=%d errno=%d", t->status.pid, t->status.pid < 0 ? errno : 0);
	fd_close(&ends[1]);
	t->socket.fd = ends[0];
	if (t->status.pid < 0 || watch_add(l, &t->socket, EPOLLIN) < 0)
		hang_up(l, t, NURSERY_TEMPLATE_NONE);
}

void
template_reap(struct listener *l)
{
	int status;
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
		for (struct template *t = l->templates; t < TEMPLATES_END(l); t++) {
			if (t->status.pid != pid)
				continue;
			log_info("event=template_ended pid=%d status=%d", pid, status);
			t->status.pid = 0;
			shutdown(t->socket.fd,
				 SHUT_RDWR); /* what it had said is read; then it hangs up, whoever has a copy */
		}
	}
}

bool
template_tick(struct listener *l)
{
	bool due = l->build_ms != 0;
	if (due && l->build_ms <= l->now_ms)
		template_build(l, false);
	for (struct template *t = l->templates; t < TEMPLATES_END(l); t++) {
		due = due || t->deadline_ms != 0;
		if (t->deadline_ms != 0 && t->deadline_ms <= l->now_ms) {
			log_error("event=template_hangs pid=%d", t->status.pid);
			hang_up(l, t, NURSERY_TEMPLATE_NONE);
		}
	}
	return due;
}
