/* targets: what a Prometheus scrapes: job, address and labels of every active target. A target that lost a label is invisible to the dashboards that select by it, while
 * everything is "up". Health is no fact: it is the `prometheus` kind's business.
 *
 * An empty list is not compared: a Prometheus that has just started shows one for some seconds. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "runbook/base/glob.h"
#include "runbook/base/redact.h"
#include "runbook/check/facts.h"
#include "runbook/check/net.h"
#include "runbook/config/diag.h"
#include "runbook/drift/source.h"
#include "runbook/drift/tables.h"

enum { MAX_BODY = 16 << 20 };

struct targets_options {
    const char *url, *bearer, *user, *password;
    struct rb_pairs headers;
    struct rb_strings jobs;
};
_Static_assert(sizeof(struct targets_options) <= RB_DRIFT_SOURCE_OPTIONS, "options fit");

const struct rb_option rb_drift_targets_options[] = {
    {.name = "url",
     .type = RB_OPT_URL,
     .offset = offsetof(struct targets_options, url),
     .doc = "Where Prometheus answers, with its path prefix if it has one.",
     .example = "http://localhost:9092"},
    {.name = "jobs",
     .type = RB_OPT_GLOBS,
     .offset = offsetof(struct targets_options, jobs),
     .doc = "Only jobs with these names. Default: all.",
     .example = "[ai_live, \"shadow_*\"]"},
    {.name = "headers",
     .type = RB_OPT_PAIRS,
     .flags = RB_OPT_SECRET,
     .offset = offsetof(struct targets_options, headers),
     .doc = "Headers to send, for a proxy or tenant."},
    {.name = "bearer",
     .type = RB_OPT_STRING,
     .flags = RB_OPT_SECRET,
     .offset = offsetof(struct targets_options, bearer),
     .doc = "Token for Authorization: Bearer."},
    {.name = "user", .type = RB_OPT_STRING, .offset = offsetof(struct targets_options, user), .doc = "User name for basic authentication."},
    {.name = "password",
     .type = RB_OPT_STRING,
     .flags = RB_OPT_SECRET,
     .offset = offsetof(struct targets_options, password),
     .doc = "Password for basic authentication."},
    {NULL}};

static void validate(const void *options, const struct rb_node *node, struct rb_diags *diags)
{
    if (!((const struct targets_options *)options)->url)
        (void)rb_diag_add(diags, node->mark, "targets needs url, for example {url: \"http://localhost:9092\"}");
}

static enum rb_drift_collected start(const struct rb_drift_collect *collect, struct rb_action *next)
{
    const struct targets_options *o = collect->options;
    size_t len = strlen(o->url);
    while (len > 0 && o->url[len - 1] == '/')
        len--;
    next->type = RB_ACTION_HTTP;
    next->http = (struct rb_http_request){.method = "GET",
                                          .url = rb_arena_printf(collect->ctx->arena, "%.*s/api/v1/targets?state=active", (int)len, o->url),
                                          .max_body = MAX_BODY,
                                          .headers = o->headers,
                                          .bearer = o->bearer};
    if (o->user)
        next->http.user_password = rb_arena_printf(collect->ctx->arena, "%s:%s", o->user, o->password ? o->password : "");
    rb_outcome_fact(collect->out, RB_FACT_TARGET, "%s", rb_net_target(collect->ctx->arena, o->url));
    return RB_DRIFT_MORE;
}

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static bool wanted(const struct targets_options *o, const char *job)
{
    bool matches = o->jobs.count == 0;
    for (size_t i = 0; i < o->jobs.count; i++)
        matches |= rb_glob_match(o->jobs.items[i], job);
    return matches;
}

/* Labels as one value with sorted keys: a target is one item, whatever changed of it. `job` is in the key already. */
static void add_target(const struct rb_drift_collect *collect, const json_t *target)
{
    struct rb_arena *arena = collect->ctx->arena;
    json_t *labels = json_deep_copy(json_object_get(target, "labels"));
    const char *job = rb_net_clean(arena, text_at(labels, "job")), *url = rb_net_clean(arena, text_at(target, "scrapeUrl"));
    const char *key = rb_arena_printf(arena, "%s %s", job, url), *name;
    json_t *value;
    void *next;
    json_object_foreach_safe(labels, next, name, value)
    {
        if (rb_redact_key_is_secret(name))
            (void)json_object_set_new(labels, name, json_string(RB_REDACTED));
    }
    (void)json_object_del(labels, "job");
    char *text = json_dumps(labels, JSON_SORT_KEYS | JSON_COMPACT);
    if (key && text)
        (void)rb_drift_facts_add(collect->facts, key, text);
    else
        collect->facts->too_many = true;
    rb_outcome_fact(collect->out, RB_FACT_SCRAPES, "%s %s", job, rb_net_target(arena, url));
    free(text);
    json_decref(labels);
}

static enum rb_drift_collected fail(const struct rb_drift_collect *collect, const char *reason, const char *what)
{
    const struct targets_options *o = collect->options;
    struct rb_arena *arena = collect->ctx->arena;
    rb_outcome_set(collect->out, RB_RESULT_UNKNOWN, reason, "%s: %s", rb_net_clean(arena, o->url), rb_net_quote(arena, what));
    return RB_DRIFT_FAILED;
}

static enum rb_drift_collected read_targets(const struct rb_drift_collect *collect, const json_t *document)
{
    const struct targets_options *o = collect->options;
    const json_t *active = json_object_get(json_object_get(document, "data"), "activeTargets");
    if (strcmp(text_at(document, "status"), "success") != 0 || !json_is_array(active))
        return fail(collect, "parse", "the API's answer has no list of targets: is it a Prometheus?");
    size_t count = json_array_size(active);
    if (count == 0)
        return fail(collect, "not_found", "Prometheus has no active target: it has just started, or watches nothing");
    if (count > RB_DRIFT_MAX_FACTS)
        return fail(collect, "too_many", "more targets than a check may have: narrow it with `jobs`");
    for (size_t i = 0; i < count; i++) {
        const json_t *target = json_array_get(active, i);
        if (!json_is_object(json_object_get(target, "labels")) || !wanted(o, text_at(json_object_get(target, "labels"), "job")))
            continue;
        add_target(collect, target);
    }
    return RB_DRIFT_COLLECTED;
}

static enum rb_drift_collected step(const struct rb_drift_collect *collect, const struct rb_event *event, struct rb_action *next)
{
    if (event->type == RB_EVENT_START)
        return start(collect, next);
    const struct rb_http_response *response = event->http;
    enum rb_net_failure failure = response ? response->failure : event->failure;
    const char *detail = response ? response->detail : event->detail;
    json_error_t error;
    if (failure != RB_NET_OK || !response)
        return fail(collect, rb_net_failure_reason(failure == RB_NET_OK ? RB_NET_OTHER : failure), detail ? detail : "cannot be reached");
    if (response->status != 200)
        return fail(collect, "failed", rb_arena_printf(collect->ctx->arena, "answers with status %ld", response->status));
    json_t *document = memchr(response->body, '\0', response->body_len)
                           ? NULL
                           : json_loadb(response->body, response->body_len, JSON_ALLOW_NUL, &error);
    enum rb_drift_collected collected = document ? read_targets(collect, document) : fail(collect, "parse", "the answer is no JSON");
    json_decref(document);
    return collected;
}

const struct rb_drift_source rb_drift_source_targets = {.name = "targets", .validate = validate, .step = step};
