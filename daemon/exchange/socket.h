/* One stream connection for the steps of an exchange: TCP or unix, plain or TLS, never blocking. Loop thread only. */
#ifndef RUNBOOKD_EXCHANGE_SOCKET_H
#define RUNBOOKD_EXCHANGE_SOCKET_H

#include <ev.h>

#include "resolver.h"
#include "runbook/check/kind.h"
#include "tls.h"

enum { RB_SOCKET_MAX_RECEIVE = 1024 * 1024 };

struct rb_socket;

struct rb_socket_env {
    struct ev_loop *loop;
    const struct rb_clock *clock;
    struct rb_resolver *resolver;
    struct rb_tls_cache *cache;
    struct rb_arena *arena; /* of the run */
    /* One event for each of the calls below; possibly before the call returns. Not after rb_socket_close. */
    void (*event)(void *arg, const struct rb_event *event);
    void *arg;
};

/* A socket for the action's `connect` part; `left_ms` is the time that its addresses share. NULL when memory is out. */
struct rb_socket *rb_socket_new(const struct rb_socket_env *env, const struct rb_action *action, int64_t left_ms);
/* Connects; then CONNECTED or FAILED. Apart from rb_socket_new, so that the owner knows the socket when the event comes. */
void rb_socket_begin(struct rb_socket *socket);
/* All bytes, then SENT, or FAILED. */
void rb_socket_send(struct rb_socket *socket, const void *bytes, size_t len);
/* Drops `consume` bytes, then DATA as soon as there are bytes that no DATA event has shown since the last send or consume; CLOSED; FAILED. `max` 0: the engine's limit. */
void rb_socket_await(struct rb_socket *socket, size_t consume, size_t max);
/* The caller's time for the step is over: FAILED with the failure of its phase. */
void rb_socket_expire(struct rb_socket *socket);
/* NULL is fine. */
void rb_socket_close(struct rb_socket *socket);

#endif
