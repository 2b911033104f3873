/* /status as JSON, in the shape of SPEC 9: times RFC 3339 in UTC, durations in seconds, what is not known null. */
#include <math.h>

#include "internal.h"

static void key_string(struct rb_buf *out, const char *key, const char *text)
{
    rb_jw_key(out, key);
    rb_jw_string(out, text);
}

static void key_number(struct rb_buf *out, const char *key, double value)
{
    rb_jw_key(out, key);
    rb_jw_number(out, value);
}

static void key_uint(struct rb_buf *out, const char *key, uint64_t value)
{
    rb_jw_key(out, key);
    rb_jw_uint(out, value);
}

static void key_bool(struct rb_buf *out, const char *key, bool value)
{
    rb_jw_key(out, key);
    rb_jw_bool(out, value);
}

static void key_time(struct rb_buf *out, const char *key, int64_t wall_ns)
{
    rb_jw_key(out, key);
    rb_jw_time(out, wall_ns);
}

static void key_strings(struct rb_buf *out, const char *key, const char *const *items, size_t count)
{
    rb_jw_key(out, key);
    rb_jw_strings(out, items, count);
}

/* ---- one check ---- */

static void add_values(struct rb_buf *out, const struct rb_check_spec *spec, const struct rb_record *record)
{
    rb_jw_key(out, "values");
    rb_jw_open(out, '[');
    for (size_t i = 0; i < record->value_count; i++) {
        const struct rb_value *value = &record->values[i];
        const struct rb_value_def *def = value->perfdata ? NULL : rb_kind_value(rb_kind_of(spec->kind), value->name);
        rb_jw_open(out, '{');
        key_string(out, "name", value->perfdata ? "perfdata" : value->name);
        key_string(out, "unit", value->perfdata ? value->name : def ? def->unit : "");
        key_string(out, "label", value->label);
        key_number(out, "value", value->number);
        rb_jw_close(out, '}');
    }
    rb_jw_close(out, ']');
}

static void add_schedule(struct rb_buf *out, const struct rb_view *view, const struct rb_record *record)
{
    bool planned = record->next_due_ns != INT64_MAX && !record->running;
    key_time(out, "next_run", planned ? view->wall_ns + (record->next_due_ns - view->elapsed_ns) : 0);
    key_bool(out, "running", record->running);
    key_uint(out, "runs", record->runs);
    key_uint(out, "failures", record->failures);
    key_uint(out, "state_changes", record->state_changes);
    if (record->streak_needed && record->streak) {
        rb_jw_key(out, "streak");
        rb_jw_open(out, '{');
        key_uint(out, "count", record->streak);
        key_uint(out, "needed", record->streak_needed);
        rb_jw_close(out, '}');
    }
}

void rb_render_check_object(struct rb_buf *out, const struct rb_view *view, size_t index)
{
    const struct rb_check_spec *spec = &view->snapshot->plan->checks[index];
    const struct rb_record *record = view->snapshot->records[index];
    rb_jw_open(out, '{');
    key_string(out, "name", spec->name);
    key_string(out, "kind", spec->kind->schema.name);
    key_string(out, "phase", rb_phase_name(spec->phase));
    key_string(out, "severity", rb_severity_name(spec->severity));
    key_string(out, "presence", rb_presence_name(spec->presence));
    key_string(out, "state", rb_state_name(rb_view_state(view, index)));
    key_string(out, "result", record->has_result ? rb_result_name(record->result) : NULL);
    key_string(out, "reason", rb_view_reason(view, index));
    key_string(out, "message", record->message);
    key_strings(out, "evidence", record->evidence, record->evidence_count);
    if (record->evidence_dropped)
        key_uint(out, "evidence_dropped", record->evidence_dropped);
    key_strings(out, "hints", record->hints, record->hint_count);
    key_strings(out, "last_words", record->last_words, record->last_words_count);
    add_values(out, spec, record);
    key_time(out, "since", record->since_wall_ns);
    key_time(out, "last_run", record->last_run_wall_ns);
    key_time(out, "last_ok", record->last_ok_wall_ns);
    key_number(out, "age_s", rb_render_age_s(view, index));
    key_number(out, "duration_s", record->duration_s);
    key_number(out, "interval_s", spec->manual ? (double)NAN : (double)spec->every_ms / 1e3);
    add_schedule(out, view, record);
    key_bool(out, "suppressed", record->suppressed);
    key_string(out, "suppressed_by", record->suppressed ? record->suppressed_by : NULL);
    key_time(out, "silenced_until", record->silenced_until_wall_ns > view->wall_ns ? record->silenced_until_wall_ns : 0);
    key_bool(out, "flapping", record->flapping);
    key_string(out, "runbook", spec->runbook);
    rb_jw_close(out, '}');
}

/* ---- the whole ---- */

void rb_render_summary_object(struct rb_buf *out, const struct rb_view *view)
{
    struct rb_summary summary = rb_view_summary(view);
    rb_jw_open(out, '{');
    for (int s = 0; s < RB_STATE_COUNT; s++)
        key_uint(out, rb_state_name((enum rb_state)s), summary.by_state[s]);
    key_uint(out, "suppressed", summary.suppressed);
    key_uint(out, "silenced", summary.silenced);
    key_uint(out, "flapping", summary.flapping);
    rb_jw_close(out, '}');
}

void rb_render_safety_object(struct rb_buf *out, const struct rb_view *view)
{
    rb_jw_open(out, '{');
    key_string(out, "state", rb_safety_name(rb_view_safety(view)));
    key_strings(out, "evidence", view->snapshot->safety_evidence, view->snapshot->safety_evidence_count);
    rb_jw_close(out, '}');
}

static void add_config(struct rb_buf *out, const struct rb_snapshot *snapshot)
{
    rb_jw_key(out, "config");
    rb_jw_open(out, '{');
    key_strings(out, "files", snapshot->plan->files.items, snapshot->plan->files.count);
    key_string(out, "source", snapshot->plan->source);
    key_bool(out, "trusted", snapshot->plan->trusted);
    key_time(out, "loaded", snapshot->config.last_success_wall_ns);
    key_string(out, "error", snapshot->config.error);
    key_strings(out, "warnings", snapshot->plan->warnings.items, snapshot->plan->warnings.count);
    rb_jw_close(out, '}');
}

static void add_self(struct rb_buf *out, const struct rb_view *view)
{
    const struct rb_self_stats *self = &view->snapshot->self;
    rb_jw_key(out, "self");
    rb_jw_open(out, '{');
    key_bool(out, "stuck", view->stuck);
    key_number(out, "loop_lag_s", self->loop_lag_s);
    key_number(out, "start_late_max_s", self->start_late_max_s);
    key_uint(out, "workers", self->worker_threads);
    key_uint(out, "workers_busy", self->worker_busy);
    key_uint(out, "workers_abandoned", self->worker_abandoned);
    key_uint(out, "exchanges_active", self->exchanges_active);
    key_uint(out, "children_running", self->children_running);
    key_uint(out, "journal_dropped", self->journal_dropped);
    key_uint(out, "sleeps", self->sleeps);
    key_uint(out, "file_events_watched", self->file_events_watched);
    key_uint(out, "file_events_unwatched", self->file_events_unwatched);
    key_number(out, "resident_bytes", (double)self->process.resident_bytes);
    key_number(out, "scan_peak_resident_bytes", (double)self->scan_peak_resident_bytes);
    key_number(out, "cpu_s", self->process.cpu_s);
    key_number(out, "open_fds", (double)self->process.open_fds);
    rb_jw_close(out, '}');
}

static void add_incidents(struct rb_buf *out, const struct rb_snapshot *snapshot)
{
    rb_jw_key(out, "incidents");
    rb_jw_open(out, '[');
    for (size_t i = 0; i < snapshot->incident_count; i++) {
        const struct rb_incident_brief *incident = &snapshot->incidents[i];
        rb_jw_open(out, '{');
        key_string(out, "id", incident->id);
        key_string(out, "state", incident->open ? "open" : "closed");
        key_string(out, "severity", incident->severity);
        key_time(out, "opened", incident->opened_wall_ns);
        key_time(out, "closed", incident->closed_wall_ns);
        key_string(out, "title", incident->title);
        rb_jw_close(out, '}');
    }
    rb_jw_close(out, ']');
}

static void add_repo(struct rb_buf *out, const struct rb_repo_facts *repo)
{
    rb_jw_key(out, "repo");
    rb_jw_open(out, '{');
    key_string(out, "branch", repo->branch);
    key_string(out, "commit", repo->commit);
    key_string(out, "worktree", repo->worktree);
    rb_jw_close(out, '}');
}

int rb_render_status_json(const struct rb_view *view, struct rb_buf *out, struct rb_error *err)
{
    const struct rb_snapshot *snapshot = view->snapshot;
    rb_jw_open(out, '{');
    key_string(out, "version", RB_VERSION);
    key_time(out, "time", view->wall_ns);
    key_string(out, "host", snapshot->host);
    key_string(out, "root", snapshot->plan->daemon.root);
    key_number(out, "uptime_s", (double)(view->elapsed_ns - snapshot->start_elapsed_ns) / 1e9);
    key_bool(out, "ready", snapshot->ready && !view->stuck);
    key_number(out, "snapshot_age_s", view->age_s);
    if (view->stuck)
        key_string(out, "problem", "The loop is stuck: nothing was learned since the snapshot's age; every state is stale.");
    rb_jw_key(out, "summary");
    rb_render_summary_object(out, view);
    rb_jw_key(out, "safety");
    rb_render_safety_object(out, view);
    rb_jw_key(out, "checks");
    rb_jw_open(out, '[');
    for (size_t i = 0; i < snapshot->count; i++)
        rb_render_check_object(out, view, i);
    rb_jw_close(out, ']');
    rb_jw_key(out, "drift");
    rb_render_drift_array(out, view, true);
    add_incidents(out, snapshot);
    add_repo(out, &snapshot->repo);
    add_config(out, snapshot);
    add_self(out, view);
    rb_jw_close(out, '}');
    rb_buf_addc(out, '\n');
    return rb_buf_check(out, "status", err);
}

int rb_render_check_json(const struct rb_view *view, size_t index, struct rb_buf *out, struct rb_error *err)
{
    if (index >= view->snapshot->count)
        return rb_error_set(err, RB_ENOTFOUND, "there is no such check");
    rb_render_check_object(out, view, index);
    rb_buf_addc(out, '\n');
    return rb_buf_check(out, "check", err);
}
