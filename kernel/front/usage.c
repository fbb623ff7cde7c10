/* SPDX-License-Identifier: BSD-3-Clause
 *
 * usage_reply: what the kernel and its children use, and what the machine has, read from /proc. Sizes in bytes, shares in per cent of
 * one processor (the kernel) and of all (the host), since the previous request.
 */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "front/front.h"
#include "protocol/document.h"

#define PROCESSES_MAX 4096

struct process {
	pid_t pid, parent;
	bool ours;
	unsigned long long ticks;
};

struct sample {
	unsigned long long kernel_ticks; /* user and system time of our processes */
	unsigned long long busy, total;  /* of the host, all processors */
	long long at_ms;
};

static bool
read_stat(pid_t pid, struct process *ret)
{
	char path[48], line[1024];
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return false;
	bool got = fgets(line, sizeof line, file) != NULL;
	fclose(file);
	const char *after = got ? strrchr(line, ')') : NULL;
	unsigned long long user = 0, system = 0;
	int parent = 0;
	if (after == NULL ||
	    sscanf(after + 1, " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &parent, &user, &system) != 3)
		return false;
	*ret = (struct process){ .pid = pid, .parent = parent, .ticks = user + system };
	return true;
}

/* All processes of the machine; ours are marked: we, the worker, whose parent may be a nursery, and what descends from us. */
static size_t
list_processes(struct process *list, pid_t worker)
{
	size_t count = 0;
	DIR *proc = opendir("/proc");
	if (proc == NULL)
		return 0;
	for (struct dirent *entry; count < PROCESSES_MAX && (entry = readdir(proc)) != NULL;) {
		if (isdigit((unsigned char)entry->d_name[0]) && read_stat(atoi(entry->d_name), &list[count]))
			count++;
	}
	closedir(proc);
	pid_t self = getpid();
	for (bool more = true; more;) {
		more = false;
		for (size_t i = 0; i < count; i++) {
			bool ours = list[i].pid == self || list[i].pid == worker;
			for (size_t j = 0; !ours && j < count; j++)
				ours = list[j].ours && list[j].pid == list[i].parent;
			more = more || (ours && !list[i].ours);
			list[i].ours = ours;
		}
	}
	return count;
}

/* Proportional set size in bytes; 0 for a process that is gone. */
static unsigned long long
read_pss(pid_t pid)
{
	char path[48], line[128];
	unsigned long long kilobytes = 0;
	snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return 0;
	while (fgets(line, sizeof line, file) != NULL && sscanf(line, "Pss: %llu kB", &kilobytes) != 1)
		;
	fclose(file);
	return kilobytes * 1024;
}

static void
read_host(struct sample *s)
{
	unsigned long long v[8] = { 0 };
	FILE *file = fopen("/proc/stat", "re");
	if (file == NULL)
		return;
	if (fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6],
		   &v[7]) == 8) {
		for (int i = 0; i < 8; i++)
			s->total += v[i];
		s->busy = s->total - v[3] - v[4];
	}
	fclose(file);
}

static unsigned long long
meminfo(const char *name)
{
	char line[128];
	unsigned long long kilobytes = 0;
	size_t size = strlen(name);
	FILE *file = fopen("/proc/meminfo", "re");
	if (file == NULL)
		return 0;
	while (fgets(line, sizeof line, file) != NULL) {
		if (strncmp(line, name, size) == 0 && line[size] == ':') {
			kilobytes = strtoull(line + size + 1, NULL, 10);
			break;
		}
	}
	fclose(file);
	return kilobytes * 1024;
}

/* With one digit after the point. */
static json_t *
per_cent(double part, double whole)
{
	long long tenths = whole <= 0 ? 0 : (long long)(1000.0 * part / whole + 0.5);
	return json_real((double)tenths / 10);
}

static json_t *
measure_memory(void)
{
	static const struct {
		const char *key, *name;
	} plain[] = {
		{ "total", "MemTotal" }, { "available", "MemAvailable" }, { "free", "MemFree" },
		{ "active", "Active" },  { "inactive", "Inactive" },      { "buffers", "Buffers" },
		{ "cached", "Cached" },  { "shared", "Shmem" },           { "slab", "Slab" },
	};
	unsigned long long total = meminfo("MemTotal"), available = meminfo("MemAvailable");
	unsigned long long used = total > available ? total - available : 0;
	json_t *memory = json_object();
	for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
		json_object_set_new(memory, plain[i].key, json_integer((json_int_t)meminfo(plain[i].name)));
	json_object_set_new(memory, "used", json_integer((json_int_t)used));
	json_object_set_new(memory, "percent", per_cent((double)used, (double)total));
	return memory;
}

/* What our processes use: memory in bytes, and ticks of processor time into the sample. False for want of memory. */
static bool
add_up(struct front *f, struct sample *now, unsigned long long *ret_memory)
{
	struct process *list = malloc(PROCESSES_MAX * sizeof *list);
	if (list == NULL)
		return false;
	size_t count = list_processes(list, f->worker.ended ? 0 : f->worker.pid);
	for (size_t i = 0; i < count; i++) {
		if (list[i].ours) {
			*ret_memory += read_pss(list[i].pid);
			now->kernel_ticks += list[i].ticks;
		}
	}
	free(list);
	return true;
}

json_t *
usage_measure(struct front *f)
{
	static struct sample before;
	struct sample now = { .at_ms = clock_ms() };
	char hostname[256] = "";
	unsigned long long memory = 0;
	if (!add_up(f, &now, &memory))
		return NULL;
	read_host(&now);
	gethostname(hostname, sizeof hostname - 1);
	bool first = before.at_ms == 0;
	double ticks = now.kernel_ticks > before.kernel_ticks ? (double)(now.kernel_ticks - before.kernel_ticks) : 0;
	double available = (double)(now.at_ms - before.at_ms) / 1000.0 * (double)sysconf(_SC_CLK_TCK);
	json_t *usage = json_pack("{s:o, s:i, s:o, s:I, s:i}", "hostname", document_text(hostname, strlen(hostname)),
				  "pid", (int)f->worker.pid, "kernel_cpu", per_cent(first ? 0 : ticks, available),
				  "kernel_memory", (json_int_t)memory, "cpu_count", (int)sysconf(_SC_NPROCESSORS_ONLN));
	if (!first && now.busy > before.busy)
		json_object_set_new(usage, "host_cpu_percent",
				    per_cent((double)(now.busy - before.busy), (double)(now.total - before.total)));
	json_object_set_new(usage, "host_virtual_memory", measure_memory());
	before = now;
	return usage;
}
