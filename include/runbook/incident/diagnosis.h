/* The diagnosis: a pure, deterministic function over a view of the state. Same view, same answer; no clock, no I/O.
 *
 * The model and every weight with its source: docs/diagnosis.md. In one sentence: a cause is a failing check below which nothing fails in the graph of declared and inferred dependencies
 * (incident/graph.h); what stands above it is explained by it; what the evidence does not separate is told as undetermined, what could not be seen under observer, and what has nothing to do with
 * it as not linked. Texts are the checks' own, in English; what the diagnosis itself says comes as a value, too, for renderers of other languages. */
#ifndef RUNBOOK_INCIDENT_DIAGNOSIS_H
#define RUNBOOK_INCIDENT_DIAGNOSIS_H

#include "runbook/state/snapshot.h"

enum rb_verdict { RB_VERDICT_HEALTHY, RB_VERDICT_CAUSES, RB_VERDICT_UNDETERMINED, RB_VERDICT_BLIND };
enum rb_confidence { RB_CONFIDENCE_HIGH, RB_CONFIDENCE_MEDIUM, RB_CONFIDENCE_LOW };
const char *rb_verdict_name(enum rb_verdict verdict);
const char *rb_confidence_name(enum rb_confidence confidence);

enum rb_how { RB_HOW_WORDS, RB_HOW_NOT_SCRAPED, RB_HOW_NOT_SCRAPED_UNWATCHED, RB_HOW_COUNT };
struct rb_explained {
    size_t check;
    const char *name; /* NULL: the check's; else a part of it, a scraped job */
    enum rb_how kind;
    unsigned port;   /* NOT_SCRAPED: where its own page answers */
    const char *how; /* in English, for every kind */
    int64_t since_wall_ns;
};
struct rb_change {
    int64_t wall_ns;
    const char *what;
    int64_t lead_ns; /* never negative */
    const char *diff;
    const struct rb_drift_item *item; /* a changed file; or NULL */
    const char *mounted_as;           /* its path inside a container of the check; or NULL */
    bool head;                        /* HEAD moved: nearness in time and nothing else */
};
enum rb_ruled { RB_RULED_MEMORY, RB_RULED_IMAGE, RB_RULED_DISK, RB_RULED_ENGINE, RB_RULED_STRANGER, RB_RULED_COUNT };
struct rb_ruled_out {
    enum rb_ruled kind;
    const char *what, *why; /* in English */
    const char *detail;     /* what a check says for it, or NULL */
};
struct rb_cause {
    size_t check;
    const char *title;
    enum rb_confidence confidence;
    int64_t since_wall_ns, last_ok_wall_ns;
    const char **evidence;
    size_t evidence_count;
    const char **last_words;
    size_t last_words_count;
    struct rb_change *changed_before;
    size_t changed_before_count;
    struct rb_explained *explains;
    size_t explains_count;
    struct rb_ruled_out *ruled_out;
    size_t ruled_out_count;
    const char **todo;
    size_t todo_count; /* commands, already quoted, without the leading "# " */
    const char *runbook;
};
enum rb_settle { RB_SETTLE_CHECK, RB_SETTLE_LISTENER, RB_SETTLE_NOBODY };
struct rb_open_question {
    size_t check;
    const char *title;
    enum rb_settle kind;
    size_t settles;           /* CHECK, LISTENER: the check */
    const char *would_settle; /* in English; begins with the name of the check, if there is one */
};
struct rb_not_linked {
    size_t check;
    const char *title;
    int64_t since_wall_ns;
    const struct rb_drift_item *item; /* one open drift item of the check; or NULL: the check itself */
};
struct rb_held {
    size_t check;
    double age_s;
};
struct rb_diagnosis {
    enum rb_verdict verdict;
    struct rb_cause *causes;
    size_t cause_count;
    struct rb_open_question *undetermined;
    size_t undetermined_count;
    struct rb_not_linked *not_linked;
    size_t not_linked_count;
    struct rb_held *held;
    size_t held_count; /* not fresh: older than max_age */
    const char **observer;
    size_t observer_count; /* what could not be seen, and why */
    const char **rollback;
    size_t rollback_count;
    size_t fresh, total;    /* checks with a result younger than max_age, of all but manual ones that never ran */
    double round_s;         /* how long the round took; NaN: none was made */
    const char *incident;   /* set by the caller afterwards: id of the incident that this report opened; NULL: none */
    bool incident_unstored; /* it is in memory only: the state folder could not be written */
};
struct rb_diagnosis_options {
    int64_t max_age_ns;
    double round_s;
};

/* Enough for a graph at its limits with every check failing; a usual report takes a thousandth of it. */
#define RB_DIAGNOSIS_ARENA ((size_t)96 << 20)
/* Fills `out` from `arena`, of RB_DIAGNOSIS_ARENA bytes at most. Any thread. */
int rb_diagnose(const struct rb_view *view, const struct rb_diagnosis_options *options, struct rb_arena *arena, struct rb_diagnosis *out,
                struct rb_error *err) RB_MUST_CHECK;

#endif
