/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/header.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "protocol/json_read.h"
#include "protocol/limits.h"
#include "protocol/text.h"

/* The members that matter, by position in struct header. */
enum { MSG_ID, MSG_TYPE, SESSION, SUBSHELL_ID, MEMBER_COUNT };

static const char *const member_names[MEMBER_COUNT] = { "msg_id", "msg_type", "session", "subshell_id" };

static void
find_members(const struct wire_frame *frame, struct json_span ret[MEMBER_COUNT])
{
	struct json_cursor c = json_members(frame->data, frame->size);
	struct json_span key, value;
	while (json_next(&c, &key, &value)) {
		for (size_t i = 0; i < MEMBER_COUNT; i++) {
			if (json_key_is(key, member_names[i]))
				ret[i] = value;
		}
	}
}

static char *
copy_string(struct json_span value)
{
	struct json_text text;
	return json_string(value, &text) < 0 ? NULL : text.data;
}

/* A subshell_id that is no string names no subshell we have, but must not be taken for the main shell: keep its text. */
static char *
copy_subshell(struct json_span value)
{
	return json_is_string(value) ? copy_string(value) : strndup(value.data, value.size);
}

static bool
is_null(struct json_span value)
{
	return value.data == NULL || value.data[0] == 'n';
}

int
header_parse(const struct wire_frame *frame, struct header *ret, struct err *e)
{
	struct json_span found[MEMBER_COUNT] = { { NULL, 0 } };
	if (frame->size > LIMIT_HEADER_SIZE)
		return err_set(e, ERR_LIMIT, "a header of %zu bytes (limit %u)", frame->size, LIMIT_HEADER_SIZE);
	if (json_check_object(frame->data, frame->size, e) < 0)
		return -1;
	find_members(frame, found);
	for (size_t i = MSG_ID; i <= MSG_TYPE; i++) {
		if (!json_is_string(found[i]))
			return err_set(e, ERR_INVALID, "a header without %s", member_names[i]);
	}
	bool has_session = json_is_string(found[SESSION]), has_subshell = !is_null(found[SUBSHELL_ID]);
	struct header h = {
		.msg_id = copy_string(found[MSG_ID]),
		.msg_type = copy_string(found[MSG_TYPE]),
		.session = has_session ? copy_string(found[SESSION]) : NULL,
		.subshell_id = has_subshell ? copy_subshell(found[SUBSHELL_ID]) : NULL,
	};
	if (h.msg_id == NULL || h.msg_type == NULL || (has_session && h.session == NULL) ||
	    (has_subshell && h.subshell_id == NULL)) {
		header_free(&h);
		return err_memory(e);
	}
	*ret = h;
	return 0;
}

void
header_free(struct header *h)
{
	free(h->msg_id);
	free(h->msg_type);
	free(h->session);
	free(h->subshell_id);
	*h = (struct header){ .msg_id = NULL };
}

static struct json_span
content_member(const struct wire_frame *content, const char *name)
{
	if (json_check_object(content->data, content->size, NULL) < 0)
		return (struct json_span){ NULL, 0 };
	return json_member(content->data, content->size, name);
}

bool
content_get_bool(const struct wire_frame *content, const char *name, bool fallback)
{
	struct json_span value = content_member(content, name);
	if (value.data == NULL || (value.data[0] != 't' && value.data[0] != 'f'))
		return fallback;
	return value.data[0] == 't';
}

char *
content_get_string(const struct wire_frame *content, const char *name)
{
	struct json_span value = content_member(content, name);
	return json_is_string(value) ? copy_string(value) : NULL;
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
append_date(struct buf *out)
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
	buf_append(out, text, sizeof text - 1);
}

int
header_write(struct buf *out, const struct header_origin *origin, const char *msg_type, long pid,
	     unsigned long long count)
{
	size_t before = out->size;
	buf_append_string(out, "{\"msg_id\": \"");
	buf_append_string(out, origin->session);
	buf_appendf(out, "_%ld_%llu\", \"msg_type\": ", pid, count);
	text_append_json(out, msg_type, strlen(msg_type));
	buf_append_string(out, ", \"username\": ");
	text_append_json(out, origin->username, strlen(origin->username));
	buf_append_string(out, ", \"session\": ");
	text_append_json(out, origin->session, strlen(origin->session));
	buf_append_string(out, ", \"date\": \"");
	append_date(out);
	buf_append_string(out, "\", \"version\": \"" HEADER_PROTOCOL_VERSION "\"}");
	if (!out->failed)
		return 0;
	out->size = before;
	return -1;
}
