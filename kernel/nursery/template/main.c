/* SPDX-License-Identifier: BSD-3-Clause
 *
 * pupitre-template SETTINGS [guarded], started by pupitre-nursery with descriptor 3 = the connection to it and no environment but HOME, an empty
 * private directory, PUPITRE_PYTHON, the interpreter, and PUPITRE_LOG_LEVEL. SETTINGS: see kernel/pupitre/nursery/template.py. guarded: as
 * root, for all users; guard.h.
 */
#include "template.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "ends.h"
#include "guard.h"
#include "interrupt.h"
#include "nursery/heap/heap.h"
#include "start.h"
#include "title.h"

#define EXIT_USAGE 2
#define EXIT_FAILED 4
#define EXIT_STATUS_MAX 64
#define TIDY_SECONDS 5
#define COUNT(array) (sizeof(array) / sizeof *(array))

/* What packages look for while they are imported: usual places, directories of their own below HOME, one thread. */
static void
set_environment(void)
{
	static const char *const libraries[] = { "OMP", "OPENBLAS", "MKL", "NUMEXPR", "BLIS", "VECLIB" };
	static const char *const below_home[][2] = { { "MPLCONFIGDIR", "matplotlib" },
						     { "IPYTHONDIR", "ipython" },
						     { "XDG_CACHE_HOME", "cache" } };
	const char *home = getenv("HOME");
	char text[PATH_MAX];
	setenv("PATH", "/usr/local/bin:/usr/bin:/bin", 1);
	setenv("LANG", "C.UTF-8", 1);
	for (size_t i = 0; i < COUNT(below_home); i++) {
		snprintf(text, sizeof text, "%s/%s", home == NULL ? "/" : home, below_home[i][1]);
		setenv(below_home[i][0], text, 1);
	}
	for (size_t i = 0; i < COUNT(libraries); i++) {
		snprintf(text, sizeof text, "%s_NUM_THREADS", libraries[i]);
		setenv(text, "1", 1);
	}
}

static int
take_signals(struct template *t, struct err *e)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGINT, SIG_IGN); /* a terminal sends it to the listener, too, whose end is ours */
	sigprocmask(SIG_BLOCK, &set, NULL);
	t->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return t->signals < 0 ? err_system(e, "signalfd") : 0;
}

/* One line of printable ASCII of a str. */
static void
copy_text(PyObject *py_text, char ret[NURSERY_TEXT_SIZE])
{
	const char *text = py_text == NULL ? NULL : PyUnicode_AsUTF8(py_text);
	size_t size = 0;
	for (; text != NULL && *text != '\0' && size + 1 < NURSERY_TEXT_SIZE; text++)
		ret[size++] = *text >= ' ' && *text <= '~' ? *text : '?';
	ret[size] = '\0';
}

/* Remember the list of (path, time of change, inode). -1 with an exception. */
static int
watch(struct template *t, PyObject *py_list)
{
	Py_ssize_t count = PyList_Size(py_list);
	if (count < 0)
		return -1;
	t->watched = calloc((size_t)count + 1, sizeof *t->watched);
	for (Py_ssize_t i = 0; t->watched != NULL && i < count; i++) {
		struct watched *w = &t->watched[t->watched_count];
		const char *path;
		if (!PyArg_ParseTuple(PyList_GetItem(py_list, i), "sLK", &path, &w->mtime_ns, &w->ino))
			return -1;
		w->path = strdup(path);
		if (w->path == NULL)
			return PyErr_NoMemory(), -1;
		t->watched_count++;
	}
	return t->watched == NULL ? (PyErr_NoMemory(), -1) : 0;
}

/* A function of pupitre.nursery without arguments. -1 with an exception. */
static int
call(const char *module, const char *function)
{
	PyObject *py_module = PyImport_ImportModule(module);
	PyObject *py_result = py_module == NULL ? NULL : PyObject_CallMethod(py_module, function, NULL);
	int failure = py_result == NULL ? -1 : 0;
	Py_XDECREF(py_result);
	Py_XDECREF(py_module);
	return failure;
}

/* What the nursery is to end with because of it: Unfit's exit_status; 0 where another time may be better. */
static int
exit_status_of(PyObject *py_error)
{
	PyObject *py_status = py_error == NULL ? NULL : PyObject_GetAttrString(py_error, "exit_status");
	long status = py_status == NULL ? 0 : PyLong_AsLong(py_status);
	PyErr_Clear();
	Py_XDECREF(py_status);
	return status > 0 && status < EXIT_STATUS_MAX ? (int)status : 0;
}

/* pupitre.nursery.template.build(settings). 0 with the fingerprint, or -1 with the reason, and the status if it is a mistake. */
static int
build(struct template *t, const char *settings, struct nursery_report *ret)
{
	PyObject *py_fingerprint = NULL, *py_watched = NULL, *py_result = NULL; /* the first two borrowed */
	PyObject *py_module = NULL;
	/* Before anything else of ours or IPython's is imported. */
	if (call("pupitre.nursery.asked", "watch") == 0 && call("pupitre.nursery.packages", "begin") == 0)
		py_module = PyImport_ImportModule("pupitre.nursery.template");
	if (py_module != NULL)
		py_result = PyObject_CallMethod(py_module, "build", "s", settings);
	int failure = -1;
	if (py_result != NULL &&
	    PyArg_ParseTuple(py_result, "UO!L", &py_fingerprint, &PyList_Type, &py_watched, &t->idle_ms))
		failure = watch(t, py_watched);
	t->idle_ms *= 1000;
	if (failure == 0) {
		copy_text(py_fingerprint, ret->text);
	} else {
		PyObject *py_error = py_take_exception();
		PyObject *py_text = py_error == NULL ? NULL : PyObject_Str(py_error);
		copy_text(py_text, ret->text);
		ret->status = exit_status_of(py_error);
		if (*guard_refusal() != '\0')
			snprintf(ret->text, sizeof ret->text, "%s", guard_refusal());
		Py_XDECREF(py_text);
		py_put_exception(py_error);
		if (log_level_get() >= LOG_DEBUG)
			PyErr_Print();
		PyErr_Clear();
	}
	Py_XDECREF(py_result);
	Py_XDECREF(py_module);
	return failure;
}

/* What packages want done at the end, which no worker did. */
static void
tidy_up(void)
{
	signal(SIGALRM, SIG_DFL);
	alarm(TIDY_SECONDS);
	if (call("pupitre.nursery.belongings", "end") < 0)
		PyErr_Clear();
}

static int
register_modules(void)
{
	return PyImport_AppendInittab("_nursery", heap_make_module);
}

int
main(int argc, char **argv)
{
	struct err e = ERR_INIT;
	struct template t = { .socket = TEMPLATE_SOCKET };
	struct nursery_report report = { .op = NURSERY_UNFIT };
	const char *level = getenv("PUPITRE_LOG_LEVEL");
	log_init("pupitre-template", level == NULL ? LOG_WARNING : log_level_named(level));
	bool guarded = argc == 3 && strcmp(argv[2], "guarded") == 0;
	if ((argc != 2 && !guarded) || fcntl(TEMPLATE_SOCKET, F_SETFD, FD_CLOEXEC) < 0) {
		log_error("error=\"pupitre-nursery starts this program\"");
		return EXIT_USAGE;
	}
	title_take(argc, argv);
	set_environment();
	prctl(PR_SET_NAME, "pupitre-templat"); /* 15 characters is what there is room for */
	if (take_signals(&t, &e) < 0 || ends_imagine(&e) < 0 || register_modules() < 0 ||
	    (guarded && guard_install() < 0) || start_python(&e) < 0) {
		snprintf(report.text, sizeof report.text, "%.200s",
			 *guard_refusal() == '\0' ? e.text : guard_refusal());
		template_report(&t, &report, -1);
		return EXIT_FAILED;
	}
	if (interrupt_init() < 0 || build(&t, argv[1], &report) < 0) {
		template_report(&t, &report, -1);
		return EXIT_FAILED;
	}
	title_set("pupitre-template");
	report.op = NURSERY_READY;
	prctl(PR_SET_PDEATHSIG,
	      0); /* from now on we end when our last worker has: nobody else could say how it ended */
	if (template_report(&t, &report, -1) < 0)
		return EXIT_FAILED;
	int status = template_serve(&t);
	tidy_up();
	return status;
}
