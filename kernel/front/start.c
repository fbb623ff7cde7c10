/* SPDX-License-Identifier: BSD-3-Clause
 *
 * How the worker comes to be: forked by a nursery where there is one and nothing speaks against it, else by exec, which always works.
 * The user is never told which.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "front/front.h"
#include "front/interpreter.h"
#include "front/notes.h"
#include "protocol/document.h"

#define SAID_SIZE 1024 /* bytes of what a worker said that is given up, for the log */

static json_t *
text(const char *string)
{
	return document_text(string, strlen(string));
}

static json_t *
texts(char *const *strings, size_t count)
{
	json_t *list = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, text(strings[i]));
	return list;
}

/* The worker's START frame. */
static int
write_start(struct front *f, struct buf *out)
{
	const struct options *o = &f->options;
	json_auto_t *start =
		json_pack("{s:s, s:o, s:s, s:s, s:b, s:o, s:o}", "version", PUPITRE_VERSION, "connection_file",
			  text(f->file.path), "session", session_id(f->session), "ident", session_ident(f->session),
			  "quiet", o->verbosity <= 0, "argv", texts(o->typed, o->typed_count), "arguments",
			  texts(o->forwarded, o->forwarded_count));
	return document_append(out, start, 0);
}

/* The first frame on the link; it waits there for the worker. */
static int
send_start(struct front *f, struct err *e)
{
	BUF_AUTO start = BUF_INIT;
	struct frame_header header = { .type = FRAME_START };
	if (write_start(f, &start) < 0)
		return err_memory(e);
	struct frame_part part = { start.data, start.size };
	return worker_send(&f->worker, &header, &part, 1, e);
}

static void
give_up(struct front *f)
{
	nursery_close(&f->nursery);
	worker_close(&f->worker);
}

/* Make the link, and let somebody make the worker at its other end. On failure everything is released. */
static int
make_worker(struct front *f, bool ask, struct err *e)
{
	struct ends ends = ENDS_INIT;
	char python[PATH_MAX];
	f->worker = WORKER_INIT;
	int result = interpreter_find(f->options.python, python, e);
	if (result == 0)
		result = ends_make(&f->worker, &ends, e);
	if (result == 0 && ask)
		result = nursery_begin(&f->nursery, &ends, python) ? 0 : -1;
	else if (result == 0)
		result = spawn_worker(&f->worker, &ends, python, e);
	ends_close(&ends);
	if (result < 0)
		give_up(f);
	return result;
}

/* In our log always, and in the nursery's, if that does not know it already. */
static void
record_cold(const struct front *f)
{
	const struct nursery *n = &f->nursery;
	struct nursery_note note = { .pid = getpid(), .reason = (uint16_t)n->reason };
	log_info("event=cold reason=\"%s\"", nursery_reason_text(n->reason));
	if (n->reason == NURSERY_NO_NURSERY || n->is_known)
		return;
	FD_AUTO connection = notes_send(NURSERY_NOTE_COLD, n->kernel, &note);
}

static int
start_spawned(struct front *f, struct err *e)
{
	record_cold(f);
	return make_worker(f, false, e);
}

void
start_early(struct front *f)
{
	struct err e = ERR_INIT;
	int size;
	notes_kernel(f->file.path, &size, f->nursery.kernel);
	make_worker(f, true, &e);
}

int
start_worker(struct front *f, struct err *e)
{
	if (f->nursery.stage == ASK_NONE && start_spawned(f, e) < 0)
		return -1;
	if (send_start(f, e) == 0)
		return 0;
	give_up(f);
	return -1;
}

bool
start_has_worker(const struct front *f)
{
	bool is_ours = f->nursery.stage == ASK_NONE || f->nursery.stage == ASK_DONE;
	return is_ours && f->worker.pid > 0 && !f->worker.ended;
}

/* What the worker that is given up printed is nothing to the user, but something to whoever asked for log lines. */
static void
log_last_words(const struct worker *w)
{
	char said[SAID_SIZE];
	ssize_t size = log_level_get() < LOG_INFO ? 0 : read(w->pipes[1], said, sizeof said);
	ssize_t ignored = size > 0 ? write(STDERR_FILENO, said, (size_t)size) : 0;
	(void)ignored;
}

void
start_cold(struct front *f)
{
	struct err e = ERR_INIT;
	log_last_words(&f->worker);
	worker_close(&f->worker);
	nursery_close(&f->nursery);
	streams_change_pipes(&f->streams);
	f->nursery.stage = ASK_NONE;
	f->cut_off = false;
	f->cut_off_ms = 0;
	if (start_worker(f, &e) == 0)
		return;
	fprintf(stderr, FRONT_PROGRAM ": error: %s\n", e.text);
	shutdown_at_once(f, FRONT_EXIT_WORKER, 0);
}
