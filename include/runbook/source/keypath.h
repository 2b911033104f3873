/* Key paths: "environment.mode", "**.allow_live", "models.\"gpt-5.2\".family", "jobs[0].enabled" — which values of a parsed document a rule is about.
 *
 * Grammar: segments joined by '.'. A bare segment names a key; `*` and `?` in it are wildcards within one key; `*` alone is any key or list item, `**` alone is any number of
 * levels, none too. A quoted segment ("…" with \" and \\, or '…' as it stands) is a key taken literally. `[3]`, `[*]` or a bare number count list items from 0; a
 * bare number is also the key of that name. At most RB_KEYPATH_MAX_SEGMENTS segments. */
#ifndef RUNBOOK_SOURCE_KEYPATH_H
#define RUNBOOK_SOURCE_KEYPATH_H

#include <stdbool.h>
#include <stddef.h>

#include "runbook/base/arena.h"
#include "runbook/source/document.h"

enum { RB_KEYPATH_MAX_SEGMENTS = 32, RB_KEYPATH_MAX_TEXT = 1024 };

struct rb_keypath;

/* Compiles `text`. RB_EINVAL with what is wrong and where, RB_ENOMEM. Any thread. */
int rb_keypath_parse(const char *text, struct rb_arena *arena, const struct rb_keypath **out, struct rb_error *err) RB_MUST_CHECK;
/* True when the path can name more than one value. */
bool rb_keypath_has_wildcard(const struct rb_keypath *path);

struct rb_keypath_match {
    const char *path;               /* written so that rb_keypath_parse reads it back to this one value, e.g. tiers[2].allow_live */
    const char *key;                /* the nearest key above the value: "allow_live"; "" at the root */
    const struct rb_doc_node *node; /* of the document */
};
struct rb_keypath_matches {
    struct rb_keypath_match *items; /* in document order, each value once */
    size_t count;
};

/* Every value of the document that the path names: one walk, linear in the document whatever the wildcards. At most `max` matches: RB_ELIMIT. Nothing found is no error.
 * Results live in `arena` and point into the document. Any thread. */
int rb_keypath_find(const struct rb_keypath *path, const struct rb_doc_node *root, size_t max, struct rb_arena *arena,
                    struct rb_keypath_matches *out, struct rb_error *err) RB_MUST_CHECK;

#endif
