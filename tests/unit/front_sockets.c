/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The five sockets over real ZeroMQ, with a system that fails in turn at everything that can fail, and a name service that knows the hosts
 * which the tests need.
 */
#include "unit.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

#include "front/sockets.h"
#include "protocol/limits.h"

#define DEADLINE_MS 10000

static long fail_at;  /* what fails, from 1; 0 = nothing */
static long attempts; /* since fail_at was set */

static bool
unlucky(void)
{
	return ++attempts == fail_at;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
char *__real_strdup(const char *text);
int __real_zmq_setsockopt(void *socket, int option, const void *value, size_t size);
int __real_zmq_getsockopt(void *socket, int option, void *value, size_t *size);
int __real_zmq_msg_init_size(zmq_msg_t *message, size_t size);
int __real_getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **ret);
void __real_freeaddrinfo(struct addrinfo *list);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
char *__wrap_strdup(const char *text);
int __wrap_zmq_setsockopt(void *socket, int option, const void *value, size_t size);
int __wrap_zmq_getsockopt(void *socket, int option, void *value, size_t *size);
int __wrap_zmq_msg_init_size(zmq_msg_t *message, size_t size);
int __wrap_getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **ret);
void __wrap_freeaddrinfo(struct addrinfo *list);

void *
__wrap_malloc(size_t size)
{
	return unlucky() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t count, size_t size)
{
	return unlucky() ? NULL : __real_calloc(count, size);
}

char *
__wrap_strdup(const char *text)
{
	return unlucky() ? NULL : __real_strdup(text);
}

static int
failure(void)
{
	errno = ENOMEM;
	return -1;
}

int
__wrap_zmq_setsockopt(void *socket, int option, const void *value, size_t size)
{
	return option != ZMQ_LINGER && unlucky() ? failure() : __real_zmq_setsockopt(socket, option, value, size);
}

int
__wrap_zmq_getsockopt(void *socket, int option, void *value, size_t *size)
{
	return unlucky() ? failure() : __real_zmq_getsockopt(socket, option, value, size);
}

int
__wrap_zmq_msg_init_size(zmq_msg_t *message, size_t size)
{
	return unlucky() ? failure() : __real_zmq_msg_init_size(message, size);
}

/* Hosts of which no name service knows. 203.0.113.7 (RFC 5737) is nobody's address. */
static const struct host {
	const char *name;
	const char *numbers[4];
} hosts[] = {
	{ "both.test", { "127.0.0.1", "::1" } },
	{ "twice.test", { "127.0.0.1", "127.0.0.1" } },
	{ "elsewhere.test", { "203.0.113.7" } },
	{ "partly.test", { "203.0.113.7", "127.0.0.1" } },
};

static struct addrinfo *
one_address(const char *number)
{
	static const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST };
	struct addrinfo *ret;
	assert_int_equal(__real_getaddrinfo(number, NULL, &hints, &ret), 0);
	return ret;
}

int
__wrap_getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
	for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
		if (strcmp(hosts[i].name, name) != 0)
			continue;
		if (hints->ai_flags & AI_NUMERICHOST)
			return EAI_NONAME;
		*ret = NULL;
		for (struct addrinfo **last = ret; *hosts[i].numbers != NULL; last = &(*last)->ai_next) {
			size_t at = 0;
			for (const struct addrinfo *a = *ret; a != NULL; a = a->ai_next)
				at++;
			if (hosts[i].numbers[at] == NULL)
				break;
			*last = one_address(hosts[i].numbers[at]);
		}
		return 0;
	}
	return __real_getaddrinfo(name, service, hints, ret);
}

void
__wrap_freeaddrinfo(struct addrinfo *list)
{
	for (struct addrinfo *next; list != NULL; list = next) {
		next = list->ai_next;
		list->ai_next = NULL;
		__real_freeaddrinfo(list);
	}
}

static char directory[] = "/tmp/pupitre-sockets-XXXXXX";

static struct connection
connection_of(enum transport transport, const char *ip)
{
	struct connection c;
	assert_works(connection_init(&c, &e));
	c.transport = transport;
	free(c.ip);
	c.ip = __real_strdup(ip);
	return c;
}

static struct connection
ipc_connection(void)
{
	char ip[sizeof directory + 2];
	snprintf(ip, sizeof ip, "%s/k", directory);
	return connection_of(TRANSPORT_IPC, ip);
}

static size_t
files_in_directory(void)
{
	size_t count = 0;
	DIR *d = opendir(directory);
	assert_non_null(d);
	for (const struct dirent *entry; (entry = readdir(d)) != NULL;)
		count += entry->d_name[0] != '.';
	closedir(d);
	return count;
}

/* With whatever fails first, second, ...: no sockets, one line, and nothing left behind. */
static void
open_with_everything_failing(struct connection (*make)(void), long at_least)
{
	for (fail_at = 1;; fail_at++) {
		struct err e = ERR_INIT;
		fail_at = -fail_at;
		struct connection c = make();
		fail_at = -fail_at;
		attempts = 0;
		struct sockets *s = sockets_open(&c, &e);
		bool failed = attempts >= fail_at;
		sockets_close(s, 0);
		connection_free(&c);
		assert_int_equal(files_in_directory(), 0);
		if (!failed) {
			assert_non_null(s);
			break;
		}
		assert_null(s);
		assert_true(e.text[0] != '\0' && strchr(e.text, '\n') == NULL);
	}
	assert_true(fail_at > at_least);
	fail_at = 0;
}

static void
test_no_sockets_without_all_that_belongs_to_them(void **state)
{
	(void)state;
	open_with_everything_failing(ipc_connection, 40);
}

static struct connection
tcp_connection(void)
{
	return connection_of(TRANSPORT_TCP, "127.0.0.1");
}

static void
test_no_tcp_sockets_without_all_that_belongs_to_them(void **state)
{
	(void)state;
	open_with_everything_failing(tcp_connection, 40);
}

/* A client of the shell channel. */
struct client {
	struct connection c;
	struct sockets *s;
	void *context, *socket;
};

static struct client
connect_client(void)
{
	struct client client = { .c = ipc_connection() };
	struct err error = ERR_INIT;
	BUF_AUTO endpoint = BUF_INIT;
	client.s = sockets_open(&client.c, &error);
	assert_non_null(client.s);
	client.context = zmq_ctx_new();
	client.socket = zmq_socket(client.context, ZMQ_DEALER);
	int deadline = DEADLINE_MS;
	__real_zmq_setsockopt(client.socket, ZMQ_RCVTIMEO, &deadline, sizeof deadline);
	assert_works(connection_endpoint(&client.c, client.c.ip, client.c.ports[CHANNEL_SHELL], &endpoint, &e));
	assert_int_equal(zmq_connect(client.socket, endpoint.data), 0);
	return client;
}

static void
close_client(struct client *client)
{
	zmq_close(client->socket);
	zmq_ctx_term(client->context);
	sockets_close(client->s, 0);
	connection_free(&client->c);
}

static void
client_sends(const struct client *client, size_t parts)
{
	for (size_t i = 0; i < parts; i++)
		assert_int_equal(zmq_send(client->socket, &i, sizeof i, i + 1 < parts ? ZMQ_SNDMORE : 0), sizeof i);
}

static int
receive(struct client *client, const struct wire_frame **ret_frames, size_t *ret_count)
{
	struct poll_set set = { .channels = 1u << CHANNEL_SHELL };
	assert_works(sockets_poll(client->s, &set, DEADLINE_MS, &e));
	return sockets_receive(client->s, CHANNEL_SHELL, ret_frames, ret_count);
}

static void
assert_counted(const struct wire_frame *frames, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(frames[i].size, sizeof i);
		assert_memory_equal(frames[i].data, &i, sizeof i);
	}
}

static void
test_message_of_as_many_frames_as_there_may_be(void **state)
{
	(void)state;
	struct client client = connect_client();
	const struct wire_frame *frames;
	size_t count;
	client_sends(&client, LIMIT_FRAMES - 1);
	assert_int_equal(receive(&client, &frames, &count), 1);
	assert_int_equal(count, LIMIT_FRAMES);
	assert_counted(frames + 1, count - 1);
	struct message *m = sockets_keep(client.s);
	assert_non_null(m);
	assert_counted(message_frames(m, &count) + 1, LIMIT_FRAMES - 1);
	assert_int_equal(count, LIMIT_FRAMES);
	message_free(m);
	client_sends(&client, LIMIT_FRAMES);
	client_sends(&client, 3);
	assert_int_equal(receive(&client, &frames, &count), 1);
	assert_int_equal(count, 0);
	assert_int_equal(receive(&client, &frames, &count), 1);
	assert_int_equal(count, 4);
	assert_counted(frames + 1, 3);
	close_client(&client);
}

/* Memory that is short in the middle of a message: it is not there at all, and the next one is whole. */
static void
test_no_half_message_is_received(void **state)
{
	(void)state;
	struct client client = connect_client();
	const struct wire_frame *frames;
	size_t count;
	client_sends(&client, 40);
	client_sends(&client, 2);
	struct poll_set set = { .channels = 1u << CHANNEL_SHELL };
	assert_works(sockets_poll(client.s, &set, DEADLINE_MS, &e));
	attempts = 0;
	fail_at = 2;
	assert_int_equal(sockets_receive(client.s, CHANNEL_SHELL, &frames, &count), 1);
	assert_true(attempts >= fail_at);
	fail_at = 0;
	assert_int_equal(count, 0);
	assert_int_equal(receive(&client, &frames, &count), 1);
	assert_int_equal(count, 3);
	assert_counted(frames + 1, 2);
	close_client(&client);
}

static void
test_no_half_message_is_sent(void **state)
{
	(void)state;
	struct client client = connect_client();
	const struct wire_frame *frames;
	size_t count;
	char text[100] = "long enough to need memory of its own";
	client_sends(&client, 1);
	assert_int_equal(receive(&client, &frames, &count), 1);
	struct message *question = sockets_keep(client.s);
	const struct wire_frame answer[] = { message_frames(question, &count)[0],
					     { text, sizeof text },
					     { text, sizeof text } };
	for (fail_at = 1;; fail_at++) {
		struct err e = ERR_INIT;
		attempts = 0;
		if (sockets_send(client.s, CHANNEL_SHELL, answer, 3, &e) == 0)
			break;
		assert_int_equal(e.code, ERR_MEMORY);
	}
	assert_true(fail_at > 3);
	fail_at = 0;
	char got[sizeof text];
	int more;
	size_t size = sizeof more;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(zmq_recv(client.socket, got, sizeof got, 0), sizeof got);
		assert_memory_equal(got, text, sizeof text);
		assert_int_equal(__real_zmq_getsockopt(client.socket, ZMQ_RCVMORE, &more, &size), 0);
		assert_int_equal(more, i == 0);
	}
	assert_int_equal(zmq_recv(client.socket, got, sizeof got, ZMQ_DONTWAIT), -1);
	message_free(question);
	close_client(&client);
}

/* Whether somebody accepts connections at this address. */
static bool
is_listened_on(const char *number, int port)
{
	struct addrinfo *a = one_address(number);
	struct sockaddr_storage address;
	memcpy(&address, a->ai_addr, a->ai_addrlen);
	((struct sockaddr_in *)&address)->sin_port = htons((uint16_t)port); /* at the same place as sin6_port */
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	bool accepted = connect(fd, (struct sockaddr *)&address, a->ai_addrlen) == 0;
	close(fd);
	__real_freeaddrinfo(a);
	return accepted;
}

static void
assert_listens(const char *ip, const char *const *numbers)
{
	struct err e = ERR_INIT;
	struct connection c = connection_of(TRANSPORT_TCP, ip);
	struct sockets *s = sockets_open(&c, &e);
	if (s == NULL)
		fail_msg("%s: %s", ip, e.text);
	for (int i = 0; i < CHANNEL_COUNT; i++) {
		for (const char *const *number = numbers; *number != NULL; number++)
			assert_true(is_listened_on(*number, c.ports[i]));
	}
	assert_string_equal(c.ip, ip);
	sockets_close(s, 0);
	connection_free(&c);
}

static const char *const ipv4[] = { "127.0.0.1", NULL }, *const ipv6[] = { "::1", NULL },
			 *const both[] = { "127.0.0.1", "::1", NULL };

static void assert_refused(const char *ip, const char *word);

static bool
has_ipv6(void)
{
	struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool there = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
	close(fd);
	return there;
}

/* On a machine without IPv6: one line that says so. */
static void
assert_listens_if_ipv6(const char *ip, const char *const *numbers)
{
	if (has_ipv6())
		assert_listens(ip, numbers);
	else
		assert_refused(ip, "::");
}

static void
test_addresses(void **state)
{
	(void)state;
	assert_listens("127.0.0.1", ipv4);
	assert_listens("*", ipv4);
	assert_listens("0.0.0.0", ipv4);
	assert_listens("lo", ipv4);
	assert_listens("127.1", ipv4);
	assert_listens_if_ipv6("::1", ipv6);
	assert_listens_if_ipv6("[::1]", ipv6);
	assert_listens_if_ipv6("::", both);
}

static void
test_names_of_hosts(void **state)
{
	(void)state;
	assert_listens("localhost", ipv4);
	assert_listens("both.test", ipv4);
	if (has_ipv6())
		assert_listens("both.test", both);
	assert_listens("twice.test", ipv4);
	assert_listens("partly.test", ipv4);
}

static void
assert_refused(const char *ip, const char *word)
{
	struct err e = ERR_INIT;
	struct connection c = connection_of(TRANSPORT_TCP, ip);
	assert_null(sockets_open(&c, &e));
	assert_non_null(strstr(e.text, word));
	assert_null(strchr(e.text, '\n'));
	connection_free(&c);
}

static void
test_addresses_of_nobody(void **state)
{
	(void)state;
	assert_refused("203.0.113.7", "203.0.113.7");
	assert_refused("elsewhere.test", "203.0.113.7");
	assert_refused("no such host", "no such host");
	assert_refused("fe80::1%nowhere", "fe80::1%nowhere");
}

static int
make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) == NULL ? -1 : 0;
}

static int
remove_directory(void **state)
{
	(void)state;
	return rmdir(directory);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_sockets_without_all_that_belongs_to_them),
		cmocka_unit_test(test_no_tcp_sockets_without_all_that_belongs_to_them),
		cmocka_unit_test(test_message_of_as_many_frames_as_there_may_be),
		cmocka_unit_test(test_no_half_message_is_received),
		cmocka_unit_test(test_no_half_message_is_sent),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_names_of_hosts),
		cmocka_unit_test(test_addresses_of_nobody),
	};
	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
