/* The parts that a daemon and a single round have in common, put together in order and taken apart in exactly the reverse. */
#include <string.h>

#include "app_internal.h"
#include "drift.h"
#include "file_watch.h"
#include "incidents.h"
#include "runbook/base/digest.h"
#include "runbook/base/log.h"
#include "runbook/check/notes.h"

static void on_started(void *ctx, size_t index)
{
    struct rb_app *app = ctx;
    rb_store_started(app->store, index);
}

static void on_completed(void *ctx, size_t index, const struct rb_run *run)
{
    struct rb_app *app = ctx;
    double duration_s = (double)(rb_elapsed_ns(app->clock) - run->started_ns) / (double)RB_NS_PER_S;
    rb_app_count_run(app, duration_s);
    struct rb_record *before = rb_store_record_ref(app->store, index);
    rb_app_drift_outcome(app, index, &run->outcome);
    if (rb_store_completed(app->store, index, &run->outcome, run->started_ns))
        rb_app_persist_soon(app);
    rb_app_drift_events(app, before, rb_store_record(app->store, index));
    rb_record_unref(before);
    rb_app_publish_soon(app);
    rb_app_rounds_completed(app, index);
    if (app->on_completed != NULL)
        app->on_completed(app, index);
}

static void *on_memory(void *ctx, size_t index)
{
    return rb_store_memory(((struct rb_app *)ctx)->store, index);
}

static int64_t on_last_start(void *ctx, size_t index)
{
    return rb_store_last_start(((struct rb_app *)ctx)->store, index);
}

static void on_due(void *ctx, size_t index, int64_t due_ns)
{
    rb_store_set_due(((struct rb_app *)ctx)->store, index, due_ns);
}

/* Two checks that follow the same engine tell the same events: the first one is written. */
static bool was_told(struct rb_app *app, const struct rb_note *note)
{
    uint32_t digest = rb_crc32c(0, note->text, strlen(note->text));
    int64_t when = note->gap ? -1 : note->wall_ns; /* a gap's text has its times */
    for (size_t i = 0; when != 0 && i < RB_NOTES_REMEMBERED; i++)
        if (app->notes.items[i].wall_ns == when && app->notes.items[i].digest == digest)
            return true;
    app->notes.items[app->notes.next].wall_ns = when;
    app->notes.items[app->notes.next].digest = digest;
    app->notes.next = (app->notes.next + 1) % RB_NOTES_REMEMBERED;
    return false;
}

static void on_note(void *ctx, const struct rb_check_spec *spec, const struct rb_note *note)
{
    struct rb_app *app = ctx;
    if (was_told(app, note))
        return;
    rb_journal_append(app->journal, &(struct rb_journal_event){.kind = note->gap ? RB_EVENT_KIND_GAP : RB_EVENT_KIND_CONTAINER,
                                                               .check = spec->name,
                                                               .from = note->subject,
                                                               .to = note->action,
                                                               .text = note->text,
                                                               .wall_ns = note->wall_ns});
    rb_app_persist_soon(app);
    rb_app_publish_soon(app);
}

static int open_journal(struct rb_app *app, bool read_only, struct rb_error *err)
{
    struct rb_journal_report report = {0};
    bool on_disk = app->state.dir[0] != '\0';
    if (on_disk && rb_journal_open(app->state.dir, app->clock, read_only, &app->journal, &report, err) < 0) {
        rb_log(RB_LOG_WARNING, "journal", "%s; the timeline is kept in memory only", err->message);
        app->journal = NULL;
    }
    if (report.damaged > 0)
        rb_log(RB_LOG_WARNING, "journal", "%zu damaged lines left out, the first is line %u", report.damaged, report.first_damaged_line);
    if (app->journal == NULL)
        app->journal = rb_journal_new_memory(app->clock);
    return app->journal == NULL ? rb_error_set(err, RB_ENOMEM, "no memory for the journal") : 0;
}

int rb_app_parts_new(struct rb_app *app, bool automatic, struct rb_error *err)
{
    app->platform->adopt_orphans();
    int rc = open_journal(app, !automatic, err);
    if (rc < 0)
        return rc;
    app->store = rb_store_new(app->clock, app->journal);
    if (app->store == NULL)
        return rb_error_set(err, RB_ENOMEM, "no memory for the store");
    if ((rc = rb_store_set_plan(app->store, app->plan, err)) < 0)
        return rc;
    rb_app_persist_load(app);
    rb_app_incidents_load(app, automatic);
    const struct rb_runner_ops ops = {.started = on_started,
                                      .completed = on_completed,
                                      .memory = on_memory,
                                      .last_start = on_last_start,
                                      .due = on_due,
                                      .note = on_note,
                                      .ctx = app};
    if ((rc = rb_runner_new(app->loop, app->platform, (size_t)app->plan->daemon.workers, &ops, &app->runner, err)) < 0)
        return rc;
    rb_runner_set_state_dir(app->runner, app->state.dir);
    if ((rc = rb_app_publish_start(app, err)) < 0)
        return rc;
    return rb_runner_set_plan(app->runner, app->plan, automatic, err);
}

void rb_app_parts_free(struct rb_app *app)
{
    rb_app_drift_stop(app);
    rb_app_publish_stop(app);
    rb_runner_free(app->runner);
    rb_app_file_watch_free(app);
    rb_app_runbooks_free(app);
    rb_app_incidents_free(app);
    rb_store_free(app->store);
    rb_journal_free(app->journal);
    rb_plan_unref(app->plan);
    app->runner = NULL;
    app->store = NULL;
    app->journal = NULL;
    app->plan = NULL;
}
