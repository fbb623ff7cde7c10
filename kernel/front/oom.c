/* SPDX-License-Identifier: BSD-3-Clause */
#include "front/oom.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* The path of the cgroup file that counts, from a line of /proc/self/cgroup. False: not a line about memory. */
static bool
events_path(char *line, char *ret, size_t size)
{
	line[strcspn(line, "\n")] = '\0';
	char *controllers = strchr(line, ':');
	char *path = controllers == NULL ? NULL : strchr(controllers + 1, ':');
	if (path == NULL)
		return false;
	*path++ = '\0';
	controllers++;
	if (*controllers == '\0')
		snprintf(ret, size, "/sys/fs/cgroup%s/memory.events", path);
	else if (strcmp(controllers, "memory") == 0)
		snprintf(ret, size, "/sys/fs/cgroup/memory%s/memory.oom_control", path);
	else
		return false;
	return true;
}

static bool
read_kills(const char *path, long long *ret)
{
	char line[128];
	bool found = false;
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return false;
	while (!found && fgets(line, sizeof line, file) != NULL)
		found = sscanf(line, "oom_kill %lld", ret) == 1;
	fclose(file);
	return found;
}

struct oom_count
oom_read(void)
{
	struct oom_count count = { 0 };
	char line[PATH_MAX], path[PATH_MAX + 64];
	FILE *file = fopen("/proc/self/cgroup", "re");
	if (file == NULL)
		return count;
	while (!count.known && fgets(line, sizeof line, file) != NULL)
		count.known = events_path(line, path, sizeof path) && read_kills(path, &count.kills);
	fclose(file);
	return count;
}

bool
oom_happened(struct oom_count before, struct oom_count after)
{
	return before.known && after.known && after.kills > before.kills;
}
