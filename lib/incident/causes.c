/* The ranked list of causes, and what stands beside each: evidence, last words, changes, what it explains, how sure we are.
 *
 * A cause is scored by severity, reach, directness of its evidence, order in time and noise; docs/diagnosis.md gives the source of each weight. The weights are whole numbers in one table, so that
 * a reader can redo the sum. Noise is failing that says nothing about now: silenced, or long before the others, or never well while the others broke just now. It is told as not linked as soon
 * as there is something better. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "places.h"
#include "runbook/check/facts.h"

#define EVIDENCE_MAX 16u
#define LONG_NS      (INT64_C(6) * 3600 * RB_NS_PER_S)
#define UNSCRAPED    8u

enum {
    WEIGHT_GUARD = 100, /* a violated safety check */
    WEIGHT_PAGE = 30,
    WEIGHT_WARN = 15,
    WEIGHT_REACH = 8,   /* for each failing check that it explains … */
    REACH_COUNTED = 6,  /* … of the first six */
    WEIGHT_DIRECT = 12, /* it says itself what broke */
    WEIGHT_CHANGED = 8, /* something that it touches changed just before */
    WEIGHT_FIRST = 5,   /* it broke before every other cause */
    WEIGHT_FLAPPING = -20,
    WEIGHT_OLD = -20,   /* failing long before the others, or never well … */
    WEIGHT_KNOWN = -80, /* … and nothing new suffers from it; or silenced: whoever is on call knows */
    WEIGHT_STREAK = -5  /* not confirmed by fail_after yet */
};

/* Reasons that are findings about the thing itself and not about what is heard of it. */
static const char *const direct_reasons[] = {"not_listening", "wrong_owner", "taken",       "exited",      "stopped",      "oom",
                                             "crash_loop",    "not_started", "missing",     "dead",        "broken",       "file_missing",
                                             "not_running",   "no_socket",   "refused",     "disk_low",    "inodes_low",   "clock_step",
                                             "read_only",     "memory_low",  "operation",   "stuck_lock",  "detached",     "wrong_branch",
                                             "not_clean",     "wrong_value", "key_missing", "key_present", "denied_set",   "tls_expired",
                                             "present",       "absent",      "job_missing", "target_down", "not_found",    "not_executable",
                                             "signaled",      "exit",        "forbidden",   "files_low",   "wrong_marker", "unhealthy",
                                             "paused",        NULL};

struct ranked {
    size_t check;
    int score;
    const struct diagnosis *d;
};

static bool is_direct(const struct rb_record *record)
{
    return record->spec->phase == RB_PHASE_SAFETY || record->last_words_count > 0 || rb_reason_in(record->reason, direct_reasons);
}

static int score_of(const struct diagnosis *d, size_t check, int64_t first_wall_ns, bool old, bool known)
{
    const struct rb_record *record = record_of(d, check);
    size_t reach = d->graph.nodes[check].failing;
    int score = record->spec->phase == RB_PHASE_SAFETY ? WEIGHT_GUARD : 0;
    score += record->spec->severity == RB_SEVERITY_PAGE ? WEIGHT_PAGE : record->spec->severity == RB_SEVERITY_WARN ? WEIGHT_WARN : 0;
    score += WEIGHT_REACH * (int)(reach < REACH_COUNTED ? reach : REACH_COUNTED);
    score += is_direct(record) ? WEIGHT_DIRECT : 0;
    score += d->out->causes[d->rank[check]].changed_before_count > 0 ? WEIGHT_CHANGED : 0;
    score += record->since_wall_ns == first_wall_ns ? WEIGHT_FIRST : 0;
    score += record->flapping ? WEIGHT_FLAPPING : 0;
    score += old ? WEIGHT_OLD : 0;
    score += known ? WEIGHT_KNOWN : 0;
    score += record->streak ? WEIGHT_STREAK : 0;
    return score;
}

static int by_rank(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return rb_graph_before(&x->d->graph, x->check, y->check) ? -1 : rb_graph_before(&x->d->graph, y->check, x->check);
}

/* ---- noise ---- */

/* When the newest trouble began: of the causes that were well before. 0: none was. */
static int64_t newest_onset(const struct diagnosis *d)
{
    int64_t newest = 0;
    for (size_t i = 0; i < d->graph.count; i++) {
        const struct rb_record *record = record_of(d, i);
        bool counts = d->graph.nodes[i].role == NODE_CAUSE && record->last_ok_wall_ns != 0 && record->silenced_until_wall_ns == 0;
        if (counts && record->since_wall_ns > newest)
            newest = record->since_wall_ns;
    }
    return newest;
}

static int64_t slack_ns(const struct rb_record *record)
{
    return (record->spec->every_ms + record->spec->timeout_ms) * RB_NS_PER_MS;
}

static bool is_old(const struct diagnosis *d, size_t check, int64_t newest_wall_ns)
{
    const struct rb_record *record = record_of(d, check);
    if (newest_wall_ns == 0 || record->since_wall_ns >= newest_wall_ns)
        return false;
    int64_t earlier_ns = newest_wall_ns - record->since_wall_ns;
    return earlier_ns > LONG_NS || (record->last_ok_wall_ns == 0 && earlier_ns > slack_ns(record));
}

/* Silences and old troubles step back when something better explains the moment; guards and what others hang on never do. */
static void set_noise_apart(struct diagnosis *d, int64_t newest_wall_ns)
{
    for (size_t i = 0; i < d->graph.count && newest_wall_ns; i++) {
        struct node *node = &d->graph.nodes[i];
        const struct rb_record *record = record_of(d, i);
        bool silenced = record->silenced_until_wall_ns > d->view->wall_ns;
        if (node->role != NODE_CAUSE || node->reach > 0 || record->spec->phase == RB_PHASE_SAFETY)
            continue;
        if (!silenced && !is_old(d, i, newest_wall_ns) && !(record->flapping && record->since_wall_ns < newest_wall_ns))
            continue;
        node->role = NODE_NOISE;
        node->owner = GRAPH_NONE;
    }
}

/* ---- one cause ---- */

/* A symptom that began clearly before its cause speaks against the link. */
static bool time_contradicts(const struct diagnosis *d, size_t check)
{
    const struct rb_record *record = record_of(d, check);
    int64_t slack = slack_ns(record);
    for (size_t i = 0; i < d->graph.count; i++) {
        const struct node *node = &d->graph.nodes[i];
        bool symptom = node->owner == check && i != check && node->role == NODE_SYMPTOM && node->through->kind != RB_EDGE_DECLARED;
        if (symptom && record_of(d, i)->since_wall_ns &&
            record_of(d, i)->since_wall_ns + slack + slack_ns(record_of(d, i)) < record->since_wall_ns)
            return true;
    }
    return false;
}

static enum rb_confidence confidence_of(const struct diagnosis *d, const struct rb_cause *cause, bool old, size_t causes)
{
    const struct rb_record *record = record_of(d, cause->check);
    if (record->flapping || record->streak || old)
        return RB_CONFIDENCE_LOW;
    bool direct = is_direct(record);
    bool only_one = causes == 1 && d->graph.nodes[cause->check].reach > 0;
    if ((!direct && !only_one) || time_contradicts(d, cause->check) || d->graph.nodes[cause->check].settles != GRAPH_NONE)
        return RB_CONFIDENCE_MEDIUM;
    return RB_CONFIDENCE_HIGH;
}

static void add_evidence(const struct diagnosis *d, struct rb_cause *cause)
{
    const struct rb_record *record = record_of(d, cause->check);
    size_t kept = record->evidence_count < EVIDENCE_MAX ? record->evidence_count : EVIDENCE_MAX;
    cause->evidence = rb_arena_array(d->arena, kept + 2, sizeof *cause->evidence);
    if (!cause->evidence)
        return;
    cause->evidence[cause->evidence_count++] = rb_words_of(d, cause->check);
    for (size_t i = 0; i < kept; i++)
        cause->evidence[cause->evidence_count++] = record->evidence[i];
    size_t more = record->evidence_count - kept + record->evidence_dropped;
    if (more)
        cause->evidence[cause->evidence_count++] = rb_arena_printf(d->arena, "and %zu more", more);
    cause->last_words = record->last_words;
    cause->last_words_count = record->last_words_count;
}

static void add_changes(struct diagnosis *d, struct rb_cause *cause)
{
    struct rb_change found[CHANGES_MAX];
    size_t count = rb_find_changes(d, cause->check, d->listener[cause->check], found);
    if (count == 0)
        return;
    cause->changed_before = rb_arena_array(d->arena, count, sizeof *cause->changed_before);
    if (!cause->changed_before)
        return;
    memcpy(cause->changed_before, found, count * sizeof *found);
    cause->changed_before_count = count;
}

static void add_cause(struct diagnosis *d, size_t check)
{
    const struct rb_record *record = record_of(d, check);
    struct rb_cause *cause = &d->out->causes[d->out->cause_count++];
    *cause = (struct rb_cause){.check = check,
                               .title = rb_title_of(d, check),
                               .since_wall_ns = record->since_wall_ns,
                               .last_ok_wall_ns = record->last_ok_wall_ns,
                               .runbook = record->spec->runbook};
    add_evidence(d, cause);
    add_changes(d, cause);
    rb_rule_out(d, cause);
    cause->explains = rb_arena_array(d->arena, d->graph.nodes[check].reach + UNSCRAPED + 1, sizeof *cause->explains);
}

/* ---- what it explains ---- */

static bool same_port(const struct rb_snapshot *snapshot, const char *a, const char *b)
{
    if (rb_place_port(a) == 0 || rb_place_port(a) != rb_place_port(b))
        return false;
    bool a_here = !strchr(a, ':') || rb_place_is_local(a, snapshot->host), b_here = !strchr(b, ':') || rb_place_is_local(b, snapshot->host);
    return a_here == b_here && (a_here || strcmp(a, b) == 0);
}

/* The check that looks at a port, a failing one first; GRAPH_NONE when nobody does. */
static size_t who_looks_at(const struct diagnosis *d, size_t prometheus, const char *target)
{
    const struct rb_snapshot *snapshot = d->view->snapshot;
    size_t best = GRAPH_NONE;
    for (size_t i = 0; i < snapshot->count; i++) {
        for (size_t f = 0; i != prometheus && f < snapshot->records[i]->fact_count; f++) {
            const struct rb_fact *fact = &snapshot->records[i]->facts[f];
            if (strcmp(fact->key, RB_FACT_TARGET) != 0 && strcmp(fact->key, RB_FACT_ADDRESS) != 0 && strcmp(fact->key, RB_FACT_LISTEN) != 0)
                continue;
            bool fails = best != GRAPH_NONE && d->graph.nodes[best].state == RB_STATE_FAIL;
            if (!fails && same_port(snapshot, fact->value, target))
                best = i;
        }
    }
    return best;
}

/* SPEC 8: while Prometheus is down, a target is explained only if its own page or port answers, or nobody probes it. A closed one is a cause of its own, and stands elsewhere. */
static void explain_unscraped(struct diagnosis *d, struct rb_cause *cause, size_t prometheus)
{
    const struct rb_record *record = record_of(d, prometheus);
    bool silent = rb_never_connected(record->reason) || strcmp(record->reason, "timeout") == 0 ||
                  strcmp(record->reason, "not_ready") == 0 || d->graph.nodes[prometheus].state == RB_STATE_UNKNOWN;
    for (size_t f = 0, told = 0; silent && f < record->fact_count && told < UNSCRAPED; f++) {
        const char *space = strcmp(record->facts[f].key, RB_FACT_SCRAPES) == 0 ? strrchr(record->facts[f].value, ' ') : NULL;
        const char *own = rb_fact_of(record, RB_FACT_TARGET);
        if (!space || (own && strcmp(space + 1, own) == 0))
            continue;
        size_t looks = who_looks_at(d, prometheus, space + 1);
        if (looks != GRAPH_NONE && d->graph.nodes[looks].state != RB_STATE_OK)
            continue;
        unsigned port = rb_place_port(space + 1);
        const char *how = looks == GRAPH_NONE ? "not scraped; no check looks at its own page"
                                              : rb_arena_printf(d->arena, "not scraped; its own page on %u answers", port);
        const char *name = rb_arena_strndup(d->arena, record->facts[f].value, (size_t)(space - record->facts[f].value));
        cause->explains[cause->explains_count++] = (struct rb_explained){.check = prometheus,
                                                                         .name = name,
                                                                         .kind = looks == GRAPH_NONE ? RB_HOW_NOT_SCRAPED_UNWATCHED
                                                                                                     : RB_HOW_NOT_SCRAPED,
                                                                         .port = port,
                                                                         .how = how,
                                                                         .since_wall_ns = record->since_wall_ns};
        told++;
    }
}

static void explain(struct diagnosis *d)
{
    for (size_t i = 0; i < d->graph.count; i++) {
        const struct node *node = &d->graph.nodes[i];
        if (node->owner == GRAPH_NONE || node->owner == i || node->role == NODE_QUIET)
            continue;
        struct rb_cause *cause = &d->out->causes[d->rank[node->owner]];
        if (cause->explains)
            cause->explains[cause->explains_count++] = (struct rb_explained){
                .check = i, .how = rb_words_of(d, i), .since_wall_ns = record_of(d, i)->since_wall_ns};
    }
    bool *told = rb_arena_array(d->arena, d->out->cause_count + 1, sizeof *told);
    for (size_t i = 0; told && i < d->graph.count; i++) {
        size_t owner = d->graph.nodes[i].owner;
        bool prometheus = owner != GRAPH_NONE && d->graph.nodes[i].role != NODE_QUIET && rb_fact_of(record_of(d, i), RB_FACT_SCRAPES);
        if (!prometheus || told[d->rank[owner]] || !d->out->causes[d->rank[owner]].explains)
            continue;
        told[d->rank[owner]] = true;
        explain_unscraped(d, &d->out->causes[d->rank[owner]], i);
    }
}

/* ---- the list ---- */

/* Per check: a cause from which something suffers that began with the newest trouble. */
static bool *find_news(const struct diagnosis *d, int64_t newest_wall_ns)
{
    bool *news = rb_arena_array(d->arena, d->graph.count + 1, sizeof *news);
    for (size_t i = 0; news && i < d->graph.count; i++) {
        size_t owner = d->graph.nodes[i].owner;
        if (owner != GRAPH_NONE && owner != i && d->graph.nodes[i].state == RB_STATE_FAIL && !is_old(d, i, newest_wall_ns))
            news[owner] = true;
    }
    return news;
}

/* Two passes, because what changed before counts in the rank, and is looked for once. */
static bool rank_all(struct diagnosis *d, struct ranked *ranked, int64_t newest_wall_ns)
{
    struct rb_diagnosis *out = d->out;
    int64_t first_wall_ns = INT64_MAX;
    for (size_t i = 0; i < out->cause_count; i++) {
        if (out->causes[i].since_wall_ns < first_wall_ns)
            first_wall_ns = out->causes[i].since_wall_ns;
    }
    struct rb_cause *sorted = rb_arena_array(d->arena, out->cause_count + 1, sizeof *sorted);
    const bool *news = find_news(d, newest_wall_ns);
    if (!sorted || !news)
        return false;
    for (size_t i = 0; i < out->cause_count; i++) {
        size_t check = out->causes[i].check;
        d->rank[check] = i;
        bool old = out->cause_count > 1 && is_old(d, check, newest_wall_ns);
        out->causes[i].confidence = confidence_of(d, &out->causes[i], old, out->cause_count);
        bool silenced = record_of(d, check)->silenced_until_wall_ns > d->view->wall_ns;
        bool known = record_of(d, check)->spec->phase != RB_PHASE_SAFETY && (silenced || (old && !news[check]));
        ranked[i] = (struct ranked){.check = check, .d = d, .score = score_of(d, check, first_wall_ns, old, known)};
    }
    if (out->cause_count)
        qsort(ranked, out->cause_count, sizeof *ranked, by_rank);
    for (size_t i = 0; i < out->cause_count; i++)
        sorted[i] = out->causes[d->rank[ranked[i].check]];
    for (size_t i = 0; i < out->cause_count; i++)
        d->rank[sorted[i].check] = i;
    out->causes = sorted;
    return true;
}

bool rb_find_causes(struct diagnosis *d)
{
    int64_t newest_wall_ns = newest_onset(d);
    set_noise_apart(d, newest_wall_ns);
    size_t count = 0;
    for (size_t i = 0; i < d->graph.count; i++)
        count += d->graph.nodes[i].role == NODE_CAUSE;
    struct ranked *ranked = rb_arena_array(d->arena, count + 1, sizeof *ranked);
    d->rank = rb_arena_array(d->arena, d->graph.count + 1, sizeof *d->rank);
    d->out->causes = rb_arena_array(d->arena, count + 1, sizeof *d->out->causes);
    if (!ranked || !d->rank || !d->out->causes)
        return false;
    for (size_t i = 0; i < d->graph.count; i++) {
        if (d->graph.nodes[i].role == NODE_CAUSE)
            add_cause(d, i);
    }
    if (rb_arena_failed(d->arena) || !rank_all(d, ranked, newest_wall_ns))
        return false;
    explain(d);
    return true;
}
