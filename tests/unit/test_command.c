/* The command queue: order, bound, wake-up from another thread, what is left at the end. */
#include <ev.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "../support/check_main.h"
#include "command.h"

struct seen {
    struct ev_loop *loop;
    unsigned handled, wanted, completed, stopping;
    char order[RB_COMMAND_QUEUE_MAX];
};

static void on_completed(struct rb_command *command, void *arg)
{
    struct seen *seen = arg;
    seen->completed++;
    seen->stopping += strcmp(command->problem, "stopping") == 0;
}

static void handle(struct rb_command *command, void *arg)
{
    struct seen *seen = arg;
    seen->order[seen->handled++ % RB_COMMAND_QUEUE_MAX] = command->name[0];
    command->status = 200;
    rb_command_complete(command);
    if (seen->handled == seen->wanted)
        ev_break(seen->loop, EVBREAK_ALL);
}

static struct rb_command *make(struct seen *seen, char name)
{
    struct rb_command *command = rb_command_new(RB_COMMAND_RUN);
    ck_assert_ptr_nonnull(command);
    command->name[0] = name;
    command->completed = on_completed;
    command->arg = seen;
    return command;
}

START_TEST(test_order_and_bound)
{
    struct seen seen = {.loop = ev_loop_new(0), .wanted = RB_COMMAND_QUEUE_MAX};
    struct rb_command_queue *queue = rb_command_queue_new(seen.loop, handle, &seen);
    ck_assert_ptr_nonnull(queue);
    for (unsigned i = 0; i < RB_COMMAND_QUEUE_MAX; i++) {
        struct rb_command *command = make(&seen, (char)('0' + i));
        ck_assert(rb_command_submit(queue, command));
        rb_command_unref(command);
    }
    struct rb_command *extra = make(&seen, 'x');
    ck_assert(!rb_command_submit(queue, extra));
    ev_ref(seen.loop); /* the queue alone keeps no loop alive */
    ev_run(seen.loop, 0);
    ev_unref(seen.loop);
    ck_assert_uint_eq(seen.handled, RB_COMMAND_QUEUE_MAX);
    ck_assert_uint_eq(seen.completed, RB_COMMAND_QUEUE_MAX);
    for (unsigned i = 0; i < RB_COMMAND_QUEUE_MAX; i++)
        ck_assert_int_eq(seen.order[i], (char)('0' + i));
    ck_assert(rb_command_submit(queue, extra)); /* room again */
    rb_command_unref(extra);
    rb_command_queue_free(queue);
    ck_assert_uint_eq(seen.stopping, 1);
    ev_loop_destroy(seen.loop);
}
END_TEST

/* A burst of GET /triage leaves room for the others, and the other way round; what opens an incident is one of the others. */
START_TEST(test_rounds_are_counted_apart)
{
    struct seen seen = {.loop = ev_loop_new(0), .wanted = RB_COMMAND_QUEUE_MAX + RB_COMMAND_ROUNDS_MAX};
    struct rb_command_queue *queue = rb_command_queue_new(seen.loop, handle, &seen);
    for (unsigned turn = 0; turn < 2; turn++) {
        for (unsigned i = 0; i < RB_COMMAND_QUEUE_MAX + RB_COMMAND_ROUNDS_MAX + 2; i++) {
            struct rb_command *command = make(&seen, 'r');
            bool plain = i > RB_COMMAND_QUEUE_MAX;
            command->type = plain || i % 2 ? RB_COMMAND_ROUND : RB_COMMAND_RUN;
            command->opens_incident = !plain && i % 2;
            bool over = i == RB_COMMAND_QUEUE_MAX || i > RB_COMMAND_QUEUE_MAX + RB_COMMAND_ROUNDS_MAX;
            ck_assert_int_eq(rb_command_submit(queue, command), !over);
            rb_command_unref(command);
        }
        seen.handled = 0;
        ev_ref(seen.loop);
        ev_run(seen.loop, 0);
        ev_unref(seen.loop);
        ck_assert_uint_eq(seen.handled, seen.wanted);
    }
    rb_command_queue_free(queue);
    ev_loop_destroy(seen.loop);
}
END_TEST

static void *submit_some(void *arg)
{
    void **args = arg;
    for (unsigned i = 0; i < 1000; i++) {
        struct rb_command *command = make(args[1], 'a');
        while (!rb_command_submit(args[0], command))
            (void)sched_yield();
        rb_command_unref(command);
    }
    return NULL;
}

START_TEST(test_from_another_thread)
{
    struct seen seen = {.loop = ev_loop_new(0), .wanted = 2000};
    struct rb_command_queue *queue = rb_command_queue_new(seen.loop, handle, &seen);
    void *args[] = {queue, &seen};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, submit_some, args), 0);
    ev_ref(seen.loop);
    ev_run(seen.loop, 0);
    ev_unref(seen.loop);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(seen.completed, 2000);
    rb_command_queue_free(queue);
    ev_loop_destroy(seen.loop);
}
END_TEST

START_TEST(test_free_accepts_null)
{
    rb_command_queue_free(NULL);
    rb_command_unref(NULL);
    struct rb_command *command = rb_command_new(RB_COMMAND_ROUND);
    ck_assert_int_eq(command->status, 503); /* until somebody answers */
    ck_assert_ptr_eq(rb_command_ref(command), command);
    rb_command_unref(command);
    rb_command_unref(command);
}
END_TEST

RB_TEST_MAIN("command", test_order_and_bound, test_rounds_are_counted_apart, test_from_another_thread, test_free_accepts_null)
