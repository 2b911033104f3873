/* The guard: every way in that SPEC 9 closes, each by its status. */
#include <string.h>

#include "../support/check_main.h"
#include "runbook/base/http_guard.h"

static const char *const hosts[] = {"localhost", "127.0.0.1", "::1", "[fe80::1]", "host.docker.internal", NULL};

static struct rb_guard_policy policy(void)
{
    return (struct rb_guard_policy){
        .allowed_hosts = hosts, .local_listener = true, .token = "s3cret", .max_target = 2048, .max_body = 65536};
}

static struct rb_request_head request(const char *target)
{
    return (struct rb_request_head){
        .raw_target = target,
        .raw_target_len = strlen(target),
        .method = "GET",
        .version = "HTTP/1.1",
        .host_count = 1,
        .host = "localhost:9112",
    };
}

static int status_of_target(const char *target, size_t len)
{
    struct rb_guard_policy rules = policy();
    struct rb_request_head head = request(target);
    head.raw_target_len = len;
    struct rb_guard_verdict verdict = rb_guard_head(&rules, &head);
    ck_assert((verdict.status == 0) == (verdict.type == NULL));
    return verdict.status;
}

START_TEST(targets)
{
    static const char *const good[] = {
        "/",    "/metrics",           "/-/healthy", "/api/v1/checks/my%20check", "/status?x=%2F..%2F", "/a..b",
        "/...", "/a?u=http://x/../y", "/%7euser"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        ck_assert_msg(status_of_target(good[i], strlen(good[i])) == 0, "%s", good[i]);
    static const char *const bad[] = {"",        "*",       "metrics",   "http://localhost/metrics",
                                      "/../x",   "/a/..",   "/a/../b",   "/%2e%2e/x",
                                      "/.%2E",   "/a/%2e",  "/./a",      "/a%2Fb",
                                      "/a%5cb",  "/a\\b",   "/a%00",     "/a%0a",
                                      "/a%7f",   "/a%",     "/a%2",      "/a%zz",
                                      "/a b",    "/a\tb",   "/\xc3\xa4", "//evil/x",
                                      "/?a=%00", "/?a=%g0", "/?a=%1",    "/a#frag",
                                      "/?<x>",   "/a\x7f"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(status_of_target(bad[i], strlen(bad[i])) == 400, "%s", bad[i]);
    ck_assert_int_eq(status_of_target("/a\0b", 4), 400);
}
END_TEST

START_TEST(target_length)
{
    char target[2050];
    memset(target, 'a', sizeof target);
    target[0] = '/';
    target[2049] = '\0';
    ck_assert_int_eq(status_of_target(target, 2048), 0);
    ck_assert_int_eq(status_of_target(target, 2049), 414);
}
END_TEST

static int status_of_host(const char *host, unsigned count)
{
    struct rb_guard_policy rules = policy();
    struct rb_request_head head = request("/");
    head.host = host;
    head.host_count = count;
    return rb_guard_head(&rules, &head).status;
}

START_TEST(host_field)
{
    static const char *const good[] = {
        "localhost", "LOCALHOST:9112", "127.0.0.1:1", "[::1]", "[::1]:9112", "[FE80::1]", "host.docker.internal:65535"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        ck_assert_msg(status_of_host(good[i], 1) == 0, "%s", good[i]);
    static const char *const malformed[] = {"",
                                            "localhost.",
                                            "localhost:",
                                            "localhost:0",
                                            "localhost:65536",
                                            "localhost:9x",
                                            "a b",
                                            "[::1",
                                            "[::1]x",
                                            "::1",
                                            "localhost/x",
                                            "user@localhost",
                                            "localhost:1:2",
                                            ".localhost",
                                            "-x",
                                            "[]",
                                            "local\thost",
                                            "localhost:000000000001",
                                            "[zz]"};
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++)
        ck_assert_msg(status_of_host(malformed[i], 1) == 400, "%s", malformed[i]);
    ck_assert_int_eq(status_of_host("evil.example", 1), 403);
    ck_assert_int_eq(status_of_host("localhost.evil.example", 1), 403);
    ck_assert_int_eq(status_of_host("localhos", 1), 403);
    ck_assert_int_eq(status_of_host(NULL, 0), 400);
    ck_assert_int_eq(status_of_host("localhost", 2), 400);
}
END_TEST

START_TEST(host_over_unix_socket_is_any)
{
    struct rb_guard_policy rules = policy();
    rules.over_unix_socket = true;
    struct rb_request_head head = request("/");
    head.host = "anything";
    ck_assert_int_eq(rb_guard_head(&rules, &head).status, 0);
    head.host_count = 2;
    ck_assert_int_eq(rb_guard_head(&rules, &head).status, 400);
}
END_TEST

START_TEST(versions_and_framing)
{
    struct rb_guard_policy rules = policy();
    struct rb_request_head head = request("/");
    head.version = "HTTP/1.0";
    ck_assert_int_eq(rb_guard_head(&rules, &head).status, 0);
    head.version = "HTTP/0.9";
    ck_assert_int_eq(rb_guard_head(&rules, &head).status, 505);
    head.version = NULL;
    ck_assert_int_eq(rb_guard_head(&rules, &head).status, 505);
    head.version = "HTTP/1.1";
    head.method = "";
    ck_assert_int_eq(rb_guard_head(&rules, &head).status, 400);
    head.method = "POST";
    head.transfer_encoding_count = 1;
    ck_assert_int_eq(rb_guard_head(&rules, &head).status, 400);
    head.content_length_count = 1;
    head.content_length = "5";
    ck_assert_int_eq(rb_guard_head(&rules, &head).status, 400);
    head.transfer_encoding_count = 0;
    ck_assert_int_eq(rb_guard_head(&rules, &head).status, 0);
    head.content_length_count = 2;
    ck_assert_int_eq(rb_guard_head(&rules, &head).status, 400);
    head.content_length_count = 1;
    static const struct {
        const char *length;
        int status;
    } lengths[] = {{"0", 0},      {"65536", 0}, {"65537", 413}, {"99999999999999999999999", 413}, {"", 400}, {"-1", 400}, {"+5", 400},
                   {"5, 5", 400}, {"0x5", 400}, {" 5", 400}};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        head.content_length = lengths[i].length;
        ck_assert_msg(rb_guard_head(&rules, &head).status == lengths[i].status, "%s", lengths[i].length);
    }
}
END_TEST

static const struct rb_guard_route changing = {.changes_state = true, .wants_json = true};
static const struct rb_guard_route reading = {.changes_state = false};

START_TEST(other_sites)
{
    struct rb_guard_policy rules = policy();
    struct rb_request_head head = request("/triage");
    head.authorization = "Bearer s3cret";
    head.authorization_count = 1;
    static const struct {
        const char *site, *origin;
        bool ours;
    } from[] = {{NULL, NULL, true},
                {"none", NULL, true},
                {"same-origin", "http://localhost:9112", true},
                {NULL, "https://[::1]:9112", true},
                {"same-site", NULL, false},
                {"cross-site", NULL, false},
                {"", NULL, false},
                {NULL, "null", false},
                {NULL, "http://evil.example", false},
                {NULL, "http://localhost.evil.example", false},
                {NULL, "file://localhost", false},
                {NULL, "http://localhost/x", false},
                {NULL, "http://evil@localhost", false},
                {"same-origin", "http://evil.example", false}};
    for (size_t i = 0; i < sizeof from / sizeof from[0]; i++) {
        head.sec_fetch_site = from[i].site;
        head.origin = from[i].origin;
        ck_assert_int_eq(rb_guard_route_check(&rules, &head, &changing).status, from[i].ours ? 0 : 403);
        struct rb_guard_verdict verdict = rb_guard_route_check(&rules, &head, &reading);
        ck_assert_int_eq(verdict.status, 0);
        ck_assert_int_eq(verdict.cross_site, !from[i].ours);
    }
}
END_TEST

START_TEST(tokens)
{
    struct rb_guard_policy rules = policy();
    struct rb_request_head head = request("/triage");
    static const struct {
        const char *field;
        unsigned count;
        int status;
    } cases[] = {
        {NULL, 0, 401},           {"Bearer s3cret", 1, 0}, {"bearer  s3cret", 1, 0}, {"Bearer s3cre", 1, 401}, {"Bearer s3cretx", 1, 401},
        {"Basic s3cret", 1, 401}, {"Bearer", 1, 401},      {"Bearer ", 1, 401},      {"s3cret", 1, 401},       {"Bearer s3cret", 2, 400}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        head.authorization = cases[i].field;
        head.authorization_count = cases[i].count;
        ck_assert_msg(rb_guard_route_check(&rules, &head, &changing).status == cases[i].status, "case %zu", i);
        ck_assert_int_eq(rb_guard_route_check(&rules, &head, &reading).status, 0);
    }
    rules.token = NULL;
    head.authorization = "Bearer ";
    head.authorization_count = 1;
    ck_assert_int_eq(rb_guard_route_check(&rules, &head, &changing).status, 401);
    rules.over_unix_socket = true;
    ck_assert_int_eq(rb_guard_route_check(&rules, &head, &changing).status, 0);
}
END_TEST

START_TEST(beyond_loopback)
{
    struct rb_guard_policy rules = policy();
    rules.local_listener = false;
    struct rb_request_head head = request("/status");
    const struct rb_guard_route metrics = {.open_beyond_loopback = true};
    ck_assert_int_eq(rb_guard_route_check(&rules, &head, &reading).status, 401);
    ck_assert_int_eq(rb_guard_route_check(&rules, &head, &metrics).status, 0);
    head.authorization = "Bearer s3cret";
    head.authorization_count = 1;
    ck_assert_int_eq(rb_guard_route_check(&rules, &head, &reading).status, 0);
}
END_TEST

START_TEST(content_types)
{
    struct rb_guard_policy rules = policy();
    struct rb_request_head head = request("/triage");
    head.authorization = "Bearer s3cret";
    head.authorization_count = 1;
    ck_assert_int_eq(rb_guard_route_check(&rules, &head, &changing).status, 0);
    head.has_body = true;
    static const struct {
        const char *type;
        int status;
    } types[] = {{"application/json", 0},
                 {"Application/JSON; charset=utf-8", 0},
                 {NULL, 415},
                 {"text/plain", 415},
                 {"application/jsonx", 415},
                 {"application/x-www-form-urlencoded", 415},
                 {"multipart/form-data", 415},
                 {"", 415}};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        head.content_type = types[i].type;
        ck_assert_int_eq(rb_guard_route_check(&rules, &head, &changing).status, types[i].status);
    }
}
END_TEST

START_TEST(paths_decode)
{
    char path[32];
    struct rb_request_head head = request("/a%20b/%C3%A4?q=1");
    ck_assert_int_eq(rb_guard_path(&head, path, sizeof path), RB_OK);
    ck_assert_str_eq(path, "/a b/ä");
    ck_assert_int_eq(rb_guard_path(&head, path, 5), RB_EINVAL);
    ck_assert_int_eq(rb_guard_path(&head, path, 0), RB_EINVAL);
    head = request("/a%00");
    ck_assert_int_eq(rb_guard_path(&head, path, sizeof path), RB_EINVAL);
}
END_TEST

RB_TEST_MAIN("http_guard", targets, target_length, host_field, host_over_unix_socket_is_any, versions_and_framing, other_sites, tokens,
             beyond_loopback, content_types, paths_decode)
