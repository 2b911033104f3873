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

/* One entry of the index; strings and ids belong to the index_file, or to its arena. */
struct index_entry {
    const char *path;
    int64_t mtime_ns, ctime_ns; /* nanoseconds 0: git was built without them */
    const unsigned char *id;    /* RB_GIT_ID bytes */
    uint32_t ino, size_bytes;   /* the low 32 bits */
    uint32_t mode;
    unsigned char stage; /* above 0: a side of a conflict */
    bool assumed;        /* assume-unchanged or skip-worktree */
    bool skipped;        /* skip-worktree */
};
struct index_paths { /* unpacked paths of an index of version 4 */
    struct index_paths *next;
    size_t size, fill;
    char bytes[];
};
struct index_file {
    struct index_entry *items; /* in the order of the file */
    size_t count;
    struct stat st;            /* of the file that was read; zero when there is none */
    const unsigned char *tree; /* id of the tree that equals the index, where git noted it; else NULL */
    bool lasting;              /* strings and ids live as long as the arena, not only to index_close() */
    unsigned char *bytes;      /* private, as what follows */
    size_t len;
    struct index_paths *paths;
    struct rb_arena *arena;
    git_index *libgit; /* what our reader does not know, libgit2 read */
};
/* Reads the index of a repository that has a work tree; none is an empty one. Nothing is written or locked. `arena` takes the bytes; may be NULL.
 * A file with the stat data `verified` (or NULL) is not compared with its checksum again. */
int index_open(struct rb_git *git, struct rb_arena *arena, const struct rb_listed_stat *verified, struct index_file *out,
               struct rb_error *err) RB_MUST_CHECK;
void index_close(struct index_file *index);

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
    int (*repository)(void *ctx, const char *dir,
                      struct rb_error *err);   /* may be NULL: a folder that is a repository of its own, not tracked */
    bool (*enter)(void *ctx, const char *dir); /* may be NULL; false leaves the folder out */
    int (*found)(void *ctx, const char *path, const struct stat *st, struct rb_error *err);
    int (*tracked_seen)(void *ctx, size_t index, bool regular, struct rb_error *err); /* may be NULL: tracked[index] exists */
    void *ctx;
    /* Not with `collapse`. Of a folder that is in `known` as it is now, tracked files are not told. */
    const struct rb_listing *known; /* what may be believed, or NULL */
    struct rb_listing *fresh;       /* what was found, in the arena, or NULL */
    struct rb_arena *arena;
    int64_t settled_before_ns;
};
int walk_run(struct walk *walk, struct rb_error *err) RB_MUST_CHECK;
/* Whether an open folder is the top of a repository: what it holds is somebody else's. A .git that is nothing of the kind hides nothing. */
bool walk_is_repository(int fd);

/* The stat data by which a file or folder is known again; all 0 when it changed since `settled_before_ns`. */
struct rb_listed_stat listed_stat(const struct stat *st, int64_t settled_before_ns);
bool listed_same(const struct rb_listed_stat *a, const struct rb_listed_stat *b);
bool listing_same(const struct rb_listing *a, const struct rb_listing *b); /* but for the keys */
/* A digest of everything but the folders that decides what the walk finds, or NULL when something of it changed a moment ago or cannot be told. `git` and `index` NULL: no git. */
const char *listing_key(const struct rb_file_request *request, struct rb_git *git, const struct index_file *index, const char *prefix,
                        struct rb_arena *arena);

/* Connections to remotes end after this time, whatever the other side does (git_stream.c). */
enum { GIT_REMOTE_TIMEOUT_S = 8 };
/* Has libgit2 use them; any number of times, any thread. Negative when it does not want to. */
int git_stream_use(void) RB_MUST_CHECK;
/* Whether an address of a remote means ssh: ssh://… or host:path. */
bool git_is_ssh(const char *url);

/* Name of the external filter (a driver with a program, or LFS) that the attributes of a path of the work tree ask for, or NULL. A driver that nobody configured is none,
 * as for git. */
const char *git_external_filter(git_repository *repo, const char *path);
/* Whether any driver but LFS, whose form is known, is configured. */
bool git_has_filters(git_repository *repo);

/* The root's place in the work tree: "" or "sub/", in the arena. Negative when it is not inside. */
int git_prefix(struct rb_git *git, const char *root, struct rb_arena *arena, const char **out_prefix, struct rb_error *err) RB_MUST_CHECK;

#endif
