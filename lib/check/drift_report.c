/* Names of what a drift report counts, as endpoints, metrics and the command line show them. */
#include "runbook/check/drift_report.h"

const char *rb_drift_change_name(enum rb_drift_change change)
{
    static const char *const names[RB_DRIFT_CHANGE_COUNT] = {"added", "removed", "changed"};
    return (unsigned)change < RB_DRIFT_CHANGE_COUNT ? names[change] : "changed";
}

const char *rb_drift_class_name(enum rb_drift_class item_class)
{
    static const char *const names[RB_DRIFT_CLASS_COUNT] = {"", "untracked", "worktree", "committed", "upstream"};
    return (unsigned)item_class < RB_DRIFT_CLASS_COUNT ? names[item_class] : "";
}

size_t rb_drift_open(const struct rb_drift_report *report)
{
    size_t open = 0;
    for (int change = 0; change < RB_DRIFT_CHANGE_COUNT; change++)
        for (int item_class = 0; item_class < RB_DRIFT_CLASS_COUNT; item_class++)
            open += report->open[change][item_class];
    return open;
}
