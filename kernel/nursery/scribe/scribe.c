/* SPDX-License-Identifier: BSD-3-Clause
 *
 * pupitre-scribe LEVEL [nobody], started by `pupitre nursery` with descriptor 0 = the connection to the listener, which tells what happens. It
 * knows users by name, keeps their ledger and writes their lines of the log, so that the listener, which may be root, does none of this.
 * In the nursery of the machine it becomes nobody first of all. The listener never waits for it: when it hangs, in a directory service that does not answer, or
 * ends, lines are missing, and no more. It ends with the listener.
 */
#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "ledger.h"
#include "nursery/datagram.h"

#define NOBODY 65534
#define LINES_PER_SECOND 1000 /* of all users; each has a limit, too */

static struct ledger ledger;

/* The name of a user, each once; the number where there is none. */
static void
look_up(struct ledger_user *u)
{
	if (u->name[0] != '\0' || u->told.uid == NURSERY_STRANGERS)
		return;
	const struct passwd *found = getpwuid(u->told.uid);
	if (found != NULL)
		snprintf(u->name, sizeof u->name, "%s", found->pw_name);
	else
		snprintf(u->name, sizeof u->name, "%u", u->told.uid);
}

static void
write_line(enum log_level level, const char *event, const char *text, unsigned left_out)
{
	char now[LOG_TIME_SIZE], more[32] = "";
	log_time(now);
	if (left_out > 0)
		snprintf(more, sizeof more, " left_out_of_user=%u", left_out);
	log_line(level, "event=%s time=%s %s%s", event, now, text, more);
}

/* Everything, in a file: however much it is, and whenever it is read, it is sent at once. */
static void
tell_ledger(int connection)
{
	struct nursery_answer answer = { .magic = NURSERY_MAGIC, .version = NURSERY_VERSION, .op = NURSERY_DONE };
	FD_AUTO file = memfd_create("ledger", MFD_CLOEXEC);
	for (size_t i = 0; file >= 0 && i < ledger.count; i++) {
		struct err e = ERR_INIT;
		if (fd_write_all(file, &ledger.users[i].told, sizeof ledger.users[i].told, &e) < 0)
			fd_close(&file);
	}
	datagram_send(connection, &answer, sizeof answer, &file, file >= 0);
}

static const char *
name_of(const struct nursery_event *e)
{
	switch (e->op) {
	case NURSERY_NOTE_DIED: return "died";
	case NURSERY_FORKED: return "forked";
	case NURSERY_CHANGED: return "ended";
	case NURSERY_REFUSED: return e->is_start ? "cold" : "refused";
	default: return "cold";
	}
}

static void
write_event(const struct nursery_event *e)
{
	char text[LEDGER_TEXT_SIZE];
	struct ledger_user *u = ledger_count(&ledger, e, clock_ms());
	bool is_usual = e->op == NURSERY_FORKED || e->op == NURSERY_CHANGED;
	enum log_level level = is_usual ? LOG_INFO : LOG_WARNING;
	if (u == NULL || log_level_get() < level || (!is_usual && !ledger_may_say(u, clock_ms())))
		return;
	look_up(u);
	ledger_describe(u, e, text);
	write_line(level, name_of(e), text, u->left_out);
	u->left_out = 0;
}

static void
end_hour(void)
{
	char text[LEDGER_TEXT_SIZE], now[LOG_TIME_SIZE];
	if (!ledger_end_hour(&ledger, clock_ms(), text))
		return;
	log_time(now);
	log_warning("event=hour time=%s text=\"%s\"", now, text);
}

/* How long there is nothing to do but wait; -1: for as long as nothing happens. */
static int
patience(void)
{
	long long left = ledger.hour_ms + LEDGER_HOUR_MS - clock_ms();
	if (ledger.hour_ms == 0)
		return -1;
	return left > 0 ? (int)left : 0;
}

/* One event: 1, 0 when there will be none. */
static int
serve(int connection)
{
	struct nursery_event e;
	struct datagram d;
	int got = datagram_receive(connection, &e, sizeof e, &d);
	if (got <= 0)
		return got < 0;
	if (d.size == sizeof e && e.op == NURSERY_LEDGER && d.fd_count == 1)
		tell_ledger(d.fds[0]);
	else if (d.size == sizeof e)
		write_event(&e);
	datagram_close(&d);
	return 1;
}

static int
become_nobody(void)
{
	return setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0
		       ? -1
		       : 0;
}

int
main(int argc, char **argv)
{
	static const int ignored[] = { SIGTERM, SIGINT, SIGHUP, SIGPIPE };
	struct pollfd ear = { .fd = STDIN_FILENO, .events = POLLIN };
	for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
		signal(ignored[i], SIG_IGN);
	log_init("pupitre-nursery", argc > 1 ? log_level_named(argv[1]) : LOG_WARNING);
	log_limit(LINES_PER_SECOND);
	if (argc > 2 && become_nobody() < 0) {
		log_error("event=scribe error=\"it cannot become nobody: %s\"", strerror(errno));
		return EXIT_FAILURE;
	}
	do {
		if (patience() == 0)
			end_hour();
		poll(&ear, 1, patience());
	} while (serve(STDIN_FILENO) != 0);
	end_hour();
	return 0;
}
