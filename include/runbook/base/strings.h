/* A borrowed, immutable list of strings: what a list option becomes. */
#ifndef RUNBOOK_BASE_STRINGS_H
#define RUNBOOK_BASE_STRINGS_H

#include <stdbool.h>
#include <stddef.h>

struct rb_strings {
    const char *const *items; /* `count` pointers, followed by NULL; NULL itself when count is 0 */
    size_t count;
};

struct rb_pair {
    const char *key;
    const char *value;
};
struct rb_pairs {
    const struct rb_pair *items;
    size_t count;
};

#endif
