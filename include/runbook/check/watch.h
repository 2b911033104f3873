/* What checks look at on disk, and which of them a file event concerns: the daemon then brings their next run forward.
 *
 * A kind tells what its check looks at (struct rb_kind, watches); a set holds the watches for a whole plan. Only what lies in the plan's root is watched, and where git keeps
 * HEAD and references. Events are hints (platform/file_events.h): a set may name a check too often, and nothing follows from its silence.
 * A set is built on a thread that may block, then belongs to the loop; it is never changed, a new one takes its place. */
#ifndef RUNBOOK_CHECK_WATCH_H
#define RUNBOOK_CHECK_WATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runbook/config/plan.h"
#include "runbook/platform/file_events.h"
#include "runbook/platform/platform.h"

/* ---- for kinds: what the check looks at; everything is borrowed for as long as the plan lives ---- */

struct rb_watch_sink;
/* One file or folder, taken literally: relative to root or absolute. */
void rb_watch_path(struct rb_watch_sink *sink, const char *path);
/* Files by glob, as rb_files_list takes them. `ignored`: even where git ignores folders. */
void rb_watch_globs(struct rb_watch_sink *sink, struct rb_strings include, struct rb_strings exclude, bool ignored);
/* Where the repository stands: HEAD, branches, tags, remotes. */
void rb_watch_git(struct rb_watch_sink *sink);

/* ---- for the daemon ---- */

struct rb_watch_request {
    struct rb_plan *plan; /* the set takes a reference */
    const struct rb_platform *platform;
    const char *leave_out;        /* absolute folder whose changes are our own doing, or "" */
    size_t max_watches;           /* 0: RB_FILE_EVENTS_MAX_WATCHES */
    const atomic_bool *cancelled; /* may be NULL: ends the building early with RB_ETIMEOUT */
    bool files;                   /* files get watches of their own even where folders' are enough */
};
struct rb_watch_totals {
    size_t checks;    /* that look at something that can be watched */
    size_t watched;   /* folders (and files, where they need it) */
    size_t unwatched; /* that had to be left out: no room, no permission, reached through a link */
    bool limited;     /* some were left out for want of room */
    char why[160];    /* the first reason, or "" */
};

struct rb_watch_set;
/* Looks through the tree and watches; blocks. RB_EUNSUPPORTED without file events, another negative code when they could not be had at all. */
int rb_watch_set_new(const struct rb_watch_request *request, struct rb_watch_set **out, struct rb_error *err) RB_MUST_CHECK;
void rb_watch_set_free(struct rb_watch_set *set);    /* NULL is fine; not on the loop */
int rb_watch_set_fd(const struct rb_watch_set *set); /* to wait on; -1: nothing is watched */
const struct rb_plan *rb_watch_set_plan(const struct rb_watch_set *set);
struct rb_watch_totals rb_watch_set_totals(const struct rb_watch_set *set);

struct rb_watch_news {
    uint64_t events;
    uint64_t lost[RB_FILE_LOSS_COUNT];
    bool
        stale; /* folders came or went, or something was lost: a new set should be built, and the checks named here should run after that */
};
/* Reads what waits (bounded: what is left comes next time) and names each check concerned, perhaps twice, by its index in the set's plan. */
void rb_watch_set_read(struct rb_watch_set *set, void (*changed)(void *ctx, size_t check), void *ctx, struct rb_watch_news *out);

#endif
