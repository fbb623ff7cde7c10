/* SPDX-License-Identifier: BSD-3-Clause */
#include "front/options.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum takes { TAKES_NOTHING, TAKES_VALUE, TAKES_OPTIONAL };

struct option {
	const char *name; /* with its dashes */
	enum takes takes;
	/* Apply it; NULL: it is IPython's, and stands here for --help-all only. */
	int (*apply)(struct options *o, const char *value, struct err *e);
	const char *help;
};

static int
parse_port(const char *value, int *ret, struct err *e)
{
	char *end;
	long port = strtol(value, &end, 10);
	if (*value == '\0' || *end != '\0' || port < 0 || port > 65535)
		return err_set(e, ERR_INVALID, "'%.40s' is not a port", value);
	*ret = (int)port;
	return 0;
}

static int
apply_file(struct options *o, const char *value, struct err *e)
{
	(void)e;
	o->connection_file = value;
	return 0;
}

static int
apply_python(struct options *o, const char *value, struct err *e)
{
	(void)e;
	o->python = value;
	return 0;
}

static int
apply_ip(struct options *o, const char *value, struct err *e)
{
	(void)e;
	o->ip = value;
	return 0;
}

static int
apply_transport(struct options *o, const char *value, struct err *e)
{
	if (strcmp(value, "tcp") != 0 && strcmp(value, "ipc") != 0)
		return err_set(e, ERR_INVALID, "transport '%.40s': tcp and ipc are what there is", value);
	o->transport = value;
	return 0;
}

static int
apply_shell(struct options *o, const char *value, struct err *e)
{
	return parse_port(value, &o->ports[CHANNEL_SHELL], e);
}

static int
apply_iopub(struct options *o, const char *value, struct err *e)
{
	return parse_port(value, &o->ports[CHANNEL_IOPUB], e);
}

static int
apply_stdin(struct options *o, const char *value, struct err *e)
{
	return parse_port(value, &o->ports[CHANNEL_STDIN], e);
}

static int
apply_control(struct options *o, const char *value, struct err *e)
{
	return parse_port(value, &o->ports[CHANNEL_CONTROL], e);
}

static int
apply_hb(struct options *o, const char *value, struct err *e)
{
	return parse_port(value, &o->ports[CHANNEL_HB], e);
}

static int
apply_allow_unsigned(struct options *o, const char *value, struct err *e)
{
	(void)value, (void)e;
	o->allow_unsigned = true;
	return 0;
}

static int
apply_no_secure(struct options *o, const char *value, struct err *e)
{
	(void)value, (void)e;
	o->no_secure = true;
	return 0;
}

static int
apply_secure(struct options *o, const char *value, struct err *e)
{
	(void)value, (void)e;
	o->no_secure = false;
	return 0;
}

static int
apply_verbose(struct options *o, const char *value, struct err *e)
{
	(void)value, (void)e;
	o->verbosity = o->verbosity < 0 ? 1 : o->verbosity + 1;
	return 0;
}

static int
apply_debug(struct options *o, const char *value, struct err *e)
{
	(void)value, (void)e;
	o->verbosity = 2;
	return 0;
}

static int
apply_quiet(struct options *o, const char *value, struct err *e)
{
	(void)value, (void)e;
	o->verbosity = -1;
	return 0;
}

static int
apply_version(struct options *o, const char *value, struct err *e)
{
	(void)value, (void)e;
	o->action = OPTIONS_VERSION;
	return 0;
}

static int
apply_ask_nursery(struct options *o, const char *value, struct err *e)
{
	(void)value, (void)e;
	o->action = OPTIONS_ASK_NURSERY;
	return 0;
}

static int
apply_help(struct options *o, const char *value, struct err *e)
{
	(void)value, (void)e;
	o->action = OPTIONS_HELP;
	return 0;
}

static int
apply_help_all(struct options *o, const char *value, struct err *e)
{
	(void)value, (void)e;
	o->action = OPTIONS_HELP_ALL;
	return 0;
}

static const struct option table[] = {
	{ "-f", TAKES_VALUE, apply_file,
	  "connection file; without it kernel-<pid>.json is made in the runtime directory" },
	{ "--f", TAKES_VALUE, apply_file, NULL },
	{ "--IPKernelApp.connection_file", TAKES_VALUE, apply_file, NULL },
	{ "--python", TAKES_VALUE, apply_python, "Python interpreter whose environment the cells run in" },
	{ "--ip", TAKES_VALUE, apply_ip, "address to listen on, when the connection file names none" },
	{ "--transport", TAKES_VALUE, apply_transport, "tcp or ipc, when there is no connection file" },
	{ "--shell", TAKES_VALUE, apply_shell, "port of the shell channel" },
	{ "--iopub", TAKES_VALUE, apply_iopub, "port of the iopub channel" },
	{ "--stdin", TAKES_VALUE, apply_stdin, "port of the stdin channel" },
	{ "--control", TAKES_VALUE, apply_control, "port of the control channel" },
	{ "--hb", TAKES_VALUE, apply_hb, "port of the heartbeat" },
	{ "--allow-unsigned", TAKES_NOTHING, apply_allow_unsigned,
	  "serve TCP although the connection file has no key" },
	{ "--secure", TAKES_NOTHING, apply_secure, "sign messages with the connection file's key (the default)" },
	{ "--no-secure", TAKES_NOTHING, apply_no_secure, "ignore the key; on TCP needs --allow-unsigned as well" },
	{ "-v", TAKES_NOTHING, apply_verbose, "say more on standard error; twice: message types and ids" },
	{ "--debug", TAKES_NOTHING, apply_debug, "as -v -v" },
	{ "--quiet", TAKES_NOTHING, apply_quiet, "say errors only" },
	{ "--ask-nursery", TAKES_NOTHING, apply_ask_nursery,
	  "say in a line whether a kernel would be forked by a nursery, and end" },
	{ "--version", TAKES_NOTHING, apply_version, "print versions and end" },
	{ "--help", TAKES_NOTHING, apply_help, "print this and end" },
	{ "-h", TAKES_NOTHING, apply_help, NULL },
	{ "--help-all", TAKES_NOTHING, apply_help_all, "also list the options handed to IPython" },
	/* IPython's, read in the worker, which knows what there is. */
	{ "--profile", TAKES_VALUE, NULL, "IPython profile" },
	{ "--profile-dir", TAKES_VALUE, NULL, "directory of the profile" },
	{ "--ipython-dir", TAKES_VALUE, NULL, "IPython directory" },
	{ "--config", TAKES_VALUE, NULL, "extra configuration file" },
	{ "--matplotlib", TAKES_OPTIONAL, NULL, "matplotlib backend" },
	{ "--pylab", TAKES_OPTIONAL, NULL, "load matplotlib and numpy into the namespace" },
	{ "--gui", TAKES_VALUE, NULL, "GUI event loop" },
	{ "-c", TAKES_VALUE, NULL, "code to run at start" },
	{ "-m", TAKES_VALUE, NULL, "module to run at start" },
	{ "--ext", TAKES_VALUE, NULL, "IPython extension to load" },
	{ "--cache-size", TAKES_VALUE, NULL, "results kept in Out" },
	{ "--colors", TAKES_VALUE, NULL, "colours of tracebacks" },
	{ "--theme", TAKES_VALUE, NULL, "colour theme" },
	{ "--logfile", TAKES_VALUE, NULL, "session log" },
	{ "--logappend", TAKES_VALUE, NULL, "session log to append to" },
	{ "--autocall", TAKES_VALUE, NULL, "0, 1 or 2" },
	{ "--log-level", TAKES_VALUE, NULL, "level of IPython's own log" },
	{ "--user", TAKES_VALUE, NULL, "user name for messages" },
	{ "--automagic", TAKES_NOTHING, NULL, NULL },
	{ "--no-automagic", TAKES_NOTHING, NULL, NULL },
	{ "--pdb", TAKES_NOTHING, NULL, "enter the debugger after an exception" },
	{ "--no-pdb", TAKES_NOTHING, NULL, NULL },
	{ "--pprint", TAKES_NOTHING, NULL, NULL },
	{ "--no-pprint", TAKES_NOTHING, NULL, NULL },
	{ "--autoindent", TAKES_NOTHING, NULL, NULL },
	{ "--no-autoindent", TAKES_NOTHING, NULL, NULL },
	{ "--color-info", TAKES_NOTHING, NULL, NULL },
	{ "--no-color-info", TAKES_NOTHING, NULL, NULL },
	{ "--ignore-cwd", TAKES_NOTHING, NULL, "keep the current directory out of sys.path" },
	{ "--no-ignore-cwd", TAKES_NOTHING, NULL, NULL },
	{ "--nosep", TAKES_NOTHING, NULL, NULL },
	{ "--init", TAKES_NOTHING, NULL, NULL },
	{ "--no-stdout", TAKES_NOTHING, NULL, NULL },
	{ "--no-stderr", TAKES_NOTHING, NULL, NULL },
};

/* Whether a row is an argument without its value; *ret_value is what follows "=" (or a single letter), or NULL. */
static bool
fits(const struct option *option, const char *argument, const char **ret_value)
{
	size_t size = strlen(option->name);
	if (option->apply == NULL || strncmp(argument, option->name, size) != 0)
		return false;
	*ret_value = argument[size] == '\0' ? NULL : argument + size;
	if (*ret_value == NULL)
		return true;
	if (argument[size] == '=') {
		++*ret_value;
		return true;
	}
	return size == 2 && argument[1] != '-' && option->takes == TAKES_VALUE; /* -fFILE */
}

/* The row of our own for an argument. NULL: it is not ours. */
static const struct option *
find(const char *argument, const char **ret_value)
{
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		if (fits(&table[i], argument, ret_value))
			return &table[i];
	}
	return NULL;
}

/* A value without the pair of quotes around it, which some clients leave there, and traitlets takes away. NULL: no memory. */
static const char *
unquote(struct options *o, const char *value)
{
	size_t size = strlen(value);
	if (size < 2 || (value[0] != '"' && value[0] != '\'') || value[size - 1] != value[0])
		return value;
	char *bare = strndup(value + 1, size - 2);
	if (bare != NULL)
		o->owned[o->owned_count++] = bare;
	return bare;
}

static int
take(struct options *o, int argc, char **argv, int *at, struct err *e)
{
	char *argument = argv[*at];
	const char *value = NULL;
	const struct option *option = find(argument, &value);
	if (option == NULL) {
		o->forwarded[o->forwarded_count++] = argument;
		return 0;
	}
	if (option->takes == TAKES_NOTHING)
		return value == NULL ? option->apply(o, NULL, e)
				     : err_set(e, ERR_INVALID, "option %s takes no value", option->name);
	if (value == NULL && *at + 1 >= argc)
		return err_set(e, ERR_INVALID, "option %s needs a value", option->name);
	value = unquote(o, value != NULL ? value : argv[++*at]);
	return value == NULL ? err_memory(e) : option->apply(o, value, e);
}

int
options_parse(int argc, char **argv, struct options *ret, struct err *e)
{
	struct options o = {
		.typed = argv + 1,
		.typed_count = argc > 0 ? (size_t)argc - 1 : 0,
		.forwarded = calloc((size_t)argc + 1, sizeof(char *)),
		.owned = calloc((size_t)argc + 1, sizeof(char *)),
	};
	if (o.forwarded == NULL || o.owned == NULL) {
		options_free(&o);
		return err_memory(e);
	}
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--") == 0) { /* none of the rest is an option */
			while (i < argc)
				o.forwarded[o.forwarded_count++] = argv[i++];
		} else if (take(&o, argc, argv, &i, e) < 0) {
			options_free(&o);
			return -1;
		}
	}
	*ret = o;
	return 0;
}

void
options_free(struct options *o)
{
	while (o->owned != NULL && o->owned_count > 0)
		free(o->owned[--o->owned_count]);
	free(o->owned);
	free(o->forwarded);
	o->owned = o->forwarded = NULL;
	o->forwarded_count = 0;
}

static void
print_rows(bool forwarded)
{
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		if ((table[i].apply == NULL) != forwarded || (table[i].help == NULL && !forwarded))
			continue;
		const char *value = table[i].takes == TAKES_NOTHING ? "" : "=VALUE";
		char name[48];
		snprintf(name, sizeof name, "%s%s", table[i].name, value);
		printf("  %-24s %s\n", name, table[i].help == NULL ? "" : table[i].help);
	}
}

void
options_print_help(bool all)
{
	printf("usage: pupitre-kernel -f CONNECTION_FILE [options]\n\n"
	       "A Jupyter kernel for Python. Usually started by Jupyter; see pupitre-kernel(1).\n\nOptions\n");
	print_rows(false);
	if (!all) {
		printf("\nEverything else is handed to IPython; --help-all lists its options. What it does not know is "
		       "ignored.\n");
		return;
	}
	printf("\nOptions handed to IPython\n");
	print_rows(true);
	printf("  %-24s %s\n", "--Class.trait=VALUE", "any configurable, e.g. --InteractiveShell.cache_size=100");
	printf("\nClass options: `ipython --help-all` lists the configurables of IPython.\n");
}
