/* SPDX-License-Identifier: BSD-3-Clause */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "nursery/datagram.h"

static struct nursery_request
request(uint16_t op)
{
	return (struct nursery_request){
		.magic = NURSERY_MAGIC, .version = NURSERY_VERSION, .op = op, .id = 5, .build = NURSERY_BUILD
	};
}

static void
test_requests(void **state)
{
	(void)state;
	const struct {
		enum nursery_reason wanted;
		size_t size, fds;
		void (*change)(struct nursery_request *r);
		uint16_t op;
	} cases[] = {
		{ NURSERY_OK, 128, 10, NULL, NURSERY_START },
		{ NURSERY_OK, 128, 0, NULL, NURSERY_STATUS },
		{ NURSERY_OK, 128, 0, NULL, NURSERY_DRAIN },
		{ NURSERY_OK, 128, 0, NULL, NURSERY_RELOAD },
		{ NURSERY_BAD_REQUEST, 127, 10, NULL, NURSERY_START },
		{ NURSERY_BAD_REQUEST, 129, 10, NULL, NURSERY_START },
		{ NURSERY_BAD_REQUEST, 1, 10, NULL, NURSERY_START },
		{ NURSERY_BAD_REQUEST, DATAGRAM_TOO_LARGE, 10, NULL, NURSERY_START },
		{ NURSERY_BAD_REQUEST, 128, 9, NULL, NURSERY_START },
		{ NURSERY_BAD_REQUEST, 128, 11, NULL, NURSERY_START },
		{ NURSERY_BAD_REQUEST, 128, 0, NULL, NURSERY_START },
		{ NURSERY_BAD_REQUEST, 128, 1, NULL, NURSERY_STATUS },
		{ NURSERY_BAD_REQUEST, 128, 10, NULL, NURSERY_DRAIN },
		{ NURSERY_BAD_REQUEST, 128, 0, NULL, 0 },
		{ NURSERY_OK, 128, 0, NULL, NURSERY_NOTE_DIED },
		{ NURSERY_BAD_REQUEST, 128, 0, NULL, NURSERY_NOTE_DIED + 1 },
		{ NURSERY_BAD_REQUEST, 128, 0, NULL, NURSERY_FORK },
		{ NURSERY_BAD_REQUEST, 128, 0, NULL, UINT16_MAX },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct nursery_request r = request(cases[i].op);
		assert_int_equal(datagram_check_request(&r, cases[i].size, cases[i].fds), cases[i].wanted);
	}
}

static void
test_every_byte_of_a_request(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(struct nursery_request); i++) {
		struct nursery_request r = request(NURSERY_STATUS);
		((char *)&r)[i] ^= 0x40;
		bool is_free =
			(i >= offsetof(struct nursery_request, id) && i < offsetof(struct nursery_request, build)) ||
			(i >= offsetof(struct nursery_request, python) && i < offsetof(struct nursery_request, note));
		bool is_build = (i >= 4 && i < 6) || (i >= offsetof(struct nursery_request, build) &&
						      i < offsetof(struct nursery_request, python));
		assert_int_equal(datagram_check_request(&r, sizeof r, 0), is_free    ? NURSERY_OK
									  : is_build ? NURSERY_BAD_BUILD
										     : NURSERY_BAD_REQUEST);
	}
}

static void
test_notes(void **state)
{
	(void)state;
	struct nursery_request r = request(NURSERY_NOTE_COLD);
	r.note = (struct nursery_note){ .pid = -1,
					.reason = NURSERY_REASON_COUNT - 1,
					.cause = NURSERY_CAUSE_COUNT - 1 };
	assert_int_equal(datagram_check_request(&r, sizeof r, 0), NURSERY_OK);
	r.note.reason++;
	assert_int_equal(datagram_check_request(&r, sizeof r, 0), NURSERY_BAD_REQUEST);
	r.note.reason = 0;
	r.note.cause++;
	assert_int_equal(datagram_check_request(&r, sizeof r, 0), NURSERY_BAD_REQUEST);
}

static void
test_reports(void **state)
{
	(void)state;
	const struct {
		enum nursery_reason wanted;
		uint16_t op;
		int32_t pid;
		uint16_t reason;
		size_t fds;
	} cases[] = {
		{ NURSERY_OK, NURSERY_READY, 0, 0, 0 },
		{ NURSERY_OK, NURSERY_UNFIT, 0, 0, 0 },
		{ NURSERY_OK, NURSERY_FAILED, 0, NURSERY_STALE, 0 },
		{ NURSERY_OK, NURSERY_FORKED, 5, 0, 1 },
		{ NURSERY_OK, NURSERY_CHANGED, 5, 0, 0 },
		{ NURSERY_BAD_REQUEST, NURSERY_FORKED, 5, 0, 0 },
		{ NURSERY_BAD_REQUEST, NURSERY_FORKED, 5, 0, 2 },
		{ NURSERY_BAD_REQUEST, NURSERY_FORKED, 0, 0, 1 },
		{ NURSERY_BAD_REQUEST, NURSERY_FORKED, -1, 0, 1 },
		{ NURSERY_BAD_REQUEST, NURSERY_CHANGED, 0, 0, 0 },
		{ NURSERY_BAD_REQUEST, NURSERY_CHANGED, 5, 0, 1 },
		{ NURSERY_BAD_REQUEST, NURSERY_READY, 0, 0, 1 },
		{ NURSERY_BAD_REQUEST, NURSERY_FAILED, 0, NURSERY_REASON_COUNT, 0 },
		{ NURSERY_BAD_REQUEST, NURSERY_START, 0, 0, 0 },
		{ NURSERY_BAD_REQUEST, NURSERY_FORK, 0, 0, 0 },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct nursery_report r = { NURSERY_MAGIC, NURSERY_VERSION, cases[i].op, .pid = cases[i].pid,
					    .reason = cases[i].reason };
		assert_int_equal(datagram_check_report(&r, sizeof r, cases[i].fds), cases[i].wanted);
		assert_int_equal(datagram_check_report(&r, sizeof r - 1, cases[i].fds), NURSERY_BAD_REQUEST);
		r.version++;
		assert_int_equal(datagram_check_report(&r, sizeof r, cases[i].fds), NURSERY_BAD_REQUEST);
	}
}

static void
test_text_of_a_report(void **state)
{
	(void)state;
	struct nursery_report r = { NURSERY_MAGIC, NURSERY_VERSION, NURSERY_UNFIT, .text = "a\nb\x1b\x7f\xc3~ " };
	assert_int_equal(datagram_check_report(&r, sizeof r, 0), NURSERY_OK);
	assert_string_equal(r.text, "a?b???~ ");
	memset(r.text, 'x', sizeof r.text);
	assert_int_equal(datagram_check_report(&r, sizeof r, 0), NURSERY_OK);
	assert_int_equal(strlen(r.text), sizeof r.text - 1);
}

static void
test_verdicts(void **state)
{
	(void)state;
	assert_int_equal(datagram_verdict(NURSERY_NOT_READY), NURSERY_COLD);
	assert_int_equal(datagram_verdict(NURSERY_STALE), NURSERY_COLD);
	assert_int_equal(datagram_verdict(NURSERY_PLACEMENT), NURSERY_COLD);
	assert_int_equal(datagram_verdict(NURSERY_BAD_BUILD), NURSERY_FINAL);
	assert_int_equal(datagram_verdict(NURSERY_NOT_ALLOWED), NURSERY_FINAL);
	assert_int_equal(datagram_verdict(NURSERY_OTHER_ROOT), NURSERY_FINAL);
}

/* --- on a socket --- */

static int ends[2];
static struct datagram d;
static char bytes[16];

static int
connect_ends(void **state)
{
	(void)state;
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends);
}

static int
close_ends(void **state)
{
	(void)state;
	fd_close(&ends[0]);
	fd_close(&ends[1]);
	return 0;
}

static int
count_fds(void)
{
	int count = 0;
	for (int fd = 0; fd < 512; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void
test_send_and_receive(void **state)
{
	(void)state;
	int fds[DATAGRAM_FDS_MAX], before = count_fds();
	assert_int_equal(datagram_receive(ends[1], bytes, sizeof bytes, &d), -1);
	for (size_t i = 0; i < DATAGRAM_FDS_MAX; i++)
		fds[i] = ends[0];
	assert_int_equal(datagram_send(ends[0], "hello", 5, fds, DATAGRAM_FDS_MAX), 0);
	assert_int_equal(datagram_send(ends[0], "again", 5, NULL, 0), 0);
	assert_int_equal(datagram_receive(ends[1], bytes, sizeof bytes, &d), 1);
	assert_int_equal(d.size, 5);
	assert_memory_equal(bytes, "hello", 5);
	assert_int_equal(d.fd_count, DATAGRAM_FDS_MAX);
	for (size_t i = 0; i < d.fd_count; i++)
		assert_int_equal(fcntl(d.fds[i], F_GETFD), FD_CLOEXEC);
	datagram_close(&d);
	assert_int_equal(count_fds(), before);
	assert_int_equal(datagram_receive(ends[1], bytes, sizeof bytes, &d), 1);
	assert_int_equal(d.fd_count, 0);
	fd_close(&ends[0]);
	assert_int_equal(datagram_receive(ends[1], bytes, sizeof bytes, &d), 0);
}

static void
test_too_many_bytes(void **state)
{
	(void)state;
	assert_int_equal(datagram_send(ends[0], "0123456789abcdefX", 17, NULL, 0), 0);
	assert_int_equal(datagram_receive(ends[1], bytes, sizeof bytes, &d), 1);
	assert_true(d.size == DATAGRAM_TOO_LARGE);
}

static void
test_too_many_descriptors(void **state)
{
	(void)state;
	enum { MANY = 200 };
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(MANY * sizeof(int))];
	} control = { .header = { CMSG_LEN(MANY * sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec iov = { bytes, 1 };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
	};
	int before = count_fds();
	for (size_t i = 0; i < MANY; i++)
		memcpy(CMSG_DATA(&control.header) + i * sizeof(int), &ends[0], sizeof(int));
	assert_int_equal(sendmsg(ends[0], &m, 0), 1);
	assert_int_equal(datagram_receive(ends[1], bytes, sizeof bytes, &d), 1);
	assert_true(d.size == DATAGRAM_TOO_LARGE);
	assert_true(d.fd_count <= DATAGRAM_FDS_MAX);
	datagram_close(&d);
	assert_int_equal(count_fds(), before);
}

/* A datagram of no bytes reads like a hang-up, and may yet bring descriptors. */
static void
test_nothing_with_descriptors(void **state)
{
	(void)state;
	int before = count_fds();
	assert_int_equal(datagram_send(ends[0], "", 0, &ends[0], 1), 0);
	assert_int_equal(datagram_receive(ends[1], bytes, sizeof bytes, &d), 0);
	assert_int_equal(count_fds(), before);
}

static void
test_nobody_reads(void **state)
{
	(void)state;
	int sent = 0;
	while (datagram_send(ends[0], bytes, sizeof bytes, NULL, 0) == 0 && sent < 100000)
		sent++;
	assert_true(errno == EAGAIN && sent < 100000);
	fd_close(&ends[1]);
	assert_int_equal(datagram_send(ends[0], bytes, sizeof bytes, NULL, 0), -1);
	assert_true(errno == EPIPE || errno == ECONNRESET);
}

/* --- which descriptors --- */

static void
test_kinds_of_descriptors(void **state)
{
	(void)state;
	int pipes[2], sockets[2], event = eventfd(0, EFD_CLOEXEC), memory = memfd_create("m", MFD_CLOEXEC);
	int place = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(pipe2(pipes, O_CLOEXEC) | socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
	const int good[NURSERY_FD_COUNT] = { pipes[1],   pipes[1], sockets[0], event,  memory,
					     sockets[0], memory,   sockets[0], memory, place };
	assert_true(datagram_check_fds(good));
	int others[] = { pipes[0],
			 sockets[0],
			 event,
			 memory,
			 place,
			 socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
			 open("/dev/null", O_RDWR | O_CLOEXEC),
			 open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
			 open("/proc/self/exe", O_RDONLY | O_CLOEXEC),
			 open("/proc/self/exe", O_PATH | O_CLOEXEC),
			 -1 };
	/* For each place, the ones of `others` that fit. */
	static const unsigned fits[NURSERY_FD_COUNT] = { 1, 1, 2, 4, 8, 2, 8, 2, 8, 16 };
	for (size_t i = 0; i < NURSERY_FD_COUNT; i++) {
		for (size_t k = 0; k < sizeof others / sizeof *others; k++) {
			int fds[NURSERY_FD_COUNT];
			memcpy(fds, good, sizeof fds);
			fds[i] = others[k];
			assert_int_equal(datagram_check_fds(fds), fits[i] >> k & 1);
		}
	}
	for (size_t k = 0; k < sizeof others / sizeof *others; k++)
		fd_close(&others[k]);
	fd_close(&pipes[1]);
	fd_close(&sockets[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_every_byte_of_a_request),
		cmocka_unit_test(test_notes),
		cmocka_unit_test(test_reports),
		cmocka_unit_test(test_text_of_a_report),
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test_setup_teardown(test_send_and_receive, connect_ends, close_ends),
		cmocka_unit_test_setup_teardown(test_too_many_bytes, connect_ends, close_ends),
		cmocka_unit_test_setup_teardown(test_too_many_descriptors, connect_ends, close_ends),
		cmocka_unit_test_setup_teardown(test_nothing_with_descriptors, connect_ends, close_ends),
		cmocka_unit_test_setup_teardown(test_nobody_reads, connect_ends, close_ends),
		cmocka_unit_test(test_kinds_of_descriptors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
