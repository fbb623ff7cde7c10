/* SPDX-License-Identifier: BSD-3-Clause */
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "listener.h"

#define CLIENT_OF(watch, member) ((struct client *)((char *)(watch)-offsetof(struct client, member)))
#define SIGNAL_PROCESS_GROUP 4 /* PIDFD_SIGNAL_PROCESS_GROUP, Linux 6.9 */
#define ROOM (4 << 20) /* bytes of rows on their way, where we may have as many; what does not fit is not sent */

static void
move(struct listener *l, struct client *c, enum client_state state)
{
	if (c->state == CLIENT_WAITING)
		policy_wait(&l->policy, c->caller.uid, -1, l->now_ms);
	TAILQ_REMOVE(&l->clients[c->state], c, next);
	c->state = state;
	TAILQ_INSERT_TAIL(&l->clients[state], c, next);
}

static void
release(struct listener *l, struct client *c)
{
	move(l, c, CLIENT_LIVE);
	TAILQ_REMOVE(&l->clients[CLIENT_LIVE], c, next);
	if (c->admitted)
		policy_release(&l->policy, c->caller.uid, l->now_ms);
	watch_close(l, &c->front);
	watch_close(l, &c->worker);
	fd_close(&c->caller.pidfd);
	datagram_close(&c->datagram);
	free(c);
}

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
	l->refused[reason]++;
	log_info("event=refused uid=%u reason=\"%s\"", c->caller.uid, nursery_reason_text(reason));
	answer(c, NURSERY_REFUSED, a, -1);
	release(l, c);
}

/* The front is gone, or must go. Its worker's lifeline does the same, unless that is stopped or not listened to yet. */
static void
hang_up(struct listener *l, struct client *c)
{
	watch_close(l, &c->front);
	if (c->state < CLIENT_ORDERED || c->ended) {
		release(l, c);
	} else if (c->state == CLIENT_LIVE &&
		   syscall(SYS_pidfd_send_signal, c->worker.fd, SIGKILL, NULL, SIGNAL_PROCESS_GROUP) < 0) {
		/* It leads no group yet; or Linux does not know how, then the lifeline takes its children with it. */
		syscall(SYS_pidfd_send_signal, c->worker.fd, errno == EINVAL ? SIGCONT : SIGKILL, NULL, 0);
	}
}

/* The worker ended. How, only its template can say, if there is one, and somebody who wants to know. */
static void
worker_ready(struct listener *l, struct watch *w)
{
	struct client *c = CLIENT_OF(w, worker);
	c->ended = true;
	if (c->template == NULL || c->front.fd < 0)
		release(l, c);
}

static enum nursery_reason
start(struct listener *l, struct client *c, const struct nursery_request *r)
{
	const struct template *t = template_ready(l);
	if (l->system ? c->caller.uid < l->min_uid : c->caller.uid != geteuid())
		return NURSERY_NOT_ALLOWED;
	if (l->draining || t == NULL)
		return l->draining ? NURSERY_DRAINING : NURSERY_NOT_READY;
	if (memcmp(&r->python, &t->python, sizeof r->python) != 0)
		return NURSERY_OTHER_PYTHON;
	enum nursery_reason reason = policy_admit(&l->policy, c->caller.uid, l->now_ms);
	c->admitted = reason == NURSERY_OK;
	if (reason == NURSERY_OK)
		reason = caller_place(&c->caller, c->front.fd, !l->system, &c->order.placement, &c->datagram);
	if (reason != NURSERY_OK)
		return reason;
	c->order.magic = NURSERY_MAGIC;
	c->order.version = NURSERY_VERSION;
	c->order.op = NURSERY_FORK;
	c->order.id = ++l->serial;
	c->order.caller = c->caller.pid;
	fd_close(&c->caller.pidfd);
	move(l, c, CLIENT_QUEUED);
	if (answer(c, NURSERY_QUEUED, (struct nursery_answer){ 0 }, -1) < 0)
		hang_up(l, c);
	client_dispatch(l);
	return NURSERY_OK;
}

static int
compare(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
	return (left > right) - (left < right);
}

/* The counters, and a row for each worker that the client may know of. */
static void
tell_status(struct listener *l, struct client *c)
{
	struct nursery_status s = { NURSERY_MAGIC, NURSERY_VERSION, NURSERY_STATUS, c->id, .pid = getpid() };
	struct nursery_row row = { NURSERY_MAGIC, NURSERY_VERSION, NURSERY_STATUS, c->id, .pid = 0 };
	uint32_t times[FORK_TIMES], count = l->forks < FORK_TIMES ? (uint32_t)l->forks : FORK_TIMES;
	struct client *w;
	memcpy(times, l->fork_us, sizeof times);
	qsort(times, count, sizeof *times, compare);
	s.fork_p50_us = count == 0 ? 0 : times[count / 2];
	s.fork_p95_us = count == 0 ? 0 : times[count * 95 / 100];
	s.draining = l->draining;
	s.per_user = !l->system;
	s.uptime_s = (uint64_t)(l->now_ms - l->start_ms) / 1000;
	s.forks = l->forks;
	s.live = l->policy.kernels;
	for (size_t i = 0; i < NURSERY_REASON_COUNT; i++)
		s.refusals += s.refused[i] = l->refused[i];
	for (struct template *t = l->templates; t < TEMPLATES_END(l); t++) {
		struct nursery_template_status *to = &s.templates[s.template_count];
		*to = (struct nursery_template_status){ .pid = t->pid, .state = t->state, .python = t->python };
		to->age_s = (uint64_t)(l->now_ms - t->since_ms) / 1000;
		to->forks = t->forks;
		memcpy(to->text, t->text, sizeof to->text);
		s.template_count += t->state != NURSERY_TEMPLATE_NONE;
	}
	setsockopt(c->front.fd, SOL_SOCKET, SO_SNDBUFFORCE, &(int){ ROOM }, sizeof(int));
	int sent = datagram_send(c->front.fd, &s, sizeof s, NULL, 0);
	TAILQ_FOREACH (w, &l->clients[CLIENT_LIVE], next) {
		row.pid = w->pid;
		row.uid = w->caller.uid;
		row.age_s = (uint64_t)(l->now_ms - w->since_ms) / 1000;
		row.stopped = w->stopped;
		if (sent == 0 && (c->caller.uid == 0 || c->caller.uid == row.uid))
			sent = datagram_send(c->front.fd, &row, sizeof row, NULL, 0);
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

static void
front_ready(struct listener *l, struct watch *w)
{
	struct client *c = CLIENT_OF(w, front);
	struct datagram *d = &c->datagram;
	struct nursery_request r = { 0 };
	int got = c->state == CLIENT_WAITING ? datagram_receive(w->fd, &r, sizeof r, d) : 0;
	if (got < 0)
		return;
	if (got == 0) { /* or it speaks where it has nothing more to say */
		hang_up(l, c);
		return;
	}
	enum nursery_reason reason = datagram_check_request(&r, d->size, d->fd_count);
	c->id = r.id;
	if (d->fd_count > 0 && (d->fd_count != NURSERY_FD_COUNT || !datagram_check_fds(d->fds))) {
		policy_ban(&l->policy, c->caller.uid, l->now_ms);
		close_elsewhere(d);
		reason = NURSERY_BAD_REQUEST;
	}
	if (reason == NURSERY_OK && r.op == NURSERY_START)
		reason = start(l, c, &r);
	else if (reason == NURSERY_OK && r.op != NURSERY_STATUS && c->caller.uid != 0 && c->caller.uid != geteuid())
		reason = NURSERY_NOT_ALLOWED;
	if (reason != NURSERY_OK)
		refuse(l, c, reason);
	if (reason != NURSERY_OK || r.op == NURSERY_START)
		return;
	if (r.op == NURSERY_STATUS)
		tell_status(l, c);
	if (r.op == NURSERY_RELOAD)
		template_reload(l);
	l->draining = l->draining || r.op == NURSERY_DRAIN;
	answer(c, NURSERY_DONE, (struct nursery_answer){ 0 }, -1);
	release(l, c);
}

static bool
accept_one(struct listener *l, int door)
{
	struct client *oldest = TAILQ_FIRST(&l->clients[CLIENT_WAITING]), *c = NULL;
	struct caller caller;
	FD_AUTO fd = accept4(door, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0 && (errno == EMFILE || errno == ENFILE)) { /* turn it away, or it wakes us for ever */
		fd_close(&l->spare);
		fd = accept4(door, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		fd_close(&fd);
		l->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	}
	if (fd < 0)
		return false;
	if (caller_meet(fd, &caller) < 0 || policy_wait(&l->policy, caller.uid, 1, l->now_ms) < 0)
		return true;
	if ((c = calloc(1, sizeof *c)) == NULL) {
		policy_wait(&l->policy, caller.uid, -1, l->now_ms);
		return true;
	}
	caller_hold(fd, &caller);
	c->front = (struct watch){ fd, front_ready };
	c->worker = (struct watch){ -1, worker_ready };
	c->caller = caller;
	c->since_ms = l->now_ms;
	TAILQ_INSERT_TAIL(&l->clients[CLIENT_WAITING], c, next);
	fd = -1;
	if (l->policy.waiting > WAITING_MAX && oldest != NULL)
		release(l, oldest);
	if (watch_add(l, &c->front, EPOLLIN) < 0)
		release(l, c);
	else
		front_ready(l, &c->front);
	return true;
}

/* A few a turn, so that those who connect delay nobody by more than that. */
void
client_accept(struct listener *l, struct watch *door)
{
	for (int i = 0; i < ACCEPT_MAX && accept_one(l, door->fd); i++)
		continue;
}

/* Users take turns: of those who wait longest, one whose user was served least recently. */
void
client_dispatch(struct listener *l)
{
	struct template *t = template_ready(l);
	while ((t == NULL || t->ordered == NULL) && !TAILQ_EMPTY(&l->clients[CLIENT_QUEUED])) {
		struct client *c, *best = TAILQ_FIRST(&l->clients[CLIENT_QUEUED]);
		uint64_t best_turn = UINT64_MAX;
		TAILQ_FOREACH (c, &l->clients[CLIENT_QUEUED], next) {
			uint64_t turn = policy_user(&l->policy, c->caller.uid, l->now_ms)->turn;
			best = turn < best_turn ? c : best;
			best_turn = turn < best_turn ? turn : best_turn;
		}
		struct datagram *d = &best->datagram;
		policy_user(&l->policy, best->caller.uid, l->now_ms)->turn = ++l->policy.turn;
		if (t == NULL) {
			refuse(l, best, NURSERY_NOT_READY);
		} else if (datagram_send(t->socket.fd, &best->order, sizeof best->order, d->fds, d->fd_count) < 0) {
			refuse(l, best,
			       errno == EPIPE || errno == ECONNRESET ? NURSERY_TEMPLATE_DIED : NURSERY_NO_MEMORY);
		} else {
			datagram_close(d);
			move(l, best, CLIENT_ORDERED);
			best->template = t;
			t->ordered = best;
			t->deadline_ms = l->now_ms + ORDER_MS;
		}
	}
}

static void
forked(struct listener *l, struct client *c, const struct nursery_report *r, struct datagram *d)
{
	struct nursery_answer a = { .pid = r->pid };
	c->worker.fd = d->fds[--d->fd_count];
	c->pid = r->pid;
	c->since_ms = l->now_ms;
	c->template->forks++;
	l->fork_us[l->forks++ % FORK_TIMES] = r->fork_us;
	l->backoff_ms = 0;
	log_info("event=forked uid=%u pid=%d us=%u", c->caller.uid, r->pid, r->fork_us);
	move(l, c, CLIENT_LIVE);
	if (watch_add(l, &c->worker, EPOLLIN | EPOLLONESHOT) < 0 || c->front.fd < 0 ||
	    answer(c, NURSERY_FORKED, a, c->worker.fd) < 0) {
		syscall(SYS_pidfd_send_signal, c->worker.fd, SIGKILL, NULL, 0);
		hang_up(l, c);
	}
}

static void
changed(struct listener *l, const struct template *t, const struct nursery_report *r)
{
	struct nursery_answer a = { .pid = r->pid, .status = r->status, .peak_kib = r->peak_kib };
	struct client *c = TAILQ_FIRST(&l->clients[CLIENT_LIVE]);
	while (c != NULL && (c->template != t || c->pid != r->pid))
		c = TAILQ_NEXT(c, next);
	if (c == NULL)
		return;
	a.user_us = r->user_us;
	a.system_us = r->system_us;
	c->stopped = WIFSTOPPED(r->status);
	answer(c, NURSERY_CHANGED, a, -1); /* a front that does not read misses some */
	if (WIFEXITED(r->status) || WIFSIGNALED(r->status))
		release(l, c);
}

void
client_report(struct listener *l, struct template *t, const struct nursery_report *r, struct datagram *d)
{
	struct client *c = t->ordered;
	if (r->op == NURSERY_CHANGED)
		changed(l, t, r);
	if (r->op == NURSERY_CHANGED || c == NULL || c->order.id != r->id)
		return;
	t->ordered = NULL;
	t->deadline_ms = 0;
	if (r->op == NURSERY_FORKED)
		forked(l, c, r, d);
	else
		refuse(l, c, r->reason == NURSERY_OK ? NURSERY_NO_MEMORY : r->reason);
}

void
client_orphan(struct listener *l, const struct template *t)
{
	for (enum client_state state = CLIENT_ORDERED; state <= CLIENT_LIVE; state++) {
		for (struct client *next, *c = TAILQ_FIRST(&l->clients[state]); c != NULL; c = next) {
			next = TAILQ_NEXT(c, next);
			if (c->template != t)
				continue;
			c->template = NULL;
			if (state == CLIENT_ORDERED)
				refuse(l, c, NURSERY_TEMPLATE_DIED);
			else if (c->ended)
				release(l, c);
		}
	}
}

long long
client_tick(struct listener *l)
{
	struct client *c;
	while ((c = TAILQ_FIRST(&l->clients[CLIENT_WAITING])) != NULL && c->since_ms + HEAR_MS <= l->now_ms)
		release(l, c);
	return c == NULL ? LLONG_MAX : c->since_ms + HEAR_MS;
}
