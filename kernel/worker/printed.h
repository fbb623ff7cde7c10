/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The beginning of what the newest request has printed, in memory of a fixed size, for IPython's %notebook: IPython would put a function
 * of its own in the way of every print. Called with the GIL.
 */
#ifndef PUPITRE_WORKER_PRINTED_H
#define PUPITRE_WORKER_PRINTED_H

#include "compat.h"

#include <stddef.h>
#include <stdint.h>

#define PRINTED_MAX ((size_t)8 * 1024) /* bytes of UTF-8; the rest is not kept */

/* Remember text of stream `number` (1 or 2), if it is the newest request's. */
void printed_keep(uint32_t number, uint32_t serial, const char *text, size_t size);

/* The method take_printed(serial, /): what is kept of this request, a list of (number, text); it is forgotten. */
PyObject *printed_take(PyObject *py_module, PyObject *py_serial);

#endif
