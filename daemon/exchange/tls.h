/* What libcurl's and our own TLS connections share: trust stores that are parsed once, and an observer of the handshake. Loop thread only. */
#ifndef RUNBOOKD_EXCHANGE_TLS_H
#define RUNBOOKD_EXCHANGE_TLS_H

#include <openssl/ssl.h>

#include "runbook/check/kind.h"

struct rb_tls_cache;

/* What one handshake taught; zeroed and given its arena before use. Must outlive its connection. */
struct rb_tls_probe {
    struct rb_arena *arena; /* for the texts of `info` */
    struct rb_tls_info info;
    const X509_STORE *store; /* the one that must judge; NULL: none. Only compared */
    int verify_error;        /* X509_V_…; X509_V_OK also when nothing was verified */
    int alert;               /* last fatal alert of either side; -1: none. rb_tls_probe_init sets it */
};

/* NULL when memory is out. */
struct rb_tls_cache *rb_tls_cache_new(void);
void rb_tls_cache_free(struct rb_tls_cache *cache);

void rb_tls_probe_init(struct rb_tls_probe *probe, struct rb_arena *arena);

/* Puts trust store, lowest version and the observer into a context that somebody else made (libcurl), for one connection. */
int rb_tls_prepare(struct rb_tls_cache *cache, SSL_CTX *ctx, const struct rb_tls_options *options, struct rb_tls_probe *probe,
                   struct rb_error *err) RB_MUST_CHECK;
/* A new client connection with server name and verification set for `host`, observed by `probe`; NULL with `err`. The caller frees it. */
SSL *rb_tls_connection(struct rb_tls_cache *cache, const struct rb_tls_options *options, const char *host, struct rb_tls_probe *probe,
                       struct rb_error *err);
/* Why a handshake failed, from what the probe saw. */
enum rb_net_failure rb_tls_failure(const struct rb_tls_probe *probe);
/* One sentence about it, in the probe's arena. */
const char *rb_tls_detail(const struct rb_tls_probe *probe);

#endif
