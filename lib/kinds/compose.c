/* compose: do the services of a project run, and if not, how did they end and what did they say last?
 *
 * One run lists the project's containers, inspects each, asks the engine's event log whether somebody stopped those that ended, compares images, reads the last lines
 * of what died, and only then judges: everything it says about one container is one finding, the worst of them is the outcome.
 *
 * Presence. With `presence: optional` a service that ended cleanly (exit 0, stopped by request, removed) is no finding, and a project of which nothing runs was
 * there only if somebody saw it: state/store decides, from the sighting. What crashed in front of our eyes is `fail` in every case.
 *
 * An engine that cannot be asked is `unknown: engine_unreachable` here and a finding of the docker check: one cause, one line.
 *
 * Bounds: MAX_INSPECT containers are inspected (what does not run first), the others are judged by the listing, which knows state, health and exit code. The
 * transfers of one run stay below the exchange engine's limit of 64. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "compose/compose.h"
#include "runbook/check/facts.h"

#define EVENTS_MS       1500
#define LONGEST_STOP_NS (900 * RB_NS_PER_S)
#define EARLY_WORDS_NS  RB_NS_PER_S /* a short life is over before its start is written down */
#define SETTLING_NS     (5 * RB_NS_PER_S)

static const struct rb_choice unexpected_choices[] = {
    {"ok", UNEXPECTED_OK, "only mentioned"}, {"warn", UNEXPECTED_WARN, "a warning"}, {NULL, 0, NULL}};

#define OPTION(option_name, option_type, field, ...)                                                                    \
    {                                                                                                                   \
        .name = option_name, .type = option_type, .offset = offsetof(struct compose_options, field), .doc = __VA_ARGS__ \
    }
static const struct rb_option options[] = {
    OPTION("project", RB_OPT_STRING, project, "The project's name; default: the file's `name`, else its folder's.",
           .example = "peaktrade-observability"),
    OPTION("services", RB_OPT_STRINGS, services, "Services that must run; default: those of `file`, else whatever the project has.",
           .example = "[prometheus-local, grafana]"),
    OPTION("once", RB_OPT_STRINGS, once,
           "Services that run once and end with exit code 0; in a file those that others wait for to complete.", .example = "[migrate]"),
    OPTION("file", RB_OPT_PATHS, files, "Compose files, in the order of -f: expected services, and images to compare.",
           .example = "docker-compose.yml"),
    OPTION("unexpected", RB_OPT_CHOICE, unexpected, "What a running service is that nobody expects.", .choices = unexpected_choices,
           .fallback = "ok"),
    OPTION("window", RB_OPT_DURATION, window_ms,
           "How long a restart or a change of image is worth a warning; restarts within it make a crash loop.", .fallback = "10m"),
    OPTION("socket", RB_OPT_STRING, socket, "The engine's socket; without it DOCKER_HOST, the docker context, then the usual places."),
    {NULL}};

static const struct rb_reason_def reasons[] = {
    RB_DOCKER_REASONS,
    {"engine_unreachable", "The engine could not be asked; the docker check tells why."},
    {"bad_file", "The compose file cannot be read; the message has the place."},
    {"missing", "An expected service has no container: never created, or removed."},
    {"exited", "A container ended; the message has its exit code, the last words its last lines."},
    {"stopped", "A container was stopped by request (docker stop or kill), and is expected to run."},
    {"oom", "A container ran out of memory and was killed; raise its limit or find the leak."},
    {"crash_loop", "A container ends again and again and is restarted each time; look at the last words."},
    {"restarted", "A container crashed and was restarted a short time ago."},
    {"unhealthy", "A container's health check fails; the evidence has its output."},
    {"starting", "A container has not passed its first health check yet, or is being started."},
    {"paused", "A container is paused."},
    {"dead", "The engine could not remove a container; look at `docker ps -a`."},
    {"not_started", "A container was created but could not be started; the message has the engine's words."},
    {"image_changed", "A container runs another image than its tag or the compose file names now, or got another one lately."},
    {"config_differs", "Containers of one service were made from different configurations; recreate them."},
    {"unexpected_service", "A service runs that nobody expects."},
    {NULL}};

static const struct rb_value_def values[] = {
    {"containers", "", RB_VALUE_GAUGE, "Containers of the project by state.", "state"},
    {"service_up", "", RB_VALUE_GAUGE, "1 when every container of a service runs and none is unhealthy.", "service"},
    {"service_restarts", "", RB_VALUE_GAUGE, "Restarts by the engine since the service's containers were started.", "service"},
    {"services_expected", "", RB_VALUE_GAUGE, "Services that must run.", NULL},
    {"services_up", "", RB_VALUE_GAUGE, "Expected services that run.", NULL},
    {NULL}};

/* ---- worker part ---- */

static bool read_files(const struct rb_check_ctx *ctx, struct compose_state *state, struct rb_outcome *out)
{
    const struct compose_options *o = ctx->options;
    struct rb_error err = {0};
    if (o->files.count == 0)
        return true;
    if (rb_compose_read(ctx->root, &o->files, ctx->arena, &state->file, &err) < 0) {
        rb_outcome_set(out, RB_RESULT_UNKNOWN, "bad_file", "%s", rb_docker_clean(err.message, ctx->arena));
        return false;
    }
    state->has_file = true;
    for (size_t i = 0; i < o->files.count; i++)
        rb_outcome_fact(out, o->files.items[i][0] == '/' ? RB_FACT_PATH : RB_FACT_FILE, "%s", o->files.items[i]);
    return true;
}

/* The engine's own check says why; here it is one thing that could not be looked at. */
static void report_fault(const struct rb_docker_fault *fault, struct rb_outcome *out)
{
    bool gone = fault->sighting == RB_SIGHTING_GONE;
    rb_outcome_set(out, RB_RESULT_UNKNOWN, "engine_unreachable", "the Docker engine cannot be asked (%s)", fault->reason);
    rb_outcome_evidence(out, "%s", fault->text);
    out->sighting = gone ? RB_SIGHTING_GONE : RB_SIGHTING_NONE;
    out->final = true;
}

static void run(const struct rb_check_ctx *ctx, struct rb_outcome *out)
{
    const struct compose_options *o = ctx->options;
    struct compose_state *state = ctx->state;
    struct compose_memory *memory = ctx->memory;
    struct rb_docker_fault fault;
    state->now_ns = rb_wall_ns(ctx->clock);
    out->final = !read_files(ctx, state, out);
    state->project = o->project ? o->project : state->has_file ? state->file.project : "";
    bool found = rb_docker_client_find(&state->client, o->socket, ctx->arena, &fault);
    rb_docker_events_point(&memory->events, &state->client.endpoint, state->project);
    if (!found)
        report_fault(&fault, out);
}

/* ---- questions ---- */

static void ask_list(const struct rb_check_ctx *ctx, struct compose_state *state, struct rb_action *next)
{
    json_t *filters = json_pack("{s:[o]}", "label", json_sprintf(RB_DOCKER_LABEL_PROJECT "=%s", state->project));
    char *text = filters ? json_dumps(filters, JSON_COMPACT) : NULL;
    const char *escaped = text ? rb_docker_url_escape(text, ctx->arena) : NULL;
    free(text);
    json_decref(filters);
    rb_docker_get(ctx, &state->client, next, "/containers/json?all=1&filters=%s", escaped ? escaped : "");
}

static struct compose_unit *current(struct compose_state *state)
{
    return &state->units[state->at];
}

static bool ask_inspect(const struct rb_check_ctx *ctx, struct compose_state *state, struct rb_action *next)
{
    if (state->asked == MAX_INSPECT)
        return false;
    rb_docker_get(ctx, &state->client, next, "/containers/%s/json", current(state)->container.id);
    return true;
}

/* What a tag names now; an image that was given by its digest cannot move. */
static bool ask_image(const struct rb_check_ctx *ctx, struct compose_state *state, struct rb_action *next)
{
    const struct rb_docker_container *container = &current(state)->container;
    if (state->asked == MAX_IMAGES || !container->inspected || strncmp(container->image, "sha256:", 7) == 0 ||
        strchr(container->image, '@') || !container->image[0])
        return false;
    for (size_t i = 0; i < state->at; i++) {
        if (strcmp(state->units[i].container.image, container->image) == 0) {
            current(state)->tag_image = state->units[i].tag_image;
            return false;
        }
    }
    const char *escaped = rb_docker_url_escape(container->image, ctx->arena);
    rb_docker_get(ctx, &state->client, next, "/images/%s/json", escaped ? escaped : "");
    return true;
}

/* Who ended it? The stretch of the event log around its end; once the answer is known it is kept. */
static bool ask_ended(const struct rb_check_ctx *ctx, struct compose_state *state, struct rb_action *next)
{
    struct compose_unit *unit = current(state);
    const struct rb_docker_container *container = &unit->container;
    if (container->state != RB_DOCKER_STATE_EXITED || !container->inspected || !container->finished_ns)
        return false;
    if (unit->known && unit->known->ended_ns == container->finished_ns) {
        unit->finding.by_request = unit->known->by_request;
        unit->finding.alone = unit->known->alone;
        current(state)->container.oom_killed = container->oom_killed || unit->known->oom;
        return false;
    }
    unit->finding.by_request = rb_compose_probably_by_request(container);
    if (state->asked == MAX_ENDED)
        return false;
    /* A stop is announced up to its grace period before the end. An `until` in the past makes the engine answer and close. */
    int64_t to = container->finished_ns + SETTLING_NS, from = container->started_ns - RB_NS_PER_S, now = rb_wall_ns(ctx->clock);
    to = to < now ? to : now;
    from = to - from > LONGEST_STOP_NS ? to - LONGEST_STOP_NS : from;
    const char *filters = rb_arena_printf(ctx->arena, "{\"container\":[\"%s\"],\"event\":[\"kill\",\"stop\",\"die\",\"oom\"]}",
                                          container->id);
    const char *escaped = filters ? rb_docker_url_escape(filters, ctx->arena) : NULL;
    rb_docker_get(ctx, &state->client, next, "/events?since=%" PRId64 ".%09" PRId64 "&until=%" PRId64 ".%09" PRId64 "&filters=%s",
                  from / RB_NS_PER_S, from % RB_NS_PER_S, to / RB_NS_PER_S, to % RB_NS_PER_S, escaped ? escaped : "");
    next->http.timeout_ms = EVENTS_MS;
    return true;
}

static bool ask_log(const struct rb_check_ctx *ctx, struct compose_state *state, struct rb_action *next)
{
    const struct compose_unit *unit = current(state);
    if (state->asked == MAX_LOGS || unit->finding.result < RB_RESULT_FAIL || !rb_docker_is_id(unit->container.id))
        return false;
    /* What it said before its last start is another story. */
    int64_t since_ns = unit->container.inspected && unit->container.started_ns ? unit->container.started_ns - EARLY_WORDS_NS : 0;
    rb_docker_get(ctx, &state->client, next, "/containers/%s/logs?stdout=1&stderr=1&tail=%d&since=%" PRId64 ".%09" PRId64,
                  unit->container.id, LOG_LINES, since_ns / RB_NS_PER_S, since_ns % RB_NS_PER_S);
    next->http.max_body = LOG_BYTES;
    return true;
}

/* ---- answers ---- */

static int order(const void *a, const void *b)
{
    const struct compose_unit *x = a, *y = b;
    bool x_runs = x->container.state == RB_DOCKER_STATE_RUNNING, y_runs = y->container.state == RB_DOCKER_STATE_RUNNING;
    return x_runs != y_runs ? (x_runs ? 1 : -1) : strcmp(x->container.name, y->container.name);
}

static void take_list(const struct rb_check_ctx *ctx, struct compose_state *state, const json_t *list)
{
    size_t count = json_array_size(list) < RB_DOCKER_MAX_CONTAINERS ? json_array_size(list) : RB_DOCKER_MAX_CONTAINERS;
    state->units = rb_arena_array(ctx->arena, count + 1, sizeof *state->units);
    for (size_t i = 0; state->units && i < count; i++) {
        struct rb_docker_container container;
        bool good = rb_docker_listed(json_array_get(list, i), ctx->arena, &container) && rb_docker_is_id(container.id);
        if (good && !container.oneoff && strcmp(container.project, state->project) == 0)
            state->units[state->count++].container = container;
    }
    if (state->units && state->count > 1)
        qsort(state->units, state->count, sizeof *state->units, order);
}

/* A container that went away between the list and its inspection stays as it was listed. */
static void take_inspect(const struct rb_check_ctx *ctx, struct compose_state *state, const struct rb_event *event)
{
    struct rb_docker_fault ignored;
    struct rb_docker_container container;
    json_t *document = rb_docker_json(&state->client, event, ctx->arena, &ignored);
    if (document && rb_docker_inspected(document, ctx->arena, &container))
        current(state)->container = container;
    json_decref(document);
}

static void take_image(const struct rb_check_ctx *ctx, struct compose_state *state, const struct rb_event *event)
{
    struct rb_docker_fault ignored;
    json_t *document = rb_docker_json(&state->client, event, ctx->arena, &ignored);
    current(state)->tag_image = rb_arena_strdup(ctx->arena, json_string_value(json_object_get(document, "Id")));
    json_decref(document);
}

struct end {
    bool requested, died, oom;
};

static void read_end(const struct compose_unit *unit, const char *line, size_t len, struct end *end)
{
    struct rb_docker_event told;
    json_error_t error;
    json_t *document = json_loadb(line, len, 0, &error);
    if (document && rb_docker_event_of(document, &told) && strcmp(told.id, unit->container.id) == 0 &&
        told.wall_ns >= unit->container.started_ns) {
        end->died = end->died || strcmp(told.action, "die") == 0;
        end->oom = end->oom || strcmp(told.action, "oom") == 0;
        end->requested = end->requested || strcmp(told.action, "kill") == 0 || strcmp(told.action, "stop") == 0;
    }
    json_decref(document);
}

/* Lines of JSON: was it sent a signal by request before it died? An oom that is told after the death never sets OOMKilled. */
static void take_ended(const struct rb_check_ctx *ctx, struct compose_state *state, const struct rb_event *event)
{
    struct compose_unit *unit = current(state);
    const struct rb_http_response *response = event->http;
    struct end end = {0};
    if (!response || response->failure != RB_NET_OK || response->status != 200)
        return;
    const char *line = response->body, *stop = response->body + response->body_len;
    while (line < stop) {
        const char *newline = memchr(line, '\n', (size_t)(stop - line)), *line_end = newline ? newline : stop;
        read_end(unit, line, (size_t)(line_end - line), &end);
        line = line_end + 1;
    }
    unit->container.oom_killed = unit->container.oom_killed || end.oom;
    if (!end.requested && !end.died)
        return;
    unit->finding.by_request = end.requested;
    unit->finding.alone = end.died && !end.requested;
    /* Soon after the end more may come. */
    if (unit->known && rb_wall_ns(ctx->clock) - unit->container.finished_ns > SETTLING_NS) {
        unit->known->ended_ns = unit->container.finished_ns;
        unit->known->by_request = end.requested;
        unit->known->alone = unit->finding.alone;
        unit->known->oom = end.oom;
    }
}

static void take_log(const struct rb_check_ctx *ctx, struct compose_state *state, const struct rb_event *event)
{
    const struct rb_http_response *response = event->http;
    RB_BUF_AUTO text;
    rb_buf_init(&text, LOG_BYTES);
    if (!response || response->failure != RB_NET_OK || response->status != 200)
        return;
    rb_docker_log_text(response->body, response->body_len, current(state)->container.tty, &text);
    current(state)->log = rb_arena_strndup(ctx->arena, rb_buf_str(&text), text.len);
}

/* ---- the machine ---- */

static void enter(const struct rb_check_ctx *ctx, struct compose_state *state)
{
    struct compose_memory *memory = ctx->memory;
    state->stage++;
    state->at = 0;
    state->asked = 0;
    for (size_t i = 0; i < state->count; i++) {
        struct compose_unit *unit = &state->units[i];
        if (state->stage == STAGE_IMAGES) {
            unit->known = rb_compose_known(memory, &unit->container);
            rb_compose_compare(ctx, unit);
        } else if (state->stage == STAGE_LOGS) {
            rb_compose_judge(ctx, state, unit);
        }
    }
}

static bool ask(const struct rb_check_ctx *ctx, struct compose_state *state, struct rb_action *next)
{
    switch (state->stage) {
    case STAGE_INSPECT:
        return ask_inspect(ctx, state, next);
    case STAGE_IMAGES:
        return ask_image(ctx, state, next);
    case STAGE_ENDED:
        return ask_ended(ctx, state, next);
    case STAGE_LOGS:
        return ask_log(ctx, state, next);
    case STAGE_VERSION:
    case STAGE_LIST:
    case STAGE_DONE:
        break;
    }
    return false;
}

/* The next container that has a question in this stage, else the next stage; false when there is none left. */
static bool go_on(const struct rb_check_ctx *ctx, struct compose_state *state, struct rb_action *next)
{
    while (state->stage < STAGE_DONE) {
        for (; state->at < state->count; state->at++) {
            if (ask(ctx, state, next)) {
                state->asked++;
                return true;
            }
        }
        enter(ctx, state);
    }
    return false;
}

static void take(const struct rb_check_ctx *ctx, struct compose_state *state, const struct rb_event *event)
{
    switch (state->stage) {
    case STAGE_INSPECT:
        take_inspect(ctx, state, event);
        break;
    case STAGE_IMAGES:
        take_image(ctx, state, event);
        break;
    case STAGE_ENDED:
        take_ended(ctx, state, event);
        break;
    case STAGE_LOGS:
        take_log(ctx, state, event);
        break;
    case STAGE_VERSION:
    case STAGE_LIST:
    case STAGE_DONE:
        break;
    }
    state->at++;
}

/* The engine's version and the list of containers; true when the project's containers are known. */
static bool take_engine(const struct rb_check_ctx *ctx, struct compose_state *state, const struct rb_event *event, struct rb_action *next,
                        struct rb_outcome *out)
{
    struct rb_docker_fault fault;
    json_t *document = NULL;
    if (state->stage == STAGE_VERSION) {
        int rc = rb_docker_take_version(ctx, &state->client, event, next, &document, &fault);
        json_decref(document);
        if (rc > 0) {
            state->stage = STAGE_LIST;
            ask_list(ctx, state, next);
        } else if (rc < 0) {
            report_fault(&fault, out);
            next->type = RB_ACTION_DONE;
        }
        return false;
    }
    document = rb_docker_json(&state->client, event, ctx->arena, &fault);
    if (!document) {
        report_fault(&fault, out);
        next->type = RB_ACTION_DONE;
        return false;
    }
    take_list(ctx, state, document);
    json_decref(document);
    state->stage = STAGE_INSPECT;
    return true;
}

static void step(const struct rb_check_ctx *ctx, void *state_memory, const struct rb_event *event, struct rb_action *next,
                 struct rb_outcome *out)
{
    struct compose_state *state = state_memory;
    if (event->type == RB_EVENT_START) {
        rb_docker_ask_version(ctx, &state->client, next);
        return;
    }
    if (state->stage == STAGE_VERSION || state->stage == STAGE_LIST) {
        if (!take_engine(ctx, state, event, next, out))
            return;
    } else {
        take(ctx, state, event);
    }
    if (go_on(ctx, state, next))
        return;
    rb_compose_forget_gone(ctx->memory, state);
    rb_compose_find_needs(ctx, state);
    rb_compose_report(ctx, state, out);
    next->type = RB_ACTION_DONE;
}

static void validate(void *filled, const struct rb_node *node, struct rb_diags *diags)
{
    const struct compose_options *o = filled;
    if (!o->project && o->files.count == 0)
        (void)rb_diag_add(diags, node->mark, "give project, or the compose file as `file`");
    if (o->project && strlen(o->project) > 100)
        (void)rb_diag_add(diags, rb_node_get(node, "project")->mark, "the project's name is longer than 100 bytes");
}

static const struct rb_exchange_ops ops = {.state_size = sizeof(struct compose_state), .step = step};

extern const struct rb_kind rb_kind_compose;
const struct rb_kind rb_kind_compose = {
    .schema = {.schema = {.name = "compose",
                          .doc = "The services of a compose project run and are healthy; what died says why, with its last words.",
                          .options = options,
                          .size = sizeof(struct compose_options),
                          .validate = validate},
               .default_phase = RB_PHASE_HEALTH,
               .default_triage = true,
               .opens_network = true,
               .presence_aware = true,
               .needs_kind = "docker",
               .needs_option = "socket",
               .example = "{name: obs, kind: compose, project: peaktrade-observability, services: [prometheus-local, grafana]}"},
    .values = values,
    .reasons = reasons,
    .exec = RB_EXEC_EXCHANGE,
    .memory_size = sizeof(struct compose_memory),
    .run = run,
    .exchange = &ops,
    .stream = &rb_docker_events_ops,
};
