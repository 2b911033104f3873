/* tcp: does a port accept, speak TLS if it should, and answer a short dialogue?
 *
 * The dialogue is a list of steps, each `send` or `expect`. An expectation looks at what has arrived and was not matched yet, so that two answers in one
 * packet satisfy two expectations. What arrives is hostile: it is bounded, matched with limits and quoted only redacted. */
#include <stdlib.h>
#include <string.h>

#include "runbook/base/redact.h"
#include "runbook/base/text.h"
#include "runbook/check/ca.h"
#include "runbook/check/facts.h"
#include "runbook/check/kind.h"
#include "runbook/check/match.h"

#define MAX_STEPS    64
#define MAX_RECEIVED (64 * 1024)
#define MAX_QUOTED   200
#define DAY_S        86400.0

struct tcp_step {
    const char *expect, *send;
};

struct tcp_tls {
    bool enabled, insecure;
    const char *ca_file, *server_name;
    int min_version;
    int64_t warn_expiry_ms;
};

struct tcp_options {
    const char *address;
    struct rb_structs steps;
    struct tcp_tls tls;
    int64_t connect_timeout_ms, max_received;
    int ip_version;
};

static const struct rb_choice version_choices[] = {
    {"1.0", 10, "TLS 1.0"}, {"1.1", 11, "TLS 1.1"}, {"1.2", 12, "TLS 1.2"}, {"1.3", 13, "TLS 1.3"}, {NULL}};
static const struct rb_choice ip_choices[] = {{"any", 0, "IPv6 and IPv4"}, {"4", 4, "only IPv4"}, {"6", 6, "only IPv6"}, {NULL}};

static const struct rb_option step_options[] = {{.name = "expect",
                                                 .type = RB_OPT_REGEX,
                                                 .offset = offsetof(struct tcp_step, expect),
                                                 .doc = "Wait until what arrived matches.",
                                                 .example = "\"^220 \""},
                                                {.name = "send",
                                                 .type = RB_OPT_STRING,
                                                 .offset = offsetof(struct tcp_step, send),
                                                 .doc = "Text to send; in double quotes YAML reads \\r\\n as a line end.",
                                                 .example = "\"QUIT\\r\\n\""},
                                                {NULL}};

#define TLS(option_name, option_type, field, ...)                                                               \
    {                                                                                                           \
        .name = option_name, .type = option_type, .offset = offsetof(struct tcp_tls, field), .doc = __VA_ARGS__ \
    }
static const struct rb_option tls_options[] = {
    TLS("enabled", RB_OPT_BOOL, enabled, "Speak TLS from the first byte; true when a tls mapping is given.", .fallback = "false"),
    TLS("ca_file", RB_OPT_PATH, ca_file, "PEM file of trusted certificates. Default: the system's."),
    TLS("insecure", RB_OPT_BOOL, insecure, "Do not verify the certificate; its dates are still watched."),
    TLS("server_name", RB_OPT_STRING, server_name, "Name to ask for and to verify instead of the address's host."),
    TLS("min_version", RB_OPT_CHOICE, min_version, "Lowest TLS version to accept.", .choices = version_choices, .fallback = "1.2"),
    TLS("warn_expiry", RB_OPT_DURATION, warn_expiry_ms, "Warn when a certificate of the chain ends sooner.", .fallback = "14d"),
    {NULL}};

static const struct rb_option options[] = {{.name = "address",
                                            .type = RB_OPT_STRING,
                                            .offset = offsetof(struct tcp_options, address),
                                            .doc = "host:port, [v6]:port or unix:/path.",
                                            .flags = RB_OPT_REQUIRED | RB_OPT_NONEMPTY,
                                            .example = "localhost:25"},
                                           {.name = "steps",
                                            .type = RB_OPT_STRUCTS,
                                            .offset = offsetof(struct tcp_options, steps),
                                            .doc = "Dialogue after the connection, in order; each step is one of expect and send.",
                                            .max = MAX_STEPS,
                                            .sub = step_options,
                                            .sub_size = sizeof(struct tcp_step),
                                            .example = "[{expect: \"^220 \"}, {send: \"QUIT\\r\\n\"}]"},
                                           {.name = "tls",
                                            .type = RB_OPT_STRUCT,
                                            .offset = offsetof(struct tcp_options, tls),
                                            .doc = "Transport security.",
                                            .sub = tls_options,
                                            .sub_size = sizeof(struct tcp_tls)},
                                           {.name = "connect_timeout",
                                            .type = RB_OPT_DURATION,
                                            .offset = offsetof(struct tcp_options, connect_timeout_ms),
                                            .doc = "Longest time for the connection with TLS; default: the check's timeout."},
                                           {.name = "max_received",
                                            .type = RB_OPT_SIZE,
                                            .offset = offsetof(struct tcp_options, max_received),
                                            .doc = "Most bytes that may wait to be matched.",
                                            .fallback = "64KiB",
                                            .min = 1,
                                            .max = 1 << 20},
                                           {.name = "ip_version",
                                            .type = RB_OPT_CHOICE,
                                            .offset = offsetof(struct tcp_options, ip_version),
                                            .doc = "Which addresses to use.",
                                            .choices = ip_choices,
                                            .fallback = "any"},
                                           {NULL}};

static const struct rb_reason_def reasons[] = {{"expect", "The answer does not match; the evidence quotes what came instead."},
                                               {"tls_expires_soon", "A certificate ends within warn_expiry; renew it."},
                                               {NULL}};

static const struct rb_value_def values[] = {
    {"phase", "seconds", RB_VALUE_GAUGE, "Duration of each phase of the last run.", "phase"},
    {"tls_not_after_timestamp", "seconds", RB_VALUE_GAUGE, "When the first certificate of the chain ends.", NULL},
    {NULL}};

struct state {
    const struct rb_ca *ca; /* set by run() */
    size_t step;            /* the next one to carry out */
    size_t used;            /* matched bytes that the next AWAIT drops */
    int64_t dialogue_ns;
    bool waiting; /* for the current expectation */
};

/* ---- the address ---- */

/* Splits "host:port"; false when it is not of that form. Text is copied into the arena (NULL: only looked at). */
static bool split_address(const char *address, struct rb_arena *arena, const char **out_host, uint16_t *out_port)
{
    const char *colon = strrchr(address, ':');
    int64_t port;
    struct rb_error err;
    if (!colon || colon == address || rb_int_parse(colon + 1, &port, &err) != 0 || port < 1 || port > 65535)
        return false;
    const char *host = address, *end = colon;
    if (*host == '[' && end[-1] == ']') {
        host++;
        end--;
    } else if (memchr(host, ':', (size_t)(end - host))) {
        return false;
    }
    if (end <= host)
        return false;
    *out_port = (uint16_t)port;
    *out_host = arena ? rb_arena_strndup(arena, host, (size_t)(end - host)) : NULL;
    return true;
}

static bool is_unix(const char *address)
{
    return strncmp(address, "unix:", 5) == 0;
}

/* ---- reporting ---- */

static const char *quote(struct rb_arena *arena, const char *data, size_t len)
{
    RB_BUF_AUTO escaped, clean, clipped;
    rb_buf_init(&escaped, 64 * 1024);
    rb_buf_init(&clean, 64 * 1024);
    rb_buf_init(&clipped, 4 * MAX_QUOTED + 8);
    rb_text_escape(&escaped, data, len < 4096 ? len : 4096);
    rb_redact(&clean, rb_buf_str(&escaped), escaped.len);
    rb_text_clip(&clipped, rb_buf_str(&clean), MAX_QUOTED);
    const char *text = rb_arena_strdup(arena, rb_buf_str(&clipped));
    return text ? text : "";
}

static void report_phases(const struct rb_phases *phases, struct rb_outcome *out)
{
    rb_outcome_value(out, "phase", "resolve", phases->resolve_s < 0 ? 0 : phases->resolve_s);
    rb_outcome_value(out, "phase", "connect", phases->connect_s < 0 ? 0 : phases->connect_s);
    rb_outcome_value(out, "phase", "tls", phases->tls_s < 0 ? 0 : phases->tls_s);
}

static void report_certificate(const struct rb_check_ctx *ctx, const struct rb_tls_info *tls, struct rb_outcome *out)
{
    const struct tcp_options *o = ctx->options;
    char when[RB_TIME_TEXT];
    if (!tls || tls->not_after_wall_ns == 0)
        return;
    int64_t left_ns = tls->not_after_wall_ns - rb_wall_ns(ctx->clock);
    rb_outcome_value(out, "tls_not_after_timestamp", NULL, (double)tls->not_after_wall_ns / 1e9);
    rb_time_human(when, tls->not_after_wall_ns);
    if (left_ns <= 0)
        rb_outcome_raise(out, RB_RESULT_FAIL, "tls_expired", "the certificate ended at %s", when);
    else if (left_ns < o->tls.warn_expiry_ms * RB_NS_PER_MS)
        rb_outcome_raise(out, RB_RESULT_WARN, "tls_expires_soon", "the certificate ends in %.1f days, at %s", (double)left_ns / 1e9 / DAY_S,
                         when);
}

static void report_failure(const struct rb_check_ctx *ctx, const struct state *state, const struct rb_event *event, struct rb_outcome *out)
{
    const struct tcp_options *o = ctx->options;
    enum rb_net_failure failure = event->failure;
    bool blind = failure == RB_NET_OTHER || failure == RB_NET_PERMISSION;
    const char *reason = rb_net_failure_reason(failure);
    if (event->phases)
        report_phases(event->phases, out);
    if (failure == RB_NET_REFUSED)
        rb_outcome_set(out, RB_RESULT_FAIL, reason, "%s refused", o->address);
    else if (failure == RB_NET_NO_SOCKET)
        rb_outcome_set(out, RB_RESULT_FAIL, reason, "no socket at %s", o->address);
    else if (state->waiting)
        rb_outcome_set(out, RB_RESULT_FAIL, reason, "%s: step %zu: %s", o->address, state->step + 1,
                       event->detail ? event->detail : reason);
    else
        rb_outcome_set(out, blind ? RB_RESULT_UNKNOWN : RB_RESULT_FAIL, reason, "%s: %s", o->address,
                       event->detail ? event->detail : reason);
    if (failure == RB_NET_REFUSED || failure == RB_NET_NO_SOCKET)
        out->sighting = RB_SIGHTING_GONE;
    else if (failure >= RB_NET_TLS_HANDSHAKE && failure <= RB_NET_TLS_REVOKED)
        out->sighting = RB_SIGHTING_PRESENT;
    report_certificate(ctx, event->tls, out);
}

/* An expectation that what came cannot satisfy any more, because the time or the connection ended. */
static void report_unmet(const struct rb_check_ctx *ctx, const struct state *state, const char *data, size_t len, struct rb_outcome *out)
{
    const struct tcp_options *o = ctx->options;
    rb_outcome_set(out, RB_RESULT_FAIL, "expect", "%s: step %zu: the answer is not as expected", o->address, state->step + 1);
    rb_outcome_evidence(out, "received \"%s\"", quote(out->arena, data, len));
}

/* ---- the dialogue ---- */

static void conclude(const struct rb_check_ctx *ctx, const struct state *state, struct rb_action *next, struct rb_outcome *out)
{
    const struct tcp_options *o = ctx->options;
    next->type = RB_ACTION_DONE;
    double seconds = (double)(rb_elapsed_ns(ctx->clock) - state->dialogue_ns) / 1e9;
    rb_outcome_value(out, "phase", "dialogue", o->steps.count ? seconds : 0);
    if (out->result == RB_RESULT_OK)
        rb_outcome_say(out, o->steps.count ? "%s answers as expected" : "%s accepts connections", o->address);
}

/* Carries out steps from state->step on; `data` is what has arrived and is not consumed. */
static void go_on(const struct rb_check_ctx *ctx, struct state *state, const struct rb_event *event, struct rb_action *next,
                  struct rb_outcome *out)
{
    const struct tcp_options *o = ctx->options;
    const struct tcp_step *steps = o->steps.items;
    size_t used = 0;
    while (state->step < o->steps.count) {
        const struct tcp_step *current = &steps[state->step];
        if (current->send) {
            next->type = RB_ACTION_SEND;
            next->send.bytes = current->send;
            next->send.len = strlen(current->send);
            state->step++;
            state->used += used;
            return;
        }
        size_t end = 0, len = event->type == RB_EVENT_DATA ? event->data_len - used : 0;
        enum rb_match match = len > 0 ? rb_match_regex(current->expect, event->data + used, len, &end) : RB_MATCH_NO;
        if (match == RB_MATCH_GAVE_UP) {
            rb_outcome_set(out, RB_RESULT_UNKNOWN, "resource_limit", "the pattern of step %zu gave up at its limits; make it simpler",
                           state->step + 1);
            next->type = RB_ACTION_DONE;
            return;
        }
        if (match == RB_MATCH_NO) {
            next->type = RB_ACTION_AWAIT;
            next->await.consume = state->used + used;
            state->used = 0;
            next->await.max = (size_t)o->max_received;
            state->waiting = true;
            return;
        }
        used += end;
        state->waiting = false;
        state->step++;
    }
    conclude(ctx, state, next, out);
}

static bool looks(const void *options_of_check)
{
    const struct tcp_options *o = options_of_check;
    return o->tls.enabled && o->tls.ca_file && !o->tls.insecure;
}

/* The worker part: the one file that a handshake needs. */
static void run(const struct rb_check_ctx *ctx, struct rb_outcome *out)
{
    const struct tcp_options *o = ctx->options;
    struct state *state = ctx->state;
    struct rb_error err = {0};
    if (rb_ca_read(ctx, o->tls.ca_file, &state->ca, &err) == 0)
        return;
    report_failure(ctx, state, &(struct rb_event){.type = RB_EVENT_FAILED, .failure = RB_NET_OTHER, .detail = err.message}, out);
    out->final = true;
}

static void connect_to(const struct rb_check_ctx *ctx, const struct state *state, struct rb_action *next, struct rb_outcome *out)
{
    const struct tcp_options *o = ctx->options;
    next->type = RB_ACTION_CONNECT;
    next->timeout_ms = o->connect_timeout_ms > 0 ? o->connect_timeout_ms : 0;
    next->connect.ip_version = o->ip_version;
    next->connect.tls = (struct rb_tls_options){.enabled = o->tls.enabled,
                                                .insecure = o->tls.insecure,
                                                .ca = state->ca,
                                                .server_name = o->tls.server_name,
                                                .min_version = o->tls.min_version};
    if (is_unix(o->address)) {
        next->connect.unix_socket = o->address + 5;
        rb_outcome_fact(out, RB_FACT_PATH, "%s", o->address + 5);
        return;
    }
    if (!split_address(o->address, ctx->arena, &next->connect.host, &next->connect.port))
        next->connect.host = NULL;
    rb_outcome_fact(out, RB_FACT_TARGET, "%s", o->address);
}

static void step(const struct rb_check_ctx *ctx, void *state_memory, const struct rb_event *event, struct rb_action *next,
                 struct rb_outcome *out)
{
    struct state *state = state_memory;
    if (event->remote_address)
        rb_outcome_fact(out, RB_FACT_ADDRESS, "%s", event->remote_address);
    switch (event->type) {
    case RB_EVENT_START:
        connect_to(ctx, state, next, out);
        return;
    case RB_EVENT_CONNECTED:
        out->sighting = RB_SIGHTING_PRESENT;
        state->dialogue_ns = rb_elapsed_ns(ctx->clock);
        report_phases(event->phases, out);
        report_certificate(ctx, event->tls, out);
        go_on(ctx, state, event, next, out);
        return;
    case RB_EVENT_SENT:
    case RB_EVENT_DATA:
        go_on(ctx, state, event, next, out);
        return;
    case RB_EVENT_CLOSED:
        if (event->data_len > 0)
            report_unmet(ctx, state, event->data, event->data_len, out);
        else
            report_failure(ctx, state, event, out);
        break;
    default:
        if (event->failure == RB_NET_TIMEOUT && state->waiting && event->data_len > 0)
            report_unmet(ctx, state, event->data, event->data_len, out);
        else
            report_failure(ctx, state, event, out);
        break;
    }
    next->type = RB_ACTION_DONE;
}

/* ---- validation ---- */

static void validate(void *filled, const struct rb_node *node, struct rb_diags *diags)
{
    struct tcp_options *o = filled;
    const struct rb_node *address = rb_node_get(node, "address"), *list = rb_node_get(node, "steps");
    const struct rb_node *tls = rb_node_get(node, "tls");
    const char *host;
    uint16_t port;
    /* Whoever writes a tls mapping wants TLS. */
    if (tls && tls->type == RB_NODE_MAPPING && !rb_node_get(tls, "enabled"))
        o->tls.enabled = true;
    if (o->address && is_unix(o->address) && o->address[5] != '/')
        (void)rb_diag_add(diags, address ? address->mark : node->mark, "unix: wants an absolute path, like unix:/run/x.sock");
    else if (o->address && !is_unix(o->address) && !split_address(o->address, NULL, &host, &port))
        (void)rb_diag_add(diags, address ? address->mark : node->mark, "\"%s\" is no address; write host:port, [v6]:port or unix:/path",
                          o->address);
    const struct tcp_step *steps = o->steps.items;
    for (size_t i = 0; i < o->steps.count; i++) {
        struct rb_mark mark = list && list->type == RB_NODE_SEQUENCE && i < list->count ? list->items[i]->mark : node->mark;
        if (!steps[i].expect == !steps[i].send)
            (void)rb_diag_add(diags, mark, "a step is either expect or send");
    }
}

static const struct rb_exchange_ops ops = {.state_size = sizeof(struct state), .step = step};

extern const struct rb_kind rb_kind_tcp;
const struct rb_kind rb_kind_tcp = {
    .schema = {.schema = {.name = "tcp",
                          .doc = "A port accepts connections, speaks TLS if asked to, and answers a short dialogue.",
                          .options = options,
                          .size = sizeof(struct tcp_options),
                          .validate = validate},
               .default_phase = RB_PHASE_HEALTH,
               .default_triage = true,
               .opens_network = true,
               .presence_aware = true,
               .example = "{name: smtp, kind: tcp, address: \"localhost:25\", steps: [{expect: \"^220 \"}, {send: \"QUIT\\r\\n\"}]}"},
    .values = values,
    .reasons = reasons,
    .net_reasons = true,
    .exec = RB_EXEC_EXCHANGE,
    .run = run,
    .looks = looks,
    .exchange = &ops,
};
