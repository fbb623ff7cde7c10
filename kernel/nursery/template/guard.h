/* SPDX-License-Identifier: BSD-3-Clause
 *
 * In a template that root runs for all: each file of code is looked at before it is run, from Python's first one on, and is not run if
 * somebody else than root could change it. What may and what may not is said in Python, kernel/pupitre/nursery/trust.py, whose text is in
 * this program. The template takes it away, as the module `_pupitre_guard`, before it forks.
 */
#ifndef PUPITRE_NURSERY_TEMPLATE_GUARD_H
#define PUPITRE_NURSERY_TEMPLATE_GUARD_H

/* Before Python starts. 0, or -1 without memory. */
int guard_install(void);

/* What of the files that were refused while Python started or later was the first, in one line; "" if none was. */
const char *guard_refusal(void);

#endif
