/* SPDX-License-Identifier: BSD-3-Clause
 *
 * locale_driver: become its own environment again, and print what that makes of it, for locale_differential.py: each variable, then a line
 * with the locale of each category, then what a Python would have in sys.flags.utf8_mode. Exit status 70 when it cannot.
 */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nursery/template/become.h"

static const int categories[] = { LC_CTYPE, LC_COLLATE, LC_TIME, LC_MONETARY, LC_MESSAGES, LC_NUMERIC };

int
main(void)
{
	static char bytes[1 << 20];
	struct err e = ERR_INIT;
	struct payload p;
	struct nursery_payload header = { .magic = NURSERY_MAGIC, .version = NURSERY_VERSION };
	size_t size = sizeof header;
	for (; environ[header.count] != NULL; header.count++) {
		size_t one = strlen(environ[header.count]) + 1;
		if (size + one > sizeof bytes)
			return 2;
		memcpy(bytes + size, environ[header.count], one);
		size += one;
	}
	header.size = size - sizeof header;
	memcpy(bytes, &header, sizeof header);
	setlocale(LC_ALL, "C.UTF-8"); /* a template's */
	setenv("LEFT_OVER", "1", 1);
	if (become_parse(bytes, size, &p, &e) < 0 || become_environment(&p, &e) < 0) {
		fprintf(stderr, "%s\n", e.text);
		return 70;
	}
	for (char **at = environ; *at != NULL; at++)
		puts(*at);
	for (size_t i = 0; i < sizeof categories / sizeof *categories; i++)
		printf("%s ", setlocale(categories[i], NULL));
	printf("\n%d\n", become_has_utf8_mode());
	return 0;
}
