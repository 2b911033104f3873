/* The folders of the tree that a change could matter in: what is to be watched. Read-only, follows no symlink, enters no nested repository. */
#ifndef RUNBOOK_SOURCE_FOLDERS_H
#define RUNBOOK_SOURCE_FOLDERS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "runbook/base/arena.h"
#include "runbook/base/strings.h"

struct rb_folders_request {
    const char *root;
    /* Whether something in or below `dir` is of interest. `ignored`: git ignores it and tracks nothing in it; asked without that first. */
    bool (*enter)(void *ctx, const char *dir, bool ignored);
    /* A folder that was entered ("" is the root, which always is), or with `files` a regular file in one. False ends the walk. */
    bool (*found)(void *ctx, const char *path, bool folder);
    bool files;
    void *ctx;
    const atomic_bool *cancelled; /* may be NULL: ends the walk early with RB_ETIMEOUT */
};
/* A folder comes before what is in it. At most a million names and 128 levels; what cannot be read is left out. RB_ELIMIT, RB_ENOMEM, RB_ESYS when the root cannot be opened.
 * Blocks: not on the loop. */
int rb_folders_walk(const struct rb_folders_request *request, struct rb_error *err) RB_MUST_CHECK;

/* Where the repository around `root` keeps HEAD (its own folder), and its references (the folder that linked work trees share); the first of `out` is the former. The rest
 * are folders below refs/, at most `max` in all. Absolute paths in the arena; RB_ENOTFOUND without a repository. */
int rb_folders_of_git(const char *root, size_t max, struct rb_arena *arena, struct rb_strings *out, struct rb_error *err) RB_MUST_CHECK;

#endif
