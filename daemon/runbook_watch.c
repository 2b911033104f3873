/* The sections of the team's runbook that a report quotes, as their files have them: read on the task thread at each triage round and every few seconds, never on the loop.
 *
 * A report shows lines and line numbers of one and the same read. A round waits for its read a moment; when the disk is slower than that, the texts are dropped: the report then names the section
 * without quoting it. */
#include <stdlib.h>

#include "app_internal.h"
#include "runbook/config/runbook.h"

#define READ_EVERY_S 5.
#define WAIT_S       0.2 /* a round waits so long behind its checks */

struct reading {
    struct rb_app *app;
    struct rb_plan *plan; /* a reference */
    struct rb_runbook_texts *texts;
};

static bool names_any(const struct rb_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++)
        if (plan->checks[i].runbook_file != NULL)
            return true;
    return false;
}

static void work(void *arg)
{
    struct reading *reading = arg;
    reading->texts = rb_runbook_texts_read(reading->plan);
}

static void free_reading(struct reading *reading)
{
    rb_runbook_texts_unref(reading->texts);
    rb_plan_unref(reading->plan);
    free(reading);
}

static void done(void *arg)
{
    struct reading *reading = arg;
    struct rb_app *app = reading->app;
    bool again = app->runbooks.again || reading->plan != app->plan;
    app->runbooks.busy = app->runbooks.again = false;
    rb_runbook_texts_unref(app->runbooks.texts);
    app->runbooks.texts = reading->texts;
    reading->texts = NULL;
    free_reading(reading);
    if (again)
        rb_app_runbooks_read(app); /* asked for while this one was on its way: it may have seen less */
    if (app->runbooks.busy)
        return;
    ev_timer_stop(app->loop, &app->runbooks.wait);
    rb_app_rounds_runbooks_read(app);
}

void rb_app_runbooks_read(struct rb_app *app)
{
    struct reading *reading = names_any(app->plan) ? calloc(1, sizeof *reading) : NULL;
    if (reading == NULL)
        return;
    if (app->runbooks.busy) {
        app->runbooks.again = true;
        free(reading);
        return;
    }
    reading->app = app;
    reading->plan = rb_plan_ref(app->plan);
    app->runbooks.busy = rb_runner_task(app->runner, work, done, reading, NULL) == 0;
    if (!app->runbooks.busy)
        free_reading(reading);
}

static void wait_cb(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)revents;
    struct rb_app *app = timer->data;
    rb_runbook_texts_unref(app->runbooks.texts);
    app->runbooks.texts = NULL;
    rb_app_rounds_runbooks_read(app);
}

bool rb_app_runbooks_wait(struct rb_app *app)
{
    if (!app->runbooks.busy)
        return false;
    if (!ev_is_active(&app->runbooks.wait)) {
        ev_timer_init(&app->runbooks.wait, wait_cb, WAIT_S, 0.);
        app->runbooks.wait.data = app;
        ev_timer_start(app->loop, &app->runbooks.wait);
    }
    return true;
}

static void timer_cb(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)revents;
    struct rb_app *app = timer->data;
    if (!app->runbooks.busy)
        rb_app_runbooks_read(app);
}

void rb_app_runbooks_start(struct rb_app *app)
{
    ev_timer_init(&app->runbooks.timer, timer_cb, 0., READ_EVERY_S);
    app->runbooks.timer.data = app;
    ev_timer_start(app->loop, &app->runbooks.timer);
}

void rb_app_runbooks_stop(struct rb_app *app)
{
    ev_timer_stop(app->loop, &app->runbooks.timer);
    ev_timer_stop(app->loop, &app->runbooks.wait);
}

void rb_app_runbooks_look(struct rb_app *app)
{
    rb_runbook_texts_unref(app->runbooks.texts);
    app->runbooks.texts = names_any(app->plan) ? rb_runbook_texts_read(app->plan) : NULL;
}

void rb_app_runbooks_free(struct rb_app *app)
{
    rb_runbook_texts_unref(app->runbooks.texts);
    app->runbooks.texts = NULL;
}
