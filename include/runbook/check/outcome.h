/* The outcome of one run: what a kind says. What it *means* (state, hysteresis, presence, staleness) is decided later, in state/store.
 *
 * Everything lives in the run's arena. Builders never fail visibly: when the arena is exhausted the runner replaces the outcome by
 * `unknown: resource_limit`. Strings may hold hostile text: renderers escape. Values that a configuration marks secret never enter an outcome. */
#ifndef RUNBOOK_CHECK_OUTCOME_H
#define RUNBOOK_CHECK_OUTCOME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runbook/base/arena.h"
#include "runbook/check/drift_report.h"

/* Ordered from good to bad, so that the worst of several findings is the greatest; `skip` is least. */
enum rb_result { RB_RESULT_SKIP, RB_RESULT_OK, RB_RESULT_WARN, RB_RESULT_UNKNOWN, RB_RESULT_FAIL, RB_RESULT_COUNT };
const char *rb_result_name(enum rb_result result); /* "skip" "ok" "warn" "unknown" "fail" */

/* Whether what a check watches is there. Set by kinds whose schema is presence_aware; state/store applies `presence:`. */
enum rb_sighting {
    RB_SIGHTING_NONE,    /* the kind does not tell */
    RB_SIGHTING_PRESENT, /* it is there, healthy or not */
    RB_SIGHTING_GONE,    /* it is not there; nobody knows why */
    RB_SIGHTING_ENDED    /* it is not there and ended cleanly: exit 0, stopped by its operator, project removed */
};

enum {
    RB_OUTCOME_MAX_VALUES = 512,
    RB_OUTCOME_MAX_LABELS = 32,
    RB_OUTCOME_MAX_PERFDATA = 64,
    RB_OUTCOME_MAX_EVIDENCE = 64,
    RB_OUTCOME_MAX_HINTS = 16,
    RB_OUTCOME_MAX_FACTS = 512,
    RB_OUTCOME_MAX_TEXT = 2048,
    RB_OUTCOME_MAX_LAST_WORDS = 20
};

struct rb_value {
    const char *name;  /* a name of the kind's value table; for perfdata the unit suffix ("seconds", "bytes", "ratio", …) */
    const char *label; /* NULL, or the value of the table's label */
    double number;
    bool perfdata;
};

/* A machine-readable fact for the dependency graph and triage: key from check/facts.h. */
struct rb_fact {
    const char *key;
    const char *value;
};

struct rb_outcome {
    struct rb_arena *arena;
    enum rb_result result;
    const char *reason;  /* of the kind's closed set, or a common one (kind.h); "none" when ok */
    const char *message; /* one line, never NULL after rb_outcome_init */
    enum rb_sighting sighting;
    bool final; /* kinds with a worker part before an exchange or a program: the worker part decided, nothing follows */
    struct rb_value *values;
    size_t value_count;
    const char **evidence;
    size_t evidence_count, evidence_dropped;
    const char **hints;
    size_t hint_count;
    struct rb_fact *facts;
    size_t fact_count;
    const char **last_words; /* last output lines of what failed; already redacted */
    size_t last_words_count;
    const struct rb_drift_report *drift; /* of kind drift, when it compared; else NULL */
};

/* ok, reason "none", empty message. */
void rb_outcome_init(struct rb_outcome *outcome, struct rb_arena *arena);
/* Replaces result, reason and message. `reason` is static text. */
void rb_outcome_set(struct rb_outcome *outcome, enum rb_result result, const char *reason, const char *fmt, ...) RB_PRINTF(4, 5);
/* As set, but only when `result` is worse than what stands; otherwise the text becomes evidence. For checks with several conditions. */
void rb_outcome_raise(struct rb_outcome *outcome, enum rb_result result, const char *reason, const char *fmt, ...) RB_PRINTF(4, 5);
/* Message of an ok (or already raised: then evidence) outcome. */
void rb_outcome_say(struct rb_outcome *outcome, const char *fmt, ...) RB_PRINTF(2, 3);
/* One line of evidence, at most RB_OUTCOME_MAX_TEXT bytes kept; beyond the maximum number only counted. */
void rb_outcome_evidence(struct rb_outcome *outcome, const char *fmt, ...) RB_PRINTF(2, 3);
void rb_outcome_hint(struct rb_outcome *outcome, const char *fmt, ...) RB_PRINTF(2, 3); /* a command to print, quoted by the caller */
void rb_outcome_value(struct rb_outcome *outcome, const char *name, const char *label, double number);
void rb_outcome_perfdata(struct rb_outcome *outcome, const char *unit, const char *label, double number);
void rb_outcome_fact(struct rb_outcome *outcome, const char *key, const char *fmt, ...) RB_PRINTF(3, 4);
/* Splits text into lines and keeps the last 20, each redacted and clipped. */
void rb_outcome_last_words(struct rb_outcome *outcome, const char *text, size_t len);

/* JSON form and back: between the scan helper and the daemon. The parser is strict and bounded: what it reads is hostile too. */
struct rb_buf;
/* Appends one object on one line. RB_ENOMEM or RB_ELIMIT. */
int rb_outcome_to_json(const struct rb_outcome *outcome, struct rb_buf *out, struct rb_error *err) RB_MUST_CHECK;
struct rb_kind;
/* Fills `out`, which rb_outcome_init has prepared. RB_EPARSE when the text is no outcome of this kind: `out` is then as initialised. */
int rb_outcome_from_json(const char *text, size_t len, const struct rb_kind *kind, struct rb_outcome *out,
                         struct rb_error *err) RB_MUST_CHECK;

#endif
