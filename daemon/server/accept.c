/* The accept thread: takes connections off our own listeners and hands them to libmicrohttpd, which knows only one listening socket of its own.
 *
 * It also keeps time for all of them: request deadlines, waits. With no connection open it sleeps until one comes. At the limit it leaves new ones in
 * the kernel's queue (4,096) and sheds old incomplete ones, so that slow clients cost others a delay and not the service. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "internal.h"
#include "runbook/base/log.h"
#include "runbook/platform/platform.h"

#define ACCEPT_BATCH 64u

void rb_accept_wake(struct rb_server *server)
{
    /* A full pipe wakes as well. */
    ssize_t written = write(server->wake[1], "", 1);
    (void)written;
}

static bool peer_allowed(struct rb_server *server, int fd)
{
    uid_t uid;
    struct rb_error err;
    return server->platform->peer_uid(fd, &uid, &err) == 0 && (uid == 0 || uid == geteuid());
}

static void hand_over(struct rb_server *server, int fd, const struct rb_listen_socket *listener)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;
    int on = 1;
    bool ready = fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0 &&
                 getpeername(fd, (struct sockaddr *)&address, &len) == 0;
    if (listener->unix_socket) {
        ready = ready && peer_allowed(server, fd);
        /* libmicrohttpd counts by address: a unix peer has none */
        address.ss_family = AF_UNIX;
        len = sizeof(struct sockaddr);
    } else {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    struct rb_slot *slot = ready ? rb_slot_add(server, fd, listener) : NULL;
    if (!slot) {
        (void)close(fd);
        return;
    }
    if (MHD_add_connection(server->mhd, fd, (struct sockaddr *)&address, len) != MHD_YES)
        rb_slot_drop(server, slot); /* it closed the descriptor itself */
}

static bool at_limit(struct rb_server *server)
{
    pthread_mutex_lock(&server->lock);
    bool full = server->open >= server->connections_max;
    pthread_mutex_unlock(&server->lock);
    return full;
}

/* Returns true when the limit stopped it. */
static bool accept_from(struct rb_server *server, const struct rb_listen_socket *listener)
{
    for (unsigned i = 0; i < ACCEPT_BATCH; i++) {
        if (at_limit(server)) {
            rb_slots_shed(server);
            return true;
        }
        int fd = accept(listener->fd, NULL, NULL);
        if (fd < 0)
            return errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS;
        hand_over(server, fd, listener);
    }
    return false;
}

static void drain(int fd)
{
    char bytes[64];
    while (read(fd, bytes, sizeof bytes) > 0)
        continue;
}

void *rb_accept_thread(void *arg)
{
    struct rb_server *server = arg;
    struct pollfd polls[RB_LISTENERS_MAX + 1] = {{.fd = server->wake[0], .events = POLLIN}};
    for (size_t i = 0; i < server->listener_count; i++)
        polls[i + 1] = (struct pollfd){.fd = server->listeners[i].fd, .events = POLLIN};
    bool full = false;
    while (!atomic_load(&server->stopping)) {
        int wait_ms = rb_slots_tick(server);
        rb_waits_tick(server);
        nfds_t count = full ? 1 : (nfds_t)server->listener_count + 1;
        int ready = poll(polls, count, full ? 5 : wait_ms);
        if (ready > 0 && (polls[0].revents & POLLIN))
            drain(server->wake[0]);
        bool was_full = full;
        full = false;
        for (size_t i = 0; !was_full && ready > 0 && i < server->listener_count; i++) {
            if (polls[i + 1].revents & POLLIN)
                full = accept_from(server, &server->listeners[i]) || full;
        }
    }
    return NULL;
}
