/* The post-mortem of an incident, made off the loop: the document as it is now, the team's template, the files that were kept at the opening. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "incidents.h"
#include "postmortem.h"
#include "runbook/incident/postmortem.h"
#include "runbook/platform/platform.h"

struct reading {
    struct rb_app *app;
    struct rb_command *command;
    struct rb_buf document, out;
    char dir[RB_PATH_MAX], template_path[RB_PATH_MAX];
    bool german;
    struct rb_error err;
    int rc;
};

static void work(void *arg)
{
    struct reading *reading = arg;
    struct rb_incident *incident = NULL;
    reading->rc = rb_incident_load(rb_buf_str(&reading->document), reading->document.len, &incident, &reading->err);
    if (reading->rc < 0)
        return;
    reading->rc = rb_postmortem_make(incident, reading->dir, reading->template_path, reading->german, &reading->out, &reading->err);
    rb_incident_free(incident);
}

static void free_reading(struct reading *reading)
{
    rb_buf_fini(&reading->document);
    rb_buf_fini(&reading->out);
    free(reading);
}

static void done(void *arg)
{
    struct reading *reading = arg;
    struct rb_command *command = reading->command;
    if (reading->rc == 0)
        rb_buf_add(&command->detail, rb_buf_str(&reading->out), reading->out.len);
    rb_app_finish_command(reading->app, command, reading->rc == 0 ? 200 : 500, reading->rc == 0 ? "" : "template",
                          reading->rc == 0 ? "" : reading->err.message);
    free_reading(reading);
}

void rb_app_postmortem(struct rb_app *app, struct rb_command *command, const struct rb_incident *incident)
{
    struct reading *reading = calloc(1, sizeof *reading);
    struct rb_error err = {0};
    if (reading == NULL) {
        rb_app_finish_command(app, command, 503, "no-memory", "out of memory");
        return;
    }
    rb_buf_init(&reading->document, RB_INCIDENT_MAX_BYTES);
    rb_buf_init(&reading->out, RB_POSTMORTEM_MAX);
    reading->app = app;
    reading->command = command;
    reading->german = command->language < 0 ? app->plan->daemon.language == RB_LANGUAGE_DE : command->language == RB_LANGUAGE_DE;
    memcpy(reading->dir, app->state.dir, sizeof reading->dir);
    rb_postmortem_template_path(app->plan, reading->template_path, sizeof reading->template_path);
    if (rb_incident_save(incident, &reading->document, &err) == 0 && rb_runner_task(app->runner, work, done, reading, &err) == 0)
        return;
    free_reading(reading);
    rb_app_finish_command(app, command, 503, "busy", err.message);
}
