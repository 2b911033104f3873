/* A record: what is known of one check at one moment. Immutable once published, reference-counted, shared by snapshots. */
#ifndef RUNBOOK_STATE_RECORD_H
#define RUNBOOK_STATE_RECORD_H

#include "runbook/check/kind.h"

enum rb_state {
    RB_STATE_OK,
    RB_STATE_WARN,
    RB_STATE_FAIL,
    RB_STATE_UNKNOWN,
    RB_STATE_SKIP,
    RB_STATE_PENDING,
    RB_STATE_STALE,
    RB_STATE_COUNT
};
const char *rb_state_name(enum rb_state state); /* "ok" "warn" "fail" "unknown" "skip" "pending" "stale" */
/* 1 only when ok or skip. */
static inline bool rb_state_success(enum rb_state state)
{
    return state == RB_STATE_OK || state == RB_STATE_SKIP;
}

struct rb_record {
    unsigned refs;                    /* atomic builtins only */
    struct rb_arena *arena;           /* for records built by hand (tests): owned when not NULL */
    struct rb_record_body *body;      /* holds every string and list below, shared by copies that differ only in clocks and flags */
    const struct rb_check_spec *spec; /* of the snapshot's plan */
    enum rb_state state;
    enum rb_result result; /* of the last run; meaningless while runs == 0 and nothing was restored */
    bool has_result;
    const char *result_reason,
        *result_message; /* what the last run itself said (after `presence`); differ from reason and message while hysteresis holds the state. NULL: never ran */
    const char *reason;  /* never NULL; "none" when ok, "pending", "stale" … */
    const char *message; /* never NULL */
    const char **evidence;
    size_t evidence_count, evidence_dropped;
    const char **hints;
    size_t hint_count; /* the kind's, then the configuration's */
    const char **last_words;
    size_t last_words_count;
    struct rb_value *values;
    size_t value_count;
    struct rb_fact *facts; /* of the last run; after a bad one also the containers, ports, mounts and targets that were known before */
    size_t fact_count;
    const struct rb_drift_report *drift; /* of kind drift, when its last run compared; else NULL */
    int64_t since_wall_ns;               /* when the state began; survives a restart; 0: never ran */
    int64_t last_run_wall_ns;            /* end of the last run; 0 never */
    int64_t last_ok_wall_ns;             /* 0 never */
    int64_t last_completed_ns;           /* elapsed clock; INT64_MIN: not in this boot */
    int64_t next_due_ns;                 /* elapsed clock; INT64_MAX: manual or running */
    double duration_s;                   /* NaN: never ran */
    uint64_t runs, failures, state_changes;
    unsigned streak, streak_needed; /* "1 of 2" bad (or good) runs towards a change of state; 0: none pending */
    bool running;
    bool suppressed;
    const char *suppressed_by; /* name of the failing dependency */
    bool flapping;
    int64_t silenced_until_wall_ns; /* 0: not silenced */
};
struct rb_record *rb_record_ref(struct rb_record *record);
void rb_record_unref(struct rb_record *record); /* any thread; NULL is fine */

#endif
