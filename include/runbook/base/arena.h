/* An arena: many small allocations, one free. One per run, per record, per plan.
 *
 * Invariant: after the first allocation that fails (memory or the arena's maximum) `rb_arena_failed` is true for
 * good and every later call returns NULL. Builders may therefore go on and let their owner look once. Not
 * thread-safe: one owner at a time. */
#ifndef RUNBOOK_BASE_ARENA_H
#define RUNBOOK_BASE_ARENA_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "runbook/base/error.h"

struct rb_arena;

/* A new arena that will hand out at most `max` bytes; NULL when memory is out. */
struct rb_arena *rb_arena_new(size_t max);
/* The same, for what may hold secrets: its memory is overwritten before it is given back. */
struct rb_arena *rb_arena_new_wiped(size_t max);
void rb_arena_free(struct rb_arena *arena); /* NULL is fine */
bool rb_arena_failed(const struct rb_arena *arena);
size_t rb_arena_used(const struct rb_arena *arena); /* bytes handed out */

/* `size` zeroed bytes aligned for any object, or NULL. */
void *rb_arena_alloc(struct rb_arena *arena, size_t size);
/* count * size with an overflow check, zeroed. */
void *rb_arena_array(struct rb_arena *arena, size_t count, size_t size);
char *rb_arena_strdup(struct rb_arena *arena, const char *text);              /* NULL in, NULL out */
char *rb_arena_strndup(struct rb_arena *arena, const char *text, size_t len); /* may contain NUL; terminated */
char *rb_arena_printf(struct rb_arena *arena, const char *fmt, ...) RB_PRINTF(2, 3);
char *rb_arena_vprintf(struct rb_arena *arena, const char *fmt, va_list args) RB_PRINTF(2, 0);

static inline void rb_arena_cleanup(struct rb_arena **arena)
{
    rb_arena_free(*arena);
}
#define RB_ARENA_AUTO __attribute__((cleanup(rb_arena_cleanup))) struct rb_arena

#endif
