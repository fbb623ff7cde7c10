/* SPDX-License-Identifier: BSD-3-Clause */
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "listener.h"

#define TEMPLATE_SOCKET 3
#define VARIABLE_MAX 4200

struct template *
template_ready(struct listener *l)
{
	for (struct template *t = l->templates; t < TEMPLATES_END(l); t++) {
		if (t->state == NURSERY_TEMPLATE_READY)
			return t;
	}
	return NULL;
}

/* In the new process. Nothing of ours stays but descriptors 0 to 2: no variable, handler, limit or descriptor. */
static _Noreturn void
become(const struct listener *l, int socket)
{
	const char *const *o = l->options, *home = o[OPTION_HOME];
	const char *const arguments[] = { o[OPTION_TEMPLATE], o[OPTION_SETTINGS], NULL };
	static const char *const libraries[] = { "OMP", "OPENBLAS", "MKL", "NUMEXPR", "BLIS", "VECLIB" };
	static const char *const below_home[][2] = { { "MPLCONFIGDIR", "matplotlib" },
						     { "IPYTHONDIR", "ipython" },
						     { "XDG_CACHE_HOME", "cache" } };
	struct __user_cap_header_struct self = { .version = _LINUX_CAPABILITY_VERSION_3 };
	static const struct __user_cap_data_struct nothing[_LINUX_CAPABILITY_U32S_3];
	char text[VARIABLE_MAX];
	sigset_t none;
	if (geteuid() != 0) /* a session may have given us some, which its other processes do not have */
		syscall(SYS_capset, &self, nothing);
	clearenv();
	setenv("PATH", "/usr/local/bin:/usr/bin:/bin", 1);
	setenv("LANG", "C.UTF-8", 1);
	setenv("HOME", home, 1);
	setenv("PUPITRE_PYTHON", o[OPTION_PYTHON], 1);
	setenv("PUPITRE_LOG_LEVEL", o[OPTION_LOG_LEVEL], 1);
	for (size_t i = 0; i < COUNT(below_home); i++) {
		snprintf(text, sizeof text, "%s/%s", home, below_home[i][1]);
		setenv(below_home[i][0], text, 1);
	}
	for (size_t i = 0; i < COUNT(libraries); i++) {
		snprintf(text, sizeof text, "%s_NUM_THREADS", libraries[i]);
		setenv(text, "1", 1);
	}
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && setpgid(0, 0) == 0 && setrlimit(RLIMIT_NOFILE, &l->files) == 0 &&
	    dup2(STDERR_FILENO, STDOUT_FILENO) >= 0 && dup2(socket, TEMPLATE_SOCKET) >= 0 &&
	    close_range(TEMPLATE_SOCKET + 1, ~0u, 0) == 0 && chdir("/") == 0)
		execv(arguments[0], (char *const *)arguments);
	_exit(127);
}

/* It will send nothing any more, or is not to. Where it was needed another is built, each time later. */
static void
hang_up(struct listener *l, struct template *t, enum nursery_template_state state)
{
	bool needed = t->state == NURSERY_TEMPLATE_READY || t->state == NURSERY_TEMPLATE_BUILDING;
	if (needed && state == NURSERY_TEMPLATE_NONE && t->pid > 0)
		kill(t->pid, SIGKILL);
	watch_close(l, &t->socket);
	t->state = state;
	t->deadline_ms = 0;
	t->ordered = NULL;
	client_orphan(l, t);
	if (needed && template_ready(l) == NULL && l->unfit < UNFIT_MAX) {
		l->backoff_ms = l->backoff_ms == 0 ? 1000 : 2 * l->backoff_ms;
		l->backoff_ms = l->backoff_ms < BACKOFF_MS ? l->backoff_ms : BACKOFF_MS;
		l->build_ms = l->now_ms + l->backoff_ms;
	}
	client_dispatch(l);
}

static void
retire(struct template *t)
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
		retire(before);
	t->state = NURSERY_TEMPLATE_READY;
	t->deadline_ms = 0;
	memcpy(t->text, r->text, sizeof t->text);
	l->unfit = 0;
	log_info("event=template_ready pid=%d", t->pid);
	notify("READY=1\nSTATUS=ready to fork");
	if (!l->announced)
		l->announced = write(STDOUT_FILENO, "ready\n", 6) != 0;
}

/* Take one report. Whether there may be another. */
static bool
take_report(struct listener *l, struct template *t)
{
	struct nursery_report r;
	struct datagram d;
	bool building = t->state == NURSERY_TEMPLATE_BUILDING;
	int got = datagram_receive(t->socket.fd, &r, sizeof r, &d);
	if (got < 0)
		return false;
	if (got == 0 || datagram_check_report(&r, d.size, d.fd_count) != NURSERY_OK) {
		hang_up(l, t, NURSERY_TEMPLATE_NONE);
	} else if (r.op == NURSERY_READY && building) {
		become_ready(l, t, &r);
	} else if (r.op == NURSERY_UNFIT && building) {
		log_error("event=template_unfit in_a_row=%u why=\"%s\"", ++l->unfit, r.text);
		notify("STATUS=the template is unfit; kernels start cold");
		hang_up(l, t, NURSERY_TEMPLATE_UNFIT);
		memcpy(t->text, r.text, sizeof t->text);
	} else {
		client_report(l, t, &r, &d);
		if (r.op == NURSERY_FAILED && r.reason == NURSERY_STALE && t->state == NURSERY_TEMPLATE_READY) {
			retire(t);
			template_build(l);
		}
		client_dispatch(l);
	}
	if (got > 0)
		datagram_close(&d);
	return t->socket.fd >= 0;
}

static void
socket_ready(struct listener *l, struct watch *w)
{
	take_report(l, (struct template *)((char *)w - offsetof(struct template, socket)));
}

void
template_build(struct listener *l)
{
	/* Where one was unfit, else in a free place, else in that of the oldest that was replaced, who then reports no more. */
	static const int rank[] = { [NURSERY_TEMPLATE_UNFIT] = 0,
				    [NURSERY_TEMPLATE_NONE] = 1,
				    [NURSERY_TEMPLATE_OLD] = 2,
				    [NURSERY_TEMPLATE_READY] = 3 };
	struct template *place = l->templates;
	int ends[2] = { -1, -1 };
	for (struct template *t = l->templates; t < TEMPLATES_END(l); t++) {
		if (t->state == NURSERY_TEMPLATE_BUILDING)
			return;
		if (rank[t->state] < rank[place->state] || (t->state == place->state && t->since_ms < place->since_ms))
			place = t;
	}
	if (place->state == NURSERY_TEMPLATE_OLD)
		hang_up(l, place, NURSERY_TEMPLATE_NONE);
	*place = (struct template){ .socket = { -1, socket_ready }, .pid = -1, .state = NURSERY_TEMPLATE_BUILDING };
	place->since_ms = l->now_ms;
	place->deadline_ms = l->now_ms + BUILD_MS;
	l->build_ms = 0;
	if (nursery_interpreter_of(l->options[OPTION_PYTHON], &place->python) == 0 &&
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0)
		place->pid = fork();
	if (place->pid == 0)
		become(l, ends[1]);
	log_info("event=template_build pid=%d errno=%d", place->pid, place->pid < 0 ? errno : 0);
	fd_close(&ends[1]);
	place->socket.fd = ends[0];
	if (place->pid < 0 || watch_add(l, &place->socket, EPOLLIN) < 0)
		hang_up(l, place, NURSERY_TEMPLATE_NONE);
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
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
		for (struct template *t = l->templates; t < TEMPLATES_END(l); t++) {
			if (t->pid != pid)
				continue;
			log_info("event=template_ended pid=%d status=%d", pid, status);
			t->pid = 0;
			while (t->socket.fd >= 0 && take_report(l, t))
				continue;
			if (t->socket.fd >= 0) /* a child of it has not closed its copy yet */
				hang_up(l, t, NURSERY_TEMPLATE_NONE);
		}
	}
}

long long
template_tick(struct listener *l)
{
	long long next = LLONG_MAX;
	if (l->build_ms != 0 && l->build_ms <= l->now_ms)
		template_build(l);
	for (struct template *t = l->templates; t < TEMPLATES_END(l); t++) {
		if (t->deadline_ms != 0 && t->deadline_ms <= l->now_ms) {
			log_error("event=template_hangs pid=%d", t->pid);
			hang_up(l, t, NURSERY_TEMPLATE_NONE);
		}
		next = t->deadline_ms != 0 && t->deadline_ms < next ? t->deadline_ms : next;
	}
	return l->build_ms != 0 && l->build_ms < next ? l->build_ms : next;
}
