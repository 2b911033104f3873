/* The scheduler: which check is due when. Pure: time goes in as a number, nothing else is known; tested on simulated days.
 *
 * Invariants: an entry is in exactly one of idle (in the heap), running, parked (manual). Runs of one entry never overlap. A late entry runs once (catch-up), then its
 * next due time is its phase plus a whole number of intervals and at least half an interval after that run, so that a sleep of hours gives one run. First runs are
 * spread by a deterministic jitter (hash of the name) over min(interval / 2, 2 s), dependencies first; over longer only when the spacing of a class with many entries
 * demands it. Single-threaded.
 * Classes force spacing: two starts of one execution class are at least `spacing_ns` apart and at most `max_running` run at once. A class may collect: what becomes
 * due within one beat of `collect_ns` starts together at its end, so that many short runs cost one wake-up; what was brought forward never waits for it. */
#ifndef RUNBOOK_CHECK_SCHED_H
#define RUNBOOK_CHECK_SCHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runbook/base/error.h"

struct rb_sched;

struct rb_sched_class {
    int64_t spacing_ns;
    size_t max_running; /* 0: no limit */
    int64_t collect_ns; /* 0: every entry starts at its own due time */
};

struct rb_sched_entry {
    const char *name; /* for the jitter; borrowed during the call */
    int64_t every_ns; /* 0: manual */
    unsigned class_id;
    const size_t *depends_on; /* entries that should complete first at start-up; borrowed during the call */
    size_t depends_on_count;
};

/* `count` entries with ids 0 … count-1, all due for their first run from `now_ns` on. NULL when memory is out. */
struct rb_sched *rb_sched_new(const struct rb_sched_entry *entries, size_t count, const struct rb_sched_class *classes, size_t class_count,
                              int64_t now_ns);
void rb_sched_free(struct rb_sched *sched);

/* When to call rb_sched_pop again: 0 = now, INT64_MAX = nothing waits. Absolute elapsed time. */
int64_t rb_sched_next(const struct rb_sched *sched, int64_t now_ns);
/* Takes one entry that may start now: marks it running, `*out_id`, `*out_late_ns` = how late against its due time. False when none. */
bool rb_sched_pop(struct rb_sched *sched, int64_t now_ns, size_t *out_id, int64_t *out_late_ns);
/* The run ended; its next due time is computed. */
void rb_sched_done(struct rb_sched *sched, size_t id, int64_t now_ns);
/* Brings an idle or manual entry forward to now, ahead of its class's spacing. False when it is running (the caller shares that run). */
bool rb_sched_bring_forward(struct rb_sched *sched, size_t id, int64_t now_ns);
/* Brings an idle entry forward for an extra run, behind the spacing of its class: its beat stays as it was. False when it is running; nothing happens to a manual one. */
bool rb_sched_insert(struct rb_sched *sched, size_t id, int64_t now_ns);
/* Sets the first due time after a reload kept the check's state: last start plus interval, never in the past. */
void rb_sched_resume(struct rb_sched *sched, size_t id, int64_t last_start_ns, int64_t now_ns);
/* Brought forward, and that run has not ended yet: somebody waits for it. */
bool rb_sched_urgent(const struct rb_sched *sched, size_t id);
bool rb_sched_running(const struct rb_sched *sched, size_t id);
/* Due time of an idle entry; INT64_MAX for manual or running ones. */
int64_t rb_sched_due(const struct rb_sched *sched, size_t id);

#endif
