/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the fuzz targets share: an assertion that release builds keep, and frames cut from the input's bytes.
 */
#ifndef PUPITRE_TESTS_FUZZ_H
#define PUPITRE_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "protocol/wire.h"

/* libFuzzer's entry point: one input. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(condition)                                                                            \
	do {                                                                                          \
		if (!(condition)) {                                                                   \
			fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
			abort();                                                                      \
		}                                                                                     \
	} while (0)

#define FUZZ_FRAMES 1100u

/* Cut the input into frames. Each starts with a byte: its size up to 250; 251: the delimiter, without bytes of its own; 252 to 255: that
 * many times 256 less 64,000 bytes. The last frame is as long as what is left. */
static inline size_t
fuzz_frames(const uint8_t *data, size_t size, struct wire_frame frames[FUZZ_FRAMES])
{
	size_t count = 0;
	while (size > 0 && count < FUZZ_FRAMES) {
		size_t wanted = *data;
		data++;
		size--;
		if (wanted == 251) {
			frames[count++] = (struct wire_frame){ WIRE_DELIMITER, WIRE_DELIMITER_SIZE };
			continue;
		}
		if (wanted > 251)
			wanted = 256 * wanted - 64000;
		if (wanted > size)
			wanted = size;
		frames[count++] = (struct wire_frame){ data, wanted };
		data += wanted;
		size -= wanted;
	}
	return count;
}

#endif
