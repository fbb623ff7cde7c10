/* SPDX-License-Identifier: BSD-3-Clause
 *
 * kernel/front/nursery.c: what it makes of every answer, and of none.
 */
#include "midwife.h"

static void
test_refused(void **state)
{
	(void)state;
	for (uint16_t reason = 1; reason < NURSERY_REASON_COUNT; reason++) {
		for (enum ask_stage stage = ASK_SENT; stage <= ASK_FORKED; stage++) {
			reach(stage);
			struct nursery_answer a = answer(NURSERY_REFUSED);
			a.reason = reason;
			say(&a, sizeof a, NULL, 0);
			assert_lost(reason);
			tear_down(state);
			set_up(state);
		}
	}
}

static void
test_born(void **state)
{
	(void)state;
	reach(ASK_QUEUED);
	assert_int_equal(nursery_due(&t.nursery), now_ms + ASK_FORKED_MS);
	say_forked();
	assert_int_equal(t.nursery.stage, ASK_FORKED);
	assert_int_equal(t.worker.pid, t.child);
	assert_true(t.worker.born && t.worker.pidfd >= 0);
	assert_true(fcntl(t.worker.pidfd, F_GETFD) & FD_CLOEXEC);
	for (int i = 0; i < NURSERY_FD_COUNT; i++)
		assert_int_equal(t.nursery.fds[i], -1);
	assert_false(nursery_is_expecting(&t.nursery));
	assert_true(nursery_holds_text(&t.nursery));
	assert_int_equal(nursery_due(&t.nursery), now_ms + ASK_HOLD_MS);
	now_ms += ASK_HOLD_MS;
	assert_false(nursery_holds_text(&t.nursery));
	assert_int_equal(nursery_due(&t.nursery), now_ms - ASK_HOLD_MS + ASK_HELLO_MS);
	nursery_hello(&t.nursery);
	assert_int_equal(t.nursery.stage, ASK_DONE);
	assert_int_equal(nursery_due(&t.nursery), 0);
	assert_true(t.nursery.connection >= 0);
	nursery_lose(&t.nursery, NURSERY_NO_ANSWER);
	assert_int_equal(t.nursery.stage, ASK_DONE);
}

static void
test_born_without_having_queued(void **state)
{
	(void)state;
	begin();
	say_forked();
	assert_int_equal(t.nursery.stage, ASK_FORKED);
}

static void
test_silence(void **state)
{
	(void)state;
	static const int deadlines[] = {
		[ASK_SENT] = ASK_QUEUED_MS, [ASK_QUEUED] = ASK_FORKED_MS, [ASK_FORKED] = ASK_HELLO_MS
	};
	for (enum ask_stage stage = ASK_SENT; stage <= ASK_FORKED; stage++) {
		reach(stage);
		now_ms += deadlines[stage] - 1;
		nursery_tick(&t.nursery);
		assert_int_equal(t.nursery.stage, stage);
		now_ms++;
		nursery_tick(&t.nursery);
		assert_lost(NURSERY_NO_ANSWER);
		char byte;
		assert_int_equal(recv(t.connection, &byte, 1, 0), 0); /* so that the listener knows */
		tear_down(state);
		set_up(state);
	}
}

static void
test_hang_up(void **state)
{
	(void)state;
	for (enum ask_stage stage = ASK_SENT; stage <= ASK_DONE; stage++) {
		reach(stage);
		fd_close(&t.connection);
		nursery_serve(&t.nursery, &t.worker);
		assert_int_equal(t.nursery.connection, -1);
		if (stage < ASK_FORKED)
			assert_lost(NURSERY_NO_ANSWER);
		else
			assert_int_equal(t.nursery.stage, stage); /* the worker lives, and may still say HELLO */
		tear_down(state);
		set_up(state);
	}
}

static void
test_forked_with_what_is_no_pidfd_of_the_worker(void **state)
{
	(void)state;
	for (int i = 0; i < 6; i++) {
		reach(ASK_QUEUED);
		FD_AUTO pidfd = open_child();
		FD_AUTO own = (int)syscall(SYS_pidfd_open, getpid(), 0);
		FD_AUTO null = open("/dev/null", O_RDONLY | O_CLOEXEC);
		const int fds[][5] = { { -1 },           { null },  { own },
				       { pidfd, pidfd }, { pidfd }, { pidfd, pidfd, pidfd, pidfd, pidfd } };
		static const size_t counts[] = { 0, 1, 1, 2, 1, 5 };
		struct nursery_answer a = answer(NURSERY_FORKED);
		a.pid = i == 4 ? 0 : t.child;
		say(&a, sizeof a, fds[i], counts[i]);
		assert_lost(NURSERY_NO_ANSWER);
		assert_int_equal(t.worker.pid, 0);
		assert_int_equal(t.worker.pidfd, -1);
		tear_down(state);
		set_up(state);
	}
}

static void
test_two_workers(void **state)
{
	(void)state;
	reach(ASK_FORKED);
	say_forked();
	assert_lost(NURSERY_NO_ANSWER);
	assert_int_equal(t.worker.pid, t.child); /* to be killed by whoever gives up */
}

static void
test_nonsense(void **state)
{
	(void)state;
	for (int i = 0; i < 9; i++) {
		reach(ASK_QUEUED);
		struct nursery_answer a[2] = { answer(NURSERY_REFUSED) };
		size_t size = sizeof *a;
		a->magic += i == 0;
		a->version = (uint16_t)(a->version + (i == 1));
		a->id += i == 2;
		a->op = (uint16_t)(i == 3 ? 9999 : i == 4 ? NURSERY_QUEUED : i == 5 ? NURSERY_CHANGED : a->op);
		size -= i == 6;
		size += i == 7;
		size = i == 8 ? 1 : size;
		a->reason = NURSERY_FULL;
		say(a, size, NULL, 0);
		assert_lost(NURSERY_NO_ANSWER);
		tear_down(state);
		set_up(state);
	}
}

static void
test_nonsense_while_the_worker_works(void **state)
{
	(void)state;
	reach(ASK_DONE);
	say("what?", 5, NULL, 0);
	say_op(NURSERY_QUEUED);
	say_op(NURSERY_REFUSED);
	say_forked();
	assert_int_equal(t.nursery.stage, ASK_DONE);
	say_changed(0x137f);
	assert_true(t.worker.stopped);
}

/* --- how it changes --- */

static void
test_changes(void **state)
{
	(void)state;
	reach(ASK_DONE);
	struct nursery_answer other = answer(NURSERY_CHANGED);
	other.pid = t.child + 1;
	other.status = SIGKILL;
	say(&other, sizeof other, NULL, 0);
	assert_false(t.worker.told);
	say_changed(0x137f); /* SIGSTOP */
	assert_true(t.worker.stopped && !t.worker.told);
	say_changed(0xffff); /* SIGCONT */
	assert_false(t.worker.stopped || t.worker.told);
	say_changed(0x0300); /* exit status 3 */
	assert_true(t.worker.told && !t.worker.ended);
	assert_true(worker_settle(&t.worker));
	assert_true(t.worker.ended && !t.worker.unknown);
	assert_int_equal(t.worker.status, 0x0300);
}

static void
test_everything_at_once(void **state)
{
	(void)state;
	begin();
	FD_AUTO pidfd = open_child();
	struct nursery_answer a[] = { answer(NURSERY_QUEUED), answer(NURSERY_FORKED), answer(NURSERY_CHANGED) };
	a[1].pid = a[2].pid = t.child;
	a[2].status = SIGSEGV;
	assert_int_equal(send(t.connection, &a[0], sizeof *a, 0), sizeof *a);
	char control[CMSG_SPACE(sizeof pidfd)] = { 0 };
	struct iovec bytes = { &a[1], sizeof *a };
	struct msghdr message = {
		.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	*c = (struct cmsghdr){ CMSG_LEN(sizeof pidfd), SOL_SOCKET, SCM_RIGHTS };
	memcpy(CMSG_DATA(c), &pidfd, sizeof pidfd);
	assert_int_equal(sendmsg(t.connection, &message, 0), sizeof *a);
	say(&a[2], sizeof *a, NULL, 0);
	assert_int_equal(t.nursery.stage, ASK_FORKED);
	assert_true(t.worker.told);
	assert_int_equal(t.worker.status, SIGSEGV);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_born, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_born_without_having_queued, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_silence, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_hang_up, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_forked_with_what_is_no_pidfd_of_the_worker, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_two_workers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nonsense, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nonsense_while_the_worker_works, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_changes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_everything_at_once, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
