/* Accepting drift: who took which change for normal, why, until when. Pure: the daemon (or the command line under the lock) writes what these functions make. */
#ifndef RUNBOOK_DRIFT_ACCEPT_H
#define RUNBOOK_DRIFT_ACCEPT_H

#include "runbook/config/plan.h"
#include "runbook/drift/baseline.h"

enum { RB_DRIFT_MAX_REASON = 500 };

struct rb_drift_acceptance {
    const char *who, *why, *ref; /* why is required and not blank; ref may be NULL */
    int64_t until_wall_ns;       /* 0: for good */
    int64_t now_wall_ns;
};
/* 0, or RB_EINVAL with what is missing or wrong (empty or overlong texts, control characters, an end in the past). */
int rb_drift_acceptance_check(const struct rb_drift_acceptance *acceptance, struct rb_error *err) RB_MUST_CHECK;

/* Why an item may never be accepted: the safety check that guards its file or key; NULL when it may. The text is in `arena`. */
const char *rb_drift_guard(const struct rb_plan *plan, const struct rb_drift_item *item, struct rb_arena *arena);

/* `baseline` with the items' new values accepted over its base. Older acceptances of the same keys give way; those that are over are dropped. Borrows everything. */
int rb_drift_accept(const struct rb_drift_baseline *baseline, const struct rb_drift_item *const *items, size_t count,
                    const struct rb_drift_acceptance *acceptance, struct rb_arena *arena, struct rb_drift_baseline *out,
                    struct rb_error *err) RB_MUST_CHECK;

/* ---- the log: <state>/drift.log, one line an acceptance; each line's checksum covers the one before it, so that a lost line is seen too ---- */
#define RB_DRIFT_LOG     "drift.log"
#define RB_DRIFT_LOG_MAX ((size_t)64 << 20)

struct rb_drift_log_entry {
    int64_t wall_ns;
    const char *check, *id, *key;    /* id and key: "" for a whole baseline */
    const char *change;              /* "added" "removed" "changed" "baseline" */
    const char *old_text, *new_text; /* NULL: none */
    struct rb_drift_accepted accepted;
};
struct rb_drift_log {
    struct rb_drift_log_entry *items;
    size_t count;
    size_t damaged; /* lines that are not what was written */
    unsigned first_damaged_line;
    bool torn;         /* the last line is incomplete: a write was cut off */
    size_t whole_len;  /* bytes up to and with the last line end: where an append goes on */
    uint32_t checksum; /* of the last whole line */
};
/* Never fails on content: damage is counted. An empty text is an empty log. RB_ENOMEM, RB_EUNSUPPORTED (another version). */
int rb_drift_log_read(const char *text, size_t len, struct rb_arena *arena, struct rb_drift_log *out, struct rb_error *err) RB_MUST_CHECK;
/* Appends lines for `out`; the header too when `previous` is empty. Returns through `checksum` what the next line builds on. */
void rb_drift_log_header(struct rb_buf *out);
void rb_drift_log_line(const struct rb_drift_log_entry *entry, uint32_t *checksum, struct rb_buf *out);

#endif
