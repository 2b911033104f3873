/* What is kept of an output stream that may be endless: its first and its last half, with a mark between that says how much was left out.
 * */
#ifndef RUNBOOKD_ENGINE_CAPTURE_H
#define RUNBOOKD_ENGINE_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runbook/base/error.h"

struct capture {
    char *bytes; /* the head, then a ring with the tail; `allocated` bytes, at most `cap` */
    size_t cap, head, allocated;
    uint64_t total;
    bool failed; /* memory was out: nothing is kept */
};

/* Keeps at most `cap` bytes (at least 2). Allocates nothing yet. */
void capture_init(struct capture *capture, size_t cap);
void capture_fini(struct capture *capture);
void capture_add(struct capture *capture, const char *bytes, size_t len);
static inline bool capture_truncated(const struct capture *capture)
{
    return capture->total > capture->cap;
}
/* The kept text, terminated, in memory of its own: free() it. NULL when memory is out. */
char *capture_text(const struct capture *capture, size_t *out_len);

#endif
