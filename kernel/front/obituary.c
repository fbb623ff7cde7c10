/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The worker has ended without having been asked. What happened, where, and what to try: as an `error` on the cell that ran, as the
 * reply to its request and to everything queued. Then the front ends the same way, so that Jupyter restarts the kernel.
 */
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "front/exchange.h"
#include "front/front.h"
#include "front/notes.h"
#include "protocol/document.h"

#define ENAME "KernelDied"
#define STATUS_LOOP_BROKEN 70 /* how the worker ends when its event loop cannot go on */
#define STATUS_UNKNOWN 1      /* how we end when nobody knows how the worker did */
#define LAST_WORDS_SIZE 16384
#define USAGE_MS 100   /* for a nursery that has not told yet what the worker had used */
#define KERNEL_SIZE 64 /* of its id, in the log */
#define FRAMES_MAX 20

/* How faulthandler writes a frame, how IPython names a cell, and where the kernel's own frames begin. */
#define FRAME_START "  File \""
#define FRAME_LINE "\", line "
#define CELL_FILE "/ipykernel_"
#define IPYTHON_FILE "/IPython/core/interactiveshell.py"

/* One line each: what happened, and what to try. */
struct cause {
	char what[200];
	const char *advice;
	enum nursery_cause kind; /* for the nursery, which hears no texts */
};

static const struct {
	int signal;
	const char *what, *advice;
} signal_causes[] = {
	{ SIGSEGV, "memory that is not its own was touched (segmentation fault)",
	  "A C extension or ctypes did this; Python code alone cannot. Look at what the line calls, and at its "
	  "arguments." },
	{ SIGBUS, "memory that is not there was touched (bus error)",
	  "Usually a memory-mapped file that became shorter, or a full disk." },
	{ SIGABRT, "a library gave up (abort)", "Its own message, if there is one, stands above." },
	{ SIGFPE, "an arithmetic fault in C code (floating point exception)", "A C extension did this." },
	{ SIGILL, "an instruction this processor does not know (illegal instruction)",
	  "A package was built for another processor: reinstall it." },
	{ SIGXCPU, "the limit on processor time was reached", "Ask for a larger limit, or split the work." },
	{ SIGXFSZ, "the limit on file size was reached", "Write less, or ask for a larger limit." },
	{ SIGTERM, "it was told to end (SIGTERM)", "Somebody, or the code itself, sent that signal." },
	{ SIGALRM, "an alarm rang that nobody handles (SIGALRM)",
	  "signal.alarm() needs a handler: signal.signal(signal.SIGALRM, ...)." },
	{ SIGPIPE, "it wrote to a closed pipe (SIGPIPE)", "Keep SIGPIPE ignored, as Python does." },
};

static void
describe_signal(struct front *f, int number, struct cause *ret)
{
	const struct state *state = &f->worker.shared->state;
	if (number == SIGKILL && oom_happened(f->oom, oom_read())) {
		if (oom_is_limited())
			*ret = (struct cause){
				"out of memory: the limit of this server was reached",
				"Work on less data at a time, delete what is not needed, or ask for a larger limit.",
				NURSERY_CAUSE_LIMIT
			};
		else
			*ret = (struct cause){ "the machine ran out of memory",
					       "Work on less data at a time, and delete what is not needed. Others use "
					       "this machine, too.",
					       NURSERY_CAUSE_MEMORY };
		return;
	}
	if (number == SIGKILL && f->cut_off) {
		*ret = (struct cause){
			"its connection to the kernel was closed",
			"The code closed descriptors that are not its own, by system calls that Python does not make.",
			NURSERY_CAUSE_CUT_OFF
		};
		return;
	}
	if (number == SIGKILL) {
		*ret = (struct cause){ "it was killed from outside (SIGKILL)",
				       "Often the machine ran out of memory; otherwise somebody ended it.",
				       NURSERY_CAUSE_STATUS };
		return;
	}
	if (atomic_load(&state->fault) == STATE_FAULT_STACK) {
		*ret = (struct cause){
			"the C stack is used up (endless recursion)",
			"Something calls itself without end: in C code, or in Python with a very high recursion limit.",
			NURSERY_CAUSE_STACK
		};
		return;
	}
	for (size_t i = 0; i < sizeof signal_causes / sizeof *signal_causes; i++) {
		if (signal_causes[i].signal == number) {
			snprintf(ret->what, sizeof ret->what, "%s", signal_causes[i].what);
			ret->advice = signal_causes[i].advice;
			return;
		}
	}
	snprintf(ret->what, sizeof ret->what, "signal %d (%s) ended it", number, strsignal(number));
	ret->advice = "Somebody, or the code itself, sent that signal.";
}

/* The worker ended before HELLO: its last line on descriptor 2 is the reason. */
static void
describe_false_start(struct front *f, struct cause *ret)
{
	const struct streams *s = &f->streams;
	size_t end = s->tail_size;
	while (end > 0 && s->tail[end - 1] == '\n')
		end--;
	size_t start = end;
	while (start > 0 && s->tail[start - 1] != '\n')
		start--;
	snprintf(ret->what, sizeof ret->what, "it could not start (exit status %d)%s%.*s",
		 WEXITSTATUS(f->worker.status), start < end ? ": " : "", (int)(end - start), s->tail + start);
	ret->advice = "`pupitre doctor` says what is missing.";
}

/* Whoever reaped the worker is gone, and so is its status. A fatal signal has left its number all the same. */
static void
describe_unknown(struct front *f, struct cause *ret)
{
	const struct state *state = &f->worker.shared->state;
	uint32_t number = atomic_load(&state->fault_signal);
	if (atomic_load(&state->fault) != STATE_FAULT_NONE && number > 0 && number < NSIG) {
		describe_signal(f, (int)number, ret);
		return;
	}
	if (oom_happened(f->oom, oom_read())) {
		describe_signal(f, SIGKILL, ret);
		return;
	}
	*ret = (struct cause){ "it ended, and nobody could tell how (the nursery is gone)",
			       "Somebody killed it, or the code itself ended it.", NURSERY_CAUSE_UNKNOWN };
}

static void
describe(struct front *f, struct cause *ret)
{
	int status = f->worker.status;
	*ret = (struct cause){ .kind = NURSERY_CAUSE_STATUS };
	if (f->worker.unknown) {
		describe_unknown(f, ret);
		return;
	}
	if (WIFSIGNALED(status)) {
		describe_signal(f, WTERMSIG(status), ret);
		return;
	}
	if (f->phase == FRONT_STARTING) {
		describe_false_start(f, ret);
		return;
	}
	if (WEXITSTATUS(status) == STATUS_LOOP_BROKEN) {
		*ret = (struct cause){
			"its event loop was broken, or its connection to the kernel closed",
			"The code closed the running loop, its selector or descriptors that are not its own.",
			NURSERY_CAUSE_STATUS
		};
		return;
	}
	snprintf(ret->what, sizeof ret->what, "the code ended it with exit status %d (os._exit, or exit in C code)",
		 WEXITSTATUS(status));
	ret->advice = "To leave a cell early use `return` in a function or raise an exception.";
}

/* What faulthandler wrote, NUL-terminated. */
static void
read_last_words(struct front *f, char text[LAST_WORDS_SIZE])
{
	ssize_t n = pread(f->worker.crash, text, LAST_WORDS_SIZE - 1, 0);
	text[n > 0 ? n : 0] = '\0';
}

/* The innermost line of a cell in a traceback by faulthandler, innermost first; 0: none. */
static long
faulting_line(const char *text)
{
	const char *file = strstr(text, CELL_FILE);
	const char *line = file == NULL ? NULL : strstr(file, FRAME_LINE);
	return line == NULL ? 0 : strtol(line + strlen(FRAME_LINE), NULL, 10);
}

/* The frames of the student's code and of what it called. */
static void
add_frames(const char *text, json_t *traceback)
{
	const char *at = strstr(text, FRAME_START);
	for (int i = 0; at != NULL && i < FRAMES_MAX && strncmp(at, FRAME_START, strlen(FRAME_START)) == 0; i++) {
		size_t size = strcspn(at, "\n");
		if (memmem(at, size, IPYTHON_FILE, strlen(IPYTHON_FILE)) != NULL)
			return;
		json_array_append_new(traceback, document_text(at, size));
		at += size + (at[size] == '\n');
	}
}

static void
write_place(struct front *f, const char *last_words, struct buf *out)
{
	uint32_t cell = atomic_load(&f->worker.shared->state.cell);
	long line = faulting_line(last_words);
	if (f->active == NULL)
		buf_append_string(out, " while no cell was running");
	else if (cell != 0 && line > 0)
		buf_appendf(out, " in cell In [%u], line %ld", cell, line);
	else if (cell != 0)
		buf_appendf(out, " in cell In [%u]", cell);
}

/* {ename, evalue, traceback}. Owned; NULL for want of memory. */
static json_t *
make_error(struct front *f, const struct cause *cause)
{
	static char last_words[LAST_WORDS_SIZE];
	BUF_AUTO value = BUF_INIT;
	BUF_AUTO first = BUF_INIT;
	read_last_words(f, last_words);
	buf_append_string(&value, "The Python of this kernel has ended");
	write_place(f, last_words, &value);
	buf_appendf(&value, ": %s.", cause->what);
	buf_appendf(&first, "\x1b[31m%s\x1b[0m: %.*s", ENAME, (int)value.size, value.data);
	json_t *traceback = json_array();
	json_array_append_new(traceback, document_text(first.data, first.size));
	add_frames(last_words, traceback);
	json_array_append_new(traceback, json_string(cause->advice));
	json_array_append_new(traceback, json_string("Variables are lost; Jupyter restarts the kernel."));
	return json_pack("{s:s, s:o, s:o}", "ename", ENAME, "evalue", document_text(value.data, value.size),
			 "traceback", traceback);
}

/* On what was being served, or on what was served last. */
static void
show_error(struct front *f, const struct request *active, json_t *error)
{
	exchange_show_error(
		f, active != NULL ? active->wire.parts[WIRE_HEADER] : parents_find(&f->parents, f->last_serial), error);
}

/* As the worker ended: by the same signal, or with the same status. */
static void
take_status(struct front *f)
{
	int status = f->worker.status;
	bool passed_on = WIFSIGNALED(status) && WTERMSIG(status) == f->passed_on; /* no fault of the start */
	if (f->phase == FRONT_STARTING && !passed_on)
		f->exit_status = FRONT_EXIT_WORKER;
	else if (f->worker.unknown)
		f->exit_status = STATUS_UNKNOWN;
	else if (WIFSIGNALED(status))
		f->exit_signal = WTERMSIG(status);
	else
		f->exit_status = WEXITSTATUS(status);
}

/* What it had used, as far as that is known: of a worker from a nursery once that has heard of its end, which may be after us. */
static void
measure(struct front *f, struct nursery_note *ret)
{
	struct rusage used = { 0 };
	struct worker *w = &f->worker;
	if (w->born && w->peak_kib == 0 && f->nursery.connection >= 0 &&
	    fd_wait_readable(f->nursery.connection, USAGE_MS) > 0)
		nursery_serve(&f->nursery, w);
	if (!w->born)
		getrusage(RUSAGE_CHILDREN, &used);
	ret->used_us = w->used_us + (uint64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000 +
		       (uint64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
	ret->peak_kib = w->peak_kib + (uint64_t)used.ru_maxrss;
}

/* One line by which one student's kernel can be told from another's; and the same in numbers for the nursery. */
static void
record(struct front *f, const struct cause *cause, uint32_t cell)
{
	char now[LOG_TIME_SIZE];
	uint64_t id[2];
	int size;
	const char *kernel = notes_kernel(f->file.path, &size, id);
	char number[16];
	const struct passwd *user = getpwuid(geteuid());
	struct nursery_note note = {
		.pid = f->worker.pid, .status = f->worker.status, .cell = cell, .cause = (uint16_t)cause->kind
	};
	snprintf(number, sizeof number, "%u", geteuid());
	measure(f, &note);
	f->note = notes_send(NURSERY_NOTE_DIED, id, &note);
	log_time(now);
	log_warning(
		"event=died time=%s user=%.32s uid=%u kernel=%.*s pid=%d cell=%u status=%d reason=\"%s\" peak_mb=%.1f "
		"cpu_s=%.1f",
		now, user == NULL ? number : user->pw_name, geteuid(), size < KERNEL_SIZE ? size : KERNEL_SIZE, kernel,
		note.pid, cell, note.status, cause->what, (double)note.peak_kib / 1024, (double)note.used_us / 1e6);
}

void
obituary_publish(struct front *f)
{
	struct cause cause;
	describe(f, &cause);
	json_auto_t *error = make_error(f, &cause);
	uint32_t cell = f->active == NULL ? 0 : atomic_load(&f->worker.shared->state.cell);
	struct request *active = shell_release(f);
	show_error(f, active, error);
	/* Before the first reply: whoever asks on after it, as clients do that allow errors, is to find the kernel dead as it is, rather
	 * than take one error after the other for a page that has run to its end. */
	shell_read_rest(f, true);
	if (active != NULL)
		exchange_end_with_error(f, active, error, json_integer(atomic_load(&f->worker.shared->state.cell)));
	take_status(f);
	f->phase = FRONT_STOPPING; /* a shutdown_request among the rest changes nothing any more */
	shell_refuse_rest(f, error);
	record(f, &cause, cell);
	f->phase = FRONT_ENDED;
}
