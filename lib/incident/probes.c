/* Probes that fail although something answers: a riddle, not a cause.
 *
 * SPEC 11: a failing probe whose listener still runs, and whose dependencies and files did not change, is undetermined. That it runs is seen by another check (a port or compose check in the graph
 * that is well), or by the answer itself: a wrong status cannot come from nobody. A Prometheus that calls a target down while that target's own page answers here is the same riddle. */
#include <string.h>

#include "internal.h"
#include "places.h"
#include "runbook/check/facts.h"

bool rb_never_connected(const char *reason)
{
    static const char *const reasons[] = {"refused",   "unreachable", "connect_timeout", "dns",     "dns_timeout",
                                          "no_socket", "permission",  "absent",          "present", NULL};
    return rb_reason_in(reason, reasons);
}

/* What a probe itself has found out for good; no listener's log would tell more. */
static bool speaks_for_itself(const char *reason)
{
    static const char *const reasons[] = {"job_missing",   "job_unexpected",   "no_targets", "rule_error",
                                          "label_missing", "redirect_blocked", "network",    "untrusted",
                                          "not_ready",     "settling",         NULL};
    bool certificate = strncmp(reason, "tls_", 4) == 0 && strcmp(reason, "tls_handshake") != 0;
    return rb_never_connected(reason) || certificate || rb_reason_in(reason, reasons);
}

static bool sees_a_listener(const struct diagnosis *d, const struct rb_edge *edge)
{
    const struct rb_record *record = record_of(d, edge->to);
    if (edge->idle && edge->kind == RB_EDGE_SCRAPE)
        return false;
    if (d->graph.nodes[edge->to].state != RB_STATE_OK)
        return edge->idle && edge->kind == RB_EDGE_PORT; /* the part of it that is asked here is well */
    return rb_fact_of(record, RB_FACT_LISTEN) || rb_fact_of(record, RB_FACT_PUBLISH) || edge->kind == RB_EDGE_SCRAPE;
}

/* It is about the very port that is asked; a declared dependency may listen anywhere. */
static bool is_asked(const struct diagnosis *d, size_t asks, size_t listens)
{
    const struct rb_record *record = record_of(d, listens);
    const char *target = rb_fact_of(record_of(d, asks), RB_FACT_TARGET);
    unsigned port = target ? rb_place_port(target) : 0;
    for (size_t f = 0; port && f < record->fact_count; f++) {
        const char *key = record->facts[f].key;
        if ((strcmp(key, RB_FACT_LISTEN) == 0 || strcmp(key, RB_FACT_PUBLISH) == 0) && rb_place_port(record->facts[f].value) == port)
            return true;
    }
    return false;
}

static size_t listener_behind(const struct diagnosis *d, size_t index, bool scrapes)
{
    size_t found = GRAPH_NONE;
    for (size_t e = d->graph.first_edge[index]; e < d->graph.first_edge[index + 1]; e++) {
        const struct rb_edge *edge = &d->graph.edges.items[e];
        bool fits = scrapes ? edge->kind == RB_EDGE_SCRAPE : edge->kind == RB_EDGE_PORT || edge->kind == RB_EDGE_DECLARED;
        if (!fits || !sees_a_listener(d, edge))
            continue;
        if (scrapes || is_asked(d, index, edge->to))
            return edge->to;
        found = found == GRAPH_NONE ? edge->to : found;
    }
    return found;
}

static void look_at(struct diagnosis *d, size_t index)
{
    struct node *node = &d->graph.nodes[index];
    const struct rb_record *record = record_of(d, index);
    const struct rb_kind_schema *schema = record->spec->kind;
    bool probe = schema && rb_kind_of(schema)->exec == RB_EXEC_EXCHANGE &&
                 (rb_fact_of(record, RB_FACT_TARGET) || rb_fact_of(record, RB_FACT_PATH)) && !rb_check_is(d->view, index, "docker");
    d->listener[index] = GRAPH_NONE;
    if (node->state != RB_STATE_FAIL || !probe || rb_never_connected(record->reason))
        return;
    bool scrapes = strcmp(record->reason, "target_down") == 0 || strcmp(record->reason, "not_scraped") == 0;
    d->listener[index] = listener_behind(d, index, scrapes);
    if (speaks_for_itself(record->reason))
        return;
    /* What came as far as this was taken by somebody who runs: a wrong answer, none in time, a cut. Of a target only Prometheus says so. */
    node->held_open = d->listener[index] != GRAPH_NONE || !scrapes;
    struct rb_change changes[CHANGES_MAX];
    size_t count = node->held_open ? rb_find_changes(d, index, d->listener[index], changes) : 0;
    /* That HEAD moved is a coincidence until a file says otherwise. */
    for (size_t i = 0; i < count; i++)
        node->held_open = node->held_open && changes[i].head;
}

bool rb_hold_open_probes(struct diagnosis *d)
{
    d->listener = rb_arena_array(d->arena, d->graph.count + 1, sizeof *d->listener);
    for (size_t i = 0; d->listener && i < d->graph.count; i++)
        look_at(d, i);
    return d->listener != NULL;
}
