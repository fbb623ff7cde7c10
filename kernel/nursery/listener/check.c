/* SPDX-License-Identifier: BSD-3-Clause */
#include "check.h"

#include <stdbool.h>
#include <string.h>

enum nursery_reason
check_request(const struct nursery_request *r, size_t size, size_t fd_count)
{
	static const char build[NURSERY_BUILD_SIZE] = NURSERY_BUILD;
	static const uint64_t zeros[sizeof r->reserved / sizeof *r->reserved];
	if (size != sizeof *r || r->magic != NURSERY_MAGIC || memcmp(r->reserved, zeros, sizeof zeros) != 0)
		return NURSERY_BAD_REQUEST;
	if (r->version != NURSERY_VERSION || memcmp(r->build, build, sizeof build) != 0)
		return NURSERY_BAD_BUILD;
	if (r->op < NURSERY_START || r->op > NURSERY_RELOAD)
		return NURSERY_BAD_REQUEST;
	return fd_count == (r->op == NURSERY_START ? NURSERY_FD_COUNT : 0) ? NURSERY_OK : NURSERY_BAD_REQUEST;
}

enum nursery_reason
check_report(struct nursery_report *r, size_t size, size_t fd_count)
{
	if (size != sizeof *r || r->magic != NURSERY_MAGIC || r->version != NURSERY_VERSION)
		return NURSERY_BAD_REQUEST;
	bool forked = r->op == NURSERY_FORKED, of_worker = forked || r->op == NURSERY_CHANGED;
	if (!of_worker && r->op != NURSERY_READY && r->op != NURSERY_UNFIT && r->op != NURSERY_FAILED)
		return NURSERY_BAD_REQUEST;
	if (fd_count != forked || (of_worker && r->pid <= 0) || r->reason >= NURSERY_REASON_COUNT)
		return NURSERY_BAD_REQUEST;
	r->text[sizeof r->text - 1] = '\0';
	for (char *at = r->text; *at != '\0'; at++)
		*at = *at < ' ' || *at > '~' ? '?' : *at;
	return NURSERY_OK;
}

enum nursery_verdict
check_verdict(enum nursery_reason reason)
{
	static const uint32_t passing = 1u << NURSERY_TOO_MANY | 1u << NURSERY_FULL | 1u << NURSERY_NOT_READY |
					1u << NURSERY_DRAINING | 1u << NURSERY_STALE | 1u << NURSERY_THREADS |
					1u << NURSERY_NO_MEMORY | 1u << NURSERY_PLACEMENT | 1u << NURSERY_TEMPLATE_DIED;
	_Static_assert(NURSERY_REASON_COUNT <= 32, "one bit each");
	return (passing >> reason & 1) != 0 ? NURSERY_COLD : NURSERY_FINAL;
}
