/* What the daemon tells the scan helper, as text: the root and one entry per check. Both ends are of one version, which the job names:
 * the format has none of its own. */
#ifndef RUNBOOKD_ENGINE_SCAN_WIRE_H
#define RUNBOOKD_ENGINE_SCAN_WIRE_H

#include "../run.h"
#include "runbook/base/buf.h"

#define SCAN_JOB_MAX_BYTES ((size_t)32 * 1024 * 1024)
#define SCAN_JOB_MAX_RUNS  ((size_t)RB_PLAN_MAX_CHECKS)

/* One check as the helper gets it, in the arena it was read into. */
struct scan_order {
    const char *name, *kind;
    const struct rb_node *node; /* the check's mapping */
};

struct scan_job {
    const char *root;
    int64_t timeout_ms;
    struct scan_order *orders;
    size_t count;
};

/* Appends the job for `count` runs of one root. RB_ENOMEM or RB_ELIMIT. */
int scan_job_write(const char *root, int64_t timeout_ms, struct rb_run *const *runs, size_t count, struct rb_buf *out,
                   struct rb_error *err) RB_MUST_CHECK;
/* Reads one. RB_EPARSE when it is none, RB_EUNSUPPORTED when another version of the program wrote it. */
int scan_job_read(const char *text, size_t len, struct rb_arena *arena, struct scan_job *out, struct rb_error *err) RB_MUST_CHECK;

/* main() of the helper with everything given, for tests: reads the job from `in_fd`, knows `kinds`, writes to `out_fd`. Returns the exit
 * code. */
int scan_helper_run(const struct rb_kind_list *kinds, int in_fd, int out_fd);

#endif
