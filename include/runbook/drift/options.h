/* The options of kind drift, as its table (lib/kinds/drift.c) fills them. */
#ifndef RUNBOOK_DRIFT_OPTIONS_H
#define RUNBOOK_DRIFT_OPTIONS_H

#include <stdalign.h>

#include "runbook/config/options.h"
#include "runbook/drift/compare.h"
#include "runbook/drift/source.h"

enum { RB_DRIFT_BASELINE_ACCEPT, RB_DRIFT_BASELINE_AUTO };

struct rb_drift_ignore_option {
    const char *key, *reason, *until;
    int64_t until_wall_ns; /* set by validate */
};

struct rb_drift_options {
    struct {
        alignas(8) unsigned char bytes[RB_DRIFT_SOURCE_OPTIONS];
    } sources[RB_DRIFT_SOURCE_COUNT];
    int source; /* enum rb_drift_source_id, set by validate */
    int baseline;
    struct rb_structs ignore; /* struct rb_drift_ignore_option */
    /* for `files` */
    struct rb_strings exclude;
    bool untracked, ignored;
    int64_t max_file;
};

#endif
