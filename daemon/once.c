/* One round of checks without listeners: what `check` and `triage` without a daemon run.
 *
 * The same application object as the daemon's, with the schedule off: checks are brought forward by hand, each when the chosen ones it depends on have ended. Results are
 * raw (fail_after 1), stored state is read and never written. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app_internal.h"
#include "drift.h"
#include "runbook/base/log.h"
#include "runbook/base/text.h"
#include "runbook/state/files.h"

enum once_step { STEP_LEFT_OUT, STEP_WAITS, STEP_STARTED, STEP_DONE };

struct once {
    struct rb_app app; /* first, so that on_completed finds the rest */
    const struct rb_app_check *request;
    enum once_step *steps;
    size_t total, done;
    ev_prepare look;
    ev_timer deadline;
};

static int unknown_name(const struct rb_plan *plan, const char *name, struct rb_error *err)
{
    const char **names = calloc(plan->count + 1, sizeof *names);
    for (size_t i = 0; names != NULL && i < plan->count; i++)
        names[i] = plan->checks[i].name;
    const char *near = names != NULL ? rb_text_nearest(name, names) : NULL;
    if (near != NULL)
        rb_error_set(err, RB_ENOTFOUND, "there is no check '%s'; did you mean '%s'?", name, near);
    else
        rb_error_set(err, RB_ENOTFOUND, "there is no check '%s'; `runbookd status` or `runbookd validate --json` list them", name);
    free(names);
    return RB_ENOTFOUND;
}

static bool wanted(const struct rb_app_check *request, const struct rb_check_spec *spec)
{
    return (request->phase < 0 || (int)spec->phase == request->phase) && (!request->triage_only || spec->triage);
}

static int choose(struct once *once, struct rb_error *err)
{
    const struct rb_plan *plan = once->app.plan;
    const struct rb_app_check *request = once->request;
    for (size_t i = 0; i < request->names.count; i++) {
        size_t index = rb_plan_find(plan, request->names.items[i]);
        if (index == SIZE_MAX)
            return unknown_name(plan, request->names.items[i], err);
        once->steps[index] = STEP_WAITS;
    }
    for (size_t i = 0; i < plan->count; i++) {
        if (request->names.count == 0 && wanted(request, &plan->checks[i]))
            once->steps[i] = STEP_WAITS;
        once->total += once->steps[i] == STEP_WAITS;
    }
    return 0;
}

static bool dependencies_ended(const struct once *once, const struct rb_check_spec *spec)
{
    for (size_t i = 0; i < spec->depends_on_count; i++) {
        enum once_step step = once->steps[spec->depends_on[i]];
        if (step == STEP_WAITS || step == STEP_STARTED)
            return false;
    }
    return true;
}

static void finish_one(struct once *once, size_t index)
{
    once->steps[index] = STEP_DONE;
    once->done++;
    const struct rb_app_check *request = once->request;
    if (request->progress != NULL)
        request->progress(request->ctx, once->done, once->total, once->app.plan->checks[index].name,
                          rb_store_record(once->app.store, index)->state);
}

static void on_completed(struct rb_app *app, size_t index)
{
    struct once *once = (struct once *)app; /* app is its first member */
    if (once->steps[index] == STEP_STARTED)
        finish_one(once, index);
}

/* Before each wait of the loop: start what may start, stop when nothing is left. */
static void look_cb(struct ev_loop *loop, ev_prepare *prepare, int revents)
{
    (void)revents;
    struct once *once = prepare->data;
    const struct rb_plan *plan = once->app.plan;
    for (size_t i = 0; i < plan->count; i++) {
        if (once->steps[i] != STEP_WAITS || !dependencies_ended(once, &plan->checks[i]))
            continue;
        once->steps[i] = STEP_STARTED;
        rb_runner_bring_forward(once->app.runner, i);
    }
    if (once->done == once->total)
        ev_break(loop, EVBREAK_ALL);
}

static void deadline_cb(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)timer;
    (void)revents;
    ev_break(loop, EVBREAK_ALL);
}

static void run_loop(struct once *once)
{
    struct ev_loop *loop = once->app.loop;
    ev_prepare_init(&once->look, look_cb);
    once->look.data = once;
    ev_prepare_start(loop, &once->look);
    ev_timer_init(&once->deadline, deadline_cb, (double)once->request->deadline_ms / 1000., 0.);
    if (once->request->deadline_ms > 0)
        ev_timer_start(loop, &once->deadline);
    if (once->total > 0)
        ev_run(loop, 0);
    ev_timer_stop(loop, &once->deadline);
    ev_prepare_stop(loop, &once->look);
}

static void raw_results(struct rb_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++)
        plan->checks[i].fail_after = plan->checks[i].recover_after = 1;
}

static bool *flags_of(const struct once *once)
{
    bool *chosen = calloc(once->app.plan->count + 1, sizeof *chosen);
    for (size_t i = 0; chosen != NULL && i < once->app.plan->count; i++)
        chosen[i] = once->steps[i] != STEP_LEFT_OUT;
    return chosen;
}

/* Accepting writes: only with the lock, so never beside a daemon. */
static int open_to_write(struct rb_app *app, struct rb_error *err)
{
    int rc = rb_app_state_open(app, err);
    if (rc == 0 && app->state.lock_fd < 0)
        rc = rb_error_set(err, RB_EPERM, "the folder of state cannot be written: nothing can be accepted");
    return rc;
}

static void accept_drift(struct once *once, struct rb_snapshot *snapshot)
{
    struct rb_app_accept *accept = once->request->accept;
    char problem[32];
    while (once->app.drift.writing > 0) /* what the checks left to be written is what may be accepted */
        ev_run(once->app.loop, EVRUN_ONCE);
    struct rb_drift_job *job = rb_drift_job_new(snapshot, once->app.state.dir, accept->json, strlen(accept->json),
                                                rb_wall_ns(once->app.clock), &accept->status, problem, accept->answer);
    if (job == NULL)
        return;
    rb_drift_job_work(job);
    accept->status = rb_drift_job_result(job, accept->answer) < 0 ? 500 : 200;
    rb_drift_job_free(job);
}

static int run_once(struct once *once, struct rb_app_result *out, struct rb_error *err)
{
    struct rb_app *app = &once->app;
    once->steps = calloc(app->plan->count + 1, sizeof *once->steps);
    if (once->steps == NULL)
        return rb_error_set(err, RB_ENOMEM, "no memory for the round");
    int rc = choose(once, err);
    if (rc < 0)
        return rc;
    raw_results(app->plan);
    if (once->request->accept != NULL)
        rc = open_to_write(app, err);
    else if (rb_app_state_path(app->plan, app->state.dir, sizeof app->state.dir, NULL) < 0)
        app->state.dir[0] = '\0';
    if (rc < 0)
        return rc;
    if ((rc = rb_app_parts_new(app, false, err)) < 0)
        return rc;
    int64_t started_ns = rb_elapsed_ns(app->clock);
    run_loop(once);
    if (!once->request->without_head)
        rb_app_repo_look(app);
    rb_app_runbooks_look(app);
    struct rb_snapshot *snapshot = rb_app_publish_now(app);
    out->snapshot = snapshot != NULL ? rb_snapshot_ref(snapshot) : NULL; /* accepting turns the loop, which may publish another */
    if (snapshot != NULL && once->request->accept != NULL)
        accept_drift(once, snapshot);
    out->chosen = flags_of(once);
    if (snapshot == NULL || out->chosen == NULL)
        return rb_error_set(err, RB_ENOMEM, "no memory for the results");
    out->duration_s = (double)(rb_elapsed_ns(app->clock) - started_ns) / (double)RB_NS_PER_S;
    return 0;
}

int rb_app_check(const struct rb_app_check *request, struct rb_arena *arena, struct rb_diags *diags, struct rb_app_result *out,
                 struct rb_error *err)
{
    struct once *once = calloc(1, sizeof *once);
    if (once == NULL)
        return rb_error_set(err, RB_ENOMEM, "no memory");
    *out = (struct rb_app_result){0};
    struct rb_app *app = &once->app;
    once->request = request;
    app->options = *request->options;
    app->platform = rb_platform_host();
    app->clock = app->platform->clock;
    app->start_wall_ns = rb_wall_ns(app->clock);
    app->start_elapsed_ns = rb_elapsed_ns(app->clock);
    app->state.lock_fd = -1;
    app->notify.fd = -1;
    app->on_completed = on_completed;
    app->rounds.last_duration_s = (double)NAN;
    app->reload.status = (struct rb_config_status){.last_reload_successful = true, .last_success_wall_ns = app->start_wall_ns};
    int rc = rb_app_load_plan(request->options, arena, diags, &app->plan, err);
    if (rc == 0) {
        app->loop = ev_default_loop(EVFLAG_AUTO);
        rc = app->loop == NULL ? rb_error_set(err, RB_ESYS, "libev found no usable event mechanism") : run_once(once, out, err);
        rb_app_parts_free(app);
        rb_app_state_close(app);
    }
    free(once->steps);
    free(once);
    return rc;
}
