/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The built-in module _pupitre: a table of the other files' methods. Its contract is kernel/pupitre/_pupitre.pyi.
 */
#ifndef PUPITRE_WORKER_MODULE_H
#define PUPITRE_WORKER_MODULE_H

/* Make `import _pupitre` work. Before Python is initialised. 0, or -1 for want of memory. */
int module_register(void);

/* In a forked worker, once it has its ends: make link_fd and wake_fd of `_pupitre` theirs. 0, or -1 with an exception. */
int module_refresh(void);

#endif
