/* Facts: what a drift check compares. A sorted list of key → canonical JSON value, the same for the same state of the world on every machine, in every time zone. */
#ifndef RUNBOOK_DRIFT_FACT_H
#define RUNBOOK_DRIFT_FACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runbook/base/arena.h"
#include "runbook/source/document.h"

enum { RB_DRIFT_MAX_FACTS = 200000, RB_DRIFT_KEY_MAX = 4096, RB_DRIFT_VALUE_MAX = 64 * 1024 };

struct rb_drift_fact {
    const char *key; /* at most RB_DRIFT_KEY_MAX bytes */
    const char *
        value; /* canonical JSON: sorted keys, no blanks; at most RB_DRIFT_VALUE_MAX bytes. NULL: could not be observed this time, so it is no drift */
    int64_t changed_wall_ns; /* when it became so, where the source knows; else 0 */
    const char *time_note;   /* see struct rb_drift_item; or NULL */
    const char *kept_text;   /* masked content for later diffs, or NULL */
};

/* Grows in the arena; `failed` is sticky (memory or the maximum), looked at once by rb_drift_facts_finish. */
struct rb_drift_facts {
    struct rb_arena *arena;
    struct rb_drift_fact *items;
    size_t count, cap;
    bool too_many, sorted;
};
void rb_drift_facts_init(struct rb_drift_facts *facts, struct rb_arena *arena);
/* Both strings are copied. A value that the caller built by hand has to be canonical. NULL when it did not fit. */
struct rb_drift_fact *rb_drift_facts_add(struct rb_drift_facts *facts, const char *key, const char *value);
/* `text` as a JSON string. A key that names a secret (rb_redact_key_is_secret) stores the digest in place of the value. */
struct rb_drift_fact *rb_drift_facts_add_text(struct rb_drift_facts *facts, const char *key, const char *text);
struct rb_drift_fact *rb_drift_facts_add_number(struct rb_drift_facts *facts, const char *key, double number);
/* A fact that could not be observed this time: whatever was accepted stays as it is. Never while `proposing`. */
void rb_drift_facts_add_unknown(struct rb_drift_facts *facts, const char *key);
/* One scalar or a whole subtree of a document below `key` ("a.b", list items as [0], or [name] where every item is a table with a `name` of its own). Secrets as above. */
void rb_drift_facts_add_node(struct rb_drift_facts *facts, const char *key, const struct rb_doc_node *node);
/* Sorts by key; of two equal keys one stays: the one with the lesser value. 0, RB_ELIMIT or RB_ENOMEM. */
int rb_drift_facts_finish(struct rb_drift_facts *facts, struct rb_error *err) RB_MUST_CHECK;
/* NULL when absent; only after finish. */
const struct rb_drift_fact *rb_drift_facts_find(const struct rb_drift_facts *facts, const char *key);

#endif
