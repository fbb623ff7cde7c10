/* SPDX-License-Identifier: BSD-3-Clause */
#include "unit.h"

#include <unistd.h>

#include "front/environment.h"

static const char *
obstacle(const char *first, const char *second)
{
	char *list[] = { (char *)(uintptr_t)first, (char *)(uintptr_t)second, NULL };
	return environment_obstacle(list);
}

static void
test_harmless(void **state)
{
	(void)state;
	static const char *const variables[] = {
		"HOME=/root",
		"PATH=/bin",
		"PYTHONPATH=/x",
		"PYTHONDONTWRITEBYTECODE=1",
		"PYTHONPYCACHEPREFIX=/x",
		"PYTHONWARNINGS=error",
		"PYTHONBREAKPOINT=0",
		"PYTHONSTARTUP=/x",
		"PYTHONUNBUFFERED=1",
		"PYTHONIOENCODING=utf-8",
		"PYTHONHASHSEED=random",
		"PYTHON_FROZEN_MODULES=on",
		"PYTHONHASHSEED=",
		"PYTHONHOME=",
		"PYTHONMALLOC=",
		"PYTHON=/usr/bin/python3",
		"PYTHON_VERSION=3.13.5",
		"PYTHON_SHA256=0",
		"PYTHON_GET_PIP_URL=x",
		"PYTHON_PIP_VERSION=24",
		"LD_PRELOAD=",
		"LDFLAGS=-g",
		"MALLOC=x",
		"GLIBC_TUNABLES=",
		"OMP_NUM_THREADS=1",
		"MKL_NUM_THREADS=1",
		"OPENBLAS_NUM_THREADS=",
		"NUMEXPR_MAX_THREADS=1",
		"OMP_DYNAMIC=true",
		"PUPITRE_WORKER=",
		"PUPITRE_PYTHON=/bin/python",
		"PUPITRE_NURSERY=/x",
		"JPY_PARENT_PID=1",
		"IPYTHON=1",
		"LC_TIME=de_DE",
		"LANG=",
		"LANG=C",
		"LC_ALL=POSIX",
		"LANG=de_DE.UTF-8",
		"LC_CTYPE=de_DE.utf8@euro",
	};
	for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
		const char *found = obstacle("A=b", variables[i]);
		if (found != NULL)
			fail_msg("%s is in the way", found);
	}
}

static void
test_in_the_way(void **state)
{
	(void)state;
	static const char *const variables[] = {
		"PYTHONHASHSEED=0",
		"PYTHONHASHSEED=42",
		"PYTHON_FROZEN_MODULES=off",
		"PYTHONMALLOC=malloc",
		"PYTHONHOME=/x",
		"PYTHONDEVMODE=1",
		"PYTHONOPTIMIZE=1",
		"PYTHONPLATLIBDIR=lib",
		"PYTHONEXECUTABLE=/x",
		"PYTHONUTF8=0",
		"PYTHONTRACEMALLOC=1",
		"PYTHONFAULTHANDLER=1",
		"PYTHONNOUSERSITE=1",
		"PYTHONUSERBASE=/x",
		"PYTHONSAFEPATH=1",
		"PYTHONVERBOSE=1",
		"PYTHONDEBUG=1",
		"PYTHONINSPECT=1",
		"PYTHONCASEOK=1",
		"PYTHONINTMAXSTRDIGITS=0",
		"PYTHONMALLOCSTATS=1",
		"PYTHONCOERCECLOCALE=0",
		"PYTHONPROFILEIMPORTTIME=1",
		"PYTHONNODEBUGRANGES=1",
		"PYTHONPERFSUPPORT=1",
		"PYTHONWARNDEFAULTENCODING=1",
		"PYTHONASYNCIODEBUG=1",
		"PYTHON_GIL=0",
		"PYTHON_CPU_COUNT=2",
		"PYTHON_FROZEN_MODULES=off",
		"PYTHONPATHS=/new",
		"LD_PRELOAD=/x.so",
		"LD_LIBRARY_PATH=/x",
		"MALLOC_ARENA_MAX=2",
		"GLIBC_TUNABLES=x",
		"OMP_NUM_THREADS=2",
		"OMP_NUM_THREADS=4,2",
		"OPENBLAS_NUM_THREADS=8",
		"GOTO_NUM_THREADS=2",
		"MKL_NUM_THREADS=0",
		"MKL_DOMAIN_NUM_THREADS=MKL_BLAS=2",
		"NUMEXPR_MAX_THREADS=4",
		"BLIS_NUM_THREADS=2",
		"VECLIB_MAXIMUM_THREADS=2",
		"OPENBLAS_CORETYPE=Haswell",
		"NPY_DISABLE_CPU_FEATURES=AVX2",
		"PUPITRE_WORKER=/x",
		"no variable at all",
		"LANG=de_DE",
		"LC_ALL=de_DE.ISO-8859-1",
		"LC_CTYPE=ja_JP.eucJP",
		"LC_ALL=C.UTF-16",
	};
	for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
		const char *found = obstacle("A=b", variables[i]);
		if (found != variables[i])
			fail_msg("%s is not in the way", variables[i]);
	}
}

static void
test_which_locale_decides(void **state)
{
	(void)state;
	assert_null(obstacle("LANG=de_DE", "LC_ALL=de_DE.UTF-8"));
	assert_null(obstacle("LANG=de_DE", "LC_CTYPE=C"));
	assert_null(obstacle("LC_CTYPE=de_DE", "LC_ALL=C.UTF-8"));
	assert_string_equal(obstacle("LANG=de_DE", "LC_ALL="), "LANG=de_DE");
	assert_string_equal(obstacle("LANG=C.UTF-8", "LC_CTYPE=de_DE"), "LC_CTYPE=de_DE");
}

static void
test_make(void **state)
{
	(void)state;
	struct environment made;
	clearenv();
	setenv("A", "b", 1);
	setenv("PUPITRE_PYTHON", "/old", 1);
	setenv("PUPITRE_PYTHONS", "kept", 1);
	assert_works(environment_make(&made, "/new", &e));
	assert_int_equal(made.count, 3);
	assert_string_equal(made.list[0], "A=b");
	assert_string_equal(made.list[1], "PUPITRE_PYTHONS=kept");
	assert_string_equal(made.list[2], "PUPITRE_PYTHON=/new");
	assert_null(made.list[3]);
	environment_free(&made);
	environment_free(&made);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_harmless),
		cmocka_unit_test(test_in_the_way),
		cmocka_unit_test(test_which_locale_decides),
		cmocka_unit_test(test_make),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
