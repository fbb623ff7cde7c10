/* SPDX-License-Identifier: BSD-3-Clause */
#include <grp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "listener.h"

#define SIGNAL_PROCESS_GROUP 4 /* PIDFD_SIGNAL_PROCESS_GROUP, Linux 6.9 */

/* An usher's descriptors. At its end they are closed in their order: the report's hang-up says that nothing hangs any more. */
enum { CONNECTION, CALLER, NOTHING, REPORT = 32 };

/* As fork; but the child has nothing open except `first` as 0 and, where they are not -1, `second` as 1 and `report` as REPORT. */
static pid_t
fork_alone(int first, int second, int report)
{
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(first, CONNECTION);
	if (dup2(second, CALLER) < 0)
		close(CALLER);
	close_range(NOTHING, dup2(report, REPORT) < 0 ? ~0u : REPORT - 1, 0);
	close_range(REPORT + 1, ~0u, 0);
	return 0;
}

static void
say(const struct usher_word *w, const struct datagram *d)
{
	if (datagram_send(REPORT, w, sizeof *w, d->fds, d->fd_count) < 0)
		_exit(EXIT_FAILURE);
}

/* Hand the descriptors on, and keep them until nobody of ours has them: to close one last may take for ever. */
static void
introduce(const struct caller *c, struct usher_word *w, const struct datagram *theirs)
{
	struct datagram ours = { 0 };
	int hand[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, hand) < 0 ||
	    datagram_send(hand[0], "", 1, theirs->fds, theirs->fd_count) < 0)
		_exit(EXIT_FAILURE);
	ours.fds[ours.fd_count++] = hand[1];
	w->reason = caller_place(c, CONNECTION, &w->placement, &ours);
	prctl(PR_SET_PDEATHSIG, 0);
	say(w, &ours);
	datagram_close(&ours);
	struct pollfd others = { .fd = hand[0] };
	while (poll(&others, 1, -1) < 0)
		continue;
	say(w, &ours);
}

/* Take out what was said, and see to it that nothing can be put in any more: so the listener can close the connection. */
static _Noreturn void
work(struct caller c)
{
	struct usher_word w = { 0 };
	struct datagram d = { 0 }, more;
	c.pidfd = CALLER;
	if (datagram_receive(CONNECTION, &w.request, sizeof w.request, &d) <= 0)
		_exit(EXIT_FAILURE);
	shutdown(CONNECTION, SHUT_RD);
	while (datagram_receive(CONNECTION, &(char){ 0 }, 1, &more) > 0)
		datagram_close(&more);
	w.reason = datagram_check_request(&w.request, d.size, d.fd_count);
	if (d.fd_count > 0 && (d.fd_count != NURSERY_FD_COUNT || !datagram_check_fds(d.fds)))
		w.reason = NURSERY_BAD_REQUEST;
	if (w.reason == NURSERY_OK && w.request.op == NURSERY_START)
		introduce(&c, &w, &d);
	else
		say(&w, &(struct datagram){ 0 });
	_exit(EXIT_SUCCESS);
}

void
usher_send(struct listener *l, struct client *c)
{
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return;
	pid_t pid = fork_alone(c->front.fd, c->caller.pidfd, ends[1]);
	if (pid == 0)
		work(c->caller);
	c->usher = (int)syscall(SYS_pidfd_open, pid, 0); /* nobody has reaped it yet */
	close(ends[1]);
	c->report.fd = ends[0];
	c->user->ushers++;
	watch_add(l, &c->report, EPOLLIN);
}

/* The group by itself, where Linux knows how and it leads one; else the lifeline takes its children with it. */
void
usher_end_worker(const struct listener *l, const struct client *c)
{
	const struct caller *user = &c->caller;
	if (fork_alone(c->worker.fd, -1, -1) != 0)
		return;
	if (l->system && (setgroups(0, NULL) < 0 || setresgid(user->gid, user->gid, user->gid) < 0 ||
			  setresuid(user->uid, user->uid, user->uid) < 0))
		_exit(EXIT_FAILURE);
	if (syscall(SYS_pidfd_send_signal, 0, SIGKILL, NULL, SIGNAL_PROCESS_GROUP) < 0)
		syscall(SYS_pidfd_send_signal, 0, errno == EINVAL ? SIGCONT : SIGKILL, NULL, 0);
	_exit(EXIT_SUCCESS);
}
