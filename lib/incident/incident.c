/* One incident: a bounded JSON document with a checksummed file form.
 *
 * The document is the model, so nothing can be in memory and not in the file, or the reverse. Text enters through add_text alone, which redacts and bounds it. Order is
 * the journal's `seq`; times are only shown. */
#include "runbook/incident/incident.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "runbook/base/digest.h"
#include "runbook/base/redact.h"
#include "runbook/base/text.h"
#include "runbook/base/units.h"

#define HEADER         "runbookd incident 1\n"
#define HEADER_FAMILY  "runbookd incident "
#define TRAILER        "crc32c "
#define TRAILER_LENGTH (sizeof TRAILER - 1 + 8 + 1)
#define TAG_MAX        24u
#define TEXT_MAX       2000u
#define KEEP_FIRST     300u /* of the timeline: how it began is worth more than its middle */

static const char *const severity_names[RB_INCIDENT_SEVERITY_COUNT] = {"Low", "Medium", "High"};

const char *rb_incident_severity_name(enum rb_incident_severity severity)
{
    return (unsigned)severity < RB_INCIDENT_SEVERITY_COUNT ? severity_names[severity] : "Medium";
}

bool rb_incident_severity_parse(const char *text, enum rb_incident_severity *out)
{
    static const struct {
        const char *name;
        enum rb_incident_severity severity;
    } names[] = {{"low", RB_INCIDENT_LOW},     {"info", RB_INCIDENT_LOW},     {"medium", RB_INCIDENT_MEDIUM},
                 {"warn", RB_INCIDENT_MEDIUM}, {"high", RB_INCIDENT_HIGH},    {"warning", RB_INCIDENT_MEDIUM},
                 {"page", RB_INCIDENT_HIGH},   {"critical", RB_INCIDENT_HIGH}};
    for (size_t i = 0; text && i < sizeof names / sizeof names[0]; i++) {
        if (strcasecmp(text, names[i].name) == 0) {
            *out = names[i].severity;
            return true;
        }
    }
    return false;
}

/* ---- ids ---- */

static size_t add_tag(char out[TAG_MAX + 1], const char *words)
{
    size_t len = 0;
    for (; words && *words && len < TAG_MAX; words++) {
        char c = *words;
        if (c >= 'a' && c <= 'z')
            c = (char)(c - 'a' + 'A');
        if ((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
            out[len++] = c;
        else if (len > 0 && out[len - 1] != '-')
            out[len++] = '-';
    }
    while (len > 0 && out[len - 1] == '-')
        len--;
    out[len] = '\0';
    return len;
}

void rb_incident_make_id(const struct rb_incident_opening *opening, bool (*taken)(void *ctx, const char *id), void *ctx,
                         char out[RB_INCIDENT_ID_SIZE])
{
    char tag[TAG_MAX + 1], when[RB_TIME_TEXT];
    RB_BUF_AUTO words;
    RB_BUF_AUTO title;
    rb_buf_init(&words, 1u << 16);
    rb_buf_init(&title, 1u << 16);
    rb_redact(&words, opening->tag ? opening->tag : "", opening->tag ? strnlen(opening->tag, TEXT_MAX) : 0);
    rb_redact(&title, opening->title, strnlen(opening->title, TEXT_MAX));
    if (add_tag(tag, rb_buf_str(&words)) == 0 && add_tag(tag, rb_buf_str(&title)) == 0)
        memcpy(tag, "TRIAGE", sizeof "TRIAGE");
    rb_time_rfc3339(when, opening->wall_ns);
    int len = snprintf(out, RB_INCIDENT_ID_SIZE, "INC-%.4s%.2s%.2s-%.2s%.2s-%s", when, when + 5, when + 8, when + 11, when + 14, tag);
    for (unsigned n = 2; taken(ctx, out) && n < 10000; n++)
        snprintf(out + len, RB_INCIDENT_ID_SIZE - (size_t)len, "-%u", n);
}

bool rb_incident_is_id(const char *text)
{
    size_t len = text ? strlen(text) : 0;
    return len >= sizeof "INC-20260822-0307-A" - 1 && len < RB_INCIDENT_ID_SIZE && strncmp(text, "INC-", 4) == 0 &&
           strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == len;
}

/* ---- life ---- */

/* Adds a text field: redacted, valid UTF-8, bounded. NULL adds nothing. */
static int add_text(json_t *object, const char *name, const char *text, size_t max)
{
    if (!text)
        return 0;
    RB_BUF_AUTO clean;
    RB_BUF_AUTO escaped;
    rb_buf_init(&clean, 8 * max + 4096);
    rb_buf_init(&escaped, 32 * max + 16384);
    size_t len = strnlen(text, max);
    while (len > 0 && len == max && ((unsigned char)text[len] & 0xc0) == 0x80)
        len--;
    rb_redact(&clean, text, len);
    const char *value = rb_buf_str(&clean);
    if (!rb_text_is_utf8(value, clean.len)) {
        rb_text_escape(&escaped, value, clean.len);
        value = rb_buf_str(&escaped);
    }
    return json_object_set_new(object, name, json_string(value));
}

static void add_time(json_t *object, const char *name, const char *ns_name, int64_t wall_ns)
{
    char when[RB_TIME_TEXT];
    (void)json_object_set_new(object, name, wall_ns ? json_string(rb_time_rfc3339_ms(when, wall_ns)) : json_null());
    (void)json_object_set_new(object, ns_name, json_integer(wall_ns));
}

struct rb_incident *rb_incident_new(const struct rb_incident_opening *opening, const char *id)
{
    struct rb_incident *incident = calloc(1, sizeof *incident);
    json_t *doc = json_pack("{s:s, s:s, s:s, s:I}", "id", id, "state", "open", "severity", rb_incident_severity_name(opening->severity),
                            "opened_seq", (json_int_t)opening->seq);
    if (!incident || !doc) {
        json_decref(doc);
        free(incident);
        return NULL;
    }
    incident->doc = doc;
    incident->dirty = true;
    const struct {
        const char *name, *value;
    } texts[] = {{"title", opening->title},   {"source", opening->source}, {"who", opening->who},
                 {"host", opening->host},     {"root", opening->root},     {"branch", opening->branch},
                 {"commit", opening->commit}, {"safety", opening->safety}, {"group_key", opening->group_key}};
    int failed = 0;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        failed |= add_text(doc, texts[i].name, texts[i].value, TEXT_MAX);
    if (opening->group_key) { /* redaction may change the key; its digest still finds the group */
        char digest[RB_SHA256_HEX];
        rb_sha256_of(opening->group_key, strlen(opening->group_key), digest);
        failed |= json_object_set_new(doc, "group_key_digest", json_string(digest));
    }
    add_time(doc, "opened", "opened_ns", opening->wall_ns);
    add_time(doc, "closed", "closed_ns", 0);
    failed |= json_object_set_new(doc, "events", json_array());
    failed |= json_object_set_new(doc, "timeline", json_array());
    struct rb_error ignored;
    struct rb_incident_event event = {
        .kind = "opened", .text = opening->title, .who = opening->who, .wall_ns = opening->wall_ns, .seq = opening->seq};
    if (failed || rb_incident_add(incident, &event, &ignored) < 0) {
        rb_incident_free(incident);
        return NULL;
    }
    return incident;
}

void rb_incident_free(struct rb_incident *incident)
{
    if (!incident)
        return;
    json_decref(incident->doc);
    free(incident);
}

/* ---- reading ---- */

const char *rb_incident_text(const struct rb_incident *incident, const char *field)
{
    const char *text = json_string_value(json_object_get(incident->doc, field));
    return text ? text : "";
}

bool rb_incident_is_open(const struct rb_incident *incident)
{
    return strcmp(rb_incident_text(incident, "state"), "open") == 0;
}

int64_t rb_incident_opened_ns(const struct rb_incident *incident)
{
    return json_integer_value(json_object_get(incident->doc, "opened_ns"));
}

int64_t rb_incident_closed_ns(const struct rb_incident *incident)
{
    return json_integer_value(json_object_get(incident->doc, "closed_ns"));
}

/* ---- changing ---- */

static const char *field_of(const json_t *event, const char *name)
{
    const char *text = json_string_value(json_object_get(event, name));
    return text ? text : "";
}

static void count_up(json_t *doc, const char *name)
{
    (void)json_object_set_new(doc, name, json_integer(json_integer_value(json_object_get(doc, name)) + 1));
}

/* Makes room for one more event. The first ones and every note stay. */
static bool make_room(json_t *doc, json_t *events)
{
    if (json_array_size(events) < RB_INCIDENT_EVENTS)
        return true;
    for (size_t i = 1; i < json_array_size(events); i++) {
        if (strcmp(field_of(json_array_get(events, i), "kind"), "alert") != 0)
            continue;
        (void)json_array_remove(events, i);
        count_up(doc, "events_dropped");
        return true;
    }
    return false;
}

/* An alert that repeats itself is one event that counts. */
static bool count_repeat(json_t *events, const struct rb_incident_event *event)
{
    json_t *last = json_array_get(events, json_array_size(events) - 1);
    if (!event->to || strcmp(event->to, "repeated") != 0 || strcmp(field_of(last, "to"), "repeated") != 0)
        return false;
    count_up(last, "times");
    add_time(last, "last", "last_ns", event->wall_ns);
    return true;
}

int rb_incident_add(struct rb_incident *incident, const struct rb_incident_event *event, struct rb_error *err)
{
    json_t *events = json_object_get(incident->doc, "events");
    incident->dirty = incident->urgent = true;
    if (json_array_size(events) > 0 && count_repeat(events, event))
        return 0;
    if (!make_room(incident->doc, events))
        return rb_error_set(err, RB_ELIMIT, "%s holds %u events, which is the most; open another incident",
                            rb_incident_text(incident, "id"), RB_INCIDENT_EVENTS);
    json_t *made = json_pack("{s:I, s:s, s:I}", "seq", (json_int_t)event->seq, "kind", event->kind, "times", (json_int_t)1);
    if (!made)
        return rb_error_set(err, RB_ENOMEM, "out of memory");
    add_time(made, "time", "wall_ns", event->wall_ns);
    int failed = add_text(made, "to", event->to, TEXT_MAX) | add_text(made, "text", event->text, RB_INCIDENT_NOTE_MAX) |
                 add_text(made, "who", event->who, 128);
    if (failed) {
        json_decref(made);
        return rb_error_set(err, RB_ENOMEM, "out of memory");
    }
    return json_array_append_new(events, made) == 0 ? 0 : rb_error_set(err, RB_ENOMEM, "out of memory");
}

static int change_state(struct rb_incident *incident, const struct rb_incident_event *event, bool open, struct rb_error *err)
{
    int rc = rb_incident_add(incident, event, err);
    if (rc < 0)
        return rc;
    add_time(incident->doc, "closed", "closed_ns", open ? 0 : event->wall_ns);
    (void)json_object_set_new(incident->doc, "closed_seq", json_integer(open ? 0 : (json_int_t)event->seq));
    return json_object_set_new(incident->doc, "state", json_string(open ? "open" : "closed")) == 0
               ? 0
               : rb_error_set(err, RB_ENOMEM, "out of memory");
}

int rb_incident_close(struct rb_incident *incident, const struct rb_incident_event *event, struct rb_error *err)
{
    return change_state(incident, event, false, err);
}

int rb_incident_reopen(struct rb_incident *incident, const struct rb_incident_event *event, struct rb_error *err)
{
    return change_state(incident, event, true, err);
}

bool rb_incident_same_alerts(struct rb_incident *incident, const char *signature)
{
    if (strcmp(rb_incident_text(incident, "alerts_digest"), signature) == 0)
        return true;
    (void)json_object_set_new(incident->doc, "alerts_digest", json_string(signature));
    incident->dirty = true;
    return false;
}

/* ---- the timeline ---- */

static bool is_own(const json_t *events, uint64_t seq)
{
    for (size_t i = json_array_size(events); i-- > 0;) {
        if ((uint64_t)json_integer_value(json_object_get(json_array_get(events, i), "seq")) == seq)
            return true;
    }
    return false;
}

static void add_entry(struct rb_incident *incident, json_t *timeline, const struct rb_event_entry *entry)
{
    if (json_array_size(timeline) >= RB_INCIDENT_TIMELINE) {
        (void)json_array_remove(timeline, KEEP_FIRST);
        count_up(incident->doc, "timeline_dropped");
    }
    json_t *made = json_pack("{s:I, s:s}", "seq", (json_int_t)entry->seq, "kind", rb_event_kind_name(entry->kind));
    add_time(made, "time", "wall_ns", entry->wall_ns);
    (void)(add_text(made, "check", entry->check, 128) | add_text(made, "from", entry->from, TEXT_MAX) |
           add_text(made, "to", entry->to, TEXT_MAX) | add_text(made, "text", entry->text, TEXT_MAX));
    (void)json_array_append_new(timeline, made);
}

size_t rb_incident_collect(struct rb_incident *incident, struct rb_event_entry *const *entries, size_t count)
{
    json_t *timeline = json_object_get(incident->doc, "timeline"), *events = json_object_get(incident->doc, "events");
    uint64_t done = (uint64_t)json_integer_value(json_object_get(incident->doc, "collected_seq"));
    uint64_t opened = (uint64_t)json_integer_value(json_object_get(incident->doc, "opened_seq"));
    uint64_t closed = (uint64_t)json_integer_value(json_object_get(incident->doc, "closed_seq"));
    size_t before = json_array_size(timeline), taken = 0;
    for (size_t i = 0; i < count; i++) {
        const struct rb_event_entry *entry = entries[i];
        bool long_ago = entry->seq < opened && llabs(rb_incident_opened_ns(incident) - entry->wall_ns) > RB_INCIDENT_BEFORE_NS;
        if (entry->seq <= done || long_ago || (closed > 0 && entry->seq > closed))
            continue;
        done = entry->seq;
        bool others = entry->from && rb_incident_is_id(entry->from); /* its own are among its events */
        if (others || is_own(events, entry->seq))
            continue;
        add_entry(incident, timeline, entry);
        taken++;
    }
    if (taken > 0 || before == 0)
        (void)json_object_set_new(incident->doc, "collected_seq", json_integer((json_int_t)done));
    incident->dirty |= taken > 0;
    return taken;
}

/* ---- the file ---- */

int rb_incident_save(const struct rb_incident *incident, struct rb_buf *out, struct rb_error *err)
{
    char *text = json_dumps(incident->doc, JSON_COMPACT);
    if (!text)
        return rb_error_set(err, RB_ENOMEM, "out of memory");
    size_t start = out->len;
    rb_buf_adds(out, HEADER);
    rb_buf_adds(out, text);
    rb_buf_addc(out, '\n');
    free(text);
    int rc = rb_buf_check(out, "the incident", err);
    if (rc == 0)
        rb_buf_addf(out, TRAILER "%08" PRIx32 "\n", rb_crc32c(0, out->data + start, out->len - start));
    return rc < 0 ? rc : rb_buf_check(out, "the incident", err);
}

static bool checksum_fits(const char *text, size_t len)
{
    char expected[TRAILER_LENGTH + 1];
    if (len < TRAILER_LENGTH)
        return false;
    snprintf(expected, sizeof expected, TRAILER "%08" PRIx32 "\n", rb_crc32c(0, text, len - TRAILER_LENGTH));
    return memcmp(text + len - TRAILER_LENGTH, expected, TRAILER_LENGTH) == 0;
}

static bool has_form(const json_t *doc)
{
    const char *id, *state;
    json_int_t opened, closed;
    json_t *events, *timeline;
    return json_unpack((json_t *)(uintptr_t)doc, "{s:s, s:s, s:I, s:I, s:o, s:o}", "id", &id, "state", &state, "opened_ns", &opened,
                       "closed_ns", &closed, "events", &events, "timeline", &timeline) == 0 &&
           rb_incident_is_id(id) && json_is_array(events) && json_is_array(timeline);
}

int rb_incident_load(const char *text, size_t len, struct rb_incident **out, struct rb_error *err)
{
    size_t header = sizeof HEADER - 1;
    if (len > header && strncmp(text, HEADER, header) != 0 && strncmp(text, HEADER_FAMILY, sizeof HEADER_FAMILY - 1) == 0)
        return rb_error_set(err, RB_EUNSUPPORTED, "the incident was written by another version of runbookd");
    if (len <= header || strncmp(text, HEADER, header) != 0 || !checksum_fits(text, len))
        return rb_error_set(err, RB_ECORRUPT, "the incident's file is damaged: form or checksum do not fit");
    json_t *doc = json_loadb(text + header, len - header - TRAILER_LENGTH, JSON_REJECT_DUPLICATES, NULL);
    struct rb_incident *incident = doc && has_form(doc) ? calloc(1, sizeof *incident) : NULL;
    if (!incident) {
        json_decref(doc);
        return rb_error_set(err, RB_ECORRUPT, "the incident's file does not hold an incident");
    }
    incident->doc = doc;
    *out = incident;
    return 0;
}
