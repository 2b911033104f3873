/* What the readers of a git repository share. Private to lib/source. */
#ifndef RUNBOOK_SOURCE_GIT_INTERNAL_H
#define RUNBOOK_SOURCE_GIT_INTERNAL_H

#include <git2.h>
#include <sys/stat.h>

#include "runbook/source/files.h"
#include "runbook/source/git.h"

struct rb_git {
    git_repository *repo;
};

/* Fills `err` from libgit2's last error of this thread. */
int git_fail(struct rb_error *err, int code, const char *what);

/* A walk over a folder that reports what git does not track (or every file when `repo` is NULL). Iterative, bounded, follows no symlink, enters no
 * nested repository. In the order of paths. */
struct walk {
    struct rb_below *below;
    git_repository *repo;       /* NULL: no git */
    const char *prefix;         /* of the root below the work tree, "" or ending in '/' */
    const char *const *tracked; /* sorted paths relative to the root, submodules too */
    size_t tracked_count;
    bool collapse;                /* report a folder without tracked files once, as "folder/", instead of its files */
    const atomic_bool *cancelled; /* or NULL */
    size_t unreachable;
    bool (*enter)(void *ctx, const char *dir); /* may be NULL; false leaves the folder out */
    int (*found)(void *ctx, const char *path, const struct stat *st, struct rb_error *err);
    int (*tracked_seen)(void *ctx, size_t index, bool regular, struct rb_error *err); /* may be NULL: tracked[index] exists */
    void *ctx;
};
int walk_run(struct walk *walk, struct rb_error *err) RB_MUST_CHECK;

/* The root's place in the work tree: "" or "sub/", in the arena. Negative when it is not inside. */
int git_prefix(struct rb_git *git, const char *root, struct rb_arena *arena, const char **out_prefix, struct rb_error *err) RB_MUST_CHECK;

#endif
