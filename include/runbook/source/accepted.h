/* Findings that people accepted: a text file in the repository, so that accepting one is a change that somebody reviews.
 *
 * One entry a line: a fingerprint of 16 hex digits, or `path:count` (at most that many findings in the file; what `rg -c` prints), then blanks and any
 * remark. Empty lines and lines that begin with '#' are remarks. */
#ifndef RUNBOOK_SOURCE_ACCEPTED_H
#define RUNBOOK_SOURCE_ACCEPTED_H

#include <stdbool.h>
#include <stddef.h>

#include "runbook/base/arena.h"

struct rb_accepted_entry {
    const char *key; /* fingerprint or path */
    size_t count;    /* of a path; 0: a fingerprint */
    size_t used;     /* findings that it covered so far */
};
struct rb_accepted {
    struct rb_accepted_entry *items; /* sorted by key */
    size_t count;
};

enum { RB_ACCEPTED_MAX_BYTES = 8 << 20 };

/* Reads `path` below `root`; a symlink is not followed. RB_ENOTFOUND, RB_EPARSE with line number, RB_ELIMIT, RB_ENOMEM, RB_ESYS. */
int rb_accepted_load(const char *root, const char *path, struct rb_arena *arena, struct rb_accepted *out,
                     struct rb_error *err) RB_MUST_CHECK;
/* The entry with this key, or NULL. */
struct rb_accepted_entry *rb_accepted_find(const struct rb_accepted *accepted, const char *key);

#endif
