/* Start and stop of the HTTP server, and the two calls of the loop thread: publish and stats.
 *
 * Start: listeners, then libmicrohttpd (its own thread, no listening socket), then the accept thread. Stop is the reverse: the accept thread ends, what waits
 * is resumed and answered (libmicrohttpd aborts when it is stopped with a suspended connection), then libmicrohttpd, then the listeners. Both threads are
 * started with all signals blocked: signals belong to the loop, and a broken pipe is an error code here. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runbook/platform/platform.h"

#define STOP_WAIT_MS 1500

/* poll and not epoll: libmicrohttpd 0.9.75 takes edge-triggered events and, when its thread got no processor for long, lost some: a request then lay unread until its deadline. */
static int start_mhd(struct rb_server *server, struct rb_error *err)
{
    unsigned flags = MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC;
    flags |= MHD_USE_POLL_INTERNAL_THREAD;
    server->mhd = MHD_start_daemon(flags, 0, NULL, NULL, rb_request_handle, server, MHD_OPTION_URI_LOG_CALLBACK, rb_request_begin, server,
                                   MHD_OPTION_NOTIFY_COMPLETED, rb_request_end, server, MHD_OPTION_NOTIFY_CONNECTION, rb_slot_notify,
                                   server, MHD_OPTION_CONNECTION_LIMIT, (unsigned)server->connections_max + 16,
                                   MHD_OPTION_CONNECTION_MEMORY_LIMIT, RB_CONNECTION_MEMORY, MHD_OPTION_CONNECTION_TIMEOUT, 90u,
                                   MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
    return server->mhd
               ? 0
               : rb_error_set(err, RB_ESYS, "cannot start the HTTP server's thread; look at the limits of this process (ulimit -a)");
}

static int start_accept(struct rb_server *server, struct rb_error *err)
{
    for (int i = 0; i < 2; i++) {
        if (fcntl(server->wake[i], F_SETFD, FD_CLOEXEC) < 0 || fcntl(server->wake[i], F_SETFL, O_NONBLOCK) < 0)
            return rb_error_sys(err, errno, "cannot prepare the server's wake pipe");
    }
    int why = pthread_create(&server->accept_thread, NULL, rb_accept_thread, server);
    if (why)
        return rb_error_sys(err, why, "cannot start the accept thread");
    server->accept_running = true;
    return 0;
}

/* The policy for our pages allows exactly our style sheet, by its digest (CSP level 3, section 6.7.2). */
static void make_csp(struct rb_server *server)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    unsigned char encoded[64] = "";
    const char *style = rb_render_html_style();
    if (EVP_Digest(style, strlen(style), digest, &len, EVP_sha256(), NULL) == 1)
        (void)EVP_EncodeBlock(encoded, digest, (int)len);
    RB_BUF_AUTO text;
    rb_buf_init(&text, sizeof server->csp_html - 1);
    rb_buf_addf(&text, "default-src 'none'; style-src 'sha256-%s'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
                (char *)encoded);
    memcpy(server->csp_html, rb_buf_str(&text), text.len + 1);
}

static int start(struct rb_server *server, const struct rb_server_options *options, struct rb_error *err)
{
    int rc = rb_listen_all(server, options, err);
    if (rc == 0 && pipe(server->wake) < 0) {
        server->wake[0] = server->wake[1] = -1;
        rc = rb_error_sys(err, errno, "cannot make the server's wake pipe");
    }
    if (rc < 0)
        return rc;
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = start_mhd(server, err);
    if (rc == 0)
        rc = start_accept(server, err);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

int rb_server_new(const struct rb_server_options *options, struct rb_server **out, struct rb_error *err)
{
    struct rb_server *server = calloc(1, sizeof *server);
    if (!server)
        return rb_error_set(err, RB_ENOMEM, "server: out of memory");
    if (pthread_mutex_init(&server->lock, NULL) != 0) {
        free(server);
        return rb_error_set(err, RB_ENOMEM, "server: cannot make a mutex");
    }
    server->wake[0] = server->wake[1] = -1;
    server->platform = options->platform;
    server->clock = options->platform->clock;
    server->queue = options->queue;
    server->connections_max = options->connections_max ? options->connections_max : RB_CONNECTIONS_MAX;
    server->request_deadline_ns = options->request_deadline_ms ? options->request_deadline_ms * RB_NS_PER_MS : RB_REQUEST_DEADLINE;
    server->token = options->token ? strdup(options->token) : NULL;
    make_csp(server);
    int rc = options->token && !server->token ? rb_error_set(err, RB_ENOMEM, "server: out of memory") : start(server, options, err);
    if (rc < 0) {
        rb_server_free(server);
        return rc;
    }
    *out = server;
    return 0;
}

void rb_server_publish(struct rb_server *server, struct rb_snapshot *snapshot)
{
    struct rb_cache *cache = rb_cache_new(snapshot);
    if (!cache)
        return; /* the old snapshot stays and turns stale: honest without memory too */
    pthread_mutex_lock(&server->lock);
    struct rb_cache *old = server->cache;
    server->cache = cache;
    pthread_mutex_unlock(&server->lock);
    rb_cache_unref(old);
}

struct rb_strings rb_server_addresses(const struct rb_server *server)
{
    return (struct rb_strings){(const char *const *)server->addresses, server->listener_count};
}

struct rb_server_stats rb_server_stats(struct rb_server *server)
{
    pthread_mutex_lock(&server->lock);
    struct rb_server_stats stats = server->stats;
    stats.connections = server->open;
    stats.connections_max = server->connections_max;
    pthread_mutex_unlock(&server->lock);
    return stats;
}

static bool busy(struct rb_server *server)
{
    pthread_mutex_lock(&server->lock);
    bool any = server->waiters != NULL;
    for (const struct rb_slot *slot = server->slots; slot && !any; slot = slot->next)
        any = slot->phase == RB_SLOT_SENDING || slot->phase == RB_SLOT_WAITING;
    pthread_mutex_unlock(&server->lock);
    return any;
}

void rb_server_free(struct rb_server *server)
{
    if (!server)
        return;
    atomic_store(&server->stopping, true);
    if (server->accept_running) {
        rb_accept_wake(server);
        (void)pthread_join(server->accept_thread, NULL);
    }
    rb_waits_resume_all(server);
    for (int waited = 0; server->mhd && waited < STOP_WAIT_MS && busy(server); waited += 10)
        (void)poll(NULL, 0, 10);
    if (server->mhd)
        MHD_stop_daemon(server->mhd);
    rb_listen_close(server);
    if (server->wake[0] >= 0) {
        (void)close(server->wake[0]);
        (void)close(server->wake[1]);
    }
    for (struct rb_slot *slot = server->slots; slot; slot = server->slots)
        rb_slot_drop(server, slot);
    rb_cache_unref(server->cache);
    free(server->token);
    pthread_mutex_destroy(&server->lock);
    free(server);
}
