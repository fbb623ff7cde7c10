/* SPDX-License-Identifier: BSD-3-Clause */
#include "front/address.h"

#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static bool
is_known(const struct address *list, size_t count, const char *text)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(list[i].text, text) == 0)
			return true;
	}
	return false;
}

/* The numbers of what getaddrinfo found. A name that stands in /etc/hosts twice is found twice. */
static struct address *
list_numbers(const struct addrinfo *found, size_t *ret_count)
{
	size_t most = 1, count = 0;
	for (const struct addrinfo *at = found->ai_next; at != NULL; at = at->ai_next)
		most++;
	struct address *list = calloc(most, sizeof *list);
	for (const struct addrinfo *at = found; list != NULL && at != NULL; at = at->ai_next) {
		struct address *a = &list[count];
		if (getnameinfo(at->ai_addr, at->ai_addrlen, a->text, sizeof a->text, NULL, 0, NI_NUMERICHOST) == 0 &&
		    !is_known(list, count, a->text)) {
			a->ipv6 = at->ai_family == AF_INET6;
			count++;
		}
	}
	*ret_count = count;
	return list;
}

/* What libzmq understands by itself. */
static struct address *
as_it_is(const char *ip, size_t *ret_count)
{
	struct address *list = calloc(1, sizeof *list);
	if (list != NULL)
		snprintf(list->text, sizeof list->text, "%s", ip);
	*ret_count = 1;
	return list;
}

/* getaddrinfo without the brackets that an IPv6 address may have in an endpoint. */
static int
look_up(const char *ip, int flags, struct addrinfo **ret)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags };
	char bare[NI_MAXHOST];
	size_t size = strlen(ip);
	if (size < 2 || size >= sizeof bare || ip[0] != '[' || ip[size - 1] != ']')
		return getaddrinfo(ip, NULL, &hints, ret);
	snprintf(bare, sizeof bare, "%.*s", (int)size - 2, ip + 1);
	return getaddrinfo(bare, NULL, &hints, ret);
}

static struct address *
no_address(const char *ip, int failure, struct err *e)
{
	const char *cause = failure == EAI_SYSTEM ? strerror(errno) : gai_strerror(failure);
	err_set(e, ERR_INVALID, "cannot listen on \"%.120s\": no address of that name is known (%s)", ip, cause);
	return NULL;
}

struct address *
address_resolve(const char *ip, size_t *ret_count, struct err *e)
{
	struct address *list = NULL;
	struct addrinfo *found = NULL;
	/* A number needs none of the libraries that look names up. */
	int failure = look_up(ip, AI_NUMERICHOST, &found);
	if (failure != 0 && (strcmp(ip, "*") == 0 || if_nametoindex(ip) != 0)) {
		list = as_it_is(ip, ret_count);
	} else {
		if (failure != 0)
			failure = look_up(ip, 0, &found);
		if (failure != 0)
			return no_address(ip, failure, e);
		list = list_numbers(found, ret_count);
		freeaddrinfo(found);
	}
	if (list == NULL)
		err_memory(e);
	return list;
}
