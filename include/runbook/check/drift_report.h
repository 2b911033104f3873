/* What a drift check found: the items that differ from its accepted baseline. Plain data in the arena of an outcome, packed into the record like every other finding. */
#ifndef RUNBOOK_CHECK_DRIFT_REPORT_H
#define RUNBOOK_CHECK_DRIFT_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runbook/base/strings.h"

enum { RB_DRIFT_MAX_ITEMS = 1000, RB_DRIFT_ID = 13 /* 12 hex digits and the terminator */ };

enum rb_drift_change { RB_DRIFT_ADDED, RB_DRIFT_REMOVED, RB_DRIFT_CHANGED, RB_DRIFT_CHANGE_COUNT };
const char *rb_drift_change_name(enum rb_drift_change change); /* "added" "removed" "changed" */

enum rb_drift_class {
    RB_DRIFT_CLASS_NONE,      /* "": the source knows no classes */
    RB_DRIFT_CLASS_UNTRACKED, /* a file that git does not know */
    RB_DRIFT_CLASS_WORKTREE,  /* differs from HEAD */
    RB_DRIFT_CLASS_COMMITTED, /* equals HEAD: HEAD moved since the baseline */
    RB_DRIFT_CLASS_UPSTREAM,  /* equals HEAD, and the upstream branch has it too */
    RB_DRIFT_CLASS_COUNT
};
const char *rb_drift_class_name(enum rb_drift_class item_class); /* "" "untracked" … */

struct rb_drift_accepted {
    const char *who, *why, *ref; /* ref: NULL when none was given */
    int64_t until_wall_ns;       /* 0: for good */
};

struct rb_drift_item {
    const char *id; /* of check and key: stays while the item does */
    const char *key;
    enum rb_drift_change change;
    enum rb_drift_class item_class;
    const char *old_text, *new_text;          /* for people: masked, clipped; NULL when there is none */
    const char *old_value, *new_value;        /* canonical JSON as compared; NULL: absent. Holds digests in place of secrets */
    int64_t changed_wall_ns;                  /* 0: unknown */
    const char *time_note;                    /* why the time cannot be trusted, or how it is known; or NULL */
    unsigned line;                            /* of the first difference in the file as it is now; 0 unknown */
    const char *diff;                         /* lines for people, masked, bounded; or NULL */
    struct rb_strings keys;                   /* key paths inside the document that differ */
    bool keys_known;                          /* `keys` is complete: both sides were parsed */
    const char *kept_text;                    /* the new content, masked, for later diffs, when nobody else keeps it; or NULL */
    const struct rb_drift_accepted *accepted; /* NULL: open */
};

struct rb_drift_report {
    int64_t baseline_wall_ns;    /* when it was accepted; 0: there is none */
    struct rb_drift_item *items; /* sorted by key; at most RB_DRIFT_MAX_ITEMS */
    size_t item_count;
    size_t items_dropped;                                     /* beyond the maximum */
    size_t open[RB_DRIFT_CHANGE_COUNT][RB_DRIFT_CLASS_COUNT]; /* counts of all open items, the dropped ones too */
    size_t facts;                                             /* collected */
    /* For the daemon alone, which writes them; never in a record. */
    const char *proposal; /* a whole baseline file, when none exists */
    size_t proposal_len;
    bool adopt;        /* `baseline: auto`: the proposal becomes the baseline */
    const char *cache; /* the source's cache, when it has changed */
    size_t cache_len;
};

size_t rb_drift_open(const struct rb_drift_report *report); /* open items, all classes */

#endif
