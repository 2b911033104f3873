/* Which services of a project cannot do without which others, and so which of several failures is the first.
 *
 * Sources, from the firmest on: the label that compose 2 writes for depends_on, the compose file (depends_on, links, network_mode), a container that lives in another's network, an
 * address in the environment that names a service ("postgres://db:5432"), and the words of a container that is down, if they name a service that is down as well. Kept as a closed matrix
 * over at most MAX_SERVICES names: a project has a handful. Values of the environment are looked at and never kept. */
#include "compose.h"

#include <ctype.h>
#include <string.h>

#define MAX_SERVICES 128u
#define MAX_VARS     512u
#define MAX_VALUE    ((size_t)4096)
#define MAX_ENV      ((size_t)64 << 10) /* bytes of one container's environment: this runs on the loop */

static bool *cell(const struct compose_needs *needs, size_t a, size_t b)
{
    return &needs->matrix[a * needs->count + b];
}

static size_t find_name(const struct compose_needs *needs, const char *name, size_t len)
{
    for (size_t i = 0; i < needs->count; i++) {
        if (strlen(needs->names[i]) == len && memcmp(needs->names[i], name, len) == 0)
            return i;
    }
    return SIZE_MAX;
}

static void add_name(struct compose_needs *needs, const char *name)
{
    if (name[0] && needs->count < MAX_SERVICES && find_name(needs, name, strlen(name)) == SIZE_MAX)
        needs->names[needs->count++] = name;
}

static void note(const struct compose_needs *needs, size_t user, const char *name, size_t len)
{
    size_t other = find_name(needs, name, len);
    if (other != SIZE_MAX && other != user)
        *cell(needs, user, other) = true;
}

/* "db:service_healthy:true,cache:service_started:false" */
static void take_label(const struct compose_needs *needs, size_t user, const char *label)
{
    while (*label) {
        size_t item = strcspn(label, ","), name = strcspn(label, ":,");
        note(needs, user, label, name);
        label += item + (label[item] == ',');
    }
}

static void take_network(const struct compose_state *state, const struct compose_needs *needs, size_t user, const char *mode)
{
    if (strncmp(mode, "container:", 10) != 0)
        return;
    for (size_t i = 0; i < state->count; i++) {
        const struct rb_docker_container *other = &state->units[i].container;
        if (strcmp(other->id, mode + 10) == 0 || strcmp(other->name, mode + 10) == 0)
            note(needs, user, other->service, strlen(other->service));
    }
}

static bool in_name(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.';
}

/* ":5432" and what ends it; ":7.2" and ":3-alpine" are versions of an image. */
static bool is_port(const char *at)
{
    size_t digits = at[0] == ':' ? strspn(at + 1, "0123456789") : 0;
    return digits >= 2 && digits <= 5 && !in_name(at[1 + digits]);
}

/* The host part of an address: before ":port", behind "//" or "@". */
static bool is_address(const char *text, const char *start, const char *end)
{
    bool port = is_port(end);
    bool behind = start > text && (start[-1] == '@' || (start[-1] == '/' && start - text > 1 && start[-2] == '/'));
    return port || behind;
}

/* Every service that an address in the text names. */
static void take_addresses(const struct compose_needs *needs, size_t user, const char *text)
{
    for (const char *at = text; *at; at++) {
        const char *start = at;
        while (in_name(*at))
            at++;
        if (at > start && is_address(text, start, at))
            note(needs, user, start, (size_t)(at - start));
        if (!*at)
            return;
    }
}

/* DB_HOST=db is an address without a port. */
static bool names_a_host(const char *var, const char *equals)
{
    static const char *const ends[] = {"HOST", "HOSTNAME", "ADDR", "ADDRESS", "SERVER", "ENDPOINT"};
    size_t len = (size_t)(equals - var);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        size_t end = strlen(ends[i]);
        if (len >= end && memcmp(equals - end, ends[i], end) == 0)
            return true;
    }
    return false;
}

static void take_environment(const struct compose_needs *needs, size_t user, const struct rb_docker_container *container)
{
    for (size_t i = 0, seen = 0; i < container->env_count && i < MAX_VARS; i++) {
        const char *equals = strchr(container->env[i], '=');
        size_t len = equals ? strnlen(equals, MAX_VALUE) : MAX_VALUE;
        if (len == MAX_VALUE || seen + len > MAX_ENV)
            continue;
        seen += len;
        if (names_a_host(container->env[i], equals))
            note(needs, user, equals + 1, strlen(equals + 1));
        take_addresses(needs, user, equals + 1);
    }
}

/* No container at all counts, unless it is meant to end. */
static bool is_down(const struct compose_options *o, const struct compose_state *state, const char *service)
{
    size_t containers = 0;
    for (size_t i = 0; i < state->count; i++) {
        const struct compose_unit *unit = &state->units[i];
        if (strcmp(unit->container.service, service) != 0)
            continue;
        containers++;
        if (unit->finding.result >= RB_RESULT_FAIL)
            return true;
    }
    return containers == 0 && rb_compose_is_expected(o, state, service) && !rb_compose_runs_once(o, state, service);
}

/* Free text may name anything: only of what is down, and only to what is down. */
static void take_last_words(const struct compose_needs *needs, size_t user, const struct compose_unit *unit)
{
    const char *const texts[] = {unit->log, unit->container.health_output};
    for (size_t t = 0; t < 2 && needs->down[user]; t++) {
        for (const char *at = texts[t]; at && *at; at++) {
            const char *start = at;
            while (in_name(*at))
                at++;
            size_t other = find_name(needs, start, (size_t)(at - start));
            if (other != SIZE_MAX && other != user && needs->down[other])
                *cell(needs, user, other) = true;
            if (!*at)
                break;
        }
    }
}

/* What is needed by what is needed is needed (Warshall). */
static void close_matrix(const struct compose_needs *needs)
{
    for (size_t via = 0; via < needs->count; via++) {
        for (size_t a = 0; a < needs->count; a++) {
            for (size_t b = 0; *cell(needs, a, via) && b < needs->count; b++)
                *cell(needs, a, b) = *cell(needs, a, b) || *cell(needs, via, b);
        }
    }
}

static void collect_names(const struct compose_options *o, const struct compose_state *state, struct compose_needs *needs)
{
    const char *service;
    for (size_t i = 0; (service = rb_compose_expected(o, state, i)); i++)
        add_name(needs, service);
    for (size_t i = 0; i < state->count; i++)
        add_name(needs, state->units[i].container.service);
}

void rb_compose_find_needs(const struct rb_check_ctx *ctx, struct compose_state *state)
{
    const struct compose_options *o = ctx->options;
    struct compose_needs *needs = &state->needs;
    *needs = (struct compose_needs){.names = rb_arena_array(ctx->arena, MAX_SERVICES, sizeof *needs->names),
                                    .down = rb_arena_array(ctx->arena, MAX_SERVICES, sizeof *needs->down)};
    if (!needs->names || !needs->down)
        return;
    collect_names(o, state, needs);
    needs->matrix = rb_arena_array(ctx->arena, needs->count * needs->count + 1, sizeof *needs->matrix);
    if (!needs->matrix) {
        needs->count = 0;
        return;
    }
    for (size_t i = 0; i < needs->count; i++) {
        const struct rb_compose_service *entry = state->has_file ? rb_compose_find(&state->file, needs->names[i]) : NULL;
        needs->down[i] = is_down(o, state, needs->names[i]);
        for (size_t n = 0; entry && n < entry->need_count; n++)
            note(needs, i, entry->needs[n], strlen(entry->needs[n]));
    }
    for (size_t i = 0; i < state->count; i++) {
        const struct compose_unit *unit = &state->units[i];
        size_t user = find_name(needs, unit->container.service, strlen(unit->container.service));
        if (user == SIZE_MAX)
            continue;
        take_label(needs, user, unit->container.needs);
        take_network(state, needs, user, unit->container.inspected ? unit->container.network_mode : "");
        take_environment(needs, user, &unit->container);
        take_last_words(needs, user, unit);
    }
    close_matrix(needs);
}

bool rb_compose_needs(const struct compose_state *state, const char *service, const char *other)
{
    size_t a = find_name(&state->needs, service, strlen(service)), b = find_name(&state->needs, other, strlen(other));
    return a != SIZE_MAX && b != SIZE_MAX && a != b && *cell(&state->needs, a, b);
}

const char *rb_compose_blames(const struct compose_state *state, const char *service)
{
    const struct compose_needs *needs = &state->needs;
    size_t user = find_name(needs, service, strlen(service));
    for (size_t i = 0; user != SIZE_MAX && i < needs->count; i++) {
        /* Two that need each other are both first. */
        if (i != user && needs->down[i] && *cell(needs, user, i) && !*cell(needs, i, user))
            return needs->names[i];
    }
    return NULL;
}
