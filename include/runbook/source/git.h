/* Facts of a git repository, read with libgit2 and never written: no fetch, no index refresh, no hook, filter, fsmonitor or external diff. */
#ifndef RUNBOOK_SOURCE_GIT_H
#define RUNBOOK_SOURCE_GIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runbook/base/arena.h"
#include "runbook/base/strings.h"

struct rb_git_head {
    char commit[41];    /* hex; "" before the first commit */
    const char *branch; /* NULL when detached */
    bool detached, unborn;
    const char *subject; /* first line of the commit message (hostile text) */
    int64_t commit_wall_ns;
};
struct rb_git_status {
    size_t staged, modified, untracked, conflicted, deleted;
    struct rb_strings samples; /* at most 10 paths */
};
struct rb_git_tracking {
    bool has_upstream;
    const char *upstream;
    size_t ahead, behind;
    bool counted;
};
struct rb_git_state {
    const char *operation; /* NULL, "merge", "rebase", "cherry-pick", "revert", "bisect", "am" */
    bool shallow, bare;
    const char *lock_path; /* an index.lock or HEAD.lock that stands, or NULL */
    int64_t lock_mtime_wall_ns;
    int64_t fetch_head_mtime_wall_ns; /* 0: never fetched */
    int64_t clone_mtime_wall_ns;      /* of refs/remotes/origin/HEAD, which a clone writes; 0: none */
};

struct rb_git;
/* Opens the repository at or above `root`. RB_ENOTFOUND: none; RB_EPERM: owned by somebody else (safe.directory), one clear message. */
int rb_git_open(const char *root, struct rb_git **out, struct rb_error *err) RB_MUST_CHECK;
void rb_git_close(struct rb_git *git);
const char *rb_git_workdir(const struct rb_git *git); /* NULL when bare */
const char *rb_git_dir(const struct rb_git *git);
int rb_git_head(struct rb_git *git, struct rb_arena *arena, struct rb_git_head *out, struct rb_error *err) RB_MUST_CHECK;
/* Work tree against index against HEAD by lstat and, where stat data differ, by content; `cancelled` ends it early with RB_ETIMEOUT. */
int rb_git_status(struct rb_git *git, bool untracked, const atomic_bool *cancelled, struct rb_arena *arena, struct rb_git_status *out,
                  struct rb_error *err) RB_MUST_CHECK;
int rb_git_tracking(struct rb_git *git, struct rb_arena *arena, struct rb_git_tracking *out, struct rb_error *err) RB_MUST_CHECK;
int rb_git_state(struct rb_git *git, struct rb_arena *arena, struct rb_git_state *out, struct rb_error *err) RB_MUST_CHECK;
int rb_git_has_tag(struct rb_git *git, const char *tag, bool *out, struct rb_error *err) RB_MUST_CHECK;
int rb_git_is_ignored(struct rb_git *git, const char *path, bool *out, struct rb_error *err) RB_MUST_CHECK;
/* Head of `branch` at the remote, by ls-remote (network; workers only). RB_ESYS when unreachable, which a server that says nothing is after 8 s, and for ssh, which wants a key. */
int rb_git_remote_head(struct rb_git *git, const char *remote, const char *branch, char out_commit[41], struct rb_error *err) RB_MUST_CHECK;
/* Every tag (with the id that it has, an annotated tag's own) and every remote (with its URL as configured: it may hold a password). `each` returns negative to stop: RB_ELIMIT. */
typedef int rb_git_each_fn(void *ctx, const char *name, const char *value);
int rb_git_each_tag(struct rb_git *git, rb_git_each_fn *each, void *ctx, struct rb_error *err) RB_MUST_CHECK;
int rb_git_each_remote(struct rb_git *git, rb_git_each_fn *each, void *ctx, struct rb_error *err) RB_MUST_CHECK;
bool rb_git_has_commit(struct rb_git *git, const char *commit);

#endif
