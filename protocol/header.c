/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/header.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "protocol/document.h"
#include "protocol/limits.h"

#define SUBSTITUTE '\x1a'

static char *
copy_string(const json_t *string)
{
	size_t size = json_string_length(string);
	char *copy = malloc(size + 1);
	if (copy == NULL)
		return NULL;
	memcpy(copy, json_string_value(string), size + 1);
	for (char *nul; (nul = memchr(copy, '\0', size)) != NULL;)
		*nul = SUBSTITUTE;
	return copy;
}

/* Some clients number their messages. NULL: no memory. */
static char *
copy_id(const json_t *id)
{
	char *number = NULL;
	if (!json_is_number(id))
		return copy_string(id);
	return asprintf(&number, "%.17g", json_number_value(id)) < 0 ? NULL : number;
}

static int
copy_members(const json_t *document, struct header *ret, struct err *e)
{
	const json_t *msg_id = json_object_get(document, "msg_id"), *msg_type = json_object_get(document, "msg_type");
	const json_t *session = json_object_get(document, "session"),
		     *subshell = json_object_get(document, "subshell_id");
	bool has_id = json_is_string(msg_id) || json_is_number(msg_id);
	if (!has_id || !json_is_string(msg_type))
		return err_set(e, ERR_INVALID, "a header without %s", has_id ? "msg_type" : "msg_id");
	struct header h = {
		.msg_id = copy_id(msg_id),
		.msg_type = copy_string(msg_type),
		.session = json_is_string(session) ? copy_string(session) : NULL,
		.in_subshell = subshell != NULL && !json_is_null(subshell),
	};
	if (h.msg_id == NULL || h.msg_type == NULL || (json_is_string(session) && h.session == NULL)) {
		header_free(&h);
		return err_memory(e);
	}
	*ret = h;
	return 0;
}

int
header_parse(const struct wire_frame *frame, struct header *ret, struct err *e)
{
	if (frame->size > LIMIT_HEADER_SIZE)
		return err_set(e, ERR_LIMIT, "a header of %zu bytes (limit %u)", frame->size, LIMIT_HEADER_SIZE);
	json_t *document = document_read(frame->data, frame->size, DOCUMENT_OF_CLIENT, e);
	if (document == NULL)
		return -1;
	int result = copy_members(document, ret, e);
	json_decref(document);
	return result;
}

void
header_free(struct header *h)
{
	free(h->msg_id);
	free(h->msg_type);
	free(h->session);
	*h = (struct header){ .msg_id = NULL };
}

/* One document for all headers, in which the three members change that differ. */
struct header_writer {
	json_t *document;                 /* owned */
	json_t *msg_id, *msg_type, *date; /* borrowed from it */
	const char *session;              /* the same */
	long pid;
};

struct header_writer *
header_writer_new(const char *session, const char *username, long pid, struct err *e)
{
	struct header_writer *w = calloc(1, sizeof *w);
	if (w == NULL) {
		err_memory(e);
		return NULL;
	}
	w->document = json_pack("{s:s, s:s, s:o, s:s, s:s, s:s}", "msg_id", "", "msg_type", "", "username",
				document_text(username, strlen(username)), "session", session, "date", "", "version",
				HEADER_PROTOCOL_VERSION);
	if (w->document == NULL) {
		err_memory(e);
		free(w);
		return NULL;
	}
	w->msg_id = json_object_get(w->document, "msg_id");
	w->msg_type = json_object_get(w->document, "msg_type");
	w->date = json_object_get(w->document, "date");
	w->session = json_string_value(json_object_get(w->document, "session"));
	w->pid = pid;
	return w;
}

void
header_writer_free(struct header_writer *w)
{
	if (w == NULL)
		return;
	json_decref(w->document);
	free(w);
}

/* Overwrite the digits at `at` by a number of as many. */
static void
put_digits(char *at, long number, int width)
{
	for (int i = width - 1; i >= 0; i--) {
		at[i] = (char)('0' + number % 10);
		number /= 10;
	}
}

/* Year, month and day of a count of days since 1970. Days are counted from March on, so that the leap day ends a year: Howard Hinnant,
 * "chrono-compatible low-level date algorithms". */
static void
put_day(char *at, long days)
{
	days += 719468;
	long era = days / 146097, day_of_era = days % 146097;
	long year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	long day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	long shifted_month = (5 * day_of_year + 2) / 153;
	long month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
	put_digits(at, era * 400 + year_of_era + (month <= 2), 4);
	put_digits(at + 5, month, 2);
	put_digits(at + 8, day_of_year - (153 * shifted_month + 2) / 5 + 1, 2);
}

/* ISO 8601 in UTC. By hand: gmtime_r reads the time zone file first, and printf takes longer than all the rest of a header. */
static void
set_date(json_t *string)
{
	char text[] = "yyyy-mm-ddThh:mm:ss.uuuuuuZ";
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	long second = now.tv_sec % 86400;
	put_day(text, now.tv_sec / 86400);
	put_digits(text + 11, second / 3600, 2);
	put_digits(text + 14, second / 60 % 60, 2);
	put_digits(text + 17, second % 60, 2);
	put_digits(text + 20, now.tv_nsec / 1000, 6);
	json_string_setn_nocheck(string, text, sizeof text - 1);
}

int
header_write(struct header_writer *w, struct buf *out, const char *msg_type, unsigned long long count,
	     char ret_msg_id[HEADER_MSG_ID_SIZE])
{
	snprintf(ret_msg_id, HEADER_MSG_ID_SIZE, "%s_%ld_%llu", w->session, w->pid, count);
	json_string_set_nocheck(w->msg_id, ret_msg_id);
	document_set_text(w->msg_type, msg_type, strlen(msg_type));
	set_date(w->date);
	return document_append(out, w->document, 0);
}
