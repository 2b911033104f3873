/* A run: one execution of one check, from dispatch to outcome. Owned by the runner, lent to exactly one engine.
 *
 * Life: rb_runner dispatches → engine's start() → engine fills run->outcome → rb_run_finish(run) exactly once, on the loop thread → runner hands
 * the outcome to the app and frees the run. An engine may finish inside start(). The plan reference keeps options alive across a reload. */
#ifndef RUNBOOKD_RUN_H
#define RUNBOOKD_RUN_H

#include <ev.h>

#include "runbook/check/kind.h"

struct rb_run {
    struct rb_plan *plan; /* a reference */
    size_t index;         /* of the check in that plan */
    const struct rb_check_spec *spec;
    const struct rb_kind *kind;
    struct rb_check_ctx ctx; /* ctx.arena == arena */
    struct rb_arena *arena;
    struct rb_outcome outcome;
    atomic_bool cancelled;       /* set by the runner; engines with threads look at it */
    int64_t started_ns, late_ns; /* elapsed clock; how late the start was against its due time */
    int64_t deadline_ns;
    void (*done)(struct rb_run *run, void *arg);
    void *done_arg;
    void *engine_data;          /* the engine's own */
    bool urgent;                /* somebody waits for it: it was brought forward */
    bool rest_next;             /* the runner's: the worker part runs, the exchange or the program follows */
    struct rb_run *next, *prev; /* the runner's list of active runs */
};

/* Hands the run back. Loop thread, exactly once. */
void rb_run_finish(struct rb_run *run);
/* Seconds until the run's deadline, at least 0. */
double rb_run_remaining_s(const struct rb_run *run);

/* Engines. Each: new(loop …) → start(run) any number of times → free() finishes every run it still has as `unknown: cancelled` without waiting. Loop thread only. */
struct rb_workers;
struct rb_worker_stats {
    size_t threads, busy, abandoned, queued;
    uint64_t completed;
};
struct rb_workers *rb_workers_new(struct ev_loop *loop, const struct rb_clock *clock, size_t threads, struct rb_error *err);
void rb_workers_start(struct rb_workers *workers, struct rb_run *run);
/* A short task of the daemon itself (journal flush, checkpoint) on a thread of its own class, never behind a check and in the order of the calls: `work` on the thread,
 * `done` (may be NULL) on the loop. rb_workers_free carries out what is queued and calls `done` for it: it waits for these, and only these. RB_EBUSY once that has begun. */
int rb_workers_task(struct rb_workers *workers, void (*work)(void *arg), void (*done)(void *arg), void *arg,
                    struct rb_error *err) RB_MUST_CHECK;
struct rb_worker_stats rb_workers_stats(const struct rb_workers *workers);
void rb_workers_free(struct rb_workers *workers);

struct rb_children;
/* `loop` must be libev's default loop, the only one that reaps. Sets SIGPIPE to be ignored: a helper that dies while its input is written is an error code. */
struct rb_children *rb_children_new(struct ev_loop *loop, const struct rb_platform *platform, struct rb_error *err);
void rb_children_start(struct rb_children *children, struct rb_run *run);
size_t rb_children_running(const struct rb_children *children);
/* A program within a run of another class (exchange kinds): `spec` as command() of a child kind would fill it; what it points to lives as long as the run. `done` is called exactly
 * once, possibly before this returns, unless the process is forgotten: its result (NULL: given up because the daemon stops) is borrowed for the call. Returns the process, or NULL
 * when `done` was called already. */
struct rb_child_call {
    struct rb_run *run; /* arena, root, trust */
    const struct rb_child_spec *spec;
    int64_t deadline_ns; /* elapsed clock */
    void (*done)(void *arg, const struct rb_child_result *result);
    void *arg;
};
struct rb_child_process *rb_children_call(struct rb_children *children, const struct rb_child_call *call);
void rb_children_free(struct rb_children *children); /* kills the groups it started: TERM, then KILL */

/* The low half of children, also used for the scan helper: one process in its own group with pipes, caps, deadline → TERM → (1 s) KILL to the group. */
struct rb_child_process;
struct rb_child_start {
    const char *const *argv; /* argv[0] already resolved to an absolute path */
    const char *const *envp; /* complete environment */
    const char *cwd;         /* absolute */
    const void *input;       /* written to stdin, then closed; NULL: stdin is /dev/null */
    size_t input_len;
    size_t output_cap;
    int64_t deadline_ns;         /* elapsed clock */
    uint64_t memory_limit_bytes; /* RLIMIT_AS; 0: none */
    int niceness;                /* 0: as the daemon */
    void (*done)(
        void *arg, const struct rb_child_result *result,
        int64_t
            peak_resident_bytes); /* result borrowed for the call, NULL: given up because the daemon stops; the peak is -1: libev reaps without it, the scan helper tells its own */
    void *arg;
};
struct rb_child_process *rb_child_process_start(struct rb_children *children, const struct rb_child_start *start, struct rb_error *err);
void rb_child_process_kill(struct rb_child_process *process);
void rb_child_process_forget(struct rb_child_process *process); /* kills it and never calls `done` */

struct rb_exchanges;
struct rb_exchange_stats {
    size_t active;
    uint64_t completed;
};
struct rb_exchanges *rb_exchanges_new(struct ev_loop *loop, const struct rb_clock *clock, struct rb_error *err);
/* Who starts the programs that exchanges ask for (borrowed; outlives them). Without it such an action fails. */
void rb_exchanges_use_children(struct rb_exchanges *exchanges, struct rb_children *children);
void rb_exchanges_start(struct rb_exchanges *exchanges, struct rb_run *run);
struct rb_exchange_stats rb_exchanges_stats(const struct rb_exchanges *exchanges);
void rb_exchanges_free(struct rb_exchanges *exchanges);

struct rb_scans; /* gathers due scan runs for up to 200 ms (2 ms when one is urgent), then one helper process runs them all in one pass */
struct rb_scan_stats {
    uint64_t runs, failures;
    int64_t peak_resident_bytes;
    double last_duration_s;
    bool active;
};
struct rb_scans *rb_scans_new(struct ev_loop *loop, struct rb_children *children, const struct rb_platform *platform, struct rb_error *err);
void rb_scans_start(struct rb_scans *scans, struct rb_run *run);
/* Another program than this binary, absolute path: for tests. */
int rb_scans_set_helper(struct rb_scans *scans, const char *path, struct rb_error *err) RB_MUST_CHECK;
struct rb_scan_stats rb_scans_stats(const struct rb_scans *scans);
void rb_scans_free(struct rb_scans *scans);
/* main() of the helper: reads the job from stdin (JSON), writes outcomes to stdout (one JSON object a line), exit 0. */
int rb_scan_helper_main(void);

struct rb_streams;
struct rb_streams *rb_streams_new(struct ev_loop *loop, const struct rb_clock *clock, struct rb_error *err);
void rb_streams_start(struct rb_streams *streams, struct rb_run *run); /* a tick of the check; opens its stream on the first one */
/* After a run of an exchange kind that has a stream too, before the run is freed: opens its stream, or lets it follow what the check's memory says now. */
void rb_streams_follow(struct rb_streams *streams, struct rb_run *run);
/* The plan changed: closes the streams of checks that it does not have, or that mean something else now. */
void rb_streams_keep(struct rb_streams *streams, const struct rb_plan *plan);
/* Where what streams learn goes. */
struct rb_note;
struct rb_stream_sink {
    void (*note)(void *arg, const struct rb_check_spec *spec, const struct rb_note *note);
    bool (*changed)(void *arg, const struct rb_check_spec *spec); /* run the check soon; false: it runs right now, ask again */
    void *arg;
};
void rb_streams_set_sink(struct rb_streams *streams, const struct rb_stream_sink *sink);
void rb_streams_free(struct rb_streams *streams);

#endif
