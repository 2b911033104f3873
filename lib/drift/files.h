/* Parts of the `files` source: observing files, the cache of what was observed, explaining differences. Private to lib/drift. */
#ifndef RUNBOOK_DRIFT_FILES_H
#define RUNBOOK_DRIFT_FILES_H

#include <sys/stat.h>

#include "runbook/drift/options.h"
#include "runbook/source/files.h"
#include "runbook/source/git_view.h"

/* What the stat data of a file were when its value was computed. */
struct files_stat {
    int64_t mtime_ns, ctime_ns, size, ino;
};
struct files_cached {
    const char *key, *value;
    struct files_stat stat;
};
/* A difference that was seen before, and when it came to be. */
struct files_seen {
    const char *key, *value; /* value NULL: the file was gone */
    int64_t changed_wall_ns;
    const char *note;
};
struct files_cache {
    bool valid;
    int64_t observed_wall_ns; /* of the run that wrote it */
    int64_t full_wall_ns;     /* when everything was last read and not only looked at */
    struct files_cached *files;
    size_t file_count; /* sorted by key */
    struct files_seen *seen;
    size_t seen_count; /* sorted by key */
    struct rb_listing listing;
};
/* A missing or damaged cache is an empty one: it only saves work. */
void files_cache_read(const char *state_dir, const char *check, struct rb_arena *arena, struct files_cache *out);
int files_cache_encode(const struct files_cache *cache, struct rb_buf *out, struct rb_error *err) RB_MUST_CHECK;
/* Lines of the cache that hold the listing of folders: `w` a folder, `g` its .gitignore, `n` a name in it. */
void files_listing_encode(const struct rb_listing *listing, struct rb_buf *out);
bool files_listing_read(char **fields, size_t count, struct rb_arena *arena, struct rb_listing *out); /* items and cap are there */
const struct files_cached *files_cache_find(const struct files_cache *cache, const char *key);
const struct files_seen *files_cache_seen(const struct files_cache *cache, const char *key);

struct files_run { /* the source's state: lives in the run's arena */
    const struct rb_drift_collect *collect;
    struct rb_git *git; /* opened by files_view */
    struct rb_git_view *view;
    bool outside_git, view_tried;
    struct rb_below below;
    bool below_open;
    int64_t index_mtime_ns;
    bool full;    /* this run trusts no stat data */
    bool filters; /* external filters are configured */
    struct files_cache old, next;
    size_t next_cap;
    bool dirty; /* `next` says something that `old` does not */
    size_t hashed, oversized, unreadable, unverified, unstable, left_out;
    size_t base_next;             /* first accepted fact that was not passed yet */
    size_t expected, unreachable; /* files that git tracks; folders that could not be read */
    const char **untracked;       /* sorted: paths that git does not know */
    size_t untracked_count, untracked_cap;
};

/* The repository, opened when it is needed first: not when nothing changed. NULL outside of one. */
struct rb_git_view *files_view(struct files_run *run);
/* The value of one file as it is now; NULL when it is not there. `entry` as listed. */
const char *files_observe(struct files_run *run, const struct rb_file_entry *entry);
/* At most `max` bytes of a file of the tree; false when it is no readable regular file of that size. */
bool files_content(struct files_run *run, const char *path, size_t max, struct rb_buf *out);
void files_explain(struct files_run *run, struct rb_drift_item *items, size_t count,
                   const char *(*kept)(const void *baseline, const char *key), const void *baseline);
/* The digest and mode inside {"blob":"…","mode":"…"}; false for other values. */
bool files_value_blob(const char *value, unsigned char out_id[RB_GIT_ID], unsigned *out_mode);
/* The file's text, masked, when nobody else keeps its content; else NULL. `entry` NULL: not at hand. */
const char *files_kept_text(struct files_run *run, const char *path, const struct rb_file_entry *entry, const char *value);

#endif
