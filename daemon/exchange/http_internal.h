/* Shared by http.c (the engine: sockets, timer, pool, life of a transfer) and http_request.c (one hop: options of libcurl, redirects, failures). */
#ifndef RUNBOOKD_EXCHANGE_HTTP_INTERNAL_H
#define RUNBOOKD_EXCHANGE_HTTP_INTERNAL_H

#include <curl/curl.h>

#include "http.h"
#include "runbook/base/buf.h"

enum { RB_HTTP_MAX_IDLE = 32 };

struct rb_http {
    struct ev_loop *loop;
    const struct rb_clock *clock;
    struct rb_resolver *resolver;
    struct rb_tls_cache *cache;
    CURLM *multi;
    ev_timer timer;
    struct http_socket *free_sockets;
    CURL *idle[RB_HTTP_MAX_IDLE];
    size_t idle_count;
    size_t running; /* transfers not freed yet */
    bool stopping;
};

struct rb_http_transfer {
    struct rb_http *http;
    struct rb_http_call call;
    CURL *easy; /* NULL between hops and at the end */
    bool in_multi;
    bool finished; /* `done` was called */
    struct rb_resolve_wait wait;
    CURLU *url;  /* of this hop */
    CURLU *peer; /* as sent to libcurl: differs from `url` where tls.server_name replaces the host */
    char *host;  /* of `url`, ASCII, without a final dot; libcurl's memory */
    const char *port;
    bool same_origin; /* this hop goes where the configuration pointed */
    bool drop_body;   /* a redirect turned the method into GET */
    struct curl_slist *headers, *resolve;
    struct rb_tls_probe tls;
    int64_t begun_ns, hop_ns;
    size_t header_bytes;
    size_t header_room;
    struct rb_pair *header_items;
    enum rb_net_failure abort_failure; /* why one of our callbacks stopped libcurl */
    const char *abort_detail;
    char curl_error[CURL_ERROR_SIZE];
    struct rb_buf body;
    struct rb_http_response response;
};

/* Reads transfer->url into host, port and same_origin. False with abort_failure set when it cannot be fetched. */
bool rb_http_hop_parse(struct rb_http_transfer *transfer);
/* Sets every option of transfer->easy for this hop; `addresses` NULL: libcurl needs none. False with abort_failure set. */
bool rb_http_hop_setup(struct rb_http_transfer *transfer, const struct rb_resolve_result *addresses);
/* Notes what libcurl knows about the hop (status, address, phases, TLS). */
void rb_http_hop_collect(struct rb_http_transfer *transfer);
/* Failure of a hop that libcurl ended with `code`; fills response.failure and detail. */
void rb_http_hop_judge(struct rb_http_transfer *transfer, CURLcode code);
/* True when the answer is a redirect that is to be followed and transfer->url now is its target; false with response.failure set or not. */
bool rb_http_hop_redirect(struct rb_http_transfer *transfer);
/* Adds a phase to a sum in which -1 means "did not happen". */
void rb_http_phase_add(double *sum, double seconds);

#endif
