/* Snapshots: published when something changed (at most 10 a second) and every second, whatever happens.
 *
 * The every-second timer is also the heartbeat: its own lateness is the loop's lag, a gap between the elapsed and the awake clock is a sleep of the host, a jump of
 * wall against elapsed is a clock step, and each beat feeds systemd's watchdog. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app_internal.h"
#include "file_watch.h"
#include "incidents.h"
#include "runbook/base/log.h"
#include "runbook/base/units.h"

#define COALESCE_S              0.1
#define HEARTBEAT_S             1.0
#define LAG_WINDOW_NS           (10 * RB_NS_PER_S)
#define SLEEP_THRESHOLD_NS      (2 * RB_NS_PER_S)
#define CLOCK_STEP_THRESHOLD_NS (2 * RB_NS_PER_S)
#define PROCESS_READ_NS         (10 * RB_NS_PER_S)

static void read_process(struct rb_app *app, int64_t now_ns)
{
    if (app->publish.process_read_ns != 0 && now_ns - app->publish.process_read_ns < PROCESS_READ_NS)
        return;
    struct rb_self_info info;
    if (app->platform->self_info(&info, NULL) == 0)
        app->publish.process = info;
    app->publish.process_read_ns = now_ns;
}

static struct rb_self_stats self_stats(const struct rb_app *app)
{
    struct rb_runner_stats runner = rb_runner_stats(app->runner);
    struct rb_self_stats self = {
        .loop_lag_s = fmax(app->publish.lag_s, app->publish.lag_previous_s),
        .start_late_max_s = runner.start_late_max_s,
        .worker_threads = runner.workers.threads,
        .worker_busy = runner.workers.busy,
        .worker_abandoned = runner.workers.abandoned,
        .worker_queued = runner.workers.queued,
        .worker_runs = runner.workers.completed,
        .exchanges_active = runner.exchanges.active,
        .children_running = runner.children,
        .scan_runs = runner.scans.runs,
        .scan_failures = runner.scans.failures,
        .scan_peak_resident_bytes = runner.scans.peak_resident_bytes,
        .scan_last_duration_s = runner.scans.last_duration_s,
        .duration_sum_s = app->publish.duration_sum_s,
        .reloads = app->reload.reloads,
        .reload_failures = app->reload.failures,
        .journal_events = rb_journal_count(app->journal),
        .journal_dropped = rb_journal_dropped(app->journal),
        .journal_errors = app->persist.errors,
        .incidents_open = rb_incidents_open_count(&app->incidents.all),
        .incidents_total = app->incidents.all.total,
        .triage_duration_s = app->rounds.last_duration_s,
        .process = app->publish.process,
    };
    const struct rb_file_watch_stats events = rb_app_file_watch_stats(app);
    self.file_events = events.events;
    memcpy(self.file_events_lost, events.lost, sizeof self.file_events_lost);
    self.file_event_runs = events.runs;
    self.file_events_watched = events.watched;
    self.file_events_unwatched = events.unwatched;
    memcpy(self.duration_bucket, app->publish.duration_bucket, sizeof self.duration_bucket);
    return self;
}

void rb_app_count_run(struct rb_app *app, double duration_s)
{
    size_t bucket = 0;
    while (bucket < RB_DURATION_BUCKETS && duration_s > rb_duration_buckets[bucket])
        bucket++;
    app->publish.duration_bucket[bucket]++;
    app->publish.duration_sum_s += duration_s;
}

struct rb_snapshot *rb_app_publish_now(struct rb_app *app)
{
    app->publish.wanted = false;
    rb_store_tick(app->store);
    if (!app->publish.ready)
        app->publish.ready = rb_store_all_ran(app->store);
    struct rb_incident_brief briefs[RB_SNAPSHOT_INCIDENTS];
    const struct rb_snapshot_extra extra = {
        .incidents = briefs,
        .incident_count = rb_app_incidents_brief(app, briefs),
        .incidents_version = app->incidents.version,
        .start_wall_ns = app->start_wall_ns,
        .start_elapsed_ns = app->start_elapsed_ns,
        .ready = app->publish.ready,
        .host = app->publish.host,
        .os = app->publish.os,
        .repo = {.branch = app->repo.branch[0] != '\0' ? app->repo.branch : NULL,
                 .commit = app->repo.known ? app->repo.commit : NULL,
                 .subject = app->repo.known ? app->repo.subject : NULL,
                 .worktree = app->repo.worktree[0] != '\0' ? app->repo.worktree : NULL},
        .runbooks = app->runbooks.texts,
        .config = app->reload.status,
        .self = self_stats(app),
    };
    struct rb_snapshot *snapshot = rb_store_snapshot(app->store, &extra);
    if (snapshot == NULL)
        return app->publish.newest; /* out of memory: the old one ages, and its age says so */
    rb_snapshot_unref(app->publish.newest);
    app->publish.newest = snapshot;
    if (app->server != NULL)
        rb_server_publish(app->server, snapshot);
    return snapshot;
}

static void coalesce_cb(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)revents;
    struct rb_app *app = timer->data;
    if (app->publish.wanted)
        rb_app_publish_now(app);
}

void rb_app_publish_soon(struct rb_app *app)
{
    app->publish.wanted = true;
    if (!ev_is_active(&app->publish.coalesce)) {
        ev_timer_set(&app->publish.coalesce, COALESCE_S, 0.);
        ev_timer_start(app->loop, &app->publish.coalesce);
    }
}

static void note_lag(struct rb_app *app, int64_t now_ns)
{
    double lag_s = (double)(now_ns - app->publish.expected_ns) / (double)RB_NS_PER_S;
    if (now_ns - app->publish.lag_window_ns > LAG_WINDOW_NS) {
        app->publish.lag_window_ns = now_ns;
        app->publish.lag_previous_s = app->publish.lag_s;
        app->publish.lag_s = 0;
    }
    app->publish.lag_s = fmax(app->publish.lag_s, lag_s);
}

/* True when the host slept between two beats: elapsed time went on, awake time did not. */
static bool note_sleep(struct rb_app *app, int64_t now_ns, int64_t awake_ns)
{
    int64_t slept_ns = (now_ns - app->publish.elapsed_ns) - (awake_ns - app->publish.awake_ns);
    if (slept_ns < SLEEP_THRESHOLD_NS)
        return false;
    rb_store_slept(app->store, slept_ns);
    rb_runner_wake(app->runner);
    return true;
}

static void note_clock_step(struct rb_app *app, int64_t now_ns, bool slept)
{
    int64_t offset_ns = rb_wall_ns(app->clock) - now_ns;
    int64_t step_ns = offset_ns - app->publish.wall_offset_ns;
    app->publish.wall_offset_ns = offset_ns;
    if (slept || llabs(step_ns) < CLOCK_STEP_THRESHOLD_NS)
        return;
    char text[96];
    snprintf(text, sizeof text, "the wall clock stepped by %+.1f s", (double)step_ns / (double)RB_NS_PER_S);
    rb_journal_append(app->journal, &(struct rb_journal_event){.kind = RB_EVENT_KIND_CLOCK_STEP, .text = text});
}

static void heartbeat_cb(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)revents;
    struct rb_app *app = timer->data;
    int64_t now_ns = rb_elapsed_ns(app->clock), awake_ns = rb_awake_ns(app->clock);
    bool slept = note_sleep(app, now_ns, awake_ns);
    if (!slept)
        note_lag(app, now_ns);
    note_clock_step(app, now_ns, slept);
    app->publish.elapsed_ns = now_ns;
    app->publish.awake_ns = awake_ns;
    app->publish.expected_ns = now_ns + (int64_t)(HEARTBEAT_S * (double)RB_NS_PER_S);
    read_process(app, now_ns);
    rb_app_incidents_tick(app);
    rb_app_publish_now(app);
    rb_notify_send(&app->notify, "WATCHDOG=1");
}

int rb_app_publish_start(struct rb_app *app, struct rb_error *err)
{
    app->publish.texts = rb_arena_new(16384);
    struct rb_os_info os = {0};
    if (app->publish.texts == NULL)
        return rb_error_set(err, RB_ENOMEM, "no memory");
    if (app->platform->os_info(app->publish.texts, &os, NULL) < 0)
        os = (struct rb_os_info){.hostname = "unknown", .name = "unknown"};
    app->publish.host = os.hostname;
    app->publish.os = os.name;
    int64_t now_ns = rb_elapsed_ns(app->clock);
    app->publish.elapsed_ns = app->publish.lag_window_ns = now_ns;
    app->publish.awake_ns = rb_awake_ns(app->clock);
    app->publish.wall_offset_ns = rb_wall_ns(app->clock) - now_ns;
    app->publish.expected_ns = now_ns + (int64_t)(HEARTBEAT_S * (double)RB_NS_PER_S);
    read_process(app, now_ns);
    ev_timer_init(&app->publish.coalesce, coalesce_cb, COALESCE_S, 0.);
    app->publish.coalesce.data = app;
    ev_timer_init(&app->publish.every_second, heartbeat_cb, HEARTBEAT_S, HEARTBEAT_S);
    app->publish.every_second.data = app;
    ev_timer_start(app->loop, &app->publish.every_second);
    return 0;
}

void rb_app_publish_stop(struct rb_app *app)
{
    ev_timer_stop(app->loop, &app->publish.coalesce);
    ev_timer_stop(app->loop, &app->publish.every_second);
    rb_snapshot_unref(app->publish.newest);
    rb_arena_free(app->publish.texts);
    app->publish.newest = NULL;
    app->publish.texts = NULL;
}
