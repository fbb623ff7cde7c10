/* SPDX-License-Identifier: BSD-3-Clause */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "listener.h"

enum exit_status { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_DOOR = 3 };

static struct listener listener;

int
watch_add(struct listener *l, struct watch *w, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = w };
	return epoll_ctl(l->epoll, EPOLL_CTL_ADD, w->fd, &e);
}

void
watch_close(struct listener *l, struct watch *w)
{
	if (w->fd >= 0)
		epoll_ctl(l->epoll, EPOLL_CTL_DEL, w->fd, NULL);
	fd_close(&w->fd);
}

static int
parse(struct options *o, char **argv)
{
	const struct {
		const char *name, **text;
		long *number;
	} known[] = { { "--socket", &o->socket, NULL },
		      { "--template", &o->template, NULL },
		      { "--python", &o->python, NULL },
		      { "--settings", &o->settings, NULL },
		      { "--home", &o->home, NULL },
		      { "--log-level", &o->log_level, NULL },
		      { "--min-uid", NULL, &o->min_uid },
		      { "--max-total", NULL, &o->max_total },
		      { "--max-per-user", NULL, &o->max_per_user },
		      { "--burst", NULL, &o->burst } };
	size_t i, count = sizeof known / sizeof *known;
	for (; *argv != NULL; argv++) {
		char *end = NULL;
		if (strcmp(*argv, "--system") == 0) {
			o->system = true;
			continue;
		}
		for (i = 0; i < count && strcmp(*argv, known[i].name) != 0; i++)
			continue;
		if (i == count || argv[1] == NULL)
			return -1;
		argv++;
		if (known[i].text != NULL)
			*known[i].text = *argv;
		else if ((*known[i].number = strtol(*argv, &end, 10)) < 0 || *known[i].number > INT_MAX ||
			 end == *argv || *end != '\0')
			return -1;
	}
	for (i = 0; i < 5; i++) { /* what has no default; all but the settings are paths */
		if (*known[i].text == NULL || (known[i].text != &o->settings && **known[i].text != '/'))
			return -1;
	}
	if (o->max_per_user < 0) /* it was not said */
		o->max_per_user = o->system ? 64 : 0;
	if (o->burst < 0)
		o->burst = o->system ? 32 : 0;
	return o->system && geteuid() != 0 ? -1 : 0;
}

static enum log_level
level_of(const char *name)
{
	static const char *const names[] = { "quiet", "error", "warning", "info", "debug" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		if (strcmp(name, names[i]) == 0)
			return (enum log_level)i;
	}
	return LOG_WARNING;
}

static void
on_signal(struct listener *l, struct watch *w)
{
	struct signalfd_siginfo info;
	while (read(w->fd, &info, sizeof info) == sizeof info) {
		if (info.ssi_signo == SIGCHLD)
			template_reap(l);
		else if (info.ssi_signo == SIGHUP)
			template_reload(l);
		else
			l->over = true;
	}
}

/* Nothing that we were started with but descriptors 0 to 2, the first of which is of no use. */
static int
prepare(struct listener *l, struct err *e)
{
	static const int taken[] = { SIGTERM, SIGINT, SIGHUP, SIGCHLD };
	struct rlimit files;
	sigset_t set;
	int null;
	while ((null = open("/dev/null", O_RDWR)) >= 0 && null <= STDERR_FILENO)
		continue;
	dup2(null, STDIN_FILENO);
	close_range(STDERR_FILENO + 1, ~0u, 0);
	umask(022);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
		sigaddset(&set, taken[i]);
	sigprocmask(SIG_SETMASK, &set, NULL);
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	l->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	l->signals = (struct watch){ signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), on_signal };
	if (getrlimit(RLIMIT_NOFILE, &l->files) < 0 || watch_add(l, &l->signals, EPOLLIN) < 0)
		return err_system(e, "cannot prepare");
	files = (struct rlimit){ l->files.rlim_max, l->files.rlim_max };
	setrlimit(RLIMIT_NOFILE, &files);
	for (size_t i = 0; i < CLIENT_STATES; i++)
		TAILQ_INIT(&l->clients[i]);
	for (size_t i = 0; i < NURSERY_TEMPLATES_MAX; i++)
		l->templates[i].socket.fd = -1;
	l->now_ms = l->start_ms = clock_ms();
	return 0;
}

static void
run(struct listener *l)
{
	while (!l->over && !(l->draining && l->policy.kernels == 0)) {
		struct epoll_event event;
		l->now_ms = clock_ms();
		long long clients = client_tick(l), templates = template_tick(l);
		long long next = (clients < templates ? clients : templates) - l->now_ms;
		/* One event a turn: what it frees cannot be met again in the same turn. */
		int n = epoll_wait(l->epoll, &event, 1, next > INT_MAX ? -1 : next < 0 ? 0 : (int)next);
		l->now_ms = clock_ms();
		if (n == 1)
			((struct watch *)event.data.ptr)->ready(l, event.data.ptr);
	}
}

int
main(int argc, char **argv)
{
	struct listener *l = &listener;
	struct options *o = &l->options;
	struct err e = ERR_INIT;
	*o = (struct options){ .log_level = "warning", .min_uid = 1000, .max_per_user = -1, .burst = -1 };
	if (argc < 1 || parse(o, argv + 1) < 0) {
		fprintf(stderr, "pupitre-nursery is started by `pupitre nursery`; see pupitre-nursery(1)\n");
		return EXIT_USAGE;
	}
	log_init("pupitre-nursery", level_of(o->log_level));
	l->policy.max_total = (uint32_t)o->max_total;
	l->policy.max_per_user = (uint32_t)o->max_per_user;
	l->policy.burst = (uint32_t)o->burst;
	if (prepare(l, &e) < 0 || door_open(l, &e) < 0) {
		fprintf(stderr, "pupitre-nursery: error: %s\n", e.text);
		return e.code == ERR_SYSTEM ? EXIT_FAILED : EXIT_DOOR;
	}
	template_build(l);
	run(l);
	door_notify("STOPPING=1");
	door_close(l);
	return 0;
}
