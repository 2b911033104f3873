/* Every fixed metric family of /metrics: a new metric is one row here.
 *
 * A row says where its numbers come from; how they are written is metrics.c's business. Order of the table is order of the body. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "metrics.h"
#include "revision.h"

#define NO_LABELS ((struct rb_label){NULL, 0})

static double seconds_of(int64_t wall_ns)
{
    return wall_ns ? (double)wall_ns / 1e9 : (double)NAN;
}

static const struct rb_record *record(const struct rb_metrics *m, size_t i)
{
    return m->snapshot->records[i];
}

/* ---- one number a check ---- */

static double interval(const struct rb_metrics *m, size_t i)
{
    const struct rb_check_spec *spec = &m->snapshot->plan->checks[i];
    return spec->manual ? (double)NAN : (double)spec->every_ms / 1e3;
}

static double success(const struct rb_metrics *m, size_t i)
{
    return rb_state_success(rb_view_state(m->view, i)) ? 1 : 0;
}

static double suppressed(const struct rb_metrics *m, size_t i)
{
    return record(m, i)->suppressed ? 1 : 0;
}

static double silenced(const struct rb_metrics *m, size_t i)
{
    return record(m, i)->silenced_until_wall_ns > m->view->wall_ns ? 1 : 0;
}

static double flapping(const struct rb_metrics *m, size_t i)
{
    return record(m, i)->flapping ? 1 : 0;
}

static double runs(const struct rb_metrics *m, size_t i)
{
    return (double)record(m, i)->runs;
}

static double failures(const struct rb_metrics *m, size_t i)
{
    return (double)record(m, i)->failures;
}

static double state_changes(const struct rb_metrics *m, size_t i)
{
    return (double)record(m, i)->state_changes;
}

static double last_run(const struct rb_metrics *m, size_t i)
{
    return seconds_of(record(m, i)->last_run_wall_ns);
}

static double last_success(const struct rb_metrics *m, size_t i)
{
    return seconds_of(record(m, i)->last_ok_wall_ns);
}

static double last_duration(const struct rb_metrics *m, size_t i)
{
    return record(m, i)->duration_s;
}

/* ---- families with samples of their own ---- */

static void build_samples(const struct rb_metrics *m, const struct rb_family *family)
{
    static const char revision[] = RB_REVISION;
    RB_BUF_AUTO labels;
    rb_buf_init(&labels, 1024);
    rb_metrics_label(&labels, "version", RB_VERSION);
    rb_buf_addc(&labels, ',');
    rb_metrics_label(&labels, "revision", revision);
    rb_metrics_sample(m, family, NO_LABELS, rb_buf_str(&labels), 1);
}

static void info_samples(const struct rb_metrics *m, const struct rb_family *family)
{
    RB_BUF_AUTO labels;
    rb_buf_init(&labels, 4096);
    for (size_t i = 0; i < m->snapshot->count; i++) {
        const struct rb_check_spec *spec = &m->snapshot->plan->checks[i];
        rb_buf_reset(&labels);
        rb_metrics_label(&labels, "kind", spec->kind->schema.name);
        rb_buf_addc(&labels, ',');
        rb_metrics_label(&labels, "phase", rb_phase_name(spec->phase));
        rb_buf_addc(&labels, ',');
        rb_metrics_label(&labels, "severity", rb_severity_name(spec->severity));
        rb_buf_addc(&labels, ',');
        rb_metrics_label(&labels, "presence", rb_presence_name(spec->presence));
        rb_metrics_sample(m, family, m->labels[i], rb_buf_str(&labels), 1);
    }
}

static void state_samples(const struct rb_metrics *m, const struct rb_family *family)
{
    struct rb_buf labels[RB_STATE_COUNT];
    for (size_t s = 0; s < RB_STATE_COUNT; s++) {
        rb_buf_init(&labels[s], 128);
        rb_metrics_label(&labels[s], "state", rb_state_name((enum rb_state)s));
    }
    for (size_t i = 0; i < m->snapshot->count; i++) {
        enum rb_state state = rb_view_state(m->view, i);
        for (size_t s = 0; s < RB_STATE_COUNT; s++)
            rb_metrics_sample(m, family, m->labels[i], rb_buf_str(&labels[s]), s == state ? 1 : 0);
    }
    for (size_t s = 0; s < RB_STATE_COUNT; s++)
        rb_buf_fini(&labels[s]);
}

static void reason_samples(const struct rb_metrics *m, const struct rb_family *family)
{
    RB_BUF_AUTO label;
    rb_buf_init(&label, 1024);
    for (size_t i = 0; i < m->snapshot->count; i++) {
        rb_buf_reset(&label);
        rb_metrics_label(&label, "reason", rb_view_reason(m->view, i));
        rb_metrics_sample(m, family, m->labels[i], rb_buf_str(&label), 1);
    }
}

static void safety_samples(const struct rb_metrics *m, const struct rb_family *family)
{
    enum rb_safety now = rb_view_safety(m->view);
    RB_BUF_AUTO label;
    rb_buf_init(&label, 128);
    for (int s = 0; s < RB_SAFETY_COUNT; s++) {
        rb_buf_reset(&label);
        rb_metrics_label(&label, "state", rb_safety_name((enum rb_safety)s));
        rb_metrics_sample(m, family, NO_LABELS, rb_buf_str(&label), s == (int)now ? 1 : 0);
    }
}

static void summary_samples(const struct rb_metrics *m, const struct rb_family *family)
{
    RB_BUF_AUTO label;
    rb_buf_init(&label, 128);
    for (size_t s = 0; s < RB_STATE_COUNT; s++) {
        rb_buf_reset(&label);
        rb_metrics_label(&label, "state", rb_state_name((enum rb_state)s));
        rb_metrics_sample(m, family, NO_LABELS, rb_buf_str(&label), (double)m->summary.by_state[s]);
    }
}

static void request_samples(const struct rb_metrics *m, const struct rb_family *family)
{
    static const char *const classes[] = {NULL, "code=\"1xx\"", "code=\"2xx\"", "code=\"3xx\"", "code=\"4xx\"", "code=\"5xx\""};
    for (size_t i = 2; i < sizeof classes / sizeof classes[0]; i++)
        rb_metrics_sample(m, family, NO_LABELS, classes[i], (double)m->server->requests_by_class[i]);
}

static void lost_event_samples(const struct rb_metrics *m, const struct rb_family *family)
{
    RB_BUF_AUTO label;
    rb_buf_init(&label, 128);
    for (int loss = 0; loss < RB_FILE_LOSS_COUNT; loss++) {
        rb_buf_reset(&label);
        rb_metrics_label(&label, "reason", rb_file_loss_name((enum rb_file_loss)loss));
        rb_metrics_sample(m, family, NO_LABELS, rb_buf_str(&label), (double)m->snapshot->self.file_events_lost[loss]);
    }
}

static void duration_samples(const struct rb_metrics *m, const struct rb_family *family)
{
    const struct rb_self_stats *self = &m->snapshot->self;
    struct rb_family part = {.type = RB_FAMILY_GAUGE};
    RB_BUF_AUTO text;
    rb_buf_init(&text, 256);
    rb_buf_adds(&text, family->name);
    size_t base = text.len;
    rb_buf_adds(&text, "_bucket");
    part.name = rb_buf_str(&text);
    uint64_t count = 0;
    RB_BUF_AUTO label;
    rb_buf_init(&label, 64);
    for (size_t i = 0; i <= RB_DURATION_BUCKETS; i++) {
        double bound = i < RB_DURATION_BUCKETS ? rb_duration_buckets[i] : (double)INFINITY;
        count += self->duration_bucket[i];
        rb_buf_reset(&label);
        rb_buf_adds(&label, "le=\"");
        rb_double_print(&label, bound);
        /* OpenMetrics writes bounds as floats: 1 as "1.0" */
        if (isfinite(bound) && bound == floor(bound) && m->format == RB_METRICS_OPENMETRICS)
            rb_buf_adds(&label, ".0");
        rb_buf_addc(&label, '"');
        rb_metrics_sample(m, &part, NO_LABELS, rb_buf_str(&label), (double)count);
    }
    text.len = base;
    rb_buf_adds(&text, "_sum");
    part.name = rb_buf_str(&text);
    rb_metrics_sample(m, &part, NO_LABELS, NULL, self->duration_sum_s);
    text.len = base;
    rb_buf_adds(&text, "_count");
    part.name = rb_buf_str(&text);
    rb_metrics_sample(m, &part, NO_LABELS, NULL, (double)count);
}

/* ---- one number ---- */

#define SCALAR(name, expression)                   \
    static double name(const struct rb_metrics *m) \
    {                                              \
        return (double)(expression);               \
    }

SCALAR(reload_successful, m->snapshot->config.last_reload_successful)
SCALAR(reload_timestamp, seconds_of(m->snapshot->config.last_success_wall_ns))
SCALAR(reloads, m->snapshot->self.reloads)
SCALAR(reload_failures, m->snapshot->self.reload_failures)
SCALAR(checks, m->snapshot->count)
SCALAR(ready, m->snapshot->ready && !m->view->stuck)
SCALAR(incidents_open, m->snapshot->self.incidents_open)
SCALAR(incidents_total, m->snapshot->self.incidents_total)
SCALAR(triage_duration, m->snapshot->self.triage_duration_s)
SCALAR(loop_lag, m->snapshot->self.loop_lag_s)
SCALAR(start_late, m->snapshot->self.start_late_max_s)
SCALAR(sleeps, m->snapshot->self.sleeps)
SCALAR(journal_events, m->snapshot->self.journal_events)
SCALAR(journal_dropped, m->snapshot->self.journal_dropped)
SCALAR(journal_errors, m->snapshot->self.journal_errors)
SCALAR(file_events, m->snapshot->self.file_events)
SCALAR(file_event_runs, m->snapshot->self.file_event_runs)
SCALAR(file_events_watched, m->snapshot->self.file_events_watched)
SCALAR(file_events_unwatched, m->snapshot->self.file_events_unwatched)
SCALAR(worker_threads, m->snapshot->self.worker_threads)
SCALAR(worker_busy, m->snapshot->self.worker_busy)
SCALAR(worker_abandoned, m->snapshot->self.worker_abandoned)
SCALAR(worker_queued, m->snapshot->self.worker_queued)
SCALAR(worker_runs, m->snapshot->self.worker_runs)
SCALAR(exchanges, m->snapshot->self.exchanges_active)
SCALAR(children, m->snapshot->self.children_running)
SCALAR(scan_runs, m->snapshot->self.scan_runs)
SCALAR(scan_failures, m->snapshot->self.scan_failures)
SCALAR(scan_peak, m->snapshot->self.scan_peak_resident_bytes)
SCALAR(scan_duration, m->snapshot->self.scan_last_duration_s)
SCALAR(server_connections, m->server->connections)
SCALAR(server_connections_max, m->server->connections_max)
SCALAR(server_refused, m->server->refused)
SCALAR(server_timeouts, m->server->timeouts)
SCALAR(server_shed, m->server->shed)
SCALAR(server_bytes, m->server->bytes_sent)
SCALAR(process_cpu, m->snapshot->self.process.cpu_s)
SCALAR(process_resident, m->snapshot->self.process.resident_bytes)
SCALAR(process_private, m->snapshot->self.process.private_bytes)
SCALAR(process_virtual, m->snapshot->self.process.virtual_bytes)
SCALAR(process_fds, m->snapshot->self.process.open_fds)
SCALAR(process_fds_max, m->snapshot->self.process.max_fds)
SCALAR(process_start, seconds_of(m->snapshot->self.process.start_wall_ns))
SCALAR(process_threads, m->snapshot->self.process.threads)

#define G RB_FAMILY_GAUGE
#define C RB_FAMILY_COUNTER

/* ---- drift ---- */

static bool is_drift(const struct rb_metrics *m, size_t i)
{
    return strcmp(m->snapshot->plan->checks[i].kind->schema.name, "drift") == 0;
}

/* Every series from the first scrape on; NaN while nothing was compared. */
static void drift_samples(const struct rb_metrics *m, const struct rb_family *family)
{
    for (size_t i = 0; i < m->snapshot->count; i++) {
        const struct rb_drift_report *report = record(m, i)->drift;
        bool known = report && report->baseline_wall_ns != 0;
        for (int change = 0; is_drift(m, i) && change < RB_DRIFT_CHANGE_COUNT; change++)
            for (int item_class = 0; item_class < RB_DRIFT_CLASS_COUNT; item_class++) {
                char more[96];
                (void)snprintf(more, sizeof more, "change=\"%s\",class=\"%s\"", rb_drift_change_name((enum rb_drift_change)change),
                               rb_drift_class_name((enum rb_drift_class)item_class));
                rb_metrics_sample(m, family, m->labels[i], more, known ? (double)report->open[change][item_class] : (double)NAN);
            }
    }
}

static void drift_baseline_samples(const struct rb_metrics *m, const struct rb_family *family)
{
    for (size_t i = 0; i < m->snapshot->count; i++)
        if (is_drift(m, i))
            rb_metrics_sample(m, family, m->labels[i], NULL,
                              record(m, i)->drift ? seconds_of(record(m, i)->drift->baseline_wall_ns) : (double)NAN);
}

const struct rb_family rb_metric_families[] = {
    {"runbookd_build", RB_FAMILY_INFO, NULL, "Version and revision of this daemon.", "version,revision", .samples = build_samples},
    {"runbookd_config_last_reload_successful", G, NULL, "Whether the last attempt to load the configuration succeeded.",
     .scalar = reload_successful},
    {"runbookd_config_last_reload_success_timestamp_seconds", G, "seconds", "When the configuration in force was loaded.",
     .scalar = reload_timestamp},
    {"runbookd_config_reloads", C, NULL, "Attempts to load the configuration again.", .scalar = reloads},
    {"runbookd_config_reload_failures", C, NULL, "Attempts that failed; the old configuration stayed in force.", .scalar = reload_failures},
    {"runbookd_ready", G, NULL, "Whether the configuration is loaded, every automatic check has run once and the loop is alive.",
     .scalar = ready},
    {"runbookd_checks", G, NULL, "Configured checks.", .scalar = checks},
    {"runbookd_checks_in_state", G, NULL, "Checks by state.", "state", .samples = summary_samples},
    {"runbookd_check", RB_FAMILY_INFO, NULL, "What is configured of each check.", "check,kind,phase,severity,presence",
     .samples = info_samples},
    {"runbookd_check_interval_seconds", G, "seconds", "Configured interval; NaN for manual checks.", "check", .check = interval},
    {"runbookd_check_state", G, NULL, "1 for the state that the check is in, 0 for the others.", "check,state", .samples = state_samples},
    {"runbookd_check_success", G, NULL, "1 only when the check is ok or skip.", "check", .check = success},
    {"runbookd_check_suppressed", G, NULL, "1 while a check that this one depends on is failing.", "check", .check = suppressed},
    {"runbookd_check_silenced", G, NULL, "1 while somebody has silenced the check.", "check", .check = silenced},
    {"runbookd_check_flapping", G, NULL, "1 while the check changes its state too often to be believed.", "check", .check = flapping},
    {"runbookd_check_reason", RB_FAMILY_INFO, NULL, "Why the check is in its state; none when it is ok.", "check,reason",
     .samples = reason_samples},
    {"runbookd_check_runs", C, NULL, "Completed runs.", "check", .check = runs},
    {"runbookd_check_failures", C, NULL, "Runs that ended with fail.", "check", .check = failures},
    {"runbookd_check_state_changes", C, NULL, "Changes of state.", "check", .check = state_changes},
    {"runbookd_check_last_run_timestamp_seconds", G, "seconds", "End of the last run.", "check", .check = last_run},
    {"runbookd_check_last_success_timestamp_seconds", G, "seconds", "End of the last run that was ok.", "check", .check = last_success},
    {"runbookd_check_last_duration_seconds", G, "seconds", "Duration of the last run.", "check", .check = last_duration},
    {"runbookd_check_duration_seconds", RB_FAMILY_HISTOGRAM, "seconds", "Durations of the runs of all checks.", "le",
     .samples = duration_samples},
    {"runbookd_drift_items", G, NULL, "Items that differ from the accepted baseline and are not accepted.", "check,change,class",
     .samples = drift_samples},
    {"runbookd_drift_baseline_timestamp_seconds", G, "seconds", "When the baseline was accepted; NaN without one.", "check",
     .samples = drift_baseline_samples},
    {"runbookd_safety_state", G, NULL, "1 for the state that the safety checks are in together.", "state", .samples = safety_samples},
    {"runbookd_incidents_open", G, NULL, "Incidents that are open.", .scalar = incidents_open},
    {"runbookd_incidents", C, NULL, "Incidents that were kept at the start or opened since.", .scalar = incidents_total},
    {"runbookd_triage_duration_seconds", G, "seconds", "Duration of the last round of runs for a triage; NaN before the first.",
     .scalar = triage_duration},
    {"runbookd_loop_lag_seconds", G, "seconds", "Largest lateness of the loop's heartbeat in the last 10 seconds.", .scalar = loop_lag},
    {"runbookd_check_start_late_seconds", G, "seconds", "Largest lateness of a run's start in the last 60 seconds.", .scalar = start_late},
    {"runbookd_sleeps", C, NULL, "Times that the host slept while the daemon ran.", .scalar = sleeps},
    {"runbookd_journal_events", C, NULL, "Events recorded in the journal.", .scalar = journal_events},
    {"runbookd_journal_dropped_events", C, NULL, "Events lost because the journal could not be written.", .scalar = journal_dropped},
    {"runbookd_journal_errors", C, NULL, "Failed writes of the journal.", .scalar = journal_errors},
    {"runbookd_file_events", C, NULL, "Hints of the system that something changed in a watched folder.", .scalar = file_events},
    {"runbookd_file_events_lost", C, NULL,
     "Times that hints were lost (overflow, error), a watched folder went away (folder_gone), or not everything could be watched (limit).",
     "reason", .samples = lost_event_samples},
    {"runbookd_file_event_runs", C, NULL, "Runs that a hint brought forward.", .scalar = file_event_runs},
    {"runbookd_file_events_watched", G, NULL, "Folders that are watched for file events, and files where they need it.",
     .scalar = file_events_watched},
    {"runbookd_file_events_unwatched", G, NULL, "Folders that could not be watched: what changes there is seen at the interval.",
     .scalar = file_events_unwatched},
    {"runbookd_worker_threads", G, NULL, "Threads of the worker pool.", .scalar = worker_threads},
    {"runbookd_worker_busy", G, NULL, "Workers that run a check.", .scalar = worker_busy},
    {"runbookd_worker_abandoned", G, NULL, "Workers given up because their run hangs in the system.", .scalar = worker_abandoned},
    {"runbookd_worker_queued", G, NULL, "Runs that wait for a worker.", .scalar = worker_queued},
    {"runbookd_worker_runs", C, NULL, "Runs that workers completed.", .scalar = worker_runs},
    {"runbookd_exchanges_active", G, NULL, "Network exchanges in flight.", .scalar = exchanges},
    {"runbookd_children_running", G, NULL, "Programs that checks are running.", .scalar = children},
    {"runbookd_scan_runs", C, NULL, "Runs of the scan helper.", .scalar = scan_runs},
    {"runbookd_scan_failures", C, NULL, "Runs of the scan helper that ended badly.", .scalar = scan_failures},
    {"runbookd_scan_peak_resident_bytes", G, "bytes", "Peak memory of the last scan helper.", .scalar = scan_peak},
    {"runbookd_scan_last_duration_seconds", G, "seconds", "Duration of the last scan.", .scalar = scan_duration},
    {"runbookd_server_requests", C, NULL, "Answered HTTP requests by class of status.", "code", .samples = request_samples},
    {"runbookd_server_refused_requests", C, NULL, "Requests that the order of defence refused.", .scalar = server_refused},
    {"runbookd_server_timeouts", C, NULL, "Connections closed because a request or its answer took too long.", .scalar = server_timeouts},
    {"runbookd_server_shed_connections", C, NULL, "Incomplete connections closed under pressure.", .scalar = server_shed},
    {"runbookd_server_connections", G, NULL, "Open connections.", .scalar = server_connections},
    {"runbookd_server_connections_max", G, NULL, "Limit of open connections.", .scalar = server_connections_max},
    {"runbookd_server_sent_bytes", C, "bytes", "Bytes of bodies sent.", .scalar = server_bytes},
    {"process_cpu_seconds", C, "seconds", "Total user and system CPU time spent in seconds.", .scalar = process_cpu},
    {"process_resident_memory_bytes", G, "bytes", "Resident memory size in bytes.", .scalar = process_resident},
    {"process_private_memory_bytes", G, "bytes", "Memory that no other process shares, in bytes.", .scalar = process_private},
    {"process_virtual_memory_bytes", G, "bytes", "Virtual memory size in bytes.", .scalar = process_virtual},
    {"process_open_fds", G, NULL, "Number of open file descriptors.", .scalar = process_fds},
    {"process_max_fds", G, NULL, "Maximum number of open file descriptors.", .scalar = process_fds_max},
    {"process_start_time_seconds", G, "seconds", "Start time of the process since unix epoch in seconds.", .scalar = process_start},
    {"process_threads", G, NULL, "Threads of the process.", .scalar = process_threads},
};
const size_t rb_metric_family_count = sizeof rb_metric_families / sizeof rb_metric_families[0];
