/* The files of the tree: what git tracks, what it does not ignore, matched against globs; or a plain walk outside git.
 *
 * Reads .git/index with libgit2 without writing or locking it; opens nothing outside the root; never follows a symlink out of it. */
#ifndef RUNBOOK_SOURCE_FILES_H
#define RUNBOOK_SOURCE_FILES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runbook/base/arena.h"
#include "runbook/base/strings.h"
#include "runbook/source/listing.h"

struct rb_file_entry {
    const char *path; /* relative to root, '/' */
    bool tracked;
    bool regular;                       /* its folder named it as a regular file a moment ago; false: not known */
    unsigned mode;                      /* of the index for tracked files, else st_mode */
    unsigned char blob[20];             /* of the index; zero when untracked */
    int64_t index_mtime_ns, index_size; /* stat data of the index; 0 when untracked */
    int64_t index_ctime_ns;
    uint32_t index_ino; /* low 32 bits, as git keeps them */
    bool conflicted;
    bool skipped; /* skip-worktree: in a sparse checkout the file is not there on purpose */
};
enum { RB_FILES_MAX_ENTRIES = 200000 };
struct rb_file_request {
    const char *root;
    struct rb_strings include, exclude; /* globs */
    bool tracked, untracked;
    size_t max_entries;           /* 0: RB_FILES_MAX_ENTRIES */
    const atomic_bool *cancelled; /* may be NULL; ends the walk early with RB_ETIMEOUT */
    bool *out_outside_git;        /* may be NULL: set to whether there is no repository */
    bool no_git;                  /* do not look for a repository: every file counts as untracked */
    bool submodules;              /* list them too, with mode 0160000 and their commit in `blob` */
    bool repositories;           /* with `untracked`: also list repositories inside that git does not track, as "folder/" of mode S_IFDIR */
    int64_t *out_index_mtime_ns; /* may be NULL: when the index was written; 0 outside git */
    bool *out_filters;           /* may be NULL: whether external filters may decide over the content of files (rb_git_view_filter) */
    size_t *out_tracked;         /* may be NULL: how many files git tracks below the root, whatever the globs say */
    size_t *out_unreachable;     /* may be NULL: folders that could not be read or whose path is above 4,000 bytes */
    /* What an earlier listing of the same request left, or NULL; and where this one leaves its own (in the arena, sharing what `known` holds), or NULL.
     * Only for untracked files. */
    const struct rb_listing *known;
    struct rb_listing *out_listing;
    int64_t now_wall_ns; /* with out_listing: taken before the call */
};
/* Sorted by path, without duplicates. RB_ELIMIT when there are more. Outside a git repository every file counts as untracked and .git-like folders are left out. Any thread. */
int rb_files_list(const struct rb_file_request *request, struct rb_arena *arena, struct rb_file_entry **out, size_t *out_count,
                  struct rb_error *err) RB_MUST_CHECK;

/* The same, one entry after the other as it becomes known. `entry` is lent for the call, its path lies in the arena; a negative code of `found` ends the listing and is
 * returned. What the out_ pointers of the request tell about the repository is written before the first call. */
int rb_files_each(const struct rb_file_request *request, struct rb_arena *arena,
                  int (*found)(void *ctx, const struct rb_file_entry *entry, struct rb_error *err), void *ctx,
                  struct rb_error *err) RB_MUST_CHECK;

/* What a pattern names on disk, git or not: files, folders, links, dot files. For the `path` kind. */
struct rb_found {
    const char *path; /* as the pattern writes it: relative to root, or absolute */
    unsigned mode,
        uid; /* st_mode, st_uid: of a link's target when that lies inside the root (or the pattern is absolute), else of the link */
    int64_t size_bytes, mtime_wall_ns;
    bool symlink, dangling;
};
struct rb_found_list {
    struct rb_found *items; /* sorted by path */
    size_t count;
    size_t unreachable; /* folders that could not be read */
};
/* Expands a literal path or a glob; relative ones below `root` (never out of it through a symlink), absolute and ~ ones anywhere. A glob never enters a symlinked folder.
 * At most `max` matches and 1 million names: RB_ELIMIT. Nothing found is no error. Workers only. */
int rb_files_expand(const char *root, const char *pattern, size_t max, const atomic_bool *cancelled, struct rb_arena *arena,
                    struct rb_found_list *out, struct rb_error *err) RB_MUST_CHECK;

/* Access to files below a folder that never follows a symlink, neither the last nor one on the way. Keeps the last parent folder and the one around it open: cheap for sorted paths.
 * One owner at a time. */
struct stat;
struct rb_below {
    int root_fd, dir_fd, up_fd;
    char *dir;     /* path of dir_fd */
    size_t up_len; /* up_fd is the folder of that many bytes of dir's path; 0: not open */
};
int rb_below_init(struct rb_below *below, const char *root, struct rb_error *err) RB_MUST_CHECK;
void rb_below_fini(struct rb_below *below);
/* lstat and open of a path relative to the root. Return a negative errno: ENOENT when a folder on the way is missing, ELOOP when it is a symlink. */
int rb_below_lstat(struct rb_below *below, const char *path, struct stat *out) RB_MUST_CHECK;
int rb_below_open(struct rb_below *below, const char *path, int flags) RB_MUST_CHECK;
/* Time stamps of a struct stat in nanoseconds (their fields have other names on other systems). */
int64_t rb_stat_mtime_ns(const struct stat *st);
int64_t rb_stat_ctime_ns(const struct stat *st);

#endif
