/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Runs cases/MODULE/{valid,invalid}/NAME: `input` is given to the module, what it makes of it must be `output`, byte for byte. A valid
 * case must be accepted, an invalid one refused with the error that `output` holds ("CODE: text").
 */
#include "unit.h"

#include <dirent.h>

#include "protocol/connection.h"
#include "protocol/limits.h"
#include "protocol/text.h"

#define CASES_MAX 500u

static const char *const code_names[] = {
	[ERR_NONE] = "none",     [ERR_INVALID] = "invalid", [ERR_DENIED] = "denied", [ERR_LIMIT] = "limit",
	[ERR_SYSTEM] = "system", [ERR_MEMORY] = "memory",   [ERR_CLOSED] = "closed", [ERR_BUSY] = "busy",
};

/* Each turns the input into the text of the output: 0, or -1 with *e set. */
static int
run_connection(const struct buf *input, struct buf *out, struct err *e)
{
	struct connection c;
	if (connection_parse(input->data, input->size, &c, e) < 0)
		return -1;
	int result = 0;
	for (int i = 0; i < CHANNEL_COUNT && result == 0; i++) {
		buf_appendf(out, "%s ", channel_names[i]);
		result = connection_endpoint(&c, c.ip, c.ports[i], out, e);
		buf_append_string(out, "\n");
	}
	connection_write(&c, out);
	connection_free(&c);
	return result;
}

static int
run_text(const struct buf *input, struct buf *out, struct err *e)
{
	(void)e;
	text_append_json(out, input->data, input->size);
	return buf_append_string(out, "\n");
}

/* One line: `frame TEXT`, `fill SIZE` for a frame of that many bytes, or `repeat COUNT TEXT`. */
static void
add_frames(char *line, struct wire_frame *frames, size_t *count)
{
	static char filling[100000];
	char *argument = strchr(line, ' ') + 1;
	if (strncmp(line, "fill ", 5) == 0) {
		frames[(*count)++] = (struct wire_frame){ filling, strtoul(argument, NULL, 10) };
		return;
	}
	unsigned long times = 1;
	if (strncmp(line, "repeat ", 7) == 0) {
		times = strtoul(argument, &argument, 10);
		argument++;
	}
	for (unsigned long i = 0; i < times; i++)
		frames[(*count)++] = frame_of(argument);
}

static void
print_frame(struct buf *out, const char *name, const struct wire_frame *frame)
{
	buf_appendf(out, "%s (%zu) %.*s\n", name, frame->size, frame->size > 80 ? 0 : (int)frame->size,
		    (const char *)frame->data);
}

static int
run_wire(const struct buf *input, struct buf *out, struct err *e)
{
	static const char *const part_names[] = { "header", "parent", "metadata", "content" };
	static struct wire_frame frames[LIMIT_FRAMES + 100];
	size_t count = 0;
	struct wire_msg msg;
	BUF_AUTO lines = BUF_INIT;
	buf_append(&lines, input->data, input->size);
	buf_append(&lines, "", 1);
	for (char *line = lines.data, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		*end = '\0';
		add_frames(line, frames, &count);
	}
	if (wire_split(frames, count, &msg, e) < 0)
		return -1;
	for (size_t i = 0; i < msg.identity_count; i++)
		print_frame(out, "identity", &msg.identities[i]);
	print_frame(out, "signature", &msg.signature);
	for (size_t i = 0; i < WIRE_SIGNED_PARTS; i++)
		print_frame(out, part_names[i], &msg.parts[i]);
	return buf_appendf(out, "buffers %zu\n", msg.buffer_count);
}

static const struct module {
	const char *name;
	int (*run)(const struct buf *input, struct buf *out, struct err *e);
} modules[] = {
	{ "wire", run_wire },
	{ "connection", run_connection },
	{ "text", run_text },
};

struct one_case {
	const struct module *module;
	bool valid;
	char path[200];
};

static void
read_file(const char *directory, const char *name, struct buf *out)
{
	char path[300], bytes[4096];
	snprintf(path, sizeof path, "%s/%s", directory, name);
	FILE *file = fopen(path, "rb");
	if (file == NULL)
		fail_msg("cannot open %s", path);
	for (size_t n; (n = fread(bytes, 1, sizeof bytes, file)) > 0;)
		buf_append(out, bytes, n);
	fclose(file);
}

static void
test_case(void **state)
{
	const struct one_case *c = *state;
	BUF_AUTO input = BUF_INIT;
	BUF_AUTO wanted = BUF_INIT;
	BUF_AUTO got = BUF_INIT;
	struct err e = ERR_INIT;
	read_file(c->path, "input", &input);
	read_file(c->path, "output", &wanted);
	int result = c->module->run(&input, &got, &e);
	if (result < 0) {
		buf_reset(&got);
		buf_appendf(&got, "%s: %s\n", code_names[e.code], e.text);
	}
	if (got.size != wanted.size || memcmp(got.data, wanted.data, got.size) != 0)
		fail_msg("%s\nwanted:\n%.*s\ngot:\n%.*s", c->path, (int)wanted.size, wanted.data, (int)got.size,
			 got.data);
	assert_int_equal(result, c->valid ? 0 : -1);
	assert_int_equal(err_is_set(&e), !c->valid);
}

/* Append the cases of one directory. Returns how many. */
static size_t
collect(const struct module *module, bool valid, struct one_case *cases)
{
	char parent[150];
	size_t count = 0;
	snprintf(parent, sizeof parent, CASES_DIR "/%s/%s", module->name, valid ? "valid" : "invalid");
	DIR *directory = opendir(parent);
	for (struct dirent *d; directory != NULL && (d = readdir(directory)) != NULL;) {
		if (d->d_name[0] == '.' || count == CASES_MAX)
			continue;
		cases[count] = (struct one_case){ .module = module, .valid = valid };
		snprintf(cases[count++].path, sizeof cases->path, "%s/%.48s", parent, d->d_name);
	}
	if (directory != NULL)
		closedir(directory);
	return count;
}

int
main(void)
{
	static struct one_case cases[10 * CASES_MAX];
	static struct CMUnitTest tests[10 * CASES_MAX];
	size_t count = 0;
	for (size_t i = 0; i < sizeof modules / sizeof *modules; i++) {
		size_t before = count;
		count += collect(&modules[i], true, cases + count);
		count += collect(&modules[i], false, cases + count);
		if (count == before) {
			fprintf(stderr, "no cases for %s\n", modules[i].name);
			return 1;
		}
	}
	for (size_t i = 0; i < count; i++)
		tests[i] = (struct CMUnitTest){ .name = cases[i].path + sizeof CASES_DIR,
						.test_func = test_case,
						.initial_state = &cases[i] };
	return _cmocka_run_group_tests("cases", tests, count, NULL, NULL);
}
