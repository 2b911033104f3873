/* Answers: every response of the server leaves through rb_answer_send, so that the security headers are on all of them.
 *
 * A body is shared, not copied: libmicrohttpd sends it from where the cache has it, followed by the short end that was made for this request. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

struct sent {
    struct rb_body *body;
    char tail[];
};

static void free_sent(void *arg)
{
    struct sent *sent = arg;
    rb_body_unref(sent->body);
    free(sent);
}

static struct MHD_Response *make_response(struct rb_answer *answer)
{
    struct sent *sent = malloc(sizeof *sent + answer->tail_len);
    if (!sent) {
        rb_body_unref(answer->body);
        return NULL;
    }
    sent->body = answer->body;
    if (answer->tail_len)
        memcpy(sent->tail, answer->tail, answer->tail_len);
    struct MHD_IoVec parts[2];
    unsigned count = 0;
    if (answer->body && answer->body->bytes.len)
        parts[count++] = (struct MHD_IoVec){answer->body->bytes.data, answer->body->bytes.len};
    if (answer->tail_len)
        parts[count++] = (struct MHD_IoVec){sent->tail, answer->tail_len};
    struct MHD_Response *response = MHD_create_response_from_iovec(parts, count, free_sent, sent);
    if (!response)
        free_sent(sent);
    return response;
}

static void header(struct MHD_Response *response, const char *name, const char *value)
{
    /* Out of memory or not: an answer without one header is still better than none. */
    (void)MHD_add_response_header(response, name, value);
}

static void add_headers(const struct rb_server *server, struct MHD_Response *response, const struct rb_answer *answer)
{
    bool html = answer->type && strncmp(answer->type, "text/html", 9) == 0;
    if (answer->type)
        header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer->type);
    if (answer->gzip)
        header(response, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
    if (answer->vary)
        header(response, MHD_HTTP_HEADER_VARY, "Accept, Accept-Encoding");
    if (answer->etag)
        header(response, MHD_HTTP_HEADER_ETAG, answer->etag);
    if (answer->allow)
        header(response, MHD_HTTP_HEADER_ALLOW, answer->allow);
    if (answer->status == 401)
        header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer realm=\"runbookd\"");
    if (answer->status == 503)
        header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
    if (answer->close)
        header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    header(response, "Content-Security-Policy", html ? server->csp_html : "default-src 'none'; frame-ancestors 'none'");
    header(response, "X-Content-Type-Options", "nosniff");
    header(response, "X-Frame-Options", "DENY");
    header(response, "Referrer-Policy", "no-referrer");
    header(response, "Cross-Origin-Resource-Policy", "same-origin");
    header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
}

static void count(struct rb_server *server, const struct rb_answer *answer, size_t bytes)
{
    pthread_mutex_lock(&server->lock);
    int class = answer->status / 100;
    if (class >= 0 && class < 6)
        server->stats.requests_by_class[class]++;
    server->stats.bytes_sent += bytes;
    pthread_mutex_unlock(&server->lock);
}

enum MHD_Result rb_answer_send(struct rb_request *request, struct rb_answer *answer)
{
    size_t bytes = (answer->body ? answer->body->bytes.len : 0) + answer->tail_len;
    struct MHD_Response *response = make_response(answer);
    if (!response)
        return MHD_NO;
    add_headers(request->server, response, answer);
    count(request->server, answer, bytes);
    request->answered = true;
    rb_slot_phase(request->server, request->slot, RB_SLOT_SENDING);
    enum MHD_Result result = MHD_queue_response(request->connection, (unsigned)answer->status, response);
    MHD_destroy_response(response);
    return result;
}

enum MHD_Result rb_answer_problem(struct rb_request *request, int status, const char *type, const char *detail)
{
    struct rb_error err;
    struct rb_answer answer = {.status = status, .type = "application/problem+json", .body = rb_body_new()};
    if (!answer.body || rb_render_problem(status, type, detail, &answer.body->bytes, &err) < 0) {
        rb_body_unref(answer.body);
        return MHD_NO;
    }
    return rb_answer_send(request, &answer);
}

enum MHD_Result rb_answer_text(struct rb_request *request, int status, const char *text)
{
    struct rb_answer answer = {.status = status, .type = "text/plain; charset=utf-8", .tail = text, .tail_len = strlen(text)};
    return rb_answer_send(request, &answer);
}
