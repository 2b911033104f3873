/* The sentences of the triage report, in both languages: one function a line, used by the text and the HTML form. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "triage.h"

#define HELD_SHOWN 3u

static const char *number(char out[24], size_t value)
{
    (void)snprintf(out, 24, "%zu", value);
    return out;
}

void rb_triage_header(const struct rb_triage *t, struct rb_buf *out)
{
    const struct rb_snapshot *snapshot = t->view->snapshot;
    char time[RB_TIME_TEXT];
    rb_buf_addf(out, "runbookd triage  %s  %s %s", rb_time_human(time, t->view->wall_ns), rb_message(t->language, RB_MSG_HEADER_HOST),
                snapshot->host ? snapshot->host : "?");
    if (!snapshot->repo.branch && !snapshot->repo.commit)
        return;
    const char *root = snapshot->plan->daemon.root;
    const char *slash = root ? strrchr(root, '/') : NULL;
    rb_buf_addf(out, "  %s %s %s@%.8s, ", rb_message(t->language, RB_MSG_HEADER_REPO), slash ? slash + 1 : "?",
                snapshot->repo.branch ? snapshot->repo.branch : "(detached)",
                snapshot->repo.commit && snapshot->repo.commit[0] ? snapshot->repo.commit : "?");
    rb_render_phrase(out, t->language, snapshot->repo.worktree ? snapshot->repo.worktree : rb_message(t->language, RB_MSG_FILES_UNKNOWN));
}

static void verdict_causes(const struct rb_triage *t, struct rb_buf *out)
{
    size_t failing = t->diagnosis->cause_count;
    for (size_t i = 0; i < t->diagnosis->cause_count; i++)
        failing += t->diagnosis->causes[i].explains_count;
    char checks[24], causes[24];
    if (t->diagnosis->cause_count != 1)
        RB_SAY(out, t->language, CAUSES_MANY, number(checks, failing), number(causes, t->diagnosis->cause_count));
    else if (failing == 1)
        RB_SAY(out, t->language, CAUSES_ONE_ONE, NULL);
    else
        RB_SAY(out, t->language, CAUSES_ONE, number(checks, failing));
}

void rb_triage_verdict(const struct rb_triage *t, struct rb_buf *out)
{
    const struct rb_diagnosis *diagnosis = t->diagnosis;
    struct rb_summary summary = rb_view_summary(t->view);
    char a[24], b[24];
    switch (diagnosis->verdict) {
    case RB_VERDICT_HEALTHY:
        RB_SAY(out, t->language, HEALTHY_DETAIL, number(a, summary.by_state[RB_STATE_OK]), number(b, t->view->snapshot->count));
        break;
    case RB_VERDICT_CAUSES:
        verdict_causes(t, out);
        break;
    case RB_VERDICT_UNDETERMINED:
        rb_buf_adds(out,
                    rb_message(t->language, diagnosis->undetermined_count ? RB_MSG_UNDETERMINED_FAILING : RB_MSG_UNDETERMINED_VERDICT));
        break;
    case RB_VERDICT_BLIND:
        RB_SAY(out, t->language, BLIND_VERDICT, NULL);
        return;
    }
    rb_buf_addc(out, ' ');
    if (diagnosis->not_linked_count == 0)
        RB_SAY(out, t->language, WARNINGS_NONE, NULL);
    else if (diagnosis->not_linked_count == 1)
        RB_SAY(out, t->language, WARNINGS_ONE, NULL);
    else
        RB_SAY(out, t->language, WARNINGS_MANY, number(a, diagnosis->not_linked_count));
    size_t open = diagnosis->undetermined_count;
    if (open || diagnosis->observer_count == 0)
        rb_buf_addc(out, ' ');
    if (open)
        RB_SAY(out, t->language, OPEN_SOME, number(a, open));
    else if (diagnosis->observer_count == 0)
        RB_SAY(out, t->language, OPEN_NONE, NULL);
}

/* The age of the oldest look of a guard; NaN when one never looked. */
static double safety_age_s(const struct rb_view *view)
{
    double oldest = 0;
    for (size_t i = 0; i < view->snapshot->count; i++) {
        double age = rb_render_age_s(view, i);
        if (view->snapshot->plan->checks[i].phase == RB_PHASE_SAFETY && !(age <= oldest))
            oldest = age;
    }
    return oldest;
}

void rb_triage_safety(const struct rb_triage *t, struct rb_buf *out)
{
    const struct rb_snapshot *snapshot = t->view->snapshot;
    enum rb_safety safety = rb_view_safety(t->view);
    rb_render_safety(out, t->view, t->language);
    if (safety == RB_SAFETY_NONE || snapshot->safety_evidence_count == 0)
        return;
    rb_buf_adds(out, " (");
    for (size_t i = 0; i < snapshot->safety_evidence_count; i++) {
        rb_buf_adds(out, !i ? "" : safety == RB_SAFETY_HELD ? ", " : "; ");
        rb_render_phrase(out, t->language, snapshot->safety_evidence[i]);
    }
    double age_s = safety_age_s(t->view);
    if (isfinite(age_s)) {
        RB_BUF_AUTO age;
        rb_buf_init(&age, 64);
        rb_render_duration_in(&age, t->language, age_s);
        rb_buf_adds(out, "; ");
        RB_SAY(out, t->language, AGO, rb_buf_str(&age));
    }
    rb_buf_addc(out, ')');
}

static void add_held(const struct rb_triage *t, struct rb_buf *out)
{
    const struct rb_diagnosis *diagnosis = t->diagnosis;
    RB_BUF_AUTO list, age;
    rb_buf_init(&list, 65536);
    rb_buf_init(&age, 64);
    for (size_t i = 0; i < diagnosis->held_count && i < HELD_SHOWN; i++) {
        rb_buf_addf(&list, "%s%s, ", i ? "; " : "", rb_render_check_name(t->view, diagnosis->held[i].check));
        rb_buf_reset(&age);
        rb_render_duration_in(&age, t->language, diagnosis->held[i].age_s);
        if (isfinite(diagnosis->held[i].age_s))
            RB_SAY(&list, t->language, OLD, rb_buf_str(&age));
        else
            rb_buf_adds(&list, rb_message(t->language, RB_MSG_NEVER_RAN));
    }
    char rest[24];
    if (diagnosis->held_count > HELD_SHOWN) {
        rb_buf_addc(&list, ' ');
        RB_SAY(&list, t->language, AND_MORE, number(rest, diagnosis->held_count - HELD_SHOWN));
    }
    RB_SAY(out, t->language, DATA_HELD, rb_buf_str(&list));
}

void rb_triage_data(const struct rb_triage *t, struct rb_buf *out)
{
    char a[24], b[24];
    RB_SAY(out, t->language, DATA_FRESH, number(a, t->diagnosis->fresh), number(b, t->diagnosis->total));
    if (isfinite(t->diagnosis->round_s)) {
        char seconds[32];
        (void)snprintf(seconds, sizeof seconds, "%.1f", t->diagnosis->round_s);
        char *point = strchr(seconds, '.');
        if (point && t->language == RB_LANGUAGE_DE)
            *point = ',';
        RB_SAY(out, t->language, DATA_IN, seconds);
    }
    if (t->diagnosis->held_count)
        add_held(t, out);
    rb_buf_addc(out, '.');
}

void rb_triage_last(const struct rb_triage *t, struct rb_buf *out)
{
    const struct rb_snapshot *snapshot = t->view->snapshot;
    if (snapshot->timeline_count == 0) {
        rb_buf_adds(out, rb_message(t->language, RB_MSG_LAST_NONE));
        return;
    }
    const struct rb_event_entry *entry = snapshot->timeline[snapshot->timeline_count - 1];
    char time[RB_TIME_TEXT];
    RB_BUF_AUTO text;
    rb_buf_init(&text, 16384);
    rb_buf_addf(&text, "%s%s", entry->check ? entry->check : "", entry->check ? ": " : "");
    rb_render_phrase(&text, t->language, entry->text ? entry->text : "");
    RB_SAY(out, t->language, LAST_EVENT, rb_time_human(time, entry->wall_ns), rb_buf_str(&text));
}

void rb_triage_cause_title(const struct rb_triage *t, size_t rank, struct rb_buf *out)
{
    static const enum rb_message names[] = {RB_MSG_CONFIDENCE_HIGH, RB_MSG_CONFIDENCE_MEDIUM, RB_MSG_CONFIDENCE_LOW};
    const struct rb_cause *cause = &t->diagnosis->causes[rank];
    rb_buf_addf(out, "%zu. %s [%s]  ", rank + 1, rb_message(t->language, RB_MSG_CAUSE), rb_message(t->language, names[cause->confidence]));
    rb_render_phrase(out, t->language, cause->title ? cause->title : rb_render_check_name(t->view, cause->check));
    if (cause->since_wall_ns == 0)
        return;
    RB_BUF_AUTO since;
    rb_buf_init(&since, 128);
    rb_render_since(&since, t->view, cause->since_wall_ns);
    rb_buf_adds(&since, " (");
    rb_render_duration_in(&since, t->language, (double)(t->view->wall_ns - cause->since_wall_ns) / 1e9);
    rb_buf_addc(&since, ')');
    rb_buf_adds(out, "; ");
    RB_SAY(out, t->language, SINCE, rb_buf_str(&since));
}

void rb_triage_cause_check(const struct rb_triage *t, const struct rb_cause *cause, struct rb_buf *out)
{
    const struct rb_snapshot *snapshot = t->view->snapshot;
    if (cause->check >= snapshot->count)
        return;
    const struct rb_record *record = snapshot->records[cause->check];
    rb_buf_addf(out, "%s (%s); ", snapshot->plan->checks[cause->check].name,
                rb_severity_name(snapshot->plan->checks[cause->check].severity));
    RB_BUF_AUTO since;
    rb_buf_init(&since, 64);
    rb_render_since(&since, t->view, cause->last_ok_wall_ns);
    if (cause->last_ok_wall_ns)
        RB_SAY(out, t->language, LAST_OK, rb_buf_str(&since));
    else
        rb_buf_adds(out, rb_message(t->language, RB_MSG_NEVER_OK));
    if (record->streak_needed && record->streak) {
        char a[24], b[24];
        rb_buf_adds(out, "; ");
        RB_SAY(out, t->language, STREAK, number(a, record->streak), number(b, record->streak_needed));
    }
}

const struct rb_runbook_text *rb_triage_section(const struct rb_view *view, size_t check)
{
    const struct rb_runbook_texts *texts = view->snapshot->runbooks;
    if (!texts || texts->plan != view->snapshot->plan || check >= view->snapshot->count || texts->items[check].state == RB_RUNBOOK_NONE)
        return NULL;
    return &texts->items[check];
}

size_t rb_triage_runbook_check(const struct rb_triage *t)
{
    const struct rb_diagnosis *d = t->diagnosis;
    for (size_t i = 0; i < d->cause_count; i++) {
        if (d->causes[i].runbook && d->causes[i].check < t->view->snapshot->count)
            return d->causes[i].check;
    }
    for (size_t i = 0; i < d->undetermined_count && d->cause_count == 0; i++) {
        size_t check = d->undetermined[i].check;
        if (check < t->view->snapshot->count && t->view->snapshot->plan->checks[check].runbook)
            return check;
    }
    return SIZE_MAX;
}

void rb_triage_runbook(const struct rb_triage *t, size_t check, struct rb_buf *out)
{
    const struct rb_snapshot *snapshot = t->view->snapshot;
    const struct rb_check_spec *spec = check < snapshot->count ? &snapshot->plan->checks[check] : NULL;
    if (!spec || !spec->runbook)
        return;
    const struct rb_runbook_text *section = rb_triage_section(t->view, check);
    const char *heading = spec->runbook_heading ? spec->runbook_heading : spec->runbook;
    if (!spec->runbook_file || !spec->runbook_line)
        rb_buf_adds(out, spec->runbook);
    else if (!section)
        rb_buf_addf(out, "%s:%u  %s", spec->runbook_file, spec->runbook_line, heading);
    else if (section->state == RB_RUNBOOK_FOUND)
        rb_buf_addf(out, "%s:%u  %s", spec->runbook_file, section->line, section->heading);
    else if (section->state == RB_RUNBOOK_GONE)
        RB_SAY(out, t->language, RUNBOOK_GONE, spec->runbook_file, heading);
    else
        RB_SAY(out, t->language, RUNBOOK_UNREADABLE, spec->runbook_file, heading);
}

void rb_triage_again(const struct rb_triage *t, struct rb_buf *out)
{
    const struct rb_strings *listen = &t->view->snapshot->plan->daemon.listen;
    const char *address = listen->count ? listen->items[0] : "127.0.0.1:9112";
    if (strncmp(address, "unix:", 5) == 0)
        rb_buf_addf(out, "curl -s --unix-socket %s http://localhost/triage", address + 5);
    else if (strncmp(address, "127.", 4) == 0 || strncmp(address, "0.0.0.0:", 8) == 0)
        rb_buf_addf(out, "curl -s localhost%s/triage", strrchr(address, ':'));
    else
        rb_buf_addf(out, "curl -s %s/triage", address);
    rb_buf_addf(out, "   # %s", rb_message(t->language, RB_MSG_DO_CHECK_AGAIN));
}

bool rb_triage_is_again(const char *command)
{
    return strncmp(command, "curl -s ", 8) == 0 && strstr(command, "/triage") != NULL;
}

/* The title without the check's name that it may begin with; never NULL. */
static const char *short_title(const struct rb_triage *t, const struct rb_not_linked *entry)
{
    const char *name = rb_render_check_name(t->view, entry->check);
    size_t len = strlen(name);
    if (!entry->title)
        return "";
    return strncmp(entry->title, name, len) == 0 && strncmp(entry->title + len, ": ", 2) == 0 ? entry->title + len + 2 : entry->title;
}

/* ---- what the diagnosis says itself ---- */

const char *rb_triage_explained_name(const struct rb_triage *t, const struct rb_explained *explained)
{
    return explained->name ? explained->name : rb_render_check_name(t->view, explained->check);
}

void rb_triage_how(const struct rb_triage *t, const struct rb_explained *explained, struct rb_buf *out)
{
    char port[24];
    if (explained->kind == RB_HOW_NOT_SCRAPED)
        RB_SAY(out, t->language, HOW_NOT_SCRAPED, number(port, explained->port));
    else if (explained->kind == RB_HOW_NOT_SCRAPED_UNWATCHED)
        rb_buf_adds(out, rb_message(t->language, RB_MSG_HOW_UNWATCHED));
    else
        rb_render_phrase(out, t->language, explained->how);
}

void rb_triage_change(const struct rb_triage *t, const struct rb_change *change, struct rb_buf *out)
{
    const struct rb_drift_item *item = change->item;
    if (!item) {
        rb_render_phrase(out, t->language, change->what ? change->what : "?");
        return;
    }
    char line[24], id[8];
    rb_buf_adds(out, item->key);
    if (item->change != RB_DRIFT_CHANGED)
        rb_buf_adds(out, rb_message(t->language, item->change == RB_DRIFT_ADDED ? RB_MSG_CHANGE_ADDED : RB_MSG_CHANGE_REMOVED));
    if (item->line)
        RB_SAY(out, t->language, CHANGE_LINE, number(line, item->line));
    rb_buf_adds(out, "; ");
    if (change->mounted_as)
        RB_SAY(out, t->language, CHANGE_MOUNTED, change->mounted_as);
    bool uncommitted = item->item_class == RB_DRIFT_CLASS_WORKTREE || item->item_class == RB_DRIFT_CLASS_UNTRACKED;
    if (item->item_class != RB_DRIFT_CLASS_NONE)
        rb_buf_adds(out, rb_message(t->language, uncommitted ? RB_MSG_CHANGE_UNCOMMITTED : RB_MSG_CHANGE_COMMITTED));
    (void)snprintf(id, sizeof id, "%.4s", item->id);
    RB_SAY(out, t->language, CHANGE_OPEN, id);
}

void rb_triage_ruled_out(const struct rb_triage *t, const struct rb_ruled_out *ruled, struct rb_buf *out)
{
    static const enum rb_message whats[RB_RULED_COUNT] = {RB_MSG_RULED_MEMORY, RB_MSG_RULED_IMAGE, RB_MSG_RULED_DISK, RB_MSG_RULED_ENGINE,
                                                          RB_MSG_RULED_STRANGER};
    static const enum rb_message whys[RB_RULED_COUNT] = {RB_MSG_RULED_MEMORY_WHY, RB_MSG_RULED_IMAGE_WHY, RB_MSG_COUNT, RB_MSG_COUNT,
                                                         RB_MSG_RULED_STRANGER_WHY};
    bool fixed = (unsigned)ruled->kind < RB_RULED_COUNT && whys[ruled->kind] != RB_MSG_COUNT;
    rb_buf_addf(out, "%s: ", (unsigned)ruled->kind < RB_RULED_COUNT ? rb_message(t->language, whats[ruled->kind]) : ruled->what);
    if (fixed)
        rb_buf_adds(out, rb_message(t->language, whys[ruled->kind]));
    else
        rb_render_phrase(out, t->language, ruled->why);
}

void rb_triage_settle(const struct rb_triage *t, const struct rb_open_question *question, struct rb_buf *out)
{
    if (question->kind == RB_SETTLE_LISTENER)
        RB_SAY(out, t->language, SETTLE_LISTENER, rb_render_check_name(t->view, question->settles));
    else if (question->kind == RB_SETTLE_NOBODY)
        rb_buf_adds(out, rb_message(t->language, RB_MSG_SETTLE_NOBODY));
    else
        rb_render_phrase(out, t->language, question->would_settle);
}

void rb_triage_not_linked(const struct rb_triage *t, const struct rb_not_linked *entry, struct rb_buf *out)
{
    RB_BUF_AUTO since;
    rb_buf_init(&since, 64);
    rb_render_since(&since, t->view, entry->since_wall_ns);
    if (entry->item && entry->since_wall_ns)
        RB_SAY(out, t->language, DRIFT_UNLINKED_SINCE, entry->item->key, rb_buf_str(&since));
    else if (entry->item)
        RB_SAY(out, t->language, DRIFT_UNLINKED, entry->item->key);
    else
        rb_render_phrase(out, t->language, short_title(t, entry));
    if (entry->item || !entry->since_wall_ns)
        return;
    rb_buf_addc(out, ' ');
    RB_SAY(out, t->language, SINCE, rb_buf_str(&since));
}

/* ---- where lines break ---- */

size_t rb_triage_fitting(const char *text, size_t columns)
{
    size_t end = 0, last_blank = 0;
    while (text[end] != '\0' && rb_text_columns(text, end + 1) <= columns) {
        end++;
        if (text[end] == ' ')
            last_blank = end;
    }
    if (text[end] == '\0' || last_blank == 0)
        return strlen(text);
    return last_blank;
}

size_t rb_triage_breakable(const char *text, size_t columns, size_t *out_comment)
{
    size_t last = 0, i = 0;
    bool quoted = false;
    for (; text[i] != '\0'; i++) {
        quoted = text[i] == '\'' ? !quoted : quoted;
        if (!quoted && text[i] == ' ' && rb_text_columns(text, i) <= columns)
            last = i;
        if (!quoted && text[i] == '#' && i > 0 && text[i - 1] == ' ')
            break;
    }
    *out_comment = i;
    return last;
}

size_t rb_triage_command_lines(const char *text, size_t len, size_t room)
{
    size_t lines = 1;
    for (; rb_text_columns(text, len) > room; lines++) {
        size_t unused, cut = rb_triage_breakable(text, room - 2, &unused);
        if (cut == 0 || cut >= len || lines == RB_TRIAGE_COMMAND_LINES)
            return 0;
        text += cut + 1;
        len -= cut + 1;
    }
    return lines;
}
