/* The one source of time. Declared here, filled by platform/, faked in tests.
 *
 * Two readings, never mixed: `elapsed` counts on through suspend and never steps (durations, deadlines, ages);
 * `wall` is UTC since 1970 and may step (what people and files see). */
#ifndef RUNBOOK_BASE_CLOCK_H
#define RUNBOOK_BASE_CLOCK_H

#include <stdint.h>

#define RB_NS_PER_S  INT64_C(1000000000)
#define RB_NS_PER_MS INT64_C(1000000)

struct rb_clock {
    int64_t (*elapsed_ns)(void *ctx); /* includes time asleep (CLOCK_BOOTTIME) */
    int64_t (*awake_ns)(void *ctx);   /* does not (CLOCK_MONOTONIC): the difference reveals a sleep */
    int64_t (*wall_ns)(void *ctx);    /* UTC */
    void *ctx;
};

static inline int64_t rb_elapsed_ns(const struct rb_clock *clock)
{
    return clock->elapsed_ns(clock->ctx);
}
static inline int64_t rb_awake_ns(const struct rb_clock *clock)
{
    return clock->awake_ns(clock->ctx);
}
static inline int64_t rb_wall_ns(const struct rb_clock *clock)
{
    return clock->wall_ns(clock->ctx);
}

/* A clock that moves only when told: for tests and simulation. Not thread-safe. */
struct rb_fake_clock {
    struct rb_clock clock;
    int64_t elapsed_ns;
    int64_t awake_ns;
    int64_t wall_ns;
};
void rb_fake_clock_init(struct rb_fake_clock *fake, int64_t wall_ns);
void rb_fake_clock_advance(struct rb_fake_clock *fake, int64_t ns); /* time passes while awake */
void rb_fake_clock_sleep(struct rb_fake_clock *fake, int64_t ns);   /* the host sleeps: awake stands still */
void rb_fake_clock_step(struct rb_fake_clock *fake, int64_t ns);    /* only the wall clock jumps; may be negative */

#endif
