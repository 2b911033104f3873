/* The questions to a Docker engine that docker, compose and env share, and what can go wrong with them.
 *
 * An engine that is down must be one finding with one reason, wherever it is noticed; so the mapping from network failures to reasons is here and nowhere else. What this user
 * may not see is `unknown`: it is the observer's trouble, never the stack's. */
#include "runbook/check/docker.h"

#include <stdio.h>
#include <string.h>

#include "runbook/base/redact.h"

#define MAX_BODY  (4u << 20) /* parsed on the loop thread, where a megabyte takes some 20 ms */
#define MAX_CLEAN 1024

const char *rb_docker_clean(const char *text, struct rb_arena *arena)
{
    RB_BUF_AUTO buf;
    size_t len = text ? strlen(text) : 0;
    rb_buf_init(&buf, 4 * MAX_CLEAN);
    while (len > 0 && strchr("\r\n\t ", text[len - 1]))
        len--;
    rb_redact(&buf, text ? text : "", len < MAX_CLEAN ? len : MAX_CLEAN);
    const char *copy = rb_arena_strdup(arena, rb_buf_str(&buf));
    return copy ? copy : "";
}

bool rb_docker_is_id(const char *text)
{
    size_t len = strspn(text, "0123456789abcdef");
    return text[len] == '\0' && len >= 12 && len <= 64;
}

const char *rb_docker_url_escape(const char *text, struct rb_arena *arena)
{
    static const char hex[] = "0123456789ABCDEF";
    char *out = rb_arena_alloc(arena, 3 * strlen(text) + 1), *at = out;
    for (const unsigned char *p = (const unsigned char *)text; out && *p; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || strchr("-._~", *p);
        if (plain) {
            *at++ = (char)*p;
            continue;
        }
        *at++ = '%';
        *at++ = hex[*p >> 4];
        *at++ = hex[*p & 15];
    }
    return out;
}

/* ---- faults ---- */

static const char *place_of(const struct rb_docker_client *client)
{
    return client->endpoint.unix_socket[0] ? client->endpoint.unix_socket : client->endpoint.url;
}

static void set_fault(struct rb_docker_fault *out, enum rb_result result, const char *reason, enum rb_sighting sighting)
{
    *out = (struct rb_docker_fault){.reason = reason, .result = result, .sighting = sighting};
}

static bool fault_of_network(const struct rb_docker_client *client, const struct rb_event *event, struct rb_arena *arena,
                             struct rb_docker_fault *out)
{
    enum rb_net_failure failure = event->http ? event->http->failure : event->failure;
    const char *detail = event->http ? event->http->detail : event->detail, *place = place_of(client), *origin = client->endpoint.origin;
    const char *text = NULL;
    switch (failure) {
    case RB_NET_OK:
        return false;
    case RB_NET_NO_SOCKET:
        set_fault(out, RB_RESULT_FAIL, "no_socket", RB_SIGHTING_GONE);
        text = rb_arena_printf(arena, "no Docker socket at %s (%s)", place, origin);
        break;
    case RB_NET_REFUSED:
        set_fault(out, RB_RESULT_FAIL, "not_running", RB_SIGHTING_GONE);
        text = rb_arena_printf(arena, "the Docker engine is not running: %s refuses connections (%s)", place, origin);
        break;
    case RB_NET_PERMISSION:
        set_fault(out, RB_RESULT_UNKNOWN, "no_permission", RB_SIGHTING_NONE);
        text = rb_arena_printf(arena, "this user may not use %s (%s); the engine may well be running", place, origin);
        break;
    case RB_NET_TIMEOUT:
    case RB_NET_CONNECT_TIMEOUT:
        set_fault(out, RB_RESULT_FAIL, "timeout", RB_SIGHTING_PRESENT);
        text = rb_arena_printf(arena, "the Docker engine on %s does not answer in time (%s)", place, origin);
        break;
    case RB_NET_DNS:
    case RB_NET_DNS_TIMEOUT:
    case RB_NET_UNREACHABLE:
    case RB_NET_RESET:
    case RB_NET_CLOSED:
    case RB_NET_TLS_HANDSHAKE:
    case RB_NET_TLS_EXPIRED:
    case RB_NET_TLS_NOT_YET_VALID:
    case RB_NET_TLS_SELF_SIGNED:
    case RB_NET_TLS_UNTRUSTED:
    case RB_NET_TLS_HOST_MISMATCH:
    case RB_NET_TLS_VERSION:
    case RB_NET_TLS_REVOKED:
    case RB_NET_PROTOCOL:
    case RB_NET_TOO_LARGE:
    case RB_NET_HEADER_TOO_LARGE:
    case RB_NET_REDIRECTS:
    case RB_NET_REDIRECT_BLOCKED:
    case RB_NET_TRUNCATED:
    case RB_NET_OTHER:
    case RB_NET_COUNT:
        set_fault(out, failure == RB_NET_OTHER ? RB_RESULT_UNKNOWN : RB_RESULT_FAIL, "protocol", RB_SIGHTING_PRESENT);
        text = rb_arena_printf(arena, "%s answers, but not as a Docker engine: %s", place,
                               detail ? rb_docker_clean(detail, arena) : rb_net_failure_reason(failure));
        break;
    }
    out->text = text ? text : "";
    return true;
}

bool rb_docker_client_find(struct rb_docker_client *client, const char *socket, struct rb_arena *arena, struct rb_docker_fault *out)
{
    *client = (struct rb_docker_client){0};
    rb_docker_find(&(struct rb_docker_search){.socket = socket}, &client->endpoint);
    switch (client->endpoint.found) {
    case RB_DOCKER_FOUND:
        return true;
    case RB_DOCKER_NO_SOCKET:
        set_fault(out, RB_RESULT_FAIL, "no_socket", RB_SIGHTING_GONE);
        break;
    case RB_DOCKER_UNSUPPORTED:
        set_fault(out, RB_RESULT_UNKNOWN, "unsupported", RB_SIGHTING_NONE);
        break;
    case RB_DOCKER_BAD_CONTEXT:
        set_fault(out, RB_RESULT_UNKNOWN, "bad_context", RB_SIGHTING_NONE);
        break;
    }
    const char *named = client->endpoint.found == RB_DOCKER_NO_SOCKET ? "" : client->endpoint.origin;
    const char *text = rb_arena_printf(arena, "%s%s%s", named, *named ? ": " : "", rb_docker_clean(client->endpoint.problem, arena));
    out->text = text ? text : "";
    return false;
}

/* ---- requests ---- */

static void request(const struct rb_check_ctx *ctx, const struct rb_docker_client *client, struct rb_action *next, const char *path)
{
    *next = (struct rb_action){.type = RB_ACTION_HTTP};
    next->http = (struct rb_http_request){
        .method = "GET",
        .url = rb_arena_printf(ctx->arena, "%s%s", client->endpoint.url, path ? path : "/"),
        .unix_socket = client->endpoint.unix_socket[0] ? rb_arena_strdup(ctx->arena, client->endpoint.unix_socket) : NULL,
        .max_body = MAX_BODY};
}

void rb_docker_get(const struct rb_check_ctx *ctx, const struct rb_docker_client *client, struct rb_action *next, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const char *path = rb_arena_vprintf(ctx->arena, fmt, args);
    va_end(args);
    request(ctx, client, next, rb_arena_printf(ctx->arena, "/v1.%u%s", client->api_minor, path ? path : "/"));
}

static json_t *document_of(const struct rb_http_response *response)
{
    json_error_t error;
    if (memchr(response->body, '\0', response->body_len)) /* jansson would stop reading there */
        return NULL;
    return json_loadb(response->body, response->body_len, JSON_ALLOW_NUL, &error);
}

json_t *rb_docker_json(const struct rb_docker_client *client, const struct rb_event *event, struct rb_arena *arena,
                       struct rb_docker_fault *out)
{
    if (fault_of_network(client, event, arena, out))
        return NULL;
    json_t *document = event->http ? document_of(event->http) : NULL;
    if (document && event->http->status == 200)
        return document;
    const char *said = json_string_value(json_object_get(document, "message")), *text;
    if (said) {
        set_fault(out, RB_RESULT_UNKNOWN, "api_error", RB_SIGHTING_PRESENT);
        text = rb_arena_printf(arena, "the engine on %s answers with status %ld: %s", place_of(client), event->http->status,
                               rb_docker_clean(said, arena));
    } else {
        set_fault(out, RB_RESULT_FAIL, "protocol", RB_SIGHTING_PRESENT);
        text = rb_arena_printf(arena, "%s answers, but not as a Docker engine: status %ld and %s", place_of(client),
                               event->http ? event->http->status : 0, document ? "a foreign document" : "no JSON");
    }
    out->text = text ? text : "";
    json_decref(document);
    return NULL;
}

/* ---- version ---- */

void rb_docker_ask_version(const struct rb_check_ctx *ctx, struct rb_docker_client *client, struct rb_action *next)
{
    client->api_minor = 0;
    client->asked_ping = false;
    request(ctx, client, next, "/version");
}

static unsigned version_in_header(const struct rb_http_response *response)
{
    for (size_t i = 0; response && i < response->headers.count; i++) {
        if (strcmp(response->headers.items[i].key, "api-version") == 0)
            return rb_docker_api_minor(response->headers.items[i].value);
    }
    return 0;
}

int rb_docker_take_version(const struct rb_check_ctx *ctx, struct rb_docker_client *client, const struct rb_event *event,
                           struct rb_action *next, json_t **out_document, struct rb_docker_fault *out)
{
    *out_document = NULL;
    if (fault_of_network(client, event, ctx->arena, out))
        return -1;
    if (!client->asked_ping)
        *out_document = rb_docker_json(client, event, ctx->arena, out);
    client->api_minor = *out_document ? rb_docker_api_minor(json_string_value(json_object_get(*out_document, "ApiVersion"))) : 0;
    if (!client->api_minor)
        client->api_minor = version_in_header(event->http);
    if (client->api_minor)
        return 1;
    json_decref(*out_document);
    *out_document = NULL;
    if (!client->asked_ping) {
        client->asked_ping = true;
        request(ctx, client, next, "/_ping");
        return 0;
    }
    set_fault(out, RB_RESULT_FAIL, "protocol", RB_SIGHTING_PRESENT);
    const char *text = rb_arena_printf(ctx->arena, "%s answers with status %ld, but not as a Docker engine: it names no API version",
                                       place_of(client), event->http ? event->http->status : 0);
    out->text = text ? text : "";
    return -1;
}
