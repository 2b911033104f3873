/* The handlers of the routes. All run on the HTTP thread, see one snapshot, and never wait: what needs the loop suspends its connection (wait.c). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "runbook/base/units.h"
#include "runbook/platform/platform.h"

#define WAIT_SLACK       (250 * RB_NS_PER_MS)
#define RELOAD_DEADLINE  (20 * RB_NS_PER_S)
#define ACCEPT_DEADLINE  (30 * RB_NS_PER_S)
#define RUN_DEADLINE_MAX (60 * RB_NS_PER_S)

const char *rb_request_header(struct rb_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

const char *rb_request_argument(struct rb_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

enum MHD_Result rb_answer_starting(struct rb_request *request)
{
    return rb_answer_problem(request, 503, "starting", "The daemon has not loaded its configuration yet.");
}

enum MHD_Result rb_answer_failed(struct rb_request *request, const struct rb_error *err)
{
    return rb_answer_problem(request, err->code == RB_ENOTFOUND ? 404 : 500, "render", err->message);
}

bool rb_request_language(struct rb_request *request, const struct rb_snapshot *snapshot, enum rb_language *out)
{
    const char *text = rb_request_argument(request, "lang");
    *out = snapshot->plan->daemon.language == RB_LANGUAGE_DE ? RB_LANGUAGE_DE : RB_LANGUAGE_EN;
    if (!text)
        return true;
    bool german = strcmp(text, "de") == 0;
    *out = german ? RB_LANGUAGE_DE : RB_LANGUAGE_EN;
    return german || strcmp(text, "en") == 0;
}

enum MHD_Result rb_answer_bad_argument(struct rb_request *request, const char *name)
{
    static const struct {
        const char *name, *wanted;
    } arguments[] = {{"lang", "en or de"},
                     {"fresh", "0 or 1"},
                     {"max_age", "a duration such as 5s or 500ms, or whole seconds"},
                     {"deadline", "a duration such as 3s or 500ms, or whole seconds"}};
    const char *wanted = "something else";
    for (size_t i = 0; i < sizeof arguments / sizeof arguments[0]; i++)
        wanted = strcmp(arguments[i].name, name) == 0 ? arguments[i].wanted : wanted;
    RB_BUF_AUTO detail;
    rb_buf_init(&detail, 1024);
    rb_buf_addf(&detail, "The argument %s is not valid: it is %s.", name, wanted);
    return rb_answer_problem(request, 400, "bad-argument", rb_buf_str(&detail));
}

/* ---- bodies from the cache ---- */

struct served {
    enum rb_body_id id;
    const char *type;
    bool tagged; /* has an entity tag */
};

static enum MHD_Result not_modified(struct rb_request *request, const char *etag)
{
    struct rb_answer answer = {.status = 304, .etag = etag, .vary = true};
    return rb_answer_send(request, &answer);
}

/* The end of a metrics body: the age of the snapshot now, inside the same gzip member where there is one. */
static void metrics_tail(const struct rb_view *view, enum rb_body_id id, const struct rb_body *body, bool gzip, struct rb_buf *tail)
{
    RB_BUF_AUTO plain;
    rb_buf_init(&plain, 4096);
    rb_render_metrics_tail(view, id == RB_BODY_METRICS_TEXT ? RB_METRICS_TEXT : RB_METRICS_OPENMETRICS, &plain);
    if (gzip)
        rb_render_gzip_close(body->crc, body->plain_len, rb_buf_str(&plain), plain.len, tail);
    else
        rb_buf_add(tail, rb_buf_str(&plain), plain.len);
}

static enum MHD_Result serve(struct rb_request *request, struct rb_cache *cache, const struct rb_view *view, const struct served *what)
{
    bool gzip = rb_accept_gzip(rb_request_header(request, "Accept-Encoding"));
    char etag[RB_ETAG_SIZE];
    if (what->tagged) {
        rb_cache_etag(view, what->id, gzip, etag);
        if (rb_etag_matches(rb_request_header(request, "If-None-Match"), etag))
            return not_modified(request, etag);
    }
    struct rb_error err;
    struct rb_body *body = rb_cache_body(request->server, cache, view, what->id, gzip, &err);
    if (!body)
        return rb_answer_failed(request, &err);
    RB_BUF_AUTO tail;
    rb_buf_init(&tail, 8192);
    if (what->id == RB_BODY_METRICS_TEXT || what->id == RB_BODY_METRICS_OPENMETRICS)
        metrics_tail(view, what->id, body, gzip, &tail);
    else if (gzip)
        rb_render_gzip_close(body->crc, body->plain_len, "", 0, &tail);
    struct rb_answer answer = {.status = 200,
                               .type = what->type,
                               .body = body,
                               .tail = rb_buf_str(&tail),
                               .tail_len = tail.len,
                               .gzip = gzip,
                               .vary = true,
                               .etag = what->tagged ? etag : NULL};
    return rb_answer_send(request, &answer);
}

static enum MHD_Result serve_current(struct rb_request *request, const struct served *what)
{
    struct rb_cache *cache = rb_cache_current(request->server);
    if (!cache)
        return rb_answer_starting(request);
    struct rb_view view = rb_view_of(cache->snapshot, request->server->clock);
    struct served chosen = *what;
    enum rb_language language;
    enum MHD_Result result;
    if (!rb_request_language(request, cache->snapshot, &language)) {
        result = rb_answer_bad_argument(request, "lang");
    } else {
        if (chosen.id == RB_BODY_PAGE || chosen.id == RB_BODY_STATUS_TEXT)
            chosen.id = (enum rb_body_id)((int)chosen.id + (int)language);
        result = serve(request, cache, &view, &chosen);
    }
    rb_cache_unref(cache);
    return result;
}

enum MHD_Result rb_handle_page(struct rb_request *request)
{
    return serve_current(request, &(struct served){RB_BODY_PAGE, "text/html; charset=utf-8", true});
}

enum MHD_Result rb_handle_metrics(struct rb_request *request)
{
    const char *accept = rb_request_header(request, "Accept");
    int open = rb_accept_quality(accept, "application/openmetrics-text", "version=1.0.0", true);
    int text = rb_accept_quality(accept, "text/plain", NULL, false);
    if (open > 0 && open >= text)
        return serve_current(
            request, &(struct served){RB_BODY_METRICS_OPENMETRICS, "application/openmetrics-text; version=1.0.0; charset=utf-8", false});
    return serve_current(request, &(struct served){RB_BODY_METRICS_TEXT, "text/plain; version=0.0.4; charset=utf-8", false});
}

enum MHD_Result rb_handle_status(struct rb_request *request)
{
    const char *accept = rb_request_header(request, "Accept");
    bool text = rb_accept_quality(accept, "text/plain", NULL, false) > rb_accept_quality(accept, "application/json", NULL, false);
    if (text)
        return serve_current(request, &(struct served){RB_BODY_STATUS_TEXT, "text/plain; charset=utf-8", true});
    return serve_current(request, &(struct served){RB_BODY_STATUS_JSON, "application/json", true});
}

enum MHD_Result rb_handle_checks(struct rb_request *request)
{
    return serve_current(request, &(struct served){RB_BODY_CHECKS, "application/json", true});
}

enum MHD_Result rb_handle_openapi(struct rb_request *request)
{
    return serve_current(request, &(struct served){RB_BODY_OPENAPI, "application/json", false});
}

enum MHD_Result rb_answer_rendered(struct rb_request *request, int status, const char *type, struct rb_body *body)
{
    struct rb_answer answer = {.status = status, .type = type, .body = body, .vary = true};
    return rb_answer_send(request, &answer);
}

static enum MHD_Result answer_check(struct rb_request *request, int status, const struct rb_snapshot *snapshot)
{
    struct rb_view view = rb_view_of(snapshot, request->server->clock);
    size_t index = rb_plan_find(snapshot->plan, request->name);
    if (index == SIZE_MAX)
        return rb_answer_problem(request, 404, "no-such-check", "No check has this name; /api/v1/checks lists them.");
    struct rb_error err = {0};
    struct rb_body *body = rb_body_new();
    int rc = body ? rb_render_check_json(&view, index, &body->bytes, &err) : rb_error_set(&err, RB_ENOMEM, "out of memory");
    if (rc == 0)
        return rb_answer_rendered(request, status, "application/json", body);
    rb_body_unref(body);
    return rb_answer_failed(request, &err);
}

enum MHD_Result rb_handle_check(struct rb_request *request)
{
    struct rb_cache *cache = rb_cache_current(request->server);
    if (!cache)
        return rb_answer_starting(request);
    enum MHD_Result result = answer_check(request, 200, cache->snapshot);
    rb_cache_unref(cache);
    return result;
}

/* ---- liveness ---- */

enum MHD_Result rb_handle_healthy(struct rb_request *request)
{
    struct rb_cache *cache = rb_cache_current(request->server);
    if (!cache)
        return rb_answer_text(request, 503, "starting\n");
    struct rb_view view = rb_view_of(cache->snapshot, request->server->clock);
    rb_cache_unref(cache);
    if (!view.stuck)
        return rb_answer_text(request, 200, "healthy\n");
    RB_BUF_AUTO text;
    rb_buf_init(&text, 256);
    rb_buf_adds(&text, "unhealthy: the loop is stuck, nothing was learned for ");
    rb_duration_print(&text, (int64_t)(view.age_s * 1e3));
    rb_buf_addc(&text, '\n');
    return rb_answer_text(request, 503, rb_buf_str(&text));
}

enum MHD_Result rb_handle_ready(struct rb_request *request)
{
    struct rb_cache *cache = rb_cache_current(request->server);
    if (!cache)
        return rb_answer_text(request, 503, "not ready: starting\n");
    struct rb_view view = rb_view_of(cache->snapshot, request->server->clock);
    bool ready = cache->snapshot->ready;
    rb_cache_unref(cache);
    if (view.stuck)
        return rb_answer_text(request, 503, "not ready: the loop is stuck\n");
    return ready ? rb_answer_text(request, 200, "ready\n") : rb_answer_text(request, 503, "not ready: not every check has run once\n");
}

/* ---- commands ---- */

static enum MHD_Result busy(struct rb_request *request)
{
    return rb_answer_problem(request, 503, "busy", "The daemon is stuck, stopping, or has too many requests waiting; try again.");
}

static enum MHD_Result answer_failure(struct rb_request *request, const struct rb_command *command)
{
    const char *detail = command->detail.len ? rb_buf_str(&command->detail) : "The daemon could not do it.";
    return rb_answer_problem(request, command->status, command->problem[0] ? command->problem : "failed", detail);
}

static enum MHD_Result start_command(struct rb_request *request, struct rb_command *take_command, int64_t wait_ns)
{
    int64_t now = rb_server_now(request->server);
    if (take_command)
        take_command->deadline_ns = now + wait_ns;
    if (!take_command || !rb_wait_start(request, take_command, now + wait_ns + WAIT_SLACK))
        return busy(request);
    return MHD_YES;
}

enum MHD_Result rb_handle_reload(struct rb_request *request)
{
    if (!request->waiter)
        return start_command(request, rb_command_new(RB_COMMAND_RELOAD), RELOAD_DEADLINE);
    const struct rb_command *command = request->waiter->command;
    if (!rb_wait_finished(request))
        return rb_answer_problem(request, 503, "timeout", "The reload did not end in time; /status tells what became of it.");
    if (command->status >= 400)
        return answer_failure(request, command);
    struct rb_answer answer = {.status = command->status,
                               .type = "application/json",
                               .tail = "{\"reloaded\":true}\n",
                               .tail_len = sizeof "{\"reloaded\":true}\n" - 1};
    return rb_answer_send(request, &answer);
}

static enum MHD_Result start_run(struct rb_request *request, const struct rb_cache *cache)
{
    size_t index = rb_plan_find(cache->snapshot->plan, request->name);
    if (index == SIZE_MAX)
        return rb_answer_problem(request, 404, "no-such-check", "No check has this name; /api/v1/checks lists them.");
    struct rb_command *command = rb_command_new(RB_COMMAND_RUN);
    if (command)
        memcpy(command->name, cache->snapshot->plan->checks[index].name, strlen(request->name) + 1);
    int64_t wait_ns = cache->snapshot->plan->checks[index].timeout_ms * RB_NS_PER_MS + RB_NS_PER_S;
    return start_command(request, command, wait_ns < RUN_DEADLINE_MAX ? wait_ns : RUN_DEADLINE_MAX);
}

enum MHD_Result rb_handle_run(struct rb_request *request)
{
    struct rb_cache *cache = rb_cache_current(request->server);
    if (!cache)
        return rb_answer_starting(request);
    enum MHD_Result result;
    if (strlen(request->name) >= sizeof((struct rb_command *)0)->name)
        result = rb_answer_problem(request, 404, "no-such-check", "No check has this name; /api/v1/checks lists them.");
    else if (!request->waiter)
        result = start_run(request, cache);
    else if (!rb_wait_finished(request))
        result = answer_check(request, 202, cache->snapshot); /* still running: what is known by now */
    else if (request->waiter->command->status >= 400)
        result = answer_failure(request, request->waiter->command);
    else
        result = answer_check(request, request->waiter->command->status,
                              request->waiter->command->snapshot ? request->waiter->command->snapshot : cache->snapshot);
    rb_cache_unref(cache);
    return result;
}

/* ---- drift ---- */

enum MHD_Result rb_handle_drift(struct rb_request *request)
{
    struct rb_cache *cache = rb_cache_current(request->server);
    if (!cache)
        return rb_answer_starting(request);
    const char *all = rb_request_argument(request, "all");
    struct rb_view view = rb_view_of(cache->snapshot, request->server->clock);
    struct rb_error err = {0};
    struct rb_body *body = rb_body_new();
    int rc = body ? rb_render_drift_json(&view, all && strcmp(all, "1") == 0, &body->bytes, &err)
                  : rb_error_set(&err, RB_ENOMEM, "out of memory");
    rb_cache_unref(cache);
    if (rc == 0)
        return rb_answer_rendered(request, 200, "application/json", body);
    rb_body_unref(body);
    return rb_answer_failed(request, &err);
}

enum MHD_Result rb_handle_drift_accept(struct rb_request *request)
{
    if (!request->waiter) {
        struct rb_command *command = rb_command_new(RB_COMMAND_DRIFT_ACCEPT);
        if (command)
            rb_buf_add(&command->body, rb_buf_str(&request->body), request->body.len);
        return start_command(request, command, ACCEPT_DEADLINE);
    }
    const struct rb_command *command = request->waiter->command;
    if (!rb_wait_finished(request))
        return rb_answer_problem(request, 503, "timeout", "The answer did not come in time; /api/v1/drift tells what became of it.");
    if (command->status >= 400)
        return answer_failure(request, command);
    struct rb_answer answer = {
        .status = command->status, .type = "application/json", .tail = rb_buf_str(&command->detail), .tail_len = command->detail.len};
    return rb_answer_send(request, &answer);
}
