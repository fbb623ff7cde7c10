/* SPDX-License-Identifier: BSD-3-Clause */
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#include "listener.h"

#define BACKLOG 4096
#define PATIENCE_US 2000

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

void
notify(const char *state)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	size_t size = path == NULL ? 0 : strlen(path);
	if (size == 0 || size > sizeof name.sun_path || (*path != '/' && *path != '@'))
		return;
	memcpy(name.sun_path, path, size);
	name.sun_path[0] = *path == '@' ? '\0' : '/'; /* abstract */
	FD_AUTO fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	sendto(fd, state, strlen(state), MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&name,
	       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size));
}

/* Bind the socket, in a directory that nobody but us may change and where we stay. Of what is there already only a socket of ours is
 * removed at which nobody listens any more. */
static int
open_door(struct listener *l, struct err *e)
{
	const char *path = l->options[OPTION_SOCKET], *name = strrchr(path, '/') + 1;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct stat is;
	char dir[PATH_MAX];
	snprintf(dir, sizeof dir, "%.*s", (int)(name - path), path);
	if (*name == '\0' || strlen(name) >= sizeof address.sun_path)
		return err_set(e, ERR_INVALID, "%.150s: not the path of a socket", path);
	memcpy(address.sun_path, name, strlen(name));
	if ((mkdir(dir, l->system ? 0755 : 0700) < 0 && errno != EEXIST) || chdir(dir) < 0 || stat(".", &is) < 0)
		return err_system(e, "cannot use the directory of %.150s", path);
	if (is.st_uid != geteuid() || (is.st_mode & 022) != 0)
		return err_set(e, ERR_DENIED, "%.150s belongs to another user, or others may write in it", dir);
	if (lstat(name, &is) == 0) {
		FD_AUTO fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (!S_ISSOCK(is.st_mode) || is.st_uid != geteuid())
			return err_set(e, ERR_DENIED, "%.150s is there already and no socket of ours", path);
		struct ucred who = { 0 };
		socklen_t size = sizeof who;
		bool connects = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
		bool refused = !connects && errno == ECONNREFUSED;
		/* The socket of one that was killed stays open as long as what it left to close_elsewhere does. */
		if (connects && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0)
			refused = kill(who.pid, 0) < 0 && errno == ESRCH;
		if (!refused)
			return err_set(e, ERR_DENIED, "somebody already listens at %.150s", path);
		unlink(name);
	}
	l->door = (struct watch){ socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), client_accept };
	umask(l->system ? 0111 : 0177);
	int bound = bind(l->door.fd, (struct sockaddr *)&address, sizeof address);
	umask(022);
	if (bound < 0 || lstat(name, &is) < 0 || listen(l->door.fd, BACKLOG) < 0 || watch_add(l, &l->door, EPOLLIN) < 0)
		return err_system(e, "cannot listen at %.150s", path);
	l->door_dev = is.st_dev;
	l->door_ino = is.st_ino;
	return 0;
}

static void
take_signals(struct listener *l, struct watch *w)
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

static void
pass(int signum)
{
	(void)signum;
}

/* Nothing that we were started with but descriptors 0 to 2, the first of which is of no use. */
static int
prepare(struct listener *l, struct err *e)
{
	static const int taken[] = { SIGTERM, SIGINT, SIGHUP, SIGCHLD };
	sigset_t set;
	int null;
	while ((null = open("/dev/null", O_RDWR)) >= 0 && null <= STDERR_FILENO)
		continue;
	dup2(null, STDIN_FILENO);
	close_range(STDERR_FILENO + 1, ~0u, 0);
	umask(022);
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGALRM, &(struct sigaction){ .sa_handler = pass }, NULL); /* without SA_RESTART */
	sigemptyset(&set);
	for (size_t i = 0; i < COUNT(taken); i++)
		sigaddset(&set, taken[i]);
	sigprocmask(SIG_SETMASK, &set, NULL);
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	l->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	l->signals = (struct watch){ signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), take_signals };
	if (getrlimit(RLIMIT_NOFILE, &l->files) < 0 || watch_add(l, &l->signals, EPOLLIN) < 0)
		return err_system(e, "cannot prepare");
	setrlimit(RLIMIT_NOFILE, &(struct rlimit){ l->files.rlim_max, l->files.rlim_max });
	for (size_t i = 0; i < CLIENT_STATES; i++)
		TAILQ_INIT(&l->clients[i]);
	for (struct template *t = l->templates; t < TEMPLATES_END(l); t++)
		t->socket.fd = -1;
	l->now_ms = l->start_ms = clock_ms();
	return open_door(l, e);
}

static int
parse(struct listener *l, char **argv)
{
	static const char *const names[OPTIONS] = { "--socket",       "--template",  "--python",  "--home",
						    "--settings",     "--log-level", "--min-uid", "--max-total",
						    "--max-per-user", "--burst" };
	static const char *const levels[] = { "quiet", "error", "warning", "info", "debug" };
	static const char digits[] = "0123456789";
	uint32_t *const numbers[] = { &l->min_uid, &l->policy.max_total, &l->policy.max_per_user, &l->policy.burst };
	l->options[OPTION_LOG_LEVEL] = levels[LOG_WARNING];
	l->options[OPTION_MIN_UID] = "1000";
	l->options[OPTION_MAX_TOTAL] = "0";
	for (size_t i = 0; *argv != NULL; argv++) {
		if (strcmp(*argv, "--system") == 0 && geteuid() == 0) {
			l->system = true;
			continue;
		}
		for (i = 0; i < OPTIONS && strcmp(*argv, names[i]) != 0; i++)
			continue;
		if (i == OPTIONS || *++argv == NULL || (i < OPTION_PATHS && **argv != '/'))
			return -1;
		size_t size = strlen(*argv);
		if (i >= OPTION_MIN_UID && (size == 0 || size > 9 || strspn(*argv, digits) != size))
			return -1;
		l->options[i] = *argv;
	}
	if (l->options[OPTION_MAX_PER_USER] == NULL) /* whoever serves strangers has limits */
		l->options[OPTION_MAX_PER_USER] = l->system ? "64" : "0";
	if (l->options[OPTION_BURST] == NULL)
		l->options[OPTION_BURST] = l->system ? "32" : "0";
	for (size_t i = 0; i < COUNT(numbers); i++)
		*numbers[i] = (uint32_t)strtoul(l->options[OPTION_MIN_UID + i], NULL, 10);
	for (size_t i = 0; i < COUNT(levels); i++) {
		if (strcmp(l->options[OPTION_LOG_LEVEL], levels[i]) == 0)
			log_init("pupitre-nursery", (enum log_level)i);
	}
	for (size_t i = 0; i <= OPTION_SETTINGS; i++) {
		if (l->options[i] == NULL)
			return -1;
	}
	return 0;
}

int
main(int argc, char **argv)
{
	static const struct itimerval patience = { { 0, PATIENCE_US }, { 0, PATIENCE_US } }, no_timer;
	struct listener *l = &listener;
	struct epoll_event event;
	struct err e = ERR_INIT;
	struct stat is;
	if (argc < 1 || parse(l, argv + 1) < 0) {
		fprintf(stderr, "pupitre-nursery is started by `pupitre nursery`; see pupitre-nursery(1)\n");
		return EXIT_USAGE;
	}
	if (prepare(l, &e) < 0) {
		fprintf(stderr, "pupitre-nursery: error: %s\n", e.text);
		return e.code == ERR_SYSTEM ? EXIT_FAILED : EXIT_DOOR;
	}
	template_build(l);
	while (!l->over && !(l->draining && l->policy.kernels == 0)) {
		long long clients = client_tick(l), templates = template_tick(l);
		long long next = (clients < templates ? clients : templates) - l->now_ms;
		/* One event a turn: what it frees cannot be met again in the same turn. */
		int n = epoll_wait(l->epoll, &event, 1, next > INT_MAX ? -1 : next < 0 ? 0 : (int)next);
		l->now_ms = clock_ms();
		/* Closing what a stranger left in a socket may wait for the stranger, but not for long: it is interrupted. */
		setitimer(ITIMER_REAL, &patience, NULL);
		if (n == 1)
			((struct watch *)event.data.ptr)->ready(l, event.data.ptr);
		setitimer(ITIMER_REAL, &no_timer, NULL);
	}
	notify("STOPPING=1");
	const char *name = strrchr(l->options[OPTION_SOCKET], '/') + 1;
	if (lstat(name, &is) == 0 && is.st_dev == l->door_dev && is.st_ino == l->door_ino)
		unlink(name);
	return 0;
}
