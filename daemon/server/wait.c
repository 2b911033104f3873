/* Requests that wait for the loop: the connection is suspended until the command completes, the request's own deadline passes, or the client has gone.
 *
 * libmicrohttpd neither times out nor notices a vanished client while a connection is suspended, and aborts the process when it is stopped with one; all three
 * are done here. A waiter has two owners, the request and the command's completion, hence the reference count and a lock of its own: the loop thread
 * never needs the server's lock. Lock order: server, then waiter. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "internal.h"

#define PEEK_EVERY (2 * RB_NS_PER_S)

static void unref(struct rb_waiter *waiter)
{
    if (__atomic_sub_fetch(&waiter->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    rb_command_unref(waiter->command);
    pthread_mutex_destroy(&waiter->lock);
    free(waiter);
}

/* With waiter->lock held. */
static void resume(struct rb_waiter *waiter)
{
    if (waiter->connection && !waiter->resumed)
        MHD_resume_connection(waiter->connection);
    waiter->resumed = true;
}

static void on_completed(struct rb_command *command, void *arg)
{
    (void)command;
    struct rb_waiter *waiter = arg;
    pthread_mutex_lock(&waiter->lock);
    waiter->done = true;
    resume(waiter);
    pthread_mutex_unlock(&waiter->lock);
    unref(waiter);
}

static struct rb_waiter *new_waiter(struct rb_request *request, struct rb_command *command, int64_t deadline_ns)
{
    struct rb_waiter *waiter = calloc(1, sizeof *waiter);
    if (!waiter)
        return NULL;
    if (pthread_mutex_init(&waiter->lock, NULL) != 0) {
        free(waiter);
        return NULL;
    }
    waiter->refs = 2; /* the request's and the completion's */
    waiter->connection = request->connection;
    waiter->command = command;
    waiter->fd = request->slot->fd;
    waiter->deadline_ns = deadline_ns;
    waiter->peek_ns = rb_server_now(request->server) + PEEK_EVERY;
    command->completed = on_completed;
    command->arg = waiter;
    return waiter;
}

bool rb_wait_start(struct rb_request *request, struct rb_command *take_command, int64_t deadline_ns)
{
    struct rb_server *server = request->server;
    struct rb_waiter *waiter = request->slot ? new_waiter(request, take_command, deadline_ns) : NULL;
    if (!waiter) {
        rb_command_unref(take_command);
        return false;
    }
    rb_slot_phase(server, request->slot, RB_SLOT_WAITING);
    pthread_mutex_lock(&server->lock);
    pthread_mutex_lock(&waiter->lock); /* a completion waits until the connection is suspended */
    bool submitted = !atomic_load(&server->stopping) && rb_command_submit(server->queue, take_command);
    if (submitted) {
        waiter->next = server->waiters;
        if (waiter->next)
            waiter->next->prev = waiter;
        server->waiters = waiter;
        request->waiter = waiter;
        MHD_suspend_connection(request->connection);
    }
    pthread_mutex_unlock(&waiter->lock);
    pthread_mutex_unlock(&server->lock);
    if (submitted) {
        rb_accept_wake(server); /* it keeps the deadline */
        return true;
    }
    waiter->refs = 1; /* nobody will complete it */
    unref(waiter);
    return false;
}

bool rb_wait_finished(struct rb_request *request)
{
    pthread_mutex_lock(&request->waiter->lock);
    bool done = request->waiter->done;
    pthread_mutex_unlock(&request->waiter->lock);
    return done;
}

void rb_wait_forget(struct rb_request *request)
{
    struct rb_waiter *waiter = request->waiter;
    if (!waiter)
        return;
    struct rb_server *server = request->server;
    pthread_mutex_lock(&server->lock);
    if (waiter->prev)
        waiter->prev->next = waiter->next;
    else
        server->waiters = waiter->next;
    if (waiter->next)
        waiter->next->prev = waiter->prev;
    pthread_mutex_lock(&waiter->lock);
    waiter->connection = NULL;
    pthread_mutex_unlock(&waiter->lock);
    pthread_mutex_unlock(&server->lock);
    request->waiter = NULL;
    unref(waiter);
}

/* The client closed its side or the connection broke. */
static bool client_gone(int fd)
{
    char byte;
    ssize_t got = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

void rb_waits_tick(struct rb_server *server)
{
    int64_t now = rb_server_now(server);
    pthread_mutex_lock(&server->lock);
    for (struct rb_waiter *waiter = server->waiters; waiter; waiter = waiter->next) {
        pthread_mutex_lock(&waiter->lock);
        bool over = now >= waiter->deadline_ns;
        if (!over && !waiter->resumed && now >= waiter->peek_ns) {
            waiter->peek_ns = now + PEEK_EVERY;
            over = client_gone(waiter->fd);
        }
        if (over)
            resume(waiter);
        pthread_mutex_unlock(&waiter->lock);
    }
    pthread_mutex_unlock(&server->lock);
}

void rb_waits_resume_all(struct rb_server *server)
{
    pthread_mutex_lock(&server->lock);
    for (struct rb_waiter *waiter = server->waiters; waiter; waiter = waiter->next) {
        pthread_mutex_lock(&waiter->lock);
        resume(waiter);
        pthread_mutex_unlock(&waiter->lock);
    }
    pthread_mutex_unlock(&server->lock);
}
