/* docker: is the engine there, which one is it, and what runs on it?
 *
 * The worker part finds the socket, the exchange asks /version, the containers and, when wanted, the disk use. Why an engine cannot be asked is told by check/docker.h in
 * different reasons: not installed, not running, not for this user, hanging, somebody else's socket.
 *
 * The kind also follows GET /events: lives and deaths of containers enter the timeline, and a lost stream brings the check forward, so that an engine that
 * stops is noticed at once and not at the next interval. */
#include <string.h>

#include "runbook/base/units.h"
#include "runbook/base/version.h"
#include "runbook/check/docker.h"
#include "runbook/check/docker_events.h"
#include "runbook/check/facts.h"

#define MAX_PROJECTS 64

struct docker_options {
    const char *socket, *min;
    struct rb_strings projects;
    bool disk;
    int64_t disk_warn_bytes;
};

#define OPTION(option_name, option_type, field, ...)                                                                   \
    {                                                                                                                  \
        .name = option_name, .type = option_type, .offset = offsetof(struct docker_options, field), .doc = __VA_ARGS__ \
    }
static const struct rb_option options[] = {
    OPTION("socket", RB_OPT_STRING, socket, "The engine's socket; without it DOCKER_HOST, the docker context, then the usual places.",
           .example = "/var/run/docker.sock"),
    OPTION("min", RB_OPT_STRING, min, "Oldest engine version that will do.", .example = "\"24.0\""),
    OPTION("projects", RB_OPT_STRINGS, projects, "Compose projects that may run here; another one with a running container is a warning.",
           .example = "[peaktrade-observability]"),
    OPTION("disk", RB_OPT_BOOL, disk, "Ask for the disk use of images, containers, volumes and cache; slow on a large store.",
           .fallback = "false"),
    OPTION("disk_warn_above", RB_OPT_SIZE, disk_warn_bytes, "Warn when all of it together is larger; implies disk.", .example = "50GiB"),
    {NULL}};

static const struct rb_reason_def reasons[] = {
    RB_DOCKER_REASONS,
    {"too_old", "The engine is older than `min`."},
    {"unexpected_project", "A compose project runs that is not in `projects`."},
    {"disk_use", "Docker's own data is larger than disk_warn_above; look at `docker system df`."},
    {NULL}};

static const struct rb_value_def values[] = {
    {"up", "", RB_VALUE_GAUGE, "1 when the engine answers.", NULL},
    {"containers", "", RB_VALUE_GAUGE, "Containers by state.", "state"},
    {"api_minor", "", RB_VALUE_GAUGE, "Minor number of the API version that is spoken, 41 for 1.41.", NULL},
    {"disk", "bytes", RB_VALUE_GAUGE, "Disk use by what it is for.", "type"},
    {NULL}};

enum stage { STAGE_VERSION, STAGE_LIST, STAGE_DISK };

struct project {
    const char *name;
    size_t running, all;
};

struct state {
    struct rb_docker_client client;
    enum stage stage;
    const char *version;
    size_t project_count, project_dropped;
    struct project projects[MAX_PROJECTS];
};

static void run(const struct rb_check_ctx *ctx, struct rb_outcome *out)
{
    const struct docker_options *o = ctx->options;
    struct state *state = ctx->state;
    struct rb_docker_fault fault;
    bool found = rb_docker_client_find(&state->client, o->socket, ctx->arena, &fault);
    rb_docker_events_point(ctx->memory, &state->client.endpoint, "");
    if (found)
        return;
    rb_outcome_set(out, fault.result, fault.reason, "%s", fault.text);
    rb_outcome_value(out, "up", NULL, 0);
    out->sighting = fault.sighting;
    out->final = true;
}

/* ---- judging ---- */

static void judge_version(const struct rb_check_ctx *ctx, struct state *state, const json_t *document, struct rb_outcome *out)
{
    const struct docker_options *o = ctx->options;
    const char *version = json_string_value(json_object_get(document, "Version"));
    struct rb_version have, want;
    state->version = rb_docker_clean(version ? version : "of unknown version", ctx->arena);
    out->sighting = RB_SIGHTING_PRESENT;
    rb_outcome_value(out, "up", NULL, 1);
    rb_outcome_value(out, "api_minor", NULL, state->client.api_minor);
    if (!o->min || !rb_version_parse_all(o->min, &want))
        return;
    if (!version || rb_version_parse(version, strlen(version), &have) == 0)
        rb_outcome_raise(out, RB_RESULT_UNKNOWN, "unsupported", "the engine's version \"%s\" cannot be compared", state->version);
    else if (rb_version_compare(&have, &want) < 0)
        rb_outcome_raise(out, RB_RESULT_FAIL, "too_old", "Docker Engine %s is older than %s", state->version, o->min);
}

static void count_project(struct state *state, const struct rb_docker_container *container)
{
    size_t i = 0;
    while (i < state->project_count && strcmp(state->projects[i].name, container->project) != 0)
        i++;
    if (i == MAX_PROJECTS) {
        state->project_dropped++;
        return;
    }
    if (i == state->project_count)
        state->projects[state->project_count++] = (struct project){.name = container->project};
    state->projects[i].all++;
    state->projects[i].running += container->state == RB_DOCKER_STATE_RUNNING;
}

static bool is_expected(const struct docker_options *o, const char *project)
{
    for (size_t i = 0; i < o->projects.count; i++) {
        if (strcmp(o->projects.items[i], project) == 0)
            return true;
    }
    return o->projects.count == 0;
}

static void judge_projects(const struct rb_check_ctx *ctx, const struct state *state, struct rb_outcome *out)
{
    for (size_t i = 0; i < state->project_count; i++) {
        const struct project *project = &state->projects[i];
        const char *name = rb_docker_clean(project->name, ctx->arena);
        if (project->running > 0 && !is_expected(ctx->options, project->name))
            rb_outcome_raise(out, RB_RESULT_WARN, "unexpected_project", "compose project %s runs here, but is not in `projects`", name);
        else
            rb_outcome_evidence(out, "compose project %s: %zu of %zu containers run", name, project->running, project->all);
    }
    if (state->project_dropped > 0)
        rb_outcome_evidence(out, "%zu containers of further projects", state->project_dropped);
}

static void judge_list(const struct rb_check_ctx *ctx, struct state *state, const json_t *list, struct rb_outcome *out)
{
    size_t counts[RB_DOCKER_STATE_COUNT] = {0}, all = 0;
    for (size_t i = 0; i < json_array_size(list) && i < RB_DOCKER_MAX_CONTAINERS; i++) {
        struct rb_docker_container container;
        if (!rb_docker_listed(json_array_get(list, i), ctx->arena, &container))
            continue;
        counts[container.state]++;
        all++;
        if (container.project[0])
            count_project(state, &container);
    }
    for (int i = 0; i < RB_DOCKER_STATE_COUNT; i++)
        rb_outcome_value(out, "containers", rb_docker_state_name((enum rb_docker_state)i), (double)counts[i]);
    judge_projects(ctx, state, out);
    rb_outcome_say(out, "Docker Engine %s (API 1.%u), %zu of %zu containers run", state->version, state->client.api_minor,
                   counts[RB_DOCKER_STATE_RUNNING], all);
}

/* Layers are shared between images, so their sum is a member of its own; what is missing counts nothing. */
static double sum_of(const json_t *document, const char *list, const char *key, const char *inner)
{
    const json_t *items = json_object_get(document, list);
    double sum = 0;
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = inner ? json_object_get(json_array_get(items, i), inner) : json_array_get(items, i);
        double size = (double)json_integer_value(json_object_get(item, key));
        sum += size > 0 ? size : 0;
    }
    return sum;
}

static void judge_disk(const struct rb_check_ctx *ctx, const json_t *document, struct rb_outcome *out)
{
    const struct docker_options *o = ctx->options;
    double images = (double)json_integer_value(json_object_get(document, "LayersSize"));
    double containers = sum_of(document, "Containers", "SizeRw", NULL);
    double volumes = sum_of(document, "Volumes", "Size", "UsageData");
    double cache = sum_of(document, "BuildCache", "Size", NULL);
    double all = images + containers + volumes + cache;
    RB_BUF_AUTO text;
    rb_buf_init(&text, 64);
    rb_size_print(&text, (int64_t)all);
    rb_outcome_value(out, "disk", "images", images);
    rb_outcome_value(out, "disk", "containers", containers);
    rb_outcome_value(out, "disk", "volumes", volumes);
    rb_outcome_value(out, "disk", "build_cache", cache);
    if (o->disk_warn_bytes >= 0 && all > (double)o->disk_warn_bytes)
        rb_outcome_raise(out, RB_RESULT_WARN, "disk_use", "Docker uses %s on disk", rb_buf_str(&text));
    else
        rb_outcome_evidence(out, "Docker uses %s on disk", rb_buf_str(&text));
}

/* ---- the machine ---- */

static bool wants_disk(const struct docker_options *o)
{
    return o->disk || o->disk_warn_bytes >= 0;
}

static void report_fault(const struct state *state, const struct rb_docker_fault *fault, struct rb_outcome *out)
{
    rb_outcome_raise(out, fault->result, fault->reason, "%s", fault->text);
    if (state->stage == STAGE_VERSION)
        rb_outcome_value(out, "up", NULL, 0);
    out->sighting = fault->sighting;
}

/* Takes one answer; true when `next` holds another question. */
static bool take(const struct rb_check_ctx *ctx, struct state *state, const struct rb_event *event, struct rb_action *next,
                 struct rb_outcome *out)
{
    struct rb_docker_fault fault;
    json_t *document = NULL;
    if (state->stage == STAGE_VERSION) {
        int rc = rb_docker_take_version(ctx, &state->client, event, next, &document, &fault);
        if (rc == 0)
            return true;
        if (rc > 0) {
            judge_version(ctx, state, document, out);
            json_decref(document);
            state->stage = STAGE_LIST;
            rb_docker_get(ctx, &state->client, next, "/containers/json?all=1");
            return true;
        }
        report_fault(state, &fault, out);
        return false;
    }
    document = rb_docker_json(&state->client, event, ctx->arena, &fault);
    bool further = false;
    if (!document) {
        report_fault(state, &fault, out);
    } else if (state->stage == STAGE_LIST) {
        judge_list(ctx, state, document, out);
        further = wants_disk(ctx->options);
        state->stage = STAGE_DISK;
        if (further)
            rb_docker_get(ctx, &state->client, next, "/system/df");
    } else {
        judge_disk(ctx, document, out);
    }
    json_decref(document);
    return further;
}

static void step(const struct rb_check_ctx *ctx, void *state_memory, const struct rb_event *event, struct rb_action *next,
                 struct rb_outcome *out)
{
    struct state *state = state_memory;
    if (event->type == RB_EVENT_START) {
        const char *socket = state->client.endpoint.unix_socket;
        rb_outcome_fact(out, *socket ? RB_FACT_PATH : RB_FACT_TARGET, "%s",
                        *socket ? socket : state->client.endpoint.url + strlen("http://"));
        rb_docker_ask_version(ctx, &state->client, next);
        return;
    }
    if (!take(ctx, state, event, next, out))
        next->type = RB_ACTION_DONE;
}

static void validate(void *filled, const struct rb_node *node, struct rb_diags *diags)
{
    const struct docker_options *o = filled;
    struct rb_version version;
    if (o->min && !rb_version_parse_all(o->min, &version))
        (void)rb_diag_add(diags, rb_node_get(node, "min")->mark, "\"%.40s\" is no version", o->min);
}

static const struct rb_exchange_ops ops = {.state_size = sizeof(struct state), .step = step};

extern const struct rb_kind rb_kind_docker;
const struct rb_kind rb_kind_docker = {
    .schema = {.schema = {.name = "docker",
                          .doc = "The Docker engine is reachable; its version, containers and disk use. Only GET is asked.",
                          .options = options,
                          .size = sizeof(struct docker_options),
                          .validate = validate},
               .default_phase = RB_PHASE_HEALTH,
               .default_triage = true,
               .opens_network = true,
               .presence_aware = true,
               .example = "{name: docker, kind: docker, min: \"20.10\"}"},
    .values = values,
    .reasons = reasons,
    .exec = RB_EXEC_EXCHANGE,
    .memory_size = sizeof(struct rb_docker_events),
    .run = run,
    .exchange = &ops,
    .stream = &rb_docker_events_ops,
};
