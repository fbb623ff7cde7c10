/* SPDX-License-Identifier: BSD-3-Clause */
#include "front/sockets.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

#include "base/buf.h"
#include "base/fd.h"
#include "protocol/limits.h"

#define LINGER_MS 1000         /* what is sent before an orderly end gets this long */
#define HANDSHAKE_MS 2000      /* a peer that does not speak ZMTP is dropped */
#define BACKLOG 64             /* connections waiting to be accepted */
#define RECEIVE_MESSAGES 64    /* per peer, before its kernel buffers fill */
#define REPLY_MESSAGES 4096    /* unread replies of one client */
#define IOPUB_MESSAGES 64      /* unread broadcasts of one client, above which they wait in output.c */
#define IOPUB_TIMEOUT_MS 30000 /* a subscriber that reads nothing for this long is disconnected: by the system's TCP, */
#define IOPUB_HEARTBEAT_MS 10000 /* which needs no timer of ours, and on ipc by a ping this often */
#define POLL_FDS_MAX 16
#define HEARTBEATS_AT_ONCE 64

struct sockets {
	void *context;
	void *channels[CHANNEL_COUNT];
	char *ipc_paths[CHANNEL_COUNT]; /* owned; NULL for tcp */
	zmq_msg_t parts[LIMIT_FRAMES];
	struct wire_frame frames[LIMIT_FRAMES];
	size_t part_count; /* of the message received last */
};

struct message {
	struct wire_frame *frames; /* behind parts, in the same allocation */
	size_t count;
	zmq_msg_t parts[];
};

/* An option that must hold for a channel; -1 in `channel` means all of them. */
struct socket_option {
	int channel;
	int option;
	int value;
};

static const struct socket_option socket_options[] = {
	{ -1, ZMQ_LINGER, LINGER_MS },
	{ -1, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS },
	{ -1, ZMQ_BACKLOG, BACKLOG },
	{ -1, ZMQ_RCVHWM, RECEIVE_MESSAGES },
	{ -1, ZMQ_SNDHWM, REPLY_MESSAGES },
	{ CHANNEL_SHELL, ZMQ_ROUTER_HANDOVER, 1 },
	{ CHANNEL_CONTROL, ZMQ_ROUTER_HANDOVER, 1 },
	{ CHANNEL_STDIN, ZMQ_ROUTER_HANDOVER, 1 },
	{ CHANNEL_SHELL, ZMQ_ROUTER_MANDATORY, 1 },
	{ CHANNEL_CONTROL, ZMQ_ROUTER_MANDATORY, 1 },
	{ CHANNEL_STDIN, ZMQ_ROUTER_MANDATORY, 1 },
	{ CHANNEL_IOPUB, ZMQ_XPUB_VERBOSE, 1 },
	{ CHANNEL_IOPUB, ZMQ_XPUB_NODROP, 1 },
	{ CHANNEL_IOPUB, ZMQ_SNDHWM, IOPUB_MESSAGES },
	{ CHANNEL_IOPUB, ZMQ_TCP_MAXRT, IOPUB_TIMEOUT_MS },
};

static const struct socket_option ipc_options[] = {
	{ CHANNEL_IOPUB, ZMQ_HEARTBEAT_IVL, IOPUB_HEARTBEAT_MS },
	{ CHANNEL_IOPUB, ZMQ_HEARTBEAT_TIMEOUT, IOPUB_TIMEOUT_MS },
};

static const long size_limits[CHANNEL_COUNT] = {
	[CHANNEL_SHELL] = LIMIT_SHELL_SIZE,   [CHANNEL_CONTROL] = LIMIT_CONTROL_SIZE,
	[CHANNEL_STDIN] = LIMIT_CONTROL_SIZE, [CHANNEL_IOPUB] = LIMIT_IOPUB_SIZE,
	[CHANNEL_HB] = LIMIT_HEARTBEAT_SIZE,
};

static int
set_options(void *socket, enum channel channel, const struct socket_option *options, size_t count, struct err *e)
{
	for (size_t i = 0; i < count; i++) {
		const struct socket_option *o = &options[i];
		if (o->channel != -1 && o->channel != (int)channel)
			continue;
		if (zmq_setsockopt(socket, o->option, &o->value, sizeof o->value) < 0)
			return err_set(e, ERR_SYSTEM, "cannot set up the %s socket: %s", channel_names[channel],
				       zmq_strerror(errno));
	}
	return 0;
}

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

static int
open_channel(struct sockets *s, enum channel channel, enum transport transport, struct err *e)
{
	void *socket = zmq_socket(s->context, channel == CHANNEL_IOPUB ? ZMQ_XPUB : ZMQ_ROUTER);
	if (socket == NULL)
		return err_set(e, ERR_SYSTEM, "cannot make the %s socket: %s", channel_names[channel],
			       zmq_strerror(errno));
	s->channels[channel] = socket;
	if (set_options(socket, channel, socket_options, COUNT_OF(socket_options), e) < 0)
		return -1;
	if (transport == TRANSPORT_IPC && set_options(socket, channel, ipc_options, COUNT_OF(ipc_options), e) < 0)
		return -1;
	int64_t limit = size_limits[channel];
	zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &limit, sizeof limit);
	return 0;
}

/* Make way for an ipc socket: only a dead socket of our own may be there, because libzmq would unlink anything. */
static int
clear_ipc_path(const char *path, struct err *e)
{
	struct stat st;
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : err_system(e, "cannot look at %.150s", path);
	if (!S_ISSOCK(st.st_mode) || st.st_uid != geteuid())
		return err_set(e, ERR_SYSTEM, "%.150s is in the way and not a socket of ours", path);
	FD_AUTO fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof address.sun_path, "%.*s", (int)sizeof address.sun_path - 1, path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
		return err_set(e, ERR_SYSTEM, "%.150s: address already in use", path);
	return 0;
}

/* The port in an endpoint "tcp://ADDRESS:PORT". */
static int
bound_port(void *socket)
{
	char endpoint[128] = "";
	size_t size = sizeof endpoint;
	zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &size);
	const char *colon = strrchr(endpoint, ':');
	return colon == NULL ? 0 : atoi(colon + 1);
}

static int
bind_endpoint(struct sockets *s, struct connection *c, enum channel channel, int port, struct err *e)
{
	BUF_AUTO endpoint = BUF_INIT;
	if (connection_endpoint(c, channel, port, &endpoint, e) < 0)
		return -1;
	const char *path = c->transport == TRANSPORT_IPC ? endpoint.data + strlen("ipc://") : NULL;
	if (path != NULL && clear_ipc_path(path, e) < 0)
		return -1;
	mode_t mask = umask(0177);
	int failed = zmq_bind(s->channels[channel], endpoint.data) < 0;
	umask(mask);
	if (failed)
		return err_set(e, ERR_SYSTEM, "cannot listen on %.140s for %s: %s", endpoint.data,
			       channel_names[channel], zmq_strerror(errno));
	if (path != NULL)
		s->ipc_paths[channel] = strdup(path);
	return 0;
}

/* ipc "ports" are suffixes: the first one whose path is free. */
static int
pick_ipc_port(const struct connection *c, enum channel channel, struct err *e)
{
	for (int port = 1; port <= 65535; port++) {
		bool taken = false;
		for (int i = 0; i < CHANNEL_COUNT; i++)
			taken = taken || c->ports[i] == port;
		BUF_AUTO endpoint = BUF_INIT;
		if (taken)
			continue;
		if (connection_endpoint(c, channel, port, &endpoint, e) < 0)
			return -1;
		if (access(endpoint.data + strlen("ipc://"), F_OK) < 0)
			return port;
	}
	return err_set(e, ERR_SYSTEM, "no free ipc path for %s", channel_names[channel]);
}

static int
bind_channel(struct sockets *s, struct connection *c, enum channel channel, struct err *e)
{
	int port = c->ports[channel];
	if (port == 0 && c->transport == TRANSPORT_IPC && (port = pick_ipc_port(c, channel, e)) < 0)
		return -1;
	if (bind_endpoint(s, c, channel, port, e) < 0)
		return -1;
	c->ports[channel] = port != 0 ? port : bound_port(s->channels[channel]);
	return 0;
}

struct sockets *
sockets_open(struct connection *c, struct err *e)
{
	struct sockets *s = calloc(1, sizeof *s);
	if (s == NULL || (s->context = zmq_ctx_new()) == NULL) {
		err_memory(e);
		free(s);
		return NULL;
	}
	for (int i = 0; i < CHANNEL_COUNT; i++) {
		if (open_channel(s, (enum channel)i, c->transport, e) < 0 ||
		    bind_channel(s, c, (enum channel)i, e) < 0) {
			sockets_close(s, 0);
			return NULL;
		}
	}
	return s;
}

static void
forget_parts(struct sockets *s)
{
	for (size_t i = 0; i < s->part_count; i++)
		zmq_msg_close(&s->parts[i]);
	s->part_count = 0;
}

void
sockets_close(struct sockets *s, int linger_ms)
{
	if (s == NULL)
		return;
	forget_parts(s);
	for (int i = 0; i < CHANNEL_COUNT; i++) {
		if (s->channels[i] != NULL) {
			zmq_setsockopt(s->channels[i], ZMQ_LINGER, &linger_ms, sizeof linger_ms);
			zmq_close(s->channels[i]);
		}
		if (s->ipc_paths[i] != NULL)
			unlink(s->ipc_paths[i]);
		free(s->ipc_paths[i]);
	}
	zmq_ctx_term(s->context);
	free(s);
}

/* Fill the items to poll: descriptors first, then sockets. Their number. */
static int
list_items(const struct sockets *s, const struct poll_set *set, zmq_pollitem_t *items)
{
	int used = 0;
	for (size_t i = 0; i < set->count; i++) {
		const struct poll_fd *fd = &set->fds[i];
		short events = fd->writable ? ZMQ_POLLOUT : ZMQ_POLLIN;
		if (fd->fd >= 0)
			items[used++] = (zmq_pollitem_t){ .fd = fd->fd, .events = events };
	}
	for (int i = 0; i < CHANNEL_COUNT; i++) {
		if ((set->channels & 1u << i) != 0)
			items[used++] = (zmq_pollitem_t){ .socket = s->channels[i], .events = ZMQ_POLLIN };
	}
	return used;
}

/* Take the answers in the order of list_items. */
static void
read_items(struct poll_set *set, const zmq_pollitem_t *items)
{
	for (size_t i = 0; i < set->count; i++)
		set->fds[i].ready = set->fds[i].fd >= 0 && (items++)->revents != 0;
	set->ready = 0;
	for (int i = 0; i < CHANNEL_COUNT; i++) {
		if ((set->channels & 1u << i) != 0 && ((items++)->revents & ZMQ_POLLIN) != 0)
			set->ready |= 1u << i;
	}
}

int
sockets_poll(struct sockets *s, struct poll_set *set, int timeout_ms, struct err *e)
{
	zmq_pollitem_t items[CHANNEL_COUNT + POLL_FDS_MAX];
	assert(set->count <= POLL_FDS_MAX);
	int used = list_items(s, set, items);
	if (zmq_poll(items, used, timeout_ms) < 0)
		return err_set(e, errno == EINTR ? ERR_BUSY : ERR_SYSTEM, "zmq_poll: %s", zmq_strerror(errno));
	read_items(set, items);
	return 0;
}

int
sockets_receive(struct sockets *s, enum channel channel, const struct wire_frame **ret_frames, size_t *ret_count)
{
	forget_parts(s);
	bool too_many = false;
	for (int more = 1; more;) {
		zmq_msg_t part;
		zmq_msg_init(&part);
		if (zmq_msg_recv(&part, s->channels[channel], ZMQ_DONTWAIT) < 0) {
			zmq_msg_close(&part);
			if (s->part_count > 0)
				break; /* cannot be: parts of a message arrive together */
			return 0;
		}
		more = zmq_msg_more(&part);
		if (s->part_count == LIMIT_FRAMES) {
			too_many = true;
			zmq_msg_close(&part);
			continue;
		}
		size_t at = s->part_count++;
		zmq_msg_init(&s->parts[at]);
		zmq_msg_move(&s->parts[at], &part);
		s->frames[at] = (struct wire_frame){ zmq_msg_data(&s->parts[at]), zmq_msg_size(&s->parts[at]) };
	}
	if (too_many)
		forget_parts(s);
	*ret_frames = s->frames;
	*ret_count = s->part_count;
	return 1;
}

struct message *
sockets_keep(struct sockets *s)
{
	size_t count = s->part_count;
	struct message *m = malloc(sizeof *m + count * (sizeof(zmq_msg_t) + sizeof(struct wire_frame)));
	if (m == NULL)
		return NULL;
	m->count = count;
	m->frames = (struct wire_frame *)&m->parts[count];
	for (size_t i = 0; i < count; i++) {
		zmq_msg_init(&m->parts[i]);
		zmq_msg_move(&m->parts[i], &s->parts[i]);
		/* Short messages live inside zmq_msg_t, so the bytes may have moved. */
		m->frames[i] = (struct wire_frame){ zmq_msg_data(&m->parts[i]), zmq_msg_size(&m->parts[i]) };
	}
	forget_parts(s);
	return m;
}

const struct wire_frame *
message_frames(const struct message *m, size_t *ret_count)
{
	*ret_count = m->count;
	return m->frames;
}

void
message_free(struct message *m)
{
	if (m == NULL)
		return;
	for (size_t i = 0; i < m->count; i++)
		zmq_msg_close(&m->parts[i]);
	free(m);
}

size_t
message_size(const struct message *m)
{
	size_t size = m->count * (sizeof(zmq_msg_t) + sizeof(struct wire_frame));
	for (size_t i = 0; i < m->count; i++)
		size += zmq_msg_size(&m->parts[i]);
	return size;
}

int
sockets_send(struct sockets *s, enum channel channel, const struct wire_frame *frames, size_t count, struct err *e)
{
	for (size_t i = 0; i < count; i++) {
		int flags = ZMQ_DONTWAIT | (i + 1 < count ? ZMQ_SNDMORE : 0);
		if (zmq_send(s->channels[channel], frames[i].data, frames[i].size, flags) >= 0)
			continue;
		/* Only the first part can be refused: the rest goes where it went. */
		if (errno == EAGAIN)
			return err_set(e, ERR_BUSY, "a client of %s reads too slowly", channel_names[channel]);
		if (errno == EHOSTUNREACH)
			return err_set(e, ERR_CLOSED, "the client of a message on %s is gone", channel_names[channel]);
		return err_set(e, errno == ENOMEM ? ERR_MEMORY : ERR_SYSTEM, "send on %s: %s", channel_names[channel],
			       zmq_strerror(errno));
	}
	return 0;
}

void
sockets_echo_heartbeat(struct sockets *s)
{
	const struct wire_frame *frames;
	size_t count;
	for (int i = 0; i < HEARTBEATS_AT_ONCE && sockets_receive(s, CHANNEL_HB, &frames, &count) > 0; i++) {
		struct err ignored = ERR_INIT;
		sockets_send(s, CHANNEL_HB, frames, count, &ignored);
	}
}

void
sockets_version(char *ret, size_t size)
{
	int major, minor, patch;
	zmq_version(&major, &minor, &patch);
	snprintf(ret, size, "libzmq %d.%d.%d", major, minor, patch);
}
