/* The HTTP engine: libcurl's multi interface on libev.
 *
 * libcurl only ever sees numeric addresses (CURLOPT_RESOLVE filled from our resolver): its own resolver would block the loop or start threads. Each hop of a redirect
 * is a request of its own, so that it passes through the resolver, the rules for credentials and the limits again. Every probe opens a fresh connection:
 * that is what it measures. Easy handles and socket watchers are reused, which keeps a probe free of large allocations.
 *
 * Invariants: a transfer is waiting for a name (wait.lookup), in the multi handle (in_multi), or finished. `done` runs outside of libcurl's callbacks, so it
 * may start further transfers. No curl call sets a deadline shorter than the caller's: rb_http_expire knows the phase. */
#include "http.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http_internal.h"
#include "runbook/base/clock.h"
#include "runbook/platform/platform.h"

struct http_socket {
    ev_io io;
    struct rb_http *http;
    struct http_socket *next; /* on the free list */
};

static void check_finished(struct rb_http *http);

/* ---- libcurl's view of the loop ---- */

static void on_socket_ready(struct ev_loop *loop RB_UNUSED, ev_io *io, int events)
{
    struct rb_http *http = ((struct http_socket *)io->data)->http;
    int running;
    int mask = (events & EV_READ ? CURL_CSELECT_IN : 0) | (events & EV_WRITE ? CURL_CSELECT_OUT : 0);
    curl_multi_socket_action(http->multi, io->fd, mask, &running);
    check_finished(http);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events RB_UNUSED)
{
    struct rb_http *http = timer->data;
    int running;
    ev_timer_stop(loop, timer);
    curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    check_finished(http);
}

static int on_curl_timer(CURLM *multi RB_UNUSED, long timeout_ms, void *arg)
{
    struct rb_http *http = arg;
    ev_timer_stop(http->loop, &http->timer);
    if (timeout_ms < 0 || http->stopping)
        return 0;
    ev_timer_set(&http->timer, (double)timeout_ms / 1e3, 0.);
    ev_timer_start(http->loop, &http->timer);
    return 0;
}

static struct http_socket *take_socket(struct rb_http *http)
{
    struct http_socket *socket = http->free_sockets;
    if (socket) {
        http->free_sockets = socket->next;
        return socket;
    }
    socket = calloc(1, sizeof *socket);
    if (socket) {
        socket->http = http;
        ev_init(&socket->io, on_socket_ready);
        socket->io.data = socket;
    }
    return socket;
}

static int on_curl_socket(CURL *easy RB_UNUSED, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct rb_http *http = arg;
    struct http_socket *socket = socket_arg;
    if (socket)
        ev_io_stop(http->loop, &socket->io);
    if (what == CURL_POLL_REMOVE) {
        if (socket) {
            socket->next = http->free_sockets;
            http->free_sockets = socket;
        }
        return 0;
    }
    if (!socket) {
        socket = take_socket(http);
        /* Without a watcher the transfer makes no progress and ends at its deadline. */
        if (!socket)
            return 0;
        curl_multi_assign(http->multi, fd, socket);
    }
    ev_io_set(&socket->io, fd, (what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0));
    ev_io_start(http->loop, &socket->io);
    return 0;
}

/* ---- life ---- */

struct rb_http *rb_http_new(struct ev_loop *loop, const struct rb_clock *clock, struct rb_resolver *resolver, struct rb_tls_cache *cache,
                            struct rb_error *err)
{
    if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, rb_free_wiped, rb_realloc_wiped, strdup, calloc) != CURLE_OK) {
        rb_error_set(err, RB_ESYS, "cannot set up libcurl");
        return NULL;
    }
    struct rb_http *http = calloc(1, sizeof *http);
    CURLM *multi = http ? curl_multi_init() : NULL;
    if (!multi) {
        free(http);
        curl_global_cleanup();
        rb_error_set(err, RB_ENOMEM, "no memory for HTTP probes");
        return NULL;
    }
    *http = (struct rb_http){.loop = loop, .clock = clock, .resolver = resolver, .cache = cache, .multi = multi};
    ev_init(&http->timer, on_timer);
    http->timer.data = http;
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, http);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, http);
    curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    return http;
}

void rb_http_free(struct rb_http *http)
{
    if (!http)
        return;
    http->stopping = true;
    for (size_t i = 0; i < http->idle_count; i++)
        curl_easy_cleanup(http->idle[i]);
    curl_multi_cleanup(http->multi);
    ev_timer_stop(http->loop, &http->timer);
    while (http->free_sockets) {
        struct http_socket *socket = http->free_sockets;
        http->free_sockets = socket->next;
        free(socket);
    }
    curl_global_cleanup();
    free(http);
}

/* Takes the easy handle back from libcurl; what it learned must have been collected. */
static void release_hop(struct rb_http_transfer *transfer)
{
    struct rb_http *http = transfer->http;
    if (transfer->in_multi)
        curl_multi_remove_handle(http->multi, transfer->easy);
    transfer->in_multi = false;
    /* A failed hop leaves its system error in the handle, where curl_easy_reset does not clear it and the next failure would show it as its own. */
    if (transfer->easy && transfer->response.failure == RB_NET_OK && http->idle_count < RB_HTTP_MAX_IDLE) {
        curl_easy_reset(transfer->easy);
        http->idle[http->idle_count++] = transfer->easy;
    } else if (transfer->easy) {
        curl_easy_cleanup(transfer->easy);
    }
    transfer->easy = NULL;
    curl_slist_free_all(transfer->headers);
    curl_slist_free_all(transfer->resolve);
    transfer->headers = transfer->resolve = NULL;
    if (transfer->peer != transfer->url)
        curl_url_cleanup(transfer->peer);
    transfer->peer = NULL;
    curl_free(transfer->host);
    transfer->host = NULL;
}

static void finish(struct rb_http_transfer *transfer)
{
    struct rb_http_response *response = &transfer->response;
    char *text = NULL;
    if (transfer->finished)
        return;
    transfer->finished = true;
    release_hop(transfer);
    if (transfer->url && curl_url_get(transfer->url, CURLUPART_URL, &text, 0) == CURLUE_OK)
        response->final_url = rb_arena_strdup(transfer->call.arena, text);
    curl_free(text);
    response->phases.total_s = (double)(rb_elapsed_ns(transfer->http->clock) - transfer->begun_ns) / 1e9;
    response->headers.items = transfer->header_items;
    response->body = rb_buf_str(&transfer->body);
    response->body_len = transfer->body.len;
    transfer->call.done(transfer->call.arg, response);
}

static void fail(struct rb_http_transfer *transfer, enum rb_net_failure failure, const char *detail)
{
    transfer->response.failure = failure;
    transfer->response.detail = detail;
    finish(transfer);
}

static void launch(struct rb_http_transfer *transfer, const struct rb_resolve_result *addresses)
{
    struct rb_http *http = transfer->http;
    transfer->easy = http->idle_count > 0 ? http->idle[--http->idle_count] : curl_easy_init();
    if (!transfer->easy) {
        fail(transfer, RB_NET_OTHER, "no memory for another request");
        return;
    }
    if (!rb_http_hop_setup(transfer, addresses)) {
        fail(transfer, transfer->abort_failure, transfer->abort_detail);
        return;
    }
    if (curl_multi_add_handle(http->multi, transfer->easy) != CURLM_OK) {
        fail(transfer, RB_NET_OTHER, "libcurl refused the request");
        return;
    }
    transfer->in_multi = true;
}

static void on_resolved(void *arg, const struct rb_resolve_result *result)
{
    struct rb_http_transfer *transfer = arg;
    rb_http_phase_add(&transfer->response.phases.resolve_s, (double)(rb_elapsed_ns(transfer->http->clock) - transfer->hop_ns) / 1e9);
    if (result->failure != RB_NET_OK)
        fail(transfer, result->failure, result->detail);
    else
        launch(transfer, result);
}

static void begin_hop(struct rb_http_transfer *transfer)
{
    const struct rb_http_request *request = transfer->call.request;
    struct rb_address address;
    transfer->hop_ns = rb_elapsed_ns(transfer->http->clock);
    rb_buf_reset(&transfer->body);
    if (!rb_http_hop_parse(transfer)) {
        fail(transfer, transfer->abort_failure, transfer->abort_detail);
        return;
    }
    /* A numeric host needs no name, unless another name takes its place in the URL that libcurl gets. */
    bool renamed = transfer->same_origin && request->tls.server_name;
    if (request->unix_socket || (rb_address_parse(transfer->host, &address) && !renamed))
        launch(transfer, NULL);
    else
        rb_resolver_start(transfer->http->resolver, transfer->host, request->ip_version, &transfer->wait);
}

struct rb_http_transfer *rb_http_start(struct rb_http *http, const struct rb_http_call *call)
{
    struct rb_http_transfer *transfer = rb_arena_alloc(call->arena, sizeof *transfer);
    if (!transfer)
        return NULL;
    transfer->http = http;
    transfer->call = *call;
    transfer->wait.done = on_resolved;
    transfer->wait.arg = transfer;
    transfer->begun_ns = rb_elapsed_ns(http->clock);
    transfer->response.phases = (struct rb_phases){-1, -1, -1, -1, -1, 0};
    rb_buf_init(&transfer->body, call->request->max_body ? call->request->max_body : 1);
    transfer->body.wiped = true;
    rb_tls_probe_init(&transfer->tls, call->arena);
    http->running++;
    if (http->running > RB_HTTP_MAX_TRANSFERS) {
        fail(transfer, RB_NET_OTHER, "too many requests at once");
        return transfer;
    }
    transfer->url = curl_url();
    if (!transfer->url || !call->request->url || curl_url_set(transfer->url, CURLUPART_URL, call->request->url, 0) != CURLUE_OK)
        fail(transfer, RB_NET_PROTOCOL, "this is no http or https URL");
    else
        begin_hop(transfer);
    return transfer;
}

void rb_http_expire(struct rb_http_transfer *transfer)
{
    if (transfer->finished)
        return;
    if (transfer->wait.lookup) {
        rb_resolver_cancel(&transfer->wait);
        rb_http_phase_add(&transfer->response.phases.resolve_s, (double)(rb_elapsed_ns(transfer->http->clock) - transfer->hop_ns) / 1e9);
        fail(transfer, RB_NET_DNS_TIMEOUT, "no answer from the name server");
        return;
    }
    if (transfer->easy) {
        rb_http_hop_collect(transfer);
        rb_http_hop_judge(transfer, CURLE_OPERATION_TIMEDOUT);
    }
    finish(transfer);
}

void rb_http_transfer_free(struct rb_http_transfer *transfer)
{
    if (!transfer)
        return;
    transfer->finished = true;
    rb_resolver_cancel(&transfer->wait);
    release_hop(transfer);
    curl_url_cleanup(transfer->url);
    transfer->url = NULL;
    rb_buf_fini(&transfer->body);
    transfer->http->running--;
}

static void conclude_hop(struct rb_http_transfer *transfer, CURLcode code)
{
    rb_http_hop_collect(transfer);
    rb_http_hop_judge(transfer, code);
    if (transfer->response.failure != RB_NET_OK || !rb_http_hop_redirect(transfer)) {
        finish(transfer);
        return;
    }
    release_hop(transfer);
    begin_hop(transfer);
}

static void check_finished(struct rb_http *http)
{
    int left;
    const CURLMsg *message;
    while ((message = curl_multi_info_read(http->multi, &left)) != NULL) {
        struct rb_http_transfer *transfer = NULL;
        CURLcode code = message->data.result;
        if (message->msg == CURLMSG_DONE && curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer) == CURLE_OK &&
            transfer)
            conclude_hop(transfer, code);
    }
}
