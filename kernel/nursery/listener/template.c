/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "check.h"
#include "listener.h"

#define TEMPLATE_OF(watch) ((struct template *)((char *)(watch)-offsetof(struct template, socket)))
#define TEMPLATE_SOCKET 3
#define VARIABLE_MAX 4200

struct template *
template_ready(struct listener *l)
{
	for (struct template *t = l->templates; t < l->templates + NURSERY_TEMPLATES_MAX; t++) {
		if (t->state == NURSERY_TEMPLATE_READY)
			return t;
	}
	return NULL;
}

/* In the new process. Nothing of ours stays but descriptors 0 to 2: no variable, handler, limit or descriptor. */
static _Noreturn void
become(const struct listener *l, int socket)
{
	static const char *const fixed[] = { "PATH=/usr/local/bin:/usr/bin:/bin",
					     "LANG=C.UTF-8",
					     "OMP_NUM_THREADS=1",
					     "OPENBLAS_NUM_THREADS=1",
					     "MKL_NUM_THREADS=1",
					     "NUMEXPR_NUM_THREADS=1",
					     "BLIS_NUM_THREADS=1",
					     "VECLIB_NUM_THREADS=1" };
	const struct options *o = &l->options;
	const char *const made[][3] = { { "HOME=", o->home, "" },
					{ "MPLCONFIGDIR=", o->home, "/matplotlib" },
					{ "IPYTHONDIR=", o->home, "/ipython" },
					{ "XDG_CACHE_HOME=", o->home, "/cache" },
					{ "PUPITRE_PYTHON=", o->python, "" },
					{ "PUPITRE_LOG_LEVEL=", o->log_level, "" } };
	enum { FIXED = sizeof fixed / sizeof *fixed, MADE = sizeof made / sizeof *made };
	static char text[MADE][VARIABLE_MAX];
	const char *environment[FIXED + MADE + 1] = { NULL }, *arguments[] = { o->template, o->settings, NULL };
	sigset_t none;
	memcpy(environment, fixed, sizeof fixed);
	for (size_t i = 0; i < MADE; i++) {
		snprintf(text[i], sizeof text[i], "%s%s%s", made[i][0], made[i][1], made[i][2]);
		environment[FIXED + i] = text[i];
	}
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || setpgid(0, 0) < 0 || setrlimit(RLIMIT_NOFILE, &l->files) < 0 ||
	    dup2(socket, TEMPLATE_SOCKET) < 0 || close_range(TEMPLATE_SOCKET + 1, ~0u, 0) < 0 || chdir("/") < 0)
		_exit(126);
	execve(o->template, (char **)arguments, (char **)environment);
	_exit(127);
}

static void
build_later(struct listener *l)
{
	long long backoff = l->backoff_ms == 0 ? 1000 : 2 * l->backoff_ms;
	l->backoff_ms = backoff < BACKOFF_MS ? backoff : BACKOFF_MS;
	l->build_ms = l->unfit < UNFIT_MAX && !l->draining ? l->now_ms + l->backoff_ms : 0;
}

/* It will send nothing any more, or is not to. */
static void
hang_up(struct listener *l, struct template *t, enum nursery_template_state state)
{
	bool needed = t->state == NURSERY_TEMPLATE_READY || t->state == NURSERY_TEMPLATE_BUILDING;
	if (needed && state == NURSERY_TEMPLATE_NONE && t->pid > 0)
		kill(t->pid, SIGKILL);
	t->state = state;
	t->deadline_ms = 0;
	t->ordered = NULL;
	watch_close(l, &t->socket);
	client_orphan(l, t);
	if (needed && template_ready(l) == NULL)
		build_later(l);
	client_dispatch(l);
}

void
template_retire(struct template *t)
{
	t->state = NURSERY_TEMPLATE_OLD;
	shutdown(t->socket.fd, SHUT_WR);
	log_info("event=template_old pid=%d", t->pid);
}

static void
become_ready(struct listener *l, struct template *t, const struct nursery_report *r)
{
	struct template *before = template_ready(l);
	if (before != NULL)
		template_retire(before);
	t->state = NURSERY_TEMPLATE_READY;
	t->deadline_ms = 0;
	l->unfit = 0;
	memcpy(t->text, r->text, sizeof t->text);
	log_info("event=template_ready pid=%d", t->pid);
	door_notify("READY=1\nSTATUS=ready to fork");
	if (!l->announced)
		(void)!write(STDOUT_FILENO, "ready\n", 6);
	l->announced = true;
}

/* Take one report. Whether there may be another. */
static bool
take_report(struct listener *l, struct template *t)
{
	struct nursery_report r;
	struct message m;
	int got = message_receive(t->socket.fd, &r, sizeof r, &m);
	if (got < 0)
		return false;
	if (got == 0 || check_report(&r, m.size, m.fd_count) != NURSERY_OK) {
		hang_up(l, t, NURSERY_TEMPLATE_NONE);
	} else if (r.op == NURSERY_READY && t->state == NURSERY_TEMPLATE_BUILDING) {
		become_ready(l, t, &r);
	} else if (r.op == NURSERY_UNFIT && t->state == NURSERY_TEMPLATE_BUILDING) {
		l->unfit++;
		memcpy(t->text, r.text, sizeof t->text);
		log_error("event=template_unfit in_a_row=%u why=\"%s\"", l->unfit, t->text);
		door_notify("STATUS=the template is unfit; kernels start cold");
		hang_up(l, t, NURSERY_TEMPLATE_UNFIT);
	} else {
		client_report(l, t, &r, &m);
		if (r.op == NURSERY_FAILED && r.reason == NURSERY_STALE && t->state == NURSERY_TEMPLATE_READY) {
			template_retire(t);
			template_build(l);
		}
		client_dispatch(l);
	}
	if (got > 0)
		message_close(&m);
	return t->socket.fd >= 0;
}

static void
socket_ready(struct listener *l, struct watch *w)
{
	take_report(l, TEMPLATE_OF(w));
}

/* Where the next one goes: a free place, else that of one that only told why it was unfit, else that of the oldest that was replaced. */
static struct template *
find_place(struct listener *l)
{
	struct template *best = NULL;
	for (struct template *t = l->templates; t < l->templates + NURSERY_TEMPLATES_MAX; t++) {
		static const int rank[] = {
			[NURSERY_TEMPLATE_NONE] = 3, [NURSERY_TEMPLATE_UNFIT] = 2, [NURSERY_TEMPLATE_OLD] = 1
		};
		if (t->state == NURSERY_TEMPLATE_BUILDING)
			return NULL;
		if (t->state != NURSERY_TEMPLATE_READY && (best == NULL || rank[t->state] > rank[best->state] ||
							   (t->state == best->state && t->since_ms < best->since_ms)))
			best = t;
	}
	return best;
}

void
template_build(struct listener *l)
{
	struct template *t = find_place(l);
	int ends[2];
	if (t == NULL || l->draining)
		return;
	if (t->state == NURSERY_TEMPLATE_OLD)
		hang_up(l, t, NURSERY_TEMPLATE_NONE);
	*t = (struct template){ .socket = { -1, socket_ready }, .since_ms = l->now_ms };
	l->build_ms = 0;
	if (nursery_interpreter_of(l->options.python, &t->python) < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
		log_error("event=template_not_started error=\"%s\"", strerror(errno));
		build_later(l);
		return;
	}
	t->pid = fork();
	if (t->pid == 0)
		become(l, ends[1]);
	close(ends[1]);
	t->socket.fd = ends[0];
	t->state = NURSERY_TEMPLATE_BUILDING;
	t->deadline_ms = l->now_ms + BUILD_MS;
	if (t->pid < 0 || watch_add(l, &t->socket, EPOLLIN) < 0)
		hang_up(l, t, NURSERY_TEMPLATE_NONE);
	log_info("event=template_build pid=%d", t->pid);
}

void
template_reload(struct listener *l)
{
	l->unfit = 0;
	l->backoff_ms = 0;
	template_build(l);
}

void
template_reap(struct listener *l)
{
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct template *t = l->templates;
		while (t < l->templates + NURSERY_TEMPLATES_MAX && t->pid != pid)
			t++;
		log_info("event=template_ended pid=%d status=%d", pid, status);
		if (t == l->templates + NURSERY_TEMPLATES_MAX)
			continue;
		t->pid = 0;
		while (t->socket.fd >= 0 && take_report(l, t))
			continue;
		if (t->socket.fd >= 0) /* a child of it that has not closed its copy yet */
			hang_up(l, t, NURSERY_TEMPLATE_NONE);
	}
}

long long
template_tick(struct listener *l)
{
	long long next = LLONG_MAX;
	if (l->build_ms != 0 && l->build_ms <= l->now_ms)
		template_build(l);
	for (struct template *t = l->templates; t < l->templates + NURSERY_TEMPLATES_MAX; t++) {
		if (t->deadline_ms != 0 && t->deadline_ms <= l->now_ms) {
			log_error("event=template_hangs pid=%d", t->pid);
			hang_up(l, t, NURSERY_TEMPLATE_NONE);
		} else if (t->deadline_ms != 0 && t->deadline_ms < next) {
			next = t->deadline_ms;
		}
	}
	return l->build_ms != 0 && l->build_ms < next ? l->build_ms : next;
}
