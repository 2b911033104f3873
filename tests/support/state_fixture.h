/* A store on a fake clock with a plan of a few checks, for the tests of state and incident. */
#ifndef RUNBOOK_TESTS_STATE_FIXTURE_H
#define RUNBOOK_TESTS_STATE_FIXTURE_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runbook/state/store.h"

#define SECOND RB_NS_PER_S
#define WALL0  INT64_C(1790000000000000000)

static inline void fixture_no_run(const struct rb_check_ctx *ctx, struct rb_outcome *out)
{
    (void)ctx;
    (void)out;
}

static const struct rb_reason_def fixture_reasons[] = {{"refused", "."}, {"status", "."}, {"bad", "."}, {NULL, NULL}};
static const struct rb_value_def fixture_values[] = {{.name = "size", .unit = "bytes", .help = "."}, {.name = NULL}};
static const struct rb_kind fixture_worker = {.schema = {.schema = {.name = "fake"}},
                                              .reasons = fixture_reasons,
                                              .values = fixture_values,
                                              .exec = RB_EXEC_WORKER,
                                              .memory_size = 16,
                                              .run = fixture_no_run};
static const struct rb_kind fixture_exchange = {
    .schema = {.schema = {.name = "probe"}}, .reasons = fixture_reasons, .exec = RB_EXEC_EXCHANGE};

struct fixture {
    struct rb_fake_clock clock;
    struct rb_journal *journal;
    struct rb_store *store;
    struct rb_plan *plan; /* our reference */
};

/* A plan of `count` required checks c0, c1 … every 60 s with a timeout of 10 s; tests change the specs before they set it. */
static inline struct rb_plan *fixture_plan(size_t count)
{
    struct rb_plan *plan = calloc(1, sizeof *plan);
    ck_assert_ptr_nonnull(plan);
    plan->refs = 1;
    plan->arena = rb_arena_new((size_t)64 << 20);
    plan->count = count;
    plan->checks = rb_arena_array(plan->arena, count + 1, sizeof *plan->checks);
    for (size_t i = 0; i < count; i++) {
        struct rb_check_spec *spec = &plan->checks[i];
        spec->name = rb_arena_printf(plan->arena, "c%zu", i);
        spec->kind = &fixture_worker.schema;
        spec->phase = RB_PHASE_HEALTH;
        spec->severity = RB_SEVERITY_WARN;
        spec->every_ms = 60000;
        spec->timeout_ms = 10000;
        spec->fail_after = spec->recover_after = 1;
        (void)snprintf(spec->identity, sizeof spec->identity, "id-%zu", i);
    }
    return plan;
}

static inline void fixture_depends(struct rb_plan *plan, size_t from, size_t on)
{
    struct rb_check_spec *spec = &plan->checks[from];
    size_t *grown = rb_arena_array(plan->arena, spec->depends_on_count + 1, sizeof *grown);
    for (size_t i = 0; i < spec->depends_on_count; i++)
        grown[i] = spec->depends_on[i];
    grown[spec->depends_on_count++] = on;
    spec->depends_on = grown;
}

/* Starts with the plan, whose reference the fixture takes. */
static inline void fixture_start(struct fixture *f, struct rb_plan *plan)
{
    rb_fake_clock_init(&f->clock, WALL0);
    rb_fake_clock_advance(&f->clock, 1000 * SECOND);
    f->journal = rb_journal_new_memory(&f->clock.clock);
    f->store = rb_store_new(&f->clock.clock, f->journal);
    f->plan = plan;
    ck_assert_int_eq(rb_store_set_plan(f->store, plan, NULL), 0);
}

static inline void fixture_end(struct fixture *f)
{
    rb_store_free(f->store);
    rb_journal_free(f->journal);
    rb_plan_unref(f->plan);
}

/* One run that takes a second and ends as told. */
static inline bool fixture_run_as(struct fixture *f, size_t index, enum rb_result result, enum rb_sighting sighting, const char *message)
{
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    struct rb_outcome outcome;
    rb_outcome_init(&outcome, arena);
    rb_outcome_set(&outcome, result, "refused", "%s", message);
    outcome.sighting = sighting;
    int64_t started_ns = rb_elapsed_ns(&f->clock.clock);
    rb_store_started(f->store, index);
    rb_fake_clock_advance(&f->clock, SECOND);
    return rb_store_completed(f->store, index, &outcome, started_ns);
}

static inline bool fixture_run(struct fixture *f, size_t index, enum rb_result result)
{
    return fixture_run_as(f, index, result, RB_SIGHTING_NONE, rb_result_name(result));
}

static inline enum rb_state fixture_state(const struct fixture *f, size_t index)
{
    return rb_store_record(f->store, index)->state;
}

static inline struct rb_snapshot *fixture_snapshot(struct fixture *f)
{
    struct rb_snapshot_extra extra = {.host = "h", .os = "null"};
    struct rb_snapshot *snapshot = rb_store_snapshot(f->store, &extra);
    ck_assert_ptr_nonnull(snapshot);
    return snapshot;
}

/* Number of timeline entries of a kind. */
static inline size_t fixture_events(struct fixture *f, enum rb_event_kind kind)
{
    static struct rb_event_entry *entries[RB_TIMELINE_MAX];
    size_t count = rb_journal_recent(f->journal, entries, RB_TIMELINE_MAX), found = 0;
    for (size_t i = 0; i < count; i++) {
        found += entries[i]->kind == kind;
        rb_event_entry_unref(entries[i]);
    }
    return found;
}

#endif
