/* Roles over the dependency graph of one view: who fails because of whom. Linear in checks and edges; no recursion. */
#ifndef RB_INCIDENT_ROLES_H
#define RB_INCIDENT_ROLES_H

#include "runbook/incident/graph.h"

#define GRAPH_NONE SIZE_MAX

enum node_role {
    NODE_QUIET, /* ok, skip, pending */
    NODE_WARN,
    NODE_BLIND,        /* unknown or stale */
    NODE_SYMPTOM,      /* fails, and so does something that it depends on */
    NODE_UNDETERMINED, /* fails, and what it depends on cannot be seen, or is undetermined itself */
    NODE_NOISE,        /* fails, but is no cause of what happens now: set by the caller */
    NODE_CAUSE
};

struct node {
    enum rb_state state; /* as the view shows it */
    enum node_role role;
    bool held_open;                /* set by the caller before graph_assign: would be a cause, but must stay undetermined */
    size_t owner;                  /* the cause that explains it, itself for a cause; or GRAPH_NONE */
    const struct rb_edge *through; /* SYMPTOM and others with an owner: the edge that leads there; else NULL */
    size_t settles;                /* UNDETERMINED: the check that would settle it, or GRAPH_NONE */
    size_t reach;                  /* CAUSE: how many bad checks it explains */
    size_t failing;                /* CAUSE: how many of them fail; the others only cannot be seen, or warn */
};

struct graph {
    const struct rb_view *view;
    struct rb_edges edges;
    size_t *first_edge; /* count + 1: the edges of check i are first_edge[i] … first_edge[i + 1] - 1 */
    struct node *nodes; /* one per check */
    size_t *order;      /* dependencies first */
    size_t count;
};

/* Reads states, edges and order from the view; false when the arena is exhausted. */
bool rb_graph_init(struct graph *graph, const struct rb_view *view, struct rb_arena *arena);
/* Gives every node its role, owner and reach. */
void rb_graph_assign(struct graph *graph);
/* A before B by severity, then `since`, then name: also how owners are chosen among several. */
bool rb_graph_before(const struct graph *graph, size_t a, size_t b);

#endif
