/* From roles to a report: what stands beside the causes: open questions, what is not linked, what is held, what could not be seen; and the verdict.
 *
 * Pure: everything comes from the view, everything goes into the caller's arena, in an order that depends on nothing but the view. The model and its limits are written down in
 * docs/diagnosis.md. Texts are the checks' own; renderers escape them. */
#include "runbook/incident/diagnosis.h"

#include <string.h>

#include "internal.h"
#include "runbook/check/facts.h"

#define OBSERVER_MAX 64u
#define ITEMS_MAX    8u /* drift items told one by one, for each check */

static const char *const verdict_names[] = {
    [RB_VERDICT_HEALTHY] = "healthy",
    [RB_VERDICT_CAUSES] = "causes",
    [RB_VERDICT_UNDETERMINED] = "undetermined",
    [RB_VERDICT_BLIND] = "blind",
};
static const char *const confidence_names[] = {
    [RB_CONFIDENCE_HIGH] = "high", [RB_CONFIDENCE_MEDIUM] = "medium", [RB_CONFIDENCE_LOW] = "low"};

const char *rb_verdict_name(enum rb_verdict verdict)
{
    return verdict_names[verdict];
}

const char *rb_confidence_name(enum rb_confidence confidence)
{
    return confidence_names[confidence];
}

const char *rb_words_of(const struct diagnosis *d, size_t index)
{
    const struct rb_record *record = record_of(d, index);
    bool overtaken = record->state != d->graph.nodes[index].state; /* the view says stale, the record does not know yet */
    if (overtaken)
        return "its result is too old to be believed";
    return record->message[0] ? record->message : record->reason;
}

const char *rb_title_of(const struct diagnosis *d, size_t index)
{
    return rb_arena_printf(d->arena, "%s: %s", record_of(d, index)->spec->name, rb_words_of(d, index));
}

const char *rb_fact_of(const struct rb_record *record, const char *key)
{
    for (size_t f = 0; f < record->fact_count; f++) {
        if (strcmp(record->facts[f].key, key) == 0)
            return record->facts[f].value;
    }
    return NULL;
}

/* ---- open questions ---- */

static void add_question(struct diagnosis *d, size_t check)
{
    const struct node *node = &d->graph.nodes[check];
    struct rb_open_question *question = &d->out->undetermined[d->out->undetermined_count++];
    *question = (struct rb_open_question){.check = check, .title = rb_title_of(d, check), .kind = RB_SETTLE_NOBODY, .settles = GRAPH_NONE};
    if (d->listener[check] != GRAPH_NONE) {
        question->kind = RB_SETTLE_LISTENER;
        question->settles = d->listener[check];
        question->would_settle = rb_arena_printf(d->arena, "%s: what listens there still runs; its own log would tell",
                                                 record_of(d, question->settles)->spec->name);
    } else if (node->settles != GRAPH_NONE) {
        question->kind = RB_SETTLE_CHECK;
        question->settles = node->settles;
        question->would_settle = record_of(d, node->settles)->spec->name;
    } else {
        question->would_settle = "no check looks at what answers there; a port or compose check of it would tell";
    }
}

/* ---- not linked ---- */

static bool is_cited(const struct rb_diagnosis *out, const struct rb_drift_item *item)
{
    for (size_t i = 0; i < out->cause_count; i++) {
        for (size_t k = 0; k < out->causes[i].changed_before_count; k++) {
            if (out->causes[i].changed_before[k].item == item)
                return true;
        }
    }
    return false;
}

static void add_not_linked(struct diagnosis *d, struct rb_not_linked entry)
{
    entry.title = entry.title ? entry.title : rb_title_of(d, entry.check);
    d->out->not_linked[d->out->not_linked_count++] = entry;
}

/* What is cited beside a cause is linked; the other items stand one by one, so that each can be judged. */
static void add_drift(struct diagnosis *d, size_t check)
{
    const struct rb_record *record = record_of(d, check);
    const struct rb_drift_report *report = record->drift;
    /* Without a cause the check is one warning; beside one, each file is a suspect of its own. */
    if (d->out->cause_count == 0 || report->items_dropped || report->item_count > ITEMS_MAX) {
        add_not_linked(d, (struct rb_not_linked){.check = check, .since_wall_ns = record->since_wall_ns});
        return;
    }
    for (size_t k = 0, told = 0; k < report->item_count && told < ITEMS_MAX; k++) {
        const struct rb_drift_item *item = &report->items[k];
        if (item->accepted || is_cited(d->out, item))
            continue;
        const char *title = rb_arena_printf(d->arena, "%s: %s differs, not accepted; no failing check touches it", record->spec->name,
                                            item->key);
        add_not_linked(d, (struct rb_not_linked){.check = check, .title = title, .since_wall_ns = item->changed_wall_ns, .item = item});
        told++;
    }
}

static bool list_open_questions(struct diagnosis *d)
{
    struct rb_diagnosis *out = d->out;
    size_t drifts = 0;
    for (size_t i = 0; i < d->graph.count; i++)
        drifts += record_of(d, i)->drift != NULL;
    out->undetermined = rb_arena_array(d->arena, d->graph.count + 1, sizeof *out->undetermined);
    out->not_linked = rb_arena_array(d->arena, d->graph.count + drifts * ITEMS_MAX + 1, sizeof *out->not_linked);
    if (!out->undetermined || !out->not_linked)
        return false;
    for (size_t i = 0; i < d->graph.count; i++) {
        const struct node *node = &d->graph.nodes[i];
        bool apart = node->role == NODE_NOISE || (node->role == NODE_WARN && node->owner == GRAPH_NONE);
        if (node->role == NODE_UNDETERMINED)
            add_question(d, i);
        else if (apart && record_of(d, i)->drift && node->role == NODE_WARN)
            add_drift(d, i);
        else if (apart)
            add_not_linked(d, (struct rb_not_linked){.check = i, .since_wall_ns = record_of(d, i)->since_wall_ns});
    }
    return true;
}

/* ---- what could not be seen, what is held ---- */

static void add_observer(struct diagnosis *d, const char *line)
{
    if (line)
        d->out->observer[d->out->observer_count++] = line;
}

static bool list_unseen(struct diagnosis *d)
{
    struct rb_diagnosis *out = d->out;
    out->observer = rb_arena_array(d->arena, OBSERVER_MAX + 3, sizeof *out->observer);
    if (!out->observer)
        return false;
    if (d->view->stuck)
        add_observer(d,
                     rb_arena_printf(d->arena, "the daemon's loop has been stuck for %.0f s: no state below is current", d->view->age_s));
    size_t pending = 0, more = 0;
    const char *first_pending = "";
    for (size_t i = 0; i < d->graph.count; i++) {
        const struct node *node = &d->graph.nodes[i];
        if (node->state == RB_STATE_PENDING && !record_of(d, i)->spec->manual && pending++ == 0)
            first_pending = record_of(d, i)->spec->name;
        if (node->role != NODE_BLIND || node->owner != GRAPH_NONE)
            continue;
        if (out->observer_count > OBSERVER_MAX)
            more++;
        else
            add_observer(d, rb_arena_printf(d->arena, "%s is %s (%s): %s", record_of(d, i)->spec->name, rb_state_name(node->state),
                                            rb_view_reason(d->view, i), rb_words_of(d, i)));
    }
    if (pending)
        add_observer(d, pending == 1
                            ? rb_arena_printf(d->arena, "1 check has not completed a first run yet: %s", first_pending)
                            : rb_arena_printf(d->arena, "%zu checks have not completed a first run yet: %s …", pending, first_pending));
    if (more)
        add_observer(d, rb_arena_printf(d->arena, "and %zu more", more));
    return true;
}

static bool list_held(struct diagnosis *d)
{
    struct rb_diagnosis *out = d->out;
    out->held = rb_arena_array(d->arena, d->graph.count + 1, sizeof *out->held);
    if (!out->held)
        return false;
    for (size_t i = 0; i < d->graph.count; i++) {
        const struct rb_record *record = record_of(d, i);
        bool ran = record->last_run_wall_ns != 0;
        if (!ran && record->spec->manual)
            continue;
        out->total++;
        /* A result from before this boot has only a wall time. */
        int64_t age_ns = record->last_completed_ns != INT64_MIN ? d->view->elapsed_ns - record->last_completed_ns
                                                                : d->view->wall_ns - record->last_run_wall_ns;
        if (ran && age_ns <= d->options->max_age_ns)
            out->fresh++;
        else if (ran)
            out->held[out->held_count++] = (struct rb_held){.check = i, .age_s = (double)age_ns / (double)RB_NS_PER_S};
    }
    return true;
}

/* SPEC 11; and what has not been looked at yet is not healthy. */
static enum rb_verdict verdict_of(const struct diagnosis *d)
{
    size_t by_state[RB_STATE_COUNT] = {0};
    size_t waiting = 0;
    for (size_t i = 0; i < d->graph.count; i++) {
        by_state[d->graph.nodes[i].state]++;
        waiting += d->graph.nodes[i].state == RB_STATE_PENDING && !record_of(d, i)->spec->manual;
    }
    if (d->out->cause_count)
        return RB_VERDICT_CAUSES;
    size_t seen = by_state[RB_STATE_OK] + by_state[RB_STATE_WARN] + by_state[RB_STATE_SKIP] + by_state[RB_STATE_FAIL];
    if (seen == 0)
        return RB_VERDICT_BLIND;
    bool open = by_state[RB_STATE_FAIL] || by_state[RB_STATE_UNKNOWN] || by_state[RB_STATE_STALE] || waiting;
    return open ? RB_VERDICT_UNDETERMINED : RB_VERDICT_HEALTHY;
}

int rb_diagnose(const struct rb_view *view, const struct rb_diagnosis_options *options, struct rb_arena *arena, struct rb_diagnosis *out,
                struct rb_error *err)
{
    struct diagnosis d = {.view = view, .options = options, .arena = arena, .out = out};
    *out = (struct rb_diagnosis){.round_s = options->round_s};
    bool built = rb_graph_init(&d.graph, view, arena) && rb_hold_open_probes(&d);
    if (built)
        rb_graph_assign(&d.graph);
    built = built && rb_find_causes(&d) && list_open_questions(&d) && list_unseen(&d) && list_held(&d);
    if (built) {
        rb_add_remedies(&d);
        out->verdict = verdict_of(&d);
    }
    if (!built || rb_arena_failed(arena))
        return rb_error_set(err, RB_ENOMEM, "not enough memory for the diagnosis of %zu checks", view->snapshot->count);
    return 0;
}
