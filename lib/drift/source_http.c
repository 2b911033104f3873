/* http: values of a JSON answer, by pointer. Made for settings that live in a forge or a service: branch protection, feature flags, a scheduler's configuration.
 *
 * A list of texts is a set: servers promise no order, and one added status check must be one item. What is asked for and is not there is no fact, so that it is drift when it
 * vanishes. Anything but a whole, well-formed answer with a status of 2xx is not compared. */
#include <stdlib.h>
#include <string.h>

#include "runbook/base/redact.h"
#include "runbook/check/ca.h"
#include "runbook/check/facts.h"
#include "runbook/check/net.h"
#include "runbook/config/diag.h"
#include "runbook/drift/source.h"
#include "runbook/drift/tables.h"
#include "value.h"

enum { MAX_POINTERS = 200, MAX_REDIRECTS = 5, MAX_DEPTH = 64 };

struct http_options {
    const char *url, *bearer, *user, *password, *ca_file, *unix_socket;
    struct rb_pairs headers;
    struct rb_strings json;
    int64_t max_body;
};
struct http_state {
    const struct rb_ca *ca;
};
_Static_assert(sizeof(struct http_options) <= RB_DRIFT_SOURCE_OPTIONS, "options fit");

const struct rb_option rb_drift_http_options[] = {
    {.name = "url",
     .type = RB_OPT_URL,
     .offset = offsetof(struct http_options, url),
     .doc = "What to fetch; http or https, without credentials.",
     .example = "https://forge.example/api/v1/repos/op/peak/branch_protections/main"},
    {.name = "json",
     .type = RB_OPT_STRINGS,
     .offset = offsetof(struct http_options, json),
     .doc = "JSON pointers (RFC 6901) of what is compared, with all below it; \"\" is the whole answer, which is the default.",
     .max = MAX_POINTERS,
     .example = "[/required_status_checks, /enforce_admins/enabled]"},
    {.name = "headers",
     .type = RB_OPT_PAIRS,
     .flags = RB_OPT_SECRET,
     .offset = offsetof(struct http_options, headers),
     .doc = "Headers to send; a value may come from !file."},
    {.name = "bearer",
     .type = RB_OPT_STRING,
     .flags = RB_OPT_SECRET,
     .offset = offsetof(struct http_options, bearer),
     .doc = "Token for Authorization: Bearer.",
     .example = "!file token"},
    {.name = "user", .type = RB_OPT_STRING, .offset = offsetof(struct http_options, user), .doc = "User name for basic authentication."},
    {.name = "password",
     .type = RB_OPT_STRING,
     .flags = RB_OPT_SECRET,
     .offset = offsetof(struct http_options, password),
     .doc = "Password for basic authentication."},
    {.name = "ca_file",
     .type = RB_OPT_PATH,
     .offset = offsetof(struct http_options, ca_file),
     .doc = "PEM file of trusted certificates. Default: the system's."},
    {.name = "unix_socket",
     .type = RB_OPT_PATH,
     .offset = offsetof(struct http_options, unix_socket),
     .doc = "Connect to this unix socket; the URL's host is only sent."},
    {.name = "max_body",
     .type = RB_OPT_SIZE,
     .offset = offsetof(struct http_options, max_body),
     .doc = "Largest answer.",
     .fallback = "1MiB",
     .min = 1024,
     .max = 1 << 20}, /* it is parsed on the loop thread */
    {NULL}};

static void validate(const void *options, const struct rb_node *node, struct rb_diags *diags)
{
    const struct http_options *o = options;
    if (!o->url)
        (void)rb_diag_add(diags, node->mark, "http needs url");
    for (size_t i = 0; i < o->json.count; i++)
        if (o->json.items[i][0] && o->json.items[i][0] != '/')
            (void)rb_diag_add(diags, node->mark, "http: json: '%s' is no JSON pointer: it begins with '/'", o->json.items[i]);
}

static enum rb_drift_collected start(const struct rb_drift_collect *collect, struct rb_action *next)
{
    const struct http_options *o = collect->options;
    next->type = RB_ACTION_HTTP;
    next->http = (struct rb_http_request){.method = "GET",
                                          .url = o->url,
                                          .unix_socket = o->unix_socket,
                                          .headers = o->headers,
                                          .max_body = (size_t)o->max_body,
                                          .max_redirects = MAX_REDIRECTS,
                                          .tls = {.ca = ((const struct http_state *)collect->state)->ca, .min_version = 12},
                                          .bearer = o->bearer};
    if (o->user)
        next->http.user_password = rb_arena_printf(collect->ctx->arena, "%s:%s", o->user, o->password ? o->password : "");
    if (!o->unix_socket)
        rb_outcome_fact(collect->out, RB_FACT_TARGET, "%s", rb_net_target(collect->ctx->arena, o->url));
    return RB_DRIFT_MORE;
}

/* ---- facts ---- */

static int by_text(const void *left, const void *right)
{
    return strcmp((*(const struct rb_doc_node *const *)left)->string, (*(const struct rb_doc_node *const *)right)->string);
}

/* True when the list is a set of texts, which can be keys. */
static bool is_set(const struct rb_doc_node *list, struct rb_arena *arena)
{
    if (list->type != RB_DOC_LIST || list->count == 0)
        return false;
    const struct rb_doc_node **sorted = rb_arena_array(arena, list->count, sizeof *sorted);
    for (size_t i = 0; sorted && i < list->count; i++) {
        const struct rb_doc_node *item = sorted[i] = list->items[i];
        if (item->type != RB_DOC_STRING || item->string_len > 256 || strlen(item->string) != item->string_len)
            return false;
    }
    if (sorted)
        qsort(sorted, list->count, sizeof *sorted, by_text);
    for (size_t i = 1; sorted && i < list->count; i++)
        if (strcmp(sorted[i - 1]->string, sorted[i]->string) == 0)
            return false;
    return sorted != NULL;
}

static void add_set(const struct rb_drift_collect *collect, const char *key, const struct rb_doc_node *list)
{
    for (size_t i = 0; i < list->count; i++) {
        RB_BUF_AUTO masked;
        rb_buf_init(&masked, RB_DRIFT_KEY_MAX);
        rb_buf_addf(&masked, "%s[", key);
        (void)rb_redact(&masked, list->items[i]->string, list->items[i]->string_len);
        rb_buf_addc(&masked, ']');
        (void)rb_drift_facts_add(collect->facts, rb_buf_str(&masked), "true");
    }
}

static void add_value(const struct rb_drift_collect *collect, const char *key, const struct rb_doc_node *node, unsigned depth)
{
    bool secret = rb_redact_key_is_secret(rb_drift_last_segment(key));
    if (!secret && is_set(node, collect->ctx->arena)) {
        add_set(collect, key, node);
        return;
    }
    if (node->type != RB_DOC_TABLE || node->count == 0 || depth == MAX_DEPTH) {
        rb_drift_facts_add_node(collect->facts, key, node);
        return;
    }
    for (size_t i = 0; i < node->count; i++) {
        const char *below = rb_arena_printf(collect->ctx->arena, "%s%s%s", key, key[0] ? "." : "", node->keys[i]);
        if (below)
            add_value(collect, below, node->items[i], depth + 1);
    }
}

/* "/a/b~1c" is told as "a.b/c", as keys below it are. */
static const char *key_of(struct rb_arena *arena, const char *pointer)
{
    char *key = rb_arena_strdup(arena, pointer[0] ? pointer + 1 : "");
    char *to = key;
    for (const char *from = key; from && *from; from++) {
        bool escaped = from[0] == '~' && (from[1] == '0' || from[1] == '1');
        *to++ = escaped ? (from[1] == '1' ? '/' : '~') : from[0] == '/' ? '.' : from[0];
        from += escaped;
    }
    if (to)
        *to = '\0';
    return key;
}

static enum rb_drift_collected fail(const struct rb_drift_collect *collect, const char *reason, const char *what)
{
    const struct http_options *o = collect->options;
    struct rb_arena *arena = collect->ctx->arena;
    rb_outcome_set(collect->out, RB_RESULT_UNKNOWN, reason, "%s: %s", rb_net_clean(arena, o->url), rb_net_quote(arena, what));
    return RB_DRIFT_FAILED;
}

/* The worker part: the one file that a request needs. */
static enum rb_drift_collected collect_files(const struct rb_drift_collect *collect)
{
    const struct http_options *o = collect->options;
    struct http_state *state = collect->state;
    struct rb_error err = {0};
    if (!o->ca_file || rb_ca_read(collect->ctx, o->ca_file, &state->ca, &err) == 0)
        return RB_DRIFT_MORE;
    return fail(collect, rb_net_failure_reason(RB_NET_OTHER), err.message);
}

static enum rb_drift_collected read_answer(const struct rb_drift_collect *collect, const struct rb_http_response *response)
{
    static const char *const whole[] = {"", NULL};
    const struct http_options *o = collect->options;
    struct rb_strings pointers = o->json.count > 0 ? o->json : (struct rb_strings){whole, 1};
    struct rb_doc_node *root = NULL;
    struct rb_doc_problems problems = {0};
    struct rb_error err = {0};
    bool lenient = false;
    int rc = rb_doc_parse(RB_DOC_JSON, response->body ? response->body : "", response->body_len, &(struct rb_doc_options){.tree = true},
                          collect->ctx->arena, &root, &lenient, &problems, &err);
    if (rc < 0 || !root)
        return fail(collect, "parse", problems.count > 0 ? problems.items[0].message : "the answer is no JSON");
    size_t seen = 0;
    for (size_t i = 0; i < pointers.count; i++) {
        const struct rb_doc_node *node = rb_doc_pointer(root, pointers.items[i]);
        const char *key = key_of(collect->ctx->arena, pointers.items[i]);
        if (node && key)
            add_value(collect, key[0] || node->type == RB_DOC_TABLE ? key : "answer", node, 0);
        else
            rb_outcome_evidence(collect->out, "%s is not in the answer", pointers.items[i]);
        seen += node != NULL;
    }
    /* Nothing of it at all is another document (an error page, a renamed API), not a change of every setting. */
    return seen > 0 ? RB_DRIFT_COLLECTED : fail(collect, "not_found", "nothing that `json` names is in the answer");
}

static enum rb_drift_collected step(const struct rb_drift_collect *collect, const struct rb_event *event, struct rb_action *next)
{
    if (event->type == RB_EVENT_START)
        return start(collect, next);
    const struct rb_http_response *response = event->http;
    enum rb_net_failure failure = response ? response->failure : event->failure;
    const char *detail = response ? response->detail : event->detail;
    if (failure != RB_NET_OK || !response)
        return fail(collect, rb_net_failure_reason(failure == RB_NET_OK ? RB_NET_OTHER : failure), detail ? detail : "cannot be reached");
    if (response->status / 100 != 2) {
        const char *what = rb_arena_printf(collect->ctx->arena, "answers with status %ld%s", response->status,
                                           response->status == 401 || response->status == 403 ? ": are the credentials right?" : "");
        return fail(collect, "failed", what);
    }
    return read_answer(collect, response);
}

const struct rb_drift_source rb_drift_source_http = {
    .name = "http", .state_size = sizeof(struct http_state), .validate = validate, .collect = collect_files, .step = step};
