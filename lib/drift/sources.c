/* The table of sources, from sources.def. */
#include "runbook/drift/source.h"

const struct rb_drift_source *rb_drift_source_of(enum rb_drift_source_id id)
{
    static const struct rb_drift_source *const sources[RB_DRIFT_SOURCE_COUNT] = {
#define RB_DRIFT_SOURCE(name, type, sub, doc, example) &rb_drift_source_##name,
#include "runbook/drift/sources.def"
#undef RB_DRIFT_SOURCE
    };
    return sources[id];
}
