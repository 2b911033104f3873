/* Comparing facts with a baseline. Pure: same facts, baseline and time, same items. */
#ifndef RUNBOOK_DRIFT_COMPARE_H
#define RUNBOOK_DRIFT_COMPARE_H

#include "runbook/drift/baseline.h"

/* A rule of the configuration: keys that are not compared. */
struct rb_drift_ignore {
    const char *key; /* glob */
    const char *reason;
    int64_t until_wall_ns; /* 0: for good */
};
struct rb_drift_ignore_use {
    bool used, expired;
};

struct rb_drift_comparison {
    const struct rb_drift_baseline *baseline;
    const struct rb_drift_facts *facts; /* finished */
    const struct rb_drift_ignore *ignore;
    size_t ignore_count;
    struct rb_drift_ignore_use *out_use; /* ignore_count of them */
    int64_t now_wall_ns;
};

/* 12 hex digits of check and key. */
void rb_drift_item_id(const char *check, const char *key, char out[RB_DRIFT_ID]);

/* Fills items (accepted ones take at most half of the places), baseline time and number of facts. Classes and texts are the
 * source's; rb_drift_count then fills `open`. An acceptance that is over counts no more: the base is normal again. While an acceptance with an end lasts, the base's own
 * value is normal too. */
int rb_drift_compare(const struct rb_drift_comparison *comparison, struct rb_arena *arena, struct rb_drift_report *out,
                     struct rb_error *err) RB_MUST_CHECK;
/* Counts the open items by change and class; what was dropped counts without class. */
void rb_drift_count(struct rb_drift_report *report);
/* Texts for people from the values where a source gave none; masked and clipped. */
void rb_drift_default_texts(struct rb_drift_report *report, struct rb_arena *arena);

#endif
