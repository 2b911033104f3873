/* What every engine does with a run: hand it back, look how long it may still take.
 *
 * An outcome whose arena is exhausted is incomplete in a way nobody can see; here, at the one place all runs pass, it becomes `unknown:
 * resource_limit`. */
#include "../run.h"

#include <assert.h>

void rb_run_finish(struct rb_run *run)
{
    assert(run->done);
    if (rb_arena_failed(run->arena)) {
        rb_outcome_init(&run->outcome, run->arena);
        run->outcome.result = RB_RESULT_UNKNOWN;
        run->outcome.reason = "resource_limit";
        run->outcome.message = "the run needed more memory than one run may use; narrow what the check looks at";
    }
    run->done(run, run->done_arg);
}

double rb_run_remaining_s(const struct rb_run *run)
{
    int64_t left_ns = run->deadline_ns - rb_elapsed_ns(run->ctx.clock);
    return left_ns > 0 ? (double)left_ns / (double)RB_NS_PER_S : 0.0;
}
