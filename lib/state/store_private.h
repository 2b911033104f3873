/* The inside of the store, shared by its files: store.c (life, plan, snapshot), store_run.c (runs, staleness, sleep), judge.c (pure rules),
 * suppress.c (the dependency graph), store_persist.c (checkpoint). */
#ifndef RB_STATE_STORE_PRIVATE_H
#define RB_STATE_STORE_PRIVATE_H

#include "record_private.h"
#include "runbook/state/store.h"
#include "snapshot_private.h"

#define HISTORY_MAX 21u /* results; 20 transitions, as Nagios keeps */

struct history {
    uint8_t states[HISTORY_MAX]; /* enum rb_state, oldest first */
    unsigned count;
};

/* What is known of one check beside its record. */
struct entry {
    struct rb_record *record;
    void *memory;               /* the kind's */
    size_t kind_hints;          /* how many of the record's hints came from the kind */
    int64_t last_start_ns;      /* elapsed; INT64_MIN never */
    int64_t waiting_since_ns;   /* elapsed: since when a result is awaited */
    int64_t start_asleep_ns;    /* time asleep (elapsed − awake) at the last start … */
    int64_t asleep_ns;          /* … and when the last result came, or waiting began */
    enum rb_state decided;      /* after hysteresis; PENDING: nothing decided */
    const char *decided_reason; /* static */
    int64_t decided_since_wall_ns;
    unsigned streak;
    bool streak_worse;
    bool unconfirmed; /* `decided` is from before a restart or a sleep; the next run confirms it or not */
    bool gap;         /* it was stale: the next state begins anew */
    bool seen_up;     /* PRESENT was seen and no clean end since */
    bool in_flight;
    bool completed_once;
    struct history history;
};

struct rb_store {
    const struct rb_clock *clock;
    struct rb_journal *journal;
    struct rb_plan *plan;
    struct entry *entries; /* plan->count */
    size_t *order;         /* indexes, dependencies first */
    size_t *root_cause;    /* scratch of suppress.c: the failing check behind each, or SIZE_MAX */
    void **retired;        /* memories of checks that left while a run was in flight: freed with the store */
    size_t retired_count;
    uint64_t generation;
    enum rb_safety safety;      /* as of the last look */
    enum rb_safety safety_told; /* as the journal knows it; NONE: nothing yet */
    bool dirty;
    bool ready; /* of the last snapshot, as is `config`: to see changes */
    uint64_t config_digest;
};

/* ---- judge.c: pure ---- */
/* An outcome as the check's `presence` and phase read it. */
struct verdict {
    enum rb_result result;
    const char *reason;
    const char *message; /* may be `text` */
    char text[256];
};
void rb_judge_presence(const struct rb_check_spec *spec, const struct rb_outcome *outcome, bool *seen_up, struct verdict *out);
enum rb_state rb_judge_state_of(enum rb_result result);
/* One more run says `state`: moves entry->decided, streak and *out_needed (0: no streak). Returns true when `state` is now what is decided. */
bool rb_judge_hysteresis(struct entry *entry, const struct rb_check_spec *spec, enum rb_state state, unsigned *out_needed);
/* Adds a result and returns whether the check flaps now. */
bool rb_judge_flapping(struct history *history, enum rb_state state, bool flapping);

/* ---- suppress.c ---- */
/* Fills store->order from the plan; a cycle (which the plan forbids) only loses its order. False when memory is out. */
bool rb_suppress_order(struct rb_store *store);
/* Recomputes the flags of all records. */
void rb_suppress_apply(struct rb_store *store);

/* ---- store.c ---- */
/* The record of an entry, exclusively ours: a clone takes its place when a snapshot shares it. NULL when memory is out. */
struct rb_record *rb_store_writable(struct entry *entry);
/* Puts a record made from `content` into place; counts what changed. False when memory is out: then nothing changed. */
bool rb_store_publish(struct rb_store *store, size_t index, const struct rb_record *content);
/* Looks at safety as a whole and tells the journal when it changed. `quiet`: because of a sleep, which is told in one entry of its own. */
void rb_store_watch_safety(struct rb_store *store, bool quiet);
/* How long the host has slept so far; only differences mean anything. */
int64_t rb_store_asleep_ns(const struct rb_store *store);
/* Index of a check by name in the current plan, or SIZE_MAX. */
size_t rb_store_find(const struct rb_store *store, const char *name);

#endif
