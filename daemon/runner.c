/* Dispatch: schedule → run → engine → outcome.
 *
 * Every run is one heap object with one arena; the engine that has it is its only user until rb_run_finish. The timer below is armed for exactly the
 * scheduler's next due time, so that an idle daemon sleeps. Spacing per class keeps a thundering start from starving the loop. */
#include "runner.h"

#include <stdlib.h>
#include <string.h>

#include "runbook/check/notes.h"
#include "runbook/check/sched.h"

/* An outcome is text of a bounded number of lines; bodies that a kind parses live here too. */
#define RUN_ARENA_MAX (48u << 20)
#define LATE_WINDOW_S 60

struct rb_runner {
    struct ev_loop *loop;
    const struct rb_platform *platform;
    const struct rb_clock *clock;
    struct rb_runner_ops ops;
    const char *state_dir; /* borrowed */
    struct rb_plan *plan;
    struct rb_sched *sched;
    bool automatic;
    struct rb_workers *workers;
    struct rb_children *children;
    struct rb_exchanges *exchanges;
    struct rb_scans *scans;
    struct rb_streams *streams;
    struct rb_notes notes; /* what runs are given */
    struct rb_run *active; /* doubly linked */
    size_t active_count;
    ev_timer due;
    bool closing;
    double late_max_s, late_previous_max_s;
    int64_t late_window_start_ns;
};

/* Row i is execution class i. Children fork and workers share a few threads: those are spaced. Probes are collected instead: each is some 60 microseconds of work,
 * and waking up for every single one would cost half as much again; a burst is bounded per turn of the loop (due_cb) and by max_running. */
static const struct rb_sched_class sched_classes[RB_EXEC_COUNT] = {
    [RB_EXEC_WORKER] = {.spacing_ns = RB_NS_PER_MS, .max_running = 0},
    [RB_EXEC_EXCHANGE] = {.spacing_ns = 0, .max_running = 1024, .collect_ns = 20 * RB_NS_PER_MS},
    [RB_EXEC_CHILD] = {.spacing_ns = 4 * RB_NS_PER_MS, .max_running = 64},
    [RB_EXEC_SCAN] = {.spacing_ns = 0, .max_running = 0},
    [RB_EXEC_PASSIVE] = {.spacing_ns = 0, .max_running = 0},
    [RB_EXEC_STREAM] = {.spacing_ns = 0, .max_running = 0},
};

static void arm(struct rb_runner *runner);

static void note_late(struct rb_runner *runner, int64_t now_ns, int64_t late_ns)
{
    if (now_ns - runner->late_window_start_ns > LATE_WINDOW_S * RB_NS_PER_S) {
        runner->late_window_start_ns = now_ns;
        runner->late_previous_max_s = runner->late_max_s;
        runner->late_max_s = 0;
    }
    double late_s = (double)late_ns / (double)RB_NS_PER_S;
    if (late_s > runner->late_max_s)
        runner->late_max_s = late_s;
}

static void unlink_run(struct rb_runner *runner, struct rb_run *run)
{
    if (run->prev != NULL)
        run->prev->next = run->next;
    else
        runner->active = run->next;
    if (run->next != NULL)
        run->next->prev = run->prev;
    runner->active_count--;
}

static void run_free(struct rb_run *run)
{
    rb_plan_unref(run->plan);
    rb_arena_free(run->arena);
    free(run);
}

/* Where a check of any plan stands in the current one: the same name with the same meaning, else nowhere. */
static size_t index_of(const struct rb_runner *runner, const struct rb_check_spec *spec)
{
    size_t index = rb_plan_find(runner->plan, spec->name);
    if (index == SIZE_MAX || strcmp(runner->plan->checks[index].identity, spec->identity) != 0)
        return SIZE_MAX;
    return index;
}

static size_t current_index(const struct rb_runner *runner, const struct rb_run *run)
{
    return run->plan == runner->plan ? run->index : index_of(runner, run->spec);
}

static void on_note(void *arg, const struct rb_check_spec *spec, const struct rb_note *note)
{
    struct rb_runner *runner = arg;
    if (runner->ops.note != NULL)
        runner->ops.note(runner->ops.ctx, spec, note);
}

static bool on_changed(void *arg, const struct rb_check_spec *spec)
{
    struct rb_runner *runner = arg;
    size_t index = index_of(runner, spec);
    if (index == SIZE_MAX)
        return true;
    if (rb_runner_is_running(runner, index))
        return false;
    rb_runner_bring_forward(runner, index);
    return true;
}

static void tell_due(struct rb_runner *runner, size_t index)
{
    runner->ops.due(runner->ops.ctx, index, rb_sched_due(runner->sched, index));
}

static void start_rest(struct rb_runner *runner, struct rb_run *run);

static void run_done(struct rb_run *run, void *arg)
{
    struct rb_runner *runner = arg;
    if (!runner->closing && run->rest_next) {
        start_rest(runner, run);
        return;
    }
    unlink_run(runner, run);
    size_t index = runner->closing ? SIZE_MAX : current_index(runner, run);
    if (index != SIZE_MAX) {
        if (rb_arena_failed(run->arena))
            rb_outcome_set(&run->outcome, RB_RESULT_UNKNOWN, "resource_limit", "the check produced more than its memory limit allows");
        void *kept = run->kind->memory_size > 0 ? runner->ops.memory(runner->ops.ctx, index) : NULL;
        if (kept != NULL && run->ctx.memory != NULL)
            memcpy(kept, run->ctx.memory, run->kind->memory_size);
        if (runner->automatic && run->kind->exec == RB_EXEC_EXCHANGE && run->kind->stream != NULL && run->ctx.memory != NULL)
            rb_streams_follow(runner->streams, run);
        if (run->plan == runner->plan)
            rb_sched_done(runner->sched, index, rb_elapsed_ns(runner->clock));
        tell_due(runner, index);
        runner->ops.completed(runner->ops.ctx, index, run);
    }
    run_free(run);
    if (!runner->closing)
        arm(runner);
}

/* What follows the worker part of an EXCHANGE or CHILD kind, or all of a run without one. */
static void start_rest(struct rb_runner *runner, struct rb_run *run)
{
    run->rest_next = false;
    if (run->outcome.final)
        rb_run_finish(run);
    else if (run->kind->exec == RB_EXEC_CHILD)
        rb_children_start(runner->children, run);
    else
        rb_exchanges_start(runner->exchanges, run);
}

static void hand_to_engine(struct rb_runner *runner, struct rb_run *run)
{
    if (run->spec->untrusted) {
        rb_outcome_set(&run->outcome, RB_RESULT_UNKNOWN, "untrusted",
                       "starts a program, but the configuration is not trusted yet; read it, then: runbookd trust");
        rb_run_finish(run);
        return;
    }
    switch (run->kind->exec) {
    case RB_EXEC_WORKER:
        rb_workers_start(runner->workers, run);
        break;
    case RB_EXEC_EXCHANGE:
    case RB_EXEC_CHILD:
        run->rest_next = rb_kind_looks(run->kind, run->spec->options);
        if (run->rest_next)
            rb_workers_start(runner->workers, run);
        else
            start_rest(runner, run);
        break;
    case RB_EXEC_SCAN:
        rb_scans_start(runner->scans, run);
        break;
    case RB_EXEC_PASSIVE:
    case RB_EXEC_STREAM:
        rb_streams_start(runner->streams, run);
        break;
    case RB_EXEC_COUNT:
        break;
    }
}

static struct rb_run *run_new(struct rb_runner *runner, size_t index)
{
    struct rb_run *run = calloc(1, sizeof *run);
    struct rb_arena *arena = rb_arena_new_wiped(RUN_ARENA_MAX);
    if (run == NULL || arena == NULL) {
        free(run);
        rb_arena_free(arena);
        return NULL;
    }
    run->plan = rb_plan_ref(runner->plan);
    run->index = index;
    run->spec = &runner->plan->checks[index];
    run->kind = rb_kind_of(run->spec->kind);
    run->arena = arena;
    run->started_ns = rb_elapsed_ns(runner->clock);
    run->deadline_ns = run->started_ns + run->spec->timeout_ms * RB_NS_PER_MS;
    run->done = run_done;
    run->done_arg = runner;
    rb_outcome_init(&run->outcome, arena);
    run->ctx = (struct rb_check_ctx){.spec = run->spec,
                                     .options = run->spec->options,
                                     .root = run->plan->daemon.root,
                                     .state_dir = runner->state_dir,
                                     .platform = runner->platform,
                                     .clock = runner->clock,
                                     .deadline_ns = run->deadline_ns,
                                     .cancelled = &run->cancelled,
                                     .by_hand = !runner->automatic,
                                     .arena = arena,
                                     .notes = &runner->notes};
    if (run->kind->memory_size > 0) {
        run->ctx.memory = rb_arena_alloc(arena, run->kind->memory_size);
        const void *kept = runner->ops.memory(runner->ops.ctx, index);
        if (kept != NULL && run->ctx.memory != NULL)
            memcpy(run->ctx.memory, kept, run->kind->memory_size);
    }
    if (rb_kind_looks(run->kind, run->spec->options)) {
        bool child = run->kind->exec == RB_EXEC_CHILD;
        run->ctx.state = rb_arena_alloc(arena, (child ? run->kind->child->state_size : run->kind->exchange->state_size) + 1);
    }
    return run;
}

/* A run of the old plan with the same name still goes on: its outcome will count, a second one must not overlap. */
static bool old_run_active(const struct rb_runner *runner, const char *name)
{
    for (const struct rb_run *run = runner->active; run != NULL; run = run->next)
        if (run->plan != runner->plan && strcmp(run->spec->name, name) == 0)
            return true;
    return false;
}

static void dispatch(struct rb_runner *runner, size_t index, int64_t now_ns, int64_t late_ns)
{
    const struct rb_check_spec *spec = &runner->plan->checks[index];
    struct rb_run *run = old_run_active(runner, spec->name) ? NULL : run_new(runner, index);
    if (run == NULL) { /* overlaps, or no memory: its next turn comes, and staleness tells if it never does */
        rb_sched_done(runner->sched, index, now_ns);
        tell_due(runner, index);
        return;
    }
    run->late_ns = late_ns;
    run->urgent = rb_sched_urgent(runner->sched, index);
    note_late(runner, now_ns, late_ns);
    run->next = runner->active;
    if (runner->active != NULL)
        runner->active->prev = run;
    runner->active = run;
    runner->active_count++;
    runner->ops.started(runner->ops.ctx, index);
    hand_to_engine(runner, run);
}

static void arm(struct rb_runner *runner)
{
    ev_timer_stop(runner->loop, &runner->due);
    int64_t now_ns = rb_elapsed_ns(runner->clock);
    int64_t next_ns = rb_sched_next(runner->sched, now_ns);
    if (next_ns == INT64_MAX)
        return;
    double wait_s = next_ns <= now_ns ? 0. : (double)(next_ns - now_ns) / (double)RB_NS_PER_S;
    ev_timer_set(&runner->due, wait_s, 0.);
    ev_now_update(runner->loop);
    ev_timer_start(runner->loop, &runner->due);
}

static void due_cb(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)revents;
    struct rb_runner *runner = timer->data;
    /* Spaced classes start one per turn; the bound keeps the loop fair to sockets when a class is not spaced. */
    for (int started = 0; started < 32; started++) {
        int64_t now_ns = rb_elapsed_ns(runner->clock);
        size_t index;
        int64_t late_ns;
        if (!rb_sched_pop(runner->sched, now_ns, &index, &late_ns))
            break;
        dispatch(runner, index, now_ns, late_ns);
    }
    arm(runner);
}

int rb_runner_new(struct ev_loop *loop, const struct rb_platform *platform, size_t worker_threads, const struct rb_runner_ops *ops,
                  struct rb_runner **out, struct rb_error *err)
{
    struct rb_runner *runner = calloc(1, sizeof *runner);
    if (runner == NULL)
        return rb_error_set(err, RB_ENOMEM, "no memory for the runner");
    runner->loop = loop;
    runner->platform = platform;
    runner->clock = platform->clock;
    runner->ops = *ops;
    runner->state_dir = "";
    runner->late_window_start_ns = rb_elapsed_ns(runner->clock);
    ev_timer_init(&runner->due, due_cb, 0., 0.);
    runner->due.data = runner;
    if ((runner->workers = rb_workers_new(loop, runner->clock, worker_threads, err)) == NULL ||
        (runner->children = rb_children_new(loop, platform, err)) == NULL ||
        (runner->exchanges = rb_exchanges_new(loop, runner->clock, err)) == NULL ||
        (runner->scans = rb_scans_new(loop, runner->children, platform, err)) == NULL ||
        (runner->streams = rb_streams_new(loop, runner->clock, err)) == NULL) {
        rb_runner_free(runner);
        return err != NULL && err->code != 0 ? err->code : RB_ENOMEM;
    }
    rb_exchanges_use_children(runner->exchanges, runner->children);
    rb_streams_set_sink(runner->streams, &(struct rb_stream_sink){.note = on_note, .changed = on_changed, .arg = runner});
    runner->notes = (struct rb_notes){.add = on_note, .ctx = runner};
    *out = runner;
    return 0;
}

static struct rb_sched *build_schedule(const struct rb_plan *plan, bool automatic, int64_t now_ns)
{
    struct rb_sched_entry *entries = calloc(plan->count + 1, sizeof *entries);
    if (entries == NULL)
        return NULL;
    for (size_t i = 0; i < plan->count; i++) {
        const struct rb_check_spec *spec = &plan->checks[i];
        entries[i] = (struct rb_sched_entry){.name = spec->name,
                                             .every_ns = automatic && !spec->manual ? spec->every_ms * RB_NS_PER_MS : 0,
                                             .class_id = (unsigned)rb_kind_of(spec->kind)->exec,
                                             .depends_on = spec->depends_on,
                                             .depends_on_count = spec->depends_on_count};
    }
    struct rb_sched *sched = rb_sched_new(entries, plan->count, sched_classes, RB_EXEC_COUNT, now_ns);
    free(entries);
    return sched;
}

int rb_runner_set_plan(struct rb_runner *runner, struct rb_plan *plan, bool automatic, struct rb_error *err)
{
    int64_t now_ns = rb_elapsed_ns(runner->clock);
    struct rb_sched *sched = build_schedule(plan, automatic, now_ns);
    if (sched == NULL)
        return rb_error_set(err, RB_ENOMEM, "no memory for the schedule of %zu checks", plan->count);
    rb_sched_free(runner->sched);
    rb_plan_unref(runner->plan);
    runner->sched = sched;
    runner->plan = rb_plan_ref(plan);
    runner->automatic = automatic;
    rb_streams_keep(runner->streams, plan);
    for (size_t i = 0; i < plan->count; i++) {
        int64_t last_ns = runner->ops.last_start(runner->ops.ctx, i);
        if (automatic && last_ns != INT64_MIN && !plan->checks[i].manual)
            rb_sched_resume(sched, i, last_ns, now_ns);
        tell_due(runner, i);
    }
    arm(runner);
    return 0;
}

void rb_runner_set_state_dir(struct rb_runner *runner, const char *dir)
{
    runner->state_dir = dir;
}

void rb_runner_bring_forward(struct rb_runner *runner, size_t index)
{
    if (rb_sched_bring_forward(runner->sched, index, rb_elapsed_ns(runner->clock)))
        arm(runner);
}

bool rb_runner_insert(struct rb_runner *runner, size_t index)
{
    bool inserted = rb_sched_insert(runner->sched, index, rb_elapsed_ns(runner->clock));
    if (inserted)
        arm(runner);
    return inserted;
}

void rb_runner_wake(struct rb_runner *runner)
{
    arm(runner);
}

bool rb_runner_is_running(const struct rb_runner *runner, size_t index)
{
    return rb_sched_running(runner->sched, index);
}

struct rb_runner_stats rb_runner_stats(const struct rb_runner *runner)
{
    return (struct rb_runner_stats){.workers = rb_workers_stats(runner->workers),
                                    .exchanges = rb_exchanges_stats(runner->exchanges),
                                    .scans = rb_scans_stats(runner->scans),
                                    .children = rb_children_running(runner->children),
                                    .active = runner->active_count,
                                    .start_late_max_s = runner->late_max_s > runner->late_previous_max_s ? runner->late_max_s
                                                                                                         : runner->late_previous_max_s};
}

int rb_runner_task(struct rb_runner *runner, void (*work)(void *arg), void (*done)(void *arg), void *arg, struct rb_error *err)
{
    return rb_workers_task(runner->workers, work, done, arg, err);
}

void rb_runner_free(struct rb_runner *runner)
{
    if (runner == NULL)
        return;
    runner->closing = true;
    ev_timer_stop(runner->loop, &runner->due);
    for (struct rb_run *run = runner->active; run != NULL; run = run->next)
        atomic_store(&run->cancelled, true);
    rb_streams_free(runner->streams);
    rb_scans_free(runner->scans);
    rb_exchanges_free(runner->exchanges);
    rb_children_free(runner->children);
    rb_workers_free(runner->workers);
    rb_sched_free(runner->sched);
    rb_plan_unref(runner->plan);
    free(runner);
}
