/* HTTP requests on the loop thread: libcurl's multi interface on libev, names from our resolver, redirects followed by ourselves. Loop thread only. */
#ifndef RUNBOOKD_EXCHANGE_HTTP_H
#define RUNBOOKD_EXCHANGE_HTTP_H

#include <ev.h>

#include "resolver.h"
#include "runbook/check/kind.h"
#include "tls.h"

struct rb_http;
struct rb_http_transfer;

enum { RB_HTTP_MAX_TRANSFERS = 512, RB_HTTP_MAX_HEADER_BYTES = 64 * 1024, RB_HTTP_MAX_HEADERS = 512 };

/* Borrows resolver, cache and clock. NULL with `err`. */
struct rb_http *rb_http_new(struct ev_loop *loop, const struct rb_clock *clock, struct rb_resolver *resolver, struct rb_tls_cache *cache,
                            struct rb_error *err);
/* Every transfer must have been freed. NULL is fine. */
void rb_http_free(struct rb_http *http);

/* One request with its redirects. `request` and what it points to, and `arena`, outlive the transfer. `left_ms` is the time until the caller calls rb_http_expire.
 * `done` is called exactly once, possibly before this returns, unless the transfer is freed first; the response lives until rb_http_transfer_free. NULL when
 * memory is out: `done` is not called. */
struct rb_http_call {
    const struct rb_http_request *request;
    struct rb_arena *arena;
    int64_t left_ms;
    void (*done)(void *arg, const struct rb_http_response *response);
    void *arg;
};
struct rb_http_transfer *rb_http_start(struct rb_http *http, const struct rb_http_call *call);
/* The caller's time is over: ends the transfer with the failure of the phase that it was in, through `done`. Does nothing to a finished one. */
void rb_http_expire(struct rb_http_transfer *transfer);
/* Ends it without a word if it still runs and releases its body. */
void rb_http_transfer_free(struct rb_http_transfer *transfer);

#endif
