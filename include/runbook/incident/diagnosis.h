/* The diagnosis: a pure, deterministic function over a view of the state. Same view, same answer; no clock, no I/O.
 *
 * Model of this version (docs/diagnosis.md): a cause is a failing check without a failing dependency; what depends on it, directly or not, and is bad too is explained by it; unknown and stale checks
 * are told under observer/undetermined; warnings are not linked. Ordered by severity, reach, then `since`, then name. */
#ifndef RUNBOOK_INCIDENT_DIAGNOSIS_H
#define RUNBOOK_INCIDENT_DIAGNOSIS_H

#include "runbook/state/snapshot.h"

enum rb_verdict { RB_VERDICT_HEALTHY, RB_VERDICT_CAUSES, RB_VERDICT_UNDETERMINED, RB_VERDICT_BLIND };
enum rb_confidence { RB_CONFIDENCE_HIGH, RB_CONFIDENCE_MEDIUM, RB_CONFIDENCE_LOW };
const char *rb_verdict_name(enum rb_verdict verdict);
const char *rb_confidence_name(enum rb_confidence confidence);

struct rb_explained {
    size_t check;
    const char *how;
    int64_t since_wall_ns;
};
struct rb_change {
    int64_t wall_ns;
    const char *what;
    int64_t lead_ns;
    const char *diff;
};
struct rb_ruled_out {
    const char *what, *why;
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
struct rb_open_question {
    size_t check;
    const char *title;
    const char *would_settle;
};
struct rb_not_linked {
    size_t check;
    const char *title;
    int64_t since_wall_ns;
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
    size_t fresh, total; /* checks with a result younger than max_age, of all but manual ones that never ran */
    double round_s;      /* how long the round took; NaN: none was made */
};
struct rb_diagnosis_options {
    int64_t max_age_ns;
    double round_s;
};

/* Fills `out` from `arena`. Any thread. */
int rb_diagnose(const struct rb_view *view, const struct rb_diagnosis_options *options, struct rb_arena *arena, struct rb_diagnosis *out,
                struct rb_error *err) RB_MUST_CHECK;

#endif
