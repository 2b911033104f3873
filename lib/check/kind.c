/* What all kinds share: the common reasons, and the lookups that keep reasons and values inside their closed sets.
 *
 * The tables are a few dozen rows, looked at when a run ends: a linear search is the simplest thing that is fast enough. */
#include "runbook/check/kind.h"

#include <string.h>

const struct rb_reason_def rb_common_reasons[] = {
    {"none", "Nothing is wrong."},
    {"pending", "The check has not completed its first run yet."},
    {"stale", "The last result is too old to be believed; look whether the daemon or the host is stuck."},
    {"timeout", "The run did not end before its timeout; what it talks to hangs, or the timeout is too short."},
    {"cancelled", "The run was given up because the daemon stops or the configuration changed."},
    {"untrusted", "The configuration was found in the working folder and may start no program until `runbookd trust` is run."},
    {"workers_exhausted", "Too many earlier runs hang in the system (a dead file system, for example); no new one is started."},
    {"resource_limit", "The run needed more memory or output than its limit."},
    {"internal_error", "runbookd itself could not carry out the run; its log tells why."},
    {"absent", "What the check watches is not there."},
    {"present", "What should be absent is there."},
    {"not_permitted", "The user that runbookd runs as may not see what the check needs."},
    {"unsupported", "This platform or version cannot answer the check's question."},
    {"scan_helper_died", "The scan helper process ended before it reported; the message tells how."},
    {"dependency", "A check that this one depends on is failing."},
    {NULL, NULL},
};

static const char *find_reason(const struct rb_reason_def *rows, const char *reason)
{
    for (; rows && rows->name; rows++) {
        if (strcmp(rows->name, reason) == 0)
            return rows->name;
    }
    return NULL;
}

const char *rb_kind_reason(const struct rb_kind *kind, const char *reason)
{
    const char *found = find_reason(kind->reasons, reason);
    if (!found && kind->net_reasons)
        found = find_reason(rb_net_reasons, reason);
    return found ? found : find_reason(rb_common_reasons, reason);
}

const struct rb_value_def *rb_kind_value(const struct rb_kind *kind, const char *name)
{
    for (const struct rb_value_def *row = kind->values; row && row->name; row++) {
        if (strcmp(row->name, name) == 0)
            return row;
    }
    return NULL;
}
