/* The checkpoint: what survives a restart, and what damage does not do. */
#include "../support/check_main.h"
#include "../support/state_fixture.h"

static void save(struct fixture *f, struct rb_buf *out)
{
    struct rb_error err = {0};
    rb_buf_init(out, 1 << 22);
    int rc = rb_store_save(f->store, out, &err);
    ck_assert_msg(rc == 0, "%s", err.message);
    ck_assert(!rb_store_dirty(f->store));
}

/* A new process: new store and journal, the wall clock went on for an hour, the elapsed clock begins anew. */
static void restart(struct fixture *f, struct rb_plan *plan, const struct rb_buf *saved)
{
    int64_t wall_ns = rb_wall_ns(&f->clock.clock);
    fixture_end(f);
    fixture_start(f, plan);
    rb_fake_clock_step(&f->clock, wall_ns + 3600 * SECOND - rb_wall_ns(&f->clock.clock));
    struct rb_error err = {0};
    int rc = rb_store_load(f->store, saved->data, saved->len, &err);
    ck_assert_msg(rc == 0, "%s", err.message);
}

START_TEST(since_and_counters_survive_when_the_state_is_the_same)
{
    struct fixture f;
    fixture_start(&f, fixture_plan(2));
    fixture_run(&f, 0, RB_RESULT_OK);
    fixture_run(&f, 0, RB_RESULT_FAIL);
    fixture_run(&f, 1, RB_RESULT_OK);
    fixture_run(&f, 0, RB_RESULT_FAIL);
    struct rb_record before = *rb_store_record(f.store, 0);
    ck_assert(rb_store_dirty(f.store));
    RB_BUF_AUTO saved;
    save(&f, &saved);
    restart(&f, fixture_plan(2), &saved);
    const struct rb_record *record = rb_store_record(f.store, 0);
    ck_assert_int_eq(record->state, RB_STATE_PENDING);
    ck_assert_int_eq(record->since_wall_ns, before.since_wall_ns);
    ck_assert_int_eq(record->last_ok_wall_ns, before.last_ok_wall_ns);
    ck_assert_int_eq(record->last_run_wall_ns, before.last_run_wall_ns);
    ck_assert(record->has_result);
    ck_assert_int_eq(record->result, RB_RESULT_FAIL);
    fixture_run(&f, 0, RB_RESULT_FAIL);
    record = rb_store_record(f.store, 0);
    ck_assert_int_eq(record->state, RB_STATE_FAIL);
    ck_assert_int_eq(record->since_wall_ns, before.since_wall_ns);
    ck_assert_uint_eq(record->runs, 4);
    ck_assert_uint_eq(record->failures, 3);
    ck_assert_uint_eq(record->state_changes, before.state_changes);
    ck_assert_uint_eq(fixture_events(&f, RB_EVENT_KIND_STATE), 0);
    /* The other one came back different: a change, told from what it was. */
    fixture_run(&f, 1, RB_RESULT_WARN);
    record = rb_store_record(f.store, 1);
    ck_assert_int_eq(record->since_wall_ns, rb_wall_ns(&f.clock.clock));
    ck_assert_uint_eq(record->state_changes, 1);
    struct rb_event_entry *entry;
    ck_assert_uint_eq(rb_journal_recent(f.journal, &entry, 1), 1);
    ck_assert_str_eq(entry->from, "ok");
    ck_assert_str_eq(entry->to, "warn");
    rb_event_entry_unref(entry);
    fixture_end(&f);
}
END_TEST

START_TEST(a_row_of_runs_goes_on_over_a_restart)
{
    struct rb_plan *plan = fixture_plan(1), *next = fixture_plan(1);
    plan->checks[0].fail_after = next->checks[0].fail_after = 3;
    struct fixture f;
    fixture_start(&f, plan);
    fixture_run(&f, 0, RB_RESULT_OK);
    fixture_run(&f, 0, RB_RESULT_FAIL);
    RB_BUF_AUTO saved;
    save(&f, &saved);
    restart(&f, next, &saved);
    fixture_run(&f, 0, RB_RESULT_FAIL);
    ck_assert_int_eq(fixture_state(&f, 0), RB_STATE_OK);
    ck_assert_uint_eq(rb_store_record(f.store, 0)->streak, 2);
    fixture_run(&f, 0, RB_RESULT_FAIL);
    ck_assert_int_eq(fixture_state(&f, 0), RB_STATE_FAIL);
    fixture_end(&f);
}
END_TEST

START_TEST(seen_up_and_flapping_survive)
{
    struct rb_plan *plan = fixture_plan(2), *next = fixture_plan(2);
    plan->checks[0].presence = next->checks[0].presence = RB_PRESENCE_OPTIONAL;
    struct fixture f;
    fixture_start(&f, plan);
    fixture_run_as(&f, 0, RB_RESULT_OK, RB_SIGHTING_PRESENT, "up");
    for (unsigned i = 0; i < 10; i++)
        fixture_run(&f, 1, i % 2 ? RB_RESULT_OK : RB_RESULT_FAIL);
    ck_assert(rb_store_record(f.store, 1)->flapping);
    RB_BUF_AUTO saved;
    save(&f, &saved);
    restart(&f, next, &saved);
    fixture_run_as(&f, 0, RB_RESULT_FAIL, RB_SIGHTING_GONE, "refused");
    ck_assert_int_eq(fixture_state(&f, 0), RB_STATE_FAIL);
    fixture_run(&f, 1, RB_RESULT_OK);
    ck_assert(rb_store_record(f.store, 1)->flapping);
    fixture_end(&f);
}
END_TEST

START_TEST(another_identity_keeps_only_counters)
{
    struct rb_plan *next = fixture_plan(2);
    (void)snprintf(next->checks[0].identity, sizeof next->checks[0].identity, "other");
    next->checks[1].name = "newcomer";
    struct fixture f;
    fixture_start(&f, fixture_plan(2));
    fixture_run(&f, 0, RB_RESULT_FAIL);
    fixture_run(&f, 1, RB_RESULT_FAIL);
    RB_BUF_AUTO saved;
    save(&f, &saved);
    restart(&f, next, &saved);
    ck_assert_uint_eq(rb_store_record(f.store, 0)->runs, 1);
    ck_assert_int_eq(rb_store_record(f.store, 0)->since_wall_ns, 0);
    ck_assert(!rb_store_record(f.store, 0)->has_result);
    ck_assert_uint_eq(rb_store_record(f.store, 1)->runs, 0);
    fixture_end(&f);
}
END_TEST

START_TEST(times_of_the_future_are_brought_down_to_now)
{
    struct fixture f;
    fixture_start(&f, fixture_plan(1));
    fixture_run(&f, 0, RB_RESULT_FAIL);
    RB_BUF_AUTO saved;
    save(&f, &saved);
    fixture_end(&f);
    fixture_start(&f, fixture_plan(1));
    rb_fake_clock_step(&f.clock, -86400 * SECOND);
    ck_assert_int_eq(rb_store_load(f.store, saved.data, saved.len, NULL), 0);
    ck_assert_int_eq(rb_store_record(f.store, 0)->since_wall_ns, rb_wall_ns(&f.clock.clock));
    fixture_end(&f);
}
END_TEST

START_TEST(damage_anywhere_is_seen_and_changes_nothing)
{
    struct fixture f;
    fixture_start(&f, fixture_plan(1));
    fixture_run(&f, 0, RB_RESULT_FAIL);
    RB_BUF_AUTO saved;
    save(&f, &saved);
    fixture_end(&f);
    fixture_start(&f, fixture_plan(1));
    struct rb_error err = {0};
    for (size_t i = 0; i < saved.len; i++) {
        saved.data[i] = (char)(saved.data[i] ^ 4);
        int rc = rb_store_load(f.store, saved.data, saved.len, &err);
        saved.data[i] = (char)(saved.data[i] ^ 4);
        ck_assert_msg(rc == RB_ECORRUPT || (rc == RB_EUNSUPPORTED && i < 18), "byte %zu: %d", i, rc);
    }
    for (size_t len = 0; len < saved.len; len++)
        ck_assert_int_eq(rb_store_load(f.store, saved.data, len, &err), RB_ECORRUPT);
    ck_assert_uint_eq(rb_store_record(f.store, 0)->runs, 0);
    ck_assert_int_eq(rb_store_load(f.store, saved.data, saved.len, &err), 0);
    ck_assert_uint_eq(rb_store_record(f.store, 0)->runs, 1);
    fixture_end(&f);
}
END_TEST

/* A right checksum over wrong content: every row is looked at before any is taken. */
START_TEST(a_wrong_row_leaves_the_store_as_it_was)
{
    static const char *const bodies[] = {
        "{\"saved_ns\":1}",
        "[]",
        "{\"checks\":[{}]}",
        "{\"checks\":[{\"name\":\"c0\",\"kind\":\"fake\",\"identity\":\"id-0\",\"state\":\"purple\",\"reason\":\"none\",\"since_ns\":1,"
        "\"last_run_ns\":1,"
        "\"last_ok_ns\":1,\"runs\":9,\"failures\":0,\"state_changes\":0,\"result\":\"ok\",\"streak\":0,\"streak_worse\":false,\"flapping\":"
        "false,"
        "\"seen_up\":false,\"history\":\"o\"}]}",
        "{\"checks\":[{\"name\":\"c0\",\"kind\":\"fake\",\"identity\":\"id-0\",\"state\":\"ok\",\"reason\":\"none\",\"since_ns\":1,\"last_"
        "run_ns\":1,"
        "\"last_ok_ns\":1,\"runs\":9,\"failures\":0,\"state_changes\":0,\"result\":\"ok\",\"streak\":0,\"streak_worse\":false,\"flapping\":"
        "false,"
        "\"seen_up\":false,\"history\":\"xyz\"}]}",
        "{\"checks\":",
    };
    struct fixture f;
    fixture_start(&f, fixture_plan(1));
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        RB_BUF_AUTO text;
        rb_buf_init(&text, 4096);
        rb_buf_addf(&text, "runbookd checks 1\n%s\n", bodies[i]);
        rb_buf_addf(&text, "crc32c %08x\n", rb_crc32c(0, text.data, text.len));
        struct rb_error err = {0};
        ck_assert_msg(rb_store_load(f.store, text.data, text.len, &err) == RB_ECORRUPT, "body %zu", i);
        ck_assert_uint_eq(rb_store_record(f.store, 0)->runs, 0);
    }
    fixture_end(&f);
}
END_TEST

RB_TEST_MAIN("store_persist", since_and_counters_survive_when_the_state_is_the_same, a_row_of_runs_goes_on_over_a_restart,
             seen_up_and_flapping_survive, another_identity_keeps_only_counters, times_of_the_future_are_brought_down_to_now,
             damage_anywhere_is_seen_and_changes_nothing, a_wrong_row_leaves_the_store_as_it_was)
