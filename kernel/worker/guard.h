/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Keeps user code from closing the descriptors the worker lives by. guard.c defines close, dup2, dup3,
 * close_range and closefrom in the executable, so that libpython and every extension module bind to them instead of
 * libc's: on a protected descriptor they answer EBADF, or leave it out of a range. Children made by fork or vfork are
 * not held back. A raw system call gets past this; the front then reports a dead worker.
 */
#ifndef PUPITRE_WORKER_GUARD_H
#define PUPITRE_WORKER_GUARD_H

#define GUARD_MAX 4096 /* descriptors from here on are not protected */

/* From now on the process that called guard_protect first keeps fd. */
void guard_protect(int fd);

/* Protect every epoll instance and socket that is open now: the event loop's. Once, before user code. */
void guard_protect_loop(void);

/* In a forked child: close every protected descriptor but `keep`, so that the child cannot act on the parent's loop. */
void guard_close_all(int keep);

#endif
