/* The dependency graph: who depends on whom, as the configuration says (`depends_on`) and as the facts of the last runs tell.
 *
 * An inferred edge joins two checks that touch the same thing: a port, a container, a file, a program, the engine, the host. Its direction comes from what each check does with that thing: who
 * uses it depends on who provides it. The table of these places is in lib/incident/infer.c; docs/diagnosis.md explains it. Pure: the same view gives the same edges in the same order. */
#ifndef RUNBOOK_INCIDENT_GRAPH_H
#define RUNBOOK_INCIDENT_GRAPH_H

#include "runbook/state/snapshot.h"

enum rb_edge_kind {                /* strongest first: a check is explained through the strongest edge */
                    RB_EDGE_WORDS, /* the failing check's own words name the thing */
                    RB_EDGE_DECLARED,
                    RB_EDGE_CONTAINER,
                    RB_EDGE_PORT,
                    RB_EDGE_FILE,
                    RB_EDGE_PROGRAM,
                    RB_EDGE_ENGINE,
                    RB_EDGE_SCRAPE, /* a Prometheus on one of its targets */
                    RB_EDGE_KIND_COUNT
};
const char *rb_edge_kind_name(enum rb_edge_kind kind); /* "words" "declared" … */

struct rb_edge {
    size_t from, to; /* indexes of checks: `from` depends on `to` */
    enum rb_edge_kind kind;
    bool idle;          /* it is there, but cannot carry a failure now: the part that `from` needs is well */
    const char *reason; /* one line for people, not escaped */
};

#define RB_GRAPH_MAX_EDGES 50000u

struct rb_edges {
    struct rb_edge *items; /* sorted by from, then to; at most one for each pair */
    size_t count;
    size_t left_out; /* beyond the maximum */
};

/* Fills `out` from `arena`. Any thread. Returns 0 or RB_ENOMEM. */
int rb_graph_edges(const struct rb_view *view, struct rb_arena *arena, struct rb_edges *out, struct rb_error *err) RB_MUST_CHECK;

#endif
