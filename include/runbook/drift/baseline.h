/* The baseline: what was accepted as normal for one check. One file, <state>/baselines/CHECK.baseline, written whole and only by the daemon (or the command line under the lock).
 *
 * Format (docs/state-format.md): UTF-8 lines of fields separated by tabs, texts as JSON strings, the last line with number of lines and SHA-256 of all before it. Reading is
 * strict: a file that is not exactly of this form is damaged, and a damaged one is never believed in part. */
#ifndef RUNBOOK_DRIFT_BASELINE_H
#define RUNBOOK_DRIFT_BASELINE_H

#include "runbook/base/buf.h"
#include "runbook/check/drift_report.h"
#include "runbook/drift/fact.h"

#define RB_DRIFT_BASELINE_MAX ((size_t)64 << 20) /* bytes of one file */
#define RB_DRIFT_FOLDER       "baselines"        /* in the folder of state */
#define RB_DRIFT_NAME_MAX     96                 /* bytes of a baseline's file name */

/* One accepted difference from the base. */
struct rb_drift_overlay {
    const char *key;
    const char *value; /* NULL: accepted that the fact is gone */
    const char *kept_text;
    int64_t at_wall_ns;
    struct rb_drift_accepted accepted;
};
enum { RB_DRIFT_MAX_OVERLAYS = 20000 };

struct rb_drift_baseline {
    const char *check, *source;
    int64_t wall_ns;                   /* when the base was accepted */
    struct rb_drift_facts facts;       /* sorted */
    struct rb_drift_overlay *overlays; /* sorted by key, unique */
    size_t overlay_count;
};

/* "CHECK.baseline" for a valid check name. */
void rb_drift_baseline_name(const char *check, char out[RB_DRIFT_NAME_MAX]);
int rb_drift_baseline_encode(const struct rb_drift_baseline *baseline, struct rb_buf *out, struct rb_error *err) RB_MUST_CHECK;
/* Fills `out` from a copy of the text in `arena`. RB_ECORRUPT with line and reason; RB_EUNSUPPORTED for a newer version; RB_ENOMEM. Any thread. */
int rb_drift_baseline_decode(const char *text, size_t len, struct rb_arena *arena, struct rb_drift_baseline *out,
                             struct rb_error *err) RB_MUST_CHECK;
/* Reads a check's baseline. RB_ENOTFOUND: there is none; RB_ECORRUPT also when only a damaged one, set aside, is there. Blocks: workers. */
int rb_drift_baseline_read(const char *state_dir, const char *check, struct rb_arena *arena, struct rb_drift_baseline *out,
                           struct rb_error *err) RB_MUST_CHECK;
/* Masked text kept for a key (the overlay's first), or NULL. `baseline` is a struct rb_drift_baseline. */
const char *rb_drift_baseline_kept(const void *baseline_object, const char *key);

#endif
