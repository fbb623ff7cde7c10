/* SPDX-License-Identifier: BSD-3-Clause
 *
 * heap-driver [-m] SCRIPT ARGUMENT...: `python SCRIPT ARGUMENT...` with the module _nursery built in; -m: with malloc tuned
 * before Python starts. PUPITRE_PYTHON: the interpreter whose packages it has.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nursery/heap/heap.h"

static PyStatus
configure(PyConfig *config, int argc, char **argv)
{
	const char *python = getenv("PUPITRE_PYTHON");
	PyConfig_InitPythonConfig(config);
	PyStatus status = PyConfig_SetBytesArgv(config, argc, argv);
	if (python != NULL && !PyStatus_Exception(status))
		status = PyConfig_SetBytesString(config, &config->program_name, python);
	if (python != NULL && !PyStatus_Exception(status))
		status = PyConfig_SetBytesString(config, &config->executable, python);
	return status;
}

int
main(int argc, char **argv)
{
	PyConfig config;
	if (argc > 1 && strcmp(argv[1], "-m") == 0) {
		if (heap_tune_malloc() < 0)
			return EXIT_FAILURE;
		argv[1] = argv[0];
		argv++;
		argc--;
	}
	if (PyImport_AppendInittab("_nursery", heap_make_module) < 0)
		return EXIT_FAILURE;
	PyStatus status = configure(&config, argc, argv);
	if (!PyStatus_Exception(status))
		status = Py_InitializeFromConfig(&config);
	PyConfig_Clear(&config);
	if (PyStatus_Exception(status))
		Py_ExitStatusException(status);
	return Py_RunMain();
}
