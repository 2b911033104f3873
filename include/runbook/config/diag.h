/* Diagnostics: every configuration error of a run, each with its place. */
#ifndef RUNBOOK_CONFIG_DIAG_H
#define RUNBOOK_CONFIG_DIAG_H

#include <stddef.h>

#include "runbook/base/arena.h"
#include "runbook/base/buf.h"

/* A place in a file, 1-based; line 0: the file as a whole. `file` is borrowed from the plan's arena. */
struct rb_mark {
    const char *file;
    unsigned line;
    unsigned column;
};

struct rb_diag {
    struct rb_mark mark;
    const char *message;
};

#define RB_DIAG_MAX 200 /* further ones are counted, not kept */

struct rb_diags {
    struct rb_arena *arena; /* borrowed; holds files and messages */
    struct rb_diag items[RB_DIAG_MAX];
    size_t count;   /* kept */
    size_t dropped; /* beyond RB_DIAG_MAX */
};

void rb_diags_init(struct rb_diags *diags, struct rb_arena *arena);
/* Adds one error; returns RB_ECONFIG so that callers can forward it. */
int rb_diag_add(struct rb_diags *diags, struct rb_mark mark, const char *fmt, ...) RB_PRINTF(3, 4);
/* "file:line:column: message\n" for each, in order of file and place, escaped; a last line counts the dropped ones. */
void rb_diags_print(const struct rb_diags *diags, struct rb_buf *out);

#endif
