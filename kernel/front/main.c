/* SPDX-License-Identifier: BSD-3-Clause
 *
 * pupitre-kernel: the process that Jupyter starts, signals and waits for. Reads the command line and the connection file, binds, starts
 * the worker, serves, and ends as the worker ended. Exit statuses: pupitre-kernel(1).
 */
#include <fcntl.h>
#include <linux/close_range.h>
#include <malloc.h>
#include <nss.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "front/front.h"
#include "front/inquiry.h"
#include "front/notes.h"
#include "front/version.h"

#define LINGER_MS 1000  /* for a subscriber that does not read */
#define DELIVER_MS 5000 /* for one that does */

enum exit_status {
	EXIT_CONNECTION = 1,
	EXIT_USAGE = 2,
	EXIT_BIND = 3,
	EXIT_WORKER = FRONT_EXIT_WORKER,
	EXIT_UNSIGNED = 5
};

static struct front front;

static int
complain(enum exit_status status, const struct err *e)
{
	fprintf(stderr, "%s: error: %s\n", FRONT_PROGRAM, e->text);
	return (int)status;
}

/* Descriptors 0 to 2 are somebody's, if only nobody's: what is said on standard error must not get into what we open. */
static void
hold_standard(void)
{
	int fd;
	do {
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (fd < 0) /* a system without it */
			fd = open("/", O_PATH | O_CLOEXEC);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	fd_close(&fd);
}

static int
apply_options(struct err *e)
{
	const struct options *o = &front.options;
	struct connection *c = &front.connection;
	for (int i = 0; i < CHANNEL_COUNT; i++) {
		if (o->ports[i] != 0)
			c->ports[i] = o->ports[i];
	}
	if (front.file.existed)
		return 0;
	if (o->transport != NULL)
		c->transport = strcmp(o->transport, "ipc") == 0 ? TRANSPORT_IPC : TRANSPORT_TCP;
	const char *ip = o->ip;
	BUF_AUTO prefix = BUF_INIT;
	if (c->transport == TRANSPORT_IPC && ip == NULL) {
		size_t size = strlen(front.file.path);
		if (size > 5 && strcmp(front.file.path + size - 5, ".json") == 0)
			size -= 5;
		buf_appendf(&prefix, "%.*s-ipc", (int)size, front.file.path);
		if (buf_append(&prefix, "", 1) < 0)
			return err_memory(e);
		ip = prefix.data;
	}
	if (ip == NULL)
		return 0;
	free(c->ip);
	c->ip = strdup(ip);
	return c->ip == NULL ? err_memory(e) : 0;
}

static bool
is_signed(void)
{
	return front.connection.key_size > 0 && !front.options.no_secure;
}

/* Everything that can fail before serving. 0, or an exit status after one line on standard error. */
static int
prepare(void)
{
	struct err e = ERR_INIT;
	if (connfile_open(front.options.connection_file, &front.file, &front.connection, &e) < 0)
		return complain(EXIT_CONNECTION, &e);
	int given[CHANNEL_COUNT];
	memcpy(given, front.connection.ports, sizeof given);
	if (apply_options(&e) < 0)
		return complain(EXIT_CONNECTION, &e);
	if (!is_signed() && front.connection.transport == TRANSPORT_TCP && !front.options.allow_unsigned) {
		err_set(&e, ERR_DENIED,
			"no key: anybody on this machine could run code here; give the connection file a key, or "
			"--allow-unsigned");
		return complain(EXIT_UNSIGNED, &e);
	}
	start_early(&front);
	front.sockets = sockets_open(&front.connection, &e);
	if (front.sockets == NULL)
		return complain(EXIT_BIND, &e);
	bool changed = !connection_same_ports(&front.connection, given);
	if (connfile_write(&front.file, &front.connection, changed, &e) < 0)
		return complain(EXIT_CONNECTION, &e);
	output_init(&front.output, front.sockets);
	front.session = session_new(&front.connection, is_signed(), front.sockets, &front.output, &e);
	if (front.session == NULL)
		return complain(EXIT_CONNECTION, &e);
	front.oom = oom_read();
	if (start_worker(&front, &e) < 0)
		return complain(EXIT_WORKER, &e);
	return 0;
}

static void
greet(void)
{
	if (getenv("JPY_PARENT_PID") == NULL && front.options.verbosity >= 0)
		fprintf(stdout,
			"%s is ready. To connect another client to this kernel, use:\n    --existing %s\n"
			"Interrupts (Ctrl-C) go to the running cell; to end, shut the kernel down or send SIGTERM.\n",
			FRONT_PROGRAM, front.file.path);
	fflush(stdout);
}

/* Give subscribers that read the chance to get everything, the last error and idle included. */
static void
deliver_rest(void)
{
	struct output *o = &front.output;
	long long until = clock_ms() + DELIVER_MS;
	output_retry(o);
	while (!output_is_empty(o) && clock_ms() < until && clock_ms() - o->progress_ms < LINGER_MS) {
		poll(NULL, 0, OUTPUT_RETRY_MS);
		output_retry(o);
	}
}

static void
release(void)
{
	worker_close(&front.worker);
	nursery_close(&front.nursery);
	request_free(front.active);
	request_queue_clear(&front.queue);
	deliver_rest();
	output_free(&front.output);
	session_free(front.session);
	sockets_close(front.sockets, LINGER_MS);
	notes_settle(&front.note);
	connfile_close(&front.file);
	connection_free(&front.connection);
	streams_free(&front.streams);
	buf_free(&front.question.content);
	parents_free(&front.parents);
	options_free(&front.options);
	free(front.kernel_info);
}

/* End by a signal as the worker did, without leaving a second core. */
static void
die_by(int number)
{
	struct rlimit none = { 0, 0 };
	setrlimit(RLIMIT_CORE, &none);
	signals_act_as_default(number);
}

int
main(int argc, char **argv)
{
	struct err e = ERR_INIT;
	if (options_parse(argc, argv, &front.options, &e) < 0)
		return complain(EXIT_USAGE, &e);
	if (front.options.action == OPTIONS_VERSION) {
		version_print();
		return 0;
	}
	if (front.options.action == OPTIONS_ASK_NURSERY)
		return inquiry_run(front.options.python) ? 0 : 1;
	if (front.options.action != OPTIONS_RUN) {
		options_print_help(front.options.action == OPTIONS_HELP_ALL);
		return 0;
	}
	static const enum log_level levels[] = { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };
	int verbosity = front.options.verbosity > 2 ? 2 : front.options.verbosity;
	log_init(FRONT_PROGRAM, levels[verbosity + 1]);
	hold_standard();
	/* What leaked into us stops here, like in a nursery. */
	close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
	/* One small heap: there is one thread that allocates much. */
	mallopt(M_ARENA_MAX, 1);
	/* libpgm looks one up, and Debian's order begins with a library that is rarely there. */
	__nss_configure_lookup("protocols", "files");
	front.worker = WORKER_INIT;
	front.nursery = NURSERY_INIT;
	front.note = -1;
	front.question.content = BUF_INIT;
	streams_init(&front.streams);
	request_queue_init(&front.queue);
	if (signals_take(&front, &e) < 0)
		return complain(EXIT_CONNECTION, &e);
	parent_watch(&front);
	int status = prepare();
	if (status == 0) {
		greet();
		front_run(&front);
		status = front.exit_status;
	}
	int number = front.exit_signal;
	release();
	if (number != 0)
		die_by(number);
	return status;
}
