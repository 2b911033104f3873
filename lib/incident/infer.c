/* Edges from claims: whoever uses a thing depends on whoever provides it.
 *
 * Claims on the same thing are brought together by sorting; within a group each claim leads to those of the layers below it. Checks of one layer that fail for one reason that only the thing
 * itself can have (nobody listens, the file is broken) are witnesses of one failure: the later lean on the first, so that one closed port is one cause however many probes see it. Bounded:
 * at most MAX_PROVIDERS edges a claim and RB_GRAPH_MAX_EDGES in all. Linear in claims apart from sorting. */
#include "infer.h"

#include <stdlib.h>
#include <string.h>

#include "places.h"

#define MAX_PROVIDERS 16u

static const char *const edge_names[RB_EDGE_KIND_COUNT] = {
    [RB_EDGE_WORDS] = "words", [RB_EDGE_DECLARED] = "declared", [RB_EDGE_CONTAINER] = "container", [RB_EDGE_PORT] = "port",
    [RB_EDGE_FILE] = "file",   [RB_EDGE_PROGRAM] = "program",   [RB_EDGE_ENGINE] = "engine",       [RB_EDGE_SCRAPE] = "scrape",
};

const char *rb_edge_kind_name(enum rb_edge_kind kind)
{
    return edge_names[kind];
}

struct builder {
    const struct rb_view *view;
    struct rb_arena *arena;
    struct rb_edges *out;
    size_t cap;
};

static void add_edge(struct builder *b, struct rb_edge edge)
{
    if (edge.from == edge.to)
        return;
    if (b->out->count >= RB_GRAPH_MAX_EDGES) {
        b->out->left_out++;
        return;
    }
    if (b->out->count == b->cap) {
        size_t cap = b->cap ? 2 * b->cap : 64;
        struct rb_edge *grown = rb_arena_array(b->arena, cap, sizeof *grown);
        if (!grown)
            return;
        if (b->out->count)
            memcpy(grown, b->out->items, b->out->count * sizeof *grown);
        b->out->items = grown;
        b->cap = cap;
    }
    b->out->items[b->out->count++] = edge;
}

static const char *name_of(const struct builder *b, size_t check)
{
    return b->view->snapshot->plan->checks[check].name;
}

/* The engine's socket as the team wrote it, or NULL. */
static const char *socket_of(const struct builder *b, size_t check)
{
    const struct rb_node *node = view_record(b->view, check)->spec->node, *socket = node ? rb_node_get(node, "socket") : NULL;
    const char *path = socket && socket->type == RB_NODE_SCALAR ? socket->scalar : NULL;
    return path && strncmp(path, "unix://", 7) == 0 ? path + 7 : path;
}

/* Two engines on one machine: what one of them suffers does not reach the other's containers. */
static bool are_of_two_engines(const struct builder *b, const struct claim *user, const struct claim *provider)
{
    const char *one = user->kind == RB_EDGE_ENGINE ? socket_of(b, user->check) : NULL;
    const char *other = one ? socket_of(b, provider->check) : NULL;
    return other && strcmp(one, other) != 0;
}

/* "connects to port 9090; obs publishes it (container web)" */
static void join(struct builder *b, const struct claim *user, const struct claim *provider)
{
    if (are_of_two_engines(b, user, provider))
        return;
    size_t prefix = strncmp(user->resource, "file ", 5) == 0 ? 5 : strncmp(user->resource, "folder ", 7) == 0 ? 7 : 0;
    const char *thing = prefix ? rb_place_shown(user->resource + prefix, b->view->snapshot->plan->daemon.root) : user->resource;
    const char *reason = rb_arena_printf(b->arena, "%s %s; %s %s it%s", user->verb, thing, name_of(b, provider->check), provider->verb,
                                         provider->detail ? provider->detail : "");
    add_edge(b,
             (struct rb_edge){
                 .from = user->check, .to = provider->check, .kind = user->kind, .idle = user->idle || provider->idle, .reason = reason});
}

static bool same_failure(const struct builder *b, const struct claim *a, const struct claim *c)
{
    static const char *const of_the_thing[] = {"refused", "connect_timeout",    "no_socket", "not_listening", "broken", "file_missing",
                                               "missing", "engine_unreachable", NULL};
    return a->layer == c->layer && !a->idle && rb_check_fails(b->view, a->check) && rb_check_fails(b->view, c->check) &&
           strcmp(view_record(b->view, a->check)->reason, view_record(b->view, c->check)->reason) == 0 &&
           rb_reason_in(view_record(b->view, a->check)->reason, of_the_thing);
}

static void join_peers(struct builder *b, const struct claim *group, size_t count)
{
    for (size_t first = 0; first < count;) {
        size_t end = first + 1, leader = first;
        while (end < count && group[end].layer == group[first].layer)
            end++;
        while (leader < end && !rb_check_fails(b->view, group[leader].check))
            leader++;
        for (size_t i = leader + 1; leader < end && i < end; i++) {
            if (same_failure(b, &group[leader], &group[i]))
                join(b, &group[i], &group[leader]);
        }
        first = end;
    }
}

static void join_group(struct builder *b, const struct claim *group, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0, made = 0; k < i && group[k].layer < group[i].layer && made < MAX_PROVIDERS; k++, made++)
            join(b, &group[i], &group[k]);
    }
    join_peers(b, group, count);
}

static void infer(struct builder *b)
{
    struct claims claims = {.arena = b->arena};
    rb_claims_of_facts(&claims, b->view);
    rb_claims_sort(&claims);
    rb_claims_of_words(&claims, b->view);
    rb_claims_sort(&claims);
    for (size_t i = 0; i < claims.count;) {
        size_t end = i + 1;
        while (end < claims.count && strcmp(claims.items[end].resource, claims.items[i].resource) == 0)
            end++;
        join_group(b, &claims.items[i], end - i);
        i = end;
    }
}

static void declare(struct builder *b)
{
    const struct rb_plan *plan = b->view->snapshot->plan;
    for (size_t i = 0; i < plan->count; i++) {
        for (size_t d = 0; d < plan->checks[i].depends_on_count; d++)
            add_edge(b, (struct rb_edge){.from = i, .to = plan->checks[i].depends_on[d], .kind = RB_EDGE_DECLARED, .reason = "depends_on"});
    }
}

static int compare(const void *a, const void *b)
{
    const struct rb_edge *x = a, *y = b;
    if (x->from != y->from)
        return x->from < y->from ? -1 : 1;
    if (x->to != y->to)
        return x->to < y->to ? -1 : 1;
    if (x->idle != y->idle)
        return x->idle ? 1 : -1;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    return strcmp(x->reason, y->reason);
}

static bool has_edge(const struct rb_edges *edges, size_t from, size_t to)
{
    for (size_t i = 0; i < edges->count; i++) {
        if (edges->items[i].from == from && edges->items[i].to == to && !edges->items[i].idle)
            return true;
    }
    return false;
}

static bool finds_closed(const struct builder *b, size_t check)
{
    static const char *const closed[] = {"refused", "not_listening", "no_socket", NULL};
    return rb_check_fails(b->view, check) && rb_reason_in(view_record(b->view, check)->reason, closed);
}

/* A probe that fails, but was taken by somebody: a wrong answer, none in time, a cut. */
static bool is_answered(const struct builder *b, size_t check)
{
    bool probe = rb_check_is(b->view, check, "http") || rb_check_is(b->view, check, "tcp");
    return probe && rb_check_fails(b->view, check) && !rb_never_connected(view_record(b->view, check)->reason);
}

/* Where the moment contradicts what a team has declared. That a port needs a container is the other way round while a stranger holds the port; and what still answers, however wrongly, has closed
 * nobody's port. */
static void contradict(struct builder *b)
{
    for (size_t i = 0; i < b->out->count; i++) {
        struct rb_edge *edge = &b->out->items[i];
        if (edge->kind != RB_EDGE_DECLARED)
            continue;
        if (rb_check_sees_stranger(b->view, edge->from) && has_edge(b->out, edge->to, edge->from)) {
            edge->idle = true;
            edge->reason = "depends_on, but somebody else holds the port";
        } else if (finds_closed(b, edge->from) && is_answered(b, edge->to)) {
            edge->idle = true;
            edge->reason = "depends_on, but what still answers closes no port";
        }
    }
}

int rb_graph_edges(const struct rb_view *view, struct rb_arena *arena, struct rb_edges *out, struct rb_error *err)
{
    *out = (struct rb_edges){0};
    struct builder b = {.view = view, .arena = arena, .out = out};
    declare(&b);
    if (!rb_arena_failed(arena))
        infer(&b);
    if (rb_arena_failed(arena))
        return rb_error_set(err, RB_ENOMEM, "not enough memory for the dependency graph of %zu checks", view->snapshot->count);
    if (out->count)
        qsort(out->items, out->count, sizeof *out->items, compare);
    size_t kept = 0;
    for (size_t i = 0; i < out->count; i++) {
        if (kept && out->items[kept - 1].from == out->items[i].from && out->items[kept - 1].to == out->items[i].to)
            continue;
        out->items[kept++] = out->items[i];
    }
    out->count = kept;
    contradict(&b);
    return 0;
}
