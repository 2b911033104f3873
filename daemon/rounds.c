/* Triage rounds and single runs on request: checks brought forward, commands answered when they ended or their deadline came.
 *
 * At most one round at a time and one a second; whoever asks meanwhile shares it. A run that is already under way counts as fresh when it ends. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app_internal.h"
#include "incidents.h"

#define ROUND_SPACING_NS RB_NS_PER_S

static double seconds(int64_t ns)
{
    return (double)ns / (double)RB_NS_PER_S;
}

static void finish_round(struct rb_app *app, struct rb_command *command)
{
    if (command->opens_incident)
        rb_app_incident_open(app, command);
    else
        rb_app_finish_command(app, command, 200, "", "");
}

static void answer_round(struct rb_app *app, struct rb_command *command)
{
    command->duration_s = seconds(rb_elapsed_ns(app->clock) - app->rounds.started_ns);
    finish_round(app, command);
}

static void end_round(struct rb_app *app)
{
    int64_t now_ns = rb_elapsed_ns(app->clock);
    app->rounds.active = false;
    app->rounds.last_ended_ns = now_ns;
    app->rounds.last_duration_s = seconds(now_ns - app->rounds.started_ns);
    ev_timer_stop(app->loop, &app->rounds.deadline);
    free(app->rounds.pending);
    app->rounds.pending = NULL;
    while (app->rounds.waiting != NULL) {
        struct rb_command *command = app->rounds.waiting;
        app->rounds.waiting = command->next;
        answer_round(app, command);
    }
}

/* Answers every waiting command whose deadline has come, and arms the timer for the next one. */
static void arm_deadline(struct rb_app *app)
{
    int64_t now_ns = rb_elapsed_ns(app->clock), next_ns = INT64_MAX;
    struct rb_command **link = &app->rounds.waiting;
    while (*link != NULL) {
        struct rb_command *command = *link;
        if (command->deadline_ns <= now_ns) {
            *link = command->next;
            answer_round(app, command);
            continue;
        }
        if (command->deadline_ns < next_ns)
            next_ns = command->deadline_ns;
        link = &command->next;
    }
    ev_timer_stop(app->loop, &app->rounds.deadline);
    if (next_ns == INT64_MAX)
        return;
    ev_timer_set(&app->rounds.deadline, seconds(next_ns - now_ns), 0.);
    ev_timer_start(app->loop, &app->rounds.deadline);
}

static void deadline_cb(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)revents;
    arm_deadline(timer->data);
}

static bool is_fresh(const struct rb_app *app, size_t index, int64_t max_age_ns, int64_t now_ns)
{
    const struct rb_record *record = rb_store_record(app->store, index);
    return record->last_completed_ns != INT64_MIN && now_ns - record->last_completed_ns < max_age_ns;
}

static void start_round(struct rb_app *app, int64_t max_age_ns)
{
    int64_t now_ns = rb_elapsed_ns(app->clock);
    bool *pending = calloc(app->plan->count + 1, sizeof *pending);
    app->rounds.started_ns = now_ns;
    app->rounds.pending = pending;
    app->rounds.pending_count = 0;
    app->rounds.active = true;
    for (size_t i = 0; pending != NULL && i < app->plan->count; i++) {
        if (!app->plan->checks[i].triage || is_fresh(app, i, max_age_ns, now_ns))
            continue;
        pending[i] = true;
        app->rounds.pending_count++;
    }
    rb_app_runbooks_read(app);
    rb_app_repo_refresh(app);
    for (size_t i = 0; pending != NULL && i < app->plan->count; i++)
        if (pending[i])
            rb_runner_bring_forward(app->runner, i);
}

/* The last check has ended; what the report quotes of the runbook may still be on its way. */
static void end_when_read(struct rb_app *app)
{
    if (!rb_app_runbooks_wait(app))
        end_round(app);
}

void rb_app_rounds_runbooks_read(struct rb_app *app)
{
    if (app->rounds.active && app->rounds.pending_count == 0)
        end_round(app);
}

void rb_app_round(struct rb_app *app, struct rb_command *command)
{
    int64_t now_ns = rb_elapsed_ns(app->clock);
    if (app->rounds.deadline.data == NULL) {
        ev_timer_init(&app->rounds.deadline, deadline_cb, 0., 0.);
        app->rounds.deadline.data = app;
    }
    bool too_soon = app->rounds.last_ended_ns != 0 && now_ns - app->rounds.last_ended_ns < ROUND_SPACING_NS;
    if (command->as_it_is || (!app->rounds.active && too_soon)) {
        command->duration_s = command->as_it_is ? (double)NAN : app->rounds.last_duration_s;
        finish_round(app, command);
        return;
    }
    if (!app->rounds.active)
        start_round(app, command->max_age_ns);
    command->next = app->rounds.waiting;
    app->rounds.waiting = command;
    if (app->rounds.pending_count == 0)
        end_when_read(app);
    if (app->rounds.active)
        arm_deadline(app);
}

void rb_app_run_one(struct rb_app *app, struct rb_command *command)
{
    size_t index = rb_plan_find(app->plan, command->name);
    if (index == SIZE_MAX) {
        rb_app_finish_command(app, command, 404, "no-such-check", "there is no check of this name");
        return;
    }
    command->next = app->rounds.runs;
    app->rounds.runs = command;
    rb_runner_bring_forward(app->runner, index);
}

static void answer_runs(struct rb_app *app, const char *name)
{
    struct rb_command **link = &app->rounds.runs;
    while (*link != NULL) {
        struct rb_command *command = *link;
        if (strcmp(command->name, name) != 0) {
            link = &command->next;
            continue;
        }
        *link = command->next;
        rb_app_finish_command(app, command, 200, "", "");
    }
}

void rb_app_rounds_completed(struct rb_app *app, size_t index)
{
    answer_runs(app, app->plan->checks[index].name);
    if (!app->rounds.active || app->rounds.pending == NULL || !app->rounds.pending[index])
        return;
    app->rounds.pending[index] = false;
    if (--app->rounds.pending_count == 0)
        end_when_read(app);
}

void rb_app_rounds_plan_changed(struct rb_app *app)
{
    if (app->rounds.active)
        end_round(app); /* its indexes belong to the old plan */
    rb_app_runbooks_read(app);
    struct rb_command *runs = app->rounds.runs;
    app->rounds.runs = NULL;
    while (runs != NULL) {
        struct rb_command *command = runs;
        runs = command->next;
        rb_app_run_one(app, command);
    }
}

void rb_app_rounds_stop(struct rb_app *app)
{
    if (app->rounds.active)
        end_round(app);
    while (app->rounds.runs != NULL) {
        struct rb_command *command = app->rounds.runs;
        app->rounds.runs = command->next;
        rb_app_finish_command(app, command, 503, "stopping", "runbookd is stopping");
    }
    free(app->rounds.pending);
    app->rounds.pending = NULL;
}
