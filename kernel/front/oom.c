/* SPDX-License-Identifier: BSD-3-Clause */
#include "front/oom.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UNLIMITED (1LL << 62) /* version 1 writes a number of pages near 2^63 for "none" */

struct version {
	const char *controllers, *top, *events, *limit;
};

static const struct version versions[] = {
	{ "", "/sys/fs/cgroup", "memory.events", "memory.max" },
	{ "memory", "/sys/fs/cgroup/memory", "memory.oom_control", "memory.limit_in_bytes" },
};

struct group {
	const struct version *version;
	char folder[PATH_MAX + 64];
};

static FILE *
open_in(const struct group *g, const char *name)
{
	char path[sizeof g->folder + 64];
	snprintf(path, sizeof path, "%s/%s", g->folder, name);
	return fopen(path, "re");
}

static bool
read_kills(const struct group *g, long long *ret)
{
	char line[128];
	bool found = false;
	FILE *file = open_in(g, g->version->events);
	if (file == NULL)
		return false;
	while (!found && fgets(line, sizeof line, file) != NULL)
		found = sscanf(line, "oom_kill %lld", ret) == 1;
	fclose(file);
	return found;
}

/* The group that a line of /proc/self/cgroup names. False: not a line about memory. */
static bool
group_of_line(char *line, struct group *ret)
{
	line[strcspn(line, "\n")] = '\0';
	char *controllers = strchr(line, ':');
	char *path = controllers == NULL ? NULL : strchr(controllers + 1, ':');
	if (path == NULL)
		return false;
	*path++ = '\0';
	for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
		if (strcmp(controllers + 1, versions[i].controllers) != 0)
			continue;
		ret->version = &versions[i];
		snprintf(ret->folder, sizeof ret->folder, "%s%s", ret->version->top, path);
		return true;
	}
	return false;
}

/* Fills `ret` with this process's group, and the count of its kills. */
static bool
find_group(struct group *ret, long long *ret_kills)
{
	char line[PATH_MAX];
	bool found = false;
	FILE *file = fopen("/proc/self/cgroup", "re");
	if (file == NULL)
		return false;
	while (!found && fgets(line, sizeof line, file) != NULL)
		found = group_of_line(line, ret) && read_kills(ret, ret_kills);
	fclose(file);
	return found;
}

struct oom_count
oom_read(void)
{
	struct group group;
	struct oom_count count = { 0 };
	count.known = find_group(&group, &count.kills);
	return count;
}

bool
oom_happened(struct oom_count before, struct oom_count after)
{
	return before.known && after.known && after.kills > before.kills;
}

static bool
has_limit(const struct group *g)
{
	char text[64];
	bool has = false;
	FILE *file = open_in(g, g->version->limit);
	if (file == NULL)
		return false; /* the top of version 2 */
	if (fgets(text, sizeof text, file) != NULL)
		has = strncmp(text, "max", 3) != 0 && strtoll(text, NULL, 10) < UNLIMITED;
	fclose(file);
	return has;
}

bool
oom_is_limited(void)
{
	struct group group;
	long long kills;
	if (!find_group(&group, &kills))
		return false;
	size_t top = strlen(group.version->top);
	while (!has_limit(&group)) {
		char *slash = strrchr(group.folder + top - 1, '/');
		if (strlen(group.folder) <= top || slash == NULL)
			return false;
		*slash = '\0';
	}
	return true;
}
