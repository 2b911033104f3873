/* The pure part of the server's defence: decides on a request's first line and headers, before anything else looks at them.
 * Refuses with 400 what is malformed or ambiguous (any Transfer-Encoding too: no client of ours needs one), 401 a missing or wrong token,
 * 403 a Host that is not on the list and another site's page, 413 a body and 414 a target that is too large, 415 a body that is not JSON,
 * 505 a version other than HTTP/1.1 and 1.0.
 * Contract: SPEC 9 "order of defence"; RFC 9110 (Host, authority), RFC 9112 3.2 and 6.3 (request target, message length). */
#ifndef RUNBOOK_BASE_HTTP_GUARD_H
#define RUNBOOK_BASE_HTTP_GUARD_H

#include <stdbool.h>
#include <stddef.h>

#include "runbook/base/error.h"

#define RB_GUARD_PARAMETERS_MAX 32u /* in a query; more are refused with 400 */

/* What the guard is told of a request. Strings are borrowed; NULL where the header is absent. */
struct rb_request_head {
    const char *raw_target; /* exactly as on the wire, still percent-encoded, with the query */
    size_t raw_target_len;  /* a NUL inside is seen */
    const char *method;
    const char *version; /* "HTTP/1.1" */
    unsigned host_count; /* number of Host fields */
    const char *host;    /* the first one */
    unsigned content_length_count;
    const char *content_length;
    unsigned transfer_encoding_count;
    const char *content_type;
    const char *origin;
    const char *sec_fetch_site;
    const char *authorization;
    unsigned authorization_count;
    bool has_body;
    bool bad_field; /* a field's name is no token, or a NUL hides the rest of its value */
};

struct rb_guard_policy {
    const char *const *allowed_hosts; /* NULL-terminated names or addresses without port, lower case */
    bool over_unix_socket;            /* the peer's credentials were checked: Host list and token do not apply */
    bool local_listener;              /* the socket is bound to loopback */
    const char *token;                /* expected bearer token, or NULL: then what needs one is refused */
    size_t max_target;                /* bytes */
    size_t max_body;                  /* bytes */
};

/* One row of the route table, as far as the guard must know it. */
struct rb_guard_route {
    bool changes_state;        /* needs same-site, token, JSON body */
    bool open_beyond_loopback; /* /metrics and all below /-/ answer without a token on any listener */
    bool wants_json;           /* a body must be application/json */
};

struct rb_guard_verdict {
    int status;         /* 0: pass; otherwise the HTTP status of the refusal */
    const char *type;   /* stable short word for problem+json "type", e.g. "bad-host"; static */
    const char *detail; /* one sentence for people; static */
    bool cross_site;    /* passes, but came from another site's page: must not start a check */
};

/* Stage 1, before routing: target form, path bytes, Host, message framing. */
struct rb_guard_verdict rb_guard_head(const struct rb_guard_policy *policy, const struct rb_request_head *head);
/* Stage 2, after the route is known: origin, token, content type, body size. */
struct rb_guard_verdict rb_guard_route_check(const struct rb_guard_policy *policy, const struct rb_request_head *head,
                                             const struct rb_guard_route *route);
/* Decodes the path part of a target that passed stage 1 into `out` (terminated). 0, or RB_EINVAL. */
int rb_guard_path(const struct rb_request_head *head, char *out, size_t out_size) RB_MUST_CHECK;

#endif
