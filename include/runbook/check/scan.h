/* The scan engine: one pass over the tree for all due scan checks, one open per file. Pure logic over the file system; the scan helper process and
 * `check` call it. */
#ifndef RUNBOOK_CHECK_SCAN_H
#define RUNBOOK_CHECK_SCAN_H

#include "runbook/check/kind.h"

struct rb_scan_job {
    const struct rb_kind *kind;
    struct rb_check_ctx ctx;    /* arena and options set; memory NULL */
    struct rb_outcome *outcome; /* initialised by the caller */
};

/* Runs all jobs over `root` in one pass: lists files once per distinct request, reads each file once, calls visit of every job that wants it, then finish. A file that changes
 * while it is read is read again once, then given with problem "changed_while_read". Never follows a symlink, never opens a FIFO or device. */
int rb_scan_run(const char *root, struct rb_scan_job *jobs, size_t count, struct rb_error *err) RB_MUST_CHECK;

#endif
