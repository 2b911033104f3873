/* The port kind against listeners that each test sets: owners, addresses, the marker exchange, memory of who was there. */
#include <stdio.h>

#include "../support/check_main.h"
#include "../support/kind_run.h"

extern const struct rb_kind rb_kind_port;

static struct rb_listener sockets[4];
static size_t socket_count;
static int socket_code;
static size_t process_walks;
static void *exchange_state;

static int fake_listeners(struct rb_arena *arena RB_UNUSED, uint16_t port RB_UNUSED, bool with_owner, struct rb_listener **out,
                          size_t *out_count, struct rb_error *err)
{
    ck_assert(with_owner);
    if (socket_code < 0)
        return rb_error_set(err, socket_code, "no list");
    *out = sockets;
    *out_count = socket_count;
    return 0;
}

static int fake_processes(struct rb_arena *arena, struct rb_process **out, size_t *out_count, struct rb_error *err RB_UNUSED)
{
    process_walks++;
    *out = rb_arena_array(arena, 1, sizeof **out);
    **out = (struct rb_process){.pid = 812, .name = "python3", .cwd = "/srv/ai"};
    *out_count = 1;
    return 0;
}

static struct rb_listener listener(const char *address, enum rb_owner_state owner, const char *name)
{
    struct rb_listener out = {
        .port = 9110, .uid = 1000, .owner = owner, .pid = 812, .name = name, .command = "python3 app.py --token=hunter2hunter2"};
    (void)snprintf(out.address, sizeof out.address, "%s", address);
    return out;
}

static void setup(struct kind_run *run, const char *yaml)
{
    socket_count = 0;
    socket_code = 0;
    process_walks = 0;
    if (!kind_run_init(run, &rb_kind_port, yaml))
        ck_abort_msg("%s: %s", yaml, run->diags.count ? run->diags.items[0].message : "?");
    run->platform.listeners = fake_listeners;
    run->platform.processes = fake_processes;
}

/* One run of the worker part, with a fresh state for both parts, as the runner gives it. */
static void work(struct kind_run *run)
{
    exchange_state = rb_arena_alloc(run->arena, rb_kind_port.exchange->state_size);
    ck_assert_ptr_nonnull(exchange_state);
    run->ctx.state = exchange_state;
    kind_run_worker(run);
}

START_TEST(owner_is_a_part_of_the_name_in_any_case)
{
    struct kind_run run;
    setup(&run, "{name: x, kind: port, port: 9110, owner: PYTHON}");
    sockets[0] = listener("127.0.0.1", RB_OWNER_KNOWN, "python3");
    socket_count = 1;
    work(&run);
    ck_assert_int_eq(run.outcome.result, RB_RESULT_OK);
    ck_assert(run.outcome.final);
    ck_assert_str_eq(run.outcome.message, "port 9110 is held by python3 (pid 812) on 127.0.0.1:9110");
    ck_assert_int_eq(run.outcome.sighting, RB_SIGHTING_PRESENT);
    ck_assert_str_eq(kind_run_fact(&run, "listen"), "9110");
    ck_assert_str_eq(kind_run_fact(&run, "owner"), "python3");
    ck_assert_str_eq(kind_run_fact(&run, "pid"), "812");
    ck_assert_str_eq(kind_run_fact(&run, "cwd"), "/srv/ai");
    ck_assert(!kind_run_has_evidence(&run, "hunter2"));
    work(&run);
    ck_assert_uint_eq(process_walks, 1);
    kind_run_fini(&run);
}
END_TEST

START_TEST(a_stranger_fails_and_an_unreadable_owner_is_unknown)
{
    struct kind_run run;
    setup(&run, "{name: x, kind: port, port: 9110, owner: python}");
    sockets[0] = listener("0.0.0.0", RB_OWNER_KNOWN, "docker-proxy");
    socket_count = 1;
    work(&run);
    ck_assert_str_eq(run.outcome.reason, "wrong_owner");
    ck_assert_ptr_nonnull(strstr(run.outcome.message, "container"));
    sockets[0] = listener("0.0.0.0", RB_OWNER_UNREADABLE, NULL);
    work(&run);
    ck_assert_int_eq(run.outcome.result, RB_RESULT_UNKNOWN);
    ck_assert_str_eq(run.outcome.reason, "owner_unreadable");
    sockets[0].owner = RB_OWNER_NONE;
    work(&run);
    ck_assert_int_eq(run.outcome.result, RB_RESULT_UNKNOWN);
    /* Without an expected owner an unreadable one is just somebody. */
    kind_run_fini(&run);
    setup(&run, "{name: x, kind: port, port: 9110}");
    sockets[0] = listener("::", RB_OWNER_UNREADABLE, NULL);
    socket_count = 1;
    work(&run);
    ck_assert_int_eq(run.outcome.result, RB_RESULT_OK);
    kind_run_fini(&run);
}
END_TEST

START_TEST(every_listener_counts)
{
    struct kind_run run;
    setup(&run, "{name: x, kind: port, port: 9110, owner: python}");
    sockets[0] = listener("0.0.0.0", RB_OWNER_KNOWN, "python3");
    sockets[1] = listener("::1", RB_OWNER_KNOWN, "node");
    socket_count = 2;
    work(&run);
    ck_assert_str_eq(run.outcome.reason, "wrong_owner");
    ck_assert_double_eq(kind_run_value(&run, "listeners", NULL)->number, 2);
    kind_run_fini(&run);
}
END_TEST

START_TEST(the_last_owner_is_remembered)
{
    struct kind_run run;
    setup(&run, "{name: x, kind: port, port: 9110}");
    work(&run);
    ck_assert_str_eq(run.outcome.reason, "not_listening");
    ck_assert_int_eq(run.outcome.sighting, RB_SIGHTING_GONE);
    ck_assert_uint_eq(run.outcome.evidence_count, 0);
    sockets[0] = listener("127.0.0.1", RB_OWNER_KNOWN, "python3");
    socket_count = 1;
    work(&run);
    socket_count = 0;
    work(&run);
    ck_assert_int_eq(run.outcome.result, RB_RESULT_FAIL);
    ck_assert(kind_run_has_evidence(&run, "last owner: python3 (pid 812)"));
    ck_assert(kind_run_has_evidence(&run, "/srv/ai"));
    ck_assert(!kind_run_has_evidence(&run, "hunter2"));
    ck_assert_str_eq(kind_run_fact(&run, "cwd"), "/srv/ai");
    ck_assert_str_eq(run.outcome.hints[0], "lsof -nP -iTCP:9110 -sTCP:LISTEN");
    kind_run_fini(&run);
}
END_TEST

START_TEST(free_means_nobody)
{
    struct kind_run run;
    setup(&run, "{name: x, kind: port, port: 9110, free: true}");
    work(&run);
    ck_assert_int_eq(run.outcome.result, RB_RESULT_OK);
    ck_assert_int_eq(run.outcome.sighting, RB_SIGHTING_NONE);
    sockets[0] = listener("127.0.0.1", RB_OWNER_KNOWN, "node");
    socket_count = 1;
    work(&run);
    ck_assert_str_eq(run.outcome.reason, "taken");
    ck_assert_ptr_nonnull(strstr(run.outcome.message, "node (pid 812)"));
    kind_run_fini(&run);
}
END_TEST

START_TEST(addresses_narrow_it)
{
    struct kind_run run;
    setup(&run, "{name: x, kind: port, address: '127.0.0.1:9110'}");
    sockets[0] = listener("::1", RB_OWNER_KNOWN, "node");
    socket_count = 1;
    work(&run);
    ck_assert_str_eq(run.outcome.message, "nobody listens on 127.0.0.1:9110");
    sockets[0] = listener("0.0.0.0", RB_OWNER_KNOWN, "node");
    work(&run);
    ck_assert_int_eq(run.outcome.result, RB_RESULT_OK);
    kind_run_fini(&run);
    setup(&run, "{name: x, kind: port, port: 9110, bind: loopback}");
    sockets[0] = listener("127.0.0.53", RB_OWNER_KNOWN, "node");
    socket_count = 1;
    work(&run);
    ck_assert_int_eq(run.outcome.result, RB_RESULT_OK);
    sockets[0] = listener("::", RB_OWNER_KNOWN, "node");
    work(&run);
    ck_assert_str_eq(run.outcome.reason, "exposed");
    kind_run_fini(&run);
}
END_TEST

START_TEST(a_list_that_cannot_be_had_is_unknown)
{
    struct kind_run run;
    setup(&run, "{name: x, kind: port, port: 9110, free: true}");
    socket_code = RB_EPERM;
    work(&run);
    ck_assert_int_eq(run.outcome.result, RB_RESULT_UNKNOWN);
    ck_assert_str_eq(run.outcome.reason, "not_permitted");
    socket_code = RB_ESYS;
    work(&run);
    ck_assert_str_eq(run.outcome.reason, "unreadable");
    ck_assert(run.outcome.final);
    kind_run_fini(&run);
}
END_TEST

/* ---- the marker ---- */

static void step(struct kind_run *run, const struct rb_event *event, struct rb_action *next)
{
    memset(next, 0, sizeof *next);
    rb_kind_port.exchange->step(&run->ctx, exchange_state, event, next, &run->outcome);
    kind_run_verify(run);
}

static void answer(struct kind_run *run, const struct rb_http_response *http)
{
    struct rb_action next;
    work(run);
    ck_assert(!run->outcome.final);
    step(run, &(struct rb_event){.type = RB_EVENT_START}, &next);
    ck_assert_int_eq(next.type, RB_ACTION_HTTP);
    ck_assert_str_eq(next.http.url, "http://[::1]:9110/metrics");
    step(run, &(struct rb_event){.type = RB_EVENT_HTTP, .http = http}, &next);
    ck_assert_int_eq(next.type, RB_ACTION_DONE);
}

START_TEST(marker_proves_who_answers)
{
    static const char body[] = "# HELP\npeaktrade_ai_up 1\n";
    struct kind_run run;
    setup(&run, "{name: x, kind: port, port: 9110, marker: {url: /metrics, contains: peaktrade_ai_}}");
    sockets[0] = listener("::1", RB_OWNER_KNOWN, "python3");
    socket_count = 1;
    answer(&run, &(struct rb_http_response){.status = 200, .body = body, .body_len = sizeof body - 1});
    ck_assert_int_eq(run.outcome.result, RB_RESULT_OK);
    ck_assert(kind_run_has_evidence(&run, "carries the marker"));
    answer(&run, &(struct rb_http_response){.status = 404, .body = "nope", .body_len = 4});
    ck_assert_str_eq(run.outcome.reason, "wrong_marker");
    answer(&run, &(struct rb_http_response){.failure = RB_NET_RESET, .detail = "connection reset"});
    ck_assert_str_eq(run.outcome.reason, "reset");
    answer(&run, &(struct rb_http_response){.failure = RB_NET_TOO_LARGE, .status = 200, .body = body, .body_len = sizeof body - 1});
    ck_assert_int_eq(run.outcome.result, RB_RESULT_OK);
    /* Nobody to ask: no exchange. */
    socket_count = 0;
    work(&run);
    ck_assert(run.outcome.final);
    kind_run_fini(&run);
}
END_TEST

START_TEST(marker_failure_outside_http)
{
    struct kind_run run;
    struct rb_action next;
    setup(&run, "{name: x, kind: port, port: 9110, marker: {url: 'https://127.0.0.1:9110/x', contains: y}}");
    sockets[0] = listener("127.0.0.1", RB_OWNER_UNREADABLE, NULL);
    socket_count = 1;
    work(&run);
    step(&run, &(struct rb_event){.type = RB_EVENT_START}, &next);
    ck_assert_str_eq(next.http.url, "https://127.0.0.1:9110/x");
    step(&run, &(struct rb_event){.type = RB_EVENT_FAILED, .failure = RB_NET_TIMEOUT}, &next);
    ck_assert_int_eq(next.type, RB_ACTION_DONE);
    ck_assert_str_eq(run.outcome.reason, "timeout");
    kind_run_fini(&run);
}
END_TEST

/* ---- the container behind it ---- */

#define ENGINE "socket: /run/d.sock"
#define CONTAINER(name, state, ports)                                                                                               \
    "{\"Id\":\"0123456789abcdef\",\"Names\":[\"/" name "\"],\"Image\":\"img/" name "\",\"ImageID\":\"sha256:0\",\"State\":\"" state \
    "\",\"Status\":\"Up 3 hours\",\"Labels\":{\"com.docker.compose.project\":\"obs\",\"com.docker.compose.service\":\"s-" name      \
    "\"},\"Ports\":[" ports "],\"Mounts\":[]}"
#define PORT(ip, number) "{\"IP\":\"" ip "\",\"PrivatePort\":3000,\"PublicPort\":" number ",\"Type\":\"tcp\"}"

static const char containers[] = "[" CONTAINER("other", "running", PORT("0.0.0.0", "9111")) "," CONTAINER(
    "web", "exited", "") "," CONTAINER("grafana", "running", PORT("0.0.0.0", "9110") "," PORT("::", "9110")) "]";

static struct rb_action reply(struct kind_run *run, const char *body)
{
    struct rb_action next;
    struct rb_http_response http = {.status = 200, .body = body, .body_len = strlen(body)};
    step(run, &(struct rb_event){.type = RB_EVENT_HTTP, .http = &http}, &next);
    return next;
}

/* Worker part, version, list; true when a marker follows. */
static bool ask_engine(struct kind_run *run, const char *list)
{
    struct rb_action next;
    work(run);
    ck_assert(!run->outcome.final);
    step(run, &(struct rb_event){.type = RB_EVENT_START}, &next);
    if (strstr(next.http.url, "/version"))
        next = reply(run, "{\"Version\":\"27.0\",\"ApiVersion\":\"1.46\"}");
    ck_assert_ptr_nonnull(strstr(next.http.url, "/v1.46/containers/json?all=1"));
    ck_assert_str_eq(next.http.method, "GET");
    next = reply(run, list);
    return next.type == RB_ACTION_HTTP;
}

static void setup_proxy(struct kind_run *run, const char *yaml, enum rb_owner_state owner)
{
    setup(run, yaml);
    sockets[0] = listener("0.0.0.0", owner, owner == RB_OWNER_KNOWN ? "docker-proxy" : NULL);
    socket_count = 1;
}

START_TEST(the_container_behind_a_proxy)
{
    static const char *const names[] = {"grafana", "s-grafana", "obs/s-grafana"};
    struct kind_run run;
    for (size_t i = 0; i < 3; i++) {
        char yaml[160];
        snprintf(yaml, sizeof yaml, "{name: x, kind: port, port: 9110, owner: {container: %s, " ENGINE "}}", names[i]);
        /* An ordinary user cannot see who holds docker-proxy's socket: the engine's word is enough. */
        setup_proxy(&run, yaml, i == 0 ? RB_OWNER_KNOWN : RB_OWNER_UNREADABLE);
        ck_assert(!ask_engine(&run, containers));
        ck_assert_msg(run.outcome.result == RB_RESULT_OK, "%s: %s", names[i], run.outcome.message);
        ck_assert_ptr_nonnull(strstr(run.outcome.message, "container grafana (img/grafana)"));
        ck_assert_str_eq(kind_run_fact(&run, "container"), "grafana");
        ck_assert_str_eq(kind_run_fact(&run, "publish"), "9110");
        ck_assert_str_eq(kind_run_fact(&run, "service"), "obs/s-grafana");
        ck_assert(kind_run_has_evidence(&run, "service obs/s-grafana"));
        kind_run_fini(&run);
    }
}
END_TEST

START_TEST(another_container_or_none)
{
    struct kind_run run;
    setup_proxy(&run, "{name: x, kind: port, port: 9110, owner: {container: web, " ENGINE "}}", RB_OWNER_KNOWN);
    ask_engine(&run, containers);
    ck_assert_str_eq(run.outcome.reason, "wrong_owner");
    ck_assert_ptr_nonnull(strstr(run.outcome.message, "held by container grafana (img/grafana), expected container web"));
    ask_engine(&run, "[]");
    ck_assert_str_eq(run.outcome.reason, "wrong_owner");
    ck_assert(kind_run_has_evidence(&run, "there is no container web"));
    socket_count = 0;
    ask_engine(&run, "[" CONTAINER("web", "exited", "") "]");
    ck_assert_str_eq(run.outcome.reason, "not_listening");
    ck_assert(kind_run_has_evidence(&run, "container web is exited"));
    ck_assert(kind_run_has_evidence(&run, "container web, image img/web"));
    /* An engine without proxies forwards without a listener. */
    ask_engine(&run, "[" CONTAINER("web", "running", PORT("127.0.0.1", "9110")) "]");
    ck_assert_int_eq(run.outcome.result, RB_RESULT_OK);
    ck_assert_int_eq(run.outcome.sighting, RB_SIGHTING_PRESENT);
    sockets[0] = listener("127.0.0.1", RB_OWNER_KNOWN, "python3");
    socket_count = 1;
    work(&run);
    ck_assert(run.outcome.final);
    ck_assert_ptr_nonnull(strstr(run.outcome.message, "expected container web"));
    kind_run_fini(&run);
}
END_TEST

START_TEST(an_engine_that_cannot_be_asked)
{
    struct kind_run run;
    struct rb_action next;
    struct rb_event refused = {.type = RB_EVENT_FAILED, .failure = RB_NET_REFUSED};
    setup_proxy(&run, "{name: x, kind: port, port: 9110, owner: {container: web, " ENGINE "}}", RB_OWNER_KNOWN);
    work(&run);
    step(&run, &(struct rb_event){.type = RB_EVENT_START}, &next);
    step(&run, &refused, &next);
    ck_assert_int_eq(next.type, RB_ACTION_DONE);
    ck_assert_int_eq(run.outcome.result, RB_RESULT_UNKNOWN);
    ck_assert_str_eq(run.outcome.reason, "owner_unreadable");
    ck_assert_ptr_nonnull(strstr(run.outcome.message, "engine is not running"));
    kind_run_fini(&run);
}
END_TEST

START_TEST(the_marker_follows_the_container)
{
    struct kind_run run;
    setup_proxy(&run, "{name: x, kind: port, port: 9110, owner: {container: grafana, " ENGINE "}, marker: {url: /m, contains: y}}",
                RB_OWNER_KNOWN);
    ck_assert(ask_engine(&run, containers));
    struct rb_action next = reply(&run, "y");
    ck_assert_int_eq(next.type, RB_ACTION_DONE);
    ck_assert_int_eq(run.outcome.result, RB_RESULT_OK);
    /* The second run knows the engine's version. */
    work(&run);
    step(&run, &(struct rb_event){.type = RB_EVENT_START}, &next);
    ck_assert_ptr_nonnull(strstr(next.http.url, "/containers/json"));
    /* And after the container is gone, what it was. */
    socket_count = 0;
    work(&run);
    ck_assert(kind_run_has_evidence(&run, "forwarded to container grafana"));
    ck_assert_str_eq(kind_run_fact(&run, "service"), "obs/s-grafana");
    kind_run_fini(&run);
}
END_TEST

START_TEST(mistakes_are_told)
{
    static const char *const cases[][2] = {
        {"{name: x, kind: port}", "which one"},
        {"{name: x, kind: port, port: 0}", "65535"},
        {"{name: x, kind: port, port: 70000}", "65535"},
        {"{name: x, kind: port, port: 1, address: '127.0.0.1:1'}", "write one of them"},
        {"{name: x, kind: port, address: 'localhost:80'}", "IP address"},
        {"{name: x, kind: port, address: '::1:80'}", "IP address"},
        {"{name: x, kind: port, address: '127.0.0.1:99999'}", "IP address"},
        {"{name: x, kind: port, port: 1, owner: {containers: c}}", "unknown key 'containers'"},
        {"{name: x, kind: port, port: 1, owner: {socket: /x}}", "needs container"},
        {"{name: x, kind: port, port: 1, owner: {container: [c]}}", "must be a text"},
        {"{name: x, kind: port, port: 1, owner: [a]}", "part of a process name"},
        {"{name: x, kind: port, port: 1, free: true, owner: x}", "must be free"},
        {"{name: x, kind: port, port: 1, marker: {url: metrics, contains: x}}", "marker.url"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct kind_run run;
        ck_assert_msg(!kind_run_init(&run, &rb_kind_port, cases[i][0]), "%s passed", cases[i][0]);
        ck_assert_msg(kind_run_diag(&run, cases[i][1]), "%s: %s", cases[i][0], run.diags.count ? run.diags.items[0].message : "?");
        kind_run_fini(&run);
    }
}
END_TEST

RB_TEST_MAIN("kind_port", owner_is_a_part_of_the_name_in_any_case, a_stranger_fails_and_an_unreadable_owner_is_unknown,
             every_listener_counts, the_last_owner_is_remembered, free_means_nobody, addresses_narrow_it,
             a_list_that_cannot_be_had_is_unknown, marker_proves_who_answers, marker_failure_outside_http, the_container_behind_a_proxy,
             another_container_or_none, an_engine_that_cannot_be_asked, the_marker_follows_the_container, mistakes_are_told)
