/* The server over real sockets: routes, defence, negotiation, waiting for the loop, deadlines, stop. */
#include "../support/check_main.h"
#include "../support/server_fixture.h"

static struct server_fixture f;

static void begin(const struct rb_server_options *options)
{
    server_fixture_start(&f, fixture_plan(3), options);
    fixture_publish(&f);
}

START_TEST(test_routes)
{
    static const struct {
        const char *line;
        int status;
    } rows[] = {{"GET /", 200},
                {"GET /metrics", 200},
                {"GET /status", 200},
                {"GET /-/healthy", 200},
                {"GET /-/ready", 200},
                {"GET /api/v1/checks", 200},
                {"GET /api/v1/checks/c1", 200},
                {"GET /openapi.json", 200},
                {"HEAD /status", 200},
                {"GET /nothing", 404},
                {"GET /metrics/", 404},
                {"GET /api/v1/checks/zz", 404},
                {"POST /metrics", 405},
                {"DELETE /status", 405},
                {"GET /-/reload", 405},
                {"GET /api/v1/checks/c1/run", 405},
                {"POST /triage", 401},
                {"POST /-/reload", 401},
                {"GET /status?lang=fr", 400},
                {"GET /triage?deadline=soon", 400},
                {"POST /status", 405},
                {"POST /api/v1/alerts", 401},
                {"POST /api/v1/incidents/INC-1/close", 401},
                {"POST /api/v1/incidents", 405}};
    begin(NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *answer = client_ask(&f, rows[i].line, "");
        ck_assert_msg(status_of(answer) == rows[i].status, "%s: wanted %d: %.200s", rows[i].line, rows[i].status, answer);
        ASSERT_HAS(answer, "X-Content-Type-Options: nosniff");
        ASSERT_HAS(answer, "Content-Security-Policy: default-src 'none'");
        ASSERT_HAS(answer, "Cache-Control: no-store");
        if (rows[i].status >= 400)
            ASSERT_HAS(answer, "application/problem+json");
        if (rows[i].status == 405)
            ASSERT_HAS(answer, "Allow: ");
        free(answer);
    }
    server_fixture_end(&f);
}
END_TEST

START_TEST(test_nul_in_target)
{
    static const char raw[] = "GET /metrics\0/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    begin(NULL);
    char *answer = client_send(client_connect(&f), raw, sizeof raw - 1);
    ASSERT_STATUS(answer, 400);
    free(answer);
    answer = client_ask(&f, "GET /metrics%00", "");
    ASSERT_STATUS(answer, 400);
    free(answer);
    server_fixture_end(&f);
}
END_TEST

START_TEST(test_hidden_bytes_in_fields)
{
    static const struct {
        const char *fields;
        size_t len;
        int status;
    } rows[] = {
#define ROW(text, status) {text, sizeof text - 1, status}
        ROW("Host: localhost\r\nX: a\r\nConnection: close\r\n", 200),
        ROW("Host: localhost\r\nX:\r\nY: a \t\r\nConnection:close\r\n", 200),
        ROW("Connection: close\nHost: localhost\n", 200),
        ROW("Host: localhost\0evil\r\nConnection: close\r\n", 400),
        ROW("Connection: close\r\nHost: localhost\0evil\r\n", 400),
        ROW("Connection: close\r\nHost: localhost\0\0\0\0evil\r\n", 400),
        ROW("Connection: close\r\nHost: localhost\r\nX: \0a\r\n", 400),
        ROW("Host: localhost\r\nConnection: close\r\nTransfer-Encoding : chunked\r\n", 400),
        ROW("Host: localhost\r\nConnection: close\r\nX(Y): 1\r\n", 400),
#undef ROW
    };
    begin(NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char raw[256] = "GET /metrics HTTP/1.1\r\n";
        size_t len = strlen(raw);
        memcpy(raw + len, rows[i].fields, rows[i].len);
        memcpy(raw + len + rows[i].len, "\r\n", 2);
        char *answer = client_send(client_connect(&f), raw, len + rows[i].len + 2);
        ck_assert_msg(status_of(answer) == rows[i].status, "row %zu: wanted %d: %.200s", i, rows[i].status, answer);
        free(answer);
    }
    server_fixture_end(&f);
}
END_TEST

/* Refused by libmicrohttpd itself: it never says that such a request ended, and nothing of it may stay (the sanitizer looks). */
START_TEST(test_refused_before_the_guard)
{
    static const char *const rows[] = {"GET /metrics HTTP/1.1\r\n\r\n",
                                       "POST /-/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
                                       "GET /metrics HTTP/1.1\r\nHost: localhost\r\n folded\r\n\r\n"};
    begin(NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *answer = client_send(client_connect(&f), rows[i], strlen(rows[i]));
        ASSERT_STATUS(answer, 400);
        free(answer);
    }
    static const char half[] = "GET /metrics HTTP/1.1\r\nHost: local";
    int fd = client_connect(&f);
    ck_assert_int_eq((int)write(fd, half, sizeof half - 1), (int)sizeof half - 1);
    close(fd);
    char *answer = client_ask(&f, "GET /metrics", "");
    ASSERT_STATUS(answer, 200);
    free(answer);
    server_fixture_end(&f);
}
END_TEST

/* libmicrohttpd would leave such a request without an answer until its deadline. */
START_TEST(test_flood_of_parameters)
{
    static const char head[] = " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    begin(NULL);
    for (size_t count = 32; count <= 1000; count = count * 2 - 31) {
        RB_BUF_AUTO raw;
        rb_buf_init(&raw, 8192);
        rb_buf_addf(&raw, "GET /status?a=1");
        for (size_t i = 1; i < count; i++)
            rb_buf_addf(&raw, "&a=1");
        rb_buf_add(&raw, head, sizeof head - 1);
        char *answer = client_send(client_connect(&f), rb_buf_str(&raw), raw.len);
        ck_assert_msg(status_of(answer) == (count == 32 ? 200 : 400), "%zu parameters: %.100s", count, answer);
        free(answer);
    }
    server_fixture_end(&f);
}
END_TEST

START_TEST(test_metrics_formats)
{
    begin(NULL);
    char *answer = client_ask(&f, "GET /metrics", "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n");
    ASSERT_STATUS(answer, 200);
    ASSERT_HAS(answer, "application/openmetrics-text; version=1.0.0");
    ASSERT_HAS(answer, "\n# EOF\n");
    ck_assert_str_eq(answer + strlen(answer) - 6, "# EOF\n");
    free(answer);
    answer = client_ask(&f, "GET /metrics", "Accept: text/plain\r\nAccept-Encoding: gzip;q=0\r\n");
    ASSERT_HAS(answer, "text/plain; version=0.0.4");
    ASSERT_HAS_NOT(answer, "Content-Encoding");
    ASSERT_HAS_NOT(answer, "# EOF");
    ASSERT_HAS(answer, "runbookd_check_success{check=\"c0\"} 0");
    ASSERT_HAS(answer, "\nrunbookd_snapshot_age_seconds ");
    free(answer);
    answer = client_ask(&f, "GET /metrics", "Accept-Encoding: gzip\r\n");
    ASSERT_HAS(answer, "Content-Encoding: gzip");
    free(answer);
    server_fixture_end(&f);
}
END_TEST

START_TEST(test_etag)
{
    begin(NULL);
    char *answer = client_ask(&f, "GET /status", "");
    char *etag = strstr(answer, "ETag: ");
    ck_assert_ptr_nonnull(etag);
    char header[128];
    (void)snprintf(header, sizeof header, "If-None-Match: \"x\", %.*s\r\n", (int)strcspn(etag + 6, "\r"), etag + 6);
    char *again = client_ask(&f, "GET /status", header);
    ASSERT_STATUS(again, 304);
    free(again);
    fixture_jump(&f, 3600 * SECOND); /* everything is stale now */
    again = client_ask(&f, "GET /status", header);
    ASSERT_STATUS(again, 200);
    free(again);
    free(answer);
    server_fixture_end(&f);
}
END_TEST

START_TEST(test_stuck)
{
    begin(NULL);
    char *answer = client_ask(&f, "GET /metrics", "");
    ASSERT_HAS(answer, "runbookd_ready 1");
    free(answer);
    fixture_jump(&f, 6 * SECOND);
    answer = client_ask(&f, "GET /-/healthy", "");
    ASSERT_STATUS(answer, 503);
    ASSERT_HAS(answer, "stuck");
    free(answer);
    answer = client_ask(&f, "GET /metrics", "");
    ASSERT_HAS(answer, "runbookd_ready 0");
    ASSERT_HAS_NOT(answer, "runbookd_check_success{check=\"c0\"} 1");
    free(answer);
    answer = client_ask(&f, "GET /triage", ""); /* no round through a stuck loop */
    ASSERT_STATUS(answer, 200);
    ASSERT_HAS(answer, "loop is stuck");
    ck_assert_int_eq(atomic_load(&f.commands), 0);
    free(answer);
    server_fixture_end(&f);
}
END_TEST

START_TEST(test_commands)
{
    static const char auth[] = "Authorization: Bearer " FIXTURE_TOKEN "\r\nContent-Length: 0\r\n";
    begin(NULL);
    char *answer = client_ask(&f, "POST /-/reload", auth);
    ASSERT_STATUS(answer, 200);
    free(answer);
    answer = client_ask(&f, "POST /api/v1/checks/c2/run", auth);
    ASSERT_STATUS(answer, 200);
    ASSERT_HAS(answer, "\"name\":\"c2\"");
    free(answer);
    answer = client_ask(&f, "POST /api/v1/checks/none/run", auth);
    ASSERT_STATUS(answer, 404);
    free(answer);
    atomic_store(&f.answer_status, 422);
    answer = client_ask(&f, "POST /-/reload", auth);
    ASSERT_STATUS(answer, 422);
    ASSERT_HAS(answer, "urn:runbookd:problem:config");
    ASSERT_HAS(answer, "runbookd.yml:3:5");
    free(answer);
    ck_assert_int_eq(atomic_load(&f.commands), 3);
    server_fixture_end(&f);
}
END_TEST

START_TEST(test_unix_socket_needs_no_token)
{
    static const char request[] = "POST /-/reload HTTP/1.1\r\nHost: whatever\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    begin(NULL);
    char *answer = client_send(client_connect_unix(&f), request, sizeof request - 1);
    ASSERT_STATUS(answer, 200);
    free(answer);
    server_fixture_end(&f);
    ck_assert_int_ne(access(f.unix_path, F_OK), 0);
}
END_TEST

START_TEST(test_triage_forms)
{
    begin(NULL);
    char *answer = client_ask(&f, "GET /triage", "Accept: */*\r\n");
    ASSERT_HAS(answer, "text/plain");
    ASSERT_HAS(answer, "VERDICT");
    free(answer);
    answer = client_ask(&f, "GET /triage?lang=de", "Accept: text/html,application/xml;q=0.9,*/*;q=0.8\r\n");
    ASSERT_HAS(answer, "text/html");
    ASSERT_HAS(answer, "BEFUND");
    free(answer);
    ck_assert_int_eq(atomic_load(&f.commands), 2);
    answer = client_ask(&f, "GET /triage?fresh=0", "Accept: application/json\r\n");
    ASSERT_HAS(answer, "\"verdict\":");
    free(answer);
    answer = client_ask(&f, "GET /triage", "Sec-Fetch-Site: cross-site\r\n");
    ck_assert_int_eq(atomic_load(&f.commands), 2); /* neither started a check */
    free(answer);
    server_fixture_end(&f);
}
END_TEST

START_TEST(test_triage_own_deadline)
{
    begin(NULL);
    atomic_store(&f.answer_status, 0); /* the loop never answers */
    int64_t before = fixture_elapsed(&f);
    char *answer = client_ask(&f, "GET /triage?deadline=300ms", "");
    int64_t took = fixture_elapsed(&f) - before;
    ASSERT_STATUS(answer, 200);
    ck_assert_int_ge(took / RB_NS_PER_MS, 300);
    ck_assert_int_lt(took / RB_NS_PER_MS, 2000);
    free(answer);
    server_fixture_end(&f);
}
END_TEST

START_TEST(test_stop_answers_what_waits)
{
    static const char request[] = "GET /triage?deadline=20s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    begin(NULL);
    atomic_store(&f.answer_status, 0);
    int fd = client_connect(&f);
    ck_assert_int_eq((int)send(fd, request, sizeof request - 1, MSG_NOSIGNAL), (int)(sizeof request - 1));
    for (int i = 0; i < 500 && atomic_load(&f.commands) == 0; i++)
        (void)usleep(10000);
    ck_assert_int_eq(atomic_load(&f.commands), 1);
    server_fixture_end(&f);
    char *answer = client_read(fd, NULL);
    ASSERT_STATUS(answer, 200);
    free(answer);
}
END_TEST

START_TEST(test_slow_request_gets_408)
{
    begin(&(struct rb_server_options){.request_deadline_ms = 400});
    int fd = client_connect(&f);
    static const char part[] = "GET /metrics HT";
    ck_assert_int_gt((int)send(fd, part, sizeof part - 1, MSG_NOSIGNAL), 0);
    char *answer = client_read(fd, NULL);
    ASSERT_STATUS(answer, 408);
    ck_assert_uint_eq(rb_server_stats(f.server).timeouts, 1);
    free(answer);
    server_fixture_end(&f);
}
END_TEST

START_TEST(test_sheds_slow_clients_for_honest_ones)
{
    int slow[32];
    begin(&(struct rb_server_options){.connections_max = 8});
    for (size_t i = 0; i < 32; i++)
        slow[i] = client_connect(&f);
    char *answer = client_ask(&f, "GET /-/healthy", "");
    ASSERT_STATUS(answer, 200);
    free(answer);
    ck_assert_uint_gt(rb_server_stats(f.server).shed, 0);
    for (size_t i = 0; i < 32; i++)
        (void)close(slow[i]);
    server_fixture_end(&f);
}
END_TEST

START_TEST(test_port_taken_names_holder)
{
    begin(NULL);
    char address[32];
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", f.port);
    const char *const listen[] = {address, NULL};
    struct rb_server_options options = {.listen = {listen, 1}, .platform = &f.platform, .queue = f.queue};
    struct rb_server *other = NULL;
    struct rb_error err = {0};
    ck_assert_int_eq(rb_server_new(&options, &other, &err), RB_EBUSY);
    char pid[32];
    (void)snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    ASSERT_HAS(err.message, pid);
    ASSERT_HAS(err.message, address);
    server_fixture_end(&f);
}
END_TEST

START_TEST(test_bad_addresses_are_refused)
{
    static const char *const bad[] = {"nonsense", "127.0.0.1", "127.0.0.1:99999", "example.org:80", "unix:relative", "[::1", ":80"};
    begin(NULL);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *const listen[] = {bad[i], NULL};
        struct rb_server_options options = {.listen = {listen, 1}, .platform = &f.platform, .queue = f.queue};
        struct rb_server *other = NULL;
        struct rb_error err = {0};
        ck_assert_msg(rb_server_new(&options, &other, &err) == RB_EINVAL, "%s", bad[i]);
        ck_assert_ptr_null(other);
        ASSERT_HAS(err.message, bad[i][0] == 'u' ? "absolute" : "listen address");
    }
    server_fixture_end(&f);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {test_routes,
                                  test_nul_in_target,
                                  test_hidden_bytes_in_fields,
                                  test_refused_before_the_guard,
                                  test_flood_of_parameters,
                                  test_metrics_formats,
                                  test_etag,
                                  test_stuck,
                                  test_commands,
                                  test_unix_socket_needs_no_token,
                                  test_triage_forms,
                                  test_triage_own_deadline,
                                  test_stop_answers_what_waits,
                                  test_slow_request_gets_408,
                                  test_sheds_slow_clients_for_honest_ones,
                                  test_port_taken_names_holder,
                                  test_bad_addresses_are_refused};
    return rb_run_tests("server", tests, sizeof tests / sizeof tests[0]);
}
