/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "check.h"
#include "listener.h"

#define CLIENT_OF(watch, member) ((struct client *)((char *)(watch)-offsetof(struct client, member)))
#define SIGNAL_PROCESS_GROUP 4 /* PIDFD_SIGNAL_PROCESS_GROUP, Linux 6.9 */

static void
move(struct listener *l, struct client *c, enum client_state state)
{
	if (c->state == CLIENT_WAITING)
		policy_wait(&l->policy, c->caller.uid, -1, l->now_ms);
	TAILQ_REMOVE(&l->clients[c->state], c, next);
	c->state = state;
	TAILQ_INSERT_TAIL(&l->clients[state], c, next);
}

void
client_free(struct listener *l, struct client *c)
{
	move(l, c, CLIENT_LEAVING);
	TAILQ_REMOVE(&l->clients[CLIENT_LEAVING], c, next);
	if (c->admitted)
		policy_release(&l->policy, c->caller.uid, l->now_ms);
	watch_close(l, &c->front);
	watch_close(l, &c->worker);
	fd_close(&c->caller.pidfd);
	message_close(&c->message);
	free(c);
}

int
client_answer(struct client *c, enum nursery_op op, struct nursery_answer a, int fd)
{
	a.magic = NURSERY_MAGIC;
	a.version = NURSERY_VERSION;
	a.op = (uint16_t)op;
	a.id = c->id;
	return message_send(c->front.fd, &a, sizeof a, &fd, fd >= 0);
}

static void
refuse(struct listener *l, struct client *c, enum nursery_reason reason)
{
	l->refused[reason]++;
	log_info("event=refused uid=%u reason=\"%s\"", c->caller.uid, nursery_reason_text(reason));
	client_answer(c, NURSERY_REFUSED,
		      (struct nursery_answer){ .reason = (uint16_t)reason, .verdict = (uint16_t)check_verdict(reason) },
		      -1);
	client_free(l, c);
}

static void
kill_worker(struct client *c, int signum, unsigned flags)
{
	if (syscall(SYS_pidfd_send_signal, c->worker.fd, signum, NULL, flags) < 0 && flags != 0)
		syscall(SYS_pidfd_send_signal, c->worker.fd, signum, NULL, 0);
}

/* The front is gone, or must go. A worker that is stopped has to go on to notice. */
static void
hang_up(struct listener *l, struct client *c)
{
	watch_close(l, &c->front);
	if (c->state == CLIENT_ORDERED)
		return;
	if (c->state != CLIENT_LIVE || c->ended) {
		client_free(l, c);
		return;
	}
	kill_worker(c, SIGCONT, 0);
	c->deadline_ms = l->now_ms + LEAVE_MS;
	move(l, c, CLIENT_LEAVING);
}

/* The worker ended. How, only its template can say, if there is one and somebody who wants to know. */
static void
worker_ready(struct listener *l, struct watch *w)
{
	struct client *c = CLIENT_OF(w, worker);
	c->ended = true;
	if (c->template == NULL || c->front.fd < 0)
		client_free(l, c);
}

static enum nursery_reason
start(struct listener *l, struct client *c, const struct nursery_request *r)
{
	const struct options *o = &l->options;
	struct template *t = template_ready(l);
	if (o->system ? c->caller.uid < o->min_uid : c->caller.uid != geteuid())
		return NURSERY_NOT_ALLOWED;
	if (l->draining || t == NULL)
		return l->draining ? NURSERY_DRAINING : NURSERY_NOT_READY;
	if (memcmp(&r->python, &t->python, sizeof r->python) != 0)
		return NURSERY_OTHER_PYTHON;
	enum nursery_reason reason = policy_admit(&l->policy, c->caller.uid, l->now_ms);
	c->admitted = reason == NURSERY_OK;
	if (reason == NURSERY_OK)
		reason = caller_place(&c->caller, c->front.fd, !o->system, &c->order.placement, &c->message);
	if (reason != NURSERY_OK)
		return reason;
	c->serial = ++l->serial;
	c->order.magic = NURSERY_MAGIC;
	c->order.version = NURSERY_VERSION;
	c->order.op = NURSERY_FORK;
	c->order.id = c->serial;
	c->order.caller = c->caller.pid;
	fd_close(&c->caller.pidfd);
	move(l, c, CLIENT_QUEUED);
	if (client_answer(c, NURSERY_QUEUED, (struct nursery_answer){ 0 }, -1) < 0)
		hang_up(l, c);
	client_dispatch(l);
	return NURSERY_OK;
}

static void
hear(struct listener *l, struct client *c)
{
	struct nursery_request r;
	memset(&r, 0, sizeof r);
	int got = message_receive(c->front.fd, &r, sizeof r, &c->message);
	if (got < 0)
		return;
	if (got == 0) {
		client_free(l, c);
		return;
	}
	enum nursery_reason reason = check_request(&r, c->message.size, c->message.fd_count);
	bool may_command = c->caller.uid == 0 || c->caller.uid == geteuid();
	c->id = r.id;
	if (reason == NURSERY_OK && r.op == NURSERY_START)
		reason = start(l, c, &r);
	else if (reason == NURSERY_OK && r.op != NURSERY_STATUS && !may_command)
		reason = NURSERY_NOT_ALLOWED;
	if (reason != NURSERY_OK) {
		refuse(l, c, reason);
	} else if (r.op != NURSERY_START) {
		l->draining = l->draining || r.op == NURSERY_DRAIN;
		if (r.op == NURSERY_RELOAD)
			template_reload(l);
		if (r.op == NURSERY_STATUS)
			status_tell(l, c);
		client_answer(c, NURSERY_DONE, (struct nursery_answer){ 0 }, -1);
		client_free(l, c);
	}
}

static void
front_ready(struct listener *l, struct watch *w)
{
	struct client *c = CLIENT_OF(w, front);
	if (c->state == CLIENT_WAITING)
		hear(l, c);
	else
		hang_up(l, c); /* it has nothing more to say */
}

/* One a turn, so that those who connect delay nobody by more than that. */
void
client_accept(struct listener *l, struct watch *w)
{
	struct caller caller;
	FD_AUTO fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0 && (errno == EMFILE || errno == ENFILE)) { /* what waits would wake us for ever */
		fd_close(&l->spare);
		fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		fd_close(&fd);
		l->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	}
	if (fd < 0 || caller_meet(fd, &caller) < 0)
		return;
	struct client *c = calloc(1, sizeof *c), *oldest = TAILQ_FIRST(&l->clients[CLIENT_WAITING]);
	if (c == NULL || policy_wait(&l->policy, caller.uid, 1, l->now_ms) < 0) {
		free(c);
		fd_close(&caller.pidfd);
		return;
	}
	c->front = (struct watch){ fd, front_ready };
	c->worker = (struct watch){ -1, worker_ready };
	c->caller = caller;
	c->deadline_ms = l->now_ms + HEAR_MS;
	TAILQ_INSERT_TAIL(&l->clients[CLIENT_WAITING], c, next);
	fd = -1;
	if (l->policy.waiting > WAITING_MAX && oldest != NULL)
		client_free(l, oldest);
	if (watch_add(l, &c->front, EPOLLIN) < 0)
		client_free(l, c);
	else
		hear(l, c);
}

/* Of those who wait longest, one whose user was served least recently. */
static struct client *
choose(struct listener *l)
{
	struct client *c, *best = NULL;
	uint64_t best_turn = UINT64_MAX;
	TAILQ_FOREACH(c, &l->clients[CLIENT_QUEUED], next)
	{
		uint64_t turn = policy_user(&l->policy, c->caller.uid, l->now_ms)->turn;
		if (turn < best_turn) {
			best = c;
			best_turn = turn;
		}
	}
	return best;
}

void
client_dispatch(struct listener *l)
{
	struct template *t = template_ready(l);
	struct client *c;
	while ((t == NULL || t->ordered == NULL) && (c = choose(l)) != NULL) {
		policy_user(&l->policy, c->caller.uid, l->now_ms)->turn = ++l->policy.turn;
		if (t == NULL) {
			refuse(l, c, NURSERY_NOT_READY);
		} else if (message_send(t->socket.fd, &c->order, sizeof c->order, c->message.fds, c->message.fd_count) <
			   0) {
			refuse(l, c, errno == EPIPE ? NURSERY_TEMPLATE_DIED : NURSERY_NO_MEMORY);
		} else {
			message_close(&c->message);
			move(l, c, CLIENT_ORDERED);
			c->template = t;
			t->ordered = c;
			t->deadline_ms = l->now_ms + ORDER_MS;
		}
	}
}

static void
forked(struct listener *l, struct client *c, const struct nursery_report *r, struct message *m)
{
	c->worker.fd = m->fds[--m->fd_count];
	c->pid = r->pid;
	c->since_ms = l->now_ms;
	l->fork_us[l->forks++ % FORK_TIMES] = r->fork_us;
	c->template->forks++;
	l->backoff_ms = 0;
	log_info("event=forked uid=%u pid=%d us=%u", c->caller.uid, r->pid, r->fork_us);
	move(l, c, CLIENT_LIVE);
	watch_add(l, &c->worker, EPOLLIN | EPOLLONESHOT);
	if (c->front.fd < 0 ||
	    client_answer(c, NURSERY_FORKED, (struct nursery_answer){ .pid = r->pid }, c->worker.fd) < 0) {
		kill_worker(c, SIGKILL, 0);
		hang_up(l, c);
	}
}

/* A worker stopped, went on or ended. Of the former two a front that does not read misses some. */
static void
changed(struct listener *l, const struct template *t, const struct nursery_report *r)
{
	static const enum client_state with_worker[] = { CLIENT_LIVE, CLIENT_LEAVING };
	struct nursery_answer a = { .pid = r->pid,
				    .status = r->status,
				    .user_us = r->user_us,
				    .system_us = r->system_us,
				    .peak_kib = r->peak_kib };
	struct client *c = NULL;
	for (size_t i = 0; i < 2 && c == NULL; i++) {
		c = TAILQ_FIRST(&l->clients[with_worker[i]]);
		while (c != NULL && (c->template != t || c->pid != r->pid))
			c = TAILQ_NEXT(c, next);
	}
	if (c == NULL)
		return;
	c->stopped = WIFSTOPPED(r->status);
	if (c->front.fd >= 0)
		client_answer(c, NURSERY_CHANGED, a, -1);
	if (WIFEXITED(r->status) || WIFSIGNALED(r->status))
		client_free(l, c);
}

void
client_report(struct listener *l, struct template *t, const struct nursery_report *r, struct message *m)
{
	struct client *c = t->ordered;
	if (r->op == NURSERY_CHANGED) {
		changed(l, t, r);
		return;
	}
	if (c == NULL || r->id != c->order.id)
		return;
	t->ordered = NULL;
	t->deadline_ms = 0;
	if (r->op == NURSERY_FORKED)
		forked(l, c, r, m);
	else
		refuse(l, c, r->reason == NURSERY_OK ? NURSERY_NO_MEMORY : r->reason);
}

void
client_orphan(struct listener *l, const struct template *t)
{
	for (enum client_state state = CLIENT_ORDERED; state <= CLIENT_LEAVING; state++) {
		struct client *c, *next;
		for (c = TAILQ_FIRST(&l->clients[state]); c != NULL; c = next) {
			next = TAILQ_NEXT(c, next);
			if (c->template != t)
				continue;
			c->template = NULL;
			if (state == CLIENT_ORDERED)
				refuse(l, c, NURSERY_TEMPLATE_DIED);
			else if (c->ended)
				client_free(l, c);
		}
	}
}

long long
client_tick(struct listener *l)
{
	static const enum client_state timed[] = { CLIENT_WAITING, CLIENT_LEAVING };
	long long next = LLONG_MAX;
	for (size_t i = 0; i < 2; i++) {
		struct client *c; /* each list is in the order of its deadlines */
		while ((c = TAILQ_FIRST(&l->clients[timed[i]])) != NULL && c->deadline_ms <= l->now_ms) {
			if (timed[i] != CLIENT_LEAVING) {
				client_free(l, c);
				continue;
			}
			kill_worker(c, SIGKILL, SIGNAL_PROCESS_GROUP);
			move(l, c, CLIENT_LIVE);
		}
		if (c != NULL && c->deadline_ms < next)
			next = c->deadline_ms;
	}
	return next;
}
