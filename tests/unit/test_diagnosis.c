/* The diagnosis: causes and symptoms, what stays open, the verdict, and the same answer every time. */
#include "../support/check_main.h"
#include "../support/state_fixture.h"
#include "runbook/check/facts.h"
#include "runbook/incident/diagnosis.h"

struct ward {
    struct fixture f;
    struct rb_snapshot *snapshot;
    struct rb_view view;
    struct rb_arena *arena;
    struct rb_diagnosis diagnosis;
};

static void ward_diagnose(struct ward *ward)
{
    ward->snapshot = fixture_snapshot(&ward->f);
    ward->view = rb_view_of(ward->snapshot, &ward->f.clock.clock);
    ward->arena = rb_arena_new((size_t)64 << 20);
    struct rb_diagnosis_options options = {.max_age_ns = 5 * SECOND};
    struct rb_error err = {0};
    int rc = rb_diagnose(&ward->view, &options, ward->arena, &ward->diagnosis, &err);
    ck_assert_msg(rc == 0, "%s", err.message);
}

static void ward_close(struct ward *ward)
{
    rb_arena_free(ward->arena);
    rb_snapshot_unref(ward->snapshot);
    fixture_end(&ward->f);
}

static void run_with_fact(struct fixture *f, size_t index, enum rb_result result, const char *reason, const char *key, const char *value)
{
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    struct rb_outcome outcome;
    rb_outcome_init(&outcome, arena);
    rb_outcome_set(&outcome, result, reason, "said");
    rb_outcome_fact(&outcome, key, "%s", value);
    rb_store_started(f->store, index);
    (void)rb_store_completed(f->store, index, &outcome, rb_elapsed_ns(&f->clock.clock));
}

/* ---- one cause, its symptoms ---- */

/* c2 (dependent) → c1 (http) → c0 (port). */
static struct rb_plan *chain(void)
{
    struct rb_plan *plan = fixture_plan(3);
    fixture_depends(plan, 1, 0);
    fixture_depends(plan, 2, 1);
    return plan;
}

START_TEST(a_closed_port_is_one_cause_that_explains_two)
{
    struct ward ward;
    fixture_start(&ward.f, chain());
    fixture_run_as(&ward.f, 2, RB_RESULT_FAIL, RB_SIGHTING_NONE, "no data");
    fixture_run_as(&ward.f, 1, RB_RESULT_FAIL, RB_SIGHTING_NONE, "connection refused");
    fixture_run_as(&ward.f, 0, RB_RESULT_FAIL, RB_SIGHTING_NONE, "nobody listens on 9110");
    ward_diagnose(&ward);
    const struct rb_diagnosis *d = &ward.diagnosis;
    ck_assert_int_eq(d->verdict, RB_VERDICT_CAUSES);
    ck_assert_uint_eq(d->cause_count, 1);
    ck_assert_uint_eq(d->undetermined_count + d->not_linked_count, 0);
    const struct rb_cause *cause = &d->causes[0];
    ck_assert_uint_eq(cause->check, 0);
    ck_assert_str_eq(cause->title, "c0: nobody listens on 9110");
    ck_assert_int_eq(cause->confidence, RB_CONFIDENCE_HIGH);
    ck_assert_str_eq(cause->evidence[0], "nobody listens on 9110");
    ck_assert_uint_eq(cause->explains_count, 2);
    ck_assert_uint_eq(cause->explains[0].check, 1);
    ck_assert_str_eq(cause->explains[0].how, "connection refused");
    ck_assert_uint_eq(cause->explains[1].check, 2);
    ck_assert_str_eq(cause->todo[cause->todo_count - 1], "curl -s localhost:9112/triage  # expect \"VERDICT  healthy\"");
    ward_close(&ward);
}
END_TEST

START_TEST(the_healthy_twin_is_empty)
{
    struct ward ward;
    fixture_start(&ward.f, chain());
    for (size_t i = 0; i < 3; i++)
        fixture_run(&ward.f, i, RB_RESULT_OK);
    ward_diagnose(&ward);
    const struct rb_diagnosis *d = &ward.diagnosis;
    ck_assert_int_eq(d->verdict, RB_VERDICT_HEALTHY);
    ck_assert_uint_eq(d->cause_count + d->undetermined_count + d->not_linked_count + d->held_count + d->observer_count, 0);
    ck_assert_uint_eq(d->fresh, 3);
    ck_assert_uint_eq(d->total, 3);
    ward_close(&ward);
}
END_TEST

START_TEST(a_symptom_is_linked_through_a_check_that_is_well)
{
    struct ward ward;
    fixture_start(&ward.f, chain());
    fixture_run(&ward.f, 0, RB_RESULT_FAIL);
    fixture_run(&ward.f, 1, RB_RESULT_OK);
    fixture_run(&ward.f, 2, RB_RESULT_UNKNOWN);
    ward_diagnose(&ward);
    ck_assert_uint_eq(ward.diagnosis.cause_count, 1);
    ck_assert_uint_eq(ward.diagnosis.causes[0].explains_count, 1);
    ck_assert_uint_eq(ward.diagnosis.causes[0].explains[0].check, 2);
    ck_assert_uint_eq(ward.diagnosis.observer_count, 0);
    ward_close(&ward);
}
END_TEST

START_TEST(causes_are_ranked_by_severity_reach_and_age)
{
    struct rb_plan *plan = fixture_plan(6);
    fixture_depends(plan, 4, 2); /* c2 explains one */
    plan->checks[3].severity = RB_SEVERITY_PAGE;
    plan->checks[5].severity = RB_SEVERITY_INFO;
    struct ward ward;
    fixture_start(&ward.f, plan);
    for (size_t i = 6; i-- > 0;) /* c0 is the youngest failure */
        fixture_run(&ward.f, i, RB_RESULT_FAIL);
    ward_diagnose(&ward);
    static const size_t expected[] = {3, 2, 1, 0, 5};
    ck_assert_uint_eq(ward.diagnosis.cause_count, 5);
    for (size_t i = 0; i < 5; i++)
        ck_assert_uint_eq(ward.diagnosis.causes[i].check, expected[i]);
    ward_close(&ward);
}
END_TEST

START_TEST(a_violated_guard_is_always_a_cause)
{
    struct rb_plan *plan = fixture_plan(2);
    plan->checks[1].phase = RB_PHASE_SAFETY;
    fixture_depends(plan, 1, 0);
    struct ward ward;
    fixture_start(&ward.f, plan);
    fixture_run(&ward.f, 0, RB_RESULT_FAIL);
    fixture_run(&ward.f, 1, RB_RESULT_FAIL);
    ward_diagnose(&ward);
    ck_assert_uint_eq(ward.diagnosis.cause_count, 2);
    ward_close(&ward);
}
END_TEST

START_TEST(hints_are_printed_but_hostile_ones_are_not)
{
    static const char *const hints[] = {"docker compose logs grafana", "evil \x1b]0;x\x07 text", NULL};
    struct rb_plan *plan = fixture_plan(1);
    plan->checks[0].hints = (struct rb_strings){.items = hints, .count = 2};
    static const char *const listen[] = {"unix:/run/a b/sock", NULL};
    plan->daemon.listen = (struct rb_strings){.items = listen, .count = 1};
    struct ward ward;
    fixture_start(&ward.f, plan);
    fixture_run(&ward.f, 0, RB_RESULT_FAIL);
    ward_diagnose(&ward);
    const struct rb_cause *cause = &ward.diagnosis.causes[0];
    ck_assert_uint_eq(cause->todo_count, 2);
    ck_assert_str_eq(cause->todo[0], "docker compose logs grafana");
    ck_assert_str_eq(cause->todo[1], "curl -s --unix-socket '/run/a b/sock' http://localhost/triage  # expect \"VERDICT  healthy\"");
    ward_close(&ward);
}
END_TEST

START_TEST(what_changed_just_before_is_cited_with_its_lead)
{
    struct rb_plan *plan = fixture_plan(1);
    plan->daemon.root = "/r";
    struct ward ward;
    fixture_start(&ward.f, plan);
    fixture_run(&ward.f, 0, RB_RESULT_OK);
    rb_journal_append(ward.f.journal, &(struct rb_journal_event){.kind = RB_EVENT_KIND_HEAD, .text = "too old"});
    rb_fake_clock_advance(&ward.f.clock, 700 * SECOND);
    rb_journal_append(
        ward.f.journal,
        &(struct rb_journal_event){.kind = RB_EVENT_KIND_HEAD, .from = "1111111111", .to = "2222222222", .text = "HEAD moved to 22222222"});
    rb_journal_append(ward.f.journal, &(struct rb_journal_event){.kind = RB_EVENT_KIND_CONTAINER, .from = "stranger", .text = "not ours"});
    rb_journal_append(ward.f.journal, &(struct rb_journal_event){.kind = RB_EVENT_KIND_NOTE, .text = "coffee"});
    rb_fake_clock_advance(&ward.f.clock, 20 * SECOND);
    run_with_fact(&ward.f, 0, RB_RESULT_FAIL, "bad", RB_FACT_FILE, "app.toml");
    rb_fake_clock_advance(&ward.f.clock, SECOND);
    rb_journal_append(ward.f.journal, &(struct rb_journal_event){.kind = RB_EVENT_KIND_HEAD, .text = "too late"});
    rb_fake_clock_advance(&ward.f.clock, SECOND);
    ward_diagnose(&ward);
    const struct rb_cause *cause = &ward.diagnosis.causes[0];
    ck_assert_uint_eq(cause->changed_before_count, 1);
    ck_assert_str_eq(cause->changed_before[0].what, "HEAD moved to 22222222");
    ck_assert_int_eq(cause->changed_before[0].lead_ns, 20 * SECOND);
    ck_assert_uint_eq(ward.diagnosis.rollback_count, 2);
    ck_assert_str_eq(ward.diagnosis.rollback[1], "git -C /r revert --no-edit 11111111..22222222");
    ward_close(&ward);
}
END_TEST

/* ---- what stays open ---- */

START_TEST(a_failure_above_something_unseen_is_undetermined)
{
    struct ward ward;
    fixture_start(&ward.f, chain());
    fixture_run(&ward.f, 0, RB_RESULT_UNKNOWN);
    fixture_run(&ward.f, 1, RB_RESULT_FAIL);
    fixture_run(&ward.f, 2, RB_RESULT_FAIL);
    ward_diagnose(&ward);
    const struct rb_diagnosis *d = &ward.diagnosis;
    ck_assert_int_eq(d->verdict, RB_VERDICT_UNDETERMINED);
    ck_assert_uint_eq(d->cause_count, 0);
    ck_assert_uint_eq(d->undetermined_count, 2);
    ck_assert_str_eq(d->undetermined[0].would_settle, "c0");
    ck_assert_str_eq(d->undetermined[1].would_settle, "c1");
    ck_assert_uint_eq(d->observer_count, 1);
    ck_assert_str_eq(d->observer[0], "c0 is unknown (refused): unknown");
    ward_close(&ward);
}
END_TEST

struct probe_row {
    const char *reason, *target, *listen;
    bool undetermined;
};
static const struct probe_row probe_rows[] = {
    {"status", "localhost:3000", "3000", true},           {"status", "127.0.0.1:3000", "0.0.0.0:3000", true},
    {"connect_timeout", "localhost:3000", "3001", false}, {"connect_timeout", "elsewhere.example:3000", "3000", false},
    {"refused", "localhost:3000", "3000", false},         {"connect_timeout", "localhost", "3000", false},
    {"timeout", "[::1]:3000", "[::]:3000", true},         {"timeout", "host.docker.internal:3000", "3000", true},
};

/* Connected, and then no answer in time: somebody took the connection, although no check looks at who. */
START_TEST(a_probe_that_was_connected_has_met_a_listener)
{
    struct rb_plan *plan = fixture_plan(1);
    plan->checks[0].kind = &fixture_exchange.schema;
    struct ward ward;
    fixture_start(&ward.f, plan);
    run_with_fact(&ward.f, 0, RB_RESULT_FAIL, "timeout", RB_FACT_TARGET, "elsewhere.example:3000");
    ward_diagnose(&ward);
    ck_assert_uint_eq(ward.diagnosis.cause_count, 0);
    ck_assert_uint_eq(ward.diagnosis.undetermined_count, 1);
    ck_assert_int_eq(ward.diagnosis.undetermined[0].kind, RB_SETTLE_NOBODY);
    ward_close(&ward);
}
END_TEST

START_TEST(a_failing_probe_whose_listener_runs_is_undetermined)
{
    for (size_t i = 0; i < sizeof probe_rows / sizeof probe_rows[0]; i++) {
        const struct probe_row *row = &probe_rows[i];
        struct rb_plan *plan = fixture_plan(2);
        plan->checks[0].kind = &fixture_exchange.schema;
        struct ward ward;
        fixture_start(&ward.f, plan);
        run_with_fact(&ward.f, 0, RB_RESULT_FAIL, row->reason, RB_FACT_TARGET, row->target);
        run_with_fact(&ward.f, 1, RB_RESULT_OK, "none", RB_FACT_LISTEN, row->listen);
        ward_diagnose(&ward);
        ck_assert_msg(ward.diagnosis.undetermined_count == row->undetermined, "row %zu", i);
        ck_assert_msg(ward.diagnosis.cause_count == !row->undetermined, "row %zu", i);
        if (row->undetermined)
            ck_assert_ptr_eq(strstr(ward.diagnosis.undetermined[0].would_settle, "c1"), ward.diagnosis.undetermined[0].would_settle);
        ward_close(&ward);
    }
}
END_TEST

START_TEST(a_warning_is_not_linked_and_does_not_spoil_health)
{
    struct ward ward;
    fixture_start(&ward.f, fixture_plan(2));
    fixture_run(&ward.f, 0, RB_RESULT_WARN);
    fixture_run(&ward.f, 1, RB_RESULT_OK);
    ward_diagnose(&ward);
    ck_assert_int_eq(ward.diagnosis.verdict, RB_VERDICT_HEALTHY);
    ck_assert_uint_eq(ward.diagnosis.not_linked_count, 1);
    ck_assert_str_eq(ward.diagnosis.not_linked[0].title, "c0: warn");
    ward_close(&ward);
}
END_TEST

START_TEST(old_results_are_held)
{
    struct ward ward;
    fixture_start(&ward.f, fixture_plan(3));
    fixture_run(&ward.f, 0, RB_RESULT_OK);
    rb_fake_clock_advance(&ward.f.clock, 30 * SECOND);
    fixture_run(&ward.f, 1, RB_RESULT_OK);
    ward_diagnose(&ward);
    const struct rb_diagnosis *d = &ward.diagnosis;
    ck_assert_uint_eq(d->fresh, 1);
    ck_assert_uint_eq(d->total, 3);
    ck_assert_uint_eq(d->held_count, 1);
    ck_assert_uint_eq(d->held[0].check, 0);
    ck_assert_double_eq_tol(d->held[0].age_s, 31, 0.001);
    ck_assert_uint_eq(d->observer_count, 1);
    ck_assert_str_eq(d->observer[0], "1 check has not completed a first run yet: c2");
    ck_assert_int_eq(d->verdict, RB_VERDICT_UNDETERMINED);
    ward_close(&ward);
}
END_TEST

START_TEST(nothing_seen_is_blind)
{
    struct ward ward;
    fixture_start(&ward.f, fixture_plan(2));
    fixture_run(&ward.f, 0, RB_RESULT_UNKNOWN);
    ward_diagnose(&ward);
    ck_assert_int_eq(ward.diagnosis.verdict, RB_VERDICT_BLIND);
    ward_close(&ward);
    fixture_start(&ward.f, fixture_plan(0));
    ward_diagnose(&ward);
    ck_assert_int_eq(ward.diagnosis.verdict, RB_VERDICT_BLIND);
    ward_close(&ward);
}
END_TEST

START_TEST(a_stuck_loop_is_never_healthy)
{
    struct ward ward;
    fixture_start(&ward.f, fixture_plan(1));
    fixture_run(&ward.f, 0, RB_RESULT_OK);
    ward.snapshot = fixture_snapshot(&ward.f);
    rb_fake_clock_advance(&ward.f.clock, 5 * SECOND);
    struct rb_view view = rb_view_of(ward.snapshot, &ward.f.clock.clock);
    ck_assert(!view.stuck);
    rb_fake_clock_advance(&ward.f.clock, SECOND);
    view = rb_view_of(ward.snapshot, &ward.f.clock.clock);
    ck_assert(view.stuck);
    ck_assert_int_eq(rb_view_state(&view, 0), RB_STATE_STALE);
    ck_assert_str_eq(rb_view_reason(&view, 0), "stale");
    ck_assert_uint_eq(rb_view_summary(&view).by_state[RB_STATE_OK], 0);
    ward.arena = rb_arena_new(1 << 20);
    struct rb_diagnosis_options options = {.max_age_ns = 5 * SECOND};
    ck_assert_int_eq(rb_diagnose(&view, &options, ward.arena, &ward.diagnosis, NULL), 0);
    ck_assert_int_eq(ward.diagnosis.verdict, RB_VERDICT_BLIND);
    ck_assert_ptr_nonnull(strstr(ward.diagnosis.observer[0], "stuck"));
    ward_close(&ward);
}
END_TEST

/* ---- bounds ---- */

START_TEST(five_thousand_checks_in_a_chain)
{
    struct rb_plan *plan = fixture_plan(RB_PLAN_MAX_CHECKS);
    for (size_t i = 1; i < plan->count; i++)
        fixture_depends(plan, i, i - 1);
    struct ward ward;
    fixture_start(&ward.f, plan);
    for (size_t i = 0; i < 50; i++)
        fixture_run(&ward.f, i * 100, RB_RESULT_FAIL);
    ward_diagnose(&ward);
    ck_assert_uint_eq(ward.diagnosis.cause_count, 1);
    ck_assert_uint_eq(ward.diagnosis.causes[0].explains_count, 49);
    ward_close(&ward);
}
END_TEST

START_TEST(five_thousand_unseen_checks_are_counted_not_listed)
{
    struct ward ward;
    fixture_start(&ward.f, fixture_plan(RB_PLAN_MAX_CHECKS));
    rb_fake_clock_advance(&ward.f.clock, 1000 * SECOND);
    ck_assert(rb_store_tick(ward.f.store));
    ward_diagnose(&ward);
    ck_assert_uint_le(ward.diagnosis.observer_count, 67);
    ck_assert_ptr_nonnull(strstr(ward.diagnosis.observer[ward.diagnosis.observer_count - 1], "more"));
    ward_close(&ward);
}
END_TEST

START_TEST(an_exhausted_arena_is_an_error_not_half_an_answer)
{
    struct ward ward;
    fixture_start(&ward.f, chain());
    for (size_t i = 0; i < 3; i++)
        fixture_run(&ward.f, i, RB_RESULT_FAIL);
    ward_diagnose(&ward);
    size_t needed = rb_arena_used(ward.arena);
    struct rb_diagnosis_options options = {.max_age_ns = 5 * SECOND};
    for (size_t max = 0; max < needed; max += 16) {
        RB_ARENA_AUTO *arena = rb_arena_new(max);
        struct rb_diagnosis out;
        struct rb_error err = {0};
        ck_assert_int_eq(rb_diagnose(&ward.view, &options, arena, &out, &err), RB_ENOMEM);
    }
    ward_close(&ward);
}
END_TEST

RB_TEST_MAIN("diagnosis", a_closed_port_is_one_cause_that_explains_two, the_healthy_twin_is_empty,
             a_symptom_is_linked_through_a_check_that_is_well, causes_are_ranked_by_severity_reach_and_age,
             a_violated_guard_is_always_a_cause, hints_are_printed_but_hostile_ones_are_not,
             what_changed_just_before_is_cited_with_its_lead, a_failure_above_something_unseen_is_undetermined,
             a_failing_probe_whose_listener_runs_is_undetermined, a_probe_that_was_connected_has_met_a_listener,
             a_warning_is_not_linked_and_does_not_spoil_health, old_results_are_held, nothing_seen_is_blind, a_stuck_loop_is_never_healthy,
             five_thousand_checks_in_a_chain, five_thousand_unseen_checks_are_counted_not_listed,
             an_exhausted_arena_is_an_error_not_half_an_answer)
