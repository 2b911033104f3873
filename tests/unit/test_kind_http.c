/* Kind http: what it asks for, and how it judges answers made by hand. The network is tests/unit/test_exchange.c. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/test_check.h"

static struct rb_fake_clock clock_now;

static void setup(void)
{
    rb_fake_clock_init(&clock_now, INT64_C(1800000000) * RB_NS_PER_S);
}

static struct rb_test_check *make(const char *yaml)
{
    struct rb_test_check *check = rb_test_check_new(yaml, &clock_now.clock);
    ck_assert_ptr_nonnull(check->kind);
    return check;
}

/* Starts the check and answers its request; the check has its outcome then. */
static struct rb_test_check *answer(const char *yaml, const struct rb_http_response *response)
{
    struct rb_test_check *check = make(yaml);
    ck_assert_msg(check->valid, "%s", rb_test_check_errors(check));
    struct rb_event start = {.type = RB_EVENT_START};
    ck_assert_int_eq(rb_test_check_step(check, &start).type, RB_ACTION_HTTP);
    struct rb_event event = {.type = RB_EVENT_HTTP, .http = response, .failure = response->failure, .detail = response->detail};
    ck_assert_int_eq(rb_test_check_step(check, &event).type, RB_ACTION_DONE);
    ck_assert(!rb_arena_failed(check->arena));
    return check;
}

static struct rb_http_response page(long status, const char *body)
{
    return (struct rb_http_response){
        .status = status, .body = body, .body_len = strlen(body), .phases = {0.001, 0.002, -1, 0.003, 0.001, 0.007}};
}

static void expect_outcome(const char *yaml, const struct rb_http_response *response, enum rb_result result, const char *reason,
                           const char *says)
{
    struct rb_test_check *check = answer(yaml, response);
    ck_assert_msg(check->outcome.result == result && strcmp(check->outcome.reason, reason) == 0, "%s: got %s, %s: %s", yaml,
                  rb_result_name(check->outcome.result), check->outcome.reason, check->outcome.message);
    ck_assert_msg(!says || rb_test_check_says(check, says), "%s: \"%s\" does not say \"%s\"", yaml, check->outcome.message, says);
    ck_assert_ptr_nonnull(rb_kind_reason(check->kind, check->outcome.reason));
    rb_test_check_free(check);
}

START_TEST(request_carries_the_options)
{
    struct rb_test_check *check = make(
        "{kind: http, url: 'https://example.org/x', method: PUT, body: b, headers: {A: b}, redirects: 3, max_body: 2KiB, "
        "connect_timeout: 1s, user: u, password: p, ip_version: 6, tls: {ca_file: c.pem, server_name: s, min_version: '1.3'}}");
    ck_assert_msg(check->valid, "%s", rb_test_check_errors(check));
    struct rb_event start = {.type = RB_EVENT_START};
    struct rb_action action = rb_test_check_step(check, &start);
    ck_assert_str_eq(action.http.method, "PUT");
    ck_assert_str_eq(action.http.body, "b");
    ck_assert_str_eq(action.http.headers.items[0].key, "A");
    ck_assert_uint_eq(action.http.max_redirects, 3);
    ck_assert_uint_eq(action.http.max_body, 2048);
    ck_assert_int_eq(action.http.connect_timeout_ms, 1000);
    ck_assert_str_eq(action.http.user_password, "u:p");
    ck_assert_int_eq(action.http.ip_version, 6);
    ck_assert_int_eq(action.http.tls.min_version, 13);
    ck_assert_str_eq(action.http.tls.server_name, "s");
    ck_assert_msg(rb_kind_looks(check->kind, check->ctx.options), "ca_file is read before the request");
    ck_assert_str_eq(check->outcome.facts[0].value, "example.org:443");
    rb_test_check_free(check);
}
END_TEST

START_TEST(defaults_are_a_plain_get_and_2xx)
{
    struct rb_test_check *check = make("{kind: http, url: 'http://[::1]:3000/'}");
    struct rb_event start = {.type = RB_EVENT_START};
    struct rb_action action = rb_test_check_step(check, &start);
    ck_assert_str_eq(action.http.method, "GET");
    ck_assert_uint_eq(action.http.max_redirects, 0);
    ck_assert_uint_eq(action.http.max_body, 1u << 20);
    ck_assert_ptr_null(action.http.user_password);
    ck_assert_str_eq(check->outcome.facts[0].value, "[::1]:3000");
    rb_test_check_free(check);
}
END_TEST

START_TEST(status_is_a_code_a_class_or_a_range)
{
    struct rb_http_response good = page(204, ""), moved = page(302, ""), bad = page(503, "");
    expect_outcome("{kind: http, url: 'http://h/'}", &good, RB_RESULT_OK, "none", "status 204");
    expect_outcome("{kind: http, url: 'http://h/'}", &moved, RB_RESULT_FAIL, "status", "status 302, wanted 2xx");
    expect_outcome("{kind: http, url: 'http://h/', expect: {status: 503}}", &bad, RB_RESULT_OK, "none", NULL);
    expect_outcome("{kind: http, url: 'http://h/', expect: {status: [200, 5XX]}}", &bad, RB_RESULT_OK, "none", NULL);
    expect_outcome("{kind: http, url: 'http://h/', expect: {status: 200-299}}", &good, RB_RESULT_OK, "none", NULL);
    expect_outcome("{kind: http, url: 'http://h/', expect: {status: [200, 301]}}", &bad, RB_RESULT_FAIL, "status", "wanted 200 or 301");
}
END_TEST

START_TEST(headers_and_body_are_matched)
{
    const struct rb_pair headers[] = {{"content-type", "text/html"}, {"set-cookie", "sid=1"}};
    struct rb_http_response response = page(200, "line one\nstate: up\n");
    response.headers = (struct rb_pairs){headers, 2};
    expect_outcome("{kind: http, url: 'http://h/', expect: {headers: {Content-Type: ^text/}, body: ['^state: up$', one], not_body: error, "
                   "contains: 'state: '}}",
                   &response, RB_RESULT_OK, "none", NULL);
    expect_outcome("{kind: http, url: 'http://h/', expect: {headers: {Content-Type: json}}}", &response, RB_RESULT_FAIL, "header",
                   "text/html");
    expect_outcome("{kind: http, url: 'http://h/', expect: {headers: {X-None: ''}}}", &response, RB_RESULT_FAIL, "header",
                   "no header X-None");
    expect_outcome("{kind: http, url: 'http://h/', expect: {body: '^down'}}", &response, RB_RESULT_FAIL, "body", "no match for ^down");
    expect_outcome("{kind: http, url: 'http://h/', expect: {not_body: 'state: \\w+'}}", &response, RB_RESULT_FAIL, "body", "matches state");
    expect_outcome("{kind: http, url: 'http://h/', expect: {contains: absent}}", &response, RB_RESULT_FAIL, "body", "does not contain");
}
END_TEST

START_TEST(a_catastrophic_pattern_gives_up)
{
    struct rb_http_response response = page(200, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!");
    expect_outcome("{kind: http, url: 'http://h/', expect: {body: '^(a|aa|aaa)+$'}}", &response, RB_RESULT_UNKNOWN, "resource_limit",
                   "simpler");
}
END_TEST

/* No start of a match reaches PCRE2's limit, all together they would take seconds on the loop thread. */
START_TEST(long_lines_share_one_budget)
{
    enum { LEN = 256 * 1024, LINE = 5000 };
    char *text = malloc(LEN + 1);
    ck_assert_ptr_nonnull(text);
    for (size_t i = 0; i < LEN; i++)
        text[i] = i % LINE == LINE - 1 ? '\n' : 'a';
    text[LEN] = '\0';
    struct rb_http_response response = page(200, text);
    expect_outcome("{kind: http, url: 'http://h/', expect: {body: 'a.*[bc]'}}", &response, RB_RESULT_UNKNOWN, "resource_limit", "simpler");
    expect_outcome("{kind: http, url: 'http://h/', expect: {body: '^a+$', not_body: 'b'}}", &response, RB_RESULT_OK, "none", NULL);
    free(text);
}
END_TEST

START_TEST(json_conditions_are_typed)
{
    static const char body[] =
        "{\"s\":\"ok\",\"n\":3,\"f\":2.5,\"t\":true,\"z\":null,\"a\":[{\"x/y\":\"v\"}],\"ten\":\"10\",\"token\":\"hush-hush\",\"e\":\"\"}";
    static const struct {
        const char *condition, *says; /* says NULL: holds */
    } rows[] = {{"/s: ok", NULL},
                {"/s: bad", "/s is \"ok\", wanted \"bad\""},
                {"/n: 3", NULL},
                {"/n: 3.0", NULL},
                {"/n: \"3\"", "wanted \"3\""},
                {"/n: '>= 3'", NULL},
                {"/n: '> 3'", "/n is 3, wanted > 3"},
                {"/f: '< 2.6'", NULL},
                {"/f: '<= 2'", "2.5"},
                {"/s: '!= bad'", NULL},
                {"/s: '!= ok'", "wanted != ok"},
                {"/s: '=~ ^o'", NULL},
                {"/s: '=~ ^x'", "wanted =~ ^x"},
                {"/s: '> 1'", "is \"ok\""},
                {"/t: true", NULL},
                {"/t: false", "is true, wanted false"},
                {"/z: null", NULL},
                {"/z: ok", "is null"},
                {"/e: ''", NULL},
                {"/a/0/x~1y: v", NULL},
                {"/a/00/x~1y: v", "is missing"},
                {"/a/9: v", "is missing"},
                {"/ten: 10", "is \"10\", wanted 10"},
                {"/ten: '10'", NULL},
                {"/s: [up, ok]", NULL},
                {"/s: [up, fine]", "one of 2"},
                {"/gone: {exists: false}", NULL},
                {"/gone: {exists: true}", "/gone is missing"},
                {"/s: {exists: false}", "must not be"},
                {"/a: 1", "a list of 1"},
                {"/token: other", "[redacted]"}};
    struct rb_http_response response = page(200, body);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char yaml[256];
        snprintf(yaml, sizeof yaml, "{kind: http, url: 'http://h/', expect: {json: {%s}}}", rows[i].condition);
        if (rows[i].says)
            expect_outcome(yaml, &response, RB_RESULT_FAIL, "json", rows[i].says);
        else
            expect_outcome(yaml, &response, RB_RESULT_OK, "none", NULL);
    }
}
END_TEST

START_TEST(secrets_and_broken_json_stay_out)
{
    struct rb_http_response secret = page(200, "{\"token\":\"hush-hush\"}"), broken = page(200, "{\"a\":"), empty = page(200, "");
    struct rb_test_check *check = answer("{kind: http, url: 'http://h/?token=abcdef123456', expect: {status: 500, json: {/token: x}}}",
                                         &secret);
    ck_assert(!rb_test_check_says(check, "hush"));
    ck_assert(!rb_test_check_says(check, "abcdef123456"));
    ck_assert_str_eq(check->outcome.reason, "status");
    ck_assert_uint_eq(check->outcome.evidence_count, 1);
    rb_test_check_free(check);
    expect_outcome("{kind: http, url: 'http://h/', expect: {json: {/a: 1}}}", &broken, RB_RESULT_FAIL, "json", "not JSON");
    expect_outcome("{kind: http, url: 'http://h/', expect: {json: {/a: 1}}}", &empty, RB_RESULT_FAIL, "json", "not JSON");
    struct rb_http_response with_nul = page(200, "");
    with_nul.body = "{\"a\":1}\0x";
    with_nul.body_len = 9;
    expect_outcome("{kind: http, url: 'http://h/', expect: {json: {/a: 1}}}", &with_nul, RB_RESULT_FAIL, "json", "not JSON");
}
END_TEST

START_TEST(certificates_are_watched)
{
    struct rb_http_response response = page(200, "");
    response.tls = (struct rb_tls_info){.used = true, .verified = true, .subject = "CN=h", .issuer = "CN=ca"};
    response.tls.not_after_wall_ns = clock_now.wall_ns + 10 * 86400 * RB_NS_PER_S;
    expect_outcome("{kind: http, url: 'https://h/'}", &response, RB_RESULT_WARN, "tls_expires_soon", "10.0 days");
    expect_outcome("{kind: http, url: 'https://h/', tls: {warn_expiry: 7d}}", &response, RB_RESULT_OK, "none", NULL);
    expect_outcome("{kind: http, url: 'https://h/', tls: {fail_expiry: 11d}}", &response, RB_RESULT_FAIL, "tls_expires_soon", "CN=h");
    response.tls.not_after_wall_ns = clock_now.wall_ns - 1;
    expect_outcome("{kind: http, url: 'https://h/', tls: {insecure: true}}", &response, RB_RESULT_FAIL, "tls_expired", "ended");
}
END_TEST

START_TEST(a_metrics_page_is_parsed_not_searched)
{
    static const char yaml[] = "{kind: http, url: 'http://h/', expect: {metrics: [peaktrade_ai_, up]}}";
    static const char *const good[] = {
        "peaktrade_ai_runs_total 3\nup 1\n",
        "# HELP up Is it.\n# TYPE up gauge\nup{a=\"b\\\"}\",c=\"\",} 1e3 1700000000000\n\npeaktrade_ai_x{} NaN",
        "# TYPE peaktrade_ai_calls counter\n# any comment <html>\nup\t+Inf \r\n",
        "peaktrade_ai_x_bucket{le=\"+Inf\"} 1 # {trace_id=\"x\"} 0.5 1.6e9\n{\"up.time\",a=\"b\"} 2\n# EOF\n"};
    static const char *const none[] = {"<html><body>peaktrade_ai_runs_total up 1</body></html>",
                                       "peaktrade_ai_ is up\n",
                                       "peaktrade_ai_x 1\nup{a=b} 1\n",
                                       "peaktrade_ai_x 1\nup{a=\"b\"\n",
                                       "peaktrade_ai_x 1\nup{a=\"b\" c=\"d\"} 1\n",
                                       "peaktrade_ai_x 1\nup one\n",
                                       "peaktrade_ai_x 1\nup 1 2 3\n",
                                       "peaktrade_ai_x 1\nup{\"x\"} 1\n",
                                       "peaktrade_ai_x 1\n9up 1\n",
                                       "{\"database\":\"peaktrade_ai_ up\"}"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct rb_http_response response = page(200, good[i]);
        expect_outcome(yaml, &response, RB_RESULT_OK, "none", "samples");
    }
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        struct rb_http_response response = page(200, none[i]);
        expect_outcome(yaml, &response, RB_RESULT_FAIL, "metrics", "is no metrics page");
    }
    struct rb_http_response other = page(200, "node_x 1\nmy_up 1\n"), empty = page(200, "");
    expect_outcome(yaml, &other, RB_RESULT_FAIL, "metrics", "has no metric that begins with peaktrade_ai_");
    expect_outcome(yaml, &empty, RB_RESULT_FAIL, "metrics", "begins with up");
}
END_TEST

START_TEST(slow_answers_warn)
{
    struct rb_http_response response = page(200, "");
    response.phases.total_s = 0.3;
    expect_outcome("{kind: http, url: 'http://h/', warn_after: 200ms}", &response, RB_RESULT_WARN, "slow", "0.300 s");
    expect_outcome("{kind: http, url: 'http://h/', warn_after: 400ms}", &response, RB_RESULT_OK, "none", "300 ms");
}
END_TEST

START_TEST(failures_of_the_network)
{
    for (int failure = RB_NET_DNS; failure < RB_NET_COUNT; failure++) {
        struct rb_http_response response = {
            .failure = (enum rb_net_failure)failure, .detail = "because", .phases = {-1, -1, -1, -1, -1, 0}};
        bool blind = failure == RB_NET_OTHER || failure == RB_NET_PERMISSION;
        expect_outcome("{kind: http, url: 'http://h/'}", &response, blind ? RB_RESULT_UNKNOWN : RB_RESULT_FAIL,
                       rb_net_failure_reason((enum rb_net_failure)failure), "http://h/");
    }
    struct rb_http_response refused = {.failure = RB_NET_REFUSED};
    struct rb_test_check *check = answer("{kind: http, url: 'http://localhost:3000/api/health'}", &refused);
    ck_assert_str_eq(check->outcome.message, "http://localhost:3000/api/health refused");
    ck_assert_int_eq(check->outcome.sighting, RB_SIGHTING_GONE);
    rb_test_check_free(check);
    ck_assert_str_eq(rb_net_failure_reason(RB_NET_OK), "none");
    ck_assert_str_eq(rb_net_failure_reason(RB_NET_COUNT), "none");
}
END_TEST

START_TEST(mistakes_in_the_configuration_are_told)
{
    static const struct {
        const char *yaml, *says;
    } rows[] = {{"{kind: http}", "url"},
                {"{kind: http, url: 'http://u:p@h/'}", "password"},
                {"{kind: http, url: 'http://h/', expect: {status: 20x}}", "20x"},
                {"{kind: http, url: 'http://h/', expect: {status: 200-9}}", "200-9"},
                {"{kind: http, url: 'http://h/', method: 'GE T'}", "method"},
                {"{kind: http, url: 'http://h/', headers: {'a b': c}}", "header name"},
                {"{kind: http, url: 'http://h/', expect: {headers: {a: '('}}}", "regular expression"},
                {"{kind: http, url: 'http://h/', expect: {json: [a]}}", "mapping"},
                {"{kind: http, url: 'http://h/', expect: {json: {database: ok}}}", "/database"},
                {"{kind: http, url: 'http://h/', expect: {json: {/a: '>= x'}}}", "number"},
                {"{kind: http, url: 'http://h/', expect: {json: {/a: '=~ ('}}}", "regular expression"},
                {"{kind: http, url: 'http://h/', expect: {json: {/a: {b: c}}}}", "exists"},
                {"{kind: http, url: 'http://h/', expect: {json: {/a: []}}}", "empty list"},
                {"{kind: http, url: 'http://h/', max_body: 2MiB, expect: {json: {/a: 1}}}", "at most 1MiB"},
                {"{kind: http, url: 'http://h/', password: p}", "user"},
                {"{kind: http, url: 'http://h/', bearer: b, user: u}", "exclude"},
                {"{kind: http, url: 'http://h/', tls: {insecure: true}}", "no meaning"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rb_test_check *check = make(rows[i].yaml);
        const char *errors = rb_test_check_errors(check);
        ck_assert_msg(!check->valid || check->diags.count > 0, "%s is accepted", rows[i].yaml);
        ck_assert_msg(strstr(errors, rows[i].says) != NULL, "%s: \"%s\" does not say \"%s\"", rows[i].yaml, errors, rows[i].says);
        rb_test_check_free(check);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("kind_http");
    TCase *tc = tcase_create("http");
    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_test(tc, request_carries_the_options);
    tcase_add_test(tc, defaults_are_a_plain_get_and_2xx);
    tcase_add_test(tc, status_is_a_code_a_class_or_a_range);
    tcase_add_test(tc, headers_and_body_are_matched);
    tcase_add_test(tc, a_catastrophic_pattern_gives_up);
    tcase_add_test(tc, long_lines_share_one_budget);
    tcase_add_test(tc, json_conditions_are_typed);
    tcase_add_test(tc, secrets_and_broken_json_stay_out);
    tcase_add_test(tc, certificates_are_watched);
    tcase_add_test(tc, a_metrics_page_is_parsed_not_searched);
    tcase_add_test(tc, slow_answers_warn);
    tcase_add_test(tc, failures_of_the_network);
    tcase_add_test(tc, mistakes_in_the_configuration_are_told);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    SRunner *runner = srunner_create(suite());
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
