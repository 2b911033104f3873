/* prometheus: is Prometheus ready, does it really scrape what it should, can it evaluate its rules, and what do they say?
 *
 * Each question is a row of `stages`, asked in order while the answers allow it: /-/ready, the targets, and only when something is missing the time of its start (to
 * tell a Prometheus that has just started from one that lost a job) and its scrape pools (to tell a job that is not configured from one whose
 * discovery finds nothing), then rules and alerts. All findings are told; the first and worst gives the reason. Empty is never ok: a Prometheus without
 * targets watches nothing, however healthy it looks.
 *
 * Alerts about runbookd itself never count: a check that fails because of an alert about that check would hold itself up for ever.
 *
 * `grace` excuses two things only: jobs that are missing within that time after Prometheus' own start (warn: settling), and targets not scraped yet since they
 * were first seen so (ok). A target that was scraped and failed is down at once. */
#include <jansson.h>
#include <string.h>

#include "runbook/base/glob.h"
#include "runbook/base/units.h"
#include "runbook/check/facts.h"
#include "runbook/check/kind.h"
#include "runbook/check/net.h"

#define MAX_JOBS    64
#define MAX_BODY    (4u << 20) /* parsed on the loop thread, where a megabyte takes some 20 ms */
#define MAX_TARGETS 20000
#define MAX_LABELS  16

enum job_wish { JOB_REQUIRED, JOB_OPTIONAL, JOB_ABSENT };

struct prom_options {
    const char *url, *bearer, *user, *password;
    struct rb_pairs jobs;
    int64_t grace_ms;
    struct rb_pairs headers;
    struct rb_strings target_labels;
    int rules, alerts; /* enum rb_result; RB_RESULT_OK: not asked */
    struct rb_strings alert_names, alert_except, alert_severities;
};

static const struct rb_choice result_choices[] = {{"ignore", RB_RESULT_OK, "not asked"},
                                                  {"warn", RB_RESULT_WARN, "the check warns"},
                                                  {"fail", RB_RESULT_FAIL, "the check fails"},
                                                  {NULL}};

#define OPTION(option_name, option_type, field, ...)                                                                 \
    {                                                                                                                \
        .name = option_name, .type = option_type, .offset = offsetof(struct prom_options, field), .doc = __VA_ARGS__ \
    }
static const struct rb_option options[] = {
    OPTION("url", RB_OPT_URL, url, "Where Prometheus answers, with its path prefix if it has one.", .flags = RB_OPT_REQUIRED,
           .example = "http://localhost:9092"),
    OPTION("jobs", RB_OPT_PAIRS, jobs, "Scrape jobs: required, optional or absent. Without it every job that is there must be up.",
           .example = "{ai_live: required, shadow_mvs: optional}"),
    OPTION("grace", RB_OPT_DURATION, grace_ms,
           "How long after its start Prometheus may lack a job, and a new target may wait for its first scrape.", .fallback = "90s"),
    OPTION("target_labels", RB_OPT_STRINGS, target_labels,
           "Labels that every target must have, for example those that dashboards select by; a target without one warns.",
           .max = MAX_LABELS, .example = "[service, env, stack]"),
    OPTION("rules", RB_OPT_CHOICE, rules, "What a rule means that Prometheus cannot evaluate.", .fallback = "fail",
           .choices = result_choices),
    OPTION("alerts", RB_OPT_CHOICE, alerts, "What a firing alert means. Alerts about runbookd itself never count.", .fallback = "warn",
           .choices = result_choices),
    OPTION("alert_names", RB_OPT_GLOBS, alert_names, "Only alerts with these names count. Default: all.", .example = "[\"Peak*\"]"),
    OPTION("alert_except", RB_OPT_GLOBS, alert_except, "Alerts that do not count, such as those that fire always by design.",
           .fallback = "[Watchdog, DeadMansSwitch]"),
    OPTION("alert_severities", RB_OPT_STRINGS, alert_severities, "Only alerts whose label severity is one of these count. Default: all.",
           .max = MAX_LABELS, .example = "[page]"),
    OPTION("bearer", RB_OPT_STRING, bearer, "Token for Authorization: Bearer.", .flags = RB_OPT_SECRET),
    OPTION("user", RB_OPT_STRING, user, "User name for basic authentication."),
    OPTION("password", RB_OPT_STRING, password, "Password for basic authentication.", .flags = RB_OPT_SECRET),
    OPTION("headers", RB_OPT_PAIRS, headers, "Headers to send, for a proxy or tenant.", .flags = RB_OPT_SECRET),
    {NULL}};

static const struct rb_reason_def reasons[] = {
    {"not_ready", "Prometheus answers but is not ready, for example while it replays its log."},
    {"api_error", "Its API did not answer as Prometheus does; is it the right URL and are the credentials right?"},
    {"no_targets", "Prometheus has no active target: it watches nothing."},
    {"job_missing", "A required job has no target; look at the scrape configuration and at discovery."},
    {"job_unexpected", "A job that must be absent has targets."},
    {"target_down", "A target's last scrape failed; the evidence has Prometheus' own error."},
    {"not_scraped", "A target has not been scraped within the grace time."},
    {"label_missing", "A target lacks a label of target_labels: what selects by it does not see the target."},
    {"rule_error", "Prometheus cannot evaluate a rule, so its alert never fires; the evidence has the error."},
    {"alert_firing", "An alert is firing; the evidence names it."},
    {"settling", "Prometheus has just started and does not list every job yet."},
    {NULL}};

static const struct rb_value_def values[] = {{"targets", "", RB_VALUE_GAUGE, "Active targets by health.", "health"},
                                             {"jobs_missing", "", RB_VALUE_GAUGE, "Required jobs without a target.", NULL},
                                             {"rules_failing", "", RB_VALUE_GAUGE, "Rules that cannot be evaluated.", NULL},
                                             {"alerts_firing", "", RB_VALUE_GAUGE, "Firing alerts that count.", NULL},
                                             {"ready", "", RB_VALUE_GAUGE, "1 when Prometheus says that it is ready.", NULL},
                                             {"duration", "seconds", RB_VALUE_GAUGE, "Duration of all requests of the last run.", NULL},
                                             {NULL}};

struct memory {
    int64_t unscraped_since_ns; /* elapsed clock; 0: none */
    uint64_t seen_up;           /* one bit per job of the options: an optional job that was up and vanished is a failure */
};

struct job_count {
    size_t up, down, unknown;
};

struct state {
    size_t stage;
    double duration_s;
    size_t missing;
    const char *missing_name;
    uint64_t missing_jobs; /* one bit per job of the options */
    bool empty;
    size_t up, total; /* targets */
    size_t unlabelled;
};

/* ---- texts ---- */

static const char *page_url(struct rb_arena *arena, const char *base, const char *path)
{
    size_t len = strlen(base);
    while (len > 0 && base[len - 1] == '/')
        len--;
    return rb_arena_printf(arena, "%.*s%s", (int)len, base, path);
}

static enum job_wish wish_of(const struct rb_pair *job)
{
    if (job->value && strcmp(job->value, "optional") == 0)
        return JOB_OPTIONAL;
    return job->value && strcmp(job->value, "absent") == 0 ? JOB_ABSENT : JOB_REQUIRED;
}

/* ---- JSON ---- */

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* The `data` of an API answer, owned by *out_document; NULL with the outcome set. */
static const json_t *api_data(const struct prom_options *o, const struct rb_http_response *response, json_t **out_document,
                              struct rb_outcome *out)
{
    json_error_t error = {0};
    *out_document = NULL;
    if (response->status == 200 && !memchr(response->body, '\0', response->body_len))
        *out_document = json_loadb(response->body, response->body_len, JSON_ALLOW_NUL, &error);
    const json_t *data = *out_document && strcmp(text_at(*out_document, "status"), "success") == 0 ? json_object_get(*out_document, "data")
                                                                                                   : NULL;
    if (!data)
        rb_outcome_raise(out, RB_RESULT_FAIL, "api_error", "%s: the API answers with status %ld and %s",
                         rb_net_clean(out->arena, response->final_url ? response->final_url : o->url), response->status,
                         *out_document ? "without success" : "no JSON");
    return data;
}

/* ---- judging targets ---- */

static size_t job_index(const struct prom_options *o, const char *name)
{
    size_t i = 0;
    while (i < o->jobs.count && strcmp(o->jobs.items[i].key, name) != 0)
        i++;
    return i;
}

static void note_labels(const struct prom_options *o, const json_t *labels, struct state *state, struct rb_outcome *out)
{
    for (size_t i = 0; i < o->target_labels.count; i++) {
        const char *wanted = o->target_labels.items[i];
        if (*text_at(labels, wanted))
            continue;
        state->unlabelled++;
        rb_outcome_evidence(out, "%s %s has no label %s", rb_net_clean(out->arena, text_at(labels, "job")),
                            rb_net_clean(out->arena, text_at(labels, "instance")), wanted);
        return;
    }
}

static void note_target(const struct prom_options *o, const json_t *target, struct job_count *jobs, struct job_count *all,
                        struct rb_outcome *out)
{
    const json_t *labels = json_object_get(target, "labels");
    const char *job = text_at(labels, "job"), *instance = text_at(labels, "instance"), *health = text_at(target, "health");
    const char *scrape_url = text_at(target, "scrapeUrl");
    struct job_count *count = &jobs[job_index(o, job)];
    bool up = strcmp(health, "up") == 0, down = strcmp(health, "down") == 0;
    *(up ? &count->up : down ? &count->down : &count->unknown) += 1;
    *(up ? &all->up : down ? &all->down : &all->unknown) += 1;
    if (down)
        rb_outcome_evidence(out, "%s %s: %s", rb_net_clean(out->arena, job), rb_net_clean(out->arena, instance),
                            rb_net_quote(out->arena, text_at(target, "lastError")));
    if (*scrape_url)
        rb_outcome_fact(out, RB_FACT_SCRAPES, "%s %s", rb_net_clean(out->arena, job),
                        rb_net_target(out->arena, rb_net_clean(out->arena, scrape_url)));
}

static void judge_job(const struct prom_options *o, size_t index, const struct job_count *count, struct memory *memory, struct state *state,
                      struct rb_outcome *out)
{
    const char *name = o->jobs.items[index].key;
    enum job_wish wish = wish_of(&o->jobs.items[index]);
    uint64_t bit = UINT64_C(1) << index;
    size_t total = count->up + count->down + count->unknown;
    bool was_up = (memory->seen_up & bit) != 0;
    if (count->up > 0)
        memory->seen_up |= bit;
    if (wish == JOB_ABSENT) {
        if (total > 0)
            rb_outcome_raise(out, RB_RESULT_FAIL, "job_unexpected", "job %s must be absent, but has %zu targets", name, total);
        return;
    }
    /* Optional means: may never have been there. What was up once is missed. */
    if (wish == JOB_OPTIONAL && !was_up && count->up == 0)
        return;
    if (total == 0) {
        state->missing_name = state->missing_name ? state->missing_name : name;
        state->missing_jobs |= bit;
        state->missing++;
    } else if (count->down > 0) {
        rb_outcome_raise(out, RB_RESULT_FAIL, "target_down", "job %s: %zu of %zu targets down", name, count->down, total);
    }
}

static void judge_unscraped(const struct rb_check_ctx *ctx, size_t unknown, struct rb_outcome *out)
{
    const struct prom_options *o = ctx->options;
    struct memory *memory = ctx->memory;
    int64_t now = rb_elapsed_ns(ctx->clock);
    if (unknown == 0) {
        memory->unscraped_since_ns = 0;
        return;
    }
    if (memory->unscraped_since_ns == 0)
        memory->unscraped_since_ns = now > 0 ? now : 1;
    int64_t waited_ms = (now - memory->unscraped_since_ns) / RB_NS_PER_MS;
    if (waited_ms > o->grace_ms)
        rb_outcome_raise(out, RB_RESULT_FAIL, "not_scraped", "%zu targets have not been scraped for %lld s", unknown,
                         (long long)(waited_ms / 1000));
    else
        rb_outcome_evidence(out, "%zu targets are not scraped yet", unknown);
}

/* Targets whose waiting matters: with a list of jobs, only those of it that must be there. */
static size_t unscraped(const struct prom_options *o, const struct job_count *jobs, const struct job_count *all)
{
    size_t sum = 0;
    for (size_t i = 0; i < o->jobs.count; i++)
        sum += wish_of(&o->jobs.items[i]) == JOB_REQUIRED ? jobs[i].unknown : 0;
    return o->jobs.count > 0 ? sum : all->unknown;
}

static void judge_counts(const struct rb_check_ctx *ctx, struct state *state, const struct job_count *jobs, const struct job_count *all,
                         struct rb_outcome *out)
{
    const struct prom_options *o = ctx->options;
    size_t total = all->up + all->down + all->unknown;
    rb_outcome_value(out, "targets", "up", (double)all->up);
    rb_outcome_value(out, "targets", "down", (double)all->down);
    rb_outcome_value(out, "targets", "unknown", (double)all->unknown);
    state->empty = total == 0;
    state->up = all->up;
    state->total = total;
    for (size_t i = 0; i < o->jobs.count; i++)
        judge_job(o, i, &jobs[i], ctx->memory, state, out);
    if (o->jobs.count == 0 && all->down > 0)
        rb_outcome_raise(out, RB_RESULT_FAIL, "target_down", "%zu of %zu targets down", all->down, total);
    judge_unscraped(ctx, unscraped(o, jobs, all), out);
    if (state->unlabelled > 0)
        rb_outcome_raise(out, RB_RESULT_WARN, "label_missing", "%zu of %zu targets lack a label that is wanted", state->unlabelled, total);
    rb_outcome_value(out, "jobs_missing", NULL, (double)state->missing);
}

/* ---- stages: each asks one page and judges the answer; false when nothing more can be asked ---- */

static bool judge_ready(const struct rb_check_ctx *ctx, struct state *state RB_UNUSED, const struct rb_http_response *response,
                        struct rb_outcome *out)
{
    const struct prom_options *o = ctx->options;
    bool ready = response->status == 200;
    rb_outcome_value(out, "ready", NULL, ready ? 1 : 0);
    if (response->status == 401 || response->status == 403 || response->status == 404)
        rb_outcome_set(out, RB_RESULT_FAIL, "api_error", "%s/-/ready answers with status %ld", rb_net_clean(out->arena, o->url),
                       response->status);
    else if (!ready)
        rb_outcome_set(out, RB_RESULT_FAIL, "not_ready", "%s is not ready: status %ld", rb_net_clean(out->arena, o->url), response->status);
    return ready;
}

static bool judge_targets(const struct rb_check_ctx *ctx, struct state *state, const struct rb_http_response *response,
                          struct rb_outcome *out)
{
    const struct prom_options *o = ctx->options;
    json_t *document;
    const json_t *data = api_data(o, response, &document, out);
    const json_t *active = json_object_get(data, "activeTargets");
    /* One more for the targets of jobs that nobody listed. */
    struct job_count *jobs = rb_arena_array(ctx->arena, o->jobs.count + 1, sizeof *jobs);
    struct job_count all = {0};
    bool further = false;
    if (data && !json_is_array(active)) {
        rb_outcome_set(out, RB_RESULT_FAIL, "api_error", "%s: the API's answer has no list of targets", rb_net_clean(out->arena, o->url));
    } else if (data && json_array_size(active) > MAX_TARGETS) {
        rb_outcome_set(out, RB_RESULT_UNKNOWN, "resource_limit", "more than %d targets", MAX_TARGETS);
    } else if (data && jobs) {
        for (size_t i = 0; i < json_array_size(active); i++) {
            note_target(o, json_array_get(active, i), jobs, &all, out);
            note_labels(o, json_object_get(json_array_get(active, i), "labels"), state, out);
        }
        judge_counts(ctx, state, jobs, &all, out);
        further = true;
    }
    json_decref(document);
    return further;
}

/* Something is missing: is Prometheus too young to have it? Without an answer it is taken as old. */
static bool judge_age(const struct rb_check_ctx *ctx, struct state *state, const struct rb_http_response *response, struct rb_outcome *out)
{
    const struct prom_options *o = ctx->options;
    json_t *document = NULL;
    struct rb_error err;
    json_error_t error = {0};
    int64_t start_ns = 0;
    if (response->failure == RB_NET_OK && response->status == 200 && !memchr(response->body, '\0', response->body_len))
        document = json_loadb(response->body, response->body_len, JSON_ALLOW_NUL, &error);
    const char *start = text_at(json_object_get(document, "data"), "startTime");
    bool known = *start && rb_time_parse(start, &start_ns, &err) == 0;
    json_decref(document);
    int64_t age_ms = (rb_wall_ns(ctx->clock) - start_ns) / RB_NS_PER_MS;
    if (known && age_ms >= 0 && age_ms < o->grace_ms)
        rb_outcome_raise(out, RB_RESULT_WARN, "settling", "Prometheus started %lld s ago and %s%s yet", (long long)(age_ms / 1000),
                         state->empty ? "has no target" : "does not list job ", state->empty ? "" : state->missing_name);
    else if (state->empty)
        rb_outcome_raise(out, RB_RESULT_FAIL, "no_targets", "%s has no active target: it watches nothing",
                         rb_net_clean(out->arena, o->url));
    else if (state->missing > 1)
        rb_outcome_raise(out, RB_RESULT_FAIL, "job_missing", "%zu jobs have no target, among them %s", state->missing, state->missing_name);
    else
        rb_outcome_raise(out, RB_RESULT_FAIL, "job_missing", "job %s has no target", state->missing_name);
    return true;
}

/* Evidence only: a Prometheus before 2.42 has no such page, and a job's label may differ from its name in the configuration. */
static bool judge_pools(const struct rb_check_ctx *ctx, struct state *state, const struct rb_http_response *response,
                        struct rb_outcome *out)
{
    const struct prom_options *o = ctx->options;
    json_error_t error = {0};
    json_t *document = NULL;
    if (response->failure == RB_NET_OK && response->status == 200)
        document = json_loadb(response->body, response->body_len, 0, &error);
    const json_t *pools = json_object_get(json_object_get(document, "data"), "scrapePools");
    for (size_t i = 0; json_is_array(pools) && i < o->jobs.count; i++) {
        if (!(state->missing_jobs >> i & 1))
            continue;
        const char *name = o->jobs.items[i].key;
        bool configured = false;
        for (size_t j = 0; j < json_array_size(pools) && !configured; j++) {
            const char *pool = json_string_value(json_array_get(pools, j));
            configured = pool && strcmp(pool, name) == 0;
        }
        rb_outcome_evidence(out,
                            configured ? "job %s is configured, but discovery finds no target for it"
                                       : "the scrape configuration that runs has no job %s",
                            name);
    }
    json_decref(document);
    return true;
}

/* ---- judging rules and alerts ---- */

static size_t note_rules(const json_t *group, size_t *seen, struct rb_outcome *out)
{
    const json_t *rules = json_object_get(group, "rules");
    size_t failing = 0;
    for (size_t i = 0; i < json_array_size(rules); i++, (*seen)++) {
        const json_t *rule = json_array_get(rules, i);
        if (strcmp(text_at(rule, "health"), "err") != 0)
            continue;
        failing++;
        rb_outcome_evidence(out, "rule %s in %s (%s): %s", rb_net_quote(out->arena, text_at(rule, "name")),
                            rb_net_quote(out->arena, text_at(group, "name")), rb_net_quote(out->arena, text_at(group, "file")),
                            rb_net_quote(out->arena, text_at(rule, "lastError")));
    }
    return failing;
}

static bool judge_rules(const struct rb_check_ctx *ctx, struct state *state RB_UNUSED, const struct rb_http_response *response,
                        struct rb_outcome *out)
{
    const struct prom_options *o = ctx->options;
    json_t *document;
    const json_t *data = api_data(o, response, &document, out);
    const json_t *groups = json_object_get(data, "groups");
    size_t failing = 0, seen = 0;
    for (size_t i = 0; i < json_array_size(groups); i++)
        failing += note_rules(json_array_get(groups, i), &seen, out);
    rb_outcome_value(out, "rules_failing", NULL, (double)failing);
    if (failing > 0)
        rb_outcome_raise(out, (enum rb_result)o->rules, "rule_error", "%zu of %zu rules cannot be evaluated", failing, seen);
    json_decref(document);
    return data != NULL;
}

static bool matches_any(const struct rb_strings *patterns, const char *name)
{
    for (size_t i = 0; i < patterns->count; i++) {
        if (rb_glob_match(patterns->items[i], name))
            return true;
    }
    return false;
}

static bool is_one_of(const struct rb_strings *list, const char *text)
{
    size_t i = 0;
    while (i < list->count && strcmp(list->items[i], text) != 0)
        i++;
    return i < list->count;
}

static bool alert_counts(const struct prom_options *o, const json_t *alert)
{
    const json_t *labels = json_object_get(alert, "labels");
    const char *name = text_at(labels, "alertname");
    if (strcmp(text_at(alert, "state"), "firing") != 0)
        return false;
    if (strncmp(name, "Runbookd", strlen("Runbookd")) == 0 || strcmp(text_at(labels, "job"), "runbookd") == 0)
        return false;
    if (matches_any(&o->alert_except, name) || (o->alert_names.count > 0 && !matches_any(&o->alert_names, name)))
        return false;
    return o->alert_severities.count == 0 || is_one_of(&o->alert_severities, text_at(labels, "severity"));
}

static void note_alert(const json_t *alert, struct rb_outcome *out)
{
    const json_t *labels = json_object_get(alert, "labels"), *notes = json_object_get(alert, "annotations");
    const char *summary = text_at(notes, "summary"), *severity = text_at(labels, "severity"), *instance = text_at(labels, "instance");
    rb_outcome_evidence(out, "alert %s%s%s%s%s since %s%s%s", rb_net_quote(out->arena, text_at(labels, "alertname")), *severity ? ", " : "",
                        rb_net_quote(out->arena, severity), *instance ? ", " : "", rb_net_quote(out->arena, instance),
                        rb_net_quote(out->arena, text_at(alert, "activeAt")), *summary ? ": " : "", rb_net_quote(out->arena, summary));
}

static bool judge_alerts(const struct rb_check_ctx *ctx, struct state *state RB_UNUSED, const struct rb_http_response *response,
                         struct rb_outcome *out)
{
    const struct prom_options *o = ctx->options;
    json_t *document;
    const json_t *data = api_data(o, response, &document, out);
    const json_t *alerts = json_object_get(data, "alerts");
    const char *first = NULL;
    size_t firing = 0;
    for (size_t i = 0; i < json_array_size(alerts); i++) {
        const json_t *alert = json_array_get(alerts, i);
        if (!alert_counts(o, alert))
            continue;
        firing++;
        first = first ? first : rb_net_quote(out->arena, text_at(json_object_get(alert, "labels"), "alertname"));
        note_alert(alert, out);
    }
    rb_outcome_value(out, "alerts_firing", NULL, (double)firing);
    if (firing == 1)
        rb_outcome_raise(out, (enum rb_result)o->alerts, "alert_firing", "alert %s is firing", first);
    else if (firing > 1)
        rb_outcome_raise(out, (enum rb_result)o->alerts, "alert_firing", "%zu alerts are firing, among them %s", firing, first);
    json_decref(document);
    return data != NULL;
}

static bool something_is_missing(const struct prom_options *o RB_UNUSED, const struct state *state)
{
    return state->empty || state->missing > 0;
}

static bool jobs_are_missing(const struct prom_options *o RB_UNUSED, const struct state *state)
{
    return state->missing > 0;
}

static bool rules_matter(const struct prom_options *o, const struct state *state RB_UNUSED)
{
    return o->rules != RB_RESULT_OK;
}

static bool alerts_matter(const struct prom_options *o, const struct state *state RB_UNUSED)
{
    return o->alerts != RB_RESULT_OK;
}

static const struct stage {
    const char *path;
    bool (*judge)(const struct rb_check_ctx *ctx, struct state *state, const struct rb_http_response *response, struct rb_outcome *out);
    bool (*needed)(const struct prom_options *o, const struct state *state); /* NULL: always */
    bool judges_failures;                                                    /* of the network; otherwise those end the run */
} stages[] = {{"/-/ready", judge_ready, NULL, false},
              {"/api/v1/targets?state=active", judge_targets, NULL, false},
              {"/api/v1/status/runtimeinfo", judge_age, something_is_missing, true},
              {"/api/v1/scrape_pools", judge_pools, jobs_are_missing, true},
              {"/api/v1/rules", judge_rules, rules_matter, false},
              {"/api/v1/alerts", judge_alerts, alerts_matter, false}};
enum { STAGE_COUNT = sizeof stages / sizeof stages[0] };

/* ---- the machine ---- */

static void ask(const struct rb_check_ctx *ctx, const struct state *state, struct rb_action *next)
{
    const struct prom_options *o = ctx->options;
    next->type = RB_ACTION_HTTP;
    next->http = (struct rb_http_request){.method = "GET",
                                          .url = page_url(ctx->arena, o->url, stages[state->stage].path),
                                          .max_body = MAX_BODY,
                                          .bearer = o->bearer,
                                          .headers = o->headers};
    if (o->user)
        next->http.user_password = rb_arena_printf(ctx->arena, "%s:%s", o->user, o->password ? o->password : "");
}

static void report_failure(const struct prom_options *o, const struct rb_event *event, struct rb_outcome *out)
{
    enum rb_net_failure failure = event->failure;
    const char *reason = rb_net_failure_reason(failure), *url = rb_net_clean(out->arena, o->url);
    if (failure == RB_NET_REFUSED)
        rb_outcome_raise(out, RB_RESULT_FAIL, reason, "%s refused", url);
    else
        rb_outcome_raise(out, failure == RB_NET_OTHER ? RB_RESULT_UNKNOWN : RB_RESULT_FAIL, reason, "%s: %s", url,
                         event->detail ? rb_net_clean(out->arena, event->detail) : reason);
    if (failure == RB_NET_REFUSED)
        out->sighting = RB_SIGHTING_GONE;
    else if (failure >= RB_NET_TLS_HANDSHAKE && failure <= RB_NET_REDIRECT_BLOCKED)
        out->sighting = RB_SIGHTING_PRESENT;
}

static void step(const struct rb_check_ctx *ctx, void *state_memory, const struct rb_event *event, struct rb_action *next,
                 struct rb_outcome *out)
{
    const struct prom_options *o = ctx->options;
    struct state *state = state_memory;
    if (event->type == RB_EVENT_START) {
        rb_outcome_fact(out, RB_FACT_TARGET, "%s", rb_net_target(ctx->arena, o->url));
        ask(ctx, state, next);
        return;
    }
    const struct stage *stage = &stages[state->stage];
    struct rb_http_response none = {.failure = event->failure, .detail = event->detail};
    const struct rb_http_response *response = event->http ? event->http : &none;
    bool further = false;
    state->duration_s += response->phases.total_s;
    if (response->remote_address)
        rb_outcome_fact(out, RB_FACT_ADDRESS, "%s", response->remote_address);
    if (response->failure != RB_NET_OK && !stage->judges_failures) {
        if (state->stage == 0)
            rb_outcome_value(out, "ready", NULL, 0);
        report_failure(o, event, out);
    } else {
        out->sighting = RB_SIGHTING_PRESENT;
        further = stage->judge(ctx, state, response, out);
    }
    do
        state->stage++;
    while (state->stage < STAGE_COUNT && stages[state->stage].needed && !stages[state->stage].needed(o, state));
    if (further && state->stage < STAGE_COUNT) {
        ask(ctx, state, next);
        return;
    }
    if (further && out->result == RB_RESULT_OK)
        rb_outcome_say(out, "ready, %zu of %zu targets up", state->up, state->total);
    rb_outcome_value(out, "duration", NULL, state->duration_s);
    next->type = RB_ACTION_DONE;
}

static void validate(void *filled, const struct rb_node *node, struct rb_diags *diags)
{
    const struct prom_options *o = filled;
    const struct rb_node *jobs = rb_node_get(node, "jobs");
    struct rb_mark mark = jobs ? jobs->mark : node->mark;
    if (o->jobs.count > MAX_JOBS)
        (void)rb_diag_add(diags, mark, "at most %d jobs", MAX_JOBS);
    for (size_t i = 0; i < o->jobs.count; i++) {
        const char *value = o->jobs.items[i].value ? o->jobs.items[i].value : "";
        if (strcmp(value, "required") != 0 && strcmp(value, "optional") != 0 && strcmp(value, "absent") != 0)
            (void)rb_diag_add(diags, mark, "job %s: \"%s\" is none of required, optional, absent", o->jobs.items[i].key, value);
    }
    if (o->bearer && o->user)
        (void)rb_diag_add(diags, node->mark, "bearer and user exclude each other");
    if (o->password && !o->user)
        (void)rb_diag_add(diags, node->mark, "password needs user");
}

static const struct rb_exchange_ops ops = {.state_size = sizeof(struct state), .step = step};

extern const struct rb_kind rb_kind_prometheus;
const struct rb_kind rb_kind_prometheus = {
    .schema =
        {.schema = {.name = "prometheus",
                    .doc = "Prometheus is ready, scrapes every job that it should, evaluates its rules, and no alert fires.",
                    .options = options,
                    .size = sizeof(struct prom_options),
                    .validate = validate},
         .default_phase = RB_PHASE_HEALTH,
         .default_triage = true,
         .opens_network = true,
         .presence_aware = true,
         .example =
             "{name: prom, kind: prometheus, url: \"http://localhost:9092\", jobs: {ai_live: required, shadow_mvs: optional}, grace: 90s}"},
    .values = values,
    .reasons = reasons,
    .net_reasons = true,
    .exec = RB_EXEC_EXCHANGE,
    .memory_size = sizeof(struct memory),
    .exchange = &ops,
};
