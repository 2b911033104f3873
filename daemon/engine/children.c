/* Runs of the child class: the kind says what to start and judges how it ended; what lies between is here and in child_process.c.
 *
 * Invariants: a run is finished exactly once, by the process's end, by a start that failed, or by rb_children_free; the run's arena holds
 * everything that was
 * passed to the process, and the process copies nothing of it after the start. */
#include "children.h"
#include "environment.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define END_POLLS        10
#define END_POLL_STEP_NS (20 * RB_NS_PER_MS)

struct rb_children *rb_children_new(struct ev_loop *loop, const struct rb_platform *platform, struct rb_error *err)
{
    if (!ev_is_default_loop(loop)) {
        rb_error_set(err, RB_EINVAL, "children need libev's default loop: no other one learns that a process ended");
        return NULL;
    }
    struct rb_children *children = calloc(1, sizeof *children);
    if (!children) {
        rb_error_set(err, RB_ENOMEM, "cannot watch child processes: out of memory");
        return NULL;
    }
    *children = (struct rb_children){.loop = loop, .platform = platform};
    /* A helper that dies while its input is written must be an error code, not the end of the daemon. */
    (void)signal(SIGPIPE, SIG_IGN);
    return children;
}

static void finish(struct rb_run *run, enum rb_result result, const char *reason, const char *message)
{
    rb_outcome_set(&run->outcome, result, reason, "%s", message);
    run->engine_data = NULL;
    rb_run_finish(run);
}

static void conclude(struct rb_run *run, const struct rb_child_result *result)
{
    run->kind->child->judge(&run->ctx, result, &run->outcome);
    run->engine_data = NULL;
    rb_run_finish(run);
}

static void on_done(void *arg, const struct rb_child_result *result, int64_t peak_resident_bytes RB_UNUSED)
{
    struct rb_run *run = arg;
    if (!result) {
        finish(run, RB_RESULT_UNKNOWN, "cancelled", "given up: the daemon stops");
        return;
    }
    struct rb_child_result known = *result;
    const char *const *argv = run->engine_data;
    known.program = argv[0];
    conclude(run, &known);
}

/* A program that cannot even be looked up ends like one that exec refused. */
static struct rb_child_result unresolved(const char *name, const struct rb_error *error)
{
    struct rb_child_result result = {.out = "", .err = "", .program = name};
    result.end = error->code == RB_ENOTFOUND ? RB_CHILD_NOT_FOUND
                 : error->code == RB_EPERM   ? RB_CHILD_NOT_EXECUTABLE
                                             : RB_CHILD_SPAWN_FAILED;
    result.code = error->code == RB_ENOTFOUND ? ENOENT : error->code == RB_EPERM ? EACCES : ENOMEM;
    return result;
}

static void conclude_unresolved(struct rb_run *run, const char *name, const struct rb_error *error)
{
    struct rb_child_result result = unresolved(name, error);
    if (error->code == RB_EUNSUPPORTED)
        finish(run, RB_RESULT_UNKNOWN, "unsupported", error->message);
    else
        conclude(run, &result);
}

/* argv with its first word replaced by the path to execute. */
static const char *const *resolved_argv(struct rb_run *run, const char *const *argv, const char *program)
{
    size_t count = 0;
    while (argv[count])
        count++;
    const char **copy = rb_arena_array(run->arena, count + 1, sizeof *copy);
    if (!copy)
        return NULL;
    memcpy(copy, argv, count * sizeof *copy);
    copy[0] = program;
    return copy;
}

static const char *working_folder(struct rb_run *run, const char *cwd)
{
    if (!cwd)
        return run->ctx.root;
    return cwd[0] == '/' ? cwd : rb_arena_printf(run->arena, "%s/%s", run->ctx.root, cwd);
}

void rb_children_start(struct rb_children *children, struct rb_run *run)
{
    struct rb_child_spec spec = {0};
    if (run->spec->untrusted) {
        finish(run, RB_RESULT_UNKNOWN, "untrusted",
               "the configuration is not trusted to start programs; read it, then run `runbookd trust`");
        return;
    }
    if (!run->kind->child->command(&run->ctx, &spec, &run->outcome)) {
        rb_run_finish(run);
        return;
    }
    struct rb_error error = {0};
    const char *program = NULL;
    const char *const *envp = environment_build(run->arena, spec.env);
    if (envp && environment_resolve(run->arena, children->platform, run->ctx.root, spec.argv[0], envp, &program, &error) < 0) {
        conclude_unresolved(run, spec.argv[0], &error);
        return;
    }
    const char *const *argv = program ? resolved_argv(run, spec.argv, program) : NULL;
    const char *cwd = working_folder(run, spec.cwd);
    if (!argv || !cwd) {
        finish(run, RB_RESULT_UNKNOWN, "resource_limit", "not started: the run's memory is used up");
        return;
    }
    struct rb_child_start start = {.argv = argv,
                                   .envp = envp,
                                   .cwd = cwd,
                                   .output_cap = spec.output_cap,
                                   .deadline_ns = run->deadline_ns,
                                   .done = on_done,
                                   .arg = run};
    memcpy(&run->engine_data, &argv, sizeof run->engine_data);
    if (!rb_child_process_start(children, &start, &error))
        finish(run, RB_RESULT_UNKNOWN, "resource_limit", error.message);
}

struct called {
    void (*done)(void *arg, const struct rb_child_result *result);
    void *arg;
    const char *program;
};

static void on_called(void *arg, const struct rb_child_result *result, int64_t peak_resident_bytes RB_UNUSED)
{
    const struct called *called = arg;
    struct rb_child_result known = {0};
    if (result) {
        known = *result;
        known.program = called->program;
    }
    called->done(called->arg, result ? &known : NULL);
}

static struct rb_child_process *start_called(struct rb_children *children, const struct rb_child_call *call, struct rb_error *error)
{
    struct rb_run *run = call->run;
    const struct rb_child_spec *spec = call->spec;
    struct called *called = rb_arena_alloc(run->arena, sizeof *called);
    const char *const *envp = environment_build(run->arena, spec->env);
    const char *program = NULL, *cwd = working_folder(run, spec->cwd);
    if (run->spec->untrusted)
        rb_error_set(error, RB_EPERM, "the configuration is not trusted to start programs");
    if (run->spec->untrusted ||
        (envp && environment_resolve(run->arena, children->platform, run->ctx.root, spec->argv[0], envp, &program, error) < 0))
        return NULL;
    const char *const *argv = program ? resolved_argv(run, spec->argv, program) : NULL;
    if (!called || !argv || !cwd) {
        rb_error_set(error, RB_ENOMEM, "the run's memory is used up");
        return NULL;
    }
    *called = (struct called){.done = call->done, .arg = call->arg, .program = program};
    return rb_child_process_start(children,
                                  &(struct rb_child_start){.argv = argv,
                                                           .envp = envp,
                                                           .cwd = cwd,
                                                           .output_cap = spec->output_cap,
                                                           .deadline_ns = call->deadline_ns,
                                                           .done = on_called,
                                                           .arg = called},
                                  error);
}

struct rb_child_process *rb_children_call(struct rb_children *children, const struct rb_child_call *call)
{
    struct rb_error error = {0};
    struct rb_child_process *process = start_called(children, call, &error);
    if (!process) {
        struct rb_child_result result = unresolved(call->spec->argv[0], &error);
        call->done(call->arg, &result);
    }
    return process;
}

size_t rb_children_running(const struct rb_children *children)
{
    return children->running;
}

/* Gives what was signalled a moment to end, without the loop: at most END_POLLS steps. */
static void await_ends(struct rb_children *children)
{
    for (int i = 0; i < END_POLLS && children->first; i++) {
        child_processes_reap(children);
        struct timespec step = {.tv_nsec = (long)END_POLL_STEP_NS};
        if (children->first)
            (void)nanosleep(&step, NULL);
    }
}

void rb_children_free(struct rb_children *children)
{
    if (!children)
        return;
    child_processes_cancel(children);
    if (child_processes_signal(children, SIGTERM))
        await_ends(children);
    if (child_processes_signal(children, SIGKILL))
        await_ends(children);
    child_processes_forget(children);
    free(children);
}
