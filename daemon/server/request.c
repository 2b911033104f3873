/* One request, from its first line to its end: the facts for the guard, the order of defence of SPEC 9, then the route's handler.
 *
 * libmicrohttpd lets much pass that must not (two Hosts, absolute targets, TE with Content-Length) and cuts a target at a NUL; the guard therefore judges
 * the raw target and the counted header fields before anything else looks at the request. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "internal.h"

static size_t parameters_in(const char *target)
{
    const char *at = strchr(target, '?');
    size_t count = at != NULL;
    for (at = at ? at + 1 : NULL; at && (at = strchr(at, '&')); at++)
        count++;
    return count;
}

/* First line complete. Runs before the headers are read. */
void *rb_request_begin(void *cls, const char *uri, struct MHD_Connection *connection)
{
    struct rb_request *request = calloc(1, sizeof *request);
    if (!request)
        return NULL;
    request->server = cls;
    rb_buf_init(&request->body, RB_BODY_MAX);
    request->connection = connection;
    request->raw_len = strlen(uri);
    request->raw_at = (uintptr_t)uri;
    request->raw = malloc(request->raw_len + 1);
    if (!request->raw) {
        free(request);
        return NULL;
    }
    memcpy(request->raw, uri, request->raw_len + 1);
    /* libmicrohttpd 0.9.75 hangs when the parameters outgrow the connection's memory: it never sees what the guard will refuse. The text is its own
     * buffer, which it parses next. */
    if (parameters_in(uri) > RB_GUARD_PARAMETERS_MAX)
        *(char *)((uintptr_t)strchr(uri, '?') + 1) = '\0';
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    request->slot = info ? info->socket_context : NULL;
    if (request->slot) {
        rb_request_abandon(request->slot);
        request->slot->request = request;
    }
    rb_slot_phase(request->server, request->slot, RB_SLOT_READING);
    return request;
}

static void request_free(struct rb_request *request)
{
    if (!request)
        return;
    rb_buf_fini(&request->body);
    free(request->raw);
    free(request);
}

void rb_request_abandon(struct rb_slot *slot)
{
    request_free(slot->request);
    slot->request = NULL;
}

void rb_request_end(void *cls, struct MHD_Connection *connection, void **con_cls, enum MHD_RequestTerminationCode code)
{
    (void)cls;
    (void)connection;
    (void)code;
    struct rb_request *request = *con_cls;
    if (!request)
        return;
    *con_cls = NULL;
    rb_wait_forget(request);
    rb_slot_phase(request->server, request->slot, RB_SLOT_IDLE);
    if (request->slot)
        request->slot->request = NULL;
    request_free(request);
}

/* The walk over the fields. `end`: where the last text of libmicrohttpd's buffer that was looked at ended. */
struct field_walk {
    struct rb_request_head *head;
    const char *end;
};

/* libmicrohttpd ends a value at its first NUL and tells no length. The bytes up to `next`, where the following text begins, are then more than a line's
 * end. Without a common buffer (another version might copy) there is nothing to see. */
static bool hides_bytes(const char *end, uintptr_t next)
{
    uintptr_t at = (uintptr_t)end;
    if (!end || next < at || next - at > RB_CONNECTION_MEMORY)
        return false;
    for (size_t i = 0; i < next - at; i++) {
        if (!memchr("\0\r\n \t", end[i], 5))
            return true;
    }
    return false;
}

/* RFC 9110 5.6.2: a name is a token; "Transfer-Encoding :" is nobody's field and somebody's bypass. */
static bool is_token(const char *text)
{
    static const char token[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    return *text && text[strspn(text, token)] == '\0';
}

static enum MHD_Result see_header(void *cls, enum MHD_ValueKind kind, const char *key, const char *value)
{
    (void)kind;
    struct field_walk *walk = cls;
    struct rb_request_head *head = walk->head;
    head->bad_field = head->bad_field || !is_token(key) || hides_bytes(walk->end, (uintptr_t)key);
    walk->end = value ? value + strlen(value) : NULL;
    if (strcasecmp(key, "Host") == 0 && head->host_count++ == 0)
        head->host = value ? value : "";
    else if (strcasecmp(key, "Content-Length") == 0 && head->content_length_count++ == 0)
        head->content_length = value ? value : "";
    else if (strcasecmp(key, "Transfer-Encoding") == 0)
        head->transfer_encoding_count++;
    else if (strcasecmp(key, "Content-Type") == 0)
        head->content_type = value;
    else if (strcasecmp(key, "Origin") == 0)
        head->origin = value;
    else if (strcasecmp(key, "Sec-Fetch-Site") == 0)
        head->sec_fetch_site = value;
    else if (strcasecmp(key, "Authorization") == 0 && head->authorization_count++ == 0)
        head->authorization = value;
    return MHD_YES;
}

/* The version follows the target in libmicrohttpd's buffer: when more bytes lie between than the text has, the target holds a NUL. The guard is then
 * given the length on the wire; the bytes after the NUL do not matter for its verdict. */
static size_t wire_length(const struct rb_request *request, const char *version)
{
    uintptr_t end = (uintptr_t)version;
    uintptr_t text_end = request->raw_at + request->raw_len;
    return end > text_end + 1 && end - request->raw_at < 65536 ? (size_t)(end - request->raw_at - 1) : request->raw_len;
}

static struct rb_guard_policy policy_of(const struct rb_request *request)
{
    const struct rb_server *server = request->server;
    const struct rb_listen_socket *listener = request->slot ? request->slot->listener : NULL;
    return (struct rb_guard_policy){.allowed_hosts = (const char *const *)server->allowed_hosts,
                                    .over_unix_socket = listener && listener->unix_socket,
                                    .local_listener = listener && listener->local,
                                    .token = server->token,
                                    .max_target = RB_TARGET_MAX,
                                    .max_body = RB_BODY_LARGEST};
}

static enum MHD_Result refuse(struct rb_request *request, int status, const char *type, const char *detail, const char *allow)
{
    pthread_mutex_lock(&request->server->lock);
    request->server->stats.refused++;
    pthread_mutex_unlock(&request->server->lock);
    struct rb_error err;
    struct rb_answer answer = {.status = status,
                               .type = "application/problem+json",
                               .body = rb_body_new(),
                               .allow = allow,
                               .close = status != 404 && status != 405};
    if (!answer.body || rb_render_problem(status, type, detail, &answer.body->bytes, &err) < 0) {
        rb_body_unref(answer.body);
        return MHD_NO;
    }
    return rb_answer_send(request, &answer);
}

static void see_fields(const struct rb_request *request, const char *method, struct rb_request_head *head)
{
    struct field_walk walk = {.head = head, .end = head->version + strlen(head->version)};
    (void)MHD_get_connection_values(request->connection, MHD_HEADER_KIND, see_header, &walk);
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    uintptr_t first = request->raw_at - strlen(method) - 1;
    if (info && hides_bytes(walk.end, first + info->header_size))
        head->bad_field = true;
}

/* Headers complete: the whole order of defence. Queues the refusal, if any. */
static enum MHD_Result judge(struct rb_request *request, const char *method, const char *version)
{
    struct rb_request_head head = {.raw_target = request->raw, .raw_target_len = request->raw_len, .method = method, .version = version};
    char *padded = NULL;
    size_t wire = wire_length(request, version);
    if (wire > request->raw_len) {
        padded = calloc(1, wire + 1);
        if (!padded)
            return MHD_NO;
        memcpy(padded, request->raw, request->raw_len);
        head.raw_target = padded;
        head.raw_target_len = wire;
    }
    see_fields(request, method, &head);
    head.has_body = head.transfer_encoding_count || (head.content_length && strcmp(head.content_length, "0") != 0);
    struct rb_guard_policy policy = policy_of(request);
    struct rb_guard_verdict verdict = rb_guard_head(&policy, &head);
    char path[RB_TARGET_MAX + 1];
    if (!verdict.status && rb_guard_path(&head, path, sizeof path) < 0)
        verdict = (struct rb_guard_verdict){.status = 400, .type = "bad-target", .detail = "The request target is not a valid path."};
    free(padded);
    if (verdict.status)
        return refuse(request, verdict.status, verdict.type, verdict.detail, NULL);

    RB_BUF_AUTO allow;
    rb_buf_init(&allow, 64);
    request->route = rb_route_find(path, method, request->name, sizeof request->name, &allow);
    if (!request->route && allow.len == 0)
        return refuse(request, 404, "not-found", "There is nothing at this path; /openapi.json lists what there is.", NULL);
    if (!request->route)
        return refuse(request, 405, "method-not-allowed", "This path does not take that method.", rb_buf_str(&allow));
    head.raw_target = request->raw;
    if (request->route->max_body)
        request->body.max = request->route->max_body;
    verdict = rb_guard_route_check(&policy, &head, &request->route->guard);
    if (verdict.status)
        return refuse(request, verdict.status, verdict.type, verdict.detail, NULL);
    if (head.content_length && strtoull(head.content_length, NULL, 10) > request->body.max)
        return refuse(request, 413, "body-too-large", "The body is larger than this path accepts.", NULL);
    request->cross_site = verdict.cross_site;
    return MHD_YES;
}

enum MHD_Result rb_request_handle(void *cls, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
                                  const char *upload_data, size_t *upload_data_size, void **con_cls)
{
    (void)cls;
    (void)connection;
    (void)url;
    struct rb_request *request = *con_cls;
    if (!request)
        return MHD_NO;
    if (!request->judged) {
        request->judged = true;
        return judge(request, method, version);
    }
    if (request->answered)
        return MHD_YES;
    if (*upload_data_size > 0) {
        /* Its size is bounded by what the guard let pass. */
        request->body_len += *upload_data_size;
        rb_buf_add(&request->body, upload_data, *upload_data_size);
        *upload_data_size = 0;
        return request->body_len <= request->body.max ? MHD_YES : MHD_NO;
    }
    return request->route->handle(request);
}
