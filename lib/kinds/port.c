/* port: who listens on a TCP port of this machine, and is it who should?
 *
 * Two parts. The worker part asks the platform for the listeners and their owners (a walk of /proc, so not on the loop) and decides everything that
 * can be decided without talking to anybody. The exchange part follows for two questions: which container is behind a listener that only forwards (the Docker
 * engine is asked, GET only), and, when there is no failure, whether the answer to one GET contains the `marker`.
 *
 * With `owner: {container: …}` the engine's word counts, not the process's name: an ordinary user cannot see who holds docker-proxy's socket, and an engine without
 * proxies forwards packets without any listener.
 *
 * An owner that this user may not see is `unknown`, never a stranger; a port that nobody visible holds likewise (another name space). The last owner
 * that was seen is remembered, so that triage can say what was there before the port closed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "runbook/base/redact.h"
#include "runbook/base/text.h"
#include "runbook/check/docker.h"
#include "runbook/check/docker_publish.h"
#include "runbook/check/facts.h"
#include "runbook/check/listener.h"
#include "runbook/check/net.h"

#define MARKER_MAX_BODY ((size_t)4 << 20)

enum bind_rule { BIND_ANY, BIND_LOOPBACK };

struct marker_options {
    const char *url, *contains;
};
struct port_options {
    int64_t port;
    const char *address;
    const struct rb_node *owner_node;
    const char *owner, *container, *socket; /* set by validate from the node */
    bool free;
    int bind;
    struct marker_options marker;
    /* of `address`, set by validate */
    char host[64];
};

struct port_memory {
    bool seen;
    pid_t pid;
    int64_t seen_wall_ns;
    char name[64], command[512], cwd[512]; /* command is redacted */
    char container[128], service[256];     /* that the port was forwarded to; "" none */
    struct rb_docker_client client;        /* the last engine that answered: it need not be asked for its version again */
};

enum stage { STAGE_VERSION, STAGE_LIST, STAGE_MARKER };

/* Of one run, shared by both parts. */
struct port_state {
    enum stage stage;
    bool ask_engine;
    const char *holder; /* the first listener, described; NULL: nobody listens */
    char marker_host[80];
    struct rb_listener newcomer; /* another process than the one that is known: becomes that one when it carries the marker */
    const char *newcomer_cwd;
    bool is_new;
    struct rb_docker_client client;
};

static const struct rb_choice bind_choices[] = {{"any", BIND_ANY, "every address will do"},
                                                {"loopback", BIND_LOOPBACK, "only 127.0.0.0/8 and ::1; anything wider is a failure"},
                                                {NULL, 0, NULL}};

static const struct rb_option marker_table[] = {{.name = "url",
                                                 .type = RB_OPT_STRING,
                                                 .offset = offsetof(struct marker_options, url),
                                                 .doc = "Path on that port, or a whole http or https URL.",
                                                 .flags = RB_OPT_REQUIRED | RB_OPT_NONEMPTY,
                                                 .example = "/metrics"},
                                                {.name = "contains",
                                                 .type = RB_OPT_STRING,
                                                 .offset = offsetof(struct marker_options, contains),
                                                 .doc = "Text that the answer must contain.",
                                                 .flags = RB_OPT_REQUIRED | RB_OPT_NONEMPTY,
                                                 .example = "peaktrade_ai_"},
                                                {NULL}};

#define OPTION(option_name, option_type, field, ...)                                                                 \
    {                                                                                                                \
        .name = option_name, .type = option_type, .offset = offsetof(struct port_options, field), .doc = __VA_ARGS__ \
    }
static const struct rb_option options[] = {
    OPTION("port", RB_OPT_INT, port, "The TCP port.", .min = 1, .max = 65535, .example = "9110"),
    OPTION("address", RB_OPT_STRING, address, "Instead of port: IP address and port; only listeners that this address reaches count.",
           .example = "\"127.0.0.1:9110\""),
    OPTION("owner", RB_OPT_NODE, owner_node,
           "Part of the name of the process that should listen, in any case; or {container: NAME} (a container's name, its compose "
           "service, or "
           "project/service), with socket: PATH for an engine at an unusual place.",
           .example = "{container: grafana}"),
    OPTION("free", RB_OPT_BOOL, free, "Nobody may listen.", .fallback = "false"),
    OPTION("bind", RB_OPT_CHOICE, bind, "How widely it may listen.", .fallback = "any", .choices = bind_choices),
    OPTION("marker", RB_OPT_STRUCT, marker, "A GET whose answer proves who listens.", .sub = marker_table,
           .sub_size = sizeof(struct marker_options), .example = "{url: /metrics, contains: peaktrade_ai_}"),
    {NULL}};

static const struct rb_value_def values[] = {{"listeners", "", RB_VALUE_GAUGE, "Sockets that listen on the port.", NULL}, {NULL}};

static const struct rb_reason_def reasons[] = {
    {"not_listening", "Nobody listens on the port; the evidence tells who did before."},
    {"taken", "The port should be free, but somebody listens on it."},
    {"wrong_owner", "Another program listens than the one expected."},
    {"owner_unreadable",
     "Somebody listens, but this user may not see who; run runbookd as the same user, or confirm it by a marker alone."},
    {"exposed", "It listens on an address that reaches beyond this machine."},
    {"wrong_marker", "What answers on the port does not carry the marker."},
    {"unreadable", "The system did not list its listeners; the message has its error."},
    {NULL}};

/* ---- owners ---- */

/* Where a GET to this listener goes, ready for a URL. */
static void marker_host(const struct rb_listener *listener, const char *wanted, char *out, size_t out_size)
{
    const char *address = wanted[0] ? wanted : listener->address;
    if (strcmp(address, "0.0.0.0") == 0)
        address = "127.0.0.1";
    else if (strcmp(address, "::") == 0)
        address = "::1";
    bool v6 = strchr(address, ':') != NULL;
    (void)snprintf(out, out_size, "%s%s%s", v6 ? "[" : "", address, v6 ? "]" : "");
}

static void clip(char *out, size_t out_size, const char *text)
{
    (void)snprintf(out, out_size, "%s", text ? text : "");
}

static const char *find_cwd(const struct rb_check_ctx *ctx, pid_t pid)
{
    struct rb_process *processes = NULL;
    size_t count = 0;
    struct rb_error err = {0};
    if (ctx->platform->processes(ctx->arena, &processes, &count, &err) < 0)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        if (processes[i].pid == pid)
            return processes[i].cwd;
    }
    return NULL;
}

/* Keeps who listens for the day it is gone. The working folder costs a walk over all processes and is asked for only when the owner changed. */
static void remember(const struct rb_check_ctx *ctx, const struct rb_listener *listener, const char *cwd)
{
    struct port_memory *memory = ctx->memory;
    RB_BUF_AUTO command;
    rb_buf_init(&command, (size_t)64 * 1024);
    if (listener->command)
        (void)rb_redact(&command, listener->command, strlen(listener->command));
    bool same = memory->seen && memory->pid == listener->pid &&
                strncmp(memory->command, rb_buf_str(&command), sizeof memory->command - 1) == 0;
    memory->seen = true;
    memory->seen_wall_ns = rb_wall_ns(ctx->clock);
    if (same)
        return;
    memory->pid = listener->pid;
    clip(memory->name, sizeof memory->name, listener->name);
    clip(memory->command, sizeof memory->command, rb_buf_str(&command));
    clip(memory->cwd, sizeof memory->cwd, cwd);
}

/* `stranger`: who holds the port now and should not; how to start the right one is what was seen of it last. NULL: nobody else. */
static void owner_facts(const struct port_memory *memory, const struct rb_listener *stranger, struct rb_outcome *out)
{
    if (!memory->seen && !stranger)
        return;
    rb_outcome_fact(out, RB_FACT_PID, "%ld", (long)(stranger ? stranger->pid : memory->pid));
    rb_outcome_fact(out, RB_FACT_OWNER, "%s", stranger ? stranger->name : memory->name);
    if (memory->cwd[0])
        rb_outcome_fact(out, RB_FACT_CWD, "%s", memory->cwd);
    if (memory->command[0])
        rb_outcome_fact(out, RB_FACT_COMMAND, "%s", memory->command);
}

/* What the graph joins with the checks of a stack, also after the container ended. */
static void container_facts(const char *name, const char *service, unsigned port, struct rb_outcome *out)
{
    if (!name[0])
        return;
    rb_outcome_fact(out, RB_FACT_CONTAINER, "%s", name);
    rb_outcome_fact(out, RB_FACT_PUBLISH, "%u", port);
    if (service[0])
        rb_outcome_fact(out, RB_FACT_SERVICE, "%s", service);
}

static void check_owner(const char *wanted, const struct rb_listener *listener, struct rb_outcome *out)
{
    const char *who = rb_listener_describe(out->arena, listener);
    if (listener->owner != RB_OWNER_KNOWN) {
        rb_outcome_raise(out, RB_RESULT_UNKNOWN, "owner_unreadable", "port %u is held by %s; whether that is %s cannot be seen",
                         (unsigned)listener->port, who, wanted);
        return;
    }
    const char *name = listener->name ? listener->name : "";
    if (rb_text_find_nocase(name, wanted))
        return;
    const char *more = rb_listener_is_proxy(name) ? "; it forwards to a container" : "";
    rb_outcome_raise(out, RB_RESULT_FAIL, "wrong_owner", "port %u is held by %s, expected %s%s", (unsigned)listener->port, who, wanted,
                     more);
}

/* ---- the worker part ---- */

static void hints(unsigned port, struct rb_outcome *out)
{
    rb_outcome_hint(out, "lsof -nP -iTCP:%u -sTCP:LISTEN", port);
}

static void nobody_listens(const struct rb_check_ctx *ctx, unsigned port, struct rb_outcome *out)
{
    const struct port_options *o = ctx->options;
    const struct port_memory *memory = ctx->memory;
    struct port_state *state = ctx->state;
    if (o->free) {
        rb_outcome_say(out, "port %u is free", port);
        return;
    }
    state->ask_engine = o->container != NULL;
    out->sighting = RB_SIGHTING_GONE;
    const char *where = o->host[0] ? o->address : rb_arena_printf(ctx->arena, "port %u", port);
    rb_outcome_set(out, RB_RESULT_FAIL, "not_listening", "nobody listens on %s", where ? where : "the port");
    if (memory->seen) {
        char when[RB_TIME_TEXT];
        rb_outcome_evidence(out, "last owner: %s (pid %ld), seen %s: %s", memory->name, (long)memory->pid,
                            rb_time_human(when, memory->seen_wall_ns), memory->command[0] ? memory->command : "command line unknown");
        if (memory->cwd[0])
            rb_outcome_evidence(out, "its working folder: %s", memory->cwd);
        owner_facts(memory, NULL, out);
    }
    if (memory->container[0])
        rb_outcome_evidence(out, "it was forwarded to container %s", rb_docker_clean(memory->container, ctx->arena));
    container_facts(memory->container, memory->service, port, out);
    hints(port, out);
}

static void judge_listener(const struct rb_check_ctx *ctx, const struct rb_listener *listener, struct rb_outcome *out)
{
    const struct port_options *o = ctx->options;
    struct port_state *state = ctx->state;
    const char *who = rb_listener_describe(ctx->arena, listener);
    if (o->free)
        rb_outcome_raise(out, RB_RESULT_FAIL, "taken", "port %u should be free, but is held by %s", (unsigned)listener->port, who);
    if (o->owner)
        check_owner(o->owner, listener, out);
    bool proxy = listener->owner == RB_OWNER_KNOWN && rb_listener_is_proxy(listener->name);
    if (proxy || (o->container && listener->owner != RB_OWNER_KNOWN))
        state->ask_engine = true;
    else if (o->container)
        rb_outcome_raise(out, RB_RESULT_FAIL, "wrong_owner", "port %u is held by %s, expected container %s", (unsigned)listener->port, who,
                         o->container);
    if (o->bind == BIND_LOOPBACK && !rb_listener_is_loopback(listener->address))
        rb_outcome_raise(out, RB_RESULT_FAIL, "exposed", "port %u is open on %s, beyond this machine", (unsigned)listener->port,
                         rb_listener_is_wildcard(listener->address) ? "every address" : listener->address);
}

static void somebody_listens(const struct rb_check_ctx *ctx, unsigned port, const struct rb_listener *first, struct rb_outcome *out)
{
    const struct port_options *o = ctx->options;
    struct port_memory *memory = ctx->memory;
    struct port_state *state = ctx->state;
    state->holder = rb_listener_describe(ctx->arena, first);
    marker_host(first, o->host, state->marker_host, sizeof state->marker_host);
    if (!o->free)
        out->sighting = RB_SIGHTING_PRESENT;
    /* The findings about owners name who it is themselves. */
    bool named = out->result > RB_RESULT_OK && strcmp(out->reason, "exposed") != 0;
    if (!named)
        rb_outcome_say(out, "port %u is held by %s", port, state->holder);
    bool stranger = strcmp(out->reason, "wrong_owner") == 0 || strcmp(out->reason, "taken") == 0;
    if (first->owner == RB_OWNER_KNOWN) {
        state->is_new = !stranger && o->marker.url && memory->seen && memory->pid != first->pid;
        stranger = stranger || state->is_new;
        if (state->is_new || !memory->seen || memory->pid != first->pid)
            state->newcomer_cwd = find_cwd(ctx, first->pid);
        state->newcomer = *first;
        if (!stranger)
            remember(ctx, first, state->newcomer_cwd);
        const char *command = stranger ? rb_net_clean(ctx->arena, first->command) : memory->command;
        rb_outcome_evidence(out, "command: %s", command[0] ? command : "unknown");
        owner_facts(memory, stranger ? first : NULL, out);
    }
    if (out->result > RB_RESULT_OK)
        hints(port, out);
}

/* The engine does not say which container it is. */
static void engine_is_silent(const struct rb_check_ctx *ctx, const struct rb_docker_fault *fault, struct rb_outcome *out)
{
    const struct port_options *o = ctx->options;
    struct port_memory *memory = ctx->memory;
    memory->client.api_minor = 0;
    if (o->container)
        rb_outcome_raise(out, RB_RESULT_UNKNOWN, "owner_unreadable", "whether container %s holds port %u cannot be seen: %s", o->container,
                         (unsigned)o->port, fault->text);
    else
        rb_outcome_evidence(out, "which container it forwards to cannot be seen: %s", fault->text);
}

/* Decides what the exchange has to ask; it is needed when there is something. */
static void plan_exchange(const struct rb_check_ctx *ctx, struct rb_outcome *out)
{
    const struct port_options *o = ctx->options;
    const struct rb_docker_client *last = &((const struct port_memory *)ctx->memory)->client;
    struct port_state *state = ctx->state;
    struct rb_docker_client *client = &state->client;
    struct rb_docker_fault fault;
    if (state->ask_engine && !rb_docker_client_find(client, o->socket, ctx->arena, &fault)) {
        engine_is_silent(ctx, &fault, out);
        state->ask_engine = false;
    }
    if (state->ask_engine && strcmp(client->endpoint.unix_socket, last->endpoint.unix_socket) == 0 &&
        strcmp(client->endpoint.url, last->endpoint.url) == 0)
        client->api_minor = last->api_minor;
    bool ask_marker = o->marker.url && state->holder && out->result != RB_RESULT_FAIL;
    out->final = !state->ask_engine && !ask_marker;
}

static void list_failed(const struct rb_error *err, unsigned port, struct rb_outcome *out)
{
    const char *reason = err->code == RB_EUNSUPPORTED ? "unsupported" : err->code == RB_EPERM ? "not_permitted" : "unreadable";
    rb_outcome_set(out, RB_RESULT_UNKNOWN, reason, "who listens on port %u cannot be seen: %s", port, err->message);
}

static void run(const struct rb_check_ctx *ctx, struct rb_outcome *out)
{
    const struct port_options *o = ctx->options;
    unsigned port = (unsigned)o->port;
    struct rb_listener *listeners = NULL;
    size_t count = 0, matching = 0;
    struct rb_error err = {0};
    const struct rb_listener *first = NULL;
    out->final = true;
    rb_outcome_fact(out, RB_FACT_LISTEN, "%u", port);
    if (ctx->platform->listeners(ctx->arena, (uint16_t)port, true, &listeners, &count, &err) < 0) {
        list_failed(&err, port, out);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (listeners[i].port != port || !rb_listener_reaches(listeners[i].address, o->host))
            continue;
        matching++;
        if (first)
            rb_outcome_evidence(out, "also held by %s", rb_listener_describe(ctx->arena, &listeners[i]));
        first = first ? first : &listeners[i];
        judge_listener(ctx, &listeners[i], out);
    }
    rb_outcome_value(out, "listeners", NULL, (double)matching);
    if (first)
        somebody_listens(ctx, port, first, out);
    else
        nobody_listens(ctx, port, out);
    plan_exchange(ctx, out);
}

/* ---- the exchange part: the container ---- */

/* "project/service" of compose, or "". */
static const char *service_of(struct rb_arena *arena, const struct rb_docker_container *container)
{
    const char *text = container->service[0] ? rb_arena_printf(arena, "%s/%s", container->project, container->service) : NULL;
    return text ? text : "";
}

static void report_container(const struct rb_docker_container *container, unsigned port, struct rb_outcome *out)
{
    const char *service = service_of(out->arena, container);
    rb_outcome_evidence(out, "container %s, image %s%s%s", rb_docker_clean(container->name, out->arena),
                        rb_docker_clean(container->image, out->arena), *service ? ", service " : "", rb_docker_clean(service, out->arena));
    container_facts(container->name, service, port, out);
}

static void judge_publisher(const struct rb_check_ctx *ctx, const struct rb_docker_container *container, struct rb_outcome *out)
{
    const struct port_options *o = ctx->options;
    const struct port_state *state = ctx->state;
    unsigned port = (unsigned)o->port;
    const char *name = rb_docker_clean(container->name, ctx->arena), *image = rb_docker_clean(container->image, ctx->arena);
    struct port_memory *memory = ctx->memory;
    clip(memory->container, sizeof memory->container, container->name);
    clip(memory->service, sizeof memory->service, service_of(ctx->arena, container));
    report_container(container, port, out);
    if (o->container && !rb_docker_answers_to(container, o->container)) {
        rb_outcome_raise(out, RB_RESULT_FAIL, "wrong_owner", "port %u is held by container %s (%s), expected container %s", port, name,
                         image, o->container);
        return;
    }
    if (o->container && !state->holder) {
        rb_outcome_set(out, RB_RESULT_OK, "none", "port %u is forwarded to container %s (%s) by the engine itself", port, name, image);
        out->sighting = RB_SIGHTING_PRESENT;
    } else if (out->result == RB_RESULT_OK) {
        rb_outcome_say(out, "port %u is held by container %s (%s) through %s", port, name, image, state->holder);
    }
}

static void nobody_publishes(const struct rb_check_ctx *ctx, const struct rb_docker_container *named, struct rb_outcome *out)
{
    const struct port_options *o = ctx->options;
    const struct port_state *state = ctx->state;
    if (!o->container) {
        rb_outcome_evidence(out, "no container of this engine publishes the port");
        return;
    }
    /* Between two views of the engine: it holds the port already, or still, for a container that comes or goes. */
    bool comes = named && (named->state == RB_DOCKER_STATE_RESTARTING || named->state == RB_DOCKER_STATE_CREATED ||
                           named->state == RB_DOCKER_STATE_RUNNING);
    if (state->holder && comes)
        rb_outcome_raise(out, RB_RESULT_FAIL, "not_listening", "container %s is %s and does not publish port %u",
                         rb_docker_clean(named->name, ctx->arena), rb_docker_state_name(named->state), (unsigned)o->port);
    else if (state->holder)
        rb_outcome_raise(out, RB_RESULT_FAIL, "wrong_owner", "port %u is held by %s, and no container publishes it; expected container %s",
                         (unsigned)o->port, state->holder, o->container);
    if (named) {
        report_container(named, (unsigned)o->port, out);
        rb_outcome_evidence(out, "container %s is %s and does not publish port %u", rb_docker_clean(named->name, ctx->arena),
                            rb_docker_state_name(named->state), (unsigned)o->port);
    } else
        rb_outcome_evidence(out, "there is no container %s", o->container);
}

static void judge_containers(const struct rb_check_ctx *ctx, const json_t *list, struct rb_outcome *out)
{
    const struct port_options *o = ctx->options;
    struct rb_docker_publisher publisher;
    rb_docker_find_publisher(list, o->port, o->host, o->container, ctx->arena, &publisher);
    if (publisher.found)
        judge_publisher(ctx, &publisher.container, out);
    else
        nobody_publishes(ctx, publisher.name_known ? &publisher.named : NULL, out);
}

/* One answer of the engine; true when `next` asks for more. */
static bool hear_engine(const struct rb_check_ctx *ctx, struct port_state *state, const struct rb_event *event, struct rb_action *next,
                        struct rb_outcome *out)
{
    struct port_memory *memory = ctx->memory;
    struct rb_docker_fault fault;
    json_t *document = NULL;
    if (state->stage == STAGE_VERSION) {
        int known = rb_docker_take_version(ctx, &state->client, event, next, &document, &fault);
        json_decref(document);
        if (known == 0)
            return true;
        if (known < 0) {
            engine_is_silent(ctx, &fault, out);
            return false;
        }
        memory->client = state->client;
        state->stage = STAGE_LIST;
        rb_docker_get(ctx, &state->client, next, "/containers/json?all=1");
        return true;
    }
    document = rb_docker_json(&state->client, event, ctx->arena, &fault);
    if (document)
        judge_containers(ctx, document, out);
    else
        engine_is_silent(ctx, &fault, out);
    json_decref(document);
    return false;
}

/* ---- the exchange part: the marker ---- */

static void ask_marker(const struct rb_check_ctx *ctx, struct port_state *state, struct rb_action *next, const struct rb_outcome *out)
{
    const struct port_options *o = ctx->options;
    const char *url = o->marker.url;
    state->stage = STAGE_MARKER;
    *next = (struct rb_action){.type = RB_ACTION_DONE};
    if (!url || !state->holder || out->result == RB_RESULT_FAIL)
        return;
    if (url[0] == '/')
        url = rb_arena_printf(ctx->arena, "http://%s:%u%s", state->marker_host, (unsigned)o->port, o->marker.url);
    next->type = url ? RB_ACTION_HTTP : RB_ACTION_DONE;
    next->http = (struct rb_http_request){.method = "GET", .url = url, .max_body = MARKER_MAX_BODY};
}

static bool body_contains(const struct rb_http_response *http, const char *marker)
{
    return http->body && http->body_len > 0 && memmem(http->body, http->body_len, marker, strlen(marker)) != NULL;
}

static void judge_marker(const struct rb_check_ctx *ctx, const struct rb_http_response *http, struct rb_outcome *out)
{
    const struct port_options *o = ctx->options;
    const struct port_state *state = ctx->state;
    const char *url = o->marker.url;
    if (body_contains(http, o->marker.contains)) {
        if (state->is_new)
            remember(ctx, &state->newcomer, state->newcomer_cwd);
        rb_outcome_evidence(out, "GET %s carries the marker \"%s\"", url, o->marker.contains);
        return;
    }
    if (http->failure != RB_NET_OK && http->failure != RB_NET_TOO_LARGE)
        rb_outcome_raise(out, RB_RESULT_FAIL, rb_net_failure_reason(http->failure), "port %u listens, but GET %s failed: %s",
                         (unsigned)o->port, url, http->detail ? http->detail : rb_net_failure_reason(http->failure));
    else
        rb_outcome_raise(out, RB_RESULT_FAIL, "wrong_marker", "port %u answers GET %s with status %ld and without \"%s\"",
                         (unsigned)o->port, url, http->status, o->marker.contains);
    hints((unsigned)o->port, out);
}

static void hear_marker(const struct rb_check_ctx *ctx, const struct rb_event *event, struct rb_outcome *out)
{
    const struct port_options *o = ctx->options;
    if (event->type == RB_EVENT_HTTP && event->http)
        judge_marker(ctx, event->http, out);
    else
        rb_outcome_raise(out, RB_RESULT_FAIL, rb_net_failure_reason(event->failure), "port %u listens, but GET %s failed: %s",
                         (unsigned)o->port, o->marker.url, event->detail ? event->detail : rb_net_failure_reason(event->failure));
}

static void step(const struct rb_check_ctx *ctx, void *state_memory, const struct rb_event *event, struct rb_action *next,
                 struct rb_outcome *out)
{
    struct port_state *state = state_memory;
    if (event->type != RB_EVENT_START && state->stage == STAGE_MARKER) {
        hear_marker(ctx, event, out);
        next->type = RB_ACTION_DONE;
    } else if (event->type != RB_EVENT_START) {
        if (!hear_engine(ctx, state, event, next, out))
            ask_marker(ctx, state, next, out);
    } else if (!state->ask_engine) {
        ask_marker(ctx, state, next, out);
    } else if (state->client.api_minor > 0) {
        state->stage = STAGE_LIST;
        rb_docker_get(ctx, &state->client, next, "/containers/json?all=1");
    } else {
        state->stage = STAGE_VERSION;
        rb_docker_ask_version(ctx, &state->client, next);
    }
}

/* ---- the table's cross rules ---- */

static struct rb_mark mark_of(const struct rb_node *node, const char *key)
{
    const struct rb_node *item = rb_node_get(node, key);
    return item ? item->mark : node->mark;
}

/* Splits "127.0.0.1:80" and "[::1]:80"; false when it is neither. */
static bool split_address(struct port_options *o)
{
    const char *colon = strrchr(o->address, ':');
    if (!colon || colon == o->address)
        return false;
    const char *start = o->address;
    size_t len = (size_t)(colon - start);
    if (start[0] == '[' && len > 2 && start[len - 1] == ']') {
        start++;
        len -= 2;
    } else if (memchr(start, ':', len)) {
        return false;
    }
    int64_t port;
    if (len >= sizeof o->host || strspn(start, "0123456789abcdefABCDEF.:") < len || rb_int_parse(colon + 1, &port, NULL) < 0 || port < 1 ||
        port > 65535)
        return false;
    memcpy(o->host, start, len);
    o->host[len] = '\0';
    o->port = port;
    if (rb_listener_is_wildcard(o->host))
        o->host[0] = '\0';
    return true;
}

static void validate_container(struct port_options *o, const struct rb_node *owner, struct rb_diags *diags)
{
    for (size_t i = 0; i < owner->count; i++) {
        const struct rb_node *item = owner->items[i];
        const char *text = item->type == RB_NODE_SCALAR && item->scalar[0] ? item->scalar : NULL;
        if (strcmp(owner->keys[i], "container") != 0 && strcmp(owner->keys[i], "socket") != 0)
            (void)rb_diag_add(diags, owner->key_marks[i], "unknown key '%s' in owner; there are container and socket", owner->keys[i]);
        else if (!text)
            (void)rb_diag_add(diags, item->mark, "owner: %s must be a text", owner->keys[i]);
        else if (owner->keys[i][0] == 'c')
            o->container = text;
        else
            o->socket = text;
    }
    if (!rb_node_get(owner, "container"))
        (void)rb_diag_add(diags, owner->mark, "owner needs container: the name of a container, its compose service, or project/service");
}

static void validate_owner(struct port_options *o, struct rb_diags *diags)
{
    const struct rb_node *owner = o->owner_node;
    if (!owner || owner->invalid)
        return;
    if (owner->type == RB_NODE_MAPPING) {
        validate_container(o, owner, diags);
        return;
    }
    if (owner->type != RB_NODE_SCALAR || owner->scalar[0] == '\0')
        (void)rb_diag_add(diags, owner->mark, "owner must be a part of a process name, for example python, or {container: NAME}");
    else
        o->owner = owner->scalar;
}

static void validate(void *opts, const struct rb_node *node, struct rb_diags *diags)
{
    struct port_options *o = opts;
    bool has_port = rb_node_get(node, "port") != NULL;
    if (o->address && has_port)
        (void)rb_diag_add(diags, mark_of(node, "address"), "address and port say the same: write one of them");
    else if (!o->address && !has_port)
        (void)rb_diag_add(diags, node->mark, "port: which one? write port: 9110, or address: \"127.0.0.1:9110\"");
    else if (o->address && !split_address(o))
        (void)rb_diag_add(diags, mark_of(node, "address"),
                          "address must be an IP address and a port: \"127.0.0.1:9110\" or \"[::1]:9110\"");
    validate_owner(o, diags);
    if (o->free && (o->owner_node || o->marker.url || o->bind != BIND_ANY))
        (void)rb_diag_add(diags, mark_of(node, "free"), "a port that must be free has no owner, bind or marker");
    const char *url = o->marker.url;
    if (url && url[0] != '/' && strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0)
        (void)rb_diag_add(diags, mark_of(node, "marker"), "marker.url must be a path like /metrics, or begin with http:// or https://");
}

const struct rb_kind rb_kind_port = {
    .schema = {.schema = {.name = "port",
                          .doc = "Who listens on a TCP port of this machine: expected owner, HTTP marker, or nobody.",
                          .options = options,
                          .size = sizeof(struct port_options),
                          .validate = validate},
               .default_phase = RB_PHASE_HEALTH,
               .default_triage = true,
               .opens_network = true,
               .presence_aware = true,
               .example = "{name: ai-live, kind: port, port: 9110, owner: python, marker: {url: /metrics, contains: peaktrade_ai_}}"},
    .values = values,
    .reasons = reasons,
    .net_reasons = true,
    .exec = RB_EXEC_EXCHANGE,
    .memory_size = sizeof(struct port_memory),
    .run = run,
    .exchange = &(const struct rb_exchange_ops){.state_size = sizeof(struct port_state), .step = step},
};
