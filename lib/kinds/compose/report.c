/* The outcome of a project: the worst finding is the message, everything else its evidence; values, facts, last words, and whether the project is there at all. */
#include "compose.h"

#include <string.h>

#include "runbook/base/text.h"
#include "runbook/check/facts.h"

static const char *name_of(const struct compose_unit *unit, struct rb_arena *arena)
{
    const struct rb_docker_container *container = &unit->container;
    const char *name = container->name[0] ? container->name : container->id;
    return rb_docker_clean(name, arena);
}

bool rb_compose_is_up(const struct compose_unit *unit)
{
    return unit->container.state == RB_DOCKER_STATE_RUNNING && unit->container.health != RB_DOCKER_HEALTH_UNHEALTHY;
}

/* Log lines first, or the health check's words: what explains the finding. */
static const char *last_words(const struct compose_unit *unit)
{
    if (unit->container.state == RB_DOCKER_STATE_RUNNING && unit->container.health == RB_DOCKER_HEALTH_UNHEALTHY &&
        unit->container.health_output[0])
        return unit->container.health_output;
    return unit->log && unit->log[0] ? unit->log : NULL;
}

static void add_last_line(const struct compose_unit *unit, struct rb_outcome *out)
{
    const char *text = last_words(unit);
    size_t len = text ? strlen(text) : 0;
    while (len > 0 && strchr("\r\n\t ", text[len - 1]))
        len--;
    size_t start = len;
    while (start > 0 && text[start - 1] != '\n')
        start--;
    const char *line = len > 0 ? rb_arena_strndup(out->arena, text + start, len - start) : NULL;
    if (line)
        rb_outcome_evidence(out, "%s said last: %s", name_of(unit, out->arena), rb_docker_clean(line, out->arena));
}

/* The words of the worst container; of an unhealthy one what its probe said, then its log. */
static void set_last_words(const struct compose_unit *unit, struct rb_outcome *out)
{
    RB_BUF_AUTO text;
    bool unhealthy = last_words(unit) == unit->container.health_output;
    rb_buf_init(&text, LOG_BYTES + (16u << 10));
    rb_buf_adds(&text, unit->log);
    if (unhealthy) {
        rb_outcome_evidence(out, "health check, exit code %lld: %s", (long long)unit->container.health_exit_code,
                            rb_docker_clean(unit->container.health_output, out->arena));
        if (text.len > 0 && text.data[text.len - 1] != '\n')
            rb_buf_addc(&text, '\n');
        rb_buf_adds(&text, unit->container.health_output);
    }
    if (!text.failed)
        rb_outcome_last_words(out, rb_buf_str(&text), text.len);
}

/* What brings it back; the log of the first only. */
static void add_hints(const struct compose_unit *unit, bool first, struct rb_outcome *out)
{
    RB_BUF_AUTO quoted;
    rb_buf_init(&quoted, 1024);
    const struct rb_docker_container *container = &unit->container;
    if (!container->name[0] || !rb_text_shell_quote(&quoted, container->name))
        return;
    if (first)
        rb_outcome_hint(out, "docker logs --tail 50 %s", rb_buf_str(&quoted));
    if (container->state == RB_DOCKER_STATE_PAUSED)
        rb_outcome_hint(out, "docker unpause %s", rb_buf_str(&quoted));
    else if (unit->finding.down || unit->finding.ended)
        rb_outcome_hint(out, "docker start %s", rb_buf_str(&quoted));
    else if (unit->finding.result == RB_RESULT_FAIL)
        rb_outcome_hint(out, "docker restart %s", rb_buf_str(&quoted));
}

static void add_facts(const struct rb_check_ctx *ctx, const struct compose_state *state, const struct compose_unit *unit,
                      struct rb_outcome *out)
{
    const struct rb_docker_container *container = &unit->container;
    rb_outcome_fact(out, RB_FACT_CONTAINER, "%s", container->name);
    if (container->service[0])
        rb_outcome_fact(out, RB_FACT_SERVICE, "%s/%s", state->project, container->service);
    for (size_t i = 0; i < state->needs.count; i++) {
        if (rb_compose_needs(state, container->service, state->needs.names[i]))
            rb_outcome_fact(out, RB_FACT_NEEDS, "%s/%s %s", state->project, container->service, state->needs.names[i]);
    }
    for (size_t i = 0; i < container->publish_count; i++)
        rb_outcome_fact(out, RB_FACT_PUBLISH, "%u", (unsigned)container->publish[i].host_port);
    for (size_t i = 0; i < container->mount_count; i++) {
        const char *path = rb_docker_host_path(&state->client.endpoint, container->mounts[i].source, ctx->root, ctx->arena);
        rb_outcome_fact(out, RB_FACT_MOUNT, "%s", path ? path : "");
        rb_outcome_fact(out, RB_FACT_MOUNTED_AS, "%s", container->mounts[i].target);
    }
    if (container->image_id[0])
        rb_outcome_fact(out, RB_FACT_IMAGE, "%s/%s %s", state->project, container->service, container->image_id);
    if (container->config_hash[0])
        rb_outcome_fact(out, RB_FACT_CONFIG_HASH, "%s/%s %s", state->project, container->service, container->config_hash);
}

static void judge_hashes(const struct rb_check_ctx *ctx, const struct compose_state *state, struct rb_outcome *out)
{
    for (size_t i = 0; i < state->count; i++) {
        const struct rb_docker_container *a = &state->units[i].container;
        for (size_t j = i + 1; j < state->count && a->config_hash[0]; j++) {
            const struct rb_docker_container *b = &state->units[j].container;
            if (strcmp(a->service, b->service) == 0 && b->config_hash[0] && strcmp(a->config_hash, b->config_hash) != 0) {
                rb_outcome_raise(out, RB_RESULT_WARN, "config_differs", "%s: its containers were made from different configurations",
                                 rb_docker_clean(a->service, ctx->arena));
                return;
            }
        }
        if (state->has_file && a->created_ns && state->file.mtime_wall_ns > a->created_ns && rb_compose_is_up(&state->units[i]))
            rb_outcome_evidence(out, "%s changed after %s was made", rb_docker_clean(state->file.newest, ctx->arena),
                                name_of(&state->units[i], ctx->arena));
    }
}

static bool has_container(const struct compose_state *state, const char *service)
{
    for (size_t i = 0; i < state->count; i++) {
        if (strcmp(state->units[i].container.service, service) == 0)
            return true;
    }
    return false;
}

/* Counts one service; true when it runs. */
static bool judge_service(const struct rb_check_ctx *ctx, const struct compose_state *state, const char *service, struct rb_outcome *out)
{
    const struct compose_options *o = ctx->options;
    size_t containers = 0, up = 0, ended = 0;
    int64_t restarts = 0;
    for (size_t i = 0; i < state->count; i++) {
        const struct compose_unit *unit = &state->units[i];
        if (strcmp(unit->container.service, service) != 0)
            continue;
        containers++;
        up += rb_compose_is_up(unit);
        ended += unit->finding.ended;
        restarts += unit->container.restart_count;
    }
    bool fine = containers > 0 && (up == containers || (rb_compose_runs_once(o, state, service) && up + ended == containers));
    rb_outcome_value(out, "service_up", service, fine ? 1 : 0);
    rb_outcome_value(out, "service_restarts", service, (double)restarts);
    return fine;
}

static void raise_finding(const struct rb_check_ctx *ctx, const struct compose_state *state, const struct compose_unit *unit,
                          struct rb_outcome *out)
{
    const char *name = name_of(unit, ctx->arena), *blamed = rb_compose_blames(state, unit->container.service);
    const struct compose_finding *finding = &unit->finding;
    if (finding->reason && finding->result >= RB_RESULT_FAIL && blamed)
        rb_outcome_raise(out, finding->result, finding->reason, "%s %s; it needs %s", name, finding->text,
                         rb_docker_clean(blamed, ctx->arena));
    else if (finding->reason && finding->result > RB_RESULT_OK)
        rb_outcome_raise(out, finding->result, finding->reason, "%s %s", name, finding->text);
    else if (finding->reason)
        rb_outcome_evidence(out, "%s %s", name, finding->text);
}

static void raise_findings(const struct rb_check_ctx *ctx, const struct compose_state *state, struct rb_outcome *out)
{
    const struct compose_options *o = ctx->options;
    for (size_t i = 0; i < state->count; i++) {
        const struct compose_unit *unit = &state->units[i];
        const char *name = name_of(unit, ctx->arena);
        raise_finding(ctx, state, unit, out);
        if (rb_compose_is_up(unit) && !rb_compose_is_expected(o, state, unit->container.service) && o->unexpected == UNEXPECTED_WARN)
            rb_outcome_raise(out, RB_RESULT_WARN, "unexpected_service", "%s runs, but nobody expects service %s", name,
                             rb_docker_clean(unit->container.service, ctx->arena));
    }
}

/* What failed for reasons of its own goes before what needs it, and of those what ended first: the first of the worst gives the outcome its message. */
static bool goes_before(const struct compose_state *state, const struct compose_unit *a, const struct compose_unit *b)
{
    bool a_blames = rb_compose_blames(state, a->container.service) != NULL,
         b_blames = rb_compose_blames(state, b->container.service) != NULL;
    if (a_blames != b_blames)
        return b_blames;
    int64_t a_ended = a->finding.down || a->finding.ended ? a->container.finished_ns : 0;
    int64_t b_ended = b->finding.down || b->finding.ended ? b->container.finished_ns : 0;
    if ((a_ended != 0) != (b_ended != 0))
        return a_ended != 0;
    return a_ended < b_ended;
}

static void put_in_order(struct compose_state *state)
{
    for (size_t i = 1; i < state->count && i < MAX_INSPECT; i++) {
        struct compose_unit unit = state->units[i];
        size_t at = i;
        for (; at > 0 && unit.finding.result >= RB_RESULT_FAIL && goes_before(state, &unit, &state->units[at - 1]); at--)
            state->units[at] = state->units[at - 1];
        state->units[at] = unit;
    }
}

static const struct compose_unit *worst_unit(const struct compose_state *state)
{
    const struct compose_unit *worst = NULL;
    for (size_t i = 0; i < state->count; i++) {
        const struct compose_unit *unit = &state->units[i];
        if (unit->finding.reason && (!worst || unit->finding.result > worst->finding.result))
            worst = unit;
    }
    return worst && worst->finding.result > RB_RESULT_OK ? worst : NULL;
}

static void add_words(const struct compose_state *state, struct rb_outcome *out)
{
    const struct compose_unit *worst = worst_unit(state);
    if (!worst)
        return;
    set_last_words(worst, out);
    add_hints(worst, true, out);
    for (size_t i = 0; i < state->count; i++) {
        if (&state->units[i] == worst || state->units[i].finding.result == RB_RESULT_OK)
            continue;
        add_last_line(&state->units[i], out);
        add_hints(&state->units[i], false, out);
    }
}

static void set_sighting(const struct rb_check_ctx *ctx, const struct compose_state *state, struct rb_outcome *out)
{
    size_t down = 0, there = 0;
    for (size_t i = 0; i < state->count; i++) {
        down += state->units[i].finding.down;
        there += !state->units[i].finding.down && !state->units[i].finding.ended;
    }
    if (there > 0)
        out->sighting = RB_SIGHTING_PRESENT;
    else
        out->sighting = down > 0 ? RB_SIGHTING_GONE : RB_SIGHTING_ENDED;
    if (there > 0 || ctx->spec->presence == RB_PRESENCE_REQUIRED || down > 0)
        return;
    rb_outcome_say(out, state->count ? "project %s is stopped" : "project %s has no containers", state->project);
}

/* Expected services without a container; those that a failing one needs come before it. */
static void raise_missing(const struct rb_check_ctx *ctx, const struct compose_state *state, bool needed, struct rb_outcome *out)
{
    const char *service;
    for (size_t i = 0; (service = rb_compose_expected(ctx->options, state, i)); i++) {
        bool blamed = false;
        for (size_t u = 0; u < state->count && !blamed; u++) {
            const char *blames = rb_compose_blames(state, state->units[u].container.service);
            blamed = blames && strcmp(blames, service) == 0;
        }
        if (blamed != needed || has_container(state, service))
            continue;
        if (ctx->spec->presence != RB_PRESENCE_REQUIRED)
            rb_outcome_evidence(out, "%s has no container", rb_docker_clean(service, ctx->arena));
        else if (!rb_compose_runs_once(ctx->options, state, service))
            rb_outcome_raise(out, RB_RESULT_FAIL, "missing", "%s has no container in project %s", rb_docker_clean(service, ctx->arena),
                             state->project);
    }
}

/* Services that nobody expects by name have a value of their own, too: the diagnosis asks whether they are up. */
static void judge_others(const struct rb_check_ctx *ctx, const struct compose_state *state, struct rb_outcome *out)
{
    for (size_t i = 0; i < state->count; i++) {
        const char *service = state->units[i].container.service, *expected;
        bool told = service[0] == '\0';
        for (size_t k = 0; k < i && !told; k++)
            told = strcmp(state->units[k].container.service, service) == 0;
        for (size_t k = 0; !told && (expected = rb_compose_expected(ctx->options, state, k)); k++)
            told = strcmp(expected, service) == 0;
        if (!told)
            (void)judge_service(ctx, state, service, out);
    }
}

void rb_compose_report(const struct rb_check_ctx *ctx, struct compose_state *state, struct rb_outcome *out)
{
    size_t counts[RB_DOCKER_STATE_COUNT] = {0}, up = 0, wanted = 0;
    const char *service;
    put_in_order(state);
    for (size_t i = 0; i < state->count; i++) {
        counts[state->units[i].container.state]++;
        add_facts(ctx, state, &state->units[i], out);
    }
    for (int i = 0; i < RB_DOCKER_STATE_COUNT; i++)
        rb_outcome_value(out, "containers", rb_docker_state_name((enum rb_docker_state)i), (double)counts[i]);
    raise_missing(ctx, state, true, out);
    raise_findings(ctx, state, out);
    raise_missing(ctx, state, false, out);
    if (state->count == 0 && ctx->spec->presence == RB_PRESENCE_REQUIRED)
        rb_outcome_raise(out, RB_RESULT_FAIL, "missing", "project %s has no containers", state->project);
    for (; (service = rb_compose_expected(ctx->options, state, wanted)); wanted++)
        up += judge_service(ctx, state, service, out);
    judge_others(ctx, state, out);
    rb_outcome_value(out, "services_expected", NULL, (double)wanted);
    rb_outcome_value(out, "services_up", NULL, (double)up);
    judge_hashes(ctx, state, out);
    if (out->result == RB_RESULT_OK)
        rb_outcome_say(out, "%s: %zu of %zu containers run", state->project, counts[RB_DOCKER_STATE_RUNNING], state->count);
    add_words(state, out);
    set_sighting(ctx, state, out);
}
