/* Reads Alertmanager's webhook.
 *
 * Everything wrong with a payload is told at once, because its author sees the answer only in Alertmanager's log. Alerts about runbookd itself are left out here, so that no caller
 * can forget it: a daemon that opened incidents about itself would feed its own alerts. */
#include "runbook/incident/webhook.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ALERTS_MAX     1000u /* looked at; Alertmanager's own max_alerts is the user's */
#define LISTED_MAX     20u   /* named in the text */
#define TITLE_MAX      300u
#define NAME_MAX_SHOWN 100u

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text && text[0] ? text : NULL;
}

static void miss(struct rb_buf *missing, const char *what)
{
    rb_buf_adds(missing, missing->len ? ", " : "");
    rb_buf_adds(missing, what);
}

static bool has_status(const json_t *object)
{
    const char *status = text_of(object, "status");
    return status && (strcmp(status, "firing") == 0 || strcmp(status, "resolved") == 0);
}

static void judge_alerts(const json_t *alerts, struct rb_buf *missing)
{
    char what[80];
    for (size_t i = 0; i < json_array_size(alerts) && i < ALERTS_MAX; i++) {
        const json_t *alert = json_array_get(alerts, i);
        bool labels = json_is_object(json_object_get(alert, "labels"));
        if (labels && has_status(alert))
            continue;
        snprintf(what, sizeof what, "alerts[%zu].%s", i, labels ? "status (\"firing\" or \"resolved\")" : "labels (an object)");
        miss(missing, what);
        return; /* the others are wrong in the same way */
    }
}

static int judge(const json_t *root, struct rb_error *err)
{
    RB_BUF_AUTO missing;
    rb_buf_init(&missing, 400);
    const char *version = text_of(root, "version");
    if (!version || strcmp(version, "4") != 0)
        miss(&missing, "version (\"4\")");
    if (!text_of(root, "groupKey"))
        miss(&missing, "groupKey (text)");
    if (!has_status(root))
        miss(&missing, "status (\"firing\" or \"resolved\")");
    if (!json_is_array(json_object_get(root, "alerts")))
        miss(&missing, "alerts (a list)");
    else
        judge_alerts(json_object_get(root, "alerts"), &missing);
    if (missing.len == 0)
        return 0;
    return rb_error_set(err, RB_EINVAL,
                        "This is not Alertmanager's webhook of version 4; missing or wrong: %s. A custom payload is not read: point a "
                        "webhook_config of Alertmanager here.",
                        rb_buf_str(&missing));
}

/* ---- one alert ---- */

static const json_t *labels_of(const json_t *alert)
{
    return json_object_get(alert, "labels");
}

static bool is_self(const json_t *alert)
{
    const char *name = text_of(labels_of(alert), "alertname"), *job = text_of(labels_of(alert), "job");
    return (name && strncasecmp(name, "runbookd", sizeof "runbookd" - 1) == 0) || (job && strcmp(job, "runbookd") == 0);
}

static bool is_firing(const json_t *alert)
{
    return strcmp(text_of(alert, "status"), "firing") == 0;
}

static void add_alert(struct rb_buf *text, const json_t *alert)
{
    static const char *const where[] = {"instance", "service", "job"};
    const char *name = text_of(labels_of(alert), "alertname");
    rb_buf_addf(text, "%.120s", name ? name : "(no alertname)");
    for (size_t i = 0; i < sizeof where / sizeof where[0]; i++) {
        const char *value = text_of(labels_of(alert), where[i]);
        if (!value)
            continue;
        rb_buf_addf(text, " %.120s", value);
        return;
    }
}

/* ---- the group ---- */

struct group {
    const json_t *root;
    const json_t *alerts[ALERTS_MAX]; /* that count */
    size_t count;
    struct rb_webhook *out;
};

static void choose(struct group *group)
{
    const json_t *alerts = json_object_get(group->root, "alerts");
    size_t all = json_array_size(alerts);
    for (size_t i = 0; i < all && i < ALERTS_MAX; i++) {
        const json_t *alert = json_array_get(alerts, i);
        if (is_self(alert))
            group->out->self++;
        else
            group->alerts[group->count++] = alert;
    }
    json_int_t truncated = json_integer_value(json_object_get(group->root, "truncatedAlerts"));
    group->out->truncated = (truncated > 0 ? (uint64_t)truncated : 0) + (all > ALERTS_MAX ? all - ALERTS_MAX : 0);
    group->out->alerts = group->count;
}

static void list(const struct group *group, bool firing, const char *word, struct rb_buf *text)
{
    size_t listed = 0, left_out = 0;
    for (size_t i = 0; i < group->count; i++) {
        if (is_firing(group->alerts[i]) != firing)
            continue;
        if (listed == LISTED_MAX) {
            left_out++;
            continue;
        }
        rb_buf_adds(text, listed++ ? ", " : text->len ? "; " : "");
        if (listed == 1)
            rb_buf_addf(text, "%s: ", word);
        add_alert(text, group->alerts[i]);
    }
    if (left_out > 0)
        rb_buf_addf(text, " and %zu more", left_out);
}

/* The promise of the header: one line. White space and what a line may end with become one blank, and nothing is cut inside of a character. */
static const char *one_line(char *text, size_t max)
{
    size_t len = 0;
    bool blank = false;
    for (const char *at = text; at && *at; at++) {
        unsigned char c = (unsigned char)*at;
        if (c <= ' ' || c == 0x7f) {
            blank = len > 0;
            continue;
        }
        if (blank)
            text[len++] = ' ';
        blank = false;
        text[len++] = *at;
    }
    if (!text)
        return NULL;
    if (len > max)
        for (len = max; len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80;)
            len--;
    text[len] = '\0';
    return text;
}

static const char *describe(const struct group *group, struct rb_arena *arena)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, 16384);
    list(group, true, "firing", &text);
    list(group, false, "resolved", &text);
    if (group->out->truncated > 0)
        rb_buf_addf(&text, "; %" PRIu64 " more alerts left out by the sender", group->out->truncated);
    return one_line(rb_arena_strdup(arena, rb_buf_str(&text)), text.len);
}

static const char *name_of(const struct group *group)
{
    const char *name = text_of(json_object_get(group->root, "groupLabels"), "alertname");
    if (!name)
        name = text_of(json_object_get(group->root, "commonLabels"), "alertname");
    if (!name && group->count > 0)
        name = text_of(labels_of(group->alerts[0]), "alertname");
    return name ? name : "alert";
}

static const char *title_of(const struct group *group, struct rb_arena *arena)
{
    static const char *const said[] = {"summary", "description", "message"};
    const json_t *common = json_object_get(group->root, "commonAnnotations");
    const char *text = NULL;
    for (size_t i = 0; !text && i < sizeof said / sizeof said[0]; i++)
        text = text_of(common, said[i]);
    for (size_t i = 0; !text && group->count > 0 && i < sizeof said / sizeof said[0]; i++)
        text = text_of(json_object_get(group->alerts[0], "annotations"), said[i]);
    if (!text)
        return one_line(rb_arena_strdup(arena, name_of(group)), TITLE_MAX);
    const char *name = one_line(rb_arena_strdup(arena, name_of(group)), NAME_MAX_SHOWN);
    return name ? one_line(rb_arena_printf(arena, "%s: %s", name, text), strlen(name) + 2 + TITLE_MAX) : NULL;
}

static enum rb_incident_severity severity_of(const struct group *group)
{
    bool known = false;
    enum rb_incident_severity highest = RB_INCIDENT_LOW, one;
    for (size_t i = 0; i < group->count; i++) {
        if (!rb_incident_severity_parse(text_of(labels_of(group->alerts[i]), "severity"), &one))
            continue;
        highest = !known || one > highest ? one : highest;
        known = true;
    }
    return known ? highest : RB_INCIDENT_MEDIUM;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What distinguishes a repeated notification from a new one: which alerts, in which status, since when. Alertmanager sends them in no fixed order. */
static int sign(const struct group *group, struct rb_arena *arena, char out[RB_SHA256_HEX])
{
    struct rb_sha256 *sha = rb_sha256_new();
    char **lines = rb_arena_array(arena, group->count + 1, sizeof *lines);
    for (size_t i = 0; lines && i < group->count; i++) {
        const char *print = text_of(group->alerts[i], "fingerprint"), *starts = text_of(group->alerts[i], "startsAt");
        char *labels = print ? NULL : json_dumps(labels_of(group->alerts[i]), JSON_COMPACT | JSON_SORT_KEYS);
        lines[i] = rb_arena_printf(arena, "%s %s %s\n",
                                   print    ? print
                                   : labels ? labels
                                            : "",
                                   text_of(group->alerts[i], "status"), starts ? starts : "");
        free(labels);
    }
    bool whole = sha && lines && !rb_arena_failed(arena);
    if (whole) {
        qsort(lines, group->count, sizeof *lines, by_text);
        for (size_t i = 0; i < group->count; i++)
            rb_sha256_add(sha, lines[i], strlen(lines[i]));
        rb_sha256_hex(sha, out);
    }
    rb_sha256_free(sha);
    return whole ? 0 : RB_ENOMEM;
}

static int read_group(const json_t *root, struct rb_arena *arena, struct rb_webhook *out, struct rb_error *err)
{
    struct group *group = rb_arena_alloc(arena, sizeof *group);
    if (!group)
        return rb_error_set(err, RB_ENOMEM, "out of memory");
    *out = (struct rb_webhook){0};
    group->root = root;
    group->out = out;
    choose(group);
    out->group_key = rb_arena_strdup(arena, text_of(root, "groupKey"));
    out->firing = strcmp(text_of(root, "status"), "firing") == 0;
    out->name = rb_arena_strdup(arena, name_of(group));
    out->title = title_of(group, arena);
    out->text = describe(group, arena);
    out->severity = severity_of(group);
    if (sign(group, arena, out->signature) < 0 || rb_arena_failed(arena))
        return rb_error_set(err, RB_ENOMEM, "out of memory, or the payload is too large");
    return 0;
}

int rb_webhook_parse(const char *body, size_t len, struct rb_arena *arena, struct rb_webhook *out, struct rb_error *err)
{
    json_error_t why = {0};
    json_t *root = memchr(body, '\0', len) ? NULL : json_loadb(body, len, JSON_REJECT_DUPLICATES, &why);
    if (!root)
        return rb_error_set(err, RB_EPARSE, "The body is not JSON: line %d, column %d: %s", why.line, why.column,
                            why.text[0] ? why.text : "it holds a NUL");
    int rc = json_is_object(root) ? judge(root, err) : rb_error_set(err, RB_EINVAL, "The body is JSON, but not an object.");
    if (rc == 0)
        rc = read_group(root, arena, out, err);
    json_decref(root);
    return rc;
}
