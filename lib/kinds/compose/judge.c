/* One container: what is expected of it, what changed since the last run, and the one finding about it.
 *
 * Whether somebody stopped a container is asked of the engine's event log (compose.c); its answer is remembered with the moment of the end, because the log is short. */
#include "compose.h"

#include <stdio.h>
#include <string.h>

#define CRASHES     3
#define STARTING_NS (30 * RB_NS_PER_S)
#define YOUNG_NS    (60 * RB_NS_PER_S)

/* ---- expectations ---- */

static bool in_list(const struct rb_strings *list, const char *text)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i], text) == 0)
            return true;
    }
    return false;
}

const char *rb_compose_expected(const struct compose_options *o, const struct compose_state *state, size_t i)
{
    if (o->services.count > 0)
        return i < o->services.count ? o->services.items[i] : NULL;
    for (size_t j = 0; state->has_file && j < state->file.count; j++) {
        if (!state->file.services[j].on_demand && i-- == 0)
            return state->file.services[j].name;
    }
    return NULL;
}

bool rb_compose_is_expected(const struct compose_options *o, const struct compose_state *state, const char *service)
{
    const char *name;
    bool any = false;
    for (size_t i = 0; (name = rb_compose_expected(o, state, i)); i++) {
        any = true;
        if (strcmp(name, service) == 0)
            return true;
    }
    return !any || in_list(&o->once, service);
}

static bool has_expectations(const struct compose_options *o, const struct compose_state *state)
{
    return rb_compose_expected(o, state, 0) != NULL;
}

bool rb_compose_runs_once(const struct compose_options *o, const struct compose_state *state, const char *service)
{
    const struct rb_compose_service *entry = state->has_file ? rb_compose_find(&state->file, service) : NULL;
    return in_list(&o->once, service) || (entry && entry->once);
}

/* ---- memory ---- */

struct compose_known *rb_compose_known(struct compose_memory *memory, const struct rb_docker_container *container)
{
    struct compose_known *oldest = NULL;
    for (size_t i = 0; i < memory->count; i++) {
        struct compose_known *known = &memory->items[i];
        if (strncmp(known->service, container->service, sizeof known->service - 1) == 0 && known->number == container->number)
            return known;
    }
    if (memory->count < MAX_KNOWN)
        oldest = &memory->items[memory->count++];
    if (!oldest)
        return NULL;
    *oldest = (struct compose_known){.number = container->number, .restarts = -1};
    (void)snprintf(oldest->service, sizeof oldest->service, "%s", container->service);
    return oldest;
}

static const char *short_image(const char *id)
{
    return strncmp(id, "sha256:", 7) == 0 ? id + 7 : id;
}

void rb_compose_forget_gone(struct compose_memory *memory, const struct compose_state *state)
{
    for (size_t i = 0; i < memory->count;) {
        bool there = false;
        for (size_t j = 0; j < state->count && !there; j++)
            there = strncmp(memory->items[i].service, state->units[j].container.service, sizeof memory->items[i].service - 1) == 0;
        if (there)
            i++;
        else
            memory->items[i] = memory->items[--memory->count];
    }
}

void rb_compose_compare(const struct rb_check_ctx *ctx, struct compose_unit *unit)
{
    const struct compose_options *o = ctx->options;
    struct compose_known *known = unit->known;
    const struct rb_docker_container *container = &unit->container;
    int64_t now = rb_elapsed_ns(ctx->clock), window_ns = o->window_ms * RB_NS_PER_MS;
    if (!known || !container->inspected)
        return;
    char image[sizeof known->image_id] = "";
    (void)snprintf(image, sizeof image, "%.*s", (int)sizeof image - 1, short_image(container->image_id));
    if (known->image_id[0] && strcmp(known->image_id, image) != 0)
        known->image_ns = now;
    memcpy(known->image_id, image, sizeof image);
    bool other = strncmp(known->id, container->id, sizeof known->id - 1) != 0;
    if (other || container->restart_count < known->restarts || (known->window_ns && now - known->window_ns > window_ns))
        known->window_ns = 0;
    if (!other && known->restarts >= 0 && container->restart_count > known->restarts && !known->window_ns) {
        known->window_ns = now;
        known->window_restarts = known->restarts;
    }
    known->restarts = container->restart_count;
    (void)snprintf(known->id, sizeof known->id, "%.*s", (int)sizeof known->id - 1, container->id);
    if (!container->oom_killed || other)
        known->oom_ns = 0;
    if (container->oom_killed && !known->oom_ns)
        known->oom_ns = now;
    unit->finding.old_oom = known->oom_ns && now - known->oom_ns > window_ns;
    unit->finding.changed_image = known->image_ns && now - known->image_ns <= window_ns;
}

/* ---- judging one container ---- */

static void find(struct compose_unit *unit, enum rb_result result, const char *reason, const char *text)
{
    if (unit->finding.reason && result <= unit->finding.result)
        return;
    unit->finding.result = result;
    unit->finding.reason = reason;
    unit->finding.text = text ? text : "";
}

/* When, not how long ago: a message that changes with every run would look like news. */
static const char *moment(const struct rb_check_ctx *ctx, int64_t wall_ns)
{
    char time[RB_TIME_TEXT];
    const char *text = wall_ns ? rb_arena_printf(ctx->arena, " at %s", rb_time_human(time, wall_ns)) : "";
    return text ? text : "";
}

/* Without the engine's event log: a policy that restarts everything leaves at rest only what was stopped, and nobody else sends SIGTERM in practice. */
bool rb_compose_probably_by_request(const struct rb_docker_container *container)
{
    bool always = strcmp(container->restart_policy, "always") == 0 || strcmp(container->restart_policy, "unless-stopped") == 0;
    bool terminated = container->exit_code == 143 && (!container->stop_signal[0] || strcmp(container->stop_signal, "SIGTERM") == 0);
    return container->inspected && (always || terminated);
}

static void judge_ended(const struct rb_check_ctx *ctx, const struct compose_state *state, struct compose_unit *unit)
{
    const struct compose_options *o = ctx->options;
    const struct rb_docker_container *container = &unit->container;
    struct compose_finding *finding = &unit->finding;
    const char *when = moment(ctx, container->finished_ns);
    bool optional = ctx->spec->presence != RB_PRESENCE_REQUIRED, wanted = rb_compose_is_expected(o, state, container->service);
    bool once = rb_compose_runs_once(o, state, container->service) || !has_expectations(o, state);
    const char *exited = rb_arena_printf(ctx->arena, "exited with code %d%s", container->exit_code, when);
    if (container->oom_killed) {
        find(unit, RB_RESULT_FAIL, "oom",
             rb_arena_printf(ctx->arena, "ran out of memory and was killed (code %d)%s", container->exit_code, when));
    } else if (container->exit_code == 137 && finding->alone && container->memory_limit_bytes > 0) {
        /* cgroup v2 often tells of the kill only after the cgroup is gone, which the engine then misses. */
        find(unit, RB_RESULT_FAIL, "oom",
             rb_arena_printf(ctx->arena, "was killed (code 137)%s, not by request, and has a memory limit: probably out of memory", when));
    } else if (container->error[0]) {
        /* The engine keeps these words only until a start succeeds. */
        find(unit, RB_RESULT_FAIL, "not_started",
             rb_arena_printf(ctx->arena, "could not be started%s: %s", when, rb_docker_clean(container->error, ctx->arena)));
    } else if (finding->by_request) {
        finding->ended = true;
        find(unit, optional || !wanted ? RB_RESULT_OK : RB_RESULT_FAIL, "stopped",
             rb_arena_printf(ctx->arena, "was stopped by request (code %d)%s", container->exit_code, when));
    } else if (container->exit_code == 0) {
        finding->ended = true;
        find(unit, optional || once || !wanted ? RB_RESULT_OK : RB_RESULT_FAIL, "exited", exited);
    } else {
        find(unit, RB_RESULT_FAIL, "exited", exited);
    }
    finding->down = !finding->ended;
}

static void judge_restarts(const struct rb_check_ctx *ctx, const struct compose_state *state, struct compose_unit *unit)
{
    const struct rb_docker_container *container = &unit->container;
    int64_t in_window = unit->known && unit->known->window_ns ? container->restart_count - unit->known->window_restarts : 0;
    bool young = container->started_ns && state->now_ns - container->started_ns < YOUNG_NS;
    long long all = (long long)container->restart_count;
    if (container->state == RB_DOCKER_STATE_RESTARTING && container->restart_count >= 2)
        find(unit, RB_RESULT_FAIL, "crash_loop",
             rb_arena_printf(ctx->arena, "exits with code %d again and again, %lld restarts", container->exit_code, all));
    else if (container->state == RB_DOCKER_STATE_RESTARTING)
        find(unit, RB_RESULT_FAIL, "exited",
             rb_arena_printf(ctx->arena, "exited with code %d and is being restarted", container->exit_code));
    else if (in_window >= CRASHES || (young && container->restart_count >= CRASHES))
        find(unit, RB_RESULT_FAIL, "crash_loop",
             rb_arena_printf(ctx->arena, "ends again and again, %lld restarts; runs for the moment", all));
    else if (in_window > 0)
        find(unit, RB_RESULT_WARN, "restarted", rb_arena_printf(ctx->arena, "crashed and was restarted lately, %lld restarts in all", all));
}

static void judge_running(const struct rb_check_ctx *ctx, const struct compose_state *state, struct compose_unit *unit)
{
    const struct rb_docker_container *container = &unit->container;
    judge_restarts(ctx, state, unit);
    if (container->health == RB_DOCKER_HEALTH_UNHEALTHY)
        find(unit, RB_RESULT_FAIL, "unhealthy",
             rb_arena_printf(ctx->arena, "is unhealthy: its health check failed %lld times in a row", (long long)container->health_streak));
    else if (container->health == RB_DOCKER_HEALTH_STARTING)
        find(unit, RB_RESULT_WARN, "starting", "has not passed its health check yet");
    if (container->oom_killed && !unit->finding.old_oom)
        find(unit, RB_RESULT_WARN, "oom", "runs, but a process in it ran out of memory");
}

static void judge_created(const struct rb_check_ctx *ctx, const struct compose_state *state, struct compose_unit *unit)
{
    const struct rb_docker_container *container = &unit->container;
    if (container->error[0])
        find(unit, RB_RESULT_FAIL, "not_started",
             rb_arena_printf(ctx->arena, "could not be started: %s", rb_docker_clean(container->error, ctx->arena)));
    else if (state->now_ns - container->created_ns < STARTING_NS)
        find(unit, RB_RESULT_WARN, "starting", "was created and is not started yet");
    else
        find(unit, RB_RESULT_FAIL, "not_started", "was created but never started");
    unit->finding.down = true;
}

static void judge_image(const struct rb_check_ctx *ctx, const struct compose_state *state, struct compose_unit *unit)
{
    const struct rb_docker_container *container = &unit->container;
    const struct rb_compose_service *entry = state->has_file ? rb_compose_find(&state->file, container->service) : NULL;
    const char *runs = rb_docker_clean(container->image, ctx->arena);
    if (entry && entry->image && strcmp(entry->image, container->image) != 0)
        find(unit, RB_RESULT_WARN, "image_changed",
             rb_arena_printf(ctx->arena, "was made from image %s, the compose file names %s", runs,
                             rb_docker_clean(entry->image, ctx->arena)));
    else if (unit->tag_image && strcmp(unit->tag_image, container->image_id) != 0)
        find(unit, RB_RESULT_WARN, "image_changed",
             rb_arena_printf(ctx->arena, "runs an older image: %s is %.12s by now, not %.12s", runs, short_image(unit->tag_image),
                             short_image(container->image_id)));
    else if (unit->finding.changed_image)
        find(unit, RB_RESULT_WARN, "image_changed",
             rb_arena_printf(ctx->arena, "got another image lately: %s, %.12s", runs, short_image(container->image_id)));
}

void rb_compose_judge(const struct rb_check_ctx *ctx, const struct compose_state *state, struct compose_unit *unit)
{
    switch (unit->container.state) {
    case RB_DOCKER_STATE_RUNNING:
    case RB_DOCKER_STATE_RESTARTING:
        judge_running(ctx, state, unit);
        break;
    case RB_DOCKER_STATE_PAUSED:
        find(unit, RB_RESULT_WARN, "paused", "is paused");
        break;
    case RB_DOCKER_STATE_CREATED:
        judge_created(ctx, state, unit);
        break;
    case RB_DOCKER_STATE_EXITED:
        judge_ended(ctx, state, unit);
        break;
    case RB_DOCKER_STATE_REMOVING:
        unit->finding.ended = true;
        break;
    case RB_DOCKER_STATE_DEAD:
    case RB_DOCKER_STATE_OTHER:
    case RB_DOCKER_STATE_COUNT:
        unit->finding.down = true;
        find(unit, RB_RESULT_FAIL, "dead", "is dead: the engine could not remove it");
        break;
    }
    if (!unit->finding.ended)
        judge_image(ctx, state, unit);
}
