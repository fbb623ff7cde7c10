/* SPDX-License-Identifier: BSD-3-Clause */
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "listener.h"

#define OVERFLOW_UID 65534 /* nobody, and whoever has no number here */
#define UNREAD_MAX 8192    /* bytes on their way in a connection, which Linux doubles, and one datagram more */
#define ALMOST_NOTHING 64  /* while the last datagram is being read Linux still counts a byte of it */

/* Whether it counts as a kernel, and not as one who waits. */
static bool
is_served(const struct client *c)
{
	return c->state >= CLIENT_QUEUED && c->state <= CLIENT_LIVE;
}

static void
enter(struct listener *l, struct client *c, enum client_state state, long long patience_ms)
{
	c->state = state;
	c->deadline_ms = patience_ms == 0 ? 0 : l->now_ms + patience_ms;
}

/* Its usher may hang, and is remembered until it has ended; it is killed unless it keeps something for us. */
static void
release(struct listener *l, struct client *c)
{
	TAILQ_REMOVE(&l->clients, c, next);
	if (is_served(c))
		policy_release(&l->policy, c->user);
	else
		c->user->waiting--;
	watch_close(l, &c->front);
	watch_close(l, &c->worker);
	fd_close(&c->caller.pidfd);
	datagram_close(&c->datagram);
	if (c->report.fd >= 0 && c->state == CLIENT_LOOKED)
		syscall(SYS_pidfd_send_signal, c->usher, SIGKILL, NULL, 0);
	c->state = CLIENT_GONE;
	if (c->report.fd < 0)
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

/* A file with a row for each worker that the client may know of: however many, they are sent at once. -1: there is no memory. */
static int
write_rows(struct listener *l, const struct client *c)
{
	int file = memfd_create("workers", MFD_CLOEXEC);
	struct client *w;
	TAILQ_FOREACH (w, &l->clients, next) {
		bool is_shown = w->state == CLIENT_LIVE && (c->caller.uid == 0 || c->caller.uid == w->row.uid);
		w->row.age_s = (uint64_t)(l->now_ms - w->since_ms) / 1000;
		if (file >= 0 && is_shown && write(file, &w->row, sizeof w->row) < 0)
			fd_close(&file);
	}
	return file;
}

/* Something was read by who leaves, or the other end was closed: of what nobody reads each user may have so much and no more. */
static void
leaving_ready(struct listener *l, void *client)
{
	struct client *c = client;
	int unread = 0;
	if (ioctl(c->front.fd, SIOCOUTQ, &unread) < 0 || unread < ALMOST_NOTHING)
		release(l, c);
}

/* There is nothing more to do for it; it is gone once it has read the last word. */
static void
leave(struct listener *l, void *client)
{
	struct client *c = client;
	if (is_served(c)) {
		policy_release(&l->policy, c->user);
		c->user->waiting++;
	}
	enter(l, c, CLIENT_LEAVING, 0);
	watch_close(l, &c->worker);
	datagram_close(&c->datagram);
	c->front.ready = leaving_ready;
	if (c->front.fd < 0 || watch_add(l, &c->front, EPOLLOUT | EPOLLET) < 0)
		release(l, c);
}

/* Tell the scribe, if it listens; unless it is -1 a descriptor goes with it. */
static void
note(struct client *c, enum nursery_op op, struct nursery_note n, int fd)
{
	c->event.op = op;
	c->event.note = n;
	datagram_send(SCRIBE_FD, &c->event, sizeof c->event, &fd, fd >= 0);
}

static void
refuse(struct listener *l, struct client *c, enum nursery_reason reason)
{
	struct nursery_answer a = { .reason = (uint16_t)reason, .verdict = (uint16_t)datagram_verdict(reason) };
	l->status.refused[reason]++;
	l->status.refusals++;
	note(c, NURSERY_REFUSED, (struct nursery_note){ .pid = c->caller.pid, .reason = (uint16_t)reason }, -1);
	answer(c, NURSERY_REFUSED, a, -1);
	leave(l, c);
}

/* Send ushers to those who spoke, as many as there may be. */
static void
look(struct listener *l)
{
	struct client *c;
	TAILQ_FOREACH (c, &l->clients, next) {
		if (c->state != CLIENT_HEARD || (l->system && c->user->ushers >= USHERS_MAX))
			continue;
		usher_send(l, c);
		enter(l, c, CLIENT_LOOKED, LOOK_MS);
	}
}

/* The front is gone, or must go. Its worker's lifeline does the same, unless that is stopped or not listened to yet. */
static void
hang_up(struct listener *l, struct client *c)
{
	watch_close(l, &c->front);
	if (c->state < CLIENT_ORDERED)
		release(l, c);
	else if (c->state == CLIENT_LIVE && (c->is_placed || !l->system))
		usher_end_worker(l, c);
}

static void
front_ready(struct listener *l, void *client)
{
	struct client *c = client;
	if (c->state != CLIENT_WAITING) {
		hang_up(l, c);
		return;
	}
	enter(l, c, CLIENT_HEARD, HEAR_MS);
	look(l);
}

static bool
may_start(const struct listener *l, uid_t uid)
{
	return l->system ? uid >= l->min_uid && uid <= l->max_uid && uid != OVERFLOW_UID : uid == geteuid();
}

/* Who may not start a kernel has no places of their own: of such numbers a user may have many, in a user namespace. */
static struct policy_user *
user_of(struct listener *l, const struct caller *c)
{
	bool is_ours = c->uid == 0 || c->uid == geteuid(), is_known = is_ours || may_start(l, c->uid);
	struct policy_user *user = policy_user(&l->policy, is_known ? c->uid : NURSERY_STRANGERS, l->now_ms);
	/* Whoever has no place anyway is not looked at. */
	bool is_new = user != NULL && user->waiting < POLICY_WAITING_MAX;
	return is_new && !is_ours && caller_is_foreign(c) ? policy_user(&l->policy, NURSERY_STRANGERS, l->now_ms)
							  : user;
}

static enum nursery_reason
start(struct listener *l, struct client *c, const struct usher_word *w, struct datagram *d)
{
	const struct template *t = l->ready;
	if (!may_start(l, c->caller.uid))
		return NURSERY_NOT_ALLOWED;
	if (l->status.draining || t == NULL)
		return l->status.draining ? NURSERY_DRAINING : NURSERY_NOT_READY;
	if (memcmp(&w->request.python, &t->status.python, sizeof t->status.python) != 0)
		return NURSERY_OTHER_PYTHON;
	enum nursery_reason reason = w->reason ?: policy_admit(&l->policy, c->user, l->now_ms);
	if (reason != NURSERY_OK)
		return reason;
	c->user->waiting--;
	enter(l, c, CLIENT_QUEUED, 0);
	if (watch_add(l, &c->front, 0) < 0) /* what is left to hear is its end */
		return NURSERY_NO_MEMORY;
	c->order = (struct nursery_order){ NURSERY_MAGIC, NURSERY_VERSION,         NURSERY_FORK,
					   ++l->serial,   .caller = c->caller.pid, .placement = w->placement };
	c->datagram = *d;
	d->fd_count = 0;
	answer(c, NURSERY_QUEUED, (struct nursery_answer){ 0 }, -1);
	client_dispatch(l);
	return NURSERY_OK;
}

static void
tell_status(struct listener *l, struct client *c)
{
	struct nursery_status s = l->status;
	FD_AUTO file = write_rows(l, c);
	s.id = c->id;
	s.uptime_s = (uint64_t)(l->now_ms - l->start_ms) / 1000;
	s.live = l->policy.kernels;
	for (struct template *t = l->templates; t < TEMPLATES_END(l); t++) {
		t->status.age_s = (uint64_t)(l->now_ms - t->since_ms) / 1000;
		s.templates[s.template_count] = t->status;
		s.template_count += t->status.state != NURSERY_TEMPLATE_NONE;
	}
	datagram_send(c->front.fd, &s, sizeof s, &file, file >= 0);
}

static enum nursery_reason
serve(struct listener *l, struct client *c, const struct usher_word *w)
{
	enum nursery_op op = w->request.op;
	bool is_ours = c->caller.uid == 0 || c->caller.uid == geteuid(), is_note = op >= NURSERY_NOTE_COLD;
	if (w->reason != NURSERY_OK)
		return w->reason;
	if (!is_ours && op != NURSERY_STATUS && (!is_note || !may_start(l, c->caller.uid)))
		return NURSERY_NOT_ALLOWED;
	if (c->caller.uid != 0 && policy_spend(&l->policy, c->user, l->now_ms) != NURSERY_OK)
		return NURSERY_TOO_MANY;
	if (op == NURSERY_STATUS)
		tell_status(l, c);
	if (op == NURSERY_RELOAD)
		template_build(l, true);
	l->status.draining = l->status.draining || op == NURSERY_DRAIN;
	if (op >= NURSERY_LEDGER)
		note(c, op, w->request.note, is_note ? -1 : c->front.fd);
	if (op != NURSERY_LEDGER) /* which the scribe answers */
		answer(c, NURSERY_DONE, (struct nursery_answer){ 0 }, -1);
	return NURSERY_OK;
}

/* An usher comes back: first with what was said and how the caller looks. */
static void
heard(struct listener *l, struct client *c, const struct usher_word *w, struct datagram *d)
{
	bool is_start = d->fd_count > 0;
	c->id = w->request.id;
	c->event.is_start = w->request.op == NURSERY_START;
	memcpy(c->event.kernel, w->request.kernel, sizeof c->event.kernel);
	enum nursery_reason reason = is_start ? start(l, c, w, d) : serve(l, c, w);
	if (reason != NURSERY_OK)
		refuse(l, c, reason);
	else if (!is_start)
		leave(l, c);
}

/* Then when nobody of ours has the caller's descriptors any more: the worker, if there is one, is its user's. At last when it has ended. */
static void
usher_ready(struct listener *l, void *client)
{
	struct client *c = client;
	struct usher_word w;
	struct datagram d;
	int got = datagram_receive(c->report.fd, &w, sizeof w, &d);
	if (got >= 0 && c->state > CLIENT_LOOKED && !c->is_placed) {
		c->is_placed = true;
		c->deadline_ms = 0;
		if (c->state == CLIENT_LIVE && c->front.fd < 0)
			usher_end_worker(l, c);
	} else if (got > 0 && c->state == CLIENT_LOOKED) {
		heard(l, c, &w, &d);
	}
	if (got > 0)
		datagram_close(&d);
	if (got != 0)
		return;
	watch_close(l, &c->report);
	fd_close(&c->usher);
	c->user->ushers--;
	if (c->state == CLIENT_LOOKED)
		release(l, c);
	else if (c->state == CLIENT_GONE)
		free(c);
	look(l);
}

/* One. */
void
client_accept(struct listener *l, void *unused)
{
	(void)unused;
	int fd = accept4(l->door.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct client *c = fd < 0 ? NULL : calloc(1, sizeof *c);
	l->crowd = fd >= 0;
	if (c == NULL || caller_meet(fd, &c->caller) < 0 || (c->user = user_of(l, &c->caller)) == NULL) {
		if (c != NULL)
			fd_close(&c->caller.pidfd);
		free(c);
		fd_close(&fd);
		return;
	}
	c->caller.keep = !l->system;
	c->caller.may_be_confined = l->confined != 0;
	c->front = (struct watch){ fd, front_ready, c };
	c->worker = (struct watch){ -1, leave, c };
	c->report = (struct watch){ -1, usher_ready, c };
	c->deadline_ms = l->now_ms + HEAR_MS;
	c->event = (struct nursery_event){ .uid = c->caller.uid, .account = c->user->uid };
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &(int){ UNREAD_MAX }, sizeof(int));
	TAILQ_INSERT_TAIL(&l->clients, c, next);
	if ((++c->user->waiting > POLICY_WAITING_MAX && l->system) ||
	    watch_add(l, &c->front, EPOLLIN | EPOLLONESHOT) < 0)
		release(l, c);
}

/* Users take turns: of those who wait longest, one whose user was served least recently. */
void
client_dispatch(struct listener *l)
{
	struct template *t = l->ready;
	while (t == NULL || t->deadline_ms == 0) {
		struct client *c, *best = NULL;
		TAILQ_FOREACH (c, &l->clients, next) {
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
			enter(l, best, CLIENT_ORDERED, 0);
			best->template = t;
			t->deadline_ms = l->now_ms + ORDER_MS;
		}
	}
}

static void
forked(struct listener *l, struct client *c, const struct nursery_report *r, struct datagram *d)
{
	enter(l, c, CLIENT_LIVE, c->is_placed ? 0 : PLACE_MS);
	c->worker.fd = d->fds[--d->fd_count];
	c->since_ms = l->now_ms;
	c->row = (struct nursery_row){ .pid = r->pid, .uid = c->caller.uid };
	memcpy(c->row.kernel, c->event.kernel, sizeof c->row.kernel);
	c->template->status.forks++;
	l->status.fork_us[l->status.forks++ % NURSERY_FORK_TIMES] = r->fork_us;
	l->died = 0;
	note(c, NURSERY_FORKED, (struct nursery_note){ .pid = r->pid }, -1);
	if (answer(c, NURSERY_FORKED, (struct nursery_answer){ .pid = r->pid }, c->worker.fd) < 0)
		hang_up(l, c);
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
	struct nursery_note end = { r->pid, r->status, .used_us = r->user_us + r->system_us, .peak_kib = r->peak_kib };
	struct client *c = TAILQ_FIRST(&l->clients);
	while (c != NULL && (c->template != t || c->state != state ||
			     (state == CLIENT_LIVE ? c->row.pid != r->pid : c->order.id != r->id)))
		c = TAILQ_NEXT(c, next);
	if (c == NULL)
		return;
	if (state == CLIENT_LIVE) {
		c->row.stopped = WIFSTOPPED(r->status);
		answer(c, NURSERY_CHANGED, a, -1);
		if (WIFSTOPPED(r->status) || WIFCONTINUED(r->status))
			return;
		note(c, NURSERY_CHANGED, end, -1);
		leave(l, c);
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
	for (struct client *next, *c = TAILQ_FIRST(&l->clients); c != NULL; c = next) {
		next = TAILQ_NEXT(c, next);
		if (c->template != t)
			continue;
		c->template = NULL;
		if (c->state == CLIENT_ORDERED)
			refuse(l, c, NURSERY_TEMPLATE_DIED);
		else if (watch_add(l, &c->worker, EPOLLIN) < 0)
			leave(l, c);
	}
}

static void
overdue(struct listener *l, struct client *c)
{
	char byte;
	c->deadline_ms = 0;
	if (!is_served(c)) {
		release(l, c);
		return;
	}
	if (recv(c->report.fd, &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT) >= 0) /* it has just become so */
		return;
	/* It is still ours, and not its user's, whose cgroup may be frozen. */
	log_error("event=worker_hangs uid=%u pid=%d", c->caller.uid, c->row.pid);
	syscall(SYS_pidfd_send_signal, c->worker.fd, SIGKILL, NULL, 0);
}

bool
client_tick(struct listener *l)
{
	bool due = false;
	for (struct client *c = TAILQ_FIRST(&l->clients); c != NULL;) {
		bool is_over = c->deadline_ms != 0 && c->deadline_ms <= l->now_ms;
		due = due || c->deadline_ms != 0;
		if (is_over)
			overdue(l, c);
		c = is_over ? TAILQ_FIRST(&l->clients) : TAILQ_NEXT(c, next);
	}
	return due;
}
