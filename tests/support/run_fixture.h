/* Runs without a runner: what the tests of the engines need to start one and to see how it ended. Header-only; one run at a time per
 * fixture. */
#ifndef TESTS_SUPPORT_RUN_FIXTURE_H
#define TESTS_SUPPORT_RUN_FIXTURE_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"

struct run_fixture {
    struct rb_check_spec spec;
    struct rb_run run;
    bool finished;
    enum rb_result result;
    char reason[64], message[4096];
    double after_s; /* from start to end */
};

static inline void run_fixture_done(struct rb_run *run, void *arg)
{
    struct run_fixture *fixture = arg;
    ck_assert(!fixture->finished); /* exactly once */
    fixture->finished = true;
    fixture->result = run->outcome.result;
    strncpy(fixture->reason, run->outcome.reason, sizeof fixture->reason - 1);
    strncpy(fixture->message, run->outcome.message, sizeof fixture->message - 1);
    fixture->after_s = (double)(rb_elapsed_ns(run->ctx.clock) - run->started_ns) / (double)RB_NS_PER_S;
}

/* `options` are the kind's struct; memory may be NULL. */
static inline void run_fixture_init(struct run_fixture *fixture, const struct rb_kind *kind, const void *options, const char *root,
                                    int64_t timeout_ms)
{
    const struct rb_platform *platform = rb_platform_host();
    memset(fixture, 0, sizeof *fixture);
    fixture->spec = (struct rb_check_spec){
        .name = "test", .kind = &kind->schema, .timeout_ms = timeout_ms, .every_ms = 60000, .options = options};
    struct rb_run *run = &fixture->run;
    run->spec = &fixture->spec;
    run->kind = kind;
    run->arena = rb_arena_new((size_t)16 * 1024 * 1024);
    run->started_ns = rb_elapsed_ns(platform->clock);
    run->deadline_ns = run->started_ns + timeout_ms * RB_NS_PER_MS;
    run->done = run_fixture_done;
    run->done_arg = fixture;
    rb_outcome_init(&run->outcome, run->arena);
    run->ctx = (struct rb_check_ctx){.spec = &fixture->spec,
                                     .options = options,
                                     .root = root,
                                     .platform = platform,
                                     .clock = platform->clock,
                                     .deadline_ns = run->deadline_ns,
                                     .cancelled = &run->cancelled,
                                     .arena = run->arena};
    if (kind->memory_size)
        run->ctx.memory = rb_arena_alloc(run->arena, kind->memory_size);
}

static inline void run_fixture_fini(struct run_fixture *fixture)
{
    rb_arena_free(fixture->run.arena);
    fixture->run.arena = NULL;
}

/* Turns the loop until the flag is set or `seconds` have passed; true when it is set. */
static inline void run_fixture_stop_loop(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    *(bool *)timer->data = true;
    ev_break(loop, EVBREAK_ALL);
}
static inline bool run_fixture_wait(struct ev_loop *loop, const bool *flag, double seconds)
{
    bool over = false;
    ev_timer timer;
    ev_timer_init(&timer, run_fixture_stop_loop, seconds, 0.);
    timer.data = &over;
    ev_now_update(loop);
    ev_timer_start(loop, &timer);
    while (!*flag && !over)
        ev_run(loop, EVRUN_ONCE);
    ev_timer_stop(loop, &timer);
    return *flag;
}

#endif
