/* The worker pool: results, timeouts, abandoned threads and their return, exhaustion, tasks, and leaving while something hangs. */
#include <pthread.h>
#include <unistd.h>

#include "../support/run_fixture.h"

/* What the test's kind does; a gate holds a run as a dead file system would. */
struct work {
    pthread_mutex_t lock;
    pthread_cond_t opened;
    bool open;
    bool hang;
    int entered, left;
};

static void gate_init(struct work *work, bool hang)
{
    *work = (struct work){.hang = hang};
    pthread_mutex_init(&work->lock, NULL);
    pthread_cond_init(&work->opened, NULL);
}

static void gate_open(struct work *work)
{
    pthread_mutex_lock(&work->lock);
    work->open = true;
    pthread_cond_broadcast(&work->opened);
    pthread_mutex_unlock(&work->lock);
}

static int gate_left(struct work *work)
{
    pthread_mutex_lock(&work->lock);
    int left = work->left;
    pthread_mutex_unlock(&work->lock);
    return left;
}

static void run_work(const struct rb_check_ctx *ctx, struct rb_outcome *out)
{
    struct work *work = *(struct work *const *)ctx->options;
    int *count = ctx->memory;
    (*count)++;
    pthread_mutex_lock(&work->lock);
    work->entered++;
    while (work->hang && !work->open)
        pthread_cond_wait(&work->opened, &work->lock);
    pthread_mutex_unlock(&work->lock);
    for (int i = 0; i < 50; i++)
        rb_outcome_evidence(out, "line %d of run %d", i, *count);
    rb_outcome_set(out, RB_RESULT_WARN, "absent", "ran %d times", *count);
    pthread_mutex_lock(&work->lock);
    work->left++;
    pthread_mutex_unlock(&work->lock);
}

static const struct rb_kind kind = {
    .schema = {.schema = {.name = "test"}}, .exec = RB_EXEC_WORKER, .memory_size = sizeof(int), .run = run_work};

static struct rb_workers *pool(size_t threads)
{
    struct rb_error err = {0};
    struct rb_workers *workers = rb_workers_new(ev_default_loop(0), rb_platform_host()->clock, threads, &err);
    ck_assert_msg(workers, "%s", err.message);
    return workers;
}

/* The threads of a freed pool end by themselves; a moment for them before the test's stack goes. */
static void settle(void)
{
    usleep(20000);
}

START_TEST(result_and_memory_come_back)
{
    struct rb_workers *workers = pool(2);
    struct work work, *options = &work;
    gate_init(&work, false);
    struct run_fixture fixture;
    run_fixture_init(&fixture, &kind, &options, "/", 2000);
    *(int *)fixture.run.ctx.memory = 41;
    rb_workers_start(workers, &fixture.run);
    ck_assert(run_fixture_wait(ev_default_loop(0), &fixture.finished, 2));
    ck_assert_int_eq(fixture.result, RB_RESULT_WARN);
    ck_assert_str_eq(fixture.message, "ran 42 times");
    ck_assert_uint_eq(fixture.run.outcome.evidence_count, 50);
    ck_assert_int_eq(*(int *)fixture.run.ctx.memory, 42);
    struct rb_worker_stats stats = rb_workers_stats(workers);
    ck_assert_uint_eq(stats.completed, 1);
    ck_assert_uint_eq(stats.busy, 0);
    run_fixture_fini(&fixture);
    rb_workers_free(workers);
    settle();
}
END_TEST

START_TEST(hanging_run_times_out_and_its_thread_is_replaced)
{
    struct rb_workers *workers = pool(1);
    struct work hung, quick, *hung_options = &hung, *quick_options = &quick;
    gate_init(&hung, true);
    gate_init(&quick, false);
    struct run_fixture first, second;
    run_fixture_init(&first, &kind, &hung_options, "/", 100);
    *(int *)first.run.ctx.memory = 7;
    rb_workers_start(workers, &first.run);
    ck_assert(run_fixture_wait(ev_default_loop(0), &first.finished, 2));
    ck_assert_int_eq(first.result, RB_RESULT_UNKNOWN);
    ck_assert_str_eq(first.reason, "timeout");
    ck_assert(first.after_s < 0.8);
    ck_assert(first.run.outcome.final);
    ck_assert_int_eq(*(int *)first.run.ctx.memory, 7); /* as before the run: the thread may still write into its own copy */
    ck_assert_uint_eq(rb_workers_stats(workers).abandoned, 1);
    run_fixture_fini(&first);

    run_fixture_init(&second, &kind, &quick_options, "/", 2000);
    rb_workers_start(workers, &second.run);
    ck_assert(run_fixture_wait(ev_default_loop(0), &second.finished, 2));
    ck_assert_int_eq(second.result, RB_RESULT_WARN);
    run_fixture_fini(&second);

    /* The late thread comes back: its result is dropped, its place is free again. */
    gate_open(&hung);
    bool never = false;
    for (int i = 0; i < 100 && rb_workers_stats(workers).abandoned; i++)
        (void)run_fixture_wait(ev_default_loop(0), &never, 0.01);
    ck_assert_uint_eq(rb_workers_stats(workers).abandoned, 0);
    ck_assert_int_eq(gate_left(&hung), 1);
    rb_workers_free(workers);
    settle();
}
END_TEST

START_TEST(four_abandoned_threads_exhaust_the_pool_until_one_returns)
{
    struct rb_workers *workers = pool(2);
    struct work hung, *options = &hung;
    gate_init(&hung, true);
    struct run_fixture fixtures[4], refused;
    for (int i = 0; i < 4; i++) {
        run_fixture_init(&fixtures[i], &kind, &options, "/", 50);
        rb_workers_start(workers, &fixtures[i].run);
    }
    for (int i = 0; i < 4; i++) {
        ck_assert(run_fixture_wait(ev_default_loop(0), &fixtures[i].finished, 3));
        ck_assert_str_eq(fixtures[i].reason, "timeout");
        run_fixture_fini(&fixtures[i]);
    }
    /* Those that never got a thread timed out in the queue; only threads count. */
    while (rb_workers_stats(workers).abandoned < 4) {
        run_fixture_init(&fixtures[0], &kind, &options, "/", 50);
        rb_workers_start(workers, &fixtures[0].run);
        ck_assert(run_fixture_wait(ev_default_loop(0), &fixtures[0].finished, 3));
        run_fixture_fini(&fixtures[0]);
    }
    run_fixture_init(&refused, &kind, &options, "/", 1000);
    rb_workers_start(workers, &refused.run);
    ck_assert(refused.finished);
    ck_assert_int_eq(refused.result, RB_RESULT_UNKNOWN);
    ck_assert_str_eq(refused.reason, "workers_exhausted");
    run_fixture_fini(&refused);
    gate_open(&hung);
    for (int i = 0; i < 200 && rb_workers_stats(workers).abandoned; i++)
        usleep(5000);
    run_fixture_init(&refused, &kind, &options, "/", 2000);
    rb_workers_start(workers, &refused.run);
    ck_assert(run_fixture_wait(ev_default_loop(0), &refused.finished, 2));
    ck_assert_str_eq(refused.reason, "absent");
    run_fixture_fini(&refused);
    rb_workers_free(workers);
    settle();
}
END_TEST

START_TEST(slow_runs_do_not_take_the_whole_pool)
{
    struct rb_workers *workers = pool(2);
    struct work slow, quick, *slow_options = &slow, *quick_options = &quick;
    gate_init(&slow, true);
    gate_init(&quick, false);
    struct run_fixture holders[2], other;
    for (int i = 0; i < 2; i++) {
        run_fixture_init(&holders[i], &kind, &slow_options, "/", 10000);
        rb_workers_start(workers, &holders[i].run);
    }
    run_fixture_init(&other, &kind, &quick_options, "/", 10000);
    rb_workers_start(workers, &other.run);
    ck_assert(run_fixture_wait(ev_default_loop(0), &other.finished, 2));
    ck_assert(other.after_s < 0.6);
    gate_open(&slow);
    for (int i = 0; i < 2; i++) {
        ck_assert(run_fixture_wait(ev_default_loop(0), &holders[i].finished, 2));
        ck_assert_str_eq(holders[i].reason, "absent");
        run_fixture_fini(&holders[i]);
    }
    run_fixture_fini(&other);
    for (int i = 0; i < 100 && rb_workers_stats(workers).threads > 2; i++)
        usleep(5000);
    ck_assert_uint_eq(rb_workers_stats(workers).threads, 2);
    rb_workers_free(workers);
    settle();
}
END_TEST

START_TEST(free_cancels_without_waiting)
{
    struct rb_workers *workers = pool(1);
    struct work hung, *options = &hung;
    gate_init(&hung, true);
    struct run_fixture running, queued;
    run_fixture_init(&running, &kind, &options, "/", 60000);
    run_fixture_init(&queued, &kind, &options, "/", 60000);
    rb_workers_start(workers, &running.run);
    while (rb_workers_stats(workers).busy == 0)
        usleep(1000);
    rb_workers_start(workers, &queued.run);
    rb_workers_free(workers);
    ck_assert(running.finished && queued.finished);
    ck_assert_str_eq(running.reason, "cancelled");
    ck_assert_str_eq(queued.reason, "cancelled");
    run_fixture_fini(&running);
    run_fixture_fini(&queued);
    /* The thread still owns what it works on; it must be able to end in peace. */
    gate_open(&hung);
    for (int i = 0; i < 200 && gate_left(&hung) == 0; i++)
        usleep(5000);
    ck_assert_int_eq(gate_left(&hung), 1);
    settle();
    rb_workers_free(NULL);
}
END_TEST

struct task_log {
    int worked[8], done_count;
    int worked_count;
    bool all_done;
};
struct task_arg {
    struct task_log *log;
    int number;
};

static void task_work(void *arg)
{
    struct task_arg *task = arg;
    task->log->worked[task->log->worked_count++] = task->number;
}

static void task_done(void *arg)
{
    struct task_arg *task = arg;
    ck_assert_int_eq(task->number, task->log->done_count);
    task->log->all_done = ++task->log->done_count == 8;
}

START_TEST(tasks_run_in_order_beside_a_hung_pool)
{
    struct rb_workers *workers = pool(1);
    struct work hung, *options = &hung;
    gate_init(&hung, true);
    struct run_fixture holder;
    run_fixture_init(&holder, &kind, &options, "/", 60000);
    rb_workers_start(workers, &holder.run);
    struct task_log log = {0};
    struct task_arg args[8];
    struct rb_error err;
    for (int i = 0; i < 8; i++) {
        args[i] = (struct task_arg){&log, i};
        ck_assert_int_eq(rb_workers_task(workers, task_work, task_done, &args[i], &err), 0);
    }
    ck_assert(run_fixture_wait(ev_default_loop(0), &log.all_done, 2));
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(log.worked[i], i);
    /* What is still queued when the pool ends is carried out. */
    struct task_log last = {0};
    struct task_arg last_arg = {&last, 0};
    ck_assert_int_eq(rb_workers_task(workers, task_work, task_done, &last_arg, &err), 0);
    rb_workers_free(workers);
    ck_assert_int_eq(last.worked_count, 1);
    ck_assert_int_eq(last.done_count, 1);
    ck_assert_str_eq(holder.reason, "cancelled");
    run_fixture_fini(&holder);
    gate_open(&hung);
    for (int i = 0; i < 200 && gate_left(&hung) == 0; i++)
        usleep(5000);
    settle();
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("workers");
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, result_and_memory_come_back);
    tcase_add_test(tcase, hanging_run_times_out_and_its_thread_is_replaced);
    tcase_add_test(tcase, four_abandoned_threads_exhaust_the_pool_until_one_returns);
    tcase_add_test(tcase, slow_runs_do_not_take_the_whole_pool);
    tcase_add_test(tcase, free_cancels_without_waiting);
    tcase_add_test(tcase, tasks_run_in_order_beside_a_hung_pool);
    Suite *suite = suite_create("workers");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
