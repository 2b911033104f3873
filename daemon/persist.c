/* Writing state without ever blocking the loop: one task at a time takes the queued journal lines and, when due, a checkpoint, and writes them on a thread.
 *
 * A failed write loses nothing: lines stay queued within their bound, the checkpoint is made again. It is told by a metric and, once, by the log. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app_internal.h"
#include "runbook/base/log.h"
#include "runbook/state/files.h"

#define CHECKPOINT_NAME     "checks.state"
#define CHECKPOINT_MAX      (32u << 20)
#define LOOK_EVERY_S        5.
#define CHECKPOINT_EVERY_NS (30 * RB_NS_PER_S) /* counters may lose this much in a crash; a change of state is written at once */
#define JOURNAL_DELAY_S     0.25
#define STOP_WAIT_S         2.

struct write_task {
    struct rb_app *app;
    char dir[RB_PATH_MAX];
    struct rb_journal_batch *batch;
    struct rb_buf checkpoint; /* empty: none due */
    struct rb_error err;
    int rc;
};

static void work(void *arg)
{
    struct write_task *task = arg;
    if (task->batch != NULL)
        rb_journal_write(task->batch);
    if (task->checkpoint.len > 0)
        task->rc = rb_file_replace(task->dir, CHECKPOINT_NAME, task->checkpoint.data, task->checkpoint.len, 0600, &task->err);
}

static void settle(struct write_task *task)
{
    struct rb_app *app = task->app;
    struct rb_error journal_err = {0};
    int journal_rc = task->batch != NULL ? rb_journal_written(app->journal, task->batch, &journal_err) : 0;
    if (task->rc < 0 || journal_rc < 0) {
        if (app->persist.errors++ == 0)
            rb_log(RB_LOG_ERROR, "state", "%s; state is kept in memory and written again later",
                   task->rc < 0 ? task->err.message : journal_err.message);
        app->persist.save_requested |= task->rc < 0;
    }
    rb_buf_fini(&task->checkpoint);
    free(task);
}

static void done(void *arg)
{
    struct write_task *task = arg;
    struct rb_app *app = task->app;
    app->persist.busy = false;
    settle(task);
}

/* NULL when there is nothing to write. */
static struct write_task *next_task(struct rb_app *app)
{
    struct write_task *task = calloc(1, sizeof *task);
    if (task == NULL)
        return NULL;
    task->app = app;
    memcpy(task->dir, app->state.dir, sizeof task->dir);
    rb_buf_init(&task->checkpoint, CHECKPOINT_MAX);
    task->batch = rb_journal_take(app->journal);
    int64_t now_ns = rb_elapsed_ns(app->clock);
    bool due = now_ns - app->persist.saved_ns >= CHECKPOINT_EVERY_NS && rb_store_dirty(app->store);
    if (app->persist.save_requested || due) {
        app->persist.save_requested = false;
        app->persist.saved_ns = now_ns;
        if (rb_store_save(app->store, &task->checkpoint, NULL) < 0)
            rb_buf_reset(&task->checkpoint);
    }
    if (task->batch != NULL || task->checkpoint.len > 0)
        return task;
    rb_buf_fini(&task->checkpoint);
    free(task);
    return NULL;
}

static void timer_cb(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)revents;
    struct rb_app *app = timer->data;
    ev_timer_set(timer, LOOK_EVERY_S, 0.);
    ev_timer_start(loop, timer);
    if (app->persist.busy || app->state.dir[0] == '\0')
        return;
    struct write_task *task = next_task(app);
    if (task == NULL)
        return;
    app->persist.busy = true;
    if (rb_runner_task(app->runner, work, done, task, &task->err) < 0) {
        app->persist.busy = false;
        work(task); /* no thread to be had: late is better than lost */
        settle(task);
    }
}

void rb_app_persist_soon(struct rb_app *app)
{
    app->persist.save_requested = true;
    if (app->state.dir[0] == '\0' || !ev_is_active(&app->persist.timer) ||
        ev_timer_remaining(app->loop, &app->persist.timer) <= JOURNAL_DELAY_S)
        return;
    ev_timer_stop(app->loop, &app->persist.timer);
    ev_timer_set(&app->persist.timer, JOURNAL_DELAY_S, 0.);
    ev_timer_start(app->loop, &app->persist.timer);
}

void rb_app_persist_load(struct rb_app *app)
{
    if (app->state.dir[0] == '\0')
        return;
    char path[RB_PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/%s", app->state.dir, CHECKPOINT_NAME);
    RB_BUF_AUTO text;
    rb_buf_init(&text, CHECKPOINT_MAX);
    struct rb_error err = {0};
    int rc = rb_file_read(path, CHECKPOINT_MAX, true, &text, &err);
    if (rc == RB_ENOTFOUND || (rc == RB_ESYS && err.saved_errno == ENOENT))
        return;
    if (rc == 0)
        rc = rb_store_load(app->store, rb_buf_str(&text), text.len, &err);
    if (rc == 0)
        return;
    char kept[RB_PATH_MAX] = "";
    if (app->state.lock_fd >= 0 && rc == RB_ECORRUPT)
        (void)!rb_file_set_aside(app->state.dir, CHECKPOINT_NAME, rb_wall_ns(app->clock), kept, sizeof kept, NULL);
    rb_log(RB_LOG_WARNING, "state", "%s: %s; since and counters begin anew%s%s", CHECKPOINT_NAME, err.message,
           kept[0] != '\0' ? "; the file is kept as " : "", kept);
}

void rb_app_persist_start(struct rb_app *app)
{
    ev_timer_init(&app->persist.timer, timer_cb, LOOK_EVERY_S, 0.);
    app->persist.timer.data = app;
    ev_timer_start(app->loop, &app->persist.timer);
}

static void give_up_cb(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)timer;
    (void)revents;
}

/* A write that is on its way must end before the last one begins, or the older would win; a disk that hangs gets two seconds. */
static void await_task(struct rb_app *app)
{
    ev_timer give_up;
    ev_timer_init(&give_up, give_up_cb, STOP_WAIT_S, 0.);
    ev_timer_start(app->loop, &give_up);
    while (app->persist.busy && ev_is_active(&give_up))
        ev_run(app->loop, EVRUN_ONCE);
    ev_timer_stop(app->loop, &give_up);
}

void rb_app_persist_stop(struct rb_app *app)
{
    ev_timer_stop(app->loop, &app->persist.timer);
    await_task(app);
    if (app->persist.busy) {
        rb_log(RB_LOG_ERROR, "state", "the state folder does not answer; the last seconds of state are lost");
        return;
    }
    if (app->state.dir[0] == '\0' || app->state.lock_fd < 0)
        return;
    app->persist.save_requested = true;
    struct write_task *task = next_task(app);
    if (task == NULL)
        return;
    work(task);
    settle(task);
}
