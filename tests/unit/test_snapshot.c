/* Snapshots as readers see them: age, overdue results, a stuck loop, the last reference on another thread. */
#include <pthread.h>

#include "../support/check_main.h"
#include "../support/state_fixture.h"

START_TEST(a_reader_sees_what_became_overdue_since_publishing)
{
    struct rb_plan *plan = fixture_plan(3);
    plan->checks[0].every_ms = 1000;
    plan->checks[0].timeout_ms = 1000;
    plan->checks[1].manual = true;
    struct fixture f;
    fixture_start(&f, plan);
    for (size_t i = 0; i < 3; i++)
        fixture_run(&f, i, RB_RESULT_OK);
    struct rb_snapshot *snapshot = fixture_snapshot(&f);
    struct rb_view view = rb_view_of(snapshot, &f.clock.clock);
    ck_assert_int_eq(rb_view_state(&view, 0), RB_STATE_OK);
    ck_assert_str_eq(rb_view_reason(&view, 0), "none");
    rb_fake_clock_advance(&f.clock, SECOND + 1); /* c0 is 3 s and a nanosecond old; the loop is not stuck */
    view = rb_view_of(snapshot, &f.clock.clock);
    ck_assert(!view.stuck);
    ck_assert_double_eq_tol(view.age_s, 1, 0.001);
    ck_assert_int_eq(rb_view_state(&view, 0), RB_STATE_STALE);
    ck_assert_str_eq(rb_view_reason(&view, 0), "stale");
    ck_assert_int_eq(rb_view_state(&view, 1), RB_STATE_OK);
    struct rb_summary summary = rb_view_summary(&view);
    ck_assert_uint_eq(summary.by_state[RB_STATE_STALE], 1);
    ck_assert_uint_eq(summary.by_state[RB_STATE_OK], 2);
    rb_snapshot_unref(snapshot);
    fixture_end(&f);
}
END_TEST

START_TEST(a_stuck_loop_leaves_nothing_to_believe)
{
    struct rb_plan *plan = fixture_plan(3);
    plan->checks[0].phase = RB_PHASE_SAFETY;
    plan->checks[1].manual = true;
    struct fixture f;
    fixture_start(&f, plan);
    fixture_run(&f, 0, RB_RESULT_OK);
    fixture_run(&f, 1, RB_RESULT_OK);
    struct rb_snapshot *snapshot = fixture_snapshot(&f);
    struct rb_view view = rb_view_of(snapshot, &f.clock.clock);
    ck_assert_int_eq(rb_view_safety(&view), RB_SAFETY_HELD);
    rb_fake_clock_advance(&f.clock, RB_SNAPSHOT_STUCK_NS);
    view = rb_view_of(snapshot, &f.clock.clock);
    ck_assert(!view.stuck);
    rb_fake_clock_advance(&f.clock, 1);
    view = rb_view_of(snapshot, &f.clock.clock);
    ck_assert(view.stuck);
    ck_assert_int_eq(rb_view_state(&view, 0), RB_STATE_STALE);
    ck_assert_int_eq(rb_view_state(&view, 1), RB_STATE_STALE);
    ck_assert_int_eq(rb_view_state(&view, 2), RB_STATE_STALE);
    ck_assert_int_eq(rb_view_safety(&view), RB_SAFETY_UNKNOWN);
    rb_snapshot_unref(snapshot);
    fixture_end(&f);
}
END_TEST

static void *read_and_drop(void *arg)
{
    struct rb_snapshot *snapshot = arg;
    size_t length = 0;
    for (size_t i = 0; i < snapshot->count; i++)
        length += strlen(snapshot->records[i]->message);
    rb_snapshot_unref(snapshot);
    return length ? arg : NULL;
}

/* TSan and ASan watch this one. */
START_TEST(the_last_reference_may_go_on_another_thread)
{
    struct fixture f;
    fixture_start(&f, fixture_plan(20));
    for (unsigned round = 0; round < 50; round++) {
        fixture_run(&f, round % 20, round % 3 ? RB_RESULT_OK : RB_RESULT_FAIL);
        pthread_t thread;
        ck_assert_int_eq(pthread_create(&thread, NULL, read_and_drop, fixture_snapshot(&f)), 0);
        fixture_run(&f, round % 20, RB_RESULT_OK);
        rb_store_set_due(f.store, round % 20, round);
        void *read = NULL;
        ck_assert_int_eq(pthread_join(thread, &read), 0);
        ck_assert_ptr_nonnull(read);
    }
    fixture_end(&f);
}
END_TEST

START_TEST(names_are_as_the_interface_says)
{
    static const char *const states[RB_STATE_COUNT] = {"ok", "warn", "fail", "unknown", "skip", "pending", "stale"};
    for (unsigned i = 0; i < RB_STATE_COUNT; i++)
        ck_assert_str_eq(rb_state_name((enum rb_state)i), states[i]);
    ck_assert_str_eq(rb_safety_name(RB_SAFETY_VIOLATED), "violated");
    ck_assert_str_eq(rb_safety_name(RB_SAFETY_NONE), "none");
    for (unsigned i = 1; i < RB_DURATION_BUCKETS; i++)
        ck_assert_double_gt(rb_duration_buckets[i], rb_duration_buckets[i - 1]);
    rb_snapshot_unref(NULL);
    rb_record_unref(NULL);
    rb_event_entry_unref(NULL);
}
END_TEST

RB_TEST_MAIN("snapshot", a_reader_sees_what_became_overdue_since_publishing, a_stuck_loop_leaves_nothing_to_believe,
             the_last_reference_may_go_on_another_thread, names_are_as_the_interface_says)
