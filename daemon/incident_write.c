/* Incidents on their way to the disk: one write at a time, off the loop.
 *
 * A write takes everything that is due: openings (the state is rendered here, on the task thread, from an immutable snapshot), changed documents, folders to be removed. The document is
 * written last, so a folder with a document is whole. What failed stays dirty and is tried again by the tick. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "incidents.h"
#include "runbook/base/log.h"
#include "runbook/incident/diagnosis.h"
#include "runbook/render/render.h"

#define MAX_AGE_NS (5 * RB_NS_PER_S)
#define QUIET_MAX \
    8u /* documents in one write that nobody waits for; the rest goes with the next, so that the loop never prints them all at once */

struct document {
    char id[RB_INCIDENT_ID_SIZE];
    struct rb_buf bytes;
};

struct incident_write {
    struct rb_app *app;
    const struct rb_clock *clock;
    char dir[RB_PATH_MAX];
    struct document documents[RB_INCIDENTS_MAX];
    size_t document_count;
    struct rb_incident_keep *keeps;
    char retired[RB_INCIDENTS_RETIRED][RB_INCIDENT_ID_SIZE];
    size_t retired_count;
    struct rb_command *commands;
    struct rb_error err;
    int rc;
};

/* ---- what is kept of the state ---- */

void rb_incident_report_unref(struct rb_incident_report *report)
{
    if (report == NULL || __atomic_sub_fetch(&report->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    rb_buf_fini(&report->status_json);
    rb_buf_fini(&report->triage_json);
    rb_buf_fini(&report->triage_text);
    rb_buf_fini(&report->answer);
    free(report);
}

static void free_keep(struct rb_incident_keep *keep)
{
    rb_snapshot_unref(keep->snapshot);
    rb_incident_report_unref(keep->report);
    free(keep);
}

struct rb_incident_keep *rb_incident_keep(struct rb_app *app, const char *id, double round_s)
{
    struct rb_snapshot *snapshot = rb_app_publish_now(app);
    struct rb_incident_keep *keep = calloc(1, sizeof *keep);
    struct rb_incident_report *report = calloc(1, sizeof *report);
    if (snapshot == NULL || keep == NULL || report == NULL) {
        free(keep);
        free(report);
        return NULL;
    }
    report->refs = 1;
    rb_buf_init(&report->status_json, RB_RENDER_MAX);
    rb_buf_init(&report->triage_json, RB_RENDER_MAX);
    rb_buf_init(&report->triage_text, RB_RENDER_MAX);
    rb_buf_init(&report->answer, RB_RENDER_MAX);
    snprintf(keep->id, sizeof keep->id, "%s", id);
    keep->snapshot = rb_snapshot_ref(snapshot);
    keep->round_s = round_s;
    keep->max_age_ns = MAX_AGE_NS;
    keep->language = -1;
    keep->report = report;
    keep->next = app->incidents.keeps;
    app->incidents.keeps = keep;
    return keep;
}

/* The answer, where it is not one of the forms that are kept. */
static int render_answer(const struct rb_incident_keep *keep, const struct rb_view *view, const struct rb_diagnosis *diagnosis,
                         const struct rb_text_style *kept, struct rb_error *err)
{
    struct rb_text_style style = *kept;
    if (keep->language >= 0)
        style.language = (enum rb_language)keep->language;
    if (keep->form == RB_REPORT_HTML)
        return rb_render_triage_html(view, diagnosis, style.language, &keep->report->answer, err);
    if (keep->form == RB_REPORT_TEXT && style.language != kept->language)
        return rb_render_triage_text(view, diagnosis, &style, &keep->report->answer, err);
    return 0;
}

static int render(const struct incident_write *task, struct rb_incident_keep *keep, bool unstored, struct rb_error *err)
{
    struct rb_incident_report *report = keep->report;
    struct rb_view view = rb_view_of(keep->snapshot, task->clock);
    const struct rb_diagnosis_options how = {.max_age_ns = keep->max_age_ns, .round_s = keep->round_s};
    const struct rb_text_style style = {.columns = 100, .language = (enum rb_language)keep->snapshot->plan->daemon.language};
    struct rb_diagnosis diagnosis = {0};
    RB_ARENA_AUTO *arena = rb_arena_new(RB_DIAGNOSIS_ARENA);
    rb_buf_reset(&report->status_json);
    rb_buf_reset(&report->triage_json);
    rb_buf_reset(&report->triage_text);
    rb_buf_reset(&report->answer);
    report->unstored = unstored;
    int rc = arena != NULL ? rb_diagnose(&view, &how, arena, &diagnosis, err) : rb_error_set(err, RB_ENOMEM, "out of memory");
    if (rc < 0)
        return rc;
    diagnosis.incident = keep->id;
    diagnosis.incident_unstored = unstored;
    if ((rc = rb_render_status_json(&view, &report->status_json, err)) < 0 ||
        (rc = rb_render_triage_json(&view, &diagnosis, &report->triage_json, err)) < 0 ||
        (rc = rb_render_triage_text(&view, &diagnosis, &style, &report->triage_text, err)) < 0)
        return rc;
    return render_answer(keep, &view, &diagnosis, &style, err);
}

static int write_kept(const struct incident_write *task, const struct rb_incident_keep *keep, struct rb_error *err)
{
    const struct {
        const char *name;
        const struct rb_buf *bytes;
    } files[] = {{"status.json", &keep->report->status_json},
                 {"triage.json", &keep->report->triage_json},
                 {"triage.txt", &keep->report->triage_text}};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof files / sizeof files[0]; i++)
        rc = rb_incident_write_file(task->dir, keep->id, files[i].name, rb_buf_str(files[i].bytes), files[i].bytes->len, err);
    return rc;
}

/* ---- the task ---- */

static void work(void *arg)
{
    struct incident_write *task = arg;
    if (task->dir[0] == '\0')
        task->rc = rb_error_set(&task->err, RB_EPERM, "there is no state folder that can be written");
    for (struct rb_incident_keep *keep = task->keeps; keep != NULL && task->rc == 0; keep = keep->next) {
        task->rc = render(task, keep, false, &task->err);
        if (task->rc == 0)
            task->rc = write_kept(task, keep, &task->err);
    }
    for (size_t i = 0; i < task->document_count && task->rc == 0; i++)
        task->rc = rb_incident_write_file(task->dir, task->documents[i].id, RB_INCIDENT_FILE, rb_buf_str(&task->documents[i].bytes),
                                          task->documents[i].bytes.len, &task->err);
    for (size_t i = 0; i < task->retired_count && task->rc == 0; i++)
        rb_incident_remove_folder(task->dir, task->retired[i]);
    struct rb_error ignored;
    for (struct rb_incident_keep *keep = task->keeps; keep != NULL && task->rc < 0; keep = keep->next)
        (void)!render(task, keep, true, &ignored); /* the report is worth having all the same */
}

static void answer(struct incident_write *task, struct rb_command *command)
{
    struct rb_app *app = task->app;
    if (task->rc < 0 && !command->opens_incident) {
        rb_buf_reset(&command->detail);
        rb_app_finish_command(app, command, 503, "not-written", task->err.message);
        return;
    }
    rb_app_finish_command(app, command, command->status, "", "");
}

/* Not written: everything is due again. An opening's report stays to be written later too. */
static void take_back(struct incident_write *task)
{
    struct rb_app *app = task->app;
    for (size_t i = 0; i < task->document_count; i++) {
        struct rb_incident *incident = rb_incidents_find(&app->incidents.all, task->documents[i].id);
        if (incident != NULL)
            incident->dirty = incident->urgent = true;
    }
    struct rb_incident_keep **end = &task->keeps;
    while (*end != NULL)
        end = &(*end)->next;
    *end = app->incidents.keeps;
    app->incidents.keeps = task->keeps;
    task->keeps = NULL;
    for (size_t i = 0; i < task->retired_count && app->incidents.retired_count < RB_INCIDENTS_RETIRED; i++)
        memcpy(app->incidents.retired[app->incidents.retired_count++], task->retired[i], RB_INCIDENT_ID_SIZE);
}

static void settle(struct incident_write *task)
{
    struct rb_app *app = task->app;
    if (task->rc < 0) {
        if (!app->incidents.failing)
            rb_log(RB_LOG_ERROR, "incident", "%s; incidents are kept in memory and written again later", task->err.message);
        take_back(task);
    }
    app->incidents.failing = task->rc < 0;
    app->incidents.written_ns = rb_elapsed_ns(app->clock);
    while (task->commands != NULL) {
        struct rb_command *command = task->commands;
        task->commands = command->next;
        command->next = NULL;
        answer(task, command);
    }
    while (task->keeps != NULL) {
        struct rb_incident_keep *keep = task->keeps;
        task->keeps = keep->next;
        free_keep(keep);
    }
    for (size_t i = 0; i < task->document_count; i++)
        rb_buf_fini(&task->documents[i].bytes);
    free(task);
}

static void done(void *arg)
{
    struct incident_write *task = arg;
    struct rb_app *app = task->app;
    bool again = task->rc == 0;
    app->incidents.busy = false;
    settle(task);
    if (again || app->incidents.waiting != NULL)
        rb_app_incidents_write(app);
}

/* ---- the loop's side ---- */

static void take_documents(struct rb_app *app, struct incident_write *task)
{
    size_t quiet = 0;
    for (size_t i = 0; i < app->incidents.all.count; i++) {
        struct rb_incident *incident = app->incidents.all.items[i];
        if (!incident->dirty || (!incident->urgent && quiet == QUIET_MAX))
            continue;
        quiet += !incident->urgent;
        struct document *document = &task->documents[task->document_count];
        rb_buf_init(&document->bytes, RB_INCIDENT_MAX_BYTES);
        snprintf(document->id, sizeof document->id, "%s", rb_incident_text(incident, "id"));
        if (rb_incident_save(incident, &document->bytes, &task->err) < 0) {
            task->rc = task->err.code;
            rb_buf_fini(&document->bytes);
            return;
        }
        incident->dirty = incident->urgent = false;
        task->document_count++;
    }
}

/* NULL when nothing is due. */
static struct incident_write *next_write(struct rb_app *app)
{
    struct incident_write *task = calloc(1, sizeof *task);
    if (task == NULL)
        return NULL;
    task->app = app;
    task->clock = app->clock;
    if (app->state.lock_fd >= 0)
        memcpy(task->dir, app->state.dir, sizeof task->dir);
    take_documents(app, task);
    task->keeps = app->incidents.keeps;
    task->commands = app->incidents.waiting;
    task->retired_count = app->incidents.retired_count;
    memcpy(task->retired, app->incidents.retired, sizeof task->retired);
    app->incidents.keeps = NULL;
    app->incidents.waiting = NULL;
    app->incidents.retired_count = 0;
    if (task->document_count > 0 || task->keeps != NULL || task->commands != NULL || task->retired_count > 0)
        return task;
    free(task);
    return NULL;
}

void rb_app_incidents_answer_later(struct rb_app *app, struct rb_command *command)
{
    struct rb_command **end = &app->incidents.waiting;
    while (*end != NULL)
        end = &(*end)->next;
    command->next = NULL;
    *end = command;
    rb_app_incidents_write(app);
}

void rb_app_incidents_write(struct rb_app *app)
{
    struct incident_write *task = app->incidents.busy ? NULL : next_write(app);
    if (task == NULL)
        return;
    app->incidents.busy = true;
    if (rb_runner_task(app->runner, work, done, task, &task->err) == 0)
        return;
    app->incidents.busy = false;
    work(task); /* no thread to be had: late is better than lost */
    settle(task);
}

void rb_app_incidents_stop(struct rb_app *app)
{
    ev_tstamp until = ev_now(app->loop) + 2.;
    while (app->incidents.busy && ev_now(app->loop) < until) {
        ev_sleep(0.005);
        ev_run(app->loop, EVRUN_NOWAIT);
    }
    if (app->incidents.busy) {
        rb_log(RB_LOG_ERROR, "incident", "the state folder does not answer; the last change of an incident may be lost");
        return;
    }
    struct incident_write *task = next_write(app);
    if (task == NULL)
        return;
    work(task);
    settle(task);
}

void rb_app_incidents_free(struct rb_app *app)
{
    while (app->incidents.keeps != NULL) {
        struct rb_incident_keep *keep = app->incidents.keeps;
        app->incidents.keeps = keep->next;
        free_keep(keep);
    }
    rb_incidents_fini(&app->incidents.all);
}
