/* Roles and owners along the dependency graph.
 *
 * One pass in dependency order (Kahn) is enough, because everything a node needs to know was decided for what it depends on: whether a failure lies below, whether
 * something unseen lies below, and which cause is the best explanation. A bad check is explained once, through its strongest edge and then by the best cause (rb_graph_before), so that
 * counts add up. Declared edges have no cycle; inferred ones can close one. Then the check of the circle that broke first goes first, and the edge behind it is not used. */
#include "graph.h"

#include <string.h>

#include "infer.h"

/* What lies below a node, itself included. */
struct below {
    size_t owner;
    const struct rb_edge *through;
    size_t unseen; /* an unknown or stale check, or GRAPH_NONE */
    size_t
        warned; /* a check that only warns, but of the very thing that is missing here: a paused container, the disk that the words name; or GRAPH_NONE */
    const struct rb_edge *to_warned;
    size_t undetermined; /* an undetermined check */
};

struct waiting {
    size_t *waiting_for, *declared_for; /* per check: dependencies that are not placed yet, and those of them that are declared */
    size_t *first, *next;               /* edges by what they lead to */
};

static bool waiting_init(struct waiting *w, const struct graph *graph, struct rb_arena *arena)
{
    size_t count = graph->count, edges = graph->edges.count;
    size_t *space = rb_arena_array(arena, 3 * count + edges + 1, sizeof *space);
    if (!space)
        return false;
    *w = (struct waiting){space, space + count, space + 2 * count, space + 3 * count};
    for (size_t i = 0; i < count; i++)
        w->first[i] = GRAPH_NONE;
    for (size_t e = 0; e < edges; e++) {
        const struct rb_edge *edge = &graph->edges.items[e];
        if (edge->idle)
            continue;
        w->waiting_for[edge->from]++;
        w->declared_for[edge->from] += edge->kind == RB_EDGE_DECLARED;
        w->next[e] = w->first[edge->to];
        w->first[edge->to] = e;
    }
    return true;
}

/* The check of a circle to go first: nothing declared keeps it back; of those, a failing one, and the one that broke first. */
static size_t breaks_circle(const struct graph *graph, const struct waiting *w)
{
    size_t best = GRAPH_NONE;
    for (size_t i = 0; i < graph->count; i++) {
        if (w->waiting_for[i] == 0 || w->declared_for[i] != 0)
            continue;
        bool fails = graph->nodes[i].state == RB_STATE_FAIL, best_fails = best != GRAPH_NONE && graph->nodes[best].state == RB_STATE_FAIL;
        if (best == GRAPH_NONE || (fails && !best_fails) ||
            (fails == best_fails && view_record(graph->view, i)->since_wall_ns < view_record(graph->view, best)->since_wall_ns))
            best = i;
    }
    return best;
}

static void place(struct graph *graph, struct waiting *w, size_t *placed, size_t check)
{
    w->waiting_for[check] = 0;
    graph->order[(*placed)++] = check;
}

static void sort_by_dependency(struct graph *graph, struct waiting *w)
{
    size_t placed = 0, done = 0;
    for (size_t i = 0; i < graph->count; i++) {
        if (w->waiting_for[i] == 0)
            place(graph, w, &placed, i);
    }
    while (placed < graph->count || done < placed) {
        if (done == placed) {
            size_t check = breaks_circle(graph, w);
            if (check == GRAPH_NONE)
                break;
            place(graph, w, &placed, check);
        }
        for (size_t e = w->first[graph->order[done++]]; e != GRAPH_NONE; e = w->next[e]) {
            size_t from = graph->edges.items[e].from;
            w->declared_for[from] -= graph->edges.items[e].kind == RB_EDGE_DECLARED && w->declared_for[from] > 0;
            if (w->waiting_for[from] > 0 && --w->waiting_for[from] == 0)
                place(graph, w, &placed, from);
        }
    }
    for (size_t i = 0; i < graph->count && placed < graph->count; i++) {
        if (w->waiting_for[i] != 0)
            place(graph, w, &placed, i);
    }
}

static bool index_edges(struct graph *graph, struct rb_arena *arena)
{
    graph->first_edge = rb_arena_array(arena, graph->count + 2, sizeof *graph->first_edge);
    if (!graph->first_edge)
        return false;
    for (size_t i = 0, e = 0; i <= graph->count; i++) {
        while (e < graph->edges.count && graph->edges.items[e].from < i)
            e++;
        graph->first_edge[i] = e;
    }
    return true;
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
    struct waiting waiting;
    if (rb_graph_edges(view, arena, &graph->edges, NULL) < 0 || !index_edges(graph, arena) || !waiting_init(&waiting, graph, arena))
        return false;
    sort_by_dependency(graph, &waiting);
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

/* What could not be seen because the observer may not look: that says nothing about the stack, and holds nothing open. */
static bool is_observers_fault(const struct graph *graph, size_t check)
{
    static const char *const reasons[] = {"no_permission",    "not_permitted", "permission",        "untrusted",
                                          "owner_unreadable", "unsupported",   "workers_exhausted", NULL};
    const struct rb_record *record = view_record(graph->view, check);
    return graph->nodes[check].state == RB_STATE_UNKNOWN &&
           (rb_reason_in(record->reason, reasons) || strstr(record->message, "(no_permission)") != NULL);
}

static bool is_better(const struct graph *graph, const struct below *below, size_t owner, const struct rb_edge *edge)
{
    if (below->owner == GRAPH_NONE || below->through->kind != edge->kind)
        return below->owner == GRAPH_NONE || edge->kind < below->through->kind;
    return rb_graph_before(graph, owner, below->owner);
}

static void look_below(const struct graph *graph, size_t index, struct below *out)
{
    *out = (struct below){.owner = GRAPH_NONE, .unseen = GRAPH_NONE, .undetermined = GRAPH_NONE, .warned = GRAPH_NONE};
    for (size_t e = graph->first_edge[index]; e < graph->first_edge[index + 1]; e++) {
        const struct rb_edge *edge = &graph->edges.items[e];
        const struct node *node = &graph->nodes[edge->to];
        if (edge->idle)
            continue;
        if (node->owner != GRAPH_NONE && node->owner != index && is_better(graph, out, node->owner, edge)) {
            out->owner = node->owner;
            out->through = edge;
        }
        bool of_the_thing = edge->kind == RB_EDGE_WORDS || edge->kind == RB_EDGE_CONTAINER || edge->kind == RB_EDGE_PORT;
        if (node->role == NODE_WARN && node->owner == GRAPH_NONE && of_the_thing && out->warned == GRAPH_NONE) {
            out->warned = edge->to;
            out->to_warned = edge;
        }
        if (node->role == NODE_UNDETERMINED && out->undetermined == GRAPH_NONE)
            out->undetermined = edge->to;
        else if (node->role == NODE_BLIND && out->unseen == GRAPH_NONE && !is_observers_fault(graph, edge->to))
            out->unseen = edge->to;
        else if (node->settles != GRAPH_NONE && out->unseen == GRAPH_NONE)
            out->unseen = node->settles;
    }
}

/* The role of a failing check; `settles` is also carried through quiet ones, so that distance does not matter. */
static enum node_role role_of_failure(const struct node *node, const struct rb_check_spec *spec, const char *reason,
                                      const struct below *below)
{
    static const char *const of_the_thing[] = {"not_listening", "exited", "crash_loop", "oom", "stopped", "broken", "missing", NULL};

    if (spec->phase == RB_PHASE_SAFETY)
        return NODE_CAUSE; /* a violated guard is never only somebody else's symptom */
    if (below->owner != GRAPH_NONE)
        return NODE_SYMPTOM;
    /* Nobody listens, the file is broken: that is so, whatever could not be seen below it. */
    if (rb_reason_in(reason, of_the_thing) && below->undetermined == GRAPH_NONE)
        return NODE_CAUSE;
    if (node->held_open || below->undetermined != GRAPH_NONE || below->unseen != GRAPH_NONE)
        return NODE_UNDETERMINED;
    return NODE_CAUSE;
}

/* A warning becomes the cause when something fails for want of just what it warns of. */
static void raise_warning(struct graph *graph, struct below *below)
{
    struct node *node = &graph->nodes[below->warned];
    node->role = NODE_CAUSE;
    node->owner = below->warned;
    below->owner = below->warned;
    below->through = below->to_warned;
}

static void assign(struct graph *graph, size_t index)
{
    struct node *node = &graph->nodes[index];
    const struct rb_check_spec *spec = &graph->view->snapshot->plan->checks[index];
    struct below below;
    look_below(graph, index, &below);
    if (node->state == RB_STATE_FAIL && below.owner == GRAPH_NONE && below.warned != GRAPH_NONE)
        raise_warning(graph, &below);
    node->owner = below.owner;
    node->through = below.through;
    if (node->settles == GRAPH_NONE)
        node->settles = below.undetermined != GRAPH_NONE ? below.undetermined : below.unseen;
    if (node->state == RB_STATE_WARN)
        node->role = NODE_WARN;
    else if (node->state == RB_STATE_UNKNOWN || node->state == RB_STATE_STALE)
        node->role = NODE_BLIND;
    else if (node->state == RB_STATE_FAIL)
        node->role = role_of_failure(node, spec, view_record(graph->view, index)->reason, &below);
    if (node->role == NODE_CAUSE) {
        node->owner = index;
        node->through = NULL;
    }
}

void rb_graph_assign(struct graph *graph)
{
    for (size_t i = 0; i < graph->count; i++)
        assign(graph, graph->order[i]);
    for (size_t i = 0; i < graph->count; i++) {
        const struct node *node = &graph->nodes[i];
        if (node->owner == GRAPH_NONE || node->owner == i || node->role == NODE_QUIET)
            continue;
        graph->nodes[node->owner].reach++;
        graph->nodes[node->owner].failing += node->state == RB_STATE_FAIL;
    }
}
