/* The files of the tree: what git tracks, what it does not ignore, matched against globs; or a plain walk outside git.
 *
 * Reads .git/index with libgit2 without writing or locking it; opens nothing outside the root; never follows a symlink out of it. */
#ifndef RUNBOOK_SOURCE_FILES_H
#define RUNBOOK_SOURCE_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runbook/base/arena.h"
#include "runbook/base/strings.h"

struct rb_file_entry {
    const char *path; /* relative to root, '/' */
    bool tracked;
    unsigned mode;    /* of the index for tracked files, else st_mode */
    unsigned char blob[20]; /* of the index; zero when untracked */
    int64_t index_mtime_ns, index_size; /* stat data of the index; 0 when untracked */
    bool conflicted;
};
struct rb_file_request {
    const char *root;
    struct rb_strings include, exclude; /* globs */
    bool tracked, untracked;
    size_t max_entries;                 /* 0: 200,000 */
};
/* Sorted by path, without duplicates. RB_ELIMIT when there are more. Outside a git repository every file counts as untracked and .git-like folders are left out. Any thread. */
int rb_files_list(const struct rb_file_request *request, struct rb_arena *arena, struct rb_file_entry **out, size_t *out_count, struct rb_error *err) RB_MUST_CHECK;

#endif
