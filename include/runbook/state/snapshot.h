/* A snapshot: the whole state at one moment, immutable, reference-counted, readable from any thread. Renderers and the diagnosis see nothing else.
 *
 * Invariant: `records[i]` belongs to `plan->checks[i]`. The reader computes the age itself (rb_view): a snapshot that is older than RB_SNAPSHOT_STUCK_NS means
 * that the loop is stuck, and then no state is to be believed. */
#ifndef RUNBOOK_STATE_SNAPSHOT_H
#define RUNBOOK_STATE_SNAPSHOT_H

#include "runbook/config/runbook.h"
#include "runbook/platform/file_events.h"
#include "runbook/state/journal.h"
#include "runbook/state/record.h"

#define RB_SNAPSHOT_STUCK_NS (INT64_C(5) * RB_NS_PER_S)

enum rb_safety { RB_SAFETY_NONE, RB_SAFETY_HELD, RB_SAFETY_UNKNOWN, RB_SAFETY_VIOLATED, RB_SAFETY_COUNT };
const char *rb_safety_name(enum rb_safety safety);

#define RB_DURATION_BUCKETS 12
extern const double rb_duration_buckets[RB_DURATION_BUCKETS]; /* seconds, ascending, +Inf left out */

struct rb_self_stats {       /* about the daemon itself; a plain copy */
    double loop_lag_s;       /* largest lateness of the loop's heartbeat in the last 10 s */
    double start_late_max_s; /* largest lateness of a run's start in the last 60 s */
    size_t worker_threads, worker_busy, worker_abandoned, worker_queued;
    uint64_t worker_runs;
    size_t exchanges_active, children_running;
    uint64_t scan_runs, scan_failures;
    int64_t scan_peak_resident_bytes;
    double scan_last_duration_s;
    uint64_t duration_bucket[RB_DURATION_BUCKETS + 1];
    double duration_sum_s; /* histogram of all runs; last bucket is +Inf */
    uint64_t reloads, reload_failures, sleeps, journal_events, journal_dropped, journal_errors;
    size_t incidents_open;
    uint64_t incidents_total; /* that are kept or were opened since the start */
    double triage_duration_s; /* of the last round; NaN: none yet */
    uint64_t file_events, file_events_lost[RB_FILE_LOSS_COUNT], file_event_runs;
    size_t file_events_watched, file_events_unwatched; /* folders, and files where they need it */
    struct rb_self_info process;
};

struct rb_config_status {
    bool last_reload_successful;
    int64_t last_success_wall_ns;
    const char *error; /* diagnostics of the last failed reload, or NULL */
};

struct rb_repo_facts {
    const char *branch, *commit, *subject, *worktree;
}; /* worktree: "clean", "3 files uncommitted", NULL unknown */

#define RB_SNAPSHOT_INCIDENTS 50u /* the open ones first, then the newest */
struct rb_incident_brief {        /* what /status tells of an incident */
    const char *id, *title, *severity;
    bool open;
    int64_t opened_wall_ns, closed_wall_ns; /* closed: 0 while open */
};

struct rb_snapshot {
    unsigned refs; /* atomic builtins only */
    struct rb_arena *arena;
    uint64_t generation;  /* grows when a state, reason, message, plan or configuration status changed; not with clocks */
    struct rb_plan *plan; /* a reference */
    struct rb_record **records;
    size_t count;
    int64_t wall_ns, elapsed_ns; /* of publishing */
    int64_t start_wall_ns;       /* of the daemon */
    int64_t start_elapsed_ns;
    bool ready;       /* the first configuration is loaded and every automatic check ran once or timed out */
    const char *host; /* host name */
    const char *os;
    struct rb_repo_facts repo;
    struct rb_runbook_texts *runbooks; /* a reference, or NULL: sections of the team's runbook, of this plan or an earlier one */
    enum rb_safety safety;
    const char **safety_evidence;
    size_t safety_evidence_count;
    struct rb_config_status config;
    struct rb_self_stats self;
    const struct rb_incident_brief *incidents;
    size_t incident_count;
    const struct rb_event_entry *const *timeline;
    size_t timeline_count; /* newest last, at most RB_TIMELINE_MAX */
};
struct rb_snapshot *rb_snapshot_ref(struct rb_snapshot *snapshot);
void rb_snapshot_unref(struct rb_snapshot *snapshot); /* any thread; NULL is fine */

/* How a reader sees a snapshot at the moment it answers. */
struct rb_view {
    const struct rb_snapshot *snapshot;
    int64_t wall_ns, elapsed_ns; /* of reading */
    double age_s;
    bool stuck; /* the loop has not published for longer than RB_SNAPSHOT_STUCK_NS */
};
struct rb_view rb_view_of(const struct rb_snapshot *snapshot, const struct rb_clock *clock);
/* State of a check as seen: `stale` for every check when the view is stuck; also recomputed against the reader's clock. */
enum rb_state rb_view_state(const struct rb_view *view, size_t index);
const char *rb_view_reason(const struct rb_view *view, size_t index); /* "stale" when rb_view_state says so and the record does not */
enum rb_safety rb_view_safety(const struct rb_view *view);
struct rb_summary {
    size_t by_state[RB_STATE_COUNT];
    size_t suppressed, silenced, flapping;
};
struct rb_summary rb_view_summary(const struct rb_view *view);

#endif
