/* What may be asked of incidents: opening (POST /triage, alerts), notes, closing, reading. Each change enters the timeline too, and takes its place in it from there.
 *
 * Loop thread. Nothing here touches a file: incident_write.c does. */
#include "incidents.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runbook/base/log.h"
#include "runbook/incident/webhook.h"

#define LOOK_BACK  200u /* entries of the timeline that an opening looks at */
#define RETRY_NS   (5 * RB_NS_PER_S)
#define ANSWER_MAX ((size_t)8 << 20)
#define COLLECT_NS (5 * RB_NS_PER_S)

/* ---- the timeline ---- */

static uint64_t newest_seq(struct rb_app *app)
{
    struct rb_event_entry *entry = NULL;
    if (rb_journal_recent(app->journal, &entry, 1) == 0)
        return 0;
    uint64_t seq = entry->seq;
    rb_event_entry_unref(entry);
    return seq;
}

/* Enters the timeline; returns the entry's place in it. */
static uint64_t tell(struct rb_app *app, enum rb_event_kind kind, const char *id, const char *to, const char *text)
{
    RB_BUF_AUTO line;
    rb_buf_init(&line, RB_INCIDENT_NOTE_MAX + 256);
    bool said = kind == RB_EVENT_KIND_ALERT && strcmp(to, "repeated") != 0; /* the text itself says firing, resolved */
    rb_buf_addf(&line, "%s%s%s: ", id, said ? "" : " ", said ? "" : to);
    (void)rb_buf_add_some(&line, text, strlen(text));
    rb_journal_append(app->journal, &(struct rb_journal_event){.kind = kind, .from = id, .to = to, .text = rb_buf_str(&line)});
    rb_app_persist_soon(app);
    app->incidents.version++;
    return newest_seq(app);
}

static void collect(struct rb_app *app, struct rb_incident *incident, size_t max)
{
    struct rb_event_entry **entries = calloc(RB_TIMELINE_MAX, sizeof *entries);
    if (entries == NULL)
        return;
    size_t count = rb_journal_recent(app->journal, entries, max < RB_TIMELINE_MAX ? max : RB_TIMELINE_MAX);
    (void)rb_incident_collect(incident, entries, count);
    for (size_t i = 0; i < count; i++)
        rb_event_entry_unref(entries[i]);
    free(entries);
}

void rb_app_incidents_tick(struct rb_app *app)
{
    int64_t now_ns = rb_elapsed_ns(app->clock);
    uint64_t seen = rb_journal_count(app->journal);
    int64_t wait_ns = app->incidents.failing ? RETRY_NS : COLLECT_NS;
    if (app->incidents.busy || now_ns - app->incidents.written_ns < wait_ns)
        return;
    if (seen != app->incidents.journal_seen) {
        app->incidents.journal_seen = seen;
        for (size_t i = 0; i < app->incidents.all.count; i++)
            if (rb_incident_is_open(app->incidents.all.items[i]))
                collect(app, app->incidents.all.items[i], RB_TIMELINE_MAX);
    }
    if (app->state.dir[0] != '\0')
        rb_app_incidents_write(app);
}

/* ---- life ---- */

void rb_app_incidents_load(struct rb_app *app, bool writable)
{
    struct rb_incidents_report report = {0};
    struct rb_error err = {0};
    if (app->state.dir[0] == '\0')
        return;
    if (rb_incidents_load(&app->incidents.all, app->state.dir, rb_wall_ns(app->clock), writable && app->state.lock_fd >= 0, &report, &err) <
        0)
        rb_log(RB_LOG_ERROR, "incident", "%s; earlier incidents are not shown", err.message);
    if (report.damaged > 0)
        rb_log(RB_LOG_ERROR, "incident", "%zu damaged incident%s set aside, the first is %s", report.damaged,
               report.damaged == 1 ? "" : "s", report.first_damaged);
    if (report.left_out > 0)
        rb_log(RB_LOG_WARNING, "incident", "%zu incidents beyond the %u that are kept are left out", report.left_out, RB_INCIDENTS_MAX);
    rb_journal_number_after(app->journal, rb_incidents_last_seq(&app->incidents.all));
    app->incidents.version = 1;
}

static void add_brief(const struct rb_incident *incident, struct rb_incident_brief *out)
{
    *out = (struct rb_incident_brief){.id = rb_incident_text(incident, "id"),
                                      .title = rb_incident_text(incident, "title"),
                                      .severity = rb_incident_text(incident, "severity"),
                                      .open = rb_incident_is_open(incident),
                                      .opened_wall_ns = rb_incident_opened_ns(incident),
                                      .closed_wall_ns = rb_incident_closed_ns(incident)};
}

size_t rb_app_incidents_brief(const struct rb_app *app, struct rb_incident_brief out[RB_SNAPSHOT_INCIDENTS])
{
    const struct rb_incidents *all = &app->incidents.all;
    size_t count = 0;
    for (int open = 1; open >= 0; open--)
        for (size_t i = all->count; i-- > 0 && count < RB_SNAPSHOT_INCIDENTS;)
            if (rb_incident_is_open(all->items[i]) == (open == 1))
                add_brief(all->items[i], &out[count++]);
    return count;
}

/* ---- opening ---- */

static void retire(struct rb_app *app)
{
    while (app->incidents.retired_count < RB_INCIDENTS_RETIRED) {
        struct rb_incident *old = rb_incidents_retire(&app->incidents.all, rb_wall_ns(app->clock), 1);
        if (old == NULL)
            return;
        snprintf(app->incidents.retired[app->incidents.retired_count++], RB_INCIDENT_ID_SIZE, "%s", rb_incident_text(old, "id"));
        rb_log(RB_LOG_NOTICE, "incident", "%s is gone: closed, and too old or one too many", rb_incident_text(old, "id"));
        rb_incident_free(old);
    }
}

/* Opens, with the state as it is now. NULL with `err`. */
static struct rb_incident *open_incident(struct rb_app *app, struct rb_incident_opening *opening, double round_s,
                                         struct rb_incident_keep **out_keep, struct rb_error *err)
{
    retire(app);
    opening->wall_ns = rb_wall_ns(app->clock);
    opening->host = app->publish.host;
    opening->root = app->plan->daemon.root;
    opening->branch = app->repo.branch[0] != '\0' ? app->repo.branch : NULL;
    opening->commit = app->repo.known && app->repo.commit[0] != '\0' ? app->repo.commit : NULL;
    opening->safety = app->publish.newest != NULL ? rb_safety_name(app->publish.newest->safety) : NULL;
    if (rb_incidents_open_count(&app->incidents.all) >= RB_INCIDENTS_OPEN_MAX) {
        rb_error_set(err, RB_ELIMIT, "%u incidents are open, which is the most; close some: runbookd incident close ID",
                     RB_INCIDENTS_OPEN_MAX);
        return NULL;
    }
    opening->seq = newest_seq(app) + 1; /* of the entry that tell() makes below, once the id is known */
    struct rb_incident *incident = NULL;
    if (rb_incidents_open(&app->incidents.all, opening, &incident, err) < 0)
        return NULL;
    const char *id = rb_incident_text(incident, "id");
    (void)tell(app, RB_EVENT_KIND_NOTE, id, "opened", rb_incident_text(incident, "title"));
    collect(app, incident, LOOK_BACK);
    rb_log(RB_LOG_NOTICE, "incident", "%s opened: %s", id, rb_incident_text(incident, "title"));
    struct rb_incident_keep *keep = rb_incident_keep(app, id, round_s);
    if (out_keep != NULL)
        *out_keep = keep;
    return incident;
}

/* What is worst right now, for a title that nobody gave; NULL: nothing is bad. */
static const struct rb_record *worst(const struct rb_app *app)
{
    const struct rb_record *found = NULL;
    for (size_t i = 0; i < app->plan->count; i++) {
        const struct rb_record *record = rb_store_record(app->store, i);
        if (record->state != RB_STATE_FAIL || record->suppressed)
            continue;
        bool worse = found == NULL || (record->spec->phase == RB_PHASE_SAFETY) > (found->spec->phase == RB_PHASE_SAFETY) ||
                     record->spec->severity < found->spec->severity;
        if (worse)
            found = record;
    }
    return found;
}

static enum rb_incident_severity severity_of(const struct rb_record *bad)
{
    if (bad == NULL)
        return RB_INCIDENT_LOW;
    return bad->spec->phase == RB_PHASE_SAFETY || bad->spec->severity == RB_SEVERITY_PAGE ? RB_INCIDENT_HIGH : RB_INCIDENT_MEDIUM;
}

static void free_report(void *report)
{
    rb_incident_report_unref(report);
}

/* The request's body: {"title", "severity", "tag", "note", "who"}, all optional. False: it is not that. */
static bool read_body(const struct rb_command *command, json_t **out)
{
    *out = command->body.len > 0 ? json_loadb(rb_buf_str(&command->body), command->body.len, JSON_REJECT_DUPLICATES, NULL) : json_object();
    return json_is_object(*out);
}

static const char *text_of(const json_t *body, const char *name)
{
    const char *text = json_string_value(json_object_get(body, name));
    return text != NULL && text[0] != '\0' ? text : NULL;
}

static void add_first_note(struct rb_app *app, struct rb_incident *incident, const json_t *body)
{
    const char *note = text_of(body, "note");
    struct rb_error ignored;
    if (note == NULL)
        return;
    uint64_t seq = tell(app, RB_EVENT_KIND_NOTE, rb_incident_text(incident, "id"), "note", note);
    struct rb_incident_event event = {
        .kind = "note", .text = note, .who = text_of(body, "who"), .wall_ns = rb_wall_ns(app->clock), .seq = seq};
    (void)!rb_incident_add(incident, &event, &ignored);
}

void rb_app_incident_open(struct rb_app *app, struct rb_command *command)
{
    json_t *body = NULL;
    if (!read_body(command, &body)) {
        json_decref(body);
        rb_app_finish_command(app, command, 400, "bad-body",
                              "The body must be a JSON object; all of title, severity, tag, note and who are optional.");
        return;
    }
    const struct rb_record *bad = worst(app);
    char title[400];
    snprintf(title, sizeof title, "%s%s%.300s", bad != NULL ? bad->spec->name : "opened by hand", bad != NULL ? ": " : "",
             bad != NULL ? bad->message : "");
    struct rb_incident_opening opening = {.title = text_of(body, "title") != NULL ? text_of(body, "title") : title,
                                          .tag = text_of(body, "tag"),
                                          .who = text_of(body, "who"),
                                          .source = text_of(body, "source") != NULL ? text_of(body, "source") : "http",
                                          .severity = severity_of(bad)};
    if (opening.tag == NULL && text_of(body, "title") == NULL && bad != NULL)
        opening.tag = bad->spec->name;
    struct rb_error err = {0};
    struct rb_incident_keep *keep = NULL;
    const char *severity = text_of(body, "severity");
    if (severity != NULL && !rb_incident_severity_parse(severity, &opening.severity)) {
        rb_app_finish_command(app, command, 400, "bad-body", "severity is Low, Medium or High.");
        json_decref(body);
        return;
    }
    struct rb_incident *incident = open_incident(app, &opening, command->duration_s, &keep, &err);
    if (incident != NULL)
        add_first_note(app, incident, body);
    json_decref(body);
    if (incident == NULL) {
        rb_app_finish_command(app, command, 503, err.code == RB_ELIMIT ? "full" : "no-memory", err.message);
        return;
    }
    snprintf(command->name, sizeof command->name, "%s", rb_incident_text(incident, "id"));
    if (keep != NULL) {
        keep->max_age_ns = command->max_age_ns;
        keep->language = command->language;
        keep->form = command->form;
        __atomic_add_fetch(&keep->report->refs, 1, __ATOMIC_RELAXED);
        command->payload = keep->report;
        command->payload_free = free_report;
    }
    command->status = 200;
    rb_app_incidents_answer_later(app, command);
}

/* ---- alerts ---- */

static void answer_alert(struct rb_app *app, struct rb_command *command, const struct rb_webhook *hook, const char *id, const char *action)
{
    rb_buf_reset(&command->detail);
    if (id != NULL)
        rb_buf_addf(&command->detail, "{\"incident\":\"%s\",\"action\":\"%s\",\"alerts\":%zu,\"ignored\":%zu}\n", id, action, hook->alerts,
                    hook->self);
    else
        rb_buf_addf(&command->detail, "{\"incident\":null,\"action\":\"%s\",\"alerts\":%zu,\"ignored\":%zu}\n", action, hook->alerts,
                    hook->self);
    command->status = 200;
    rb_app_incidents_answer_later(app, command);
}

static struct rb_incident_event alert_event(struct rb_app *app, const struct rb_incident *incident, const char *to,
                                            const struct rb_webhook *hook)
{
    return (struct rb_incident_event){.kind = "alert",
                                      .to = to,
                                      .text = hook->text,
                                      .wall_ns = rb_wall_ns(app->clock),
                                      .seq = tell(app, RB_EVENT_KIND_ALERT, rb_incident_text(incident, "id"), to, hook->text)};
}

/* The alert's own event, and what it does to the state. */
static int apply(struct rb_app *app, struct rb_incident *incident, const struct rb_webhook *hook, bool opened, const char **out_action,
                 struct rb_error *err)
{
    const char *id = rb_incident_text(incident, "id");
    bool same = rb_incident_same_alerts(incident, hook->signature), was_open = rb_incident_is_open(incident);
    if (!was_open && !hook->firing) {
        *out_action = "none"; /* the end was told already */
        return 0;
    }
    *out_action = opened ? "opened" : !was_open ? "reopened" : !hook->firing ? "resolved" : same ? "repeated" : "updated";
    int rc = 0;
    if (!was_open) {
        struct rb_incident_event event = {.kind = "reopened", .text = "its alerts fire again", .wall_ns = rb_wall_ns(app->clock)};
        event.seq = tell(app, RB_EVENT_KIND_NOTE, id, "reopened", event.text);
        rc = rb_incident_reopen(incident, &event, err);
    }
    struct rb_incident_event event = alert_event(app, incident,
                                                 !hook->firing                 ? "resolved"
                                                 : same && was_open && !opened ? "repeated"
                                                                               : "firing",
                                                 hook);
    if (rc == 0)
        rc = rb_incident_add(incident, &event, err);
    if (rc == 0 && !hook->firing) {
        struct rb_incident_event end = {.kind = "closed", .text = "all its alerts are resolved", .wall_ns = rb_wall_ns(app->clock)};
        end.seq = tell(app, RB_EVENT_KIND_NOTE, id, "closed", end.text);
        rc = rb_incident_close(incident, &end, err);
    }
    collect(app, incident, RB_TIMELINE_MAX);
    return rc;
}

static void take_alert(struct rb_app *app, struct rb_command *command)
{
    const struct rb_webhook *hook = command->payload;
    struct rb_error err = {0};
    if (hook->alerts == 0) { /* about runbookd itself, or none */
        answer_alert(app, command, hook, NULL, "ignored");
        return;
    }
    struct rb_incident *incident = rb_incidents_of_group(&app->incidents.all, hook->group_key, rb_wall_ns(app->clock));
    bool opens = incident == NULL;
    if (opens && !hook->firing) {
        answer_alert(app, command, hook, NULL, "none");
        return;
    }
    if (opens) {
        struct rb_incident_opening opening = {
            .title = hook->title, .tag = hook->name, .source = "alertmanager", .group_key = hook->group_key, .severity = hook->severity};
        incident = open_incident(app, &opening, app->rounds.last_duration_s, NULL, &err);
    }
    const char *action = "none";
    if (incident == NULL || apply(app, incident, hook, opens, &action, &err) < 0) {
        rb_app_finish_command(app, command, 503, err.code == RB_ELIMIT ? "full" : "no-memory", err.message);
        return;
    }
    answer_alert(app, command, hook, rb_incident_text(incident, "id"), action);
}

/* ---- notes, closing, reading ---- */

static void answer_changed(struct rb_app *app, struct rb_command *command, const struct rb_incident *incident)
{
    rb_buf_addf(&command->detail, "{\"id\":\"%s\",\"state\":\"%s\"}\n", rb_incident_text(incident, "id"),
                rb_incident_is_open(incident) ? "open" : "closed");
    rb_app_incidents_answer_later(app, command);
}

static void add_note(struct rb_app *app, struct rb_command *command, struct rb_incident *incident)
{
    json_t *body = NULL;
    const char *text = read_body(command, &body) ? text_of(body, "text") : NULL;
    struct rb_error err = {0};
    if (text == NULL || strlen(text) > RB_INCIDENT_NOTE_MAX) {
        json_decref(body);
        rb_app_finish_command(app, command, 400, "bad-body", "A note is {\"text\": \"…\"} of at most 8192 bytes; \"who\" is optional.");
        return;
    }
    struct rb_incident_event event = {.kind = "note", .text = text, .who = text_of(body, "who"), .wall_ns = rb_wall_ns(app->clock)};
    event.seq = tell(app, RB_EVENT_KIND_NOTE, rb_incident_text(incident, "id"), "note", text);
    int rc = rb_incident_add(incident, &event, &err);
    collect(app, incident, RB_TIMELINE_MAX); /* what led to the note is on disk with it, whatever becomes of the journal */
    json_decref(body);
    if (rc < 0)
        rb_app_finish_command(app, command, 409, "full", err.message);
    else
        answer_changed(app, command, incident);
}

static void close_incident(struct rb_app *app, struct rb_command *command, struct rb_incident *incident)
{
    json_t *body = NULL;
    struct rb_error err = {0};
    if (!read_body(command, &body) || !rb_incident_is_open(incident)) {
        bool object = json_is_object(body);
        json_decref(body);
        rb_app_finish_command(app, command, object ? 409 : 400, object ? "closed-already" : "bad-body",
                              object ? "The incident is closed already."
                                     : "The body must be a JSON object: {\"text\": \"…\", \"who\": \"…\"}, both optional.");
        return;
    }
    const char *text = text_of(body, "text") != NULL ? text_of(body, "text") : "closed by hand";
    struct rb_incident_event event = {.kind = "closed", .text = text, .who = text_of(body, "who"), .wall_ns = rb_wall_ns(app->clock)};
    event.seq = tell(app, RB_EVENT_KIND_NOTE, rb_incident_text(incident, "id"), "closed", text);
    int rc = rb_incident_close(incident, &event, &err);
    collect(app, incident, RB_TIMELINE_MAX);
    json_decref(body);
    if (rc < 0)
        rb_app_finish_command(app, command, 409, "full", err.message);
    else
        answer_changed(app, command, incident);
}

static void answer_document(struct rb_app *app, struct rb_command *command, const struct rb_incident *incident)
{
    struct rb_error err = {0};
    int rc = incident != NULL ? rb_incident_json(incident, &command->detail, &err)
                              : rb_incidents_list_json(&app->incidents.all, &command->detail, &err);
    if (rc == 0) {
        rb_app_finish_command(app, command, 200, "", "");
        return;
    }
    rb_buf_reset(&command->detail);
    rb_app_finish_command(app, command, 500, "render", err.message);
}

static void about_one(struct rb_app *app, struct rb_command *command, struct rb_incident *incident)
{
    command->status = 200;
    switch (command->verb) {
    case RB_VERB_NOTE:
        add_note(app, command, incident);
        break;
    case RB_VERB_CLOSE:
        close_incident(app, command, incident);
        break;
    case RB_VERB_POSTMORTEM:
        rb_app_postmortem(app, command, incident);
        break;
    case RB_VERB_GET:
    case RB_VERB_LIST:
    case RB_VERB_ALERT:
        answer_document(app, command, incident);
        break;
    }
}

void rb_app_incident(struct rb_app *app, struct rb_command *command)
{
    command->detail.max = ANSWER_MAX;
    if (command->verb == RB_VERB_ALERT) {
        take_alert(app, command);
        return;
    }
    if (command->verb == RB_VERB_LIST) {
        answer_document(app, command, NULL);
        return;
    }
    struct rb_incident *incident = rb_incidents_find(&app->incidents.all, command->name);
    if (incident == NULL)
        rb_app_finish_command(app, command, 404, "no-such-incident", "No incident has this id; /api/v1/incidents lists them.");
    else
        about_one(app, command, incident);
}
