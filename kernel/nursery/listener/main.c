/* SPDX-License-Identifier: BSD-3-Clause */
#include <ctype.h>

#include "listener.h"

static struct listener listener;
static volatile sig_atomic_t noted[NSIG]; /* signals, which arrive in epoll_pwait only */

int
watch_add(struct listener *l, struct watch *w, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = w };
	int result = epoll_ctl(l->epoll, EPOLL_CTL_ADD, w->fd, &e);
	return result < 0 && errno == EEXIST ? epoll_ctl(l->epoll, EPOLL_CTL_MOD, w->fd, &e) : result;
}

void
watch_close(struct listener *l, struct watch *w)
{
	if (w->fd >= 0)
		epoll_ctl(l->epoll, EPOLL_CTL_DEL, w->fd, NULL);
	fd_close(&w->fd);
}

void
notify(const char *state)
{
	send(NOTIFY_FD, state, strlen(state), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void
note(int signum)
{
	noted[signum] = true;
}

/* Nothing that we were started with but descriptors 0, where we listen, to SCRIBE_FD. */
static int
prepare(struct listener *l)
{
	static const int taken[] = { SIGTERM, SIGINT, SIGHUP, SIGCHLD };
	socklen_t size = sizeof l->name;
	sigset_t set = { 0 }; /* empty */
	close_range(SCRIBE_FD + 1, ~0u, 0);
	umask(022);
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < COUNT(taken); i++) {
		sigaddset(&set, taken[i]);
		signal(taken[i], note);
	}
	sigprocmask(SIG_SETMASK, &set, NULL);
	TAILQ_INIT(&l->clients);
	for (struct template *t = l->templates; t < TEMPLATES_END(l); t++)
		t->socket.fd = -1;
	l->status = (struct nursery_status){ NURSERY_MAGIC, NURSERY_VERSION, NURSERY_STATUS, .pid = getpid() };
	l->status.per_user = !l->system;
	l->now_ms = l->start_ms = clock_ms();
	l->door = (struct watch){ STDIN_FILENO, client_accept, NULL };
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	/* By its edge: while descriptors are short those at the door must not wake us for ever. */
	if (getsockname(STDIN_FILENO, (struct sockaddr *)&l->name, &size) < 0 ||
	    lstat(l->name.sun_path, &l->door_is) < 0 || watch_add(l, &l->door, EPOLLIN | EPOLLET) < 0 ||
	    getrlimit(RLIMIT_NOFILE, &l->files) < 0)
		return -1;
	return setrlimit(RLIMIT_NOFILE, &(struct rlimit){ l->files.rlim_max, l->files.rlim_max });
}

/* All of them must be there, in this order: what is usual is for `pupitre nursery` to know. */
static int
parse(struct listener *l, char **argv)
{
	static const char *const names[OPTIONS] = { "--template",  "--python",  "--home",          "--settings",
						    "--log-level", "--min-uid", "--max-uid",       "--max-per-user",
						    "--max-total", "--burst",   "--serve-confined" };
	uint32_t *const numbers[] = { &l->min_uid,          &l->max_uid,      &l->policy.max_per_user,
				      &l->policy.max_total, &l->policy.burst, &l->confined };
	for (size_t i = 0; i < OPTIONS; i++, argv += 2) {
		const char *value = argv[0] == NULL ? NULL : argv[1];
		char *end;
		if (value == NULL || strcmp(argv[0], names[i]) != 0 || (i < OPTION_SETTINGS && *value != '/'))
			return -1;
		l->options[i] = value;
		if (i < OPTION_MIN_UID)
			continue;
		unsigned long long number = strtoull(value, &end, 10);
		if (!isdigit((unsigned char)*value) || *end != '\0' || number > UINT32_MAX)
			return -1;
		*numbers[i - OPTION_MIN_UID] = (uint32_t)number;
	}
	l->system = *argv != NULL && strcmp(*argv, "--system") == 0 && geteuid() == 0;
	return argv[l->system] == NULL ? 0 : -1;
}

static void
serve(struct listener *l)
{
	struct epoll_event event;
	static const sigset_t none; /* empty */
	bool due = true;
	while (!noted[SIGTERM] && !noted[SIGINT] && l->status_of_mistake == 0 &&
	       !(l->status.draining && l->policy.kernels == 0)) {
		/* One event a turn: what it frees cannot be met again in the same turn. */
		int n = epoll_pwait(l->epoll, &event, 1, l->crowd ? 0 : due ? TICK_MS : -1, &none);
		/* Which lets no signal in when there is something at once, as in a crowd there always is. */
		pselect(0, NULL, NULL, NULL, &(struct timespec){ 0 }, &none);
		l->now_ms = clock_ms();
		datagram_hurry(
			true); /* closing a connection that was not heard may wait for who left something in it */
		struct watch *w = event.data.ptr;
		if (n == 1)
			w->ready(l, w->owner);
		for (int i = 0; i < ACCEPTS_A_TURN; i++)
			client_accept(l, NULL);
		due = client_tick(l); /* of those that came just now, too */
		datagram_hurry(false);
		if (noted[SIGCHLD])
			template_reap(l);
		if (noted[SIGHUP])
			template_build(l, true);
		noted[SIGCHLD] = noted[SIGHUP] = false;
		due = template_tick(l) || due;
	}
}

/* Whoever is at the door, or in it, may keep us from closing it: it and the templates hear of our end before. */
static void
end(struct listener *l)
{
	struct stat is;
	notify("STOPPING=1");
	if (lstat(l->name.sun_path, &is) == 0 && is.st_dev == l->door_is.st_dev && is.st_ino == l->door_is.st_ino)
		unlink(l->name.sun_path);
	for (struct template *t = l->templates; t < TEMPLATES_END(l); t++)
		shutdown(t->socket.fd, SHUT_RDWR);
	shutdown(l->door.fd, SHUT_RDWR);
}

int
main(int argc, char **argv)
{
	struct listener *l = &listener;
	if (argc < 1 || parse(l, argv + 1) < 0) {
		fprintf(stderr, "pupitre-nursery is started by `pupitre nursery`; see pupitre-nursery(1)\n");
		return EXIT_USAGE;
	}
	log_init("pupitre-nursery", log_level_named(l->options[OPTION_LOG_LEVEL]));
	if (prepare(l) < 0) {
		log_error("error=\"%s\"", strerror(errno));
		return EXIT_FAILURE;
	}
	template_build(l, true);
	serve(l);
	end(l);
	return l->status_of_mistake;
}
