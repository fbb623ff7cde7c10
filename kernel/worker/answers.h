/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The answers to input(). They come on a socket of their own, so that whoever asks, in whatever thread, waits for its answer while the
 * main thread alone takes requests off the link.
 */
#ifndef PUPITRE_WORKER_ANSWERS_H
#define PUPITRE_WORKER_ANSWERS_H

#include "compat.h"

/* The method of the module, see wait_for_answer in _pupitre.pyi. With the GIL, by one thread at a time. */
PyObject *answers_wait_method(PyObject *py_module, PyObject *py_number);

#endif
