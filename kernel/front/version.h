/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What `pupitre-kernel --version` prints: our version, then one line for each library, as loaded.
 */
#ifndef PUPITRE_FRONT_VERSION_H
#define PUPITRE_FRONT_VERSION_H

void version_print(void);

#endif
