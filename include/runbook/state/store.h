/* The store: outcomes become states. Hysteresis, history window, flapping, presence, staleness, suppression; `since` and counters across restarts.
 *
 * Loop thread only; readers get snapshots. All times are handed in, so that tests run on a fake clock. */
#ifndef RUNBOOK_STATE_STORE_H
#define RUNBOOK_STATE_STORE_H

#include "runbook/state/snapshot.h"

struct rb_store;

/* `journal` is borrowed and outlives the store; state changes go there. NULL when memory is out. */
struct rb_store *rb_store_new(const struct rb_clock *clock, struct rb_journal *journal);
void rb_store_free(struct rb_store *store);

/* Takes a plan (adds a reference). Checks whose name, kind and identity are equal keep their state; others become pending; counters survive by name. */
int rb_store_set_plan(struct rb_store *store, struct rb_plan *plan, struct rb_error *err) RB_MUST_CHECK;

void rb_store_started(struct rb_store *store, size_t index);
/* Ends a run: `started_ns` on the elapsed clock. The outcome is copied. Returns true when the state changed. */
bool rb_store_completed(struct rb_store *store, size_t index, const struct rb_outcome *outcome, int64_t started_ns);
void rb_store_set_due(struct rb_store *store, size_t index, int64_t due_ns);
/* Marks what became stale; returns true when something did. Stale: now − last_completed > 2·every + timeout (never for manual checks; a pending check that never
 * completed becomes stale by the same rule, counted from when the plan was set). */
bool rb_store_tick(struct rb_store *store);
/* The host slept: everything automatic is stale until its catch-up run; one timeline entry "host slept 7 h". Results that came
 * after the waking stand. A bad result of a run that spanned the sleep does not end the staleness (the sleep may be what broke it); a good one does. */
void rb_store_slept(struct rb_store *store, int64_t slept_ns);
bool rb_store_all_ran(const struct rb_store *store);         /* every automatic check completed once */
void *rb_store_memory(struct rb_store *store, size_t index); /* the kind's memory for this check (kind.h); NULL when it has none */
/* Elapsed time of the last start, INT64_MIN when never: for rb_sched_resume. */
int64_t rb_store_last_start(const struct rb_store *store, size_t index);
/* Newest record; borrowed until the next call that changes it. */
const struct rb_record *rb_store_record(const struct rb_store *store, size_t index);
/* The same with a reference of its own: rb_record_unref. */
struct rb_record *rb_store_record_ref(const struct rb_store *store, size_t index);

/* What the app adds to a snapshot; strings are copied. */
struct rb_snapshot_extra {
    int64_t start_wall_ns, start_elapsed_ns;
    bool ready;
    const char *host, *os;
    struct rb_repo_facts repo;
    struct rb_runbook_texts *runbooks; /* the snapshot takes its own reference; or NULL */
    struct rb_config_status config;
    struct rb_self_stats self;
    const struct rb_incident_brief *incidents;
    size_t incident_count;
    uint64_t incidents_version; /* another number when the list changed */
};
/* A new snapshot with one reference, or NULL when memory is out. Unchanged records are shared, not copied. */
struct rb_snapshot *rb_store_snapshot(struct rb_store *store, const struct rb_snapshot_extra *extra);

/* Checkpoint (clears rb_store_dirty): name, identity, state, since, last_ok, counters, streaks, flags, "seen up". Text "runbookd checks 1\n" + JSON + checksum (docs/state-format.md). */
int rb_store_save(struct rb_store *store, struct rb_buf *out, struct rb_error *err) RB_MUST_CHECK;
/* Restores by name; a check whose identity changed keeps only its counters. Damage: RB_ECORRUPT, the store is unchanged and the caller sets the file aside. A restored check shows
 * its old `since` and last_ok but is `pending` until its first run; when that run gives the same state, `since` stays and no state change is recorded. */
int rb_store_load(struct rb_store *store, const char *text, size_t len, struct rb_error *err) RB_MUST_CHECK;
/* Silences a check until `until_wall_ns` (0: no longer): it is marked, never changed. Kept in the checkpoint, by name. RB_EPERM for a check of phase safety. */
int rb_store_silence(struct rb_store *store, size_t index, int64_t until_wall_ns, struct rb_error *err) RB_MUST_CHECK;
bool rb_store_dirty(const struct rb_store *store); /* something worth a checkpoint changed since the last save */

#endif
