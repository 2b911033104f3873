/* A repository as one moment has it: what HEAD and its upstream hold at a path, contents by digest, and the digest that git would give a file. Read-only, like git.h; workers. */
#ifndef RUNBOOK_SOURCE_GIT_VIEW_H
#define RUNBOOK_SOURCE_GIT_VIEW_H

#include "runbook/base/buf.h"
#include "runbook/source/git.h"

#define RB_GIT_ID 20

struct rb_git_entry {
    bool found;
    unsigned mode; /* as git's: 0100644, 0100755, 0120000, 0160000, 040000 */
    unsigned char id[RB_GIT_ID];
};

struct rb_git_view;
/* `root` lies in `git`'s work tree; paths count from it. Borrows `git`. HEAD may be unborn, an upstream missing: then nothing is found there. */
int rb_git_view_new(struct rb_git *git, const char *root, struct rb_git_view **out, struct rb_error *err) RB_MUST_CHECK;
void rb_git_view_free(struct rb_git_view *view); /* NULL is fine */

bool rb_git_view_has_upstream(const struct rb_git_view *view);
struct rb_git_entry rb_git_view_head(const struct rb_git_view *view, const char *path);
struct rb_git_entry rb_git_view_upstream(const struct rb_git_view *view, const char *path);
/* Time of the commit that gave `path` what HEAD has there (or took it away); 0 when it is not among the newest 2,000 commits. */
int64_t rb_git_view_change_time(const struct rb_git_view *view, const char *path);

/* The digest that git gives `bytes` as the content of `path`: line ends and ident as its attributes say. RB_EUNSUPPORTED when an external filter would have to run. */
int rb_git_view_hash(const struct rb_git_view *view, const char *path, const char *bytes, size_t len, unsigned char out[RB_GIT_ID],
                     struct rb_error *err) RB_MUST_CHECK;
/* The same without a repository: no attributes. Any thread. */
int rb_git_hash_plain(const char *bytes, size_t len, unsigned char out[RB_GIT_ID], struct rb_error *err) RB_MUST_CHECK;
bool rb_git_view_has(const struct rb_git_view *view, const unsigned char id[RB_GIT_ID]);
/* A blob's content. RB_ENOTFOUND, or RB_ELIMIT above `max` bytes. */
int rb_git_view_read(const struct rb_git_view *view, const unsigned char id[RB_GIT_ID], size_t max, struct rb_buf *out,
                     struct rb_error *err) RB_MUST_CHECK;
/* The commit that a submodule at `path` has checked out. RB_ENOTFOUND when it is not initialised. */
int rb_git_view_submodule(const struct rb_git_view *view, const char *path, unsigned char out[RB_GIT_ID],
                          struct rb_error *err) RB_MUST_CHECK;
/* Whether something in a submodule that is there is not committed: staged, changed, gone or untracked. False when it cannot be told. `cancelled` may be NULL. */
bool rb_git_view_submodule_modified(const struct rb_git_view *view, const char *path, const atomic_bool *cancelled, struct rb_arena *arena);
/* False when core.filemode says that the executable bit means nothing here. */
bool rb_git_view_trusts_mode(const struct rb_git_view *view);
/* Whether the work tree leaves out files on purpose (core.sparseCheckout). */
bool rb_git_view_is_sparse(const struct rb_git_view *view);
/* Whether the content of a file has git's form only by a program that is configured as its filter (not LFS, whose form is known): no digest of git's can be computed. */
bool rb_git_view_filter(const struct rb_git_view *view, const char *path);

#endif
