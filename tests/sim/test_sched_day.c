/* A simulated day of 500 checks: 24 hours with a sleep of seven in between, in milliseconds of real time.
 *
 * The driver does what the runner does: asks when, pops, ends runs later. It counts what may never happen: overlap, a start before its
 * class may, a catch-up that
 * is more than one run. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "runbook/base/clock.h"
#include "runbook/check/sched.h"

#define S     RB_NS_PER_S
#define MS    RB_NS_PER_MS
#define T0    (5000 * S)
#define HUNG  10 /* of class 1 never end within their interval */
#define SLEEP (7 * 3600 * S)

enum { N = 500, CLASSES = 2 };

static const struct rb_sched_class classes[CLASSES] = {{.spacing_ns = 2 * MS, .max_running = 64},
                                                       {.spacing_ns = 5 * MS, .max_running = 64}};

struct world {
    struct rb_sched *sched;
    int64_t now, last_start[CLASSES], end[N], every[N];
    unsigned class_of[N], runs[N];
    uint64_t total, late_over_250;
    int64_t late_max;
};

static void build(struct world *world)
{
    static struct rb_sched_entry entries[N];
    static char names[N][12];
    for (int i = 0; i < N; i++) {
        snprintf(names[i], sizeof names[i], "check-%03d", i);
        world->every[i] = i % 10 == 0 ? 15 * S : i % 10 == 1 ? 3600 * S : 60 * S;
        world->class_of[i] = i % 4 == 0;
        entries[i] = (struct rb_sched_entry){.name = names[i], .every_ns = world->every[i], .class_id = world->class_of[i]};
        world->end[i] = INT64_MAX;
    }
    world->now = T0;
    world->last_start[0] = world->last_start[1] = 0;
    world->sched = rb_sched_new(entries, N, classes, CLASSES, T0);
    ck_assert_ptr_nonnull(world->sched);
}

static int64_t duration(int i, unsigned run)
{
    bool hung = i % 4 == 0 && i / 4 < HUNG;
    return hung ? 90 * S : (1 + (i * 7 + (int)run * 13) % 40) * MS;
}

static void start_due(struct world *world, bool count_late)
{
    size_t id;
    int64_t late;
    while (rb_sched_pop(world->sched, world->now, &id, &late)) {
        ck_assert_int_eq(world->end[id], INT64_MAX); /* never overlapping */
        unsigned class = world->class_of[id];
        ck_assert_int_ge(world->now - world->last_start[class], classes[class].spacing_ns);
        world->last_start[class] = world->now;
        world->end[id] = world->now + duration((int)id, world->runs[id]++);
        world->total++;
        world->late_over_250 += count_late && late > 250 * MS;
        world->late_max = count_late && late > world->late_max ? late : world->late_max;
    }
}

static int64_t end_due(struct world *world)
{
    int64_t next_end = INT64_MAX;
    for (int i = 0; i < N; i++) {
        if (world->end[i] <= world->now) {
            world->end[i] = INT64_MAX;
            rb_sched_done(world->sched, (size_t)i, world->now);
        }
        next_end = world->end[i] < next_end ? world->end[i] : next_end;
    }
    return next_end;
}

static void run_until(struct world *world, int64_t until, bool count_late)
{
    while (world->now < until) {
        start_due(world, count_late);
        int64_t next_end = end_due(world);
        int64_t next = rb_sched_next(world->sched, world->now);
        if (next == 0)
            continue;
        next = next_end < next ? next_end : next;
        world->now = next < until ? next : until;
    }
}

START_TEST(day_with_a_sleep)
{
    struct world world = {0};
    build(&world);
    run_until(&world, T0 + 30 * S, true);
    for (int i = 0; i < N; i++)
        ck_assert_uint_ge(world.runs[i], 1); /* none pending after half a minute */
    run_until(&world, T0 + 8 * 3600 * S, true);
    for (int i = 0; i < N; i++) {
        bool hung = i % 4 == 0 && i / 4 < HUNG;
        int64_t expected = 8 * 3600 * S / world.every[i];
        if (!hung)
            ck_assert_msg(llabs((int64_t)world.runs[i] - expected) <= 1, "check %d ran %u times, expected %ld", i, world.runs[i],
                          (long)expected);
    }
    ck_assert_uint_le(world.late_over_250, world.total / 100);

    world.now += SLEEP;
    unsigned before[N];
    end_due(&world);
    for (int i = 0; i < N; i++)
        before[i] = world.runs[i];
    /* Half of the shortest interval later everybody has caught up, each with one run. */
    run_until(&world, world.now + 7 * S, false);
    for (int i = 0; i < N; i++)
        ck_assert_msg(world.runs[i] == before[i] + 1, "check %d caught up with %u runs", i, world.runs[i] - before[i]);

    /* And then the old beat goes on. */
    for (int i = 0; i < N; i++)
        before[i] = world.runs[i];
    int64_t rest = 9 * 3600 * S;
    run_until(&world, world.now + rest, true);
    for (int i = 0; i < N; i++) {
        if (!(i % 4 == 0 && i / 4 < HUNG))
            ck_assert_int_le(llabs((int64_t)(world.runs[i] - before[i]) - rest / world.every[i]), 1);
    }
    ck_assert_uint_le(world.late_over_250, world.total / 100);
    rb_sched_free(world.sched);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("sched_day");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, day_with_a_sleep);
    Suite *suite = suite_create("sched_day");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
