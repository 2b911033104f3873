/* What `incident` does when no daemon serves the tree: it takes the lock and works on the folder itself. Everything is on disk before it says so. */
#include "incident_alone.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "postmortem.h"
#include "runbook/base/text.h"
#include "runbook/state/files.h"

#define DEADLINE_MS 10000
#define MAX_AGE_NS  (INT64_C(60) * RB_NS_PER_S)

static const struct rb_clock *the_clock(void)
{
    return rb_platform_host()->clock;
}

static int open_folder(const struct rb_plan *plan, bool writing, struct rb_incident_alone *out, struct rb_error *err)
{
    int rc = writing ? rb_state_dir_open(plan->daemon.state_dir, plan->daemon.root, true, out->dir, sizeof out->dir, err)
                     : rb_app_state_path(plan, out->dir, sizeof out->dir, err);
    if (rc == 0 && writing)
        rc = rb_state_lock(out->dir, &out->lock_fd, err);
    if (rc == 0 && writing)
        rc = rb_journal_open(out->dir, the_clock(), false, &out->journal, &(struct rb_journal_report){0}, err);
    return rc;
}

int rb_incident_alone_open(const struct rb_cli *cli, bool writing, struct rb_incident_alone *out)
{
    *out = (struct rb_incident_alone){.lock_fd = -1};
    struct rb_cli_loaded *loaded = rb_cli_load(cli);
    if (!loaded || !loaded->plan)
        return loaded ? rb_cli_load_failed(loaded) : RB_EXIT_CANNOT;
    struct rb_error err = {0};
    struct rb_incidents_report report = {0};
    out->german = loaded->plan->daemon.language == RB_LANGUAGE_DE;
    rb_postmortem_template_path(loaded->plan, out->template_path, sizeof out->template_path);
    int rc = open_folder(loaded->plan, writing, out, &err);
    rb_plan_unref(loaded->plan);
    if (rc == 0)
        rc = rb_incidents_load(&out->incidents, out->dir, rb_wall_ns(the_clock()), writing, &report, &err);
    if (rc == 0 && out->journal)
        rb_journal_number_after(out->journal, rb_incidents_last_seq(&out->incidents));
    if (report.damaged > 0)
        rb_cli_error("%zu damaged incidents are left out, the first is %s", report.damaged, report.first_damaged);
    if (rc == 0)
        return RB_EXIT_OK;
    rb_cli_error("%s", err.message);
    rb_incident_alone_close(out);
    return RB_EXIT_CANNOT;
}

void rb_incident_alone_close(struct rb_incident_alone *alone)
{
    rb_incidents_fini(&alone->incidents);
    rb_journal_free(alone->journal);
    if (alone->lock_fd >= 0)
        (void)close(alone->lock_fd);
    alone->journal = NULL;
    alone->lock_fd = -1;
}

/* ---- changing ---- */

static uint64_t newest_seq(struct rb_journal *journal)
{
    struct rb_event_entry *entry = NULL;
    uint64_t seq = rb_journal_recent(journal, &entry, 1) > 0 ? entry->seq : 0;
    rb_event_entry_unref(entry);
    return seq;
}

static uint64_t tell(struct rb_incident_alone *alone, const char *id, const char *to, const char *text)
{
    RB_BUF_AUTO line;
    rb_buf_init(&line, RB_INCIDENT_NOTE_MAX + 256);
    rb_buf_addf(&line, "%s %s: ", id, to);
    (void)rb_buf_add_some(&line, text, strlen(text));
    rb_journal_append(alone->journal,
                      &(struct rb_journal_event){.kind = RB_EVENT_KIND_NOTE, .from = id, .to = to, .text = rb_buf_str(&line)});
    return newest_seq(alone->journal);
}

static void collect(struct rb_incident_alone *alone, struct rb_incident *incident)
{
    struct rb_event_entry **entries = calloc(RB_TIMELINE_MAX, sizeof *entries);
    size_t count = entries ? rb_journal_recent(alone->journal, entries, RB_TIMELINE_MAX) : 0;
    (void)rb_incident_collect(incident, entries, count);
    for (size_t i = 0; i < count; i++)
        rb_event_entry_unref(entries[i]);
    free(entries);
}

static int write_all(struct rb_incident_alone *alone, const struct rb_incident *incident)
{
    struct rb_error err = {0};
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_INCIDENT_MAX_BYTES);
    int rc = rb_incident_save(incident, &text, &err);
    if (rc == 0)
        rc = rb_incident_write_file(alone->dir, rb_incident_text(incident, "id"), RB_INCIDENT_FILE, rb_buf_str(&text), text.len, &err);
    struct rb_journal_batch *batch = rb_journal_take(alone->journal);
    if (batch) {
        rb_journal_write(batch);
        struct rb_error journal_err = {0};
        if (rb_journal_written(alone->journal, batch, &journal_err) < 0)
            rb_cli_error("%s; the timeline lacks this", journal_err.message);
    }
    if (rc == 0)
        return RB_EXIT_OK;
    rb_cli_error("%s", err.message);
    return RB_EXIT_CANNOT;
}

int rb_incident_alone_event(struct rb_incident_alone *alone, struct rb_incident *incident, struct rb_incident_event *event)
{
    struct rb_error err = {0};
    bool closing = strcmp(event->kind, "closed") == 0;
    event->wall_ns = rb_wall_ns(the_clock());
    event->seq = tell(alone, rb_incident_text(incident, "id"), event->kind, event->text);
    int rc = closing ? rb_incident_close(incident, event, &err) : rb_incident_add(incident, event, &err);
    if (rc == 0) {
        collect(alone, incident);
        return write_all(alone, incident);
    }
    rb_cli_error("%s", err.message);
    return RB_EXIT_BAD;
}

/* ---- opening ---- */

struct report {
    struct rb_buf status, json, text;
};

static int render(const struct rb_cli *cli, const struct rb_app_result *result, const char *id, struct report *out, struct rb_error *err)
{
    struct rb_view view = rb_view_of(result->snapshot, the_clock());
    struct rb_diagnosis diagnosis = {0};
    const struct rb_diagnosis_options how = {.max_age_ns = MAX_AGE_NS, .round_s = result->duration_s};
    const struct rb_text_style style = {.columns = 100, .language = (enum rb_language)result->snapshot->plan->daemon.language};
    int rc = rb_diagnose(&view, &how, cli->arena, &diagnosis, err);
    diagnosis.incident = id;
    if (rc == 0)
        rc = rb_render_status_json(&view, &out->status, err);
    if (rc == 0)
        rc = rb_render_triage_json(&view, &diagnosis, &out->json, err);
    return rc < 0 ? rc : rb_render_triage_text(&view, &diagnosis, &style, &out->text, err);
}

static int keep(const struct rb_cli *cli, struct rb_incident_alone *alone, const struct rb_app_result *result, struct report *report,
                struct rb_error *err)
{
    const struct rb_snapshot *snapshot = result->snapshot;
    struct rb_incident *incident = NULL;
    struct rb_incident_opening opening = {.title = cli->args->incident.title ? cli->args->incident.title : "opened by hand",
                                          .tag = cli->args->incident.tag,
                                          .source = "cli",
                                          .who = cli->args->drift.who,
                                          .severity = snapshot->safety == RB_SAFETY_VIOLATED ? RB_INCIDENT_HIGH : RB_INCIDENT_MEDIUM,
                                          .host = snapshot->host,
                                          .root = snapshot->plan->daemon.root,
                                          .branch = snapshot->repo.branch,
                                          .commit = snapshot->repo.commit,
                                          .safety = rb_safety_name(snapshot->safety),
                                          .wall_ns = rb_wall_ns(the_clock()),
                                          .seq = newest_seq(alone->journal) + 1};
    if (cli->args->incident.severity && !rb_incident_severity_parse(cli->args->incident.severity, &opening.severity))
        return rb_error_set(err, RB_EINVAL, "--severity is Low, Medium or High");
    int rc = rb_incidents_open(&alone->incidents, &opening, &incident, err);
    if (rc < 0)
        return rc;
    const char *id = rb_incident_text(incident, "id");
    if ((rc = render(cli, result, id, report, err)) < 0)
        return rc;
    const struct {
        const char *name;
        const struct rb_buf *bytes;
    } files[] = {{"status.json", &report->status}, {"triage.json", &report->json}, {"triage.txt", &report->text}};
    for (size_t i = 0; i < sizeof files / sizeof files[0] && rc == 0; i++)
        rc = rb_incident_write_file(alone->dir, id, files[i].name, rb_buf_str(files[i].bytes), files[i].bytes->len, err);
    (void)tell(alone, id, "opened", rb_incident_text(incident, "title"));
    collect(alone, incident);
    return rc < 0 ? rc : write_all(alone, incident) == RB_EXIT_OK ? 0 : rb_error_set(err, RB_ESYS, "the incident was not stored");
}

static int keep_and_print(const struct rb_cli *cli, const struct rb_app_result *result)
{
    struct rb_incident_alone alone;
    struct rb_error err = {0};
    int code = rb_incident_alone_open(cli, true, &alone);
    if (code != RB_EXIT_OK)
        return code;
    struct report report;
    rb_buf_init(&report.status, RB_RENDER_MAX);
    rb_buf_init(&report.json, RB_RENDER_MAX);
    rb_buf_init(&report.text, RB_RENDER_MAX);
    if (keep(cli, &alone, result, &report, &err) < 0) {
        rb_cli_error("%s", err.message);
        code = err.code == RB_EINVAL ? RB_EXIT_USAGE : RB_EXIT_CANNOT;
    } else {
        code = rb_cli_write(cli->args->json ? &report.json : &report.text, RB_EXIT_OK);
    }
    rb_buf_fini(&report.status);
    rb_buf_fini(&report.json);
    rb_buf_fini(&report.text);
    rb_incident_alone_close(&alone);
    return code;
}

int rb_incident_alone_triage(const struct rb_cli *cli)
{
    struct rb_cli_loaded failed = {0};
    rb_diags_init(&failed.diags, cli->arena);
    struct rb_app_check request = {.options = &cli->args->app, .phase = -1, .triage_only = true, .deadline_ms = DEADLINE_MS};
    struct rb_app_result result = {0};
    if (rb_app_check(&request, cli->arena, &failed.diags, &result, &failed.err) < 0) {
        failed.code = failed.diags.count > 0 ? RB_EXIT_CONFIG : rb_cli_code_of(&failed.err);
        return rb_cli_load_failed(&failed);
    }
    int code = keep_and_print(cli, &result);
    rb_snapshot_unref(result.snapshot);
    free(result.chosen);
    return code;
}
