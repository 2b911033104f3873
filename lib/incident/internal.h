/* The parts of one diagnosis. Internal to lib/incident. */
#ifndef RB_INCIDENT_INTERNAL_H
#define RB_INCIDENT_INTERNAL_H

#include "graph.h"
#include "infer.h"
#include "runbook/incident/diagnosis.h"

struct diagnosis {
    const struct rb_view *view;
    const struct rb_diagnosis_options *options;
    struct rb_arena *arena;
    struct rb_diagnosis *out;
    struct graph graph;
    size_t *rank;     /* check → its place in out->causes */
    size_t *listener; /* per check: the check that sees its listener run, or GRAPH_NONE */
    bool *cited;      /* per check: a drift check of which every open item stands beside a cause */
};

static inline const struct rb_record *record_of(const struct diagnosis *d, size_t index)
{
    return d->view->snapshot->records[index];
}
/* What the check says, or its reason; "its result is too old …" when the view knows better. */
const char *rb_words_of(const struct diagnosis *d, size_t index);
const char *rb_title_of(const struct diagnosis *d, size_t index);
/* The first fact of that key, or NULL. */
const char *rb_fact_of(const struct rb_record *record, const char *key);

/* probes.c: which failing probes have a listener that still runs (SPEC 11); fills node.held_open and `listener`. False: no memory. */
bool rb_hold_open_probes(struct diagnosis *d);

/* changes.c: what changed just before, on what the check touches. Of a project that it asks only the container behind the port counts. `also`: another check
 * whose things count too, or GRAPH_NONE. */
#define CHANGES_MAX 3u
size_t rb_find_changes(const struct diagnosis *d, size_t check, size_t also, struct rb_change out[CHANGES_MAX]);

/* The container of the record that publishes the port, or NULL. */
const char *rb_container_behind(const struct rb_record *record, unsigned port);

/* causes.c: the ranked list with everything that stands beside each cause. False: no memory. */
bool rb_find_causes(struct diagnosis *d);
/* refute.c: what the facts refute. */
void rb_rule_out(struct diagnosis *d, struct rb_cause *cause);
/* remedy.c: commands for people, and candidates for a revert. */
void rb_add_remedies(struct diagnosis *d);

#endif
