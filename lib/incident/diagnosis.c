/* From roles to a report: causes with what they explain, open questions, what is not linked, what is held, what could not be seen.
 *
 * Pure: everything comes from the view, everything goes into the caller's arena, in an order that depends on nothing but the view. The model and its limits are written down in
 * docs/diagnosis.md. Texts are the checks' own; renderers escape them. */
#include "runbook/incident/diagnosis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph.h"
#include "runbook/base/text.h"
#include "runbook/check/facts.h"

#define EVIDENCE_MAX     16u
#define OBSERVER_MAX     64u
#define CHANGES_MAX      3u
#define CHANGE_WINDOW_NS (INT64_C(600) * RB_NS_PER_S)

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

struct diagnosis {
    const struct rb_view *view;
    const struct rb_diagnosis_options *options;
    struct rb_arena *arena;
    struct rb_diagnosis *out;
    struct graph graph;
    size_t *rank;     /* check → its place in out->causes */
    size_t *listener; /* per check: the check that sees its listener run, or GRAPH_NONE */
};

static const struct rb_record *record_of(const struct diagnosis *d, size_t index)
{
    return d->view->snapshot->records[index];
}

static const char *words_of(const struct diagnosis *d, size_t index)
{
    const struct rb_record *record = record_of(d, index);
    bool overtaken = record->state != d->graph.nodes[index].state; /* the view says stale, the record does not know yet */
    if (overtaken)
        return "its result is too old to be believed";
    return record->message[0] ? record->message : record->reason;
}

static const char *title_of(const struct diagnosis *d, size_t index)
{
    return rb_arena_printf(d->arena, "%s: %s", record_of(d, index)->spec->name, words_of(d, index));
}

/* ---- probes whose listener still runs ---- */

struct listening {
    unsigned port;
    size_t check;
};

static int by_port(const void *a, const void *b)
{
    const struct listening *x = a, *y = b;
    if (x->port != y->port)
        return x->port < y->port ? -1 : 1;
    return x->check < y->check ? -1 : x->check > y->check;
}

/* The port of "8080", "host:8080" or "[::1]:8080"; 0 when there is none. */
static unsigned port_of(const char *text)
{
    const char *colon = strrchr(text, ':');
    const char *digits = colon ? colon + 1 : text;
    char *end;
    unsigned long port = strtoul(digits, &end, 10);
    return end != digits && *end == '\0' && port <= 65535 ? (unsigned)port : 0;
}

static bool is_local(const char *target)
{
    static const char *const prefixes[] = {"localhost:", "127.", "[::1]:", "::1:", "0.0.0.0:"};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        if (strncmp(target, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    }
    return false;
}

static bool is_listening_fact(const struct rb_fact *fact)
{
    return strcmp(fact->key, RB_FACT_LISTEN) == 0 || strcmp(fact->key, RB_FACT_PUBLISH) == 0;
}

static size_t count_listening(const struct diagnosis *d, struct listening *out)
{
    size_t count = 0;
    for (size_t i = 0; i < d->graph.count; i++) {
        const struct rb_record *record = record_of(d, i);
        for (size_t f = 0; d->graph.nodes[i].state == RB_STATE_OK && f < record->fact_count; f++) {
            unsigned port = is_listening_fact(&record->facts[f]) ? port_of(record->facts[f].value) : 0;
            if (port == 0)
                continue;
            if (out)
                out[count] = (struct listening){.port = port, .check = i};
            count++;
        }
    }
    return count;
}

/* The connection never came about: that tells of the listener itself, and is no riddle. */
static bool never_connected(const char *reason)
{
    static const char *const reasons[] = {"refused",   "unreachable", "connect_timeout", "dns",    "dns_timeout",
                                          "no_socket", "permission",  "absent",          "present"};
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (strcmp(reason, reasons[i]) == 0)
            return true;
    }
    return false;
}

static size_t listener_behind(const struct diagnosis *d, size_t index, const struct listening *all, size_t count)
{
    const struct rb_record *record = record_of(d, index);
    const struct rb_kind_schema *schema = record->spec->kind;
    if (!schema || rb_kind_of(schema)->exec != RB_EXEC_EXCHANGE || never_connected(record->reason))
        return GRAPH_NONE;
    for (size_t f = 0; f < record->fact_count; f++) {
        const struct rb_fact *fact = &record->facts[f];
        if (strcmp(fact->key, RB_FACT_TARGET) != 0 || !is_local(fact->value))
            continue;
        unsigned port = port_of(fact->value);
        size_t low = 0, high = count;
        while (low < high) {
            size_t middle = low + (high - low) / 2;
            if (all[middle].port < port)
                low = middle + 1;
            else
                high = middle;
        }
        if (low < count && all[low].port == port)
            return all[low].check;
    }
    return GRAPH_NONE;
}

/* SPEC 11: a failing probe whose listener still runs is undetermined. */
static bool hold_open_probes(struct diagnosis *d)
{
    size_t count = count_listening(d, NULL);
    struct listening *all = rb_arena_array(d->arena, count + 1, sizeof *all);
    d->listener = rb_arena_array(d->arena, d->graph.count + 1, sizeof *d->listener);
    if (!all || !d->listener)
        return false;
    (void)count_listening(d, all);
    qsort(all, count, sizeof *all, by_port);
    for (size_t i = 0; i < d->graph.count; i++) {
        bool fails = d->graph.nodes[i].state == RB_STATE_FAIL;
        d->listener[i] = fails ? listener_behind(d, i, all, count) : GRAPH_NONE;
        d->graph.nodes[i].held_open = d->listener[i] != GRAPH_NONE;
    }
    return true;
}

/* ---- causes ---- */

struct ranked {
    const struct graph *graph;
    size_t check;
};

static int by_rank(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    const struct rb_record *const *records = (const struct rb_record *const *)(const void *)x->graph->view->snapshot->records;
    enum rb_severity x_severity = records[x->check]->spec->severity, y_severity = records[y->check]->spec->severity;
    if (x_severity != y_severity)
        return x_severity < y_severity ? -1 : 1;
    size_t x_reach = x->graph->nodes[x->check].reach, y_reach = y->graph->nodes[y->check].reach;
    if (x_reach != y_reach)
        return x_reach > y_reach ? -1 : 1;
    return rb_graph_before(x->graph, x->check, y->check) ? -1 : rb_graph_before(x->graph, y->check, x->check);
}

static enum rb_confidence confidence_of(const struct diagnosis *d, size_t check)
{
    const struct rb_record *record = record_of(d, check);
    if (record->flapping || record->streak)
        return RB_CONFIDENCE_LOW;
    bool told_itself = record->last_words_count > 0 || record->spec->phase == RB_PHASE_SAFETY;
    return d->graph.nodes[check].reach > 0 || told_itself ? RB_CONFIDENCE_HIGH : RB_CONFIDENCE_MEDIUM;
}

static void add_evidence(const struct diagnosis *d, struct rb_cause *cause)
{
    const struct rb_record *record = record_of(d, cause->check);
    size_t kept = record->evidence_count < EVIDENCE_MAX ? record->evidence_count : EVIDENCE_MAX;
    cause->evidence = rb_arena_array(d->arena, kept + 2, sizeof *cause->evidence);
    if (!cause->evidence)
        return;
    cause->evidence[cause->evidence_count++] = words_of(d, cause->check);
    for (size_t i = 0; i < kept; i++)
        cause->evidence[cause->evidence_count++] = record->evidence[i];
    size_t more = record->evidence_count - kept + record->evidence_dropped;
    if (more)
        cause->evidence[cause->evidence_count++] = rb_arena_printf(d->arena, "and %zu more", more);
    cause->last_words = record->last_words;
    cause->last_words_count = record->last_words_count;
}

/* What may make a difference, as opposed to what only tells of one. */
static bool is_change(enum rb_event_kind kind)
{
    return kind == RB_EVENT_KIND_HEAD || kind == RB_EVENT_KIND_DRIFT || kind == RB_EVENT_KIND_RELOAD || kind == RB_EVENT_KIND_CONTAINER;
}

/* The newest changes in the ten minutes before the failure, newest first. */
static void add_changes(const struct diagnosis *d, struct rb_cause *cause)
{
    const struct rb_snapshot *snapshot = d->view->snapshot;
    struct rb_change *changes = rb_arena_array(d->arena, CHANGES_MAX, sizeof *changes);
    for (size_t i = snapshot->timeline_count; changes && i-- > 0 && cause->changed_before_count < CHANGES_MAX;) {
        const struct rb_event_entry *entry = snapshot->timeline[i];
        int64_t lead_ns = cause->since_wall_ns - entry->wall_ns;
        if (!is_change(entry->kind) || lead_ns < 0 || lead_ns > CHANGE_WINDOW_NS)
            continue;
        changes[cause->changed_before_count++] = (struct rb_change){
            .wall_ns = entry->wall_ns, .what = rb_arena_strdup(d->arena, entry->text), .lead_ns = lead_ns};
    }
    cause->changed_before = changes;
}

static void add_cause(struct diagnosis *d, size_t check)
{
    const struct rb_record *record = record_of(d, check);
    struct rb_cause *cause = &d->out->causes[d->out->cause_count];
    d->rank[check] = d->out->cause_count++;
    *cause = (struct rb_cause){.check = check,
                               .title = title_of(d, check),
                               .confidence = confidence_of(d, check),
                               .since_wall_ns = record->since_wall_ns,
                               .last_ok_wall_ns = record->last_ok_wall_ns,
                               .runbook = record->spec->runbook};
    add_evidence(d, cause);
    add_changes(d, cause);
    cause->explains = rb_arena_array(d->arena, d->graph.nodes[check].reach + 1, sizeof *cause->explains);
}

static bool find_causes(struct diagnosis *d)
{
    struct ranked *ranked = rb_arena_array(d->arena, d->graph.count + 1, sizeof *ranked);
    d->rank = rb_arena_array(d->arena, d->graph.count + 1, sizeof *d->rank);
    if (!ranked || !d->rank)
        return false;
    size_t count = 0;
    for (size_t i = 0; i < d->graph.count; i++) {
        if (d->graph.nodes[i].role == NODE_CAUSE)
            ranked[count++] = (struct ranked){.graph = &d->graph, .check = i};
    }
    qsort(ranked, count, sizeof *ranked, by_rank);
    d->out->causes = rb_arena_array(d->arena, count + 1, sizeof *d->out->causes);
    for (size_t i = 0; d->out->causes && i < count; i++)
        add_cause(d, ranked[i].check);
    return d->out->causes != NULL;
}

static void explain_symptoms(struct diagnosis *d)
{
    for (size_t i = 0; i < d->graph.count; i++) {
        const struct node *node = &d->graph.nodes[i];
        if (node->owner == GRAPH_NONE || node->owner == i || node->role == NODE_QUIET)
            continue;
        struct rb_cause *cause = &d->out->causes[d->rank[node->owner]];
        if (cause->explains)
            cause->explains[cause->explains_count++] = (struct rb_explained){
                .check = i, .how = words_of(d, i), .since_wall_ns = record_of(d, i)->since_wall_ns};
    }
}

/* ---- what to do ---- */

/* A command that asks this daemon again, from the first address that it listens on. */
static const char *ask_again(const struct diagnosis *d)
{
    const struct rb_strings *listen = &d->view->snapshot->plan->daemon.listen;
    const char *address = listen->count ? listen->items[0] : "127.0.0.1:9112";
    const char *tail = "/triage  # expect \"VERDICT  healthy\"";
    unsigned port = port_of(address);
    if (strncmp(address, "unix:", 5) == 0) {
        RB_BUF_AUTO quoted;
        rb_buf_init(&quoted, 4096);
        if (!rb_text_shell_quote(&quoted, address + 5))
            return NULL;
        return rb_arena_printf(d->arena, "curl -s --unix-socket %s http://localhost%s", rb_buf_str(&quoted), tail);
    }
    bool here = is_local(address) || strncmp(address, "[::]:", 5) == 0 || port_of(address) == 0;
    if (here)
        return rb_arena_printf(d->arena, "curl -s localhost:%u%s", port ? port : 9112, tail);
    RB_BUF_AUTO quoted;
    rb_buf_init(&quoted, 1024);
    if (!rb_text_shell_quote(&quoted, address))
        return NULL;
    return rb_arena_printf(d->arena, "curl -s %s%s", rb_buf_str(&quoted), tail);
}

static void add_todo(struct diagnosis *d)
{
    for (size_t i = 0; i < d->out->cause_count; i++) {
        struct rb_cause *cause = &d->out->causes[i];
        const struct rb_record *record = record_of(d, cause->check);
        cause->todo = rb_arena_array(d->arena, record->hint_count + 1, sizeof *cause->todo);
        for (size_t h = 0; cause->todo && h < record->hint_count; h++) {
            if (rb_text_is_plain(record->hints[h], strlen(record->hints[h])))
                cause->todo[cause->todo_count++] = record->hints[h];
        }
    }
    if (d->out->cause_count == 0)
        return;
    struct rb_cause *last = &d->out->causes[d->out->cause_count - 1];
    const char *again = last->todo ? ask_again(d) : NULL;
    if (again)
        last->todo[last->todo_count++] = again;
}

/* ---- the rest of the report ---- */

static const char *would_settle(const struct diagnosis *d, size_t check)
{
    const struct node *node = &d->graph.nodes[check];
    if (node->settles != GRAPH_NONE)
        return record_of(d, node->settles)->spec->name;
    size_t listener = d->listener[check];
    if (listener == GRAPH_NONE)
        return "";
    return rb_arena_printf(d->arena, "%s: what listens there still runs; its own log would tell", record_of(d, listener)->spec->name);
}

static bool list_open_questions(struct diagnosis *d)
{
    struct rb_diagnosis *out = d->out;
    out->undetermined = rb_arena_array(d->arena, d->graph.count + 1, sizeof *out->undetermined);
    out->not_linked = rb_arena_array(d->arena, d->graph.count + 1, sizeof *out->not_linked);
    if (!out->undetermined || !out->not_linked)
        return false;
    for (size_t i = 0; i < d->graph.count; i++) {
        const struct node *node = &d->graph.nodes[i];
        if (node->role == NODE_UNDETERMINED)
            out->undetermined[out->undetermined_count++] = (struct rb_open_question){
                .check = i, .title = title_of(d, i), .would_settle = would_settle(d, i)};
        else if (node->role == NODE_WARN && node->owner == GRAPH_NONE)
            out->not_linked[out->not_linked_count++] = (struct rb_not_linked){
                .check = i, .title = title_of(d, i), .since_wall_ns = record_of(d, i)->since_wall_ns};
    }
    return true;
}

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
    for (size_t i = 0; i < d->graph.count; i++) {
        const struct node *node = &d->graph.nodes[i];
        pending += node->state == RB_STATE_PENDING && !record_of(d, i)->spec->manual;
        if (node->role != NODE_BLIND || node->owner != GRAPH_NONE)
            continue;
        if (out->observer_count > OBSERVER_MAX)
            more++;
        else
            add_observer(d, rb_arena_printf(d->arena, "%s is %s (%s): %s", record_of(d, i)->spec->name, rb_state_name(node->state),
                                            rb_view_reason(d->view, i), words_of(d, i)));
    }
    if (pending)
        add_observer(
            d, rb_arena_printf(d->arena, "%zu %s not completed a first run yet", pending, pending == 1 ? "check has" : "checks have"));
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

/* SPEC 11. */
static enum rb_verdict verdict_of(const struct diagnosis *d)
{
    size_t by_state[RB_STATE_COUNT] = {0};
    for (size_t i = 0; i < d->graph.count; i++)
        by_state[d->graph.nodes[i].state]++;
    if (d->out->cause_count)
        return RB_VERDICT_CAUSES;
    size_t seen = by_state[RB_STATE_OK] + by_state[RB_STATE_WARN] + by_state[RB_STATE_SKIP] + by_state[RB_STATE_FAIL];
    if (seen == 0)
        return RB_VERDICT_BLIND;
    bool open = by_state[RB_STATE_FAIL] || by_state[RB_STATE_UNKNOWN] || by_state[RB_STATE_STALE];
    return open ? RB_VERDICT_UNDETERMINED : RB_VERDICT_HEALTHY;
}

int rb_diagnose(const struct rb_view *view, const struct rb_diagnosis_options *options, struct rb_arena *arena, struct rb_diagnosis *out,
                struct rb_error *err)
{
    struct diagnosis d = {.view = view, .options = options, .arena = arena, .out = out};
    *out = (struct rb_diagnosis){.round_s = options->round_s};
    bool built = rb_graph_init(&d.graph, view, arena) && hold_open_probes(&d);
    if (built)
        rb_graph_assign(&d.graph);
    built = built && find_causes(&d) && list_open_questions(&d) && list_unseen(&d) && list_held(&d);
    if (built) {
        explain_symptoms(&d);
        add_todo(&d);
        out->verdict = verdict_of(&d);
    }
    if (!built || rb_arena_failed(arena))
        return rb_error_set(err, RB_ENOMEM, "not enough memory for the diagnosis of %zu checks", view->snapshot->count);
    return 0;
}
