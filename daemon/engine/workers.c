/* The worker pool: short blocking work of checks on threads, results back to the loop.
 *
 * Threads and ownership. The loop thread owns `struct rb_workers` and the runs. A job carries everything that a thread touches: a copy of
 * the run's context,
 * its own cancel flag, a copy of the check's memory, a reference to the plan, and the run's arena, lent. The thread never sees the run
 * itself. When a job ends in
 * time, the loop takes outcome and memory over. When it does not, the loop finishes the run as `unknown: timeout` at once with a spare
 * arena, gives
 * the lent arena to the job for good and marks it abandoned; the thread frees the job whenever it comes back, and leaves or, where a place
 * is free, goes on.
 *
 * Invariants: `lock` guards everything in `struct pool`; a job is in the queue, or with exactly one thread, or on the finished list, or
 * abandoned; ev_async_send
 * happens under the lock and never after `stopping`. The pool outlives rb_workers_free: it is counted, and the last of loop and threads
 * frees it. A thread
 * that hangs for ever therefore keeps its job and the pool until the process exits, on purpose: freeing them under it would be worse.
 *
 * Slow work must not take the whole pool: when a job waited QUEUE_PATIENCE because all threads are busy, up to EXTRA_THREADS more are
 * started; they leave when
 * the queue is empty. Tasks of the daemon itself have a thread of their own. */
#include "../run.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define WATCH_INTERVAL_S   0.05
#define GRACE_NS           (250 * RB_NS_PER_MS)
#define QUEUE_PATIENCE_NS  (100 * RB_NS_PER_MS)
#define EXTRA_THREADS      4u
#define MAX_ABANDONED      4u
#define THREADS_MAX        64u
#define SPARE_ARENA_BYTES  ((size_t)64 * 1024)
#define THREAD_STACK_BYTES ((size_t)2 * 1024 * 1024)

enum job_state { JOB_QUEUED, JOB_RUNNING, JOB_ENDED, JOB_ABANDONED };

struct job {
    struct job *next;                       /* queue or finished list; guarded by the lock */
    struct job *active_next, **active_link; /* the loop's list of all jobs with a run */
    struct rb_run *run;                     /* loop thread only; NULL once abandoned */
    struct rb_plan *plan;
    rb_worker_run *work;
    struct rb_check_ctx ctx;   /* the thread's */
    struct rb_outcome outcome; /* the thread's until JOB_ENDED */
    struct rb_arena *arena;    /* owned only when abandoned */
    struct rb_arena *spare;    /* for the run, when the job keeps the arena */
    void *memory;
    int64_t queued_ns;
    atomic_bool cancelled;
    enum job_state state; /* guarded by the lock */
};

struct task {
    struct task *next;
    void (*work)(void *arg);
    void (*done)(void *arg);
    void *arg;
};

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t work_waits, task_waits;
    struct ev_loop *loop;
    ev_async wake;
    struct job *queue_first, **queue_last;
    struct job *ended;
    struct task *tasks_first, **tasks_last;
    struct task *tasks_done, **tasks_done_last;
    size_t refs; /* the loop's and one per thread */
    size_t target, live, busy, abandoned, queued;
    uint64_t completed;
    bool stopping;
};

struct rb_workers {
    struct pool *pool;
    const struct rb_clock *clock;
    struct ev_loop *loop;
    ev_timer watch;
    struct job *active;
    pthread_t task_thread;
    bool has_task_thread;
};

/* ---- pool memory ---- */

static void pool_unref_locked(struct pool *pool)
{
    bool last = --pool->refs == 0;
    (void)pthread_mutex_unlock(&pool->lock);
    if (!last)
        return;
    (void)pthread_cond_destroy(&pool->work_waits);
    (void)pthread_cond_destroy(&pool->task_waits);
    (void)pthread_mutex_destroy(&pool->lock);
    free(pool);
}

static void job_free(struct job *job)
{
    rb_arena_free(job->spare);
    rb_arena_free(job->arena);
    if (job->plan)
        rb_plan_unref(job->plan);
    free(job->memory);
    free(job);
}

/* ---- threads ---- */

/* Starts a thread with every signal blocked: signals belong to the loop. */
static int start_thread(pthread_t *out, void *(*main_function)(void *), void *arg, bool detached)
{
    pthread_attr_t attr;
    sigset_t all, before;
    int rc = pthread_attr_init(&attr);
    if (rc != 0)
        return rc;
    (void)pthread_attr_setstacksize(&attr, THREAD_STACK_BYTES);
    (void)pthread_attr_setdetachstate(&attr, detached ? PTHREAD_CREATE_DETACHED : PTHREAD_CREATE_JOINABLE);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(out, &attr, main_function, arg);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attr);
    return rc;
}

static struct job *take_job(struct pool *pool)
{
    struct job *job = pool->queue_first;
    pool->queue_first = job->next;
    if (!pool->queue_first)
        pool->queue_last = &pool->queue_first;
    pool->queued--;
    pool->busy++;
    job->next = NULL;
    job->state = JOB_RUNNING;
    return job;
}

/* Puts an ended job where the loop finds it, or frees one that nobody waits for. Called and returns with the lock held. */
static void return_job(struct pool *pool, struct job *job)
{
    if (job->state != JOB_ABANDONED) {
        pool->busy--;
        pool->completed++;
        job->state = JOB_ENDED;
        job->next = pool->ended;
        pool->ended = job;
        if (!pool->stopping)
            ev_async_send(pool->loop, &pool->wake);
        return;
    }
    /* Its thread had been written off; now it counts again, as one too many if a replacement took its place. */
    pool->abandoned--;
    pool->live++;
    (void)pthread_mutex_unlock(&pool->lock);
    job_free(job);
    (void)pthread_mutex_lock(&pool->lock);
}

static void *worker_main(void *arg)
{
    struct pool *pool = arg;
    (void)pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (!pool->queue_first && !pool->stopping && pool->live <= pool->target)
            (void)pthread_cond_wait(&pool->work_waits, &pool->lock);
        if (pool->stopping || !pool->queue_first)
            break;
        struct job *job = take_job(pool);
        (void)pthread_mutex_unlock(&pool->lock);
        job->work(&job->ctx, &job->outcome);
        (void)pthread_mutex_lock(&pool->lock);
        return_job(pool, job);
    }
    pool->live--;
    pool_unref_locked(pool);
    return NULL;
}

/* Adds a thread to the pool. */
static int add_worker(struct pool *pool)
{
    (void)pthread_mutex_lock(&pool->lock);
    pool->refs++;
    pool->live++;
    (void)pthread_mutex_unlock(&pool->lock);
    pthread_t thread;
    int rc = start_thread(&thread, worker_main, pool, true);
    if (rc == 0)
        return 0;
    (void)pthread_mutex_lock(&pool->lock);
    pool->refs--;
    pool->live--;
    (void)pthread_mutex_unlock(&pool->lock);
    return rc;
}

/* ---- tasks of the daemon ---- */

static void *task_main(void *arg)
{
    struct pool *pool = arg;
    (void)pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (!pool->tasks_first && !pool->stopping)
            (void)pthread_cond_wait(&pool->task_waits, &pool->lock);
        struct task *task = pool->tasks_first;
        if (!task)
            break;
        pool->tasks_first = task->next;
        if (!pool->tasks_first)
            pool->tasks_last = &pool->tasks_first;
        task->next = NULL;
        (void)pthread_mutex_unlock(&pool->lock);
        task->work(task->arg);
        (void)pthread_mutex_lock(&pool->lock);
        *pool->tasks_done_last = task;
        pool->tasks_done_last = &task->next;
        if (!pool->stopping)
            ev_async_send(pool->loop, &pool->wake);
    }
    pool_unref_locked(pool);
    return NULL;
}

static void complete_tasks(struct pool *pool)
{
    (void)pthread_mutex_lock(&pool->lock);
    struct task *task = pool->tasks_done;
    pool->tasks_done = NULL;
    pool->tasks_done_last = &pool->tasks_done;
    (void)pthread_mutex_unlock(&pool->lock);
    while (task) {
        struct task *next = task->next;
        if (task->done)
            task->done(task->arg);
        free(task);
        task = next;
    }
}

static int start_task_thread(struct rb_workers *workers, struct rb_error *err)
{
    struct pool *pool = workers->pool;
    (void)pthread_mutex_lock(&pool->lock);
    pool->refs++;
    (void)pthread_mutex_unlock(&pool->lock);
    int rc = start_thread(&workers->task_thread, task_main, pool, false);
    if (rc == 0) {
        workers->has_task_thread = true;
        return RB_OK;
    }
    (void)pthread_mutex_lock(&pool->lock);
    pool->refs--;
    (void)pthread_mutex_unlock(&pool->lock);
    return rb_error_sys(err, rc, "cannot start the thread that writes the state folder");
}

/* Takes the task over unless the pool is stopping. */
static bool queue_task(struct pool *pool, struct task *take_task)
{
    (void)pthread_mutex_lock(&pool->lock);
    bool open = !pool->stopping;
    if (open) {
        *pool->tasks_last = take_task;
        pool->tasks_last = &take_task->next;
        (void)pthread_cond_signal(&pool->task_waits);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return open;
}

int rb_workers_task(struct rb_workers *workers, void (*work)(void *arg), void (*done)(void *arg), void *arg, struct rb_error *err)
{
    if (!workers->has_task_thread) {
        int rc = start_task_thread(workers, err);
        if (rc < 0)
            return rc;
    }
    struct task *task = calloc(1, sizeof *task);
    if (!task)
        return rb_error_set(err, RB_ENOMEM, "cannot queue a task: out of memory");
    *task = (struct task){.work = work, .done = done, .arg = arg};
    if (queue_task(workers->pool, task))
        return RB_OK;
    free(task);
    return rb_error_set(err, RB_EBUSY, "cannot queue a task: the worker pool is stopping");
}

/* ---- the loop's side of a job ---- */

static void unlink_active(struct rb_workers *workers, struct job *job)
{
    *job->active_link = job->active_next;
    if (job->active_next)
        job->active_next->active_link = job->active_link;
    if (!workers->active)
        ev_timer_stop(workers->loop, &workers->watch);
}

static void link_active(struct rb_workers *workers, struct job *job)
{
    job->active_next = workers->active;
    job->active_link = &workers->active;
    if (workers->active)
        workers->active->active_link = &job->active_next;
    workers->active = job;
    if (!ev_is_active(&workers->watch))
        ev_timer_again(workers->loop, &workers->watch);
}

/* A job that ended in time: its outcome and the check's memory become the run's. */
static void deliver(struct rb_workers *workers, struct job *job)
{
    struct rb_run *run = job->run;
    assert(run != NULL);
    unlink_active(workers, job);
    run->outcome = job->outcome;
    if (job->memory)
        memcpy(run->ctx.memory, job->memory, run->kind->memory_size);
    run->engine_data = NULL;
    job->arena = NULL;
    job_free(job);
    rb_run_finish(run);
}

/* An outcome of the engine itself; an exchange that would follow the worker part does not. */
static void conclude(struct rb_run *run, const char *reason, const char *message)
{
    assert(run != NULL);
    rb_outcome_init(&run->outcome, run->arena);
    rb_outcome_set(&run->outcome, RB_RESULT_UNKNOWN, reason, "%s", message);
    run->outcome.final = true;
    run->engine_data = NULL;
}

/* Gives the run the spare arena with its memory as it was before: the thread may still write into the other one. */
static void move_to_spare(struct rb_run *run, struct job *job)
{
    void *memory = NULL;
    assert(run != NULL);
    if (run->kind->memory_size)
        memory = rb_arena_alloc(job->spare, run->kind->memory_size);
    if (memory)
        memcpy(memory, run->ctx.memory, run->kind->memory_size);
    run->ctx.memory = memory;
    run->arena = run->ctx.arena = job->spare;
    job->spare = NULL;
}

/* Finishes a run whose thread does not come back in time. The job and the lent arena now belong to that thread. */
static void abandon(struct rb_workers *workers, struct job *job, const char *reason, const char *message)
{
    struct rb_run *run = job->run;
    unlink_active(workers, job);
    atomic_store(&job->cancelled, true);
    move_to_spare(run, job);
    conclude(run, reason, message);
    job->run = NULL;
    (void)pthread_mutex_lock(&workers->pool->lock);
    /* It may have ended a moment ago: then it is on the ended list, and collect() frees it. */
    if (job->state == JOB_RUNNING) {
        job->state = JOB_ABANDONED;
        workers->pool->abandoned++;
        workers->pool->busy--;
        workers->pool->live--;
    }
    (void)pthread_mutex_unlock(&workers->pool->lock);
    rb_run_finish(run);
}

/* Takes a job that no thread has begun out of the queue; false when one has. */
static bool withdraw(struct pool *pool, struct job *job)
{
    (void)pthread_mutex_lock(&pool->lock);
    bool found = job->state == JOB_QUEUED;
    struct job **link = &pool->queue_first;
    while (found && *link != job)
        link = &(*link)->next;
    if (found) {
        *link = job->next;
        if (!*link)
            pool->queue_last = link;
        pool->queued--;
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return found;
}

static void give_up(struct rb_workers *workers, struct job *job, const char *reason, const char *running, const char *waiting)
{
    if (!withdraw(workers->pool, job)) {
        abandon(workers, job, reason, running);
        return;
    }
    struct rb_run *run = job->run;
    unlink_active(workers, job);
    conclude(run, reason, waiting);
    job->arena = NULL;
    job_free(job);
    rb_run_finish(run);
}

static void collect(struct rb_workers *workers)
{
    (void)pthread_mutex_lock(&workers->pool->lock);
    struct job *job = workers->pool->ended;
    workers->pool->ended = NULL;
    (void)pthread_mutex_unlock(&workers->pool->lock);
    while (job) {
        struct job *next = job->next;
        if (job->run)
            deliver(workers, job);
        else
            job_free(job);
        job = next;
    }
}

static void on_wake(struct ev_loop *loop RB_UNUSED, ev_async *wake, int events RB_UNUSED)
{
    struct rb_workers *workers = wake->data;
    collect(workers);
    complete_tasks(workers->pool);
}

/* Keeps the pool at its size, and above it while jobs wait although nothing is wrong with them. */
static void replenish(struct rb_workers *workers, int64_t now_ns)
{
    struct pool *pool = workers->pool;
    (void)pthread_mutex_lock(&pool->lock);
    bool waits = pool->queue_first && now_ns - pool->queue_first->queued_ns > QUEUE_PATIENCE_NS;
    bool missing = pool->live < pool->target || (waits && pool->live < pool->target + EXTRA_THREADS);
    (void)pthread_mutex_unlock(&pool->lock);
    /* Without a thread now, the next tick tries again. */
    if (missing)
        (void)add_worker(pool);
}

static void on_watch(struct ev_loop *loop RB_UNUSED, ev_timer *timer, int events RB_UNUSED)
{
    struct rb_workers *workers = timer->data;
    int64_t now_ns = rb_elapsed_ns(workers->clock);
    collect(workers);
    /* Finishing a run may start another one, which changes the list: begin again after each. */
    for (struct job *job = workers->active; job;) {
        assert(job->run != NULL); /* NOLINT(clang-analyzer-unix.Malloc): give_up takes the job off the list */
        bool overdue = now_ns >= job->run->deadline_ns + GRACE_NS;
        if (atomic_load(&job->run->cancelled))
            atomic_store(&job->cancelled, true);
        if (overdue)
            give_up(workers, job, "timeout", "did not end before its timeout; the thread it runs on hangs in the system",
                    "waited for a free worker until its timeout; slow checks hold all of them");
        job = overdue ? workers->active : job->active_next;
    }
    replenish(workers, now_ns);
}

/* ---- interface ---- */

static struct pool *pool_new(struct ev_loop *loop, size_t threads)
{
    struct pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return NULL;
    if (pthread_mutex_init(&pool->lock, NULL) != 0 || pthread_cond_init(&pool->work_waits, NULL) != 0 ||
        pthread_cond_init(&pool->task_waits, NULL) != 0) {
        free(pool);
        return NULL;
    }
    pool->loop = loop;
    pool->refs = 1;
    pool->target = threads < 1 ? 1 : threads > THREADS_MAX ? THREADS_MAX : threads;
    pool->queue_last = &pool->queue_first;
    pool->tasks_last = &pool->tasks_first;
    pool->tasks_done_last = &pool->tasks_done;
    return pool;
}

struct rb_workers *rb_workers_new(struct ev_loop *loop, const struct rb_clock *clock, size_t threads, struct rb_error *err)
{
    struct rb_workers *workers = calloc(1, sizeof *workers);
    struct pool *pool = workers ? pool_new(loop, threads) : NULL;
    if (!pool) {
        free(workers);
        rb_error_set(err, RB_ENOMEM, "cannot create the worker pool: out of memory");
        return NULL;
    }
    *workers = (struct rb_workers){.pool = pool, .clock = clock, .loop = loop};
    ev_async_init(&pool->wake, on_wake);
    pool->wake.data = workers;
    ev_async_start(loop, &pool->wake);
    /* The daemon lives as long as something else does; a pool that waits is no reason to go on. */
    ev_unref(loop);
    ev_timer_init(&workers->watch, on_watch, 0., WATCH_INTERVAL_S);
    workers->watch.data = workers;
    for (size_t i = 0; i < pool->target; i++) {
        int rc = add_worker(pool);
        if (rc != 0 && i == 0) {
            rb_error_sys(err, rc, "cannot start a worker thread");
            rb_workers_free(workers);
            return NULL;
        }
    }
    return workers;
}

static struct job *job_new(struct rb_run *run, int64_t now_ns)
{
    struct job *job = calloc(1, sizeof *job);
    if (!job)
        return NULL;
    job->spare = rb_arena_new_wiped(SPARE_ARENA_BYTES + run->kind->memory_size);
    size_t memory_size = run->kind->memory_size;
    if (memory_size)
        job->memory = malloc(memory_size);
    if (!job->spare || (memory_size && !job->memory)) {
        job_free(job);
        return NULL;
    }
    if (memory_size)
        memcpy(job->memory, run->ctx.memory, memory_size);
    job->run = run;
    job->plan = run->plan ? rb_plan_ref(run->plan) : NULL;
    job->work = run->kind->run;
    job->arena = run->arena;
    job->queued_ns = now_ns;
    job->ctx = run->ctx;
    job->ctx.cancelled = &job->cancelled;
    job->ctx.memory = job->memory;
    rb_outcome_init(&job->outcome, run->arena);
    return job;
}

void rb_workers_start(struct rb_workers *workers, struct rb_run *run)
{
    struct pool *pool = workers->pool;
    (void)pthread_mutex_lock(&pool->lock);
    bool exhausted = pool->abandoned >= MAX_ABANDONED;
    (void)pthread_mutex_unlock(&pool->lock);
    struct job *job = exhausted ? NULL : job_new(run, rb_elapsed_ns(workers->clock));
    if (!job) {
        if (exhausted)
            conclude(run, "workers_exhausted", "not started: too many earlier runs still hang in the system (a dead file system?)");
        else
            conclude(run, "resource_limit", "not started: out of memory");
        rb_run_finish(run);
        return;
    }
    run->engine_data = job;
    rb_outcome_init(&run->outcome, run->arena);
    link_active(workers, job);
    (void)pthread_mutex_lock(&pool->lock);
    *pool->queue_last = job;
    pool->queue_last = &job->next;
    pool->queued++;
    (void)pthread_cond_signal(&pool->work_waits);
    (void)pthread_mutex_unlock(&pool->lock);
}

struct rb_worker_stats rb_workers_stats(const struct rb_workers *workers)
{
    struct pool *pool = workers->pool;
    (void)pthread_mutex_lock(&pool->lock);
    struct rb_worker_stats stats = {
        .threads = pool->live, .busy = pool->busy, .abandoned = pool->abandoned, .queued = pool->queued, .completed = pool->completed};
    (void)pthread_mutex_unlock(&pool->lock);
    return stats;
}

void rb_workers_free(struct rb_workers *workers)
{
    if (!workers)
        return;
    struct pool *pool = workers->pool;
    (void)pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    (void)pthread_cond_broadcast(&pool->work_waits);
    (void)pthread_cond_broadcast(&pool->task_waits);
    (void)pthread_mutex_unlock(&pool->lock);
    if (workers->has_task_thread)
        (void)pthread_join(workers->task_thread, NULL);
    complete_tasks(pool);
    collect(workers);
    while (workers->active)
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): give_up takes the job off the list */
        give_up(workers, workers->active, "cancelled", "given up: the daemon stops", "given up before it began: the daemon stops");
    collect(workers);
    ev_timer_stop(workers->loop, &workers->watch);
    ev_ref(workers->loop);
    ev_async_stop(workers->loop, &pool->wake);
    free(workers);
    (void)pthread_mutex_lock(&pool->lock);
    pool_unref_locked(pool);
}
