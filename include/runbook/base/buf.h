/* A growable byte buffer that always has a maximum.
 *
 * Invariants: data[len] == '\0' whenever data is not NULL; once an append did not fit or memory ran out,
 * `failed` stays set and every later append is a no-op, so a renderer checks once, at its end. */
#ifndef RUNBOOK_BASE_BUF_H
#define RUNBOOK_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "runbook/base/error.h"

struct rb_buf {
    char *data; /* NULL until the first append */
    size_t len;
    size_t cap;
    size_t max; /* bytes; len never exceeds it */
    bool failed;
    bool out_of_memory; /* `failed` because of memory, not of `max` */
    bool wiped;         /* set it after init: memory is overwritten before it is given back, for what may hold secrets */
};

/* Prepares an empty buffer that will never hold more than `max` bytes. Allocates nothing. */
void rb_buf_init(struct rb_buf *buf, size_t max);
/* Releases the memory; the buffer is empty and usable again. Accepts a zeroed buffer. */
void rb_buf_fini(struct rb_buf *buf);
/* Empties without releasing; clears `failed`. */
void rb_buf_reset(struct rb_buf *buf);

void rb_buf_add(struct rb_buf *buf, const void *bytes, size_t len);
void rb_buf_adds(struct rb_buf *buf, const char *text); /* NULL adds nothing */
void rb_buf_addc(struct rb_buf *buf, char c);
void rb_buf_addf(struct rb_buf *buf, const char *fmt, ...) RB_PRINTF(2, 3);
void rb_buf_addv(struct rb_buf *buf, const char *fmt, va_list args) RB_PRINTF(2, 0);

/* Adds as much of `bytes` as fits and returns how many were taken (0 when full or out of memory). */
size_t rb_buf_add_some(struct rb_buf *buf, const void *bytes, size_t len);

/* The text, never NULL ("" while empty). Borrowed until the next append. */
const char *rb_buf_str(const struct rb_buf *buf);

/* Hands the bytes to the caller (free() them); the buffer is empty afterwards. NULL when failed or out of memory.
 * `out_len` may be NULL. */
char *rb_buf_steal(struct rb_buf *buf, size_t *out_len);

/* 0, or RB_ELIMIT/RB_ENOMEM with a message that names `what`. */
int rb_buf_check(const struct rb_buf *buf, const char *what, struct rb_error *err) RB_MUST_CHECK;

#define RB_BUF_AUTO __attribute__((cleanup(rb_buf_fini))) struct rb_buf

#endif
