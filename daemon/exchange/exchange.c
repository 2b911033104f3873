/* The driver of exchange kinds: carries out the actions that a kind's state machine asks for and feeds it the events.
 *
 * Everything of one exchange lives in its run's arena, but bodies and receive buffers, which are released when it ends. An action that ends at once (a refused
 * connection, a known address) does not recurse: its event is noted and the loop in `deliver` goes on, so that no sequence of steps can exhaust the stack.
 *
 * Invariants: at most one operation is in progress per exchange; `timer` runs exactly while one is; rb_run_finish is called once, from `finish`, and nothing of the
 * exchange is touched afterwards. The deadline is ours: operations have none of their own, they are told when their time is over and say in which phase. */
#include <stdlib.h>
#include <string.h>

#include "../run.h"
#include "http.h"
#include "resolver.h"
#include "socket.h"
#include "tls.h"

enum { MAX_STEPS = 1024, MAX_LATE_STEPS = 4, MAX_TRANSFERS = 64 };

enum operation { OP_NONE, OP_HTTP, OP_SOCKET, OP_RESOLVE, OP_CHILD };

struct exchange {
    struct rb_exchanges *owner;
    struct exchange *next, *prev;
    struct rb_run *run;
    void *state;
    struct rb_action action;
    enum operation operation;
    ev_timer timer;
    int64_t step_deadline_ns;
    unsigned steps, late_steps;
    bool stepping, has_pending;
    struct rb_event pending;
    struct rb_http_transfer *transfers[MAX_TRANSFERS]; /* kept to the end: events point into them; the last one may be running */
    size_t transfer_count;
    struct rb_socket *socket;
    struct rb_resolve_wait wait;
    struct rb_child_process *child;
};

struct rb_exchanges {
    struct ev_loop *loop;
    const struct rb_clock *clock;
    struct rb_resolver *resolver;
    struct rb_tls_cache *cache;
    struct rb_http *http;
    struct rb_children *children; /* or NULL */
    struct exchange *active;
    struct rb_exchange_stats stats;
};

struct rb_exchanges *rb_exchanges_new(struct ev_loop *loop, const struct rb_clock *clock, struct rb_error *err)
{
    struct rb_exchanges *exchanges = calloc(1, sizeof *exchanges);
    if (!exchanges) {
        rb_error_set(err, RB_ENOMEM, "no memory for network probes");
        return NULL;
    }
    exchanges->loop = loop;
    exchanges->clock = clock;
    exchanges->cache = rb_tls_cache_new();
    if (!exchanges->cache)
        rb_error_set(err, RB_ENOMEM, "no memory for network probes");
    else
        exchanges->resolver = rb_resolver_new(loop, err);
    if (exchanges->resolver)
        exchanges->http = rb_http_new(loop, clock, exchanges->resolver, exchanges->cache, err);
    if (exchanges->http)
        return exchanges;
    rb_exchanges_free(exchanges);
    return NULL;
}

static void finish(struct exchange *exchange)
{
    struct rb_exchanges *owner = exchange->owner;
    ev_timer_stop(owner->loop, &exchange->timer);
    rb_resolver_cancel(&exchange->wait);
    rb_socket_close(exchange->socket);
    if (exchange->child)
        rb_child_process_forget(exchange->child);
    if (exchange->prev)
        exchange->prev->next = exchange->next;
    else
        owner->active = exchange->next;
    if (exchange->next)
        exchange->next->prev = exchange->prev;
    owner->stats.active--;
    owner->stats.completed++;
    struct rb_run *run = exchange->run;
    run->engine_data = NULL;
    for (size_t i = 0; i < exchange->transfer_count; i++)
        rb_http_transfer_free(exchange->transfers[i]);
    rb_run_finish(run);
}

void rb_exchanges_free(struct rb_exchanges *exchanges)
{
    if (!exchanges)
        return;
    while (exchanges->active) {
        rb_outcome_set(&exchanges->active->run->outcome, RB_RESULT_UNKNOWN, "cancelled", "cancelled: runbookd stops");
        finish(exchanges->active);
    }
    rb_http_free(exchanges->http);
    rb_resolver_free(exchanges->resolver);
    rb_tls_cache_free(exchanges->cache);
    free(exchanges);
}

void rb_exchanges_use_children(struct rb_exchanges *exchanges, struct rb_children *children)
{
    exchanges->children = children;
}

struct rb_exchange_stats rb_exchanges_stats(const struct rb_exchanges *exchanges)
{
    return exchanges->stats;
}

static void deliver(struct exchange *exchange, const struct rb_event *event);

static void on_http(void *arg, const struct rb_http_response *response)
{
    struct rb_event event = {.type = RB_EVENT_HTTP, .http = response, .failure = response->failure, .detail = response->detail};
    deliver(arg, &event);
}

static void on_socket(void *arg, const struct rb_event *event)
{
    deliver(arg, event);
}

static void deliver_failure(struct exchange *exchange, enum rb_net_failure failure, const char *detail)
{
    struct rb_event event = {.type = RB_EVENT_FAILED, .failure = failure, .detail = detail};
    deliver(exchange, &event);
}

static void on_resolved(void *arg, const struct rb_resolve_result *result)
{
    struct exchange *exchange = arg;
    struct rb_arena *arena = exchange->run->arena;
    if (result->failure != RB_NET_OK) {
        deliver_failure(exchange, result->failure, result->detail);
        return;
    }
    struct rb_event event = {.type = RB_EVENT_RESOLVED};
    const char **items = rb_arena_array(arena, result->count + 1, sizeof *items);
    for (size_t i = 0; items && i < result->count; i++) {
        char text[RB_ADDRESS_TEXT];
        items[i] = rb_arena_strdup(arena, rb_address_print(&result->items[i], text));
    }
    event.addresses = (struct rb_strings){items, items ? result->count : 0};
    deliver(exchange, &event);
}

static int64_t left_ns(const struct exchange *exchange)
{
    return exchange->step_deadline_ns - rb_elapsed_ns(exchange->owner->clock);
}

static void arm(struct exchange *exchange)
{
    int64_t left = left_ns(exchange);
    ev_timer_stop(exchange->owner->loop, &exchange->timer);
    ev_timer_set(&exchange->timer, left > 0 ? (double)left / 1e9 : 0., 0.);
    ev_timer_start(exchange->owner->loop, &exchange->timer);
}

static void on_time_over(struct ev_loop *loop RB_UNUSED, ev_timer *timer, int events RB_UNUSED)
{
    struct exchange *exchange = timer->data;
    /* libev counts from the time it read at the start of its round: a busy round makes the timer early. */
    if (left_ns(exchange) > RB_NS_PER_MS) {
        arm(exchange);
        return;
    }
    switch (exchange->operation) {
    case OP_HTTP:
        rb_http_expire(exchange->transfers[exchange->transfer_count - 1]);
        break;
    case OP_SOCKET:
        rb_socket_expire(exchange->socket);
        break;
    case OP_RESOLVE:
        rb_resolver_cancel(&exchange->wait);
        deliver_failure(exchange, RB_NET_DNS_TIMEOUT, "no answer from the name server");
        break;
    case OP_CHILD: /* the process has the same deadline; its end comes as its event */
    case OP_NONE:
        break;
    }
}

static void begin_http(struct exchange *exchange)
{
    struct rb_http_call call = {.request = &exchange->action.http, .arena = exchange->run->arena, .done = on_http, .arg = exchange};
    int64_t timeout_ms = exchange->action.http.timeout_ms;
    int64_t now = rb_elapsed_ns(exchange->owner->clock);
    if (timeout_ms > 0 && now + timeout_ms * RB_NS_PER_MS < exchange->step_deadline_ns)
        exchange->step_deadline_ns = now + timeout_ms * RB_NS_PER_MS;
    call.left_ms = left_ns(exchange) / RB_NS_PER_MS;
    /* The request outlives this action: it stays valid while later actions overwrite exchange->action. */
    struct rb_http_request *request = rb_arena_alloc(call.arena, sizeof *request);
    struct rb_http_transfer *transfer = NULL;
    if (request && exchange->transfer_count < MAX_TRANSFERS) {
        *request = exchange->action.http;
        call.request = request;
        transfer = rb_http_start(exchange->owner->http, &call);
    }
    if (transfer)
        exchange->transfers[exchange->transfer_count++] = transfer;
    else
        deliver_failure(exchange, RB_NET_OTHER, "the run needs more memory or requests than one run may have");
    exchange->operation = OP_HTTP;
}

static void begin_connect(struct exchange *exchange)
{
    struct rb_socket_env env = {.loop = exchange->owner->loop,
                                .clock = exchange->owner->clock,
                                .resolver = exchange->owner->resolver,
                                .cache = exchange->owner->cache,
                                .arena = exchange->run->arena,
                                .event = on_socket,
                                .arg = exchange};
    rb_socket_close(exchange->socket);
    exchange->socket = rb_socket_new(&env, &exchange->action, left_ns(exchange) / RB_NS_PER_MS);
    exchange->operation = OP_SOCKET;
    if (exchange->socket)
        rb_socket_begin(exchange->socket);
    else
        deliver_failure(exchange, RB_NET_OTHER, "no memory left for this run");
}

static void begin_resolve(struct exchange *exchange)
{
    exchange->operation = OP_RESOLVE;
    exchange->wait.done = on_resolved;
    exchange->wait.arg = exchange;
    if (exchange->action.resolve.name)
        rb_resolver_start(exchange->owner->resolver, exchange->action.resolve.name, exchange->action.resolve.ip_version, &exchange->wait);
    else
        deliver_failure(exchange, RB_NET_DNS, "no name to look up");
}

/* The process's buffers end with this call, the event's must not. */
static void on_child(void *arg, const struct rb_child_result *result)
{
    struct exchange *exchange = arg;
    struct rb_arena *arena = exchange->run->arena;
    exchange->child = NULL;
    if (!result) {
        deliver_failure(exchange, RB_NET_OTHER, "given up: the daemon stops");
        return;
    }
    struct rb_child_result *kept = rb_arena_alloc(arena, sizeof *kept);
    const char *out = rb_arena_strndup(arena, result->out ? result->out : "", result->out_len);
    const char *err = rb_arena_strndup(arena, result->err ? result->err : "", result->err_len);
    if (!kept || !out || !err) {
        deliver_failure(exchange, RB_NET_OTHER, "no memory left for this run");
        return;
    }
    *kept = *result;
    kept->out = out;
    kept->err = err;
    kept->program = rb_arena_strdup(arena, result->program);
    struct rb_event event = {.type = RB_EVENT_CHILD, .child = kept};
    deliver(exchange, &event);
}

static void begin_child(struct exchange *exchange)
{
    exchange->operation = OP_CHILD;
    struct rb_children *children = exchange->owner->children;
    struct rb_child_spec *spec = rb_arena_alloc(exchange->run->arena, sizeof *spec);
    if (!children || !spec || !exchange->action.child.argv) {
        deliver_failure(exchange, RB_NET_OTHER, children ? "no memory left for this run" : "no program can be started here");
        return;
    }
    *spec = exchange->action.child;
    struct rb_child_call call = {
        .run = exchange->run, .spec = spec, .deadline_ns = exchange->step_deadline_ns, .done = on_child, .arg = exchange};
    exchange->child = rb_children_call(children, &call);
}

/* Starts what the kind asked for; the event comes later or is pending when this returns. */
static void begin(struct exchange *exchange)
{
    const struct rb_action *action = &exchange->action;
    int64_t now = rb_elapsed_ns(exchange->owner->clock);
    exchange->step_deadline_ns = exchange->run->deadline_ns;
    if (action->timeout_ms > 0 && now + action->timeout_ms * RB_NS_PER_MS < exchange->step_deadline_ns)
        exchange->step_deadline_ns = now + action->timeout_ms * RB_NS_PER_MS;
    if (now >= exchange->run->deadline_ns && exchange->late_steps++ > 0) {
        deliver_failure(exchange, RB_NET_TIMEOUT, "the run's time is over");
        return;
    }
    if (action->type == RB_ACTION_HTTP) {
        begin_http(exchange);
    } else if (action->type == RB_ACTION_CONNECT) {
        begin_connect(exchange);
    } else if (action->type == RB_ACTION_RESOLVE) {
        begin_resolve(exchange);
    } else if (action->type == RB_ACTION_CHILD) {
        begin_child(exchange);
    } else if (!exchange->socket) {
        deliver_failure(exchange, RB_NET_CLOSED, "there is no connection");
    } else {
        exchange->operation = OP_SOCKET;
        if (action->type == RB_ACTION_SEND)
            rb_socket_send(exchange->socket, action->send.bytes, action->send.len);
        else
            rb_socket_await(exchange->socket, action->await.consume, action->await.max);
    }
}

/* True when the exchange goes on with exchange->action. */
static bool step(struct exchange *exchange, const struct rb_event *event)
{
    struct rb_run *run = exchange->run;
    memset(&exchange->action, 0, sizeof exchange->action);
    exchange->operation = OP_NONE;
    run->kind->exchange->step(&run->ctx, exchange->state, event, &exchange->action, &run->outcome);
    if (exchange->action.type == RB_ACTION_DONE)
        return false;
    if (++exchange->steps > MAX_STEPS) {
        rb_outcome_set(&run->outcome, RB_RESULT_UNKNOWN, "internal_error", "the check asked for more than %d steps", MAX_STEPS);
        return false;
    }
    if (exchange->late_steps > MAX_LATE_STEPS) {
        rb_outcome_set(&run->outcome, RB_RESULT_FAIL, "timeout", "the check did not end when its time was over");
        return false;
    }
    return true;
}

static void deliver(struct exchange *exchange, const struct rb_event *event)
{
    ev_timer_stop(exchange->owner->loop, &exchange->timer);
    if (exchange->stepping) {
        exchange->pending = *event;
        exchange->has_pending = true;
        return;
    }
    struct rb_event current = *event;
    exchange->stepping = true;
    while (step(exchange, &current)) {
        begin(exchange);
        if (!exchange->has_pending) {
            exchange->stepping = false;
            arm(exchange);
            return;
        }
        current = exchange->pending;
        exchange->has_pending = false;
    }
    finish(exchange);
}

void rb_exchanges_start(struct rb_exchanges *exchanges, struct rb_run *run)
{
    const struct rb_exchange_ops *ops = run->kind->exchange;
    struct exchange *exchange = rb_arena_alloc(run->arena, sizeof *exchange);
    /* The worker part, where there is one, has begun to fill it. */
    void *state = run->ctx.state ? run->ctx.state : rb_arena_alloc(run->arena, ops->state_size ? ops->state_size : 1);
    if (!exchange || !state) {
        rb_outcome_set(&run->outcome, RB_RESULT_UNKNOWN, "resource_limit", "no memory left for this run");
        rb_run_finish(run);
        return;
    }
    exchange->owner = exchanges;
    exchange->run = run;
    exchange->state = state;
    ev_init(&exchange->timer, on_time_over);
    exchange->timer.data = exchange;
    exchange->next = exchanges->active;
    if (exchange->next)
        exchange->next->prev = exchange;
    exchanges->active = exchange;
    exchanges->stats.active++;
    run->engine_data = exchange;
    struct rb_event start = {.type = RB_EVENT_START};
    deliver(exchange, &start);
}
