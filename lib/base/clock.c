/* The fake clock of tests and simulation: three counters that move only when told. The real clock is in platform/posix.c. */
#include "runbook/base/clock.h"

static int64_t fake_elapsed(void *ctx)
{
    const struct rb_fake_clock *fake = ctx;
    return fake->elapsed_ns;
}

static int64_t fake_awake(void *ctx)
{
    const struct rb_fake_clock *fake = ctx;
    return fake->awake_ns;
}

static int64_t fake_wall(void *ctx)
{
    const struct rb_fake_clock *fake = ctx;
    return fake->wall_ns;
}

void rb_fake_clock_init(struct rb_fake_clock *fake, int64_t wall_ns)
{
    /* Not zero: a zero time means "never" in records, and a host has always been up for a while. */
    *fake = (struct rb_fake_clock){
        .clock = {.elapsed_ns = fake_elapsed, .awake_ns = fake_awake, .wall_ns = fake_wall, .ctx = fake},
        .elapsed_ns = 1000 * RB_NS_PER_S,
        .awake_ns = 1000 * RB_NS_PER_S,
        .wall_ns = wall_ns,
    };
}

void rb_fake_clock_advance(struct rb_fake_clock *fake, int64_t ns)
{
    fake->elapsed_ns += ns;
    fake->awake_ns += ns;
    fake->wall_ns += ns;
}

void rb_fake_clock_sleep(struct rb_fake_clock *fake, int64_t ns)
{
    fake->elapsed_ns += ns;
    fake->wall_ns += ns;
}

void rb_fake_clock_step(struct rb_fake_clock *fake, int64_t ns)
{
    fake->wall_ns += ns;
}
