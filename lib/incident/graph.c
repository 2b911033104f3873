/* Roles and owners along the dependency graph.
 *
 * One pass in dependency order (Kahn) is enough, because everything a node needs to know was decided for what it depends on: whether a failure lies below, whether
 * something unseen lies below, and which cause is the best explanation. A bad check is explained once, by the best cause below it (rb_graph_before), so that counts add up.
 * A check whose dependencies form a cycle, which a plan forbids, is put last and loses only precision. */
#include "graph.h"

#include <string.h>

/* What lies below a node, itself included. */
struct below {
    size_t unseen;       /* an unknown or stale check, or GRAPH_NONE */
    size_t undetermined; /* an undetermined check */
    bool failing;
};

struct edges {
    size_t *waiting_for, *first, *next, *dependent;
};

static bool edges_init(struct edges *edges, const struct rb_plan *plan, struct rb_arena *arena)
{
    size_t count = 0, edge = 0;
    for (size_t i = 0; i < plan->count; i++)
        count += plan->checks[i].depends_on_count;
    size_t *space = rb_arena_array(arena, 2 * plan->count + 2 * count + 1, sizeof *space);
    if (!space)
        return false;
    *edges = (struct edges){space, space + plan->count, space + 2 * plan->count, space + 2 * plan->count + count};
    for (size_t i = 0; i < plan->count; i++)
        edges->first[i] = GRAPH_NONE;
    for (size_t i = 0; i < plan->count; i++) {
        const struct rb_check_spec *spec = &plan->checks[i];
        edges->waiting_for[i] = spec->depends_on_count;
        for (size_t d = 0; d < spec->depends_on_count; d++, edge++) {
            edges->dependent[edge] = i;
            edges->next[edge] = edges->first[spec->depends_on[d]];
            edges->first[spec->depends_on[d]] = edge;
        }
    }
    return true;
}

static void sort_by_dependency(struct graph *graph, struct edges *edges)
{
    size_t placed = 0;
    for (size_t i = 0; i < graph->count; i++) {
        if (edges->waiting_for[i] == 0)
            graph->order[placed++] = i;
    }
    for (size_t done = 0; done < placed; done++) {
        for (size_t edge = edges->first[graph->order[done]]; edge != GRAPH_NONE; edge = edges->next[edge]) {
            if (--edges->waiting_for[edges->dependent[edge]] == 0)
                graph->order[placed++] = edges->dependent[edge];
        }
    }
    for (size_t i = 0; i < graph->count && placed < graph->count; i++) {
        if (edges->waiting_for[i] != 0)
            graph->order[placed++] = i;
    }
}

bool rb_graph_init(struct graph *graph, const struct rb_view *view, struct rb_arena *arena)
{
    *graph = (struct graph){.view = view, .count = view->snapshot->count};
    graph->nodes = rb_arena_array(arena, graph->count + 1, sizeof *graph->nodes);
    graph->order = rb_arena_array(arena, graph->count + 1, sizeof *graph->order);
    if (!graph->nodes || !graph->order)
        return false;
    for (size_t i = 0; i < graph->count; i++)
        graph->nodes[i] = (struct node){.state = rb_view_state(view, i), .owner = GRAPH_NONE, .settles = GRAPH_NONE};
    if (graph->count == 0)
        return true;
    struct edges edges;
    if (!edges_init(&edges, view->snapshot->plan, arena))
        return false;
    sort_by_dependency(graph, &edges);
    return true;
}

bool rb_graph_before(const struct graph *graph, size_t a, size_t b)
{
    const struct rb_record *const *records = (const struct rb_record *const *)(const void *)graph->view->snapshot->records;
    if (records[a]->spec->severity != records[b]->spec->severity)
        return records[a]->spec->severity < records[b]->spec->severity;
    if (records[a]->since_wall_ns != records[b]->since_wall_ns)
        return records[a]->since_wall_ns < records[b]->since_wall_ns;
    return strcmp(records[a]->spec->name, records[b]->spec->name) < 0;
}

/* ---- roles ---- */

static void look_below(const struct graph *graph, const struct rb_check_spec *spec, struct below *out, size_t *out_owner)
{
    *out = (struct below){.unseen = GRAPH_NONE, .undetermined = GRAPH_NONE};
    *out_owner = GRAPH_NONE;
    for (size_t d = 0; d < spec->depends_on_count; d++) {
        const struct node *node = &graph->nodes[spec->depends_on[d]];
        if (node->owner != GRAPH_NONE && (*out_owner == GRAPH_NONE || rb_graph_before(graph, node->owner, *out_owner)))
            *out_owner = node->owner;
        if (node->role == NODE_UNDETERMINED && out->undetermined == GRAPH_NONE)
            out->undetermined = spec->depends_on[d];
        else if (node->role == NODE_BLIND && out->unseen == GRAPH_NONE)
            out->unseen = spec->depends_on[d];
        else if (node->settles != GRAPH_NONE && out->unseen == GRAPH_NONE)
            out->unseen = node->settles;
    }
}

/* The role of a failing check; `settles` is also carried through quiet ones, so that distance does not matter. */
static enum node_role role_of_failure(const struct node *node, const struct rb_check_spec *spec, size_t owner, const struct below *below)
{
    if (spec->phase == RB_PHASE_SAFETY)
        return NODE_CAUSE; /* a violated guard is never only somebody else's symptom */
    if (owner != GRAPH_NONE)
        return NODE_SYMPTOM;
    if (node->held_open || below->undetermined != GRAPH_NONE || below->unseen != GRAPH_NONE)
        return NODE_UNDETERMINED;
    return NODE_CAUSE;
}

static void assign(struct graph *graph, size_t index)
{
    struct node *node = &graph->nodes[index];
    const struct rb_check_spec *spec = &graph->view->snapshot->plan->checks[index];
    struct below below;
    look_below(graph, spec, &below, &node->owner);
    if (node->settles == GRAPH_NONE)
        node->settles = below.undetermined != GRAPH_NONE ? below.undetermined : below.unseen;
    if (node->state == RB_STATE_WARN)
        node->role = NODE_WARN;
    else if (node->state == RB_STATE_UNKNOWN || node->state == RB_STATE_STALE)
        node->role = NODE_BLIND;
    else if (node->state == RB_STATE_FAIL)
        node->role = role_of_failure(node, spec, node->owner, &below);
    if (node->role == NODE_CAUSE)
        node->owner = index;
}

void rb_graph_assign(struct graph *graph)
{
    for (size_t i = 0; i < graph->count; i++)
        assign(graph, graph->order[i]);
    for (size_t i = 0; i < graph->count; i++) {
        const struct node *node = &graph->nodes[i];
        if (node->owner != GRAPH_NONE && node->owner != i && node->role != NODE_QUIET)
            graph->nodes[node->owner].reach++;
    }
}
