/* The runner: takes what the scheduler says is due, gives it to the engine of its execution class, and reports each outcome once.
 *
 * Owns the engines, the schedule and every active run. A run keeps its plan alive; when the plan was swapped meanwhile its outcome is given to the check of the same name and identity,
 * or dropped. The kind's memory is copied into the run and back, so that no thread ever shares it. Loop thread only. */
#ifndef RUNBOOKD_RUNNER_H
#define RUNBOOKD_RUNNER_H

#include "run.h"

struct rb_runner;

struct rb_runner_ops {
    void (*started)(void *ctx, size_t index);
    /* `run` is borrowed; its index is of the current plan. */
    void (*completed)(void *ctx, size_t index, const struct rb_run *run);
    void *(*memory)(void *ctx, size_t index);             /* the check's kept memory, or NULL */
    int64_t (*last_start)(void *ctx, size_t index);       /* elapsed ns of its last start, INT64_MIN: never */
    void (*due)(void *ctx, size_t index, int64_t due_ns); /* its next due time is known; INT64_MAX: none */
    void (*note)(void *ctx, const struct rb_check_spec *spec,
                 const struct rb_note *note); /* something happened (check/notes.h); may be NULL */
    void *ctx;
};

struct rb_runner_stats {
    struct rb_worker_stats workers;
    struct rb_exchange_stats exchanges;
    struct rb_scan_stats scans;
    size_t children, active;
    double start_late_max_s; /* of the last 60 s */
};

int rb_runner_new(struct ev_loop *loop, const struct rb_platform *platform, size_t worker_threads, const struct rb_runner_ops *ops,
                  struct rb_runner **out, struct rb_error *err) RB_MUST_CHECK;
/* This root's folder of state, which kinds may read; borrowed until the runner is freed. "" (the default): none. */
void rb_runner_set_state_dir(struct rb_runner *runner, const char *dir);
/* Takes a reference to `plan` and builds its schedule; `automatic` false: nothing runs unless brought forward (the CLI's single round). */
int rb_runner_set_plan(struct rb_runner *runner, struct rb_plan *plan, bool automatic, struct rb_error *err) RB_MUST_CHECK;
/* Runs a check now unless it is running already: then that run counts. */
void rb_runner_bring_forward(struct rb_runner *runner, size_t index);
/* Runs a check once more between two of its regular runs, soon and without haste; false when it is running already. */
bool rb_runner_insert(struct rb_runner *runner, size_t index);
/* The clock jumped (the host slept): looks again at what is due. */
void rb_runner_wake(struct rb_runner *runner);
bool rb_runner_is_running(const struct rb_runner *runner, size_t index);
struct rb_runner_stats rb_runner_stats(const struct rb_runner *runner);
/* A task of the daemon itself, off the loop (run.h). */
int rb_runner_task(struct rb_runner *runner, void (*work)(void *arg), void (*done)(void *arg), void *arg,
                   struct rb_error *err) RB_MUST_CHECK;
void rb_runner_free(struct rb_runner *runner); /* ends every run as cancelled; reports none of them */

#endif
