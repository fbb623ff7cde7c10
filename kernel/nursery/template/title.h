/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What `ps` shows of a template and of the workers that it forks: their names, in place of the template's long command line.
 */
#ifndef PUPITRE_NURSERY_TEMPLATE_TITLE_H
#define PUPITRE_NURSERY_TEMPLATE_TITLE_H

/* Remember where the command line is. Its words are gone with the first title_set. */
void title_take(int argc, char **argv);

/* As much of the name as there is room for: 15 characters where a process has its name, and the command line. */
void title_set(const char *name);

#endif
