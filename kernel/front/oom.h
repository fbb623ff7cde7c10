/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Whether the kernel's cgroup has killed somebody for want of memory since a moment. cgroup v2 memory.events, v1 memory.oom_control.
 */
#ifndef PUPITRE_FRONT_OOM_H
#define PUPITRE_FRONT_OOM_H

#include <stdbool.h>

struct oom_count {
	bool known;
	long long kills;
};

struct oom_count oom_read(void);
bool oom_happened(struct oom_count before, struct oom_count after);

/* Whether that cgroup, or one around it, has a limit of memory. Without one it was the machine that ran out. */
bool oom_is_limited(void);

#endif
