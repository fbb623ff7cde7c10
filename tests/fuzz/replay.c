/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Runs a fuzz target over files, and over the files of directories, with any compiler: seeds and past crashes, in every test run.
 */
#include <dirent.h>

#include "fuzz.h"

static int
run_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	if (file == NULL) {
		perror(path);
		return -1;
	}
	BUF_AUTO bytes = BUF_INIT;
	size_t n = 1;
	while (n > 0 && buf_reserve(&bytes, 4096) == 0) {
		n = fread(bytes.data + bytes.size, 1, 4096, file);
		bytes.size += n;
	}
	fclose(file);
	/* A copy of exactly that size, so that a sanitizer sees the first byte read behind it. */
	uint8_t *exact = malloc(bytes.size == 0 ? 1 : bytes.size);
	if (exact == NULL || bytes.failed)
		return -1;
	memcpy(exact, bytes.data, bytes.size);
	LLVMFuzzerTestOneInput(exact, bytes.size);
	free(exact);
	return 1;
}

/* How many inputs were run, or -1. */
static int
run_directory(const char *path)
{
	DIR *directory = opendir(path);
	int count = 0;
	if (directory == NULL)
		return run_file(path);
	for (struct dirent *d; (d = readdir(directory)) != NULL && count >= 0;) {
		char file[4096];
		if (d->d_name[0] == '.')
			continue;
		snprintf(file, sizeof file, "%s/%s", path, d->d_name);
		count = run_file(file) < 0 ? -1 : count + 1;
	}
	closedir(directory);
	return count;
}

int
main(int argc, char **argv)
{
	int total = 0;
	for (int i = 1; i < argc; i++) {
		int count = run_directory(argv[i]);
		if (count <= 0) {
			fprintf(stderr, "%s: no inputs\n", argv[i]);
			return 1;
		}
		total += count;
	}
	printf("%d inputs\n", total);
	return total == 0;
}
