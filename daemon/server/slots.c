/* The registry of open connections: deadlines for whole requests, which libmicrohttpd does not have (its timeout is for inactivity, so one byte a second
 * keeps a connection for ever), and the choice of what to close under pressure.
 *
 * Only the accept thread shuts a descriptor, and only while the slot is in the list; libmicrohttpd's thread takes the slot out (rb_slot_notify) before it
 * closes the descriptor. So a descriptor number that was used again is never shut by mistake. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "internal.h"

#define BEHIND_TIMES 2 /* a request that lies unread may take so many times its deadline */

struct rb_slot *rb_slot_add(struct rb_server *server, int fd, const struct rb_listen_socket *listener)
{
    struct rb_slot *slot = calloc(1, sizeof *slot);
    if (!slot)
        return NULL;
    slot->fd = fd;
    slot->listener = listener;
    slot->phase = RB_SLOT_READING;
    slot->since_ns = rb_server_now(server);
    pthread_mutex_lock(&server->lock);
    slot->prev = server->slots_last;
    if (slot->prev)
        slot->prev->next = slot;
    else
        server->slots = slot;
    server->slots_last = slot;
    server->open++;
    pthread_mutex_unlock(&server->lock);
    return slot;
}

static void unlink_slot(struct rb_server *server, struct rb_slot *slot)
{
    if (slot->prev)
        slot->prev->next = slot->next;
    else
        server->slots = slot->next;
    if (slot->next)
        slot->next->prev = slot->prev;
    else
        server->slots_last = slot->prev;
    server->open--;
}

void rb_slot_drop(struct rb_server *server, struct rb_slot *slot)
{
    pthread_mutex_lock(&server->lock);
    unlink_slot(server, slot);
    pthread_mutex_unlock(&server->lock);
    free(slot);
}

void rb_slot_phase(struct rb_server *server, struct rb_slot *slot, enum rb_slot_phase phase)
{
    if (!slot)
        return;
    int64_t now = rb_server_now(server);
    pthread_mutex_lock(&server->lock);
    slot->phase = phase;
    slot->since_ns = now;
    slot->quiet_ns = 0;
    pthread_mutex_unlock(&server->lock);
}

static struct rb_slot *find_new(struct rb_server *server, int fd)
{
    for (struct rb_slot *slot = server->slots_last; slot; slot = slot->prev) {
        if (slot->fd == fd && !slot->started)
            return slot;
    }
    return NULL;
}

void rb_slot_notify(void *cls, struct MHD_Connection *connection, void **socket_context, enum MHD_ConnectionNotificationCode code)
{
    struct rb_server *server = cls;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        pthread_mutex_lock(&server->lock);
        struct rb_slot *slot = info ? find_new(server, info->connect_fd) : NULL;
        if (slot)
            slot->started = true;
        pthread_mutex_unlock(&server->lock);
        *socket_context = slot;
    } else if (*socket_context) {
        rb_request_abandon(*socket_context);
        rb_slot_drop(server, *socket_context);
        *socket_context = NULL;
    }
}

/* ---- deadlines ---- */

static int64_t allowance(const struct rb_server *server, enum rb_slot_phase phase)
{
    switch (phase) {
    case RB_SLOT_READING:
        return server->request_deadline_ns;
    case RB_SLOT_IDLE:
        return RB_IDLE_DEADLINE;
    case RB_SLOT_SENDING:
        return RB_SEND_DEADLINE;
    case RB_SLOT_WAITING:
        break;
    }
    return INT64_MAX; /* waiters have deadlines of their own */
}

/* A request that was not complete in time is told so where the socket takes it at once; SIGPIPE is blocked on this thread. */
static void shut(struct rb_slot *slot, bool tell)
{
    static const char late[] = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n"
                               "X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n\r\n";
    if (tell)
        (void)send(slot->fd, late, sizeof late - 1, MSG_DONTWAIT);
    (void)shutdown(slot->fd, SHUT_RDWR);
    slot->doomed = true;
}

/* Bytes that nobody has taken yet: then the server is behind, not the client. */
static bool has_unread(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* A request that lies unread is late because of the server: it gets more time, though not for ever. */
static bool is_late(const struct rb_server *server, const struct rb_slot *slot, int64_t now)
{
    int64_t allowed = allowance(server, slot->phase), passed = now - slot->since_ns;
    if (slot->doomed || passed < allowed)
        return false;
    bool behind = slot->started && slot->phase == RB_SLOT_READING && passed / BEHIND_TIMES < allowed && has_unread(slot->fd);
    return !behind;
}

int rb_slots_tick(struct rb_server *server)
{
    int64_t now = rb_server_now(server);
    int next_ms = -1;
    struct rb_slot *dead = NULL;
    pthread_mutex_lock(&server->lock);
    for (struct rb_slot *slot = server->slots, *next; slot; slot = next) {
        next = slot->next;
        if (is_late(server, slot, now)) {
            server->stats.timeouts += slot->phase != RB_SLOT_IDLE;
            if (slot->started) {
                shut(slot, slot->phase == RB_SLOT_READING);
            } else {
                /* libmicrohttpd never took it: the descriptor is gone already */
                unlink_slot(server, slot);
                slot->next = dead;
                dead = slot;
                continue;
            }
        }
        int want = slot->phase == RB_SLOT_IDLE ? 1000 : 100;
        next_ms = next_ms < 0 || want < next_ms ? want : next_ms;
    }
    pthread_mutex_unlock(&server->lock);
    while (dead) {
        struct rb_slot *next = dead->next;
        free(dead);
        dead = next;
    }
    return next_ms;
}

/* Two looks, some time apart: between the read of a request and the change of its phase the HTTP thread may have lost the processor. */
static bool is_slow_client(struct rb_slot *slot, int64_t now)
{
    if (has_unread(slot->fd)) {
        slot->quiet_ns = 0;
        return false;
    }
    if (slot->phase == RB_SLOT_IDLE)
        return true;
    if (slot->quiet_ns == 0)
        slot->quiet_ns = now;
    return slot->phase == RB_SLOT_READING && now - slot->quiet_ns >= RB_SHED_MIN_AGE;
}

void rb_slots_shed(struct rb_server *server)
{
    int64_t now = rb_server_now(server);
    unsigned left = 32;
    pthread_mutex_lock(&server->lock);
    for (struct rb_slot *slot = server->slots; slot && left; slot = slot->next) {
        bool waits_for_client = slot->phase == RB_SLOT_IDLE || slot->phase == RB_SLOT_READING;
        if (slot->doomed || !slot->started || !waits_for_client || !is_slow_client(slot, now))
            continue;
        shut(slot, false);
        server->stats.shed++;
        left--;
    }
    pthread_mutex_unlock(&server->lock);
}
