/* A simulated day of forty checks with an outage, a flapping check, a lid that is closed for seven hours, a restart and a clock step, in milliseconds. */
#include "../support/check_main.h"
#include "../support/state_fixture.h"

#define CHECKS 40
#define MINUTE (60 * SECOND)

/* c0 is what all others depend on; c1 flaps by itself. */
static struct rb_plan *day_plan(void)
{
    struct rb_plan *plan = fixture_plan(CHECKS);
    for (size_t i = 2; i < CHECKS; i++)
        fixture_depends(plan, i, 0);
    plan->checks[CHECKS - 1].phase = RB_PHASE_SAFETY;
    return plan;
}

struct day {
    struct fixture f;
    bool outage;
    unsigned minute;
};

static enum rb_result result_at(const struct day *day, size_t check)
{
    if (check == 1)
        return day->minute % 2 && day->minute < 60 ? RB_RESULT_FAIL : RB_RESULT_OK;
    if (day->outage && check != CHECKS - 1)
        return RB_RESULT_FAIL;
    return RB_RESULT_OK;
}

/* One minute: every check runs once, within a fraction of a second, and the store is ticked once a second. */
static void live(struct day *day, unsigned minutes)
{
    struct fixture *f = &day->f;
    for (unsigned end = day->minute + minutes; day->minute < end; day->minute++) {
        for (size_t i = 0; i < CHECKS; i++) {
            RB_ARENA_AUTO *arena = rb_arena_new(4096);
            struct rb_outcome outcome;
            rb_outcome_init(&outcome, arena);
            rb_outcome_set(&outcome, result_at(day, i), "bad", "minute");
            int64_t started_ns = rb_elapsed_ns(&f->clock.clock);
            rb_store_started(f->store, i);
            rb_fake_clock_advance(&f->clock, RB_NS_PER_MS);
            (void)rb_store_completed(f->store, i, &outcome, started_ns);
        }
        for (unsigned second = 0; second < 60; second++) {
            rb_fake_clock_advance(&f->clock, second ? SECOND : SECOND - CHECKS * RB_NS_PER_MS);
            ck_assert(!rb_store_tick(f->store));
        }
        rb_snapshot_unref(fixture_snapshot(f));
    }
}

static size_t in_state(const struct day *day, enum rb_state state)
{
    size_t count = 0;
    for (size_t i = 0; i < CHECKS; i++)
        count += fixture_state(&day->f, i) == state;
    return count;
}

static void an_outage(struct day *day)
{
    size_t events = fixture_events(&day->f, RB_EVENT_KIND_STATE);
    day->outage = true;
    int64_t began = rb_wall_ns(&day->f.clock.clock);
    live(day, 30);
    ck_assert_uint_eq(in_state(day, RB_STATE_FAIL), CHECKS - 2);
    const struct rb_record *root = rb_store_record(day->f.store, 0), *symptom = rb_store_record(day->f.store, 2);
    ck_assert_int_eq(root->since_wall_ns, began + RB_NS_PER_MS);
    ck_assert(!root->suppressed);
    ck_assert_str_eq(symptom->suppressed_by, "c0");
    day->outage = false;
    live(day, 1);
    ck_assert_uint_eq(in_state(day, RB_STATE_OK), CHECKS);
    ck_assert(!rb_store_record(day->f.store, 2)->suppressed);
    /* Down and up again, each told once. */
    ck_assert_uint_eq(fixture_events(&day->f, RB_EVENT_KIND_STATE) - events, 2 * (CHECKS - 2));
}

static void a_night(struct day *day)
{
    struct fixture *f = &day->f;
    int64_t since = rb_store_record(f->store, 5)->since_wall_ns;
    uint64_t changes = rb_store_record(f->store, 5)->state_changes;
    uint64_t before = rb_journal_count(f->journal);
    rb_fake_clock_sleep(&f->clock, 7 * 3600 * SECOND);
    rb_store_slept(f->store, 7 * 3600 * SECOND);
    ck_assert_uint_eq(in_state(day, RB_STATE_STALE), CHECKS);
    ck_assert(!rb_store_tick(f->store));
    struct rb_snapshot *snapshot = fixture_snapshot(f);
    ck_assert_int_eq(snapshot->safety, RB_SAFETY_UNKNOWN);
    rb_snapshot_unref(snapshot);
    live(day, 1);
    ck_assert_uint_eq(in_state(day, RB_STATE_OK), CHECKS);
    /* One entry for the night, none for the checks that only waited; what was goes on. */
    ck_assert_uint_eq(rb_journal_count(f->journal) - before, 1);
    struct rb_event_entry *entry;
    ck_assert_uint_eq(rb_journal_recent(f->journal, &entry, 1), 1);
    ck_assert_int_eq(entry->kind, RB_EVENT_KIND_SLEEP);
    ck_assert_str_eq(entry->text, "host slept 7 h");
    rb_event_entry_unref(entry);
    ck_assert_int_eq(rb_store_record(f->store, 5)->since_wall_ns, since);
    ck_assert_uint_eq(rb_store_record(f->store, 5)->state_changes, changes);
}

static void a_restart(struct day *day)
{
    struct fixture *f = &day->f;
    struct rb_record before = *rb_store_record(f->store, 0);
    RB_BUF_AUTO saved;
    rb_buf_init(&saved, 1 << 20);
    ck_assert_int_eq(rb_store_save(f->store, &saved, NULL), 0);
    rb_store_free(f->store);
    f->store = rb_store_new(&f->clock.clock, f->journal);
    ck_assert_int_eq(rb_store_set_plan(f->store, f->plan, NULL), 0);
    ck_assert_int_eq(rb_store_load(f->store, saved.data, saved.len, NULL), 0);
    uint64_t events = rb_journal_count(f->journal);
    live(day, 1);
    const struct rb_record *after = rb_store_record(f->store, 0);
    ck_assert_int_eq(after->since_wall_ns, before.since_wall_ns);
    ck_assert_uint_eq(after->runs, before.runs + 1);
    ck_assert_uint_eq(rb_journal_count(f->journal), events);
}

START_TEST(a_day)
{
    struct day day = {0};
    fixture_start(&day.f, day_plan());
    live(&day, 30);
    ck_assert(rb_store_record(day.f.store, 1)->flapping);
    live(&day, 90);
    ck_assert(!rb_store_record(day.f.store, 1)->flapping);
    an_outage(&day);
    live(&day, 240);
    a_night(&day);
    rb_fake_clock_step(&day.f.clock, -3600 * SECOND); /* the wall clock is set back an hour: nothing becomes stale or young */
    live(&day, 60);
    ck_assert_uint_eq(in_state(&day, RB_STATE_OK), CHECKS);
    a_restart(&day);
    live(&day, 500);
    ck_assert_uint_eq(rb_store_record(day.f.store, 0)->failures, 30);
    ck_assert_uint_eq(fixture_events(&day.f, RB_EVENT_KIND_SAFETY), 0);
    fixture_end(&day.f);
}
END_TEST

/* The runner is held: nothing completes, and each check goes stale at its own moment, never a nanosecond early. */
START_TEST(a_held_runner_never_looks_healthy)
{
    struct rb_plan *plan = fixture_plan(CHECKS);
    for (size_t i = 0; i < CHECKS; i++)
        plan->checks[i].every_ms = 1000 * (int64_t)(i + 1);
    struct fixture f;
    fixture_start(&f, plan);
    for (size_t i = 0; i < CHECKS; i++)
        fixture_run(&f, i, RB_RESULT_OK);
    for (size_t i = 0; i < CHECKS; i++) { /* once more, all at one moment */
        rb_store_started(f.store, i);
        RB_ARENA_AUTO *arena = rb_arena_new(4096);
        struct rb_outcome outcome;
        rb_outcome_init(&outcome, arena);
        (void)rb_store_completed(f.store, i, &outcome, rb_elapsed_ns(&f.clock.clock));
    }
    int64_t began = rb_elapsed_ns(&f.clock.clock);
    for (unsigned second = 0; second < 2 * CHECKS + 20; second++) {
        for (unsigned part = 0; part < 2; part++) {
            (void)rb_store_tick(f.store);
            int64_t passed = rb_elapsed_ns(&f.clock.clock) - began;
            for (size_t i = 0; i < CHECKS; i++) {
                bool overdue = passed > (2 * (int64_t)(i + 1) + 10) * SECOND;
                ck_assert_int_eq(fixture_state(&f, i), overdue ? RB_STATE_STALE : RB_STATE_OK);
            }
            rb_fake_clock_advance(&f.clock, part ? SECOND - 1 : 1);
        }
    }
    fixture_end(&f);
}
END_TEST

/* What happens between the waking and rb_store_slept: a tick, a good result, a bad one of a run that spanned the sleep. */
START_TEST(the_moment_between_waking_and_being_told)
{
    struct fixture f;
    fixture_start(&f, fixture_plan(3));
    for (size_t i = 0; i < 3; i++)
        fixture_run(&f, i, RB_RESULT_OK);
    int64_t since = rb_store_record(f.store, 0)->since_wall_ns;
    int64_t started_ns = rb_elapsed_ns(&f.clock.clock);
    rb_store_started(f.store, 2);
    rb_fake_clock_sleep(&f.clock, 3600 * SECOND);
    RB_ARENA_AUTO *arena = rb_arena_new(4096);
    struct rb_outcome outcome;
    rb_outcome_init(&outcome, arena);
    rb_outcome_set(&outcome, RB_RESULT_FAIL, "bad", "timed out");
    ck_assert(rb_store_completed(f.store, 2, &outcome, started_ns));
    fixture_run(&f, 1, RB_RESULT_OK);
    ck_assert(rb_store_tick(f.store));
    rb_store_slept(f.store, 3600 * SECOND);
    ck_assert_int_eq(fixture_state(&f, 0), RB_STATE_STALE);
    ck_assert_int_eq(fixture_state(&f, 1), RB_STATE_OK);
    ck_assert_int_eq(fixture_state(&f, 2), RB_STATE_STALE);
    fixture_run(&f, 0, RB_RESULT_OK);
    fixture_run(&f, 2, RB_RESULT_OK);
    ck_assert_int_eq(rb_store_record(f.store, 0)->since_wall_ns, since);
    ck_assert_uint_eq(rb_journal_count(f.journal), 1);
    fixture_end(&f);
}
END_TEST

/* A run that was under way when the lid closed. */
START_TEST(a_run_that_slept_accuses_nobody)
{
    struct fixture f;
    fixture_start(&f, fixture_plan(2));
    fixture_run(&f, 0, RB_RESULT_OK);
    fixture_run(&f, 1, RB_RESULT_OK);
    int64_t started_ns = rb_elapsed_ns(&f.clock.clock);
    rb_store_started(f.store, 0);
    rb_store_started(f.store, 1);
    rb_fake_clock_sleep(&f.clock, 3600 * SECOND);
    rb_store_slept(f.store, 3600 * SECOND);
    RB_ARENA_AUTO *arena = rb_arena_new(4096);
    struct rb_outcome outcome;
    rb_outcome_init(&outcome, arena);
    rb_outcome_set(&outcome, RB_RESULT_FAIL, "bad", "timed out");
    ck_assert(!rb_store_completed(f.store, 0, &outcome, started_ns));
    ck_assert_int_eq(fixture_state(&f, 0), RB_STATE_STALE);
    rb_outcome_set(&outcome, RB_RESULT_OK, "none", "well");
    ck_assert(rb_store_completed(f.store, 1, &outcome, started_ns));
    ck_assert_int_eq(fixture_state(&f, 1), RB_STATE_OK);
    fixture_run(&f, 0, RB_RESULT_FAIL); /* the catch-up run counts */
    ck_assert_int_eq(fixture_state(&f, 0), RB_STATE_FAIL);
    fixture_end(&f);
}
END_TEST

RB_TEST_MAIN("store_day", a_day, a_held_runner_never_looks_healthy, the_moment_between_waking_and_being_told,
             a_run_that_slept_accuses_nobody)
