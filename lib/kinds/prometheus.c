/* prometheus: is Prometheus ready, and does it really scrape what it should?
 *
 * Steps: /-/ready, then /api/v1/targets, then, only when something is missing, /api/v1/status/runtimeinfo to tell a Prometheus that has just started from one
 * that lost a job. Each step is a row of `stages`: a further question (rules, alerts) is one more row. Empty is never ok: a Prometheus without targets
 * watches nothing, however healthy it looks.
 *
 * `grace` excuses two things only: jobs that are missing within that time after Prometheus' own start (warn: settling), and targets not scraped yet since they
 * were first seen so (ok). A target that was scraped and failed is down at once. */
#include <jansson.h>
#include <string.h>
#include <strings.h>

#include "runbook/base/redact.h"
#include "runbook/base/units.h"
#include "runbook/check/facts.h"
#include "runbook/check/kind.h"

#define MAX_JOBS    64
#define MAX_BODY    (16u << 20)
#define MAX_TARGETS 20000

enum job_wish { JOB_REQUIRED, JOB_OPTIONAL, JOB_ABSENT };

struct prom_options {
    const char *url, *bearer, *user, *password;
    struct rb_pairs jobs;
    int64_t grace_ms;
    struct rb_pairs headers;
};

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
    {"settling", "Prometheus has just started and does not list every job yet."},
    {NULL}};

static const struct rb_value_def values[] = {{"targets", "", RB_VALUE_GAUGE, "Active targets by health.", "health"},
                                             {"jobs_missing", "", RB_VALUE_GAUGE, "Required jobs without a target.", NULL},
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
    bool empty;
};

/* ---- texts ---- */

static const char *clean(struct rb_arena *arena, const char *text)
{
    RB_BUF_AUTO buf;
    rb_buf_init(&buf, 16 * 1024);
    size_t len = text ? strlen(text) : 0;
    rb_redact(&buf, text ? text : "", len < 4096 ? len : 4096);
    const char *copy = rb_arena_strdup(arena, rb_buf_str(&buf));
    return copy ? copy : "";
}

static const char *page_url(struct rb_arena *arena, const char *base, const char *path)
{
    size_t len = strlen(base);
    while (len > 0 && base[len - 1] == '/')
        len--;
    return rb_arena_printf(arena, "%.*s%s", (int)len, base, path);
}

/* "host:port" of a URL; the standard port is written out. */
static const char *target_of(struct rb_arena *arena, const char *url)
{
    const char *authority = strstr(url, "://");
    authority = authority ? authority + 3 : url;
    const char *host = rb_arena_strndup(arena, authority, strcspn(authority, "/?#"));
    if (!host)
        return "";
    const char *at = strrchr(host, '@');
    host = at ? at + 1 : host;
    const char *bracket = strrchr(host, ']'), *colon = strrchr(host, ':');
    if (colon && (!bracket || colon > bracket))
        return host;
    const char *with_port = rb_arena_printf(arena, "%s:%s", host, strncasecmp(url, "https:", 6) == 0 ? "443" : "80");
    return with_port ? with_port : "";
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
        rb_outcome_set(out, RB_RESULT_FAIL, "api_error", "%s: the API answers with status %ld and %s", clean(out->arena, o->url),
                       response->status, *out_document ? "without success" : "no JSON");
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
        rb_outcome_evidence(out, "%s %s: %s", clean(out->arena, job), clean(out->arena, instance),
                            clean(out->arena, text_at(target, "lastError")));
    if (*scrape_url)
        rb_outcome_fact(out, RB_FACT_SCRAPES, "%s %s", clean(out->arena, job), target_of(out->arena, clean(out->arena, scrape_url)));
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
    for (size_t i = 0; i < o->jobs.count; i++)
        judge_job(o, i, &jobs[i], ctx->memory, state, out);
    if (o->jobs.count == 0 && all->down > 0)
        rb_outcome_raise(out, RB_RESULT_FAIL, "target_down", "%zu of %zu targets down", all->down, total);
    judge_unscraped(ctx, unscraped(o, jobs, all), out);
    rb_outcome_value(out, "jobs_missing", NULL, (double)state->missing);
    if (out->result == RB_RESULT_OK && !state->empty && state->missing == 0)
        rb_outcome_say(out, "ready, %zu of %zu targets up", all->up, total);
}

/* ---- stages: each asks one page and judges the answer; true when the next one is needed ---- */

static bool judge_ready(const struct rb_check_ctx *ctx, struct state *state RB_UNUSED, const struct rb_http_response *response,
                        struct rb_outcome *out)
{
    const struct prom_options *o = ctx->options;
    bool ready = response->status == 200;
    rb_outcome_value(out, "ready", NULL, ready ? 1 : 0);
    if (response->status == 401 || response->status == 403 || response->status == 404)
        rb_outcome_set(out, RB_RESULT_FAIL, "api_error", "%s/-/ready answers with status %ld", clean(out->arena, o->url), response->status);
    else if (!ready)
        rb_outcome_set(out, RB_RESULT_FAIL, "not_ready", "%s is not ready: status %ld", clean(out->arena, o->url), response->status);
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
        rb_outcome_set(out, RB_RESULT_FAIL, "api_error", "%s: the API's answer has no list of targets", clean(out->arena, o->url));
    } else if (data && json_array_size(active) > MAX_TARGETS) {
        rb_outcome_set(out, RB_RESULT_UNKNOWN, "resource_limit", "more than %d targets", MAX_TARGETS);
    } else if (data && jobs) {
        for (size_t i = 0; i < json_array_size(active); i++)
            note_target(o, json_array_get(active, i), jobs, &all, out);
        judge_counts(ctx, state, jobs, &all, out);
        further = state->empty || state->missing > 0;
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
        rb_outcome_raise(out, RB_RESULT_FAIL, "no_targets", "%s has no active target: it watches nothing", clean(out->arena, o->url));
    else if (state->missing > 1)
        rb_outcome_raise(out, RB_RESULT_FAIL, "job_missing", "%zu jobs have no target, among them %s", state->missing, state->missing_name);
    else
        rb_outcome_raise(out, RB_RESULT_FAIL, "job_missing", "job %s has no target", state->missing_name);
    return false;
}

static const struct stage {
    const char *path;
    bool (*judge)(const struct rb_check_ctx *ctx, struct state *state, const struct rb_http_response *response, struct rb_outcome *out);
    bool judges_failures; /* of the network; otherwise those end the run */
} stages[] = {{"/-/ready", judge_ready, false},
              {"/api/v1/targets?state=active", judge_targets, false},
              {"/api/v1/status/runtimeinfo", judge_age, true}};

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
    const char *reason = rb_net_failure_reason(failure), *url = clean(out->arena, o->url);
    if (failure == RB_NET_REFUSED)
        rb_outcome_set(out, RB_RESULT_FAIL, reason, "%s refused", url);
    else
        rb_outcome_set(out, failure == RB_NET_OTHER ? RB_RESULT_UNKNOWN : RB_RESULT_FAIL, reason, "%s: %s", url,
                       event->detail ? clean(out->arena, event->detail) : reason);
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
        rb_outcome_fact(out, RB_FACT_TARGET, "%s", target_of(ctx->arena, o->url));
        ask(ctx, state, next);
        return;
    }
    const struct stage *stage = &stages[state->stage];
    struct rb_http_response none = {.failure = event->failure, .detail = event->detail};
    const struct rb_http_response *response = event->http ? event->http : &none;
    bool further = false;
    state->duration_s += response->phases.total_s;
    if (response->failure != RB_NET_OK && !stage->judges_failures) {
        if (state->stage == 0)
            rb_outcome_value(out, "ready", NULL, 0);
        report_failure(o, event, out);
    } else {
        out->sighting = RB_SIGHTING_PRESENT;
        further = stage->judge(ctx, state, response, out);
    }
    state->stage++;
    if (further && state->stage < sizeof stages / sizeof stages[0]) {
        ask(ctx, state, next);
        return;
    }
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
                    .doc = "Prometheus is ready and scrapes every job that it should, successfully.",
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
