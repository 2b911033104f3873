/* File events bring checks forward: the effects around check/watch.h. Loop thread only. */
#ifndef RUNBOOKD_FILE_WATCH_H
#define RUNBOOKD_FILE_WATCH_H

#include <stddef.h>
#include <stdint.h>

#include "runbook/platform/file_events.h"

struct rb_app;
struct rb_file_watch;

struct rb_file_watch_stats {
    uint64_t events, lost[RB_FILE_LOSS_COUNT], runs;
    size_t watched, unwatched;
};

/* Begins to watch what the plan's checks look at, unless the plan says not to. Never fails: without memory or events the checks keep their interval. */
void rb_app_file_watch_start(struct rb_app *app);
/* The plan was swapped: what is watched follows. */
void rb_app_file_watch_plan_changed(struct rb_app *app);
struct rb_file_watch_stats rb_app_file_watch_stats(const struct rb_app *app);
/* No event is taken any more; its object is freed when no task of the runner can need it. */
void rb_app_file_watch_stop(struct rb_app *app);
void rb_app_file_watch_free(struct rb_app *app);

#endif
