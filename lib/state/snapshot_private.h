/* What the store must know to build a snapshot. */
#ifndef RB_STATE_SNAPSHOT_PRIVATE_H
#define RB_STATE_SNAPSHOT_PRIVATE_H

#include "runbook/state/snapshot.h"

/* A snapshot and the references that the public struct shows as const. The public part is first. */
struct rb_snapshot_owned {
    struct rb_snapshot snapshot;
    struct rb_event_entry **entries; /* the timeline; in the snapshot's arena */
};

/* SPEC 5: a result is stale when it is older than this. */
int64_t rb_stale_after_ns(const struct rb_check_spec *spec);
/* SPEC 11: `safety` after one more safety check in `state` was looked at. */
enum rb_safety rb_safety_worse(enum rb_safety safety, enum rb_state state);

#endif
