/* compose: how the containers of a project were made: image and its digest, configuration hash, mounted files and folders.
 *
 * What a container does (health, restarts) is the `compose` kind's business; here it counts who was replaced by what. Without an engine nothing is compared: a stopped engine
 * has not removed a container. One-off containers of `compose run` come and go and are no facts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runbook/check/docker.h"
#include "runbook/check/facts.h"
#include "runbook/config/diag.h"
#include "runbook/drift/source.h"
#include "runbook/drift/tables.h"

struct compose_options {
    const char *project, *socket;
};
_Static_assert(sizeof(struct compose_options) <= RB_DRIFT_SOURCE_OPTIONS, "options fit");

const struct rb_option rb_drift_compose_options[] = {
    {.name = "project",
     .type = RB_OPT_STRING,
     .flags = RB_OPT_NONEMPTY,
     .offset = offsetof(struct compose_options, project),
     .doc = "Name of the compose project.",
     .example = "peaktrade-observability"},
    {.name = "socket",
     .type = RB_OPT_PATH,
     .offset = offsetof(struct compose_options, socket),
     .doc = "Socket of the engine. Default: DOCKER_HOST, the Docker context, the usual places."},
    {NULL}};

struct compose_state {
    struct rb_docker_client client;
    struct rb_docker_container *containers;
    size_t count, at;
    bool listed;
};

static void validate(const void *options, const struct rb_node *node, struct rb_diags *diags)
{
    if (!((const struct compose_options *)options)->project)
        (void)rb_diag_add(diags, node->mark, "compose needs project, for example {project: peaktrade-observability}");
}

static enum rb_drift_collected fail(const struct rb_drift_collect *collect, const struct rb_docker_fault *fault)
{
    rb_outcome_set(collect->out, RB_RESULT_UNKNOWN, "no_engine", "%s", fault->text);
    return RB_DRIFT_FAILED;
}

static enum rb_drift_collected find(const struct rb_drift_collect *collect)
{
    const struct compose_options *o = collect->options;
    struct compose_state *state = collect->state;
    struct rb_docker_fault fault;
    if (!rb_docker_client_find(&state->client, o->socket, collect->ctx->arena, &fault))
        return fail(collect, &fault);
    return RB_DRIFT_MORE;
}

static void ask_list(const struct rb_drift_collect *collect, struct rb_action *next)
{
    const struct compose_options *o = collect->options;
    struct compose_state *state = collect->state;
    json_t *filters = json_pack("{s:[o]}", "label", json_sprintf(RB_DOCKER_LABEL_PROJECT "=%s", o->project));
    char *text = filters ? json_dumps(filters, JSON_COMPACT) : NULL;
    const char *escaped = text ? rb_docker_url_escape(text, collect->ctx->arena) : NULL;
    free(text);
    json_decref(filters);
    rb_docker_get(collect->ctx, &state->client, next, "/containers/json?all=1&filters=%s", escaped ? escaped : "");
}

/* ---- facts ---- */

static void add(const struct rb_drift_collect *collect, const char *unit, const char *what, const char *value)
{
    struct rb_arena *arena = collect->ctx->arena;
    const char *key = rb_arena_printf(arena, "%s.%s", unit, what);
    if (key && value[0])
        (void)rb_drift_facts_add_text(collect->facts, key, value);
}

static void add_container(const struct rb_drift_collect *collect, const struct rb_docker_container *container)
{
    const struct compose_options *o = collect->options;
    struct compose_state *state = collect->state;
    struct rb_arena *arena = collect->ctx->arena;
    const char *service = rb_docker_clean(container->service, arena);
    const char *unit = container->number > 1 ? rb_arena_printf(arena, "%s-%u", service, container->number) : service;
    if (!unit)
        return;
    add(collect, unit, "image", rb_docker_clean(container->image, arena));
    add(collect, unit, "image_id", container->image_id);
    add(collect, unit, "config_hash", container->config_hash);
    rb_outcome_fact(collect->out, RB_FACT_SERVICE, "%s/%s", o->project, service);
    for (size_t i = 0; i < container->mount_count; i++) {
        const char *source = rb_docker_host_path(&state->client.endpoint, container->mounts[i].source, collect->ctx->root, arena);
        const char *what = rb_arena_printf(arena, "mount[%s]", rb_docker_clean(container->mounts[i].target, arena));
        if (!source || !what)
            continue;
        add(collect, unit, what, rb_docker_clean(source, arena));
        rb_outcome_fact(collect->out, RB_FACT_MOUNT, "%s", source);
    }
}

/* ---- the machine ---- */

static enum rb_drift_collected inspect_next(const struct rb_drift_collect *collect, struct rb_action *next)
{
    struct compose_state *state = collect->state;
    if (state->at == state->count)
        return RB_DRIFT_COLLECTED;
    rb_docker_get(collect->ctx, &state->client, next, "/containers/%s/json", state->containers[state->at].id);
    return RB_DRIFT_MORE;
}

static enum rb_drift_collected take_list(const struct rb_drift_collect *collect, const json_t *list, struct rb_action *next)
{
    const struct compose_options *o = collect->options;
    struct compose_state *state = collect->state;
    size_t count = json_array_size(list) < RB_DOCKER_MAX_CONTAINERS ? json_array_size(list) : RB_DOCKER_MAX_CONTAINERS;
    state->containers = rb_arena_array(collect->ctx->arena, count + 1, sizeof *state->containers);
    for (size_t i = 0; state->containers && i < count; i++) {
        struct rb_docker_container container;
        if (rb_docker_listed(json_array_get(list, i), collect->ctx->arena, &container) && rb_docker_is_id(container.id) &&
            !container.oneoff && strcmp(container.project, o->project) == 0)
            state->containers[state->count++] = container;
    }
    state->listed = true;
    return inspect_next(collect, next);
}

/* The mounts are in the inspection only. A container that went away since the list is no fact; any other failure ends the comparison. */
static enum rb_drift_collected take_inspected(const struct rb_drift_collect *collect, const struct rb_event *event, struct rb_action *next)
{
    struct compose_state *state = collect->state;
    struct rb_docker_fault fault;
    struct rb_docker_container container;
    bool gone = event->http && event->http->failure == RB_NET_OK && event->http->status == 404;
    json_t *document = gone ? NULL : rb_docker_json(&state->client, event, collect->ctx->arena, &fault);
    if (!document && !gone)
        return fail(collect, &fault);
    if (document && rb_docker_inspected(document, collect->ctx->arena, &container))
        add_container(collect, &container);
    json_decref(document);
    state->at++;
    return inspect_next(collect, next);
}

static enum rb_drift_collected step(const struct rb_drift_collect *collect, const struct rb_event *event, struct rb_action *next)
{
    struct compose_state *state = collect->state;
    struct rb_docker_fault fault;
    json_t *document = NULL;
    if (event->type == RB_EVENT_START) {
        rb_docker_ask_version(collect->ctx, &state->client, next);
        return RB_DRIFT_MORE;
    }
    if (state->client.api_minor == 0) {
        int rc = rb_docker_take_version(collect->ctx, &state->client, event, next, &document, &fault);
        json_decref(document);
        if (rc > 0)
            ask_list(collect, next);
        return rc < 0 ? fail(collect, &fault) : RB_DRIFT_MORE;
    }
    if (state->listed)
        return take_inspected(collect, event, next);
    document = rb_docker_json(&state->client, event, collect->ctx->arena, &fault);
    enum rb_drift_collected collected = document ? take_list(collect, document, next) : fail(collect, &fault);
    json_decref(document);
    return collected;
}

const struct rb_drift_source rb_drift_source_compose = {
    .name = "compose", .state_size = sizeof(struct compose_state), .validate = validate, .collect = find, .step = step};
