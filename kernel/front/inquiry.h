/* SPDX-License-Identifier: BSD-3-Clause
 *
 * pupitre-kernel --ask-nursery: has a nursery a Python that a kernel started here and now could be forked from, and if not, why not?
 */
#ifndef PUPITRE_FRONT_INQUIRY_H
#define PUPITRE_FRONT_INQUIRY_H

#include <stdbool.h>

/* Print one line, "nursery: WHERE: WHAT". `python` is the option, NULL: not given. True: it has. Blocks for some seconds at most. What only the
 * nursery can see of a caller (who it is, namespaces, cgroup, limits) is not asked for; its count of refusals says how that went for others. */
bool inquiry_run(const char *python);

#endif
