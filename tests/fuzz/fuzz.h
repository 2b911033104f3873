/* What the fuzz targets share. A property that does not hold aborts, in release builds too. */
#ifndef RUNBOOK_TESTS_FUZZ_H
#define RUNBOOK_TESTS_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FUZZ_IN_MAX  65536
#define FUZZ_OUT_MAX (FUZZ_IN_MAX * 16)

#define FUZZ_HOLDS(condition)                                                                    \
    do {                                                                                         \
        if (!(condition)) {                                                                      \
            (void)fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                             \
        }                                                                                        \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input as a terminated string; free() it. */
static inline char *fuzz_string(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (!text)
        abort();
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    return text;
}

#endif
