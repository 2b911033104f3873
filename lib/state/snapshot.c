/* Snapshots and how a reader sees them.
 *
 * Invariant: nothing in a snapshot changes after rb_store_snapshot returned it; only its reference count does. What depends on the moment of reading
 * (age, staleness, a stuck loop) is computed by the rb_view functions from the reader's own clock, so a frozen loop cannot look healthy. */
#include "runbook/state/snapshot.h"

#include <stdlib.h>

#include "snapshot_private.h"

const double rb_duration_buckets[RB_DURATION_BUCKETS] = {0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60};

static const char *const safety_names[RB_SAFETY_COUNT] = {
    [RB_SAFETY_NONE] = "none",
    [RB_SAFETY_HELD] = "held",
    [RB_SAFETY_UNKNOWN] = "unknown",
    [RB_SAFETY_VIOLATED] = "violated",
};

const char *rb_safety_name(enum rb_safety safety)
{
    return (unsigned)safety < RB_SAFETY_COUNT ? safety_names[safety] : "unknown";
}

struct rb_snapshot *rb_snapshot_ref(struct rb_snapshot *snapshot)
{
    (void)__atomic_add_fetch(&snapshot->refs, 1, __ATOMIC_RELAXED);
    return snapshot;
}

void rb_snapshot_unref(struct rb_snapshot *snapshot)
{
    if (!snapshot || __atomic_sub_fetch(&snapshot->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    struct rb_snapshot_owned *owned = (struct rb_snapshot_owned *)(void *)snapshot;
    for (size_t i = 0; i < snapshot->count; i++)
        rb_record_unref(snapshot->records[i]);
    for (size_t i = 0; i < snapshot->timeline_count; i++)
        rb_event_entry_unref(owned->entries[i]);
    rb_runbook_texts_unref(snapshot->runbooks);
    rb_plan_unref(snapshot->plan);
    rb_arena_free(snapshot->arena);
    free(owned);
}

/* ---- views ---- */

struct rb_view rb_view_of(const struct rb_snapshot *snapshot, const struct rb_clock *clock)
{
    struct rb_view view = {.snapshot = snapshot, .wall_ns = rb_wall_ns(clock), .elapsed_ns = rb_elapsed_ns(clock)};
    int64_t age_ns = view.elapsed_ns - snapshot->elapsed_ns;
    if (age_ns < 0)
        age_ns = 0; /* published after this reader looked at its clock */
    view.age_s = (double)age_ns / (double)RB_NS_PER_S;
    view.stuck = age_ns > RB_SNAPSHOT_STUCK_NS;
    return view;
}

int64_t rb_stale_after_ns(const struct rb_check_spec *spec)
{
    return (2 * spec->every_ms + spec->timeout_ms) * RB_NS_PER_MS;
}

static bool overdue(const struct rb_record *record, int64_t now_ns)
{
    const struct rb_check_spec *spec = record->spec;
    if (!spec || spec->manual || spec->untrusted || record->last_completed_ns == INT64_MIN)
        return false;
    return now_ns - record->last_completed_ns > rb_stale_after_ns(spec);
}

enum rb_state rb_view_state(const struct rb_view *view, size_t index)
{
    const struct rb_record *record = view->snapshot->records[index];
    if (view->stuck)
        return RB_STATE_STALE; /* pending too: that its first run is on the way is no longer known */
    if (record->state == RB_STATE_PENDING)
        return RB_STATE_PENDING;
    return overdue(record, view->elapsed_ns) ? RB_STATE_STALE : record->state;
}

const char *rb_view_reason(const struct rb_view *view, size_t index)
{
    const struct rb_record *record = view->snapshot->records[index];
    return rb_view_state(view, index) == record->state ? record->reason : "stale";
}

enum rb_safety rb_safety_worse(enum rb_safety safety, enum rb_state state)
{
    enum rb_safety of_state = RB_SAFETY_HELD;
    if (state == RB_STATE_FAIL)
        of_state = RB_SAFETY_VIOLATED;
    else if (state == RB_STATE_UNKNOWN || state == RB_STATE_STALE || state == RB_STATE_PENDING)
        of_state = RB_SAFETY_UNKNOWN;
    return of_state > safety ? of_state : safety;
}

enum rb_safety rb_view_safety(const struct rb_view *view)
{
    enum rb_safety safety = RB_SAFETY_NONE;
    for (size_t i = 0; i < view->snapshot->count; i++) {
        const struct rb_check_spec *spec = view->snapshot->records[i]->spec;
        if (spec && spec->phase == RB_PHASE_SAFETY)
            safety = rb_safety_worse(safety, rb_view_state(view, i));
    }
    return safety;
}

struct rb_summary rb_view_summary(const struct rb_view *view)
{
    struct rb_summary summary = {0};
    for (size_t i = 0; i < view->snapshot->count; i++) {
        const struct rb_record *record = view->snapshot->records[i];
        summary.by_state[rb_view_state(view, i)]++;
        summary.suppressed += record->suppressed;
        summary.silenced += record->silenced_until_wall_ns > view->wall_ns;
        summary.flapping += record->flapping;
    }
    return summary;
}
