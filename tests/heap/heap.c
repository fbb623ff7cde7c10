/* SPDX-License-Identifier: BSD-3-Clause */
#include "nursery/heap/heap.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "nursery/heap/maps.h"

#define DEADLINE_MS 10000
#define FIELDS "Size:   132 kB\nRss:   8 kB\n"

static const struct {
	const char *what, *text;
	bool plain;
} mappings[] = {
	{ "an arena", "7f0000000000-7f0000100000 rw-p 00000000 00:00 0 \n" FIELDS "VmFlags: rd wr mr mw me ac sd \n",
	  true },
	{ "the heap",
	  "7f0000000000-7f0000100000 rw-p 00000000 00:00 0      [heap]\n" FIELDS "VmFlags: rd wr mr mw me ac \n",
	  true },
	{ "a named one",
	  "7f0000000000-7f0000100000 rw-p 00000000 00:00 0  [anon:cpython:pymalloc]\n" FIELDS
	  "VmFlags: rd wr mr mw me ac \n",
	  true },
	{ "huge pages", "7f0000000000-7f0000100000 rw-p 00000000 00:00 0 \n" FIELDS "VmFlags: rd wr mr mw me ac hg \n",
	  true },
	{ "the stack",
	  "7f0000000000-7f0000100000 rw-p 00000000 00:00 0   [stack]\n" FIELDS "VmFlags: rd wr mr mw me gd ac \n",
	  false },
	{ "what grows down",
	  "7f0000000000-7f0000100000 rw-p 00000000 00:00 0 \n" FIELDS "VmFlags: rd wr mr mw me gd ac \n", false },
	{ "what fork leaves out",
	  "7f0000000000-7f0000100000 rw-p 00000000 00:00 0 \n" FIELDS "VmFlags: rd wr mr mw me dc ac \n", false },
	{ "what fork wipes",
	  "7f0000000000-7f0000100000 rw-p 00000000 00:00 0 \n" FIELDS "VmFlags: rd wr mr mw me ac wf \n", false },
	{ "locked memory",
	  "7f0000000000-7f0000100000 rw-p 00000000 00:00 0 \n" FIELDS "VmFlags: rd wr mr mw me lo ac \n", false },
	{ "a flag of the future",
	  "7f0000000000-7f0000100000 rw-p 00000000 00:00 0 \n" FIELDS "VmFlags: rd wr zz mr mw me ac \n", false },
	{ "shared memory",
	  "7f0000000000-7f0000100000 rw-s 00000000 00:01 77   /dev/zero (deleted)\n" FIELDS
	  "VmFlags: rd wr sh mr mw me ms \n",
	  false },
	{ "a library's data",
	  "7f0000000000-7f0000100000 rw-p 00002000 fe:01 1234   /usr/lib/libz.so\n" FIELDS
	  "VmFlags: rd wr mr mw me ac \n",
	  false },
	{ "what is read only", "7f0000000000-7f0000100000 r--p 00000000 00:00 0 \n" FIELDS "VmFlags: rd mr mw me ac \n",
	  false },
	{ "a guard", "7f0000000000-7f0000100000 ---p 00000000 00:00 0 \n" FIELDS "VmFlags: mr mw me \n", false },
	{ "code", "7f0000000000-7f0000100000 rwxp 00000000 00:00 0 \n" FIELDS "VmFlags: rd wr ex mr mw me ac \n",
	  false },
	{ "what is cut short", "7f0000000000-7f0000100000 rw-p 00000000 00:00 0 \n" FIELDS, false },
	{ "nothing", "", false },
};

static void
test_plain_mappings(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof mappings / sizeof *mappings; i++) {
		struct maps_range range = { 0 };
		const char *next;
		bool plain = maps_is_plain(mappings[i].text, &range, &next);
		if (plain != mappings[i].plain)
			fail_msg("%s: %d", mappings[i].what, plain);
		assert_int_equal(range.begin, plain ? 0x7f0000000000 : 0);
		assert_int_equal(range.end, plain ? 0x7f0000100000 : 0);
		assert_null(next);
	}
}

static void
test_mappings_follow_each_other(void **state)
{
	(void)state;
	char text[4096] = "";
	size_t plain = 0, wanted = 0, all = 0;
	for (size_t i = 0; i + 2 < sizeof mappings / sizeof *mappings; i++) {
		strncat(text, mappings[i].text, sizeof text - strlen(text) - 1);
		wanted += mappings[i].plain;
	}
	struct maps_range range;
	for (const char *next, *mapping = text; mapping != NULL; mapping = next, all++)
		plain += maps_is_plain(mapping, &range, &next);
	assert_int_equal(plain, wanted);
	assert_int_equal(all, sizeof mappings / sizeof *mappings - 2);
}

static void
test_own_mappings_do_not_fit(void **state)
{
	(void)state;
	static char text[1 << 20], small[64];
	struct maps_range ranges[1];
	struct err e = ERR_INIT;
	assert_int_equal(maps_list_plain(4096, small, sizeof small, &(struct maps){ 0, 1, ranges }, &e), -1);
	assert_int_equal(e.code, ERR_LIMIT);
	e = ERR_INIT;
	assert_int_equal(maps_list_plain(4096, text, sizeof text, &(struct maps){ 0, 0, ranges }, &e), -1);
	assert_int_equal(e.code, ERR_LIMIT);
}

static void *
wait_for_end(void *pipe)
{
	char byte;
	return read(*(int *)pipe, &byte, 1) == 0 ? NULL : pipe;
}

/* A joined thread may be counted a moment longer: the kernel lets go of it last. */
static int
count_until(int wanted)
{
	long long end = clock_ms() + DEADLINE_MS;
	while (heap_count_threads() != wanted && clock_ms() < end)
		sched_yield();
	return heap_count_threads();
}

static void
test_threads_are_counted(void **state)
{
	(void)state;
	int ends[2];
	pthread_t threads[3];
	int before = heap_count_threads(); /* a sanitizer may have one of its own */
	assert_true(before >= 1);
	assert_int_equal(pipe(ends), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, wait_for_end, &ends[0]), 0);
		assert_int_equal(heap_count_threads(), before + i + 1);
	}
	close(ends[1]);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(count_until(before), before);
	close(ends[0]);
}

static void
test_memory_is_told(void **state)
{
	(void)state;
	struct heap_memory memory = { 0 };
	struct err e = ERR_INIT;
	assert_int_equal(heap_memory_of(getpid(), &memory, &e), 0);
	assert_true(memory.rss > 500 && memory.private > 0 && memory.shared > 0);
	assert_int_equal(memory.rss, memory.private + memory.shared);
	assert_true(memory.pss <= memory.rss && memory.pss >= memory.private);
}

static void
test_memory_of_nobody(void **state)
{
	(void)state;
	struct heap_memory memory = { .rss = 7 };
	struct err e = ERR_INIT;
	assert_int_equal(heap_memory_of(-1, &memory, &e), -1);
	assert_int_equal(e.code, ERR_SYSTEM);
	assert_int_equal(memory.rss, 7);
}

/* In a sanitized build, which this is in the C layer of scripts/test, no trick touches anything. */
static void
test_a_sanitizer_rules_tricks_out(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	if (heap_refuse_sanitizer(&e) == 0) {
		assert_int_equal(heap_tune_malloc(), 0);
		assert_int_equal(e.code, ERR_NONE);
		return;
	}
	assert_non_null(strstr(e.text, "AddressSanitizer"));
	struct err refusals[2] = { ERR_INIT, ERR_INIT };
	assert_int_equal(heap_tune_malloc(), -1);
	assert_int_equal(heap_plug(&(struct heap_plugged){ 0 }, &refusals[0]), -1);
	assert_int_equal(heap_remap(&(struct heap_remapped){ 0 }, &refusals[1]), -1);
	for (size_t i = 0; i < 2; i++)
		assert_string_equal(refusals[i].text, e.text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_mappings),
		cmocka_unit_test(test_mappings_follow_each_other),
		cmocka_unit_test(test_own_mappings_do_not_fit),
		cmocka_unit_test(test_threads_are_counted),
		cmocka_unit_test(test_memory_is_told),
		cmocka_unit_test(test_memory_of_nobody),
		cmocka_unit_test(test_a_sanitizer_rules_tricks_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
