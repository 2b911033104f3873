/* A set of watches from within: rules say what checks look at, places are what is watched. Private to lib/check. */
#ifndef RUNBOOK_LIB_CHECK_WATCH_INTERNAL_H
#define RUNBOOK_LIB_CHECK_WATCH_INTERNAL_H

#include "runbook/check/watch.h"

struct shape { /* of a glob: what a path has to begin and end with, so that most need no matching */
    size_t prefix_len;
    const char *suffix;
    size_t suffix_len;
};

enum rule_type { RULE_PATH, RULE_GLOBS, RULE_GIT };
struct rule {
    enum rule_type type;
    const char *path;                   /* PATH: relative to root */
    struct rb_strings include, exclude; /* GLOBS: the plan's */
    const struct shape *shapes;         /* of include */
    bool ignored;
    size_t check;
    uint32_t session; /* of the last read in which it was hit */
};

enum place_type { PLACE_FOLDER = 1, PLACE_FILE = 2, PLACE_GIT = 4, PLACE_REFS = 8 }; /* one watch may be several */
struct place {
    unsigned types;
    const char *path; /* of FOLDER and FILE: relative to root */
};

enum { SEEN = 512 };

struct rb_watch_set {
    struct rb_arena *arena;
    struct rb_plan *plan;
    struct rb_file_events *events;
    const char *leave_out; /* relative to root, or NULL */
    struct rule *paths;    /* sorted by path */
    struct rule *globs;
    struct rule *gits;
    size_t path_count, glob_count, git_count;
    struct place *places; /* by number of the watch */
    size_t place_count;
    struct rb_watch_totals totals;
    /* of one read: */
    uint32_t session;
    size_t effort;
    bool all_globs; /* they were hit already */
    uint64_t seen[SEEN];
    void (*changed)(void *ctx, size_t check);
    void *ctx;
    struct rb_watch_news *news;
};

/* True for a folder or file that `leave_out` covers. */
bool watch_left_out(const struct rb_watch_set *set, const char *path);
struct shape watch_shape(const char *glob);
/* First rule of `paths` that is not less than `path`. */
size_t watch_first_path(const struct rb_watch_set *set, const char *path);

#endif
