/* SPDX-License-Identifier: BSD-3-Clause */
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "listener.h"

#define SIGNAL_PROCESS_GROUP 4 /* PIDFD_SIGNAL_PROCESS_GROUP, Linux 6.9 */
#define ROOM (4 << 20) /* bytes of rows on their way, where we may have as many; what does not fit is not sent */

static void
release(struct listener *l, void *client)
{
	struct client *c = client;
	TAILQ_REMOVE(c->state == CLIENT_WAITING ? &l->waiting : &l->served, c, next);
	(c->state == CLIENT_WAITING ? policy_leave : policy_release)(&l->policy, c->user);
	watch_close(l, &c->front);
	watch_close(l, &c->worker);
	fd_close(&c->caller.pidfd);
	datagram_close(&c->datagram);
	free(c);
}

/* To a front that does not read, or hung up, nothing is said. */
static int
answer(struct client *c, enum nursery_op op, struct nursery_answer a, int fd)
{
	a.magic = NURSERY_MAGIC;
	a.version = NURSERY_VERSION;
	a.op = (uint16_t)op;
	a.id = c->id;
	return datagram_send(c->front.fd, &a, sizeof a, &fd, fd >= 0);
}

static void
refuse(struct listener *l, struct client *c, enum nursery_reason reason)
{
	struct nursery_answer a = { .reason = (uint16_t)reason, .verdict = (uint16_t)datagram_verdict(reason) };
	l->status.refused[reason]++;
	l->status.refusals++;
	log_info("event=refused uid=%u reason=\"%s\"", c->caller.uid, nursery_reason_text(reason));
	answer(c, NURSERY_REFUSED, a, -1);
	release(l, c);
}

/* The front is gone, or must go. Its worker's lifeline does the same, unless that is stopped or not listened to yet. */
static void
hang_up(struct listener *l, struct client *c)
{
	watch_close(l, &c->front);
	if (c->state < CLIENT_ORDERED) {
		release(l, c);
	} else if (c->state == CLIENT_LIVE &&
		   syscall(SYS_pidfd_send_signal, c->worker.fd, SIGKILL, NULL, SIGNAL_PROCESS_GROUP) < 0) {
		/* It leads no group yet; or Linux does not know how, then the lifeline takes its children with it. */
		syscall(SYS_pidfd_send_signal, c->worker.fd, errno == EINVAL ? SIGCONT : SIGKILL, NULL, 0);
	}
}

static enum nursery_reason
start(struct listener *l, struct client *c, const struct nursery_request *r)
{
	const struct template *t = l->ready;
	if (l->system ? c->caller.uid < l->min_uid : c->caller.uid != geteuid())
		return NURSERY_NOT_ALLOWED;
	if (l->status.draining || t == NULL)
		return l->status.draining ? NURSERY_DRAINING : NURSERY_NOT_READY;
	if (memcmp(&r->python, &t->status.python, sizeof r->python) != 0)
		return NURSERY_OTHER_PYTHON;
	enum nursery_reason reason = policy_admit(&l->policy, c->user, l->now_ms);
	if (reason != NURSERY_OK)
		return reason;
	policy_leave(&l->policy, c->user);
	TAILQ_REMOVE(&l->waiting, c, next);
	TAILQ_INSERT_TAIL(&l->served, c, next);
	c->state = CLIENT_QUEUED;
	c->order = (struct nursery_order){ NURSERY_MAGIC, NURSERY_VERSION, NURSERY_FORK, ++l->serial,
					   .caller = c->caller.pid };
	reason = caller_place(&c->caller, c->front.fd, !l->system, &c->order.placement, &c->datagram);
	if (reason != NURSERY_OK)
		return reason;
	fd_close(&c->caller.pidfd);
	answer(c, NURSERY_QUEUED, (struct nursery_answer){ 0 }, -1);
	client_dispatch(l);
	return NURSERY_OK;
}

/* The counters, and a row for each worker that the client may know of. */
static void
tell_status(struct listener *l, struct client *c)
{
	struct nursery_status s = l->status;
	struct client *w;
	s.id = c->id;
	s.uptime_s = (uint64_t)(l->now_ms - l->start_ms) / 1000;
	s.live = l->policy.kernels;
	for (struct template *t = l->templates; t < TEMPLATES_END(l); t++) {
		t->status.age_s = (uint64_t)(l->now_ms - t->since_ms) / 1000;
		s.templates[s.template_count] = t->status;
		s.template_count += t->status.state != NURSERY_TEMPLATE_NONE;
	}
	setsockopt(c->front.fd, SOL_SOCKET, SO_SNDBUFFORCE, &(int){ ROOM }, sizeof(int));
	int sent = datagram_send(c->front.fd, &s, sizeof s, NULL, 0);
	TAILQ_FOREACH (w, &l->served, next) {
		w->row.id = c->id;
		w->row.age_s = (uint64_t)(l->now_ms - w->since_ms) / 1000;
		if (sent == 0 && w->state == CLIENT_LIVE && (c->caller.uid == 0 || c->caller.uid == w->row.uid))
			sent = datagram_send(c->front.fd, &w->row, sizeof w->row, NULL, 0);
	}
}

/* A process that shares our descriptors, and ends with us, closes what may take as long to close as a stranger wants. */
static void
close_elsewhere(struct datagram *d)
{
	long pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (pid <= 0)
		datagram_close(d);
	if (pid == 0)
		_exit(0);
	d->fd_count = 0;
}

static enum nursery_reason
serve(struct listener *l, struct client *c, const struct nursery_request *r)
{
	struct datagram *d = &c->datagram;
	enum nursery_reason reason = datagram_check_request(r, d->size, d->fd_count);
	if (d->fd_count > 0 && (d->fd_count != NURSERY_FD_COUNT || !datagram_check_fds(d->fds))) {
		policy_ban(c->user, l->now_ms);
		close_elsewhere(d);
		return NURSERY_BAD_REQUEST;
	}
	if (reason != NURSERY_OK || r->op == NURSERY_START)
		return reason == NURSERY_OK ? start(l, c, r) : reason;
	if (r->op != NURSERY_STATUS && c->caller.uid != 0 && c->caller.uid != geteuid())
		return NURSERY_NOT_ALLOWED;
	if (r->op == NURSERY_STATUS)
		tell_status(l, c);
	else if (r->op == NURSERY_RELOAD)
		template_build(l, true);
	else
		l->status.draining = true;
	return NURSERY_OK;
}

static void
front_ready(struct listener *l, void *client)
{
	struct client *c = client;
	struct nursery_request r = { 0 };
	int got = c->state == CLIENT_WAITING ? datagram_receive(c->front.fd, &r, sizeof r, &c->datagram) : 0;
	if (got <= 0) {
		if (got == 0) /* or it speaks where it has nothing more to say */
			hang_up(l, c);
		return;
	}
	c->id = r.id;
	enum nursery_reason reason = serve(l, c, &r);
	if (reason != NURSERY_OK) {
		refuse(l, c, reason);
	} else if (r.op != NURSERY_START) {
		answer(c, NURSERY_DONE, (struct nursery_answer){ 0 }, -1);
		release(l, c);
	}
}

/* One a turn, so that those who connect delay nobody by more than that. */
void
client_accept(struct listener *l, void *unused)
{
	(void)unused;
	int fd = accept4(l->door.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct client *c = fd < 0 ? NULL : calloc(1, sizeof *c);
	l->crowd = fd >= 0;
	if (c == NULL || caller_meet(fd, &c->caller) < 0 ||
	    (c->user = policy_user(&l->policy, c->caller.uid, l->now_ms)) == NULL ||
	    policy_enter(&l->policy, c->user, l->now_ms) < 0) {
		if (c != NULL)
			fd_close(&c->caller.pidfd);
		free(c);
		fd_close(&fd);
		return;
	}
	c->front = (struct watch){ fd, front_ready, c };
	c->worker = (struct watch){ -1, release, c };
	c->since_ms = l->now_ms;
	TAILQ_INSERT_TAIL(&l->waiting, c, next);
	if (l->policy.waiting > WAITING_MAX)
		release(l, TAILQ_FIRST(&l->waiting));
	if (watch_add(l, &c->front, EPOLLIN) < 0)
		release(l, c);
}

/* Users take turns: of those who wait longest, one whose user was served least recently. */
void
client_dispatch(struct listener *l)
{
	struct template *t = l->ready;
	while (t == NULL || t->deadline_ms == 0) {
		struct client *c, *best = NULL;
		TAILQ_FOREACH (c, &l->served, next) {
			if (c->state == CLIENT_QUEUED && (best == NULL || c->user->turn < best->user->turn))
				best = c;
		}
		if (best == NULL)
			return;
		struct datagram *d = &best->datagram;
		best->user->turn = ++l->policy.turn;
		if (t == NULL) {
			refuse(l, best, NURSERY_NOT_READY);
		} else if (datagram_send(t->socket.fd, &best->order, sizeof best->order, d->fds, d->fd_count) < 0) {
			refuse(l, best,
			       errno == EPIPE || errno == ECONNRESET ? NURSERY_TEMPLATE_DIED : NURSERY_NO_MEMORY);
		} else {
			datagram_close(d);
			best->state = CLIENT_ORDERED;
			best->template = t;
			t->deadline_ms = l->now_ms + ORDER_MS;
		}
	}
}

static void
forked(struct listener *l, struct client *c, const struct nursery_report *r, struct datagram *d)
{
	c->state = CLIENT_LIVE;
	c->worker.fd = d->fds[--d->fd_count];
	c->since_ms = l->now_ms;
	c->row = (struct nursery_row){ NURSERY_MAGIC, NURSERY_VERSION, NURSERY_STATUS, .pid = r->pid,
				       .uid = c->caller.uid };
	c->template->status.forks++;
	l->status.fork_us[l->status.forks++ % NURSERY_FORK_TIMES] = r->fork_us;
	l->died = 0;
	log_info("event=forked uid=%u pid=%d us=%u", c->caller.uid, r->pid, r->fork_us);
	if (answer(c, NURSERY_FORKED, (struct nursery_answer){ .pid = r->pid }, c->worker.fd) < 0) {
		syscall(SYS_pidfd_send_signal, c->worker.fd, SIGKILL, NULL, 0);
		hang_up(l, c);
	}
}

void
client_report(struct listener *l, struct template *t, const struct nursery_report *r, struct datagram *d)
{
	enum client_state state = r->op == NURSERY_CHANGED ? CLIENT_LIVE : CLIENT_ORDERED;
	struct nursery_answer a = { .pid = r->pid,
				    .status = r->status,
				    .user_us = r->user_us,
				    .system_us = r->system_us,
				    .peak_kib = r->peak_kib };
	struct client *c = TAILQ_FIRST(&l->served);
	while (c != NULL && (c->template != t || c->state != state ||
			     (state == CLIENT_LIVE ? c->row.pid != r->pid : c->order.id != r->id)))
		c = TAILQ_NEXT(c, next);
	if (c == NULL)
		return;
	if (state == CLIENT_LIVE) {
		c->row.stopped = WIFSTOPPED(r->status);
		answer(c, NURSERY_CHANGED, a, -1);
		if (WIFEXITED(r->status) || WIFSIGNALED(r->status))
			release(l, c);
		return;
	}
	t->deadline_ms = 0;
	if (r->op == NURSERY_FORKED)
		forked(l, c, r, d);
	else
		refuse(l, c, r->reason == NURSERY_OK ? NURSERY_NO_MEMORY : r->reason);
}

void
client_orphan(struct listener *l, const struct template *t)
{
	for (struct client *next, *c = TAILQ_FIRST(&l->served); c != NULL; c = next) {
		next = TAILQ_NEXT(c, next);
		if (c->template != t)
			continue;
		c->template = NULL;
		if (c->state == CLIENT_ORDERED)
			refuse(l, c, NURSERY_TEMPLATE_DIED);
		else if (watch_add(l, &c->worker, EPOLLIN) < 0)
			release(l, c);
	}
}

bool
client_tick(struct listener *l)
{
	struct client *c;
	while ((c = TAILQ_FIRST(&l->waiting)) != NULL && c->since_ms + HEAR_MS <= l->now_ms)
		release(l, c);
	return c != NULL;
}
