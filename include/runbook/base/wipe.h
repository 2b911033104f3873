/* Overwriting memory that held secrets: environments of processes and containers, answers of services. */
#ifndef RUNBOOK_BASE_WIPE_H
#define RUNBOOK_BASE_WIPE_H

#include <string.h>

/* Zeroes bytes in a way that the compiler keeps although nobody reads them any more. NULL is fine when `len` is 0. */
static inline void rb_wipe(void *bytes, size_t len)
{
    if (len > 0)
        memset(bytes, 0, len);
    __asm__ __volatile__("" : : "r"(bytes) : "memory");
}

#endif
