/* http: does a page answer as it should? Status, headers, body, JSON values, certificate, time.
 *
 * One request, then every condition is judged, so that one run tells all that is wrong; the first of the order network, status, header, body, json
 * gives the reason. Without a wanted status 2xx is wanted. The answer is hostile: patterns run with limits, JSON is parsed with jansson's depth limit,
 * and what is quoted from it passes the redactor. Configured secrets (bearer, password, header values) never reach a message. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "runbook/base/redact.h"
#include "runbook/base/text.h"
#include "runbook/check/ca.h"
#include "runbook/check/exposition.h"
#include "runbook/check/facts.h"
#include "runbook/check/kind.h"
#include "runbook/check/match.h"
#include "runbook/check/net.h"

#define MAX_CONDITIONS 64
#define MAX_JSON       (1 << 20) /* it is parsed on the loop thread: some 40 ms a MiB at worst */
#define DAY_S          86400.0

struct http_expect {
    struct rb_strings status;
    struct rb_pairs headers;
    struct rb_strings body, not_body, contains, metrics;
    const struct rb_node *json;
};

struct http_tls {
    const char *ca_file, *server_name;
    bool insecure;
    int min_version;
    int64_t warn_expiry_ms, fail_expiry_ms;
};

struct http_options {
    const char *url, *method, *body, *bearer, *user, *password, *unix_socket;
    struct rb_pairs headers;
    struct http_expect expect;
    struct http_tls tls;
    int64_t redirects, max_body, warn_after_ms, connect_timeout_ms;
    int ip_version;
};

static const struct rb_choice version_choices[] = {
    {"1.0", 10, "TLS 1.0"}, {"1.1", 11, "TLS 1.1"}, {"1.2", 12, "TLS 1.2"}, {"1.3", 13, "TLS 1.3"}, {NULL}};
static const struct rb_choice ip_choices[] = {{"any", 0, "IPv6 and IPv4"}, {"4", 4, "only IPv4"}, {"6", 6, "only IPv6"}, {NULL}};

#define EXPECT(field, option_type, ...)                                                                        \
    {                                                                                                          \
        .name = #field, .type = option_type, .offset = offsetof(struct http_expect, field), .doc = __VA_ARGS__ \
    }
static const struct rb_option expect_options[] = {
    EXPECT(status, RB_OPT_STRINGS, "Accepted status: a code, a class (2xx) or a range (200-299); one or a list. Default: 2xx.",
           .max = MAX_CONDITIONS, .example = "[200, 204]"),
    EXPECT(headers, RB_OPT_PAIRS, "Headers that must be there, each with a regular expression for its value.",
           .example = "{content-type: json}"),
    EXPECT(body, RB_OPT_REGEXES, "Regular expressions that must all match the body.", .max = MAX_CONDITIONS,
           .example = "'\"status\":\\s*\"ok\"'"),
    EXPECT(not_body, RB_OPT_REGEXES, "Regular expressions of which none may match the body.", .max = MAX_CONDITIONS),
    EXPECT(contains, RB_OPT_STRINGS, "Texts that the body must contain, exactly as written.", .max = MAX_CONDITIONS),
    EXPECT(json, RB_OPT_NODE,
           "Conditions on the JSON body: pointer (RFC 6901) to a value, a list of values, a comparison like '>= 3', '!= x', '=~ ^v', or "
           "{exists: true}.",
           .example = "{/database: ok}"),
    EXPECT(metrics, RB_OPT_STRINGS, "Beginnings of metric names: the body must be a Prometheus metrics page that has each of them.",
           .flags = RB_OPT_NONEMPTY, .max = MAX_CONDITIONS, .example = "[peaktrade_ai_]"),
    {NULL}};

#define TLS(option_name, option_type, field, ...)                                                                \
    {                                                                                                            \
        .name = option_name, .type = option_type, .offset = offsetof(struct http_tls, field), .doc = __VA_ARGS__ \
    }
static const struct rb_option tls_options[] = {
    TLS("ca_file", RB_OPT_PATH, ca_file, "PEM file of trusted certificates. Default: the system's."),
    TLS("insecure", RB_OPT_BOOL, insecure, "Do not verify the certificate; its dates are still watched."),
    TLS("server_name", RB_OPT_STRING, server_name, "Name to ask for and to verify instead of the URL's host."),
    TLS("min_version", RB_OPT_CHOICE, min_version, "Lowest TLS version to accept.", .choices = version_choices, .fallback = "1.2"),
    TLS("warn_expiry", RB_OPT_DURATION, warn_expiry_ms, "Warn when a certificate of the chain ends sooner.", .fallback = "14d"),
    TLS("fail_expiry", RB_OPT_DURATION, fail_expiry_ms, "Fail when a certificate of the chain ends sooner.", .fallback = "0s"),
    {NULL}};

#define OPTION(option_name, option_type, field, ...)                                                                 \
    {                                                                                                                \
        .name = option_name, .type = option_type, .offset = offsetof(struct http_options, field), .doc = __VA_ARGS__ \
    }
static const struct rb_option options[] = {
    OPTION("url", RB_OPT_URL, url, "What to fetch; http or https, without credentials.", .flags = RB_OPT_REQUIRED,
           .example = "http://localhost:3000/api/health"),
    OPTION("method", RB_OPT_STRING, method, "Request method.", .fallback = "GET", .example = "HEAD"),
    OPTION("headers", RB_OPT_PAIRS, headers, "Headers to send; a value may come from !file.", .flags = RB_OPT_SECRET,
           .example = "{X-Api-Key: !file key}"),
    OPTION("body", RB_OPT_STRING, body, "Request body, as text."),
    OPTION("expect", RB_OPT_STRUCT, expect, "What the answer must be.", .sub = expect_options, .sub_size = sizeof(struct http_expect)),
    OPTION("redirects", RB_OPT_INT, redirects, "How many redirects to follow; 0: a redirect is an answer like any other.", .fallback = "0",
           .max = 20),
    OPTION("max_body", RB_OPT_SIZE, max_body, "Largest body; a larger one fails the check. With expect.json at most 1MiB.",
           .fallback = "1MiB", .min = 1, .max = 16 << 20),
    OPTION("warn_after", RB_OPT_DURATION, warn_after_ms, "Warn when the whole request takes longer."),
    OPTION("connect_timeout", RB_OPT_DURATION, connect_timeout_ms, "Longest time for the connection; default: the check's timeout."),
    OPTION("tls", RB_OPT_STRUCT, tls, "Certificate and version, for https.", .sub = tls_options, .sub_size = sizeof(struct http_tls)),
    OPTION("bearer", RB_OPT_STRING, bearer, "Token for Authorization: Bearer.", .flags = RB_OPT_SECRET, .example = "!file token"),
    OPTION("user", RB_OPT_STRING, user, "User name for basic authentication."),
    OPTION("password", RB_OPT_STRING, password, "Password for basic authentication.", .flags = RB_OPT_SECRET, .example = "!file password"),
    OPTION("unix_socket", RB_OPT_PATH, unix_socket, "Connect to this unix socket; the URL's host is only sent."),
    OPTION("ip_version", RB_OPT_CHOICE, ip_version, "Which addresses to use.", .choices = ip_choices, .fallback = "any"),
    {NULL}};

static const struct rb_reason_def reasons[] = {
    {"status", "The answer's status is not an expected one."},
    {"header", "A header is missing or has another value; the message names it."},
    {"body", "The body does not contain what it should, or contains what it must not."},
    {"json", "The body is not JSON, or a value in it is not as expected; the message has the pointer."},
    {"metrics", "The body is no metrics page, or a wanted metric family is missing from it; is it the right exporter?"},
    {"slow", "The answer was right but took longer than warn_after."},
    {"tls_expires_soon", "A certificate ends within warn_expiry or fail_expiry; renew it."},
    {NULL}};

static const struct rb_value_def values[] = {
    {"status_code", "", RB_VALUE_GAUGE, "Status of the last answer; 0 without one.", NULL},
    {"phase", "seconds", RB_VALUE_GAUGE, "Duration of each phase of the last request.", "phase"},
    {"duration", "seconds", RB_VALUE_GAUGE, "Duration of the whole last request.", NULL},
    {"body", "bytes", RB_VALUE_GAUGE, "Size of the last body.", NULL},
    {"redirects", "", RB_VALUE_GAUGE, "Redirects followed in the last request.", NULL},
    {"tls_not_after_timestamp", "seconds", RB_VALUE_GAUGE, "When the first certificate of the chain ends.", NULL},
    {NULL}};

/* ---- conditions ---- */

static bool status_fits(const char *wanted, long status)
{
    if (strlen(wanted) == 3 && strcasecmp(wanted + 1, "xx") == 0)
        return status / 100 == wanted[0] - '0';
    char *end;
    long low = strtol(wanted, &end, 10);
    return *end == '-' ? status >= low && status <= strtol(end + 1, NULL, 10) : status == low;
}

static const char *join(struct rb_arena *arena, const struct rb_strings *list, const char *fallback)
{
    RB_BUF_AUTO buf;
    rb_buf_init(&buf, 512);
    for (size_t i = 0; i < list->count; i++) {
        rb_buf_adds(&buf, i ? " or " : "");
        rb_buf_adds(&buf, list->items[i]);
    }
    const char *text = list->count ? rb_arena_strdup(arena, rb_buf_str(&buf)) : fallback;
    return text ? text : fallback;
}

/* What an error page says often names what is really missing. */
static void tell_page(const struct rb_http_response *response, struct rb_outcome *out)
{
    const char *text = rb_net_page(out->arena, response->body, response->body_len);
    if (text[0])
        rb_outcome_evidence(out, "its page says: %s", text);
}

static void judge_status(const struct http_options *o, const struct rb_http_response *response, struct rb_outcome *out)
{
    const struct rb_strings *wanted = &o->expect.status;
    bool fits = wanted->count == 0 && response->status / 100 == 2;
    for (size_t i = 0; i < wanted->count && !fits; i++)
        fits = status_fits(wanted->items[i], response->status);
    if (fits)
        return;
    rb_outcome_raise(out, RB_RESULT_FAIL, "status", "%s answers with status %ld, wanted %s", rb_net_clean(out->arena, o->url),
                     response->status, join(out->arena, wanted, "2xx"));
    if (response->status >= 400)
        tell_page(response, out);
}

static void judge_pattern(struct rb_outcome *out, const char *reason, const char *what, enum rb_match found, bool wanted)
{
    if (found == RB_MATCH_GAVE_UP)
        rb_outcome_raise(out, RB_RESULT_UNKNOWN, "resource_limit", "a pattern for %s gave up at its limits; make it simpler", what);
    else if ((found == RB_MATCH_YES) != wanted)
        rb_outcome_raise(out, RB_RESULT_FAIL, reason, wanted ? "%s is not as expected" : "%s contains what it must not", what);
}

static void judge_header(const struct rb_pair *wanted, const struct rb_http_response *response, struct rb_outcome *out)
{
    const char *pattern = wanted->value ? wanted->value : "";
    const char *found = NULL;
    enum rb_match match = RB_MATCH_NO;
    for (size_t i = 0; i < response->headers.count && match != RB_MATCH_YES; i++) {
        const struct rb_pair *have = &response->headers.items[i];
        if (strcasecmp(have->key, wanted->key) != 0)
            continue;
        found = have->value;
        match = rb_match_regex(pattern, found, strlen(found), NULL);
    }
    if (!found) {
        rb_outcome_raise(out, RB_RESULT_FAIL, "header", "the answer has no header %s", wanted->key);
        return;
    }
    const char *what = rb_arena_printf(out->arena, "header %s", wanted->key);
    judge_pattern(out, "header", what ? what : "a header", match, true);
    if (match == RB_MATCH_NO)
        rb_outcome_evidence(out, "%s: %s", wanted->key,
                            rb_redact_key_is_secret(wanted->key) ? RB_REDACTED : rb_net_clean(out->arena, found));
}

/* A pattern that is a secret by its shape stays hidden. */
static void judge_body(const struct http_options *o, const struct rb_http_response *response, struct rb_outcome *out)
{
    const struct http_expect *expect = &o->expect;
    for (size_t i = 0; i < expect->body.count; i++) {
        enum rb_match match = rb_match_regex(expect->body.items[i], response->body, response->body_len, NULL);
        judge_pattern(out, "body", "the body", match, true);
        if (match == RB_MATCH_NO)
            rb_outcome_evidence(out, "no match for %s", rb_net_clean(out->arena, expect->body.items[i]));
    }
    for (size_t i = 0; i < expect->not_body.count; i++) {
        enum rb_match match = rb_match_regex(expect->not_body.items[i], response->body, response->body_len, NULL);
        judge_pattern(out, "body", "the body", match, false);
        if (match == RB_MATCH_YES)
            rb_outcome_evidence(out, "matches %s", rb_net_clean(out->arena, expect->not_body.items[i]));
    }
    for (size_t i = 0; i < expect->contains.count; i++) {
        const char *text = expect->contains.items[i];
        if (response->body_len == 0 || !memmem(response->body, response->body_len, text, strlen(text)))
            rb_outcome_raise(out, RB_RESULT_FAIL, "body", "the body does not contain \"%s\"", rb_net_clean(out->arena, text));
    }
}

static const char *last_token(const char *pointer)
{
    const char *slash = strrchr(pointer, '/');
    return slash ? slash + 1 : pointer;
}

static void judge_json(const struct http_options *o, const struct rb_http_response *response, struct rb_outcome *out)
{
    const struct rb_node *conditions = o->expect.json;
    json_error_t error = {0};
    if (!conditions || conditions->type != RB_NODE_MAPPING)
        return;
    json_t *document = NULL;
    /* jansson stops at a raw NUL without a word. */
    if (response->body_len > 0 && !memchr(response->body, '\0', response->body_len))
        document = json_loadb(response->body, response->body_len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (!document) {
        rb_outcome_raise(out, RB_RESULT_FAIL, "json", "the body of %s is not JSON", rb_net_clean(out->arena, o->url));
        if (response->body_len > 0 && !memchr(response->body, '\0', response->body_len))
            rb_outcome_evidence(out, "line %d, column %d: %s", error.line, error.column, rb_net_clean(out->arena, error.text));
        return;
    }
    for (size_t i = 0; i < conditions->count; i++) {
        const char *pointer = conditions->keys[i];
        const char *why = rb_json_condition(conditions->items[i], rb_json_pointer(document, pointer),
                                            rb_redact_key_is_secret(last_token(pointer)), out->arena);
        if (why)
            rb_outcome_raise(out, RB_RESULT_FAIL, "json", "%s %s", *pointer ? pointer : "the document", why);
    }
    json_decref(document);
}

/* One pass over the page for all wanted beginnings; `seen` has one bit for each (MAX_CONDITIONS). */
static uint64_t find_metrics(const struct rb_strings *wanted, struct rb_exposition *page)
{
    uint64_t seen = 0;
    const char *name;
    size_t len;
    while (rb_exposition_next(page, &name, &len)) {
        for (size_t i = 0; i < wanted->count; i++) {
            size_t wanted_len = strlen(wanted->items[i]);
            if (len >= wanted_len && memcmp(name, wanted->items[i], wanted_len) == 0)
                seen |= UINT64_C(1) << i;
        }
    }
    return seen;
}

static void judge_metrics(const struct http_options *o, const struct rb_http_response *response, struct rb_outcome *out)
{
    const struct rb_strings *wanted = &o->expect.metrics;
    struct rb_exposition page;
    if (wanted->count == 0)
        return;
    rb_exposition_init(&page, response->body, response->body_len);
    uint64_t seen = find_metrics(wanted, &page);
    if (page.failed) {
        rb_outcome_raise(out, RB_RESULT_FAIL, "metrics", "%s is no metrics page: line %zu is no sample", rb_net_clean(out->arena, o->url),
                         page.line);
        return;
    }
    for (size_t i = 0; i < wanted->count; i++) {
        if (!(seen >> i & 1))
            rb_outcome_raise(out, RB_RESULT_FAIL, "metrics", "%s has no metric that begins with %s", rb_net_clean(out->arena, o->url),
                             rb_net_clean(out->arena, wanted->items[i]));
    }
    rb_outcome_evidence(out, "metrics page with %zu samples", page.samples);
}

static void judge_certificate(const struct rb_check_ctx *ctx, const struct http_options *o, const struct rb_tls_info *tls,
                              struct rb_outcome *out)
{
    if (!tls->used || tls->not_after_wall_ns == 0)
        return;
    char when[RB_TIME_TEXT];
    int64_t left_ns = tls->not_after_wall_ns - rb_wall_ns(ctx->clock);
    double days = (double)left_ns / 1e9 / DAY_S;
    rb_outcome_value(out, "tls_not_after_timestamp", NULL, (double)tls->not_after_wall_ns / 1e9);
    rb_time_human(when, tls->not_after_wall_ns);
    enum rb_result result = RB_RESULT_OK;
    if (left_ns < o->tls.fail_expiry_ms * RB_NS_PER_MS || left_ns <= 0)
        result = RB_RESULT_FAIL;
    else if (left_ns < o->tls.warn_expiry_ms * RB_NS_PER_MS)
        result = RB_RESULT_WARN;
    if (result == RB_RESULT_OK)
        return;
    if (left_ns <= 0)
        rb_outcome_raise(out, result, "tls_expired", "the certificate ended at %s", when);
    else
        rb_outcome_raise(out, result, "tls_expires_soon", "the certificate ends in %.1f days, at %s", days, when);
    if (tls->subject)
        rb_outcome_evidence(out, "certificate of %s, issued by %s", tls->subject, tls->issuer ? tls->issuer : "?");
}

/* ---- network ---- */

static void report_values(const struct rb_http_response *response, struct rb_outcome *out)
{
    const struct {
        const char *name;
        double seconds;
    } phases[] = {{"resolve", response->phases.resolve_s},
                  {"connect", response->phases.connect_s},
                  {"tls", response->phases.tls_s},
                  {"first_byte", response->phases.first_byte_s},
                  {"transfer", response->phases.transfer_s}};
    for (size_t i = 0; i < sizeof phases / sizeof phases[0]; i++)
        rb_outcome_value(out, "phase", phases[i].name, phases[i].seconds < 0 ? 0 : phases[i].seconds);
    rb_outcome_value(out, "duration", NULL, response->phases.total_s);
    rb_outcome_value(out, "status_code", NULL, (double)response->status);
    rb_outcome_value(out, "body", NULL, (double)response->body_len);
    rb_outcome_value(out, "redirects", NULL, (double)response->redirects);
}

static void report_failure(const struct http_options *o, const struct rb_http_response *response, struct rb_outcome *out)
{
    enum rb_net_failure failure = response->failure;
    /* Not being able to look says nothing about the service. */
    bool blind = failure == RB_NET_OTHER || failure == RB_NET_PERMISSION;
    const char *reason = rb_net_failure_reason(failure);
    const char *where = o->unix_socket ? o->unix_socket : rb_net_clean(out->arena, o->url);
    if (failure == RB_NET_REFUSED)
        rb_outcome_set(out, RB_RESULT_FAIL, reason, "%s refused", where);
    else if (failure == RB_NET_NO_SOCKET)
        rb_outcome_set(out, RB_RESULT_FAIL, reason, "no socket at %s", where);
    else
        rb_outcome_set(out, blind ? RB_RESULT_UNKNOWN : RB_RESULT_FAIL, reason, "%s: %s", where,
                       response->detail ? rb_net_clean(out->arena, response->detail) : reason);
    if (response->status > 0)
        out->sighting = RB_SIGHTING_PRESENT;
    else if (failure == RB_NET_REFUSED || failure == RB_NET_NO_SOCKET)
        out->sighting = RB_SIGHTING_GONE;
    else if (failure >= RB_NET_CLOSED && failure <= RB_NET_REDIRECT_BLOCKED)
        out->sighting = RB_SIGHTING_PRESENT;
}

static void judge(const struct rb_check_ctx *ctx, const struct rb_http_response *response, struct rb_outcome *out)
{
    const struct http_options *o = ctx->options;
    report_values(response, out);
    if (response->remote_address && response->redirects == 0 && !o->unix_socket)
        rb_outcome_fact(out, RB_FACT_ADDRESS, "%s", response->remote_address);
    if (response->remote_address && response->redirects > 0)
        rb_outcome_evidence(out, "after %u redirects: %s", response->redirects, rb_net_clean(out->arena, response->final_url));
    if (response->failure != RB_NET_OK) {
        report_failure(o, response, out);
        judge_certificate(ctx, o, &response->tls, out);
        return;
    }
    out->sighting = RB_SIGHTING_PRESENT;
    judge_status(o, response, out);
    for (size_t i = 0; i < o->expect.headers.count; i++)
        judge_header(&o->expect.headers.items[i], response, out);
    judge_body(o, response, out);
    judge_json(o, response, out);
    judge_metrics(o, response, out);
    judge_certificate(ctx, o, &response->tls, out);
    double total = response->phases.total_s;
    if (o->warn_after_ms > 0 && total * 1000 > (double)o->warn_after_ms)
        rb_outcome_raise(out, RB_RESULT_WARN, "slow", "%s took %.3f s, more than %.3f s", rb_net_clean(out->arena, o->url), total,
                         (double)o->warn_after_ms / 1000);
    if (out->result == RB_RESULT_OK)
        rb_outcome_say(out, "status %ld in %.0f ms", response->status, total * 1000);
}

struct http_state {
    const struct rb_ca *ca; /* set by run() */
};

static bool looks(const void *options_of_check)
{
    const struct http_options *o = options_of_check;
    return o->tls.ca_file && !o->tls.insecure;
}

/* The worker part: the one file that a request needs. */
static void run(const struct rb_check_ctx *ctx, struct rb_outcome *out)
{
    const struct http_options *o = ctx->options;
    struct http_state *state = ctx->state;
    struct rb_error err = {0};
    if (rb_ca_read(ctx, o->tls.ca_file, &state->ca, &err) == 0)
        return;
    struct rb_http_response none = {.failure = RB_NET_OTHER, .detail = err.message};
    report_failure(o, &none, out);
    out->final = true;
}

static void request_page(const struct rb_check_ctx *ctx, const struct http_state *state, struct rb_action *next, struct rb_outcome *out)
{
    const struct http_options *o = ctx->options;
    next->type = RB_ACTION_HTTP;
    next->http = (struct rb_http_request){.method = o->method,
                                          .url = o->url,
                                          .unix_socket = o->unix_socket,
                                          .headers = o->headers,
                                          .body = o->body,
                                          .max_body = (size_t)o->max_body,
                                          .max_redirects = (unsigned)o->redirects,
                                          .bearer = o->bearer,
                                          .connect_timeout_ms = o->connect_timeout_ms > 0 ? o->connect_timeout_ms : 0,
                                          .ip_version = o->ip_version};
    next->http.tls = (struct rb_tls_options){
        .insecure = o->tls.insecure, .ca = state->ca, .server_name = o->tls.server_name, .min_version = o->tls.min_version};
    if (o->user)
        next->http.user_password = rb_arena_printf(ctx->arena, "%s:%s", o->user, o->password ? o->password : "");
    if (o->unix_socket)
        rb_outcome_fact(out, RB_FACT_PATH, "%s", o->unix_socket);
    else
        rb_outcome_fact(out, RB_FACT_TARGET, "%s", rb_net_target(ctx->arena, o->url));
}

static void step(const struct rb_check_ctx *ctx, void *state, const struct rb_event *event, struct rb_action *next, struct rb_outcome *out)
{
    if (event->type == RB_EVENT_START) {
        request_page(ctx, state, next, out);
        return;
    }
    next->type = RB_ACTION_DONE;
    if (event->type == RB_EVENT_HTTP) {
        judge(ctx, event->http, out);
        return;
    }
    struct rb_http_response none = {.failure = event->failure, .detail = event->detail, .phases = {-1, -1, -1, -1, -1, 0}};
    judge(ctx, &none, out);
}

/* ---- validation ---- */

static struct rb_mark mark_of(const struct rb_node *node, const char *outer, const char *inner)
{
    const struct rb_node *item = rb_node_get(node, outer);
    const struct rb_node *deeper = item && inner && item->type == RB_NODE_MAPPING ? rb_node_get(item, inner) : NULL;
    return deeper ? deeper->mark : item ? item->mark : node->mark;
}

static bool status_is_valid(const char *text)
{
    if (strlen(text) == 3 && text[0] >= '1' && text[0] <= '5' && strcasecmp(text + 1, "xx") == 0)
        return true;
    size_t digits = strspn(text, "0123456789");
    if (digits != 3)
        return false;
    return text[3] == '\0' || (text[3] == '-' && strspn(text + 4, "0123456789") == 3 && text[7] == '\0');
}

static bool token_is_valid(const char *text)
{
    static const char allowed[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    return *text && text[strspn(text, allowed)] == '\0';
}

static void validate_json(const struct rb_node *json, struct rb_diags *diags)
{
    if (json->type != RB_NODE_MAPPING) {
        (void)rb_diag_add(diags, json->mark, "json wants a mapping of pointers to values, like {/database: ok}");
        return;
    }
    if (json->count > MAX_CONDITIONS)
        (void)rb_diag_add(diags, json->mark, "at most %d conditions", MAX_CONDITIONS);
    for (size_t i = 0; i < json->count; i++) {
        const char *why = rb_json_condition_check(json->items[i]);
        if (json->keys[i][0] != '\0' && json->keys[i][0] != '/')
            (void)rb_diag_add(diags, json->key_marks[i], "a JSON pointer begins with '/'; did you mean /%s?", json->keys[i]);
        if (why)
            (void)rb_diag_add(diags, json->items[i]->mark, "%s", why);
    }
}

static void validate(void *filled, const struct rb_node *node, struct rb_diags *diags)
{
    struct http_options *o = filled;
    for (size_t i = 0; i < o->expect.status.count; i++) {
        if (!status_is_valid(o->expect.status.items[i]))
            (void)rb_diag_add(diags, mark_of(node, "expect", "status"),
                              "\"%s\" is no status; write a code (200), a class (2xx) or a range (200-299)", o->expect.status.items[i]);
    }
    if (o->method && !token_is_valid(o->method))
        (void)rb_diag_add(diags, mark_of(node, "method", NULL), "\"%s\" is not a valid request method", o->method);
    for (size_t i = 0; i < o->headers.count; i++) {
        if (!token_is_valid(o->headers.items[i].key))
            (void)rb_diag_add(diags, mark_of(node, "headers", NULL), "\"%s\" is not a valid header name", o->headers.items[i].key);
    }
    for (size_t i = 0; i < o->expect.headers.count; i++) {
        if (rb_match_regex(o->expect.headers.items[i].value ? o->expect.headers.items[i].value : "", "", 0, NULL) == RB_MATCH_GAVE_UP)
            (void)rb_diag_add(diags, mark_of(node, "expect", "headers"), "the pattern for header %s is not a valid regular expression",
                              o->expect.headers.items[i].key);
    }
    if (o->expect.json)
        validate_json(o->expect.json, diags);
    if (o->expect.json && o->max_body > MAX_JSON)
        (void)rb_diag_add(diags, mark_of(node, "max_body", NULL),
                          "with expect.json a body has at most 1MiB; lower max_body, or look for a text with expect.contains");
    if (o->password && !o->user)
        (void)rb_diag_add(diags, mark_of(node, "password", NULL), "password needs user");
    if (o->bearer && o->user)
        (void)rb_diag_add(diags, mark_of(node, "bearer", NULL), "bearer and user exclude each other");
    if (o->url && rb_node_get(node, "tls") && strncasecmp(o->url, "http:", 5) == 0 && o->redirects == 0)
        (void)rb_diag_add(diags, mark_of(node, "tls", NULL), "tls has no meaning for an http URL");
}

static const struct rb_exchange_ops ops = {.state_size = sizeof(struct http_state), .step = step};

extern const struct rb_kind rb_kind_http;
const struct rb_kind rb_kind_http = {
    .schema = {.schema = {.name = "http",
                          .doc = "A page answers as it should: status, headers, body, JSON values, certificate, time.",
                          .options = options,
                          .size = sizeof(struct http_options),
                          .validate = validate},
               .default_phase = RB_PHASE_HEALTH,
               .default_triage = true,
               .opens_network = true,
               .presence_aware = true,
               .example =
                   "{name: grafana, kind: http, url: \"http://localhost:3000/api/health\", expect: {status: 200, json: {/database: ok}}}"},
    .values = values,
    .reasons = reasons,
    .net_reasons = true,
    .exec = RB_EXEC_EXCHANGE,
    .run = run,
    .looks = looks,
    .exchange = &ops,
};
