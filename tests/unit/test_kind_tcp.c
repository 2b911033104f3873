/* Kind tcp: the dialogue as a state machine, fed by hand. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/test_check.h"

static struct rb_fake_clock clock_now;
static const struct rb_event started = {.type = RB_EVENT_START};
static const struct rb_phases phases = {0.001, 0.002, -1, -1, -1, 0};
static const struct rb_event connected = {.type = RB_EVENT_CONNECTED, .phases = &phases};
static const struct rb_event sent = {.type = RB_EVENT_SENT};

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

static struct rb_event data(const char *text)
{
    return (struct rb_event){.type = RB_EVENT_DATA, .data = text, .data_len = strlen(text)};
}

START_TEST(addresses_are_split)
{
    static const struct {
        const char *address, *host, *unix_socket;
        int port;
    } rows[] = {{"localhost:25", "localhost", NULL, 25}, {"[::1]:8080", "::1", NULL, 8080}, {"unix:/run/x.sock", NULL, "/run/x.sock", 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char yaml[128];
        snprintf(yaml, sizeof yaml, "{kind: tcp, address: '%s'}", rows[i].address);
        struct rb_test_check *check = make(yaml);
        ck_assert_msg(check->valid, "%s", rb_test_check_errors(check));
        struct rb_action action = rb_test_check_step(check, &started);
        ck_assert_int_eq(action.type, RB_ACTION_CONNECT);
        ck_assert_pstr_eq(action.connect.host, rows[i].host);
        ck_assert_pstr_eq(action.connect.unix_socket, rows[i].unix_socket);
        ck_assert_int_eq(action.connect.port, rows[i].port);
        ck_assert_int_eq(rb_test_check_step(check, &connected).type, RB_ACTION_DONE);
        ck_assert_int_eq(check->outcome.result, RB_RESULT_OK);
        ck_assert_int_eq(check->outcome.sighting, RB_SIGHTING_PRESENT);
        rb_test_check_free(check);
    }
}
END_TEST

START_TEST(a_dialogue_consumes_what_it_matched)
{
    struct rb_test_check *check = make(
        "{kind: tcp, address: 'h:1', steps: [{expect: '^220 \\w+'}, {expect: '^250 '}, {send: A}, {send: B}, {expect: bye}]}");
    ck_assert_msg(check->valid, "%s", rb_test_check_errors(check));
    rb_test_check_step(check, &started);
    struct rb_action action = rb_test_check_step(check, &connected);
    ck_assert_int_eq(action.type, RB_ACTION_AWAIT);
    ck_assert_uint_eq(action.await.consume, 0);
    struct rb_event event = data("220 m");
    action = rb_test_check_step(check, &event);
    ck_assert_int_eq(action.type, RB_ACTION_AWAIT);
    ck_assert_uint_eq(action.await.consume, 5);
    event = data("\r\n250 x rest");
    action = rb_test_check_step(check, &event);
    ck_assert_int_eq(action.type, RB_ACTION_SEND);
    ck_assert_str_eq(action.send.bytes, "A");
    action = rb_test_check_step(check, &sent);
    ck_assert_int_eq(action.type, RB_ACTION_SEND);
    action = rb_test_check_step(check, &sent);
    ck_assert_int_eq(action.type, RB_ACTION_AWAIT);
    ck_assert_uint_eq(action.await.consume, 6); /* "\r\n250 " was matched before the two sends */
    event = data("x restbye");
    ck_assert_int_eq(rb_test_check_step(check, &event).type, RB_ACTION_DONE);
    ck_assert_int_eq(check->outcome.result, RB_RESULT_OK);
    rb_test_check_free(check);
}
END_TEST

START_TEST(an_answer_that_does_not_match_is_quoted)
{
    struct rb_test_check *check = make("{kind: tcp, address: 'h:1', steps: [{expect: '^220 '}]}");
    rb_test_check_step(check, &started);
    rb_test_check_step(check, &connected);
    struct rb_event event = data("421 busy\x1b[31m password=hunter2hunter2\r\n");
    ck_assert_int_eq(rb_test_check_step(check, &event).type, RB_ACTION_AWAIT);
    struct rb_event over = {.type = RB_EVENT_FAILED, .failure = RB_NET_TIMEOUT, .data = event.data, .data_len = event.data_len};
    ck_assert_int_eq(rb_test_check_step(check, &over).type, RB_ACTION_DONE);
    ck_assert_str_eq(check->outcome.reason, "expect");
    ck_assert(rb_test_check_says(check, "421 busy"));
    ck_assert(!rb_test_check_says(check, "hunter2hunter2"));
    ck_assert(!rb_test_check_says(check, "\x1b"));
    rb_test_check_free(check);
}
END_TEST

START_TEST(ends_have_their_reasons)
{
    static const struct {
        enum rb_net_failure failure;
        enum rb_result result;
        enum rb_sighting sighting;
    } rows[] = {{RB_NET_REFUSED, RB_RESULT_FAIL, RB_SIGHTING_GONE},
                {RB_NET_NO_SOCKET, RB_RESULT_FAIL, RB_SIGHTING_GONE},
                {RB_NET_DNS, RB_RESULT_FAIL, RB_SIGHTING_NONE},
                {RB_NET_CONNECT_TIMEOUT, RB_RESULT_FAIL, RB_SIGHTING_NONE},
                {RB_NET_TLS_EXPIRED, RB_RESULT_FAIL, RB_SIGHTING_PRESENT},
                {RB_NET_PERMISSION, RB_RESULT_UNKNOWN, RB_SIGHTING_NONE},
                {RB_NET_OTHER, RB_RESULT_UNKNOWN, RB_SIGHTING_NONE}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rb_test_check *check = make("{kind: tcp, address: 'h:1'}");
        rb_test_check_step(check, &started);
        struct rb_event event = {.type = RB_EVENT_FAILED, .failure = rows[i].failure, .detail = "why"};
        ck_assert_int_eq(rb_test_check_step(check, &event).type, RB_ACTION_DONE);
        ck_assert_str_eq(check->outcome.reason, rb_net_failure_reason(rows[i].failure));
        ck_assert_int_eq(check->outcome.result, rows[i].result);
        ck_assert_int_eq(check->outcome.sighting, rows[i].sighting);
        rb_test_check_free(check);
    }
}
END_TEST

START_TEST(a_closed_connection_fails_the_expectation)
{
    struct rb_test_check *check = make("{kind: tcp, address: 'h:1', steps: [{expect: x}]}");
    rb_test_check_step(check, &started);
    rb_test_check_step(check, &connected);
    struct rb_event closed = {.type = RB_EVENT_CLOSED, .failure = RB_NET_CLOSED};
    ck_assert_int_eq(rb_test_check_step(check, &closed).type, RB_ACTION_DONE);
    ck_assert_str_eq(check->outcome.reason, "closed");
    rb_test_check_free(check);
}
END_TEST

START_TEST(a_tls_mapping_turns_tls_on)
{
    struct rb_test_check *check = make("{kind: tcp, address: 'h:1', tls: {server_name: n}}");
    ck_assert(rb_test_check_step(check, &started).connect.tls.enabled);
    struct rb_tls_info info = {.used = true, .not_after_wall_ns = clock_now.wall_ns + 86400 * RB_NS_PER_S};
    struct rb_event event = {.type = RB_EVENT_CONNECTED, .phases = &phases, .tls = &info};
    ck_assert_int_eq(rb_test_check_step(check, &event).type, RB_ACTION_DONE);
    ck_assert_str_eq(check->outcome.reason, "tls_expires_soon");
    ck_assert_int_eq(check->outcome.result, RB_RESULT_WARN);
    rb_test_check_free(check);
    check = make("{kind: tcp, address: 'h:1', tls: {enabled: false}}");
    ck_assert(!rb_test_check_step(check, &started).connect.tls.enabled);
    rb_test_check_free(check);
}
END_TEST

START_TEST(mistakes_in_the_configuration_are_told)
{
    static const struct {
        const char *yaml, *says;
    } rows[] = {{"{kind: tcp}", "address"},
                {"{kind: tcp, address: localhost}", "host:port"},
                {"{kind: tcp, address: '::1:80'}", "host:port"},
                {"{kind: tcp, address: 'h:70000'}", "host:port"},
                {"{kind: tcp, address: ':80'}", "host:port"},
                {"{kind: tcp, address: 'unix:x.sock'}", "absolute"},
                {"{kind: tcp, address: 'h:1', steps: [{}]}", "either expect or send"},
                {"{kind: tcp, address: 'h:1', steps: [{expect: a, send: b}]}", "either expect or send"},
                {"{kind: tcp, address: 'h:1', steps: [{expect: '('}]}", "expect"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rb_test_check *check = make(rows[i].yaml);
        const char *errors = rb_test_check_errors(check);
        ck_assert_msg(strstr(errors, rows[i].says) != NULL, "%s: \"%s\" does not say \"%s\"", rows[i].yaml, errors, rows[i].says);
        rb_test_check_free(check);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("kind_tcp");
    TCase *tc = tcase_create("tcp");
    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_test(tc, addresses_are_split);
    tcase_add_test(tc, a_dialogue_consumes_what_it_matched);
    tcase_add_test(tc, an_answer_that_does_not_match_is_quoted);
    tcase_add_test(tc, ends_have_their_reasons);
    tcase_add_test(tc, a_closed_connection_fails_the_expectation);
    tcase_add_test(tc, a_tls_mapping_turns_tls_on);
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
