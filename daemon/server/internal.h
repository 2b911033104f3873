/* What the files of the server share. Threads: the *HTTP thread* (libmicrohttpd's) runs every handler; the *accept thread* takes connections and
 * enforces deadlines; the loop thread publishes snapshots and completes commands. `lock` guards what is marked so; it is held for a few instructions. */
#ifndef RB_SERVER_INTERNAL_H
#define RB_SERVER_INTERNAL_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "runbook/base/http_guard.h"
#include "server.h"

#define RB_LISTENERS_MAX     16u
#define RB_BODY_MAX          ((size_t)64 * 1024) /* of a request, unless its route says otherwise */
#define RB_BODY_LARGEST      ((size_t)1 << 20)   /* that a route may say */
#define RB_TARGET_MAX        ((size_t)4096)
#define RB_CONNECTION_MEMORY ((size_t)16 * 1024) /* request line and headers; beyond it 414 or 431 */
#define RB_CONNECTIONS_MAX   512u
#define RB_REQUEST_DEADLINE  (10 * RB_NS_PER_S)
#define RB_IDLE_DEADLINE     (65 * RB_NS_PER_S) /* kept alive between two requests: longer than the usual scrape interval */
#define RB_SEND_DEADLINE     (30 * RB_NS_PER_S)
#define RB_SHED_MIN_AGE      (250 * RB_NS_PER_MS)

/* ---- listen.c */
struct rb_listen_socket {
    int fd;
    bool unix_socket, local;
    char *address; /* as bound: "127.0.0.1:9112", "unix:/path" */
    char *path;    /* of a unix socket, removed at the end; or NULL */
};
int rb_listen_all(struct rb_server *server, const struct rb_server_options *options, struct rb_error *err) RB_MUST_CHECK;
void rb_listen_close(struct rb_server *server);

/* ---- slots.c: every open connection, with how long it may stay as it is */
enum rb_slot_phase { RB_SLOT_READING, RB_SLOT_IDLE, RB_SLOT_WAITING, RB_SLOT_SENDING };
struct rb_slot {
    struct rb_slot *next, *prev; /* oldest first */
    int fd;
    enum rb_slot_phase phase;
    int64_t since_ns; /* when the phase began */
    int64_t quiet_ns; /* the first look under pressure that found nothing to read; 0: none yet in this phase */
    bool started;     /* libmicrohttpd has it: until then the descriptor is not ours to shut */
    bool doomed;
    const struct rb_listen_socket *listener;
    struct rb_request *request; /* begun and not ended; libmicrohttpd's thread only */
};
struct rb_slot *rb_slot_add(struct rb_server *server, int fd, const struct rb_listen_socket *listener);
void rb_slot_drop(struct rb_server *server, struct rb_slot *slot);
void rb_slot_phase(struct rb_server *server, struct rb_slot *slot, enum rb_slot_phase phase);
/* Accept thread: shuts what is overdue; returns milliseconds until it wants to be called again, -1: only when something happens. */
int rb_slots_tick(struct rb_server *server);
/* Accept thread, at the limit: closes the oldest connections that have no complete request. */
void rb_slots_shed(struct rb_server *server);
/* MHD_OPTION_NOTIFY_CONNECTION */
void rb_slot_notify(void *cls, struct MHD_Connection *connection, void **socket_context, enum MHD_ConnectionNotificationCode code);

/* ---- accept.c */
void *rb_accept_thread(void *arg);
void rb_accept_wake(struct rb_server *server);

/* ---- cache.c: bodies of one snapshot, rendered at the first request */
enum rb_body_id {
    RB_BODY_METRICS_TEXT,
    RB_BODY_METRICS_OPENMETRICS,
    RB_BODY_STATUS_JSON,
    RB_BODY_STATUS_TEXT,
    RB_BODY_PAGE = RB_BODY_STATUS_TEXT + RB_LANGUAGE_COUNT,
    RB_BODY_CHECKS = RB_BODY_PAGE + RB_LANGUAGE_COUNT,
    RB_BODY_OPENAPI,
    RB_BODY_COUNT
};
struct rb_body {
    unsigned refs; /* atomic builtins */
    struct rb_buf bytes;
    uint32_t crc; /* gzip: of the plain bytes, for the end that is added when served */
    size_t plain_len;
};
struct rb_cache {
    unsigned refs; /* atomic builtins; the entries belong to the HTTP thread while it holds a reference */
    struct rb_snapshot *snapshot;
    struct rb_body *bodies[RB_BODY_COUNT][2]; /* plain, gzip */
    int64_t made_ns[RB_BODY_COUNT][2];
    bool stuck;
};
struct rb_cache *rb_cache_new(struct rb_snapshot *snapshot); /* takes its own reference */
void rb_cache_unref(struct rb_cache *cache);
struct rb_cache *rb_cache_current(struct rb_server *server); /* a reference, or NULL before the first snapshot */
struct rb_body *rb_body_new(void);
struct rb_body *rb_body_ref(struct rb_body *body);
void rb_body_unref(struct rb_body *body);
/* A reference to the body; NULL with `err` filled. */
struct rb_body *rb_cache_body(struct rb_server *server, struct rb_cache *cache, const struct rb_view *view, enum rb_body_id id, bool gzip,
                              struct rb_error *err);
/* Weak entity tag of what a view shows: generation and staleness, nothing that a clock moves. */
#define RB_ETAG_SIZE 48u
void rb_cache_etag(const struct rb_view *view, enum rb_body_id id, bool gzip, char out[RB_ETAG_SIZE]);

/* ---- negotiate.c (pure) */
/* q-value (0 to 1000) that an Accept field gives `type` ("text/html"), RFC 9110 12.5.1; an absent field accepts everything. `params` may name a required
 * parameter text such as "version=1.0.0" (NULL: none). `exact`: wildcards do not count. */
int rb_accept_quality(const char *accept, const char *type, const char *param, bool exact);
bool rb_accept_gzip(const char *accept_encoding);
bool rb_etag_matches(const char *if_none_match, const char *etag);

/* ---- wait.c: requests that wait for the loop */
struct rb_waiter {
    unsigned refs; /* atomic builtins */
    pthread_mutex_t lock;
    struct MHD_Connection *connection; /* guarded; NULL: nobody waits any more */
    bool done, resumed;                /* guarded */
    struct rb_command *command;
    int fd;
    int64_t deadline_ns, peek_ns;
    struct rb_waiter *next, *prev; /* server->waiters, server->lock */
};
struct rb_request;
/* Submits the command (takes the caller's reference) and suspends the connection. False: the queue is full or the server stops; nothing is suspended. */
bool rb_wait_start(struct rb_request *request, struct rb_command *take_command, int64_t deadline_ns);
/* Handler after the resume: true when the command was completed. The waiter stays until the request is freed. */
bool rb_wait_finished(struct rb_request *request);
void rb_wait_forget(struct rb_request *request);
void rb_waits_tick(struct rb_server *server);       /* accept thread */
void rb_waits_resume_all(struct rb_server *server); /* at the end */

/* ---- routes.c */
struct rb_route {
    const char *path;   /* "{name}" stands for one segment */
    const char *method; /* "GET" (then HEAD too) or "POST" */
    const char *summary;
    const char *types; /* media types of the answer, for the description */
    struct rb_guard_route guard;
    enum MHD_Result (*handle)(struct rb_request *request);
    size_t max_body; /* bytes; 0: RB_BODY_MAX */
};
extern const struct rb_route rb_routes[];
extern const size_t rb_route_count;
/* The row for path and method, with the segment for "{name}" in `name`. NULL: `out_allow` is empty (404) or lists the methods of that path (405). */
const struct rb_route *rb_route_find(const char *path, const char *method, char *name, size_t name_size, struct rb_buf *out_allow);
int rb_openapi_render(struct rb_buf *out, struct rb_error *err) RB_MUST_CHECK;

/* ---- request.c, respond.c, handlers.c */
struct rb_request {
    struct rb_server *server;
    struct MHD_Connection *connection;
    struct rb_slot *slot;
    char *raw; /* target as on the wire, up to a NUL */
    size_t raw_len;
    uintptr_t raw_at; /* where libmicrohttpd had it */
    bool judged, answered, cross_site;
    size_t body_len;
    struct rb_buf body; /* as sent, at most RB_BODY_MAX */
    const struct rb_route *route;
    char name[128];
    struct rb_waiter *waiter;
};
struct rb_answer {
    int status;
    const char *type;
    struct rb_body *body; /* a reference that is taken over, or NULL */
    const char *tail;     /* copied after the body; or NULL */
    size_t tail_len;
    bool gzip, vary, close;
    const char *etag;
    const char *allow;
};
enum MHD_Result rb_answer_send(struct rb_request *request, struct rb_answer *answer);
enum MHD_Result rb_answer_problem(struct rb_request *request, int status, const char *type, const char *detail);
enum MHD_Result rb_answer_text(struct rb_request *request, int status, const char *text);

/* What the files of handlers share: a header or an argument, NULL when absent; `?lang=` or the daemon's language (false: not a language). */
const char *rb_request_header(struct rb_request *request, const char *name);
const char *rb_request_argument(struct rb_request *request, const char *name);
bool rb_request_language(struct rb_request *request, const struct rb_snapshot *snapshot, enum rb_language *out);
enum MHD_Result rb_answer_starting(struct rb_request *request);
enum MHD_Result rb_answer_failed(struct rb_request *request, const struct rb_error *err);
enum MHD_Result rb_answer_bad_argument(struct rb_request *request, const char *name); /* 400, and what the argument should be */
enum MHD_Result rb_answer_rendered(struct rb_request *request, int status, const char *type, struct rb_body *take_body);

enum MHD_Result rb_handle_page(struct rb_request *request);
enum MHD_Result rb_handle_metrics(struct rb_request *request);
enum MHD_Result rb_handle_status(struct rb_request *request);
enum MHD_Result rb_handle_healthy(struct rb_request *request);
enum MHD_Result rb_handle_ready(struct rb_request *request);
enum MHD_Result rb_handle_reload(struct rb_request *request);
enum MHD_Result rb_handle_checks(struct rb_request *request);
enum MHD_Result rb_handle_check(struct rb_request *request);
enum MHD_Result rb_handle_run(struct rb_request *request);
enum MHD_Result rb_handle_openapi(struct rb_request *request);
/* triage_routes.c */
enum MHD_Result rb_handle_triage(struct rb_request *request);
enum MHD_Result rb_handle_triage_open(struct rb_request *request);
/* incident_routes.c */
enum MHD_Result rb_handle_incidents(struct rb_request *request);
enum MHD_Result rb_handle_incident(struct rb_request *request);
enum MHD_Result rb_handle_incident_note(struct rb_request *request);
enum MHD_Result rb_handle_incident_close(struct rb_request *request);
enum MHD_Result rb_handle_postmortem(struct rb_request *request);
enum MHD_Result rb_handle_alerts(struct rb_request *request);
enum MHD_Result rb_handle_silence(struct rb_request *request);
enum MHD_Result rb_handle_silences(struct rb_request *request);
enum MHD_Result rb_handle_drift(struct rb_request *request);
enum MHD_Result rb_handle_drift_accept(struct rb_request *request);

void *rb_request_begin(void *cls, const char *uri, struct MHD_Connection *connection);
enum MHD_Result rb_request_handle(void *cls, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
                                  const char *upload_data, size_t *upload_data_size, void **con_cls);
void rb_request_end(void *cls, struct MHD_Connection *connection, void **con_cls, enum MHD_RequestTerminationCode code);
/* libmicrohttpd ends no request that it refused itself, before the handler saw it: the slot gives those back when its connection closes. */
void rb_request_abandon(struct rb_slot *slot);

/* ---- server.c */
struct rb_server {
    const struct rb_platform *platform;
    const struct rb_clock *clock;
    struct rb_command_queue *queue;
    char *token;
    struct rb_listen_socket listeners[RB_LISTENERS_MAX];
    size_t listener_count;
    char *addresses[RB_LISTENERS_MAX + 1]; /* borrowed from listeners, NULL-terminated */
    char **allowed_hosts;                  /* NULL-terminated, owned */
    char csp_html[256];                    /* policy for our pages: only our own style */
    struct MHD_Daemon *mhd;
    pthread_t accept_thread;
    bool accept_running;
    int wake[2];
    size_t connections_max;
    int64_t request_deadline_ns;
    atomic_bool stopping;

    pthread_mutex_t lock; /* guards all below */
    struct rb_cache *cache;
    struct rb_slot *slots, *slots_last;
    size_t open;
    struct rb_waiter *waiters;
    struct rb_server_stats stats;
};
static inline int64_t rb_server_now(const struct rb_server *server)
{
    return rb_elapsed_ns(server->clock);
}

#endif
