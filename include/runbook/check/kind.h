/* The kind interface: one file and one row of kinds.def is a check kind.
 *
 * A kind declares its options, values and reasons in tables and implements the one execution class that fits. It owns no thread, socket, process or clock:
 * daemon/ brings the effects, the kind is the logic, and is tested without a daemon.
 *
 *   WORKER    run() on a pool thread; short blocking work (libgit2, parsing, /proc). Should look at ctx->cancelled in loops.
 *   EXCHANGE  a pure state machine on the loop thread: event in, next action out. Never blocks, never opens a socket. A kind that also has run() gets that
 *             called first, on a worker, with the same outcome and memory; when it sets outcome->final no exchange follows. Only for checks that looks() wants it for.
 *             With `stream` too, the daemon also follows that stream while the check is in the plan: open() sees the check's memory as the last run left it, line() and
 *             gap() a copy of their own that lives as long as the stream; what they learn leaves as notes (check/notes.h). tick() is not used.
 *   CHILD     a program without a shell: command() says what to start, judge() looks at how it ended. Loop thread. May have run() and looks() as an EXCHANGE kind has.
 *   SCAN      runs in the scan helper process: begin() says which files, visit() sees each file's bytes once for all due scans, finish() concludes.
 *   PASSIVE   told from outside (HTTP): told() takes a report, tick() runs on schedule and says what the silence means. Loop thread.
 *   STREAM    a long-lived line stream (Docker events): open() says where, line() takes each line, gap() is told of a reconnect, tick() reports on schedule. Loop thread.
 *
 * `memory` (memory_size bytes, zeroed at first) persists between the runs of one check while its identity stays the same; only one run of a check is active
 * at a time, so it needs no lock. It must not hold pointers into a run's arena. SCAN kinds have none (another process). */
#ifndef RUNBOOK_CHECK_KIND_H
#define RUNBOOK_CHECK_KIND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runbook/check/outcome.h"
#include "runbook/config/plan.h"
#include "runbook/platform/platform.h"
#include "runbook/source/pattern_scan.h"

enum rb_exec_class { RB_EXEC_WORKER, RB_EXEC_EXCHANGE, RB_EXEC_CHILD, RB_EXEC_SCAN, RB_EXEC_PASSIVE, RB_EXEC_STREAM, RB_EXEC_COUNT };

enum rb_value_type { RB_VALUE_GAUGE, RB_VALUE_COUNTER };

/* One row per exported value: becomes runbookd_<kind>_<name>_<unit>{check[,label]} (a counter: …_total). */
struct rb_value_def {
    const char *name; /* NULL ends the table */
    const char *unit; /* base unit: "seconds", "bytes", "ratio", "info"…; "" for a bare count */
    enum rb_value_type type;
    const char *help;
    const char *label; /* name of the one optional label, or NULL; at most RB_OUTCOME_MAX_LABELS values a check */
};

/* The closed set of reasons. `none` and the common ones below belong to every kind. */
struct rb_reason_def {
    const char *name; /* snake_case; NULL ends the table */
    const char *doc;  /* what it means and what to look at, one sentence */
};
extern const struct rb_reason_def
    rb_common_reasons[]; /* none, pending, stale, timeout, cancelled, untrusted, workers_exhausted, resource_limit,
                                                           internal_error, absent, present, not_permitted, unsupported, scan_helper_died, dependency */

struct rb_watch_sink; /* check/watch.h */

/* Everything a kind may use during one run. Borrowed, immutable but for `memory` and the arena. */
struct rb_notes;
struct rb_check_ctx {
    const struct rb_check_spec *spec;
    const void *options;   /* spec->options */
    const char *root;      /* absolute */
    const char *state_dir; /* this root's folder of state, for reading only; "" when there is none */
    const struct rb_platform *platform;
    const struct rb_clock *clock;
    int64_t deadline_ns; /* elapsed clock */
    const atomic_bool *cancelled;
    struct rb_arena *arena; /* the run's */
    void *memory;
    bool by_hand; /* a command that a person called runs it (`check`, `triage`): this process's environment is theirs */
    void *
        state; /* EXCHANGE and CHILD kinds with a worker part: state_size bytes, zeroed in the run's arena, shared by both parts; else NULL */
    const struct rb_notes *notes; /* who takes notes (check/notes.h), or NULL */
};

/* ---------- WORKER ---------- */
typedef void rb_worker_run(const struct rb_check_ctx *ctx, struct rb_outcome *out);

/* ---------- CHILD ---------- */
struct rb_child_spec {
    const char *const *argv; /* NULL-terminated; a relative argv[0] with '/' counts from root; without '/' it is searched in PATH */
    const char *const *env;  /* extra "K=V", NULL-terminated, or NULL */
    const char *cwd;         /* relative to root, or NULL: root */
    size_t output_cap;       /* bytes kept of stdout and of stderr each: first and last half, a mark between */
};
enum rb_child_end {
    RB_CHILD_EXITED,
    RB_CHILD_SIGNALED,
    RB_CHILD_TIMEOUT,
    RB_CHILD_NOT_FOUND,
    RB_CHILD_NOT_EXECUTABLE,
    RB_CHILD_SPAWN_FAILED
};
struct rb_child_result {
    enum rb_child_end end;
    int code; /* exit code, signal number or errno */
    const char *out;
    size_t out_len;
    const char *err;
    size_t err_len;
    bool truncated; /* something was left out of `out` or `err` */
    double duration_s;
    const char *program; /* the path that was executed, or argv[0] when it was not found */
};
struct rb_child_ops {
    /* Fills `out`. Returns true to start it; false when the outcome is already decided. */
    bool (*command)(const struct rb_check_ctx *ctx, struct rb_child_spec *out, struct rb_outcome *outcome);
    void (*judge)(const struct rb_check_ctx *ctx, const struct rb_child_result *result, struct rb_outcome *outcome);
    size_t state_size; /* of ctx->state, for kinds with a worker part */
};

/* ---------- EXCHANGE ---------- */
/* Why the network part failed; the closed set that http, tcp and prometheus share as reasons. */
enum rb_net_failure {
    RB_NET_OK,
    RB_NET_DNS,
    RB_NET_DNS_TIMEOUT,
    RB_NET_REFUSED,
    RB_NET_UNREACHABLE,
    RB_NET_RESET,
    RB_NET_CONNECT_TIMEOUT,
    RB_NET_TIMEOUT,
    RB_NET_CLOSED,
    RB_NET_TLS_HANDSHAKE,
    RB_NET_TLS_EXPIRED,
    RB_NET_TLS_NOT_YET_VALID,
    RB_NET_TLS_SELF_SIGNED,
    RB_NET_TLS_UNTRUSTED,
    RB_NET_TLS_HOST_MISMATCH,
    RB_NET_TLS_VERSION,
    RB_NET_TLS_REVOKED,
    RB_NET_PROTOCOL,
    RB_NET_TOO_LARGE,
    RB_NET_HEADER_TOO_LARGE,
    RB_NET_REDIRECTS,
    RB_NET_REDIRECT_BLOCKED,
    RB_NET_NO_SOCKET,
    RB_NET_PERMISSION,
    RB_NET_TRUNCATED,
    RB_NET_OTHER,
    RB_NET_COUNT
};
/* "dns", "refused", "tls_expired" …; "none" for OK. */
const char *rb_net_failure_reason(enum rb_net_failure failure);
/* Rows for a kind's reason table: all of the above. */
extern const struct rb_reason_def rb_net_reasons[];

struct rb_ca;
struct rb_tls_options {
    bool enabled;            /* for CONNECT; HTTP takes it from the scheme */
    bool insecure;           /* do not verify; still reports the chain */
    const struct rb_ca *ca;  /* NULL: the system's store. Bytes, not a path: rb_ca_read (check/ca.h) in the kind's worker part */
    const char *server_name; /* SNI and host to verify; NULL: the target's */
    int min_version;         /* 0, or 10, 11, 12, 13 */
};
struct rb_tls_info {
    bool used;
    bool verified;
    const char *version; /* "TLSv1.3" */
    const char *subject, *issuer;
    int64_t not_after_wall_ns; /* earliest end of the chain as sent; 0 unknown */
    int64_t leaf_not_after_wall_ns;
    unsigned chain_length;
};
struct rb_phases {
    double resolve_s, connect_s, tls_s, first_byte_s, transfer_s, total_s;
}; /* each phase alone; -1: did not happen */

struct rb_http_request {
    const char *method; /* "GET" … */
    const char *url;
    const char *unix_socket; /* connect here instead of the URL's host; NULL */
    struct rb_pairs headers;
    const char *body;       /* NULL: none */
    size_t max_body;        /* bytes; more is RB_NET_TOO_LARGE */
    unsigned max_redirects; /* 0: a 3xx is an ordinary answer */
    struct rb_tls_options tls;
    const char *user_password;  /* "user:password", secret, or NULL */
    const char *bearer;         /* secret, or NULL */
    int64_t connect_timeout_ms; /* 0: only the deadline */
    int64_t timeout_ms;         /* of this request; 0: until the run's deadline */
    int ip_version;             /* 0 any, 4, 6 */
};
struct rb_http_response {
    enum rb_net_failure failure; /* when not OK the rest is what was learned until then */
    const char *detail;          /* libcurl's or our text for the failure; may be NULL */
    long status;
    struct rb_pairs headers; /* of the final response; names lower case */
    const char *body;
    size_t body_len;
    const char *final_url;
    const char *remote_address; /* "127.0.0.1:3000" or NULL */
    unsigned redirects;
    int http_version; /* 10, 11, 20 */
    struct rb_phases phases;
    struct rb_tls_info tls;
};

enum rb_action_type {
    RB_ACTION_HTTP,    /* one request; event HTTP follows */
    RB_ACTION_CONNECT, /* host, port (or unix path), tls; event CONNECTED or FAILED */
    RB_ACTION_SEND,    /* bytes on the connection; event SENT or FAILED/CLOSED */
    RB_ACTION_AWAIT, /* more bytes. `consume` first drops that many; then DATA with everything not consumed, as soon as some of it is new since the last SEND
                           or consume; CLOSED or FAILED, both with what was not consumed. More than `max` unconsumed bytes are RB_NET_TOO_LARGE */
    RB_ACTION_RESOLVE, /* name; event RESOLVED or FAILED */
    RB_ACTION_CHILD,   /* a program, as a CHILD kind's command(); event CHILD follows */
    RB_ACTION_DONE     /* the outcome is complete */
};
struct rb_action {
    enum rb_action_type type;
    struct rb_http_request http;
    struct {
        const char *host;
        uint16_t port;
        const char *unix_socket;
        struct rb_tls_options tls;
        int ip_version;
    } connect;
    struct {
        const void *bytes;
        size_t len;
    } send;
    struct {
        size_t consume;
        size_t max;
    } await;
    struct {
        const char *name;
        int ip_version;
    } resolve;
    struct rb_child_spec child;
    int64_t timeout_ms; /* of this step; 0: until the run's deadline */
};
enum rb_event_type {
    RB_EVENT_START,
    RB_EVENT_HTTP,
    RB_EVENT_CONNECTED,
    RB_EVENT_SENT,
    RB_EVENT_DATA,
    RB_EVENT_CLOSED,
    RB_EVENT_RESOLVED,
    RB_EVENT_FAILED,
    RB_EVENT_CHILD
};
struct rb_event {
    enum rb_event_type type;
    const struct rb_http_response *http;
    const char *data;
    size_t data_len;
    const struct rb_tls_info *tls;  /* CONNECTED */
    const struct rb_phases *phases; /* CONNECTED */
    const char *remote_address;     /* CONNECTED */
    struct rb_strings addresses;    /* RESOLVED */
    enum rb_net_failure
        failure; /* FAILED: also when the time of the step or of the run is over; after the run's every further action fails at once */
    const char *detail;
    const struct rb_child_result *child; /* CHILD: however it ended */
};
struct rb_exchange_ops {
    size_t state_size; /* zeroed, in the run's arena */
    /* Called once per event, first with START. Sets `*next` (zeroed before). The event's pointers live until the run ends, but DATA only until the next call. */
    void (*step)(const struct rb_check_ctx *ctx, void *state, const struct rb_event *event, struct rb_action *next, struct rb_outcome *out);
};

/* ---------- SCAN ---------- */
struct rb_scan_request {
    struct rb_strings include; /* globs; empty: all */
    struct rb_strings exclude;
    bool tracked;          /* files in the git index */
    bool untracked;        /* files that git does not ignore */
    size_t max_file_bytes; /* larger files are given with bytes == NULL and too_large */
    /* Regular expressions to look for in every file of this request, PCRE2 within a line (source/pattern_scan.h). All jobs' patterns go into one pass. */
    const struct rb_pattern *patterns;
    size_t pattern_count;
};
struct rb_scan_file {
    const char *path; /* relative to root */
    const char
        *bytes; /* NULL: unreadable, too large, deleted or not a regular file: see `problem`; also when the request has patterns and none
                                   was found */
    size_t len;
    bool tracked;
    bool symlink;
    int mode; /* st_mode */
    int64_t mtime_ns;
    const char *problem; /* NULL, "deleted", "unreadable", "too_large", "not_regular", "changed_while_read", "outside" */
    /* For requests with patterns: */
    const char *text; /* what the offsets of `hits` refer to: bytes without a byte-order mark, UTF-16 as UTF-8 */
    size_t text_len;
    bool binary;                       /* has a NUL: not searched, or only up to it */
    const struct rb_pattern_hit *hits; /* of this request's patterns (`pattern` indexes them), in the order of the text */
    size_t hit_count;
    size_t hits_dropped; /* beyond the maximum: only counted */
    size_t gave_up;      /* lines on which a pattern reached its limits */
};
struct rb_scan_summary {
    size_t files, bytes, deleted, unreadable;
    bool complete;
    const char *incomplete_why;
};
struct rb_scan_ops {
    size_t state_size;
    void (*begin)(const struct rb_check_ctx *ctx, void *state, struct rb_scan_request *out);
    /* One call per matching file. Report findings into the outcome (raise, evidence); keep counts in `state`. */
    void (*visit)(const struct rb_check_ctx *ctx, void *state, const struct rb_scan_file *file, struct rb_outcome *out);
    void (*finish)(const struct rb_check_ctx *ctx, void *state, const struct rb_scan_summary *summary, struct rb_outcome *out);
};

/* ---------- PASSIVE ---------- */
struct rb_passive_ops {
    /* A report came in: `verb` ("", "start", "fail"), body as sent. */
    void (*told)(const struct rb_check_ctx *ctx, const char *verb, const char *body, size_t len, struct rb_outcome *out);
    void (*tick)(const struct rb_check_ctx *ctx, struct rb_outcome *out);
};

/* ---------- STREAM ---------- */
struct rb_stream_request {
    const char *unix_socket; /* or NULL */
    const char *url;
    size_t max_line;
    const char *
        since_query; /* NULL, or the name of the query parameter that asks for what came after a time (seconds.nanoseconds): sent after a gap */
};
struct rb_stream_ops {
    bool (*open)(const struct rb_check_ctx *ctx, struct rb_stream_request *out, struct rb_outcome *outcome);
    void (*line)(const struct rb_check_ctx *ctx, const char *line, size_t len);
    void (*gap)(const struct rb_check_ctx *ctx, int64_t since_wall_ns, enum rb_net_failure failure);
    void (*tick)(const struct rb_check_ctx *ctx, struct rb_outcome *out);
};

struct rb_kind {
    struct rb_kind_schema schema;
    const struct rb_value_def *values;   /* or NULL */
    const struct rb_reason_def *reasons; /* the kind's own; the common ones are implied */
    bool net_reasons;                    /* rb_net_reasons belong to it too */
    enum rb_exec_class exec;
    size_t memory_size;
    rb_worker_run *run;
    bool (*looks)(const void *options); /* with run() before an exchange or a program: whether this check needs it; NULL: every one does */
    const struct rb_child_ops *child;
    const struct rb_exchange_ops *exchange;
    const struct rb_scan_ops *scan;
    const struct rb_passive_ops *passive;
    const struct rb_stream_ops *stream;
    /* Tells which files and folders the check looks at (check/watch.h), so that a change of them brings its next run forward. Any thread; NULL: none. */
    void (*watches)(const void *options, struct rb_watch_sink *sink);
};

/* The kind behind a schema of the plan (the registry's rows embed it as their first member). */
static inline const struct rb_kind *rb_kind_of(const struct rb_kind_schema *schema)
{
    return (const struct rb_kind *)(const void *)schema;
}
/* Whether a run of an EXCHANGE or CHILD kind begins with its worker part. */
static inline bool rb_kind_looks(const struct rb_kind *kind, const void *options)
{
    bool both = kind->exec == RB_EXEC_EXCHANGE || kind->exec == RB_EXEC_CHILD;
    return both && kind->run && (!kind->looks || kind->looks(options));
}
/* The static string of the reason if `reason` belongs to the kind, else NULL. */
const char *rb_kind_reason(const struct rb_kind *kind, const char *reason);
/* The row of a value, or NULL. */
const struct rb_value_def *rb_kind_value(const struct rb_kind *kind, const char *name);

/* All kinds of kinds.def (lib/kinds/registry.c). */
const struct rb_kind_list *rb_kind_registry(void);

#endif
