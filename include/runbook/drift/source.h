/* A source of facts: one file lib/drift/source_NAME.c and one row of lib/drift/sources.def. A drift check has exactly one source, named by its option.
 *
 * collect() runs on a worker and may block shortly; a source that needs the network or a program has step(), which is called afterwards on the loop thread like an
 * exchange kind's (kind.h) until it returns RB_DRIFT_COLLECTED or RB_DRIFT_FAILED. Keys and values must be deterministic: no times, no counters, no paths of this machine. */
#ifndef RUNBOOK_DRIFT_SOURCE_H
#define RUNBOOK_DRIFT_SOURCE_H

#include "runbook/check/drift_report.h"
#include "runbook/check/kind.h"
#include "runbook/drift/fact.h"

enum rb_drift_collected {
    RB_DRIFT_COLLECTED, /* `facts` is complete: it is compared now */
    RB_DRIFT_MORE,      /* collect(): step() goes on. step(): `*next` says how */
    RB_DRIFT_FAILED     /* the outcome says why (unknown or skip); nothing is compared */
};

struct rb_drift_collect {
    const struct rb_check_ctx *ctx;
    const void *options; /* what the source's option table filled; see sources.def */
    struct rb_drift_facts *facts;
    struct rb_outcome *out;         /* evidence, facts for the graph; result only when it failed */
    void *state;                    /* state_size zeroed bytes, from collect() to the last step() */
    struct rb_drift_report *report; /* `cache` may be set */
    bool proposing;                 /* there is no baseline: facts should bring `kept_text` */
    const struct rb_drift_facts
        *base;                /* what was accepted, sorted; NULL: nothing. A fact may use its strings: equal pointers compare fastest */
    int64_t now_wall_ns;      /* of the observation */
    int64_t previous_wall_ns; /* of the one before; 0: this is the first */
};

struct rb_drift_options; /* options.h */

struct rb_drift_source {
    const char *name;
    size_t state_size;
    /* Cross-field rules of its options (also what it requires: its table is read even when the check has another source); `node` is the option's value. NULL: none. */
    void (*validate)(const void *options, const struct rb_node *node, struct rb_diags *diags);
    enum rb_drift_collected (*collect)(const struct rb_drift_collect *collect); /* worker; NULL: begins with step() */
    enum rb_drift_collected (*step)(const struct rb_drift_collect *collect, const struct rb_event *event,
                                    struct rb_action *next); /* loop; NULL */
    /* Worker, after the comparison: may fill class, time, texts, diff, keys of the items (which have what the comparison alone knows). NULL: values speak for themselves.
     * `kept` gives the masked text that the baseline kept for a key, or NULL. Only for sources without step(). */
    void (*explain)(const struct rb_drift_collect *collect, struct rb_drift_item *items, size_t count,
                    const char *(*kept)(const void *baseline, const char *key), const void *baseline);
    /* What of the tree it looks at (check/watch.h); `options` as in collect, `all` is the whole check's. NULL: nothing. */
    void (*watches)(const void *options, const struct rb_drift_options *all, struct rb_watch_sink *sink);
};

enum { RB_DRIFT_SOURCE_OPTIONS = 256 }; /* bytes that a source's options may take */

enum rb_drift_source_id {
#define RB_DRIFT_SOURCE(name, type, sub, doc, example) RB_DRIFT_SOURCE_##name,
#include "runbook/drift/sources.def"
#undef RB_DRIFT_SOURCE
    RB_DRIFT_SOURCE_COUNT
};
#define RB_DRIFT_SOURCE(name, type, sub, doc, example) extern const struct rb_drift_source rb_drift_source_##name;
#include "runbook/drift/sources.def"
#undef RB_DRIFT_SOURCE

const struct rb_drift_source *rb_drift_source_of(enum rb_drift_source_id id);

#endif
