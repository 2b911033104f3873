/* What requests may ask of the loop: reload, run one check, a triage round. */
#include <stdio.h>
#include <string.h>

#include "app_internal.h"
#include "drift.h"
#include "file_watch.h"
#include "incidents.h"
#include "runbook/base/log.h"

void rb_app_finish_command(struct rb_app *app, struct rb_command *command, int status, const char *problem, const char *detail)
{
    command->status = status;
    snprintf(command->problem, sizeof command->problem, "%s", problem);
    rb_buf_adds(&command->detail, detail);
    struct rb_snapshot *snapshot = rb_app_publish_now(app);
    command->snapshot = snapshot != NULL ? rb_snapshot_ref(snapshot) : NULL;
    command->completed(command, command->arg);
    rb_command_unref(command);
}

static bool same_strings(struct rb_strings a, struct rb_strings b)
{
    if (a.count != b.count)
        return false;
    for (size_t i = 0; i < a.count; i++)
        if (strcmp(a.items[i], b.items[i]) != 0)
            return false;
    return true;
}

/* What a running daemon cannot change: its sockets, its tree, its state folder. */
static int refuse_fixed(const struct rb_app *app, const struct rb_plan *plan, struct rb_error *err)
{
    const struct rb_daemon_options *now = &app->plan->daemon, *next = &plan->daemon;
    const char *what = NULL;
    if (!same_strings(now->listen, next->listen))
        what = "daemon.listen";
    else if (strcmp(now->root, next->root) != 0)
        what = "daemon.root";
    else if (strcmp(now->state_dir, next->state_dir) != 0)
        what = "daemon.state_dir";
    return what == NULL ? 0 : rb_error_set(err, RB_EINVAL, "%s changed; a reload cannot change it: restart runbookd", what);
}

static int swap_plan(struct rb_app *app, struct rb_plan *plan, struct rb_error *err)
{
    int rc = refuse_fixed(app, plan, err);
    if (rc < 0 || (rc = rb_store_set_plan(app->store, plan, err)) < 0 || (rc = rb_runner_set_plan(app->runner, plan, true, err)) < 0)
        return rc;
    rb_plan_unref(app->plan);
    app->plan = rb_plan_ref(plan);
    rb_app_rounds_plan_changed(app);
    rb_app_file_watch_plan_changed(app);
    return 0;
}

static int load_and_swap(struct rb_app *app, struct rb_arena *arena, struct rb_buf *out_errors)
{
    struct rb_diags diags;
    struct rb_error err = {0};
    struct rb_plan *plan = NULL;
    rb_diags_init(&diags, arena);
    int rc = rb_app_load_plan(&app->options, arena, &diags, &plan, &err);
    if (rc == 0)
        rc = swap_plan(app, plan, &err);
    rb_plan_unref(plan);
    if (rc == RB_ECONFIG && diags.count > 0)
        rb_diags_print(&diags, out_errors);
    else if (rc < 0)
        rb_buf_addf(out_errors, "%s\n", err.message);
    return rc;
}

static void note_reload(struct rb_app *app, bool ok)
{
    struct rb_config_status *status = &app->reload.status;
    status->last_reload_successful = ok;
    status->error = ok ? NULL : app->reload.error;
    app->reload.reloads++;
    if (ok)
        status->last_success_wall_ns = rb_wall_ns(app->clock);
    else
        app->reload.failures++;
    rb_journal_append(app->journal,
                      &(struct rb_journal_event){.kind = RB_EVENT_KIND_RELOAD,
                                                 .to = ok ? "ok" : "failed",
                                                 .text = ok ? "configuration reloaded" : "reload failed, the old configuration goes on"});
    rb_app_persist_soon(app);
}

int rb_app_reload(struct rb_app *app, struct rb_buf *out_errors)
{
    struct rb_arena *arena = rb_arena_new(RB_LOAD_ARENA);
    if (arena == NULL) {
        rb_buf_adds(out_errors, "no memory to load the configuration\n");
        return RB_ENOMEM;
    }
    rb_notify_send(&app->notify, "STATUS=reloading");
    int rc = load_and_swap(app, arena, out_errors);
    rb_arena_free(arena);
    if (rc < 0) {
        snprintf(app->reload.error, sizeof app->reload.error, "%s", rb_buf_str(out_errors));
        size_t len = strlen(app->reload.error); /* lines for the client, one text for log and status */
        if (len > 0 && app->reload.error[len - 1] == '\n')
            app->reload.error[len - 1] = '\0';
        rb_log(RB_LOG_ERROR, "config", "reload failed, the old configuration goes on: %s", app->reload.error);
    } else {
        rb_log(RB_LOG_NOTICE, "config", "reloaded %s: %zu checks", app->plan->source, app->plan->count);
    }
    note_reload(app, rc == 0);
    char status[128];
    snprintf(status, sizeof status, "STATUS=%zu checks%s", app->plan->count, rc < 0 ? "; the last reload failed" : "");
    rb_notify_send(&app->notify, status);
    rb_app_publish_soon(app);
    return rc;
}

static void command_reload(struct rb_app *app, struct rb_command *command)
{
    RB_BUF_AUTO errors;
    rb_buf_init(&errors, sizeof app->reload.error * 4);
    if (rb_app_reload(app, &errors) < 0)
        rb_app_finish_command(app, command, 422, "config", rb_buf_str(&errors));
    else
        rb_app_finish_command(app, command, 200, "", "configuration reloaded\n");
}

void rb_app_command(struct rb_command *command, void *arg)
{
    struct rb_app *app = arg;
    switch (command->type) {
    case RB_COMMAND_RELOAD:
        command_reload(app, command);
        break;
    case RB_COMMAND_RUN:
        rb_app_run_one(app, command);
        break;
    case RB_COMMAND_ROUND:
        rb_app_round(app, command);
        break;
    case RB_COMMAND_INCIDENT:
        rb_app_incident(app, command);
        break;
    case RB_COMMAND_SILENCE:
        rb_app_silence(app, command);
        break;
    case RB_COMMAND_DRIFT_ACCEPT:
        rb_app_drift_accept(app, command);
        break;
    }
}
