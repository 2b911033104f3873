/* Writes the post-mortem of one incident.
 *
 * Each part is one function that appends its text; the built-in form is a template like a team's own, so both go the same way. Text from outside passes `say` alone: redacted,
 * escaped to one line, then every character that Markdown or HTML could act on becomes an entity. That also satisfies the first team's gates on their documents: no path-like token
 * in prose, and no assignment that would enable anything if it were pasted. */
#include "runbook/incident/postmortem.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "runbook/base/redact.h"
#include "runbook/base/text.h"
#include "runbook/base/units.h"
#include "runbook/incident/phrase.h"

#define SAY_MAX      ((size_t)64 * 1024)
#define TRIAGE_LINES 60u

struct paper {
    const struct rb_incident *incident;
    const struct rb_postmortem_options *options;
    struct rb_buf *out;
};

static const char builtin[] = "# {{title}}\n"
                              "\n"
                              "{{facts}}\n"
                              "## Summary\n\n{{summary}}\n"
                              "## Impact Scope\n\n{{impact}}\n"
                              "## Evidence Chain\n\n{{evidence}}\n"
                              "## Timeline (UTC)\n\n{{timeline}}\n"
                              "## Root Cause\n\n{{root_cause}}\n"
                              "## Remediation\n\n{{remediation}}\n"
                              "## Verification\n\n{{verification}}\n"
                              "## Resolution Status\n\n{{status}}\n"
                              "## Follow-up\n\n{{follow_up}}\n";

/* ---- text ---- */

/* One line that is nothing but text. */
static void say(struct paper *p, const char *text)
{
    RB_BUF_AUTO clean;
    RB_BUF_AUTO plain;
    rb_buf_init(&clean, SAY_MAX);
    rb_buf_init(&plain, 8 * SAY_MAX);
    rb_redact(&clean, text, strnlen(text, SAY_MAX / 8));
    rb_text_escape(&plain, rb_buf_str(&clean), clean.len);
    for (const char *c = rb_buf_str(&plain); *c; c++) {
        bool in_word = *c == '_' && c != rb_buf_str(&plain) && isalnum((unsigned char)c[-1]) && isalnum((unsigned char)c[1]);
        if (strchr("&/=<>|`*[]_#~$\\{}", *c) && !in_word)
            rb_buf_addf(p->out, "&#%d;", *c);
        else if (*c == ':' && (c[1] == ' ' || c[1] == '\0'))
            rb_buf_adds(p->out, strncasecmp(c + 1, " true", 5) == 0 ? "&#58;" : ":");
        else
            rb_buf_addc(p->out, *c);
    }
}

static const char *pick(const struct paper *p, const char *english, const char *german)
{
    return p->options->german ? german : english;
}

/* A sentence that a check or the daemon wrote, in the reader's language where it is known. */
static void say_phrase(struct paper *p, const char *text)
{
    RB_BUF_AUTO clean, german;
    rb_buf_init(&clean, SAY_MAX);
    rb_buf_init(&german, SAY_MAX);
    /* Masked before it is translated: German may part a key from its value. */
    rb_redact(&clean, text, strnlen(text, SAY_MAX / 8));
    if (p->options->german && rb_phrase_german(&german, rb_buf_str(&clean)) && !german.failed)
        say(p, rb_buf_str(&german));
    else
        say(p, text);
}

static void line(struct paper *p, const char *english, const char *german)
{
    rb_buf_adds(p->out, pick(p, english, german));
    rb_buf_addc(p->out, '\n');
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static int64_t number_of(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

/* "2026-08-22 03:07:41Z" of a field in nanoseconds. */
static void say_time(struct paper *p, int64_t wall_ns)
{
    char when[RB_TIME_TEXT];
    rb_buf_adds(p->out, wall_ns ? rb_time_human(when, wall_ns) : "");
}

/* ---- the timeline, in the journal's order ---- */

static int by_seq(const void *a, const void *b)
{
    int64_t x = number_of(*(json_t *const *)a, "seq"), y = number_of(*(json_t *const *)b, "seq");
    return (x > y) - (x < y);
}

/* Both lists as one, ordered by seq; free() it. NULL when memory is out. */
static json_t **merged(const struct paper *p, size_t *out_count)
{
    static const char *const lists[] = {"timeline", "events"};
    size_t count = 0, i;
    json_t *item;
    json_t **all = calloc((size_t)RB_INCIDENT_TIMELINE + RB_INCIDENT_EVENTS + 1, sizeof(json_t *));
    for (size_t k = 0; all && k < sizeof lists / sizeof lists[0]; k++) {
        json_array_foreach(json_object_get(p->incident->doc, lists[k]), i, item)
        {
            if (count < (size_t)RB_INCIDENT_TIMELINE + RB_INCIDENT_EVENTS)
                all[count++] = item;
        }
    }
    if (all)
        qsort(all, count, sizeof(json_t *), by_seq);
    *out_count = all ? count : 0;
    return all;
}

/* Kinds of the journal and of an incident's own events. */
static const char *kind_name(const struct paper *p, const char *kind)
{
    static const char *const german[][2] = {
        {"state", "Zustand"}, {"head", "HEAD"},           {"reload", "Neuladen"},    {"sleep", "Ruhezustand"},
        {"start", "Start"},   {"stop", "Stopp"},          {"note", "Notiz"},         {"clock_step", "Uhrsprung"},
        {"drift", "Drift"},   {"container", "Container"}, {"alert", "Alert"},        {"safety", "Sicherheit"},
        {"gap", "Lücke"},     {"opened", "eröffnet"},     {"closed", "geschlossen"}, {"reopened", "wieder offen"}};
    for (size_t i = 0; p->options->german && i < sizeof german / sizeof german[0]; i++) {
        if (strcmp(german[i][0], kind) == 0)
            return german[i][1];
    }
    return kind;
}

static void add_event(struct paper *p, const json_t *event, int64_t before_ns)
{
    int64_t wall_ns = number_of(event, "wall_ns"), times = number_of(event, "times");
    rb_buf_adds(p->out, "| ");
    say_time(p, wall_ns);
    rb_buf_adds(p->out, before_ns - wall_ns > RB_NS_PER_S ? pick(p, " (clock stepped back)", " (Uhr zurückgestellt)") : "");
    rb_buf_adds(p->out, " | ");
    say(p, kind_name(p, text_of(event, "kind")));
    rb_buf_adds(p->out, " | ");
    say(p, text_of(event, "check"));
    rb_buf_adds(p->out, " | ");
    const char *from = text_of(event, "from"), *to = text_of(event, "to");
    if (*from && *to && strcmp(text_of(event, "kind"), "state") == 0) {
        say(p, from);
        rb_buf_adds(p->out, " → ");
        say(p, to);
        rb_buf_adds(p->out, ": ");
    } else if (strcmp(to, "repeated") == 0) {
        say(p, pick(p, "repeated", "wiederholt"));
        rb_buf_adds(p->out, ": ");
    }
    if (strcmp(text_of(event, "kind"), "note") == 0) /* somebody's own words */
        say(p, text_of(event, "text"));
    else
        say_phrase(p, text_of(event, "text"));
    if (times > 1)
        rb_buf_addf(p->out, " (%lld×)", (long long)times);
    if (*text_of(event, "who")) {
        rb_buf_adds(p->out, " — ");
        say(p, text_of(event, "who"));
    }
    rb_buf_adds(p->out, " |\n");
}

static void add_timeline_of(struct paper *p, const char *only_kind)
{
    size_t count, shown = 0;
    json_t **all = merged(p, &count);
    int64_t before_ns = 0;
    for (size_t i = 0; i < count; i++) {
        if (only_kind && strcmp(text_of(all[i], "kind"), only_kind) != 0)
            continue;
        if (shown++ == 0)
            line(p, "| Time (UTC) | Kind | Check | What |\n|---|---|---|---|", "| Zeit (UTC) | Art | Prüfung | Was |\n|---|---|---|---|");
        add_event(p, all[i], before_ns);
        before_ns = number_of(all[i], "wall_ns");
    }
    free(all);
    if (shown == 0)
        line(p, "Nothing was recorded.", "Nichts aufgezeichnet.");
}

static void add_timeline(struct paper *p)
{
    int64_t dropped = number_of(p->incident->doc, "timeline_dropped");
    add_timeline_of(p, NULL);
    if (dropped > 0)
        rb_buf_addf(p->out, "\n%lld %s\n", (long long)dropped,
                    pick(p, "entries between were left out; the journal may still have them.",
                         "Einträge dazwischen sind hier weggelassen; eventuell stehen sie noch im Journal."));
}

/* ---- the parts ---- */

static void add_title(struct paper *p)
{
    rb_buf_addf(p->out, "%s: ", rb_incident_text(p->incident, "id"));
    say_phrase(p, rb_incident_text(p->incident, "title"));
}

static void add_fact(struct paper *p, const char *english, const char *german, const char *value)
{
    if (!*value)
        return;
    rb_buf_addf(p->out, "- %s: ", pick(p, english, german));
    say(p, value);
    rb_buf_addc(p->out, '\n');
}

static void add_facts(struct paper *p)
{
    const struct rb_incident *incident = p->incident;
    char opened[RB_TIME_TEXT], closed[RB_TIME_TEXT];
    add_fact(p, "Incident", "Vorfall", rb_incident_text(incident, "id"));
    add_fact(p, "Severity", "Schweregrad", rb_incident_text(incident, "severity"));
    add_fact(p, "Opened", "Eröffnet", rb_time_human(opened, rb_incident_opened_ns(incident)));
    add_fact(p, "Closed", "Geschlossen", rb_incident_is_open(incident) ? "" : rb_time_human(closed, rb_incident_closed_ns(incident)));
    if (!rb_incident_is_open(incident) && rb_incident_closed_ns(incident) < rb_incident_opened_ns(incident))
        line(p, "- The clock was set back between the two; the order of the timeline is the true one.",
             "- Dazwischen wurde die Uhr zurückgestellt; die Reihenfolge der Zeitleiste stimmt.");
    add_fact(p, "Source", "Quelle", rb_incident_text(incident, "source"));
    add_fact(p, "Opened by", "Eröffnet von", rb_incident_text(incident, "who"));
    add_fact(p, "Host", "Rechner", rb_incident_text(incident, "host"));
    add_fact(p, "Branch", "Branch", rb_incident_text(incident, "branch"));
    add_fact(p, "Commit", "Commit", rb_incident_text(incident, "commit"));
}

static void add_summary(struct paper *p)
{
    say_phrase(p, rb_incident_text(p->incident, "title"));
    rb_buf_addc(p->out, '\n');
    int64_t from = rb_incident_opened_ns(p->incident), to = rb_incident_closed_ns(p->incident);
    if (to > from) {
        rb_buf_adds(p->out, pick(p, "\nIt was open for ", "\nDauer bis zum Schließen: "));
        rb_duration_print(p->out, (to - from) / RB_NS_PER_MS);
        rb_buf_adds(p->out, ".\n");
    }
    line(p, "\nTo be filled in: what happened, in two sentences.", "\nAuszufüllen: was ist passiert, in zwei Sätzen.");
}

static bool is_state_of(const json_t *event, const char *check)
{
    return strcmp(text_of(event, "kind"), "state") == 0 && strcmp(text_of(event, "check"), check) == 0;
}

static bool is_bad(const json_t *event)
{
    return strcmp(text_of(event, "to"), "fail") == 0 || strcmp(text_of(event, "to"), "unknown") == 0;
}

/* The check became bad, and stayed so until the incident or became so in it: a trouble that was over before the opening is another story. */
static bool is_impact(json_t *const *all, size_t count, size_t at)
{
    const char *check = text_of(all[at], "check");
    if (!is_state_of(all[at], check) || !is_bad(all[at]))
        return false;
    size_t opened = 0;
    while (opened < count && strcmp(text_of(all[opened], "kind"), "opened") != 0)
        opened++;
    for (size_t i = at + 1; i < opened && i < count; i++) {
        if (is_state_of(all[i], check) && !is_bad(all[i]))
            return false;
    }
    return true;
}

/* Every check whose state became bad while the incident was open or just before, once, in that order. */
static void add_impact(struct paper *p)
{
    size_t count, shown = 0;
    json_t **all = merged(p, &count);
    bool *told = calloc(count + 1, sizeof *told);
    for (size_t i = 0; told && i < count; i++) {
        told[i] = is_impact(all, count, i);
        for (size_t k = 0; told[i] && k < i; k++)
            told[i] = !(told[k] && strcmp(text_of(all[k], "check"), text_of(all[i], "check")) == 0);
        if (!told[i])
            continue;
        shown++;
        rb_buf_adds(p->out, "- ");
        say(p, text_of(all[i], "check"));
        rb_buf_adds(p->out, ": ");
        say(p, text_of(all[i], "to"));
        rb_buf_adds(p->out, pick(p, " since ", " seit "));
        say_time(p, number_of(all[i], "wall_ns"));
        rb_buf_addc(p->out, '\n');
    }
    free(told);
    free(all);
    if (shown == 0)
        line(p, "No check changed to fail or unknown while it was watched.",
             "Keine Prüfung wechselte in dieser Zeit nach fail oder unknown.");
    line(p, "\nSafety:\n", "\nSicherheit:\n");
    rb_buf_adds(p->out, pick(p, "At the opening: ", "Bei der Eröffnung: "));
    say_phrase(p, *rb_incident_text(p->incident, "safety") ? rb_incident_text(p->incident, "safety") : "unknown");
    rb_buf_adds(p->out, "\n\n");
    add_timeline_of(p, "safety");
}

/* The report as it was, indented: a block of code that no gate reads as commands. */
static void add_triage(struct paper *p)
{
    const char *rest = p->options->triage;
    for (unsigned i = 0; rest && *rest && i < TRIAGE_LINES; i++) {
        size_t len = strcspn(rest, "\n");
        char *copy = strndup(rest, len);
        rb_buf_adds(p->out, "> ");
        if (copy && len > 0)
            say(p, copy);
        rb_buf_adds(p->out, copy && len > 0 ? "  \n" : "\n");
        free(copy);
        rest += len + (rest[len] == '\n');
    }
}

static void add_evidence(struct paper *p)
{
    if (p->options->file_count > 0)
        line(p, "| File | Bytes | SHA-256 |\n|---|---|---|", "| Datei | Bytes | SHA-256 |\n|---|---|---|");
    for (size_t i = 0; i < p->options->file_count; i++) {
        const struct rb_postmortem_file *file = &p->options->files[i];
        bool missing = file->digest[0] == '\0';
        rb_buf_addf(p->out, "| %s | %zu | %s |\n", file->name, file->size, missing ? "&#95;&#95;MISSING&#95;&#95;" : file->digest);
    }
    if (p->options->triage) {
        line(p, "\nThe report at the opening:\n", "\nDer Bericht bei der Eröffnung, wie er gespeichert ist:\n");
        add_triage(p);
    }
}

static void add_blank_part(struct paper *p)
{
    line(p, "To be filled in.", "Auszufüllen.");
}

static void add_status(struct paper *p)
{
    rb_buf_adds(p->out, rb_incident_is_open(p->incident) ? pick(p, "Open.", "Offen.") : pick(p, "Closed at ", "Geschlossen um "));
    if (!rb_incident_is_open(p->incident)) {
        say_time(p, rb_incident_closed_ns(p->incident));
        rb_buf_addc(p->out, '.');
    }
    rb_buf_addc(p->out, '\n');
}

static void add_follow_up(struct paper *p)
{
    line(p, "- [ ] To be filled in: what keeps this from happening again, who, until when.",
         "- [ ] Auszufüllen: was verhindert, dass das wieder passiert; wer, bis wann.");
}

static void add_id(struct paper *p)
{
    rb_buf_adds(p->out, rb_incident_text(p->incident, "id"));
}

static void add_severity(struct paper *p)
{
    say(p, rb_incident_text(p->incident, "severity"));
}

static void add_safety(struct paper *p)
{
    add_timeline_of(p, "safety");
}

/* ---- the template ---- */

const char *const rb_postmortem_fields[] = {"id",           "title",    "severity",  "facts",      "summary",
                                            "impact",       "evidence", "timeline",  "root_cause", "remediation",
                                            "verification", "status",   "follow_up", "safety",     NULL};
static void (*const parts[])(struct paper *p) = {add_id,         add_title,    add_severity,  add_facts,      add_summary,
                                                 add_impact,     add_evidence, add_timeline,  add_blank_part, add_blank_part,
                                                 add_blank_part, add_status,   add_follow_up, add_safety};
_Static_assert(sizeof parts / sizeof parts[0] + 1 == sizeof rb_postmortem_fields / sizeof rb_postmortem_fields[0], "one part a field");

/* Takes "{{name}}" at `at`; what no part has that name stays as it is. Returns the bytes taken. */
static size_t fill(struct paper *p, const char *at)
{
    const char *end = strstr(at, "}}");
    for (size_t i = 0; end && rb_postmortem_fields[i]; i++) {
        size_t len = strlen(rb_postmortem_fields[i]);
        if ((size_t)(end - at) != len + 2 || strncmp(at + 2, rb_postmortem_fields[i], len) != 0)
            continue;
        parts[i](p);
        return len + 4;
    }
    rb_buf_adds(p->out, "{{");
    return 2;
}

int rb_postmortem_render(const struct rb_incident *incident, const struct rb_postmortem_options *options, struct rb_buf *out,
                         struct rb_error *err)
{
    struct paper paper = {.incident = incident, .options = options, .out = out};
    const char *rest = options->template_text ? options->template_text : builtin;
    while (*rest) {
        const char *mark = strstr(rest, "{{");
        size_t len = mark ? (size_t)(mark - rest) : strlen(rest);
        rb_buf_add(out, rest, len);
        rest += len;
        if (mark)
            rest += fill(&paper, rest);
    }
    return rb_buf_check(out, "the post-mortem", err);
}

void rb_postmortem_name(const struct rb_incident *incident, char out[128])
{
    char when[RB_TIME_TEXT];
    rb_time_rfc3339(when, rb_incident_opened_ns(incident));
    int start = snprintf(out, 128, "%.10s_", when);
    size_t len = (size_t)start;
    for (const char *c = rb_incident_text(incident, "title"); *c && len < 80; c++) {
        char lower = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
        if ((lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9'))
            out[len++] = lower;
        else if (out[len - 1] != '-' && out[len - 1] != '_')
            out[len++] = '-';
    }
    while (out[len - 1] == '-')
        len--;
    if (len == (size_t)start)
        len += (size_t)snprintf(out + len, 128 - len, "incident");
    memcpy(out + len, ".md", sizeof ".md");
}
