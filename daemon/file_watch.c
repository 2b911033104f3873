/* File events: a hint that brings the next run of the checks concerned forward, and never more. Each check keeps its regular runs whatever is told here.
 *
 * Three clocks keep a storm small. Reading: after each read nothing is read for PAUSE, so that the loop wakes at most ten times a second and the kernel merges meanwhile.
 * Quiet: a check runs when nothing happened to it for QUIET, or LATEST after the first event. Distance: two such runs of a check are at least a second apart and ten times
 * as long as a run takes; while events go on the distance doubles, up to a quarter of the interval or a minute.
 *
 * A set of watches is built by the task thread, whole, and then takes the place of the old one, which saw everything until then; so a reload and a tree that changes leave no
 * gap. What became concerned while folders came and went runs once more when the new set stands: only then nothing of it is missed. */
#include "file_watch.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app_internal.h"
#include "runbook/base/log.h"
#include "runbook/check/watch.h"

#define PAUSE_NS        (100 * RB_NS_PER_MS)
#define QUIET_NS        (250 * RB_NS_PER_MS)
#define LATEST_NS       RB_NS_PER_S
#define DISTANCE_NS     RB_NS_PER_S
#define DISTANCE_MAX_NS (60 * RB_NS_PER_S)
#define BUILD_SOON_NS   (200 * RB_NS_PER_MS)
#define BUILD_APART_NS  (2 * RB_NS_PER_S)
#define BUILD_AGAIN_NS  (300 * RB_NS_PER_S)
#define LOSS_TOLD_NS    (60 * RB_NS_PER_S)
#define COST_OF_A_RUN   10
#define COST_OF_A_BUILD 20

struct concern {              /* of a check */
    int64_t first_ns, due_ns; /* of the events that wait */
    int64_t ran_ns, distance_ns;
    bool waits;
    bool after_build; /* again when the set that is being built stands */
};

struct rb_file_watch {
    struct rb_app *app;
    struct rb_watch_set *set; /* NULL: none yet, or none to be had */
    ev_io readable;
    ev_timer pause, due, build;
    struct concern *concerns; /* one a check of the app's plan */
    size_t *waiting;          /* indexes of those that wait */
    size_t count, waiting_count;
    struct rb_plan *plan; /* that the two belong to; a reference */
    int64_t now_ns;       /* of the read that goes on */
    bool building;
    int64_t built_ns, build_cost_ns, build_apart_ns;
    atomic_bool stopped;
    char told[192]; /* the problem that was logged last */
    int64_t loss_told_ns;
    struct rb_file_watch_stats stats;
};

struct build { /* a set on its way through the task thread */
    struct rb_file_watch *watch;
    struct rb_watch_request request;
    struct rb_watch_set *set;
    struct rb_error err;
    int rc;
    int64_t took_ns;
    char leave_out[RB_PATH_MAX];
};

static void build_soon(struct rb_file_watch *watch);

static double seconds(int64_t ns)
{
    return ns > 0 ? (double)ns / (double)RB_NS_PER_S : 0.;
}

static void arm(struct rb_file_watch *watch, ev_timer *timer, int64_t after_ns)
{
    ev_now_update(watch->app->loop);
    ev_timer_stop(watch->app->loop, timer);
    ev_timer_set(timer, seconds(after_ns), 0.);
    ev_timer_start(watch->app->loop, timer);
}

/* ---- runs ---- */

static void arm_due(struct rb_file_watch *watch, int64_t now_ns)
{
    int64_t next_ns = INT64_MAX;
    for (size_t i = 0; i < watch->waiting_count; i++) {
        int64_t due_ns = watch->concerns[watch->waiting[i]].due_ns;
        next_ns = due_ns < next_ns ? due_ns : next_ns;
    }
    if (next_ns != INT64_MAX)
        arm(watch, &watch->due, next_ns - now_ns);
}

static void note_change(struct rb_file_watch *watch, size_t index, int64_t now_ns)
{
    struct concern *concern = &watch->concerns[index];
    if (!concern->waits) {
        concern->waits = true;
        concern->first_ns = now_ns;
        watch->waiting[watch->waiting_count++] = index;
    }
    int64_t latest_ns = concern->first_ns + LATEST_NS, apart_ns = concern->ran_ns + concern->distance_ns;
    int64_t due_ns = now_ns + QUIET_NS < latest_ns ? now_ns + QUIET_NS : latest_ns;
    concern->due_ns = concern->ran_ns != 0 && apart_ns > due_ns ? apart_ns : due_ns;
}

/* How long the check has rest after a run that begins now. */
static int64_t distance_of(const struct rb_file_watch *watch, size_t index, int64_t now_ns)
{
    const struct concern *concern = &watch->concerns[index];
    int64_t most_ns = watch->plan->checks[index].every_ms * RB_NS_PER_MS / 4;
    most_ns = most_ns > DISTANCE_MAX_NS ? DISTANCE_MAX_NS : most_ns < DISTANCE_NS ? DISTANCE_NS : most_ns;
    bool goes_on = concern->ran_ns != 0 && now_ns - concern->ran_ns < 2 * concern->distance_ns;
    int64_t distance_ns = goes_on ? concern->distance_ns * 2 : DISTANCE_NS;
    double took_s = rb_store_record(watch->app->store, index)->duration_s; /* NaN before the first run */
    if (took_s * COST_OF_A_RUN > seconds(distance_ns))
        distance_ns = took_s * COST_OF_A_RUN < seconds(most_ns) ? (int64_t)(took_s * COST_OF_A_RUN * (double)RB_NS_PER_S) : most_ns;
    return distance_ns < most_ns ? distance_ns : most_ns;
}

/* True when the check needs to wait no longer: it was brought forward, or its first run is about to come anyway. */
static bool bring_forward(struct rb_file_watch *watch, size_t index, int64_t now_ns)
{
    struct concern *concern = &watch->concerns[index];
    if (rb_store_last_start(watch->app->store, index) == INT64_MIN)
        return true;
    if (!rb_runner_insert(watch->app->runner, index)) {
        concern->due_ns = now_ns + QUIET_NS; /* it began before the event, perhaps */
        return false;
    }
    concern->distance_ns = distance_of(watch, index, now_ns);
    concern->ran_ns = now_ns;
    rb_app_repo_refresh(watch->app);
    watch->stats.runs++;
    return true;
}

static void due_cb(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)revents;
    struct rb_file_watch *watch = timer->data;
    int64_t now_ns = rb_elapsed_ns(watch->app->clock);
    size_t kept = 0;
    for (size_t i = 0; i < watch->waiting_count; i++) {
        size_t index = watch->waiting[i];
        if (watch->concerns[index].due_ns <= now_ns && bring_forward(watch, index, now_ns))
            watch->concerns[index].waits = false;
        else
            watch->waiting[kept++] = index;
    }
    watch->waiting_count = kept;
    arm_due(watch, now_ns);
}

/* ---- events ---- */

static void changed(void *ctx, size_t check)
{
    struct rb_file_watch *watch = ctx;
    const struct rb_plan *plan = rb_watch_set_plan(watch->set);
    size_t index = plan == watch->plan ? check : rb_plan_find(watch->plan, plan->checks[check].name);
    if (index == SIZE_MAX || watch->plan->checks[index].manual)
        return;
    note_change(watch, index, watch->now_ns);
}

/* A loss is told once a minute: the metrics count them. */
static void count_losses(struct rb_file_watch *watch, const struct rb_watch_news *news)
{
    for (int loss = 0; loss < RB_FILE_LOSS_COUNT; loss++) {
        watch->stats.lost[loss] += news->lost[loss];
        if (news->lost[loss] == 0 || loss == RB_FILE_LOSS_FOLDER ||
            (watch->loss_told_ns != 0 && watch->now_ns - watch->loss_told_ns < LOSS_TOLD_NS))
            continue;
        watch->loss_told_ns = watch->now_ns;
        rb_log(RB_LOG_NOTICE, "events", "file events were lost (%s): the checks concerned look again",
               rb_file_loss_name((enum rb_file_loss)loss));
    }
}

/* True when the set is out of date. */
static bool read_events(struct rb_file_watch *watch)
{
    struct rb_watch_news news;
    watch->now_ns = rb_elapsed_ns(watch->app->clock);
    rb_watch_set_read(watch->set, changed, watch, &news);
    watch->stats.events += news.events;
    count_losses(watch, &news);
    for (size_t i = 0; i < watch->waiting_count && (news.stale || watch->building); i++)
        watch->concerns[watch->waiting[i]].after_build = true;
    arm_due(watch, watch->now_ns);
    return news.stale;
}

static void readable_cb(struct ev_loop *loop, ev_io *io, int revents)
{
    (void)revents;
    struct rb_file_watch *watch = io->data;
    ev_io_stop(loop, io);
    if (read_events(watch))
        build_soon(watch);
    arm(watch, &watch->pause, PAUSE_NS);
}

static void listen_again(struct rb_file_watch *watch)
{
    int fd = watch->set != NULL && !watch->stopped ? rb_watch_set_fd(watch->set) : -1;
    if (fd < 0 || ev_is_active(&watch->readable))
        return;
    ev_io_set(&watch->readable, fd, EV_READ);
    ev_io_start(watch->app->loop, &watch->readable);
}

static void pause_cb(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)revents;
    listen_again(timer->data);
}

/* ---- sets ---- */

static void free_set(void *set)
{
    rb_watch_set_free(set);
}

/* Ending thousands of watches takes the kernel a moment: not on the loop. */
static void drop_set(struct rb_file_watch *watch)
{
    struct rb_watch_set *set = watch->set;
    struct rb_app *app = watch->app;
    ev_io_stop(app->loop, &watch->readable);
    ev_timer_stop(app->loop, &watch->pause);
    watch->set = NULL;
    if (set != NULL && (watch->stopped || rb_runner_task(app->runner, free_set, NULL, set, NULL) < 0))
        rb_watch_set_free(set);
}

static void tell_problem(struct rb_file_watch *watch, int level, const char *text)
{
    if (strcmp(watch->told, text) == 0)
        return;
    (void)snprintf(watch->told, sizeof watch->told, "%s", text);
    if (text[0] != '\0')
        rb_log((enum rb_log_level)level, "events", "%s", text);
}

static void tell_totals(struct rb_file_watch *watch, const struct rb_watch_totals *totals)
{
    char text[192] = "";
    if (totals->limited)
        watch->stats.lost[RB_FILE_LOSS_LIMIT]++;
    if (totals->unwatched > 0)
        (void)snprintf(text, sizeof text, "%zu folders are not watched (%.70s): changes there are seen at the checks' interval",
                       totals->unwatched, totals->why);
    tell_problem(watch, totals->limited ? RB_LOG_WARNING : RB_LOG_INFO, text);
}

/* The old set is read once more: it saw what happened until the new one stood. What the new one missed while it was built, its own watches tell. */
static void take_over(struct rb_file_watch *watch, struct rb_watch_set *set)
{
    if (watch->set != NULL)
        (void)read_events(watch);
    drop_set(watch);
    watch->set = set;
    struct rb_watch_totals totals = rb_watch_set_totals(set);
    watch->stats.watched = totals.watched;
    watch->stats.unwatched = totals.unwatched;
    tell_totals(watch, &totals);
    listen_again(watch);
}

static void run_after_build(struct rb_file_watch *watch)
{
    int64_t now_ns = rb_elapsed_ns(watch->app->clock);
    for (size_t i = 0; i < watch->count; i++) {
        if (watch->concerns[i].after_build)
            note_change(watch, i, now_ns);
        watch->concerns[i].after_build = false;
    }
    arm_due(watch, now_ns);
}

static void build_work(void *arg)
{
    struct build *build = arg;
    const struct rb_clock *clock = build->request.platform->clock;
    int64_t began_ns = rb_elapsed_ns(clock);
    build->rc = rb_watch_set_new(&build->request, &build->set, &build->err);
    build->took_ns = rb_elapsed_ns(clock) - began_ns;
}

static void build_failed(struct rb_file_watch *watch, const struct build *build)
{
    char text[160];
    (void)snprintf(text, sizeof text, "no file events: %.100s; checks keep their interval", build->err.message);
    tell_problem(watch, build->rc == RB_EUNSUPPORTED ? RB_LOG_INFO : RB_LOG_WARNING, text);
    watch->stats.lost[RB_FILE_LOSS_ERROR]++;
    if (build->rc != RB_EUNSUPPORTED)
        arm(watch, &watch->build, BUILD_AGAIN_NS);
}

static void build_now(struct rb_file_watch *watch);

static void build_done(void *arg)
{
    struct build *build = arg;
    struct rb_file_watch *watch = build->watch;
    watch->building = false;
    watch->build_cost_ns = build->took_ns;
    bool wanted = !watch->stopped && watch->plan->daemon.file_events, outdated = build->request.plan != watch->plan;
    if (!wanted) {
        rb_watch_set_free(build->rc == 0 ? build->set : NULL);
    } else if (build->rc < 0) {
        build_failed(watch, build);
    } else {
        take_over(watch, build->set);
        run_after_build(watch);
    }
    rb_plan_unref(build->request.plan);
    free(build);
    if (wanted && outdated)
        build_now(watch);
}

static void build_now(struct rb_file_watch *watch)
{
    struct rb_app *app = watch->app;
    struct build *build = calloc(1, sizeof *build);
    if (build == NULL)
        return;
    build->watch = watch;
    (void)snprintf(build->leave_out, sizeof build->leave_out, "%s",
                   watch->plan->daemon.state_dir != NULL ? watch->plan->daemon.state_dir : "");
    build->request = (struct rb_watch_request){
        .plan = rb_plan_ref(watch->plan), .platform = app->platform, .leave_out = build->leave_out, .cancelled = &watch->stopped};
    int64_t now_ns = rb_elapsed_ns(app->clock);
    bool goes_on = watch->built_ns != 0 && now_ns - watch->built_ns < 2 * watch->build_apart_ns;
    watch->build_apart_ns = goes_on ? watch->build_apart_ns * 2 : BUILD_APART_NS;
    if (watch->build_apart_ns < watch->build_cost_ns * COST_OF_A_BUILD)
        watch->build_apart_ns = watch->build_cost_ns * COST_OF_A_BUILD;
    if (watch->build_apart_ns > DISTANCE_MAX_NS)
        watch->build_apart_ns = DISTANCE_MAX_NS;
    watch->built_ns = now_ns;
    watch->building = rb_runner_task(app->runner, build_work, build_done, build, NULL) == 0;
    if (!watch->building) {
        rb_plan_unref(build->request.plan);
        free(build);
    }
}

static void build_cb(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)revents;
    struct rb_file_watch *watch = timer->data;
    if (!watch->building)
        build_now(watch);
}

/* Folders come in crowds: a moment later, and not too often. */
static void build_soon(struct rb_file_watch *watch)
{
    if (watch->stopped || watch->building || ev_is_active(&watch->build))
        return;
    int64_t now_ns = rb_elapsed_ns(watch->app->clock), next_ns = watch->built_ns + watch->build_apart_ns;
    arm(watch, &watch->build, next_ns > now_ns + BUILD_SOON_NS ? next_ns - now_ns : BUILD_SOON_NS);
}

/* ---- the object ---- */

/* Makes room for every check of the app's plan; what waits stays, by name. */
static bool follow_plan(struct rb_file_watch *watch)
{
    struct rb_plan *plan = watch->app->plan;
    struct concern *concerns = calloc(plan->count + 1, sizeof *concerns);
    size_t *waiting = calloc(plan->count + 1, sizeof *waiting), kept = 0;
    if (concerns == NULL || waiting == NULL) {
        free(concerns);
        free(waiting);
        return false;
    }
    for (size_t i = 0; i < watch->count; i++) {
        size_t index = rb_plan_find(plan, watch->plan->checks[i].name);
        if (index == SIZE_MAX)
            continue;
        concerns[index] = watch->concerns[i];
        concerns[index].waits = concerns[index].waits && !plan->checks[index].manual;
        if (concerns[index].waits)
            waiting[kept++] = index;
    }
    free(watch->concerns);
    free(watch->waiting);
    rb_plan_unref(watch->plan);
    watch->plan = rb_plan_ref(plan);
    watch->concerns = concerns;
    watch->waiting = waiting;
    watch->waiting_count = kept;
    watch->count = plan->count;
    return true;
}

void rb_app_file_watch_start(struct rb_app *app)
{
    struct rb_file_watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL)
        return;
    watch->app = app;
    ev_init(&watch->readable, readable_cb);
    ev_timer_init(&watch->pause, pause_cb, 0., 0.);
    ev_timer_init(&watch->due, due_cb, 0., 0.);
    ev_timer_init(&watch->build, build_cb, 0., 0.);
    watch->readable.data = watch->pause.data = watch->due.data = watch->build.data = watch;
    app->file_watch = watch;
    rb_app_file_watch_plan_changed(app);
}

/* Nothing waits and nothing is watched. */
static void rest(struct rb_file_watch *watch)
{
    struct ev_loop *loop = watch->app->loop;
    drop_set(watch);
    ev_timer_stop(loop, &watch->due);
    ev_timer_stop(loop, &watch->build);
    for (size_t i = 0; i < watch->count; i++)
        watch->concerns[i].waits = watch->concerns[i].after_build = false;
    watch->waiting_count = 0;
    watch->stats.watched = watch->stats.unwatched = 0;
}

void rb_app_file_watch_plan_changed(struct rb_app *app)
{
    struct rb_file_watch *watch = app->file_watch;
    if (watch == NULL)
        return;
    if (!follow_plan(watch)) {
        rest(watch);
        return;
    }
    if (!watch->plan->daemon.file_events) {
        rest(watch);
        return;
    }
    ev_timer_stop(app->loop, &watch->build);
    if (!watch->building)
        build_now(watch);
    arm_due(watch, rb_elapsed_ns(app->clock));
}

struct rb_file_watch_stats rb_app_file_watch_stats(const struct rb_app *app)
{
    return app->file_watch != NULL ? app->file_watch->stats : (struct rb_file_watch_stats){0};
}

void rb_app_file_watch_stop(struct rb_app *app)
{
    struct rb_file_watch *watch = app->file_watch;
    if (watch == NULL)
        return;
    atomic_store(&watch->stopped, true);
    rest(watch);
}

void rb_app_file_watch_free(struct rb_app *app)
{
    struct rb_file_watch *watch = app->file_watch;
    if (watch == NULL)
        return;
    app->file_watch = NULL;
    rb_plan_unref(watch->plan);
    free(watch->concerns);
    free(watch->waiting);
    free(watch);
}
