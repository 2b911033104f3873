/* The bounded way from the HTTP thread into the loop: a list under a mutex and an ev_async that wakes the loop.
 *
 * ev_async_send is the one libev call that another thread may make. The handler runs without the lock held, so it may take as long as the loop allows and
 * a submit never waits for it. */
#include <ev.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

struct rb_command_queue {
    struct ev_loop *loop;
    ev_async wake;
    pthread_mutex_t lock; /* guards the list and the counts */
    struct rb_command *head, *tail;
    unsigned count, rounds; /* all but plain rounds; plain rounds */
    void (*handler)(struct rb_command *command, void *arg);
    void *arg;
};

/* The count that a command belongs to. */
static unsigned *count_of(struct rb_command_queue *queue, const struct rb_command *command)
{
    return command->type == RB_COMMAND_ROUND && !command->opens_incident ? &queue->rounds : &queue->count;
}

static struct rb_command *take(struct rb_command_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    struct rb_command *command = queue->head;
    if (command) {
        queue->head = command->next;
        if (!queue->head)
            queue->tail = NULL;
        (*count_of(queue, command))--;
        command->next = NULL;
    }
    pthread_mutex_unlock(&queue->lock);
    return command;
}

static void on_wake(struct ev_loop *loop, ev_async *watcher, int events)
{
    (void)loop;
    (void)events;
    struct rb_command_queue *queue = watcher->data;
    /* So many at once: a flood of commands must not starve the loop's timers. */
    for (unsigned i = 0; i < RB_COMMAND_QUEUE_MAX; i++) {
        struct rb_command *command = take(queue);
        if (!command)
            return;
        queue->handler(command, queue->arg);
    }
    ev_async_send(queue->loop, &queue->wake);
}

struct rb_command_queue *rb_command_queue_new(struct ev_loop *loop, void (*handler)(struct rb_command *command, void *arg), void *arg)
{
    struct rb_command_queue *queue = calloc(1, sizeof *queue);
    if (!queue)
        return NULL;
    if (pthread_mutex_init(&queue->lock, NULL) != 0) {
        free(queue);
        return NULL;
    }
    queue->loop = loop;
    queue->handler = handler;
    queue->arg = arg;
    ev_async_init(&queue->wake, on_wake);
    queue->wake.data = queue;
    ev_async_start(loop, &queue->wake);
    ev_unref(loop); /* the queue alone keeps no loop alive */
    return queue;
}

bool rb_command_submit(struct rb_command_queue *queue, struct rb_command *command)
{
    pthread_mutex_lock(&queue->lock);
    unsigned *count = count_of(queue, command);
    bool room = *count < (count == &queue->rounds ? RB_COMMAND_ROUNDS_MAX : RB_COMMAND_QUEUE_MAX);
    if (room) {
        rb_command_ref(command);
        command->next = NULL;
        if (queue->tail)
            queue->tail->next = command;
        else
            queue->head = command;
        queue->tail = command;
        (*count)++;
    }
    pthread_mutex_unlock(&queue->lock);
    if (room)
        ev_async_send(queue->loop, &queue->wake);
    return room;
}

void rb_command_queue_free(struct rb_command_queue *queue)
{
    if (!queue)
        return;
    for (struct rb_command *command = take(queue); command; command = take(queue)) {
        command->status = 503;
        memcpy(command->problem, "stopping", sizeof "stopping");
        rb_buf_adds(&command->detail, "The daemon is stopping.");
        rb_command_complete(command);
    }
    ev_ref(queue->loop);
    ev_async_stop(queue->loop, &queue->wake);
    pthread_mutex_destroy(&queue->lock);
    free(queue);
}
