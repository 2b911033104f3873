/* The store's rules: presence, hysteresis, flapping, suppression, staleness, reload, safety, sharing. */
#include "../support/check_main.h"
#include "../support/state_fixture.h"

/* ---- presence: every combination of what is configured and what is seen ---- */

struct presence_row {
    enum rb_presence presence;
    enum rb_sighting sighting;
    bool seen_up;
    enum rb_state state;
    const char *reason;
};

/* The kind itself says fail/refused when the thing is not there, ok when it is. */
static const struct presence_row presence_rows[] = {
    {RB_PRESENCE_REQUIRED, RB_SIGHTING_NONE, false, RB_STATE_FAIL, "refused"},
    {RB_PRESENCE_REQUIRED, RB_SIGHTING_GONE, false, RB_STATE_FAIL, "refused"},
    {RB_PRESENCE_REQUIRED, RB_SIGHTING_GONE, true, RB_STATE_FAIL, "refused"},
    {RB_PRESENCE_REQUIRED, RB_SIGHTING_ENDED, false, RB_STATE_FAIL, "refused"},
    {RB_PRESENCE_REQUIRED, RB_SIGHTING_ENDED, true, RB_STATE_FAIL, "refused"},
    {RB_PRESENCE_REQUIRED, RB_SIGHTING_PRESENT, false, RB_STATE_OK, "none"},
    {RB_PRESENCE_REQUIRED, RB_SIGHTING_PRESENT, true, RB_STATE_OK, "none"},
    {RB_PRESENCE_OPTIONAL, RB_SIGHTING_NONE, false, RB_STATE_FAIL, "refused"},
    {RB_PRESENCE_OPTIONAL, RB_SIGHTING_NONE, true, RB_STATE_FAIL, "refused"},
    {RB_PRESENCE_OPTIONAL, RB_SIGHTING_GONE, false, RB_STATE_SKIP, "absent"},
    {RB_PRESENCE_OPTIONAL, RB_SIGHTING_GONE, true, RB_STATE_FAIL, "refused"},
    {RB_PRESENCE_OPTIONAL, RB_SIGHTING_ENDED, false, RB_STATE_SKIP, "absent"},
    {RB_PRESENCE_OPTIONAL, RB_SIGHTING_ENDED, true, RB_STATE_SKIP, "absent"},
    {RB_PRESENCE_OPTIONAL, RB_SIGHTING_PRESENT, false, RB_STATE_OK, "none"},
    {RB_PRESENCE_OPTIONAL, RB_SIGHTING_PRESENT, true, RB_STATE_OK, "none"},
    {RB_PRESENCE_ABSENT, RB_SIGHTING_NONE, false, RB_STATE_FAIL, "refused"},
    {RB_PRESENCE_ABSENT, RB_SIGHTING_GONE, false, RB_STATE_OK, "none"},
    {RB_PRESENCE_ABSENT, RB_SIGHTING_GONE, true, RB_STATE_OK, "none"},
    {RB_PRESENCE_ABSENT, RB_SIGHTING_ENDED, false, RB_STATE_OK, "none"},
    {RB_PRESENCE_ABSENT, RB_SIGHTING_ENDED, true, RB_STATE_OK, "none"},
    {RB_PRESENCE_ABSENT, RB_SIGHTING_PRESENT, false, RB_STATE_FAIL, "present"},
    {RB_PRESENCE_ABSENT, RB_SIGHTING_PRESENT, true, RB_STATE_FAIL, "present"},
};

START_TEST(presence_decides_what_absence_means)
{
    for (size_t i = 0; i < sizeof presence_rows / sizeof presence_rows[0]; i++) {
        const struct presence_row *row = &presence_rows[i];
        struct rb_plan *plan = fixture_plan(1);
        plan->checks[0].presence = row->presence;
        struct fixture f;
        fixture_start(&f, plan);
        if (row->seen_up)
            fixture_run_as(&f, 0, RB_RESULT_OK, RB_SIGHTING_PRESENT, "up");
        bool there = row->sighting == RB_SIGHTING_PRESENT;
        fixture_run_as(&f, 0, there ? RB_RESULT_OK : RB_RESULT_FAIL, row->sighting, "said");
        const struct rb_record *record = rb_store_record(f.store, 0);
        ck_assert_msg(record->state == row->state, "row %zu: %s", i, rb_state_name(record->state));
        ck_assert_msg(strcmp(record->reason, row->reason) == 0, "row %zu: reason %s", i, record->reason);
        fixture_end(&f);
    }
}
END_TEST

START_TEST(a_clean_end_forgets_that_it_was_up)
{
    struct rb_plan *plan = fixture_plan(1);
    plan->checks[0].presence = RB_PRESENCE_OPTIONAL;
    struct fixture f;
    fixture_start(&f, plan);
    fixture_run_as(&f, 0, RB_RESULT_OK, RB_SIGHTING_PRESENT, "up");
    fixture_run_as(&f, 0, RB_RESULT_FAIL, RB_SIGHTING_ENDED, "exit 0");
    fixture_run_as(&f, 0, RB_RESULT_FAIL, RB_SIGHTING_GONE, "project removed");
    ck_assert_int_eq(fixture_state(&f, 0), RB_STATE_SKIP);
    fixture_end(&f);
}
END_TEST

START_TEST(who_could_not_look_does_not_say_that_it_vanished)
{
    struct rb_plan *plan = fixture_plan(1);
    plan->checks[0].presence = RB_PRESENCE_OPTIONAL;
    struct fixture f;
    fixture_start(&f, plan);
    fixture_run_as(&f, 0, RB_RESULT_UNKNOWN, RB_SIGHTING_GONE, "engine down");
    ck_assert_int_eq(fixture_state(&f, 0), RB_STATE_SKIP); /* never seen: nothing is missed */
    fixture_run_as(&f, 0, RB_RESULT_OK, RB_SIGHTING_PRESENT, "up");
    fixture_run_as(&f, 0, RB_RESULT_UNKNOWN, RB_SIGHTING_GONE, "engine down");
    ck_assert_int_eq(fixture_state(&f, 0), RB_STATE_UNKNOWN);
    ck_assert_str_eq(rb_store_record(f.store, 0)->message, "engine down");
    fixture_end(&f);
}
END_TEST

START_TEST(a_safety_check_never_skips)
{
    struct rb_plan *plan = fixture_plan(2);
    plan->checks[0].presence = RB_PRESENCE_OPTIONAL;
    plan->checks[0].phase = plan->checks[1].phase = RB_PHASE_SAFETY;
    struct fixture f;
    fixture_start(&f, plan);
    fixture_run_as(&f, 0, RB_RESULT_FAIL, RB_SIGHTING_GONE, "file is missing");
    ck_assert_int_eq(fixture_state(&f, 0), RB_STATE_FAIL);
    fixture_run(&f, 1, RB_RESULT_SKIP);
    ck_assert_int_eq(fixture_state(&f, 1), RB_STATE_UNKNOWN);
    fixture_end(&f);
}
END_TEST

/* ---- hysteresis: letters are results in (o w u f s) and states out (… p for pending) ---- */

static enum rb_result result_of(char letter)
{
    switch (letter) {
    case 'o':
        return RB_RESULT_OK;
    case 'w':
        return RB_RESULT_WARN;
    case 'u':
        return RB_RESULT_UNKNOWN;
    case 'f':
        return RB_RESULT_FAIL;
    default:
        return RB_RESULT_SKIP;
    }
}

struct hysteresis_row {
    unsigned fail_after, recover_after;
    const char *results, *states;
};

static const struct hysteresis_row hysteresis_rows[] = {
    {1, 1, "ofowufso", "ofowufso"}, /* without hysteresis the state follows */
    {2, 1, "ofoff", "oooof"},       /* one bad run is not enough, a good one ends the row */
    {2, 1, "off", "oof"},           /* the second one is */
    {3, 1, "owuf", "ooof"},         /* bad runs of different kinds count together; the last one names the state */
    {2, 1, "ff", "pf"},             /* a first bad result is undecided */
    {2, 1, "fo", "po"},             /* a first good one is not */
    {1, 2, "fofoo", "ffffo"},       /* recovery has its own number, and a bad run ends the row */
    {2, 2, "wwff", "pwwf"},         /* worsening between bad states needs fail_after too */
    {1, 2, "ffwww", "fffww"},       /* and becoming less bad recover_after */
    {2, 2, "owwffoo", "oowwffo"},   /* a whole incident */
    {3, 1, "oso", "oso"},           /* ok and skip are equally good */
};

START_TEST(hysteresis_counts_runs_in_a_row)
{
    for (size_t i = 0; i < sizeof hysteresis_rows / sizeof hysteresis_rows[0]; i++) {
        const struct hysteresis_row *row = &hysteresis_rows[i];
        struct rb_plan *plan = fixture_plan(1);
        plan->checks[0].fail_after = row->fail_after;
        plan->checks[0].recover_after = row->recover_after;
        struct fixture f;
        fixture_start(&f, plan);
        for (size_t run = 0; row->results[run]; run++) {
            fixture_run(&f, 0, result_of(row->results[run]));
            char shown = rb_state_name(fixture_state(&f, 0))[0];
            ck_assert_msg((shown == 's' ? 's' : shown) == row->states[run], "row %zu, run %zu: %c", i, run, shown);
        }
        fixture_end(&f);
    }
}
END_TEST

START_TEST(a_held_state_keeps_its_words_and_shows_the_row)
{
    struct rb_plan *plan = fixture_plan(1);
    plan->checks[0].fail_after = 2;
    struct fixture f;
    fixture_start(&f, plan);
    fixture_run_as(&f, 0, RB_RESULT_OK, RB_SIGHTING_NONE, "all is well");
    fixture_run_as(&f, 0, RB_RESULT_FAIL, RB_SIGHTING_NONE, "no answer");
    const struct rb_record *record = rb_store_record(f.store, 0);
    ck_assert_int_eq(record->state, RB_STATE_OK);
    ck_assert_str_eq(record->reason, "none");
    ck_assert_str_eq(record->message, "all is well");
    ck_assert_int_eq(record->result, RB_RESULT_FAIL);
    ck_assert_str_eq(record->result_reason, "refused");
    ck_assert_str_eq(record->result_message, "no answer");
    ck_assert_uint_eq(record->streak, 1);
    ck_assert_uint_eq(record->streak_needed, 2);
    ck_assert_uint_eq(record->evidence_count, 1);
    ck_assert_str_eq(record->evidence[0], "1 of 2 runs: fail: no answer");
    ck_assert_uint_eq(record->failures, 1);
    fixture_run_as(&f, 0, RB_RESULT_FAIL, RB_SIGHTING_NONE, "no answer");
    record = rb_store_record(f.store, 0);
    ck_assert_int_eq(record->state, RB_STATE_FAIL);
    ck_assert_uint_eq(record->streak, 0);
    ck_assert_uint_eq(record->evidence_count, 0);
    ck_assert_str_eq(record->message, "no answer");
    fixture_end(&f);
}
END_TEST

START_TEST(a_guard_does_not_wait_for_fail_after)
{
    struct rb_plan *plan = fixture_plan(1);
    plan->checks[0].phase = RB_PHASE_SAFETY;
    plan->checks[0].fail_after = 5;
    struct fixture f;
    fixture_start(&f, plan);
    fixture_run(&f, 0, RB_RESULT_OK);
    fixture_run(&f, 0, RB_RESULT_FAIL);
    ck_assert_int_eq(fixture_state(&f, 0), RB_STATE_FAIL);
    fixture_end(&f);
}
END_TEST

/* ---- flapping ---- */

START_TEST(flapping_begins_and_ends_with_a_gap_between)
{
    struct fixture f;
    fixture_start(&f, fixture_plan(1));
    unsigned began = 0;
    for (unsigned i = 0; i < 12 && !began; i++) {
        fixture_run(&f, 0, i % 2 ? RB_RESULT_FAIL : RB_RESULT_OK);
        if (rb_store_record(f.store, 0)->flapping)
            began = i;
    }
    /* Five fresh transitions weigh (1.250 + 1.224 + 1.197 + 1.171 + 1.145) / 20 = 29.9 %, six 35.5 %. */
    ck_assert_uint_eq(began, 6);
    enum rb_state during = fixture_state(&f, 0);
    ck_assert_int_eq(during, RB_STATE_OK);
    unsigned calm = 0;
    while (rb_store_record(f.store, 0)->flapping && calm < 40) {
        fixture_run(&f, 0, RB_RESULT_OK);
        calm++;
    }
    ck_assert_uint_gt(calm, 5);
    ck_assert_uint_lt(calm, 21);
    fixture_end(&f);
}
END_TEST

START_TEST(a_steady_check_never_flaps)
{
    struct fixture f;
    fixture_start(&f, fixture_plan(1));
    for (unsigned i = 0; i < 50; i++) {
        fixture_run(&f, 0, i < 25 ? RB_RESULT_OK : RB_RESULT_FAIL);
        ck_assert(!rb_store_record(f.store, 0)->flapping);
    }
    fixture_end(&f);
}
END_TEST

/* ---- suppression ---- */

START_TEST(a_symptom_is_suppressed_by_the_root)
{
    struct rb_plan *plan = fixture_plan(4); /* c3 → c2 → c1 → c0 */
    fixture_depends(plan, 1, 0);
    fixture_depends(plan, 2, 1);
    fixture_depends(plan, 3, 2);
    struct fixture f;
    fixture_start(&f, plan);
    fixture_run(&f, 3, RB_RESULT_FAIL);
    ck_assert(!rb_store_record(f.store, 3)->suppressed);
    fixture_run(&f, 2, RB_RESULT_WARN);
    fixture_run(&f, 1, RB_RESULT_FAIL);
    ck_assert_str_eq(rb_store_record(f.store, 3)->suppressed_by, "c1");
    fixture_run(&f, 0, RB_RESULT_FAIL);
    for (size_t i = 1; i < 4; i++) {
        ck_assert(rb_store_record(f.store, i)->suppressed);
        ck_assert_str_eq(rb_store_record(f.store, i)->suppressed_by, "c0");
    }
    ck_assert(!rb_store_record(f.store, 0)->suppressed);
    ck_assert_int_eq(fixture_state(&f, 3), RB_STATE_FAIL);
    fixture_run(&f, 0, RB_RESULT_OK);
    ck_assert(!rb_store_record(f.store, 1)->suppressed);
    ck_assert_str_eq(rb_store_record(f.store, 3)->suppressed_by, "c1");
    fixture_run(&f, 3, RB_RESULT_OK);
    ck_assert(!rb_store_record(f.store, 3)->suppressed);
    fixture_end(&f);
}
END_TEST

START_TEST(a_guard_is_never_suppressed)
{
    struct rb_plan *plan = fixture_plan(2);
    plan->checks[1].phase = RB_PHASE_SAFETY;
    fixture_depends(plan, 1, 0);
    struct fixture f;
    fixture_start(&f, plan);
    fixture_run(&f, 0, RB_RESULT_FAIL);
    fixture_run(&f, 1, RB_RESULT_FAIL);
    ck_assert(!rb_store_record(f.store, 1)->suppressed);
    fixture_end(&f);
}
END_TEST

START_TEST(a_chain_of_five_thousand_is_suppressed_without_recursion)
{
    struct rb_plan *plan = fixture_plan(RB_PLAN_MAX_CHECKS);
    for (size_t i = 1; i < plan->count; i++)
        fixture_depends(plan, i, i - 1);
    struct fixture f;
    fixture_start(&f, plan);
    fixture_run(&f, plan->count - 1, RB_RESULT_FAIL);
    fixture_run(&f, 0, RB_RESULT_FAIL);
    ck_assert_str_eq(rb_store_record(f.store, plan->count - 1)->suppressed_by, "c0");
    fixture_end(&f);
}
END_TEST

/* ---- staleness ---- */

START_TEST(stale_begins_right_after_twice_every_plus_timeout)
{
    struct fixture f;
    fixture_start(&f, fixture_plan(2));
    fixture_run(&f, 0, RB_RESULT_OK);
    fixture_run(&f, 1, RB_RESULT_OK);
    rb_fake_clock_advance(&f.clock, 129 * SECOND); /* c0 is 130 s old: 2·60 + 10 */
    ck_assert(!rb_store_tick(f.store));
    ck_assert_int_eq(fixture_state(&f, 0), RB_STATE_OK);
    rb_fake_clock_advance(&f.clock, 1);
    ck_assert(rb_store_tick(f.store));
    ck_assert_int_eq(fixture_state(&f, 0), RB_STATE_STALE);
    ck_assert_int_eq(fixture_state(&f, 1), RB_STATE_OK);
    ck_assert_str_eq(rb_store_record(f.store, 0)->reason, "stale");
    ck_assert_int_eq(rb_store_record(f.store, 0)->since_wall_ns, rb_wall_ns(&f.clock.clock));
    ck_assert(!rb_store_tick(f.store));
    /* The gap ends with the next run: the state begins anew. */
    fixture_run(&f, 0, RB_RESULT_OK);
    ck_assert_int_eq(rb_store_record(f.store, 0)->since_wall_ns, rb_wall_ns(&f.clock.clock));
    fixture_end(&f);
}
END_TEST

START_TEST(manual_checks_are_never_stale_and_pending_ones_become_it)
{
    struct rb_plan *plan = fixture_plan(2);
    plan->checks[0].manual = true;
    struct fixture f;
    fixture_start(&f, plan);
    fixture_run(&f, 0, RB_RESULT_OK);
    rb_fake_clock_advance(&f.clock, 1000000 * SECOND);
    ck_assert(rb_store_tick(f.store));
    ck_assert_int_eq(fixture_state(&f, 0), RB_STATE_OK);
    ck_assert_int_eq(fixture_state(&f, 1), RB_STATE_STALE);
    ck_assert(!rb_store_all_ran(f.store));
    fixture_run(&f, 1, RB_RESULT_OK);
    ck_assert(rb_store_all_ran(f.store));
    fixture_end(&f);
}
END_TEST

START_TEST(a_bad_result_after_a_gap_is_not_hidden_behind_the_old_state)
{
    struct rb_plan *plan = fixture_plan(1);
    plan->checks[0].fail_after = 2;
    struct fixture f;
    fixture_start(&f, plan);
    fixture_run(&f, 0, RB_RESULT_OK);
    rb_fake_clock_advance(&f.clock, 500 * SECOND);
    rb_store_tick(f.store);
    fixture_run(&f, 0, RB_RESULT_FAIL);
    ck_assert_int_eq(fixture_state(&f, 0), RB_STATE_PENDING);
    fixture_run(&f, 0, RB_RESULT_FAIL);
    ck_assert_int_eq(fixture_state(&f, 0), RB_STATE_FAIL);
    fixture_end(&f);
}
END_TEST

START_TEST(an_untrusted_check_says_so_and_waits_for_nothing)
{
    struct rb_plan *plan = fixture_plan(1);
    plan->checks[0].untrusted = true;
    struct fixture f;
    fixture_start(&f, plan);
    rb_fake_clock_advance(&f.clock, 1000 * SECOND);
    ck_assert(!rb_store_tick(f.store));
    ck_assert_int_eq(fixture_state(&f, 0), RB_STATE_UNKNOWN);
    ck_assert_str_eq(rb_store_record(f.store, 0)->reason, "untrusted");
    ck_assert(rb_store_all_ran(f.store));
    fixture_end(&f);
}
END_TEST

/* ---- reload ---- */

START_TEST(a_reload_keeps_what_means_the_same)
{
    struct rb_plan *plan = fixture_plan(3);
    struct fixture f;
    fixture_start(&f, plan);
    for (size_t i = 0; i < 3; i++)
        fixture_run_as(&f, i, RB_RESULT_FAIL, RB_SIGHTING_NONE, "broken");
    int64_t since = rb_store_record(f.store, 0)->since_wall_ns;
    memcpy(rb_store_memory(f.store, 0), "kept", 5);

    struct rb_plan *next = fixture_plan(2); /* c0 with another interval and hint, c1 with another meaning, c2 gone */
    next->checks[0].every_ms = 5000;
    static const char *const hints[] = {"docker logs x", NULL};
    next->checks[0].hints = (struct rb_strings){.items = hints, .count = 1};
    (void)snprintf(next->checks[1].identity, sizeof next->checks[1].identity, "other");
    ck_assert_int_eq(rb_store_set_plan(f.store, next, NULL), 0);
    const struct rb_record *kept = rb_store_record(f.store, 0), *changed = rb_store_record(f.store, 1);
    ck_assert_int_eq(kept->state, RB_STATE_FAIL);
    ck_assert_int_eq(kept->since_wall_ns, since);
    ck_assert_ptr_eq(kept->spec, &next->checks[0]);
    ck_assert_uint_eq(kept->hint_count, 1);
    ck_assert_str_eq(kept->hints[0], "docker logs x");
    ck_assert_str_eq(rb_store_memory(f.store, 0), "kept");
    ck_assert_int_eq(changed->state, RB_STATE_PENDING);
    ck_assert_uint_eq(changed->runs, 1);
    ck_assert_uint_eq(changed->failures, 1);
    ck_assert_str_eq(rb_store_memory(f.store, 1), "");
    rb_plan_unref(next);
    fixture_end(&f);
}
END_TEST

START_TEST(the_memory_of_a_run_in_flight_outlives_its_check)
{
    struct fixture f;
    fixture_start(&f, fixture_plan(1));
    rb_store_started(f.store, 0);
    char *memory = rb_store_memory(f.store, 0);
    struct rb_plan *empty = fixture_plan(0);
    ck_assert_int_eq(rb_store_set_plan(f.store, empty, NULL), 0);
    memory[0] = 'x'; /* the abandoned worker still writes: a sanitizer would tell */
    ck_assert_int_eq(memory[0], 'x');
    rb_plan_unref(empty);
    fixture_end(&f);
}
END_TEST

/* ---- snapshots ---- */

START_TEST(unchanged_records_are_shared_and_published_ones_never_change)
{
    struct fixture f;
    fixture_start(&f, fixture_plan(2));
    fixture_run(&f, 0, RB_RESULT_OK);
    fixture_run(&f, 1, RB_RESULT_OK);
    struct rb_snapshot *before = fixture_snapshot(&f);
    uint64_t runs = before->records[1]->runs;
    rb_store_set_due(f.store, 1, 42);
    rb_store_started(f.store, 1);
    fixture_run_as(&f, 1, RB_RESULT_FAIL, RB_SIGHTING_NONE, "broken");
    struct rb_snapshot *after = fixture_snapshot(&f);
    ck_assert_ptr_eq(before->records[0], after->records[0]);
    ck_assert_ptr_ne(before->records[1], after->records[1]);
    ck_assert_uint_eq(before->records[1]->runs, runs);
    ck_assert(!before->records[1]->running);
    ck_assert_str_eq(before->records[1]->message, "ok");
    ck_assert_uint_gt(after->generation, before->generation);
    rb_snapshot_unref(after);
    rb_store_free(f.store); /* a reader may hold a snapshot longer than the store lives */
    f.store = NULL;
    ck_assert_int_eq(before->records[0]->state, RB_STATE_OK);
    rb_snapshot_unref(before);
    fixture_end(&f);
}
END_TEST

START_TEST(generation_follows_meaning_not_clocks)
{
    struct fixture f;
    fixture_start(&f, fixture_plan(1));
    struct rb_snapshot_extra extra = {.host = "h", .config = {.last_reload_successful = true, .last_success_wall_ns = 1}};
    fixture_run(&f, 0, RB_RESULT_OK);
    struct rb_snapshot *a = rb_store_snapshot(f.store, &extra);
    fixture_run(&f, 0, RB_RESULT_OK);
    struct rb_snapshot *b = rb_store_snapshot(f.store, &extra);
    ck_assert_uint_eq(a->generation, b->generation);
    extra.config.last_reload_successful = false;
    extra.config.error = "line 3: unknown key";
    struct rb_snapshot *c = rb_store_snapshot(f.store, &extra);
    ck_assert_uint_gt(c->generation, b->generation);
    ck_assert_str_eq(c->config.error, "line 3: unknown key");
    rb_snapshot_unref(a);
    rb_snapshot_unref(b);
    rb_snapshot_unref(c);
    fixture_end(&f);
}
END_TEST

START_TEST(safety_is_the_worst_of_its_guards)
{
    struct rb_plan *plan = fixture_plan(3);
    plan->checks[0].phase = plan->checks[1].phase = RB_PHASE_SAFETY;
    struct fixture f;
    fixture_start(&f, plan);
    struct rb_snapshot *snapshot = fixture_snapshot(&f);
    ck_assert_int_eq(snapshot->safety, RB_SAFETY_UNKNOWN);
    rb_snapshot_unref(snapshot);
    fixture_run(&f, 0, RB_RESULT_OK);
    fixture_run(&f, 1, RB_RESULT_WARN);
    fixture_run(&f, 2, RB_RESULT_FAIL);
    snapshot = fixture_snapshot(&f);
    ck_assert_int_eq(snapshot->safety, RB_SAFETY_HELD);
    ck_assert_uint_eq(snapshot->safety_evidence_count, 2);
    rb_snapshot_unref(snapshot);
    ck_assert_uint_eq(fixture_events(&f, RB_EVENT_KIND_SAFETY), 0);
    fixture_run_as(&f, 1, RB_RESULT_FAIL, RB_SIGHTING_NONE, "live trading is on");
    snapshot = fixture_snapshot(&f);
    ck_assert_int_eq(snapshot->safety, RB_SAFETY_VIOLATED);
    ck_assert_uint_eq(snapshot->safety_evidence_count, 1);
    ck_assert_str_eq(snapshot->safety_evidence[0], "c1: live trading is on");
    rb_snapshot_unref(snapshot);
    ck_assert_uint_eq(fixture_events(&f, RB_EVENT_KIND_SAFETY), 1);
    fixture_end(&f);
}
END_TEST

RB_TEST_MAIN("store", presence_decides_what_absence_means, a_clean_end_forgets_that_it_was_up,
             who_could_not_look_does_not_say_that_it_vanished, a_safety_check_never_skips, hysteresis_counts_runs_in_a_row,
             a_held_state_keeps_its_words_and_shows_the_row, a_guard_does_not_wait_for_fail_after,
             flapping_begins_and_ends_with_a_gap_between, a_steady_check_never_flaps, a_symptom_is_suppressed_by_the_root,
             a_guard_is_never_suppressed, a_chain_of_five_thousand_is_suppressed_without_recursion,
             stale_begins_right_after_twice_every_plus_timeout, manual_checks_are_never_stale_and_pending_ones_become_it,
             a_bad_result_after_a_gap_is_not_hidden_behind_the_old_state, an_untrusted_check_says_so_and_waits_for_nothing,
             a_reload_keeps_what_means_the_same, the_memory_of_a_run_in_flight_outlives_its_check,
             unchanged_records_are_shared_and_published_ones_never_change, generation_follows_meaning_not_clocks,
             safety_is_the_worst_of_its_guards)
