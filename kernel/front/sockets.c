/* SPDX-License-Identifier: BSD-3-Clause */
#include "front/sockets.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
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
#include "front/address.h"
#include "protocol/limits.h"

#define LINGER_MS 1000      /* what is sent before an orderly end gets this long */
#define HANDSHAKE_MS 2000   /* a peer that does not speak ZMTP is dropped */
#define BACKLOG 64          /* connections waiting to be accepted */
#define RECEIVE_MESSAGES 64 /* per peer, before its kernel buffers fill */
#define ECHO_MESSAGES 64    /* unread heartbeats of one client, above which they are left out */
#define NO_LIMIT 0
#define IOPUB_MESSAGES 64      /* unread broadcasts of one client, above which they wait in output.c */
#define IOPUB_TIMEOUT_MS 30000 /* a subscriber that reads nothing for this long is disconnected: by the system's TCP, */
#define IOPUB_HEARTBEAT_MS 10000 /* which needs no timer of ours, and on ipc by a ping this often */
#define POLL_FDS_MAX 16
#define HEARTBEATS_AT_ONCE 64
#define PARTS_USUAL 16 /* frames of a message that need no more room */

struct sockets {
	void *context;
	void *channels[CHANNEL_COUNT];
	int wakers[CHANNEL_COUNT]; /* ZMQ_FD: readable when libzmq has news for the socket; borrowed */
	unsigned unsure;           /* channels that may have something to read although their waker is quiet */
	struct address *addresses; /* to listen on; owned; NULL for ipc */
	size_t address_count;
	char *ipc_paths[CHANNEL_COUNT]; /* owned; NULL for tcp */
	struct message *received;       /* the last message, until it is kept; NULL at first */
};

struct message {
	struct wire_frame *
		frames; /* behind parts, in the same allocation; those of a received message are listed when it is whole */
	size_t count, capacity;
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
	/* Replies are never left out. Each was asked for by a client with the key. */
	{ CHANNEL_SHELL, ZMQ_SNDHWM, NO_LIMIT },
	{ CHANNEL_CONTROL, ZMQ_SNDHWM, NO_LIMIT },
	{ CHANNEL_STDIN, ZMQ_SNDHWM, NO_LIMIT },
	{ CHANNEL_HB, ZMQ_SNDHWM, ECHO_MESSAGES },
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
	[CHANNEL_SHELL] = LIMIT_SHELL_SIZE, [CHANNEL_CONTROL] = LIMIT_CONTROL_SIZE, [CHANNEL_STDIN] = LIMIT_SHELL_SIZE,
	[CHANNEL_IOPUB] = LIMIT_IOPUB_SIZE, [CHANNEL_HB] = LIMIT_HEARTBEAT_SIZE,
};

static int
set_option(void *socket, enum channel channel, int option, const void *value, size_t size, struct err *e)
{
	if (zmq_setsockopt(socket, option, value, size) == 0)
		return 0;
	return err_set(e, ERR_SYSTEM, "cannot set up the %s socket: %s", channel_names[channel], zmq_strerror(errno));
}

static int
set_options(void *socket, enum channel channel, const struct socket_option *options, size_t count, struct err *e)
{
	for (size_t i = 0; i < count; i++) {
		const struct socket_option *o = &options[i];
		if (o->channel != -1 && o->channel != (int)channel)
			continue;
		if (set_option(socket, channel, o->option, &o->value, sizeof o->value, e) < 0)
			return -1;
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
	size_t size = sizeof s->wakers[channel];
	s->channels[channel] = socket;
	s->unsure |= 1u << channel;
	if (zmq_getsockopt(socket, ZMQ_FD, &s->wakers[channel], &size) < 0)
		return err_set(e, ERR_SYSTEM, "cannot watch the %s socket: %s", channel_names[channel],
			       zmq_strerror(errno));
	if (set_options(socket, channel, socket_options, COUNT_OF(socket_options), e) < 0)
		return -1;
	if (transport == TRANSPORT_IPC && set_options(socket, channel, ipc_options, COUNT_OF(ipc_options), e) < 0)
		return -1;
	int64_t limit = size_limits[channel];
	return set_option(socket, channel, ZMQ_MAXMSGSIZE, &limit, sizeof limit, e);
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

/* The port in an endpoint "tcp://ADDRESS:PORT"; 0 when it cannot be told. */
static int
bound_port(void *socket)
{
	char endpoint[ADDRESS_SIZE + 32];
	size_t size = sizeof endpoint;
	if (zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &size) < 0)
		return 0;
	const char *colon = strrchr(endpoint, ':');
	return colon == NULL ? 0 : atoi(colon + 1);
}

/* 0, or -1 with the system's word on it in errno as well. */
static int
bind_endpoint(void *socket, enum channel channel, const char *endpoint, struct err *e)
{
	mode_t mask = umask(0177);
	int failed = zmq_bind(socket, endpoint) < 0;
	int cause = errno;
	umask(mask);
	if (!failed)
		return 0;
	err_set(e, ERR_SYSTEM, "cannot listen on %.140s for %s: %s", endpoint, channel_names[channel],
		zmq_strerror(cause));
	errno = cause;
	return -1;
}

/* ipc "ports" are suffixes: the first one whose path is free. */
static int
pick_ipc_port(struct connection *c, enum channel channel, struct err *e)
{
	for (int port = 1; port <= 65535; port++) {
		bool taken = false;
		for (int i = 0; i < CHANNEL_COUNT; i++)
			taken = taken || c->ports[i] == port;
		BUF_AUTO endpoint = BUF_INIT;
		if (taken)
			continue;
		if (connection_endpoint(c, c->ip, port, &endpoint, e) < 0)
			return -1;
		if (access(endpoint.data + strlen("ipc://"), F_OK) < 0) {
			c->ports[channel] = port;
			return 0;
		}
	}
	return err_set(e, ERR_SYSTEM, "no free ipc path for %s", channel_names[channel]);
}

static int
bind_ipc(struct sockets *s, struct connection *c, enum channel channel, struct err *e)
{
	BUF_AUTO endpoint = BUF_INIT;
	if (c->ports[channel] == 0 && pick_ipc_port(c, channel, e) < 0)
		return -1;
	if (connection_endpoint(c, c->ip, c->ports[channel], &endpoint, e) < 0)
		return -1;
	char *path = strdup(endpoint.data + strlen("ipc://"));
	if (path == NULL)
		return err_memory(e);
	if (clear_ipc_path(path, e) < 0 || bind_endpoint(s->channels[channel], channel, endpoint.data, e) < 0) {
		free(path);
		return -1;
	}
	s->ipc_paths[channel] = path;
	return 0;
}

/* Whether this machine does not have the address, or not this kind of address, as a host's name may stand for both kinds. */
static bool
is_elsewhere(int number)
{
	return number == EADDRNOTAVAIL || number == EAFNOSUPPORT || number == EPROTONOSUPPORT || number == ENODEV;
}

/* Listen on every address that a client may connect to, on the same port. */
static int
bind_tcp(struct sockets *s, struct connection *c, enum channel channel, struct err *e)
{
	void *socket = s->channels[channel];
	struct err first = ERR_INIT;
	int bound = 0;
	for (size_t i = 0; i < s->address_count; i++) {
		const struct address *a = &s->addresses[i];
		BUF_AUTO endpoint = BUF_INIT;
		int ipv6 = a->ipv6;
		if (connection_endpoint(c, a->text, c->ports[channel], &endpoint, e) < 0 ||
		    set_option(socket, channel, ZMQ_IPV6, &ipv6, sizeof ipv6, e) < 0)
			return -1;
		if (bind_endpoint(socket, channel, endpoint.data, &first) == 0) {
			bound++;
			if (c->ports[channel] == 0 && (c->ports[channel] = bound_port(socket)) == 0)
				return err_set(e, ERR_SYSTEM, "cannot tell the port of %s", channel_names[channel]);
		} else if (!is_elsewhere(errno)) {
			*e = first;
			return -1;
		}
	}
	if (bound == 0)
		*e = first;
	return bound == 0 ? -1 : 0;
}

static int
bind_channels(struct sockets *s, struct connection *c, struct err *e)
{
	bool tcp = c->transport == TRANSPORT_TCP;
	if (tcp && (s->addresses = address_resolve(c->ip, &s->address_count, e)) == NULL)
		return -1;
	for (int i = 0; i < CHANNEL_COUNT; i++) {
		enum channel channel = (enum channel)i;
		if (open_channel(s, channel, c->transport, e) < 0)
			return -1;
		if ((tcp ? bind_tcp(s, c, channel, e) : bind_ipc(s, c, channel, e)) < 0)
			return -1;
	}
	return 0;
}

struct sockets *
sockets_open(struct connection *c, struct err *e)
{
	struct sockets *s = calloc(1, sizeof *s);
	if (s == NULL) {
		err_memory(e);
		return NULL;
	}
	s->context = zmq_ctx_new();
	if (s->context == NULL) {
		err_set(e, ERR_SYSTEM, "cannot start ZeroMQ: %s", zmq_strerror(errno));
		free(s);
		return NULL;
	}
	if (bind_channels(s, c, e) < 0) {
		sockets_close(s, 0);
		return NULL;
	}
	return s;
}

static void
message_clear(struct message *m)
{
	for (size_t i = 0; i < m->count; i++)
		zmq_msg_close(&m->parts[i]);
	m->count = 0;
}

void
message_free(struct message *m)
{
	if (m == NULL)
		return;
	message_clear(m);
	free(m);
}

void
sockets_close(struct sockets *s, int linger_ms)
{
	if (s == NULL)
		return;
	message_free(s->received);
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
	free(s->addresses);
	free(s);
}

/* Which of `channels` can be read. libzmq's waker tells of news once, and whatever is done with the socket may take the news in: so a
 * channel is asked after each use and each waking, until it says that there is nothing. (zmq_poll asks all of them twice a turn, which is
 * most of what a turn takes.) */
static unsigned
ask_channels(struct sockets *s, unsigned channels)
{
	unsigned ready = 0;
	for (int i = 0; i < CHANNEL_COUNT; i++) {
		int events = 0;
		size_t size = sizeof events;
		if ((channels & s->unsure & 1u << i) == 0)
			continue;
		if (zmq_getsockopt(s->channels[i], ZMQ_EVENTS, &events, &size) < 0 || (events & ZMQ_POLLIN) == 0)
			s->unsure &= ~(1u << i);
		else
			ready |= 1u << i;
	}
	return ready;
}

/* The descriptors to poll: those of `set`, then the wakers of its channels. poll() passes over those of -1. */
static nfds_t
list_descriptors(const struct sockets *s, const struct poll_set *set, struct pollfd *ret)
{
	nfds_t used = 0;
	for (size_t i = 0; i < set->count; i++)
		ret[used++] =
			(struct pollfd){ .fd = set->fds[i].fd, .events = set->fds[i].writable ? POLLOUT : POLLIN };
	for (int i = 0; i < CHANNEL_COUNT; i++) {
		bool watched = (set->channels & 1u << i) != 0;
		ret[used++] = (struct pollfd){ .fd = watched ? s->wakers[i] : -1, .events = POLLIN };
	}
	return used;
}

/* Take poll()'s answers in that order. True: a descriptor of `set` is ready. */
static bool
read_descriptors(struct sockets *s, struct poll_set *set, const struct pollfd *polled)
{
	bool any = false;
	for (size_t i = 0; i < set->count; i++) {
		set->fds[i].ready = (polled++)->revents != 0;
		any = any || set->fds[i].ready;
	}
	for (int i = 0; i < CHANNEL_COUNT; i++)
		s->unsure |= (polled++)->revents != 0 ? 1u << i : 0;
	return any;
}

int
sockets_poll(struct sockets *s, struct poll_set *set, int timeout_ms, struct err *e)
{
	struct pollfd polled[CHANNEL_COUNT + POLL_FDS_MAX];
	long long until = timeout_ms > 0 ? clock_ms() + timeout_ms : 0;
	assert(set->count <= POLL_FDS_MAX);
	nfds_t used = list_descriptors(s, set, polled);
	for (;;) {
		set->ready = ask_channels(s, set->channels);
		int count = poll(polled, used, set->ready != 0 ? 0 : timeout_ms);
		if (count < 0)
			return err_set(e, errno == EINTR ? ERR_BUSY : ERR_SYSTEM, "poll: %s", strerror(errno));
		bool any = read_descriptors(s, set, polled);
		set->ready |= ask_channels(s, set->channels & ~set->ready);
		if (any || set->ready != 0 || count == 0)
			return 0;
		if (timeout_ms > 0)
			timeout_ms = clock_ms() < until ? (int)(until - clock_ms()) : 0;
	}
}

/* An empty message with room for `capacity` parts. NULL: no memory. */
static struct message *
message_reserve(size_t capacity)
{
	struct message *m = malloc(sizeof *m + capacity * (sizeof(zmq_msg_t) + sizeof(struct wire_frame)));
	if (m == NULL)
		return NULL;
	*m = (struct message){ .frames = (struct wire_frame *)&m->parts[capacity], .capacity = capacity };
	return m;
}

/* Take over a part; *part is empty after that. */
static void
message_move_in(struct message *m, zmq_msg_t *part)
{
	zmq_msg_init(&m->parts[m->count]);
	zmq_msg_move(&m->parts[m->count++], part);
}

/* Short parts live inside zmq_msg_t, so they must not move after this. */
static void
message_list_frames(struct message *m)
{
	for (size_t i = 0; i < m->count; i++)
		m->frames[i] = (struct wire_frame){ zmq_msg_data(&m->parts[i]), zmq_msg_size(&m->parts[i]) };
}

static void
message_move_all(struct message *to, struct message *from)
{
	for (size_t i = 0; i < from->count; i++)
		message_move_in(to, &from->parts[i]);
	message_clear(from);
}

/* Make s->received an empty message. */
static int
begin_receive(struct sockets *s)
{
	if (s->received != NULL && s->received->capacity == PARTS_USUAL) {
		message_clear(s->received);
		return 0;
	}
	message_free(s->received);
	s->received = message_reserve(PARTS_USUAL);
	return s->received == NULL ? -1 : 0;
}

/* Add a part to s->received. 0, or -1: too many, or no memory. */
static int
take_part(struct sockets *s, zmq_msg_t *part)
{
	struct message *m = s->received;
	if (m->count == LIMIT_FRAMES)
		return -1;
	if (m->count == m->capacity) {
		struct message *larger = message_reserve(2 * m->capacity);
		if (larger == NULL)
			return -1;
		message_move_all(larger, m);
		message_free(m);
		s->received = m = larger;
	}
	message_move_in(m, part);
	return 0;
}

int
sockets_receive(struct sockets *s, enum channel channel, const struct wire_frame **ret_frames, size_t *ret_count)
{
	bool whole = begin_receive(s) == 0, begun = false;
	for (int more = 1; more; begun = true) {
		zmq_msg_t part;
		zmq_msg_init(&part);
		if (zmq_msg_recv(&part, s->channels[channel], ZMQ_DONTWAIT) < 0) {
			zmq_msg_close(&part);
			if (begun)
				break;                 /* cannot be: parts of a message arrive together */
			s->unsure &= ~(1u << channel); /* libzmq took in all its news before it said so */
			return 0;
		}
		more = zmq_msg_more(&part);
		whole = whole && take_part(s, &part) == 0;
		zmq_msg_close(&part);
	}
	s->unsure |= 1u << channel;
	if (whole)
		message_list_frames(s->received);
	*ret_frames = whole ? s->received->frames : NULL;
	*ret_count = whole ? s->received->count : 0;
	return 1;
}

struct message *
sockets_keep(struct sockets *s)
{
	struct message *m = message_reserve(s->received->count);
	if (m == NULL)
		return NULL;
	message_move_all(m, s->received);
	message_list_frames(m);
	return m;
}

struct message *
message_new(const struct wire_frame *frames, size_t count, struct err *e)
{
	struct message *m = message_reserve(count);
	for (size_t i = 0; m != NULL && i < count; i++) {
		if (zmq_msg_init_size(&m->parts[i], frames[i].size) < 0) {
			message_free(m);
			m = NULL;
			break;
		}
		m->count++;
		if (frames[i].size > 0)
			memcpy(zmq_msg_data(&m->parts[i]), frames[i].data, frames[i].size);
	}
	if (m == NULL)
		err_memory(e);
	else
		message_list_frames(m);
	return m;
}

const struct wire_frame *
message_frames(const struct message *m, size_t *ret_count)
{
	*ret_count = m->count;
	return m->frames;
}

size_t
message_size(const struct message *m)
{
	size_t size = m->count * (sizeof(zmq_msg_t) + sizeof(struct wire_frame));
	for (size_t i = 0; i < m->count; i++)
		size += zmq_msg_size(&m->parts[i]);
	return size;
}

/* Why a part could not be sent. */
static int
refuse(enum channel channel, struct err *e)
{
	if (errno == EAGAIN)
		return err_set(e, ERR_BUSY, "a client of %s reads too slowly", channel_names[channel]);
	if (errno == EHOSTUNREACH)
		return err_set(e, ERR_CLOSED, "the client of a message on %s is gone", channel_names[channel]);
	return err_set(e, ERR_SYSTEM, "send on %s: %s", channel_names[channel], zmq_strerror(errno));
}

int
sockets_send_message(struct sockets *s, enum channel channel, struct message *m, struct err *e)
{
	s->unsure |= 1u << channel;
	for (size_t i = 0; i < m->count; i++) {
		int flags = ZMQ_DONTWAIT | (i + 1 < m->count ? ZMQ_SNDMORE : 0);
		/* Only the first part can be refused: the rest, for which there is memory already, goes where it went. */
		if (zmq_msg_send(&m->parts[i], s->channels[channel], flags) < 0)
			return refuse(channel, e);
	}
	message_free(m);
	return 0;
}

int
sockets_send(struct sockets *s, enum channel channel, const struct wire_frame *frames, size_t count, struct err *e)
{
	struct message *m = message_new(frames, count, e);
	if (m == NULL)
		return -1;
	if (sockets_send_message(s, channel, m, e) == 0)
		return 0;
	message_free(m);
	return -1;
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
