/* The due heap: order, spacing, limits, jitter, phases, bringing forward, resuming. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "runbook/base/clock.h"
#include "runbook/check/sched.h"

#define S  RB_NS_PER_S
#define MS RB_NS_PER_MS
#define T0 (1000 * S)

static const struct rb_sched_class free_class = {.spacing_ns = 0, .max_running = 0};

static struct rb_sched *one(int64_t every_ns)
{
    struct rb_sched_entry entry = {.name = "a", .every_ns = every_ns};
    return rb_sched_new(&entry, 1, &free_class, 1, T0);
}

START_TEST(first_run_is_due_within_the_window)
{
    struct rb_sched_entry entries[20];
    char names[20][8];
    for (int i = 0; i < 20; i++) {
        snprintf(names[i], sizeof names[i], "c%d", i);
        entries[i] = (struct rb_sched_entry){.name = names[i], .every_ns = i % 2 ? 60 * S : 1 * S};
    }
    struct rb_sched *sched = rb_sched_new(entries, 20, &free_class, 1, T0);
    ck_assert_ptr_nonnull(sched);
    bool differ = false;
    for (size_t i = 0; i < 20; i++) {
        int64_t wait = rb_sched_due(sched, i) - T0;
        ck_assert_int_ge(wait, 0);
        ck_assert_int_lt(wait, i % 2 ? 2 * S : S / 2);
        differ = differ || wait != rb_sched_due(sched, 0) - T0;
    }
    ck_assert(differ);
    struct rb_sched *again = rb_sched_new(entries, 20, &free_class, 1, T0);
    for (size_t i = 0; i < 20; i++)
        ck_assert_int_eq(rb_sched_due(again, i), rb_sched_due(sched, i));
    rb_sched_free(again);
    rb_sched_free(sched);
}
END_TEST

START_TEST(dependencies_come_first)
{
    size_t on_b = 1, on_c[] = {2, 3}, on_self_cycle = 4;
    struct rb_sched_entry entries[] = {
        {.name = "a", .every_ns = 1 * S, .depends_on = &on_b, .depends_on_count = 1},
        {.name = "b", .every_ns = 3600 * S, .depends_on = on_c, .depends_on_count = 2},
        {.name = "c", .every_ns = 60 * S},
        {.name = "d", .every_ns = 86400 * S},
        {.name = "e", .every_ns = 60 * S, .depends_on = &on_self_cycle, .depends_on_count = 1}, /* config refuses it; must not hang */
    };
    struct rb_sched *sched = rb_sched_new(entries, 5, &free_class, 1, T0);
    ck_assert_int_lt(rb_sched_due(sched, 2), rb_sched_due(sched, 1));
    ck_assert_int_lt(rb_sched_due(sched, 3), rb_sched_due(sched, 1));
    ck_assert_int_lt(rb_sched_due(sched, 1), rb_sched_due(sched, 0));
    ck_assert_int_lt(rb_sched_due(sched, 0), T0 + S / 2);
    rb_sched_free(sched);
}
END_TEST

START_TEST(pop_runs_once_and_never_overlaps)
{
    struct rb_sched *sched = one(10 * S);
    size_t id;
    int64_t late, due = rb_sched_due(sched, 0);
    ck_assert(!rb_sched_pop(sched, due - 1, &id, &late));
    ck_assert_int_eq(rb_sched_next(sched, due - 1), due);
    ck_assert_int_eq(rb_sched_next(sched, due), 0);
    ck_assert(rb_sched_pop(sched, due + 7, &id, &late));
    ck_assert_int_eq(late, 7);
    ck_assert(rb_sched_running(sched, 0));
    ck_assert_int_eq(rb_sched_due(sched, 0), INT64_MAX);
    ck_assert(!rb_sched_pop(sched, due + 100 * S, &id, &late));
    ck_assert_int_eq(rb_sched_next(sched, due + 100 * S), INT64_MAX);
    /* It ran over three beats: the next one is on the old phase, in the future. */
    rb_sched_done(sched, 0, due + 33 * S);
    ck_assert_int_eq(rb_sched_due(sched, 0), due + 40 * S);
    rb_sched_free(sched);
}
END_TEST

START_TEST(beat_too_close_to_the_catch_up_run_is_left_out)
{
    struct rb_sched *sched = one(10 * S);
    size_t id;
    int64_t late, due = rb_sched_due(sched, 0);
    ck_assert(rb_sched_pop(sched, due + 8 * S, &id, &late)); /* 2 s before the next beat */
    rb_sched_done(sched, 0, due + 8 * S + MS);
    ck_assert_int_eq(rb_sched_due(sched, 0), due + 20 * S);
    rb_sched_free(sched);
}
END_TEST

START_TEST(spacing_and_limit_hold_a_class_but_not_its_neighbour)
{
    struct rb_sched_class classes[] = {{.spacing_ns = 50 * MS, .max_running = 2}, {0}};
    struct rb_sched_entry entries[] = {{.name = "a", .every_ns = 60 * S},
                                       {.name = "b", .every_ns = 60 * S},
                                       {.name = "c", .every_ns = 60 * S},
                                       {.name = "x", .every_ns = 60 * S, .class_id = 1}};
    struct rb_sched *sched = rb_sched_new(entries, 4, classes, 2, T0);
    int64_t now = T0 + 10 * S, late;
    size_t first, id;
    unsigned started = 0;
    bool x_started = false;
    while (rb_sched_pop(sched, now, &id, &late)) {
        x_started = x_started || id == 3;
        if (id != 3) {
            first = id;
            started++;
        }
    }
    ck_assert(x_started);
    ck_assert_uint_eq(started, 1);
    ck_assert_int_eq(rb_sched_next(sched, now), now + 50 * MS);
    ck_assert(!rb_sched_pop(sched, now + 49 * MS, &id, &late));
    ck_assert(rb_sched_pop(sched, now + 50 * MS, &id, &late));
    /* Two run: the third waits for an end, not for time. */
    ck_assert(!rb_sched_pop(sched, now + 10 * S, &id, &late));
    ck_assert_int_eq(rb_sched_next(sched, now + 10 * S), INT64_MAX);
    rb_sched_done(sched, first, now + 10 * S);
    ck_assert_int_eq(rb_sched_next(sched, now + 10 * S), 0);
    ck_assert(rb_sched_pop(sched, now + 10 * S, &id, &late));
    ck_assert_uint_ne(id, first);
    rb_sched_free(sched);
}
END_TEST

START_TEST(collected_entries_start_together_on_the_beat)
{
    struct rb_sched_class class = {.collect_ns = 100 * MS};
    struct rb_sched_entry entries[50];
    char names[50][8];
    for (int i = 0; i < 50; i++) {
        snprintf(names[i], sizeof names[i], "c%d", i);
        entries[i] = (struct rb_sched_entry){.name = names[i], .every_ns = 2 * S};
    }
    struct rb_sched *sched = rb_sched_new(entries, 50, &class, 1, T0);
    size_t id, wakes = 0, runs = 0;
    int64_t now = T0, late;
    while (runs < 50 && (now = rb_sched_next(sched, now)) < T0 + 2 * S) {
        ck_assert_int_eq(now % (100 * MS), 0);
        wakes++;
        for (; rb_sched_pop(sched, now, &id, &late); runs++) {
            ck_assert_int_ge(late, 0);
            ck_assert_int_lt(late, 100 * MS);
        }
    }
    ck_assert_uint_eq(runs, 50);
    ck_assert_uint_le(wakes, 11); /* the first window is a second */
    for (size_t i = 0; i < 50; i++)
        rb_sched_done(sched, i, now);
    int64_t odd = now + 7 * MS;
    ck_assert_int_gt(rb_sched_next(sched, odd), odd);
    ck_assert(rb_sched_bring_forward(sched, 3, odd));
    ck_assert_int_eq(rb_sched_next(sched, odd), 0);
    ck_assert(rb_sched_pop(sched, odd, &id, &late));
    ck_assert_uint_eq(id, 3);
    rb_sched_free(sched);
}
END_TEST

START_TEST(bring_forward_passes_spacing_and_wakes_manual)
{
    struct rb_sched_class class = {.spacing_ns = 10 * S, .max_running = 0};
    struct rb_sched_entry entries[] = {
        {.name = "a", .every_ns = 600 * S}, {.name = "m", .every_ns = 0}, {.name = "b", .every_ns = 600 * S}};
    struct rb_sched *sched = rb_sched_new(entries, 3, &class, 1, T0);
    size_t id;
    int64_t late, now = T0 + 100 * S;
    ck_assert_int_eq(rb_sched_due(sched, 1), INT64_MAX);
    ck_assert(rb_sched_pop(sched, now, &id, &late));
    size_t running = id, other = id == 0 ? 2 : 0;
    ck_assert(!rb_sched_pop(sched, now, &id, &late));
    ck_assert(rb_sched_bring_forward(sched, 1, now));
    ck_assert(rb_sched_pop(sched, now, &id, &late));
    ck_assert_uint_eq(id, 1);
    ck_assert_int_eq(late, 0);
    ck_assert(!rb_sched_bring_forward(sched, 1, now));
    ck_assert(rb_sched_urgent(sched, 1)); /* until it has ended */
    ck_assert(!rb_sched_urgent(sched, running));
    rb_sched_done(sched, 1, now);
    ck_assert(!rb_sched_urgent(sched, 1));
    ck_assert_int_eq(rb_sched_due(sched, 1), INT64_MAX);
    ck_assert(!rb_sched_pop(sched, now, &id, &late));
    /* An overdue entry keeps its own lateness. */
    ck_assert(rb_sched_bring_forward(sched, other, now));
    ck_assert(rb_sched_pop(sched, now, &id, &late));
    ck_assert_uint_eq(id, other);
    ck_assert_int_gt(late, 0);
    ck_assert(!rb_sched_bring_forward(sched, running, now));
    rb_sched_free(sched);
}
END_TEST

START_TEST(an_inserted_run_takes_no_beat_away)
{
    size_t id;
    int64_t late;
    struct rb_sched *sched = one(60 * S);
    int64_t now = rb_sched_due(sched, 0);
    ck_assert(rb_sched_insert(sched, 0, now)); /* due anyway: nothing to do */
    ck_assert(rb_sched_pop(sched, now, &id, &late));
    ck_assert(!rb_sched_insert(sched, 0, now + S)); /* running */
    rb_sched_done(sched, 0, now + S);
    int64_t beat = rb_sched_due(sched, 0);
    ck_assert_int_eq(beat, now + 60 * S);
    for (int64_t at = now + 10 * S; at < beat; at += 20 * S) { /* the last one within half an interval of the beat */
        ck_assert(rb_sched_insert(sched, 0, at));
        ck_assert_int_eq(rb_sched_next(sched, at), 0);
        ck_assert(rb_sched_insert(sched, 0, at)); /* twice is once */
        ck_assert(rb_sched_pop(sched, at, &id, &late));
        rb_sched_done(sched, 0, at + S);
        ck_assert_int_eq(rb_sched_due(sched, 0), beat);
    }
    ck_assert(rb_sched_pop(sched, beat, &id, &late));
    rb_sched_done(sched, 0, beat + S);
    ck_assert_int_eq(rb_sched_due(sched, 0), beat + 60 * S);
    ck_assert(rb_sched_insert(sched, 0, beat + 59 * S)); /* still running when its beat comes: that run was it */
    ck_assert(rb_sched_pop(sched, beat + 59 * S, &id, &late));
    rb_sched_done(sched, 0, beat + 61 * S);
    ck_assert_int_eq(rb_sched_due(sched, 0), beat + 120 * S);
    rb_sched_free(sched);
    sched = one(0); /* manual: runs on request only */
    ck_assert(rb_sched_insert(sched, 0, T0));
    ck_assert_int_eq(rb_sched_next(sched, T0), INT64_MAX);
    rb_sched_free(sched);
}
END_TEST

START_TEST(an_inserted_run_keeps_the_spacing)
{
    static const struct rb_sched_class spaced = {.spacing_ns = 10 * MS};
    const struct rb_sched_entry entries[] = {{.name = "a", .every_ns = 60 * S}, {.name = "b", .every_ns = 60 * S}};
    struct rb_sched *sched = rb_sched_new(entries, 2, &spaced, 1, T0);
    size_t id;
    int64_t late;
    ck_assert(rb_sched_insert(sched, 0, T0));
    ck_assert(rb_sched_insert(sched, 1, T0));
    ck_assert(rb_sched_pop(sched, T0, &id, &late));
    ck_assert(!rb_sched_pop(sched, T0, &id, &late));
    ck_assert_int_eq(rb_sched_next(sched, T0), T0 + 10 * MS);
    rb_sched_free(sched);
}
END_TEST

START_TEST(resume_keeps_the_beat_and_spreads_the_overdue)
{
    struct rb_sched *sched = one(60 * S);
    int64_t first = rb_sched_due(sched, 0);
    rb_sched_resume(sched, 0, T0 - 100 * S, T0);
    ck_assert_int_eq(rb_sched_due(sched, 0), first);
    rb_sched_resume(sched, 0, T0 - 20 * S, T0);
    ck_assert_int_eq(rb_sched_due(sched, 0), T0 + 40 * S);
    size_t id;
    int64_t late;
    ck_assert(rb_sched_pop(sched, T0 + 40 * S, &id, &late));
    rb_sched_done(sched, 0, T0 + 41 * S);
    ck_assert_int_eq(rb_sched_due(sched, 0), T0 + 100 * S);
    rb_sched_free(sched);
}
END_TEST

/* Random operations against the obvious answer: the earliest due entry of all. */
START_TEST(heap_agrees_with_a_linear_search)
{
    enum { N = 200 };
    static struct rb_sched_entry entries[N];
    static char names[N][8];
    srand(7);
    for (int i = 0; i < N; i++) {
        snprintf(names[i], sizeof names[i], "n%d", i);
        entries[i] = (struct rb_sched_entry){.name = names[i], .every_ns = (1 + rand() % 100) * S};
    }
    struct rb_sched *sched = rb_sched_new(entries, N, &free_class, 1, T0);
    int64_t now = T0;
    for (int step = 0; step < 5000; step++) {
        int64_t earliest = INT64_MAX;
        for (size_t i = 0; i < N; i++)
            earliest = rb_sched_due(sched, i) < earliest ? rb_sched_due(sched, i) : earliest;
        now = earliest > now ? earliest : now;
        size_t id;
        int64_t late;
        ck_assert(rb_sched_pop(sched, now, &id, &late));
        ck_assert_int_eq(now - late, earliest);
        now += rand() % (int)(100 * MS);
        rb_sched_done(sched, id, now);
        ck_assert_int_gt(rb_sched_due(sched, id), now);
        if (step % 7 == 0)
            ck_assert(rb_sched_bring_forward(sched, (size_t)(rand() % N), now - 1));
        while (step % 7 == 0 && rb_sched_pop(sched, now, &id, &late))
            rb_sched_done(sched, id, now);
    }
    rb_sched_free(sched);
}
END_TEST

START_TEST(empty_plan_waits_for_ever)
{
    struct rb_sched *sched = rb_sched_new(NULL, 0, &free_class, 1, T0);
    size_t id;
    int64_t late;
    ck_assert_int_eq(rb_sched_next(sched, T0), INT64_MAX);
    ck_assert(!rb_sched_pop(sched, T0, &id, &late));
    rb_sched_free(sched);
    rb_sched_free(NULL);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("sched");
    tcase_add_test(tcase, first_run_is_due_within_the_window);
    tcase_add_test(tcase, dependencies_come_first);
    tcase_add_test(tcase, pop_runs_once_and_never_overlaps);
    tcase_add_test(tcase, beat_too_close_to_the_catch_up_run_is_left_out);
    tcase_add_test(tcase, spacing_and_limit_hold_a_class_but_not_its_neighbour);
    tcase_add_test(tcase, collected_entries_start_together_on_the_beat);
    tcase_add_test(tcase, bring_forward_passes_spacing_and_wakes_manual);
    tcase_add_test(tcase, an_inserted_run_takes_no_beat_away);
    tcase_add_test(tcase, an_inserted_run_keeps_the_spacing);
    tcase_add_test(tcase, resume_keeps_the_beat_and_spreads_the_overdue);
    tcase_add_test(tcase, heap_agrees_with_a_linear_search);
    tcase_add_test(tcase, empty_plan_waits_for_ever);
    Suite *suite = suite_create("sched");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
