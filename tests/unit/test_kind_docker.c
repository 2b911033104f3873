/* Kind docker as a state machine, fed by hand: versions, projects, disk, every way not to get an answer; and its event stream. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/test_check.h"
#include "runbook/check/notes.h"

static struct rb_fake_clock clock_now;

static void setup(void)
{
    rb_fake_clock_init(&clock_now, INT64_C(1787368061) * RB_NS_PER_S); /* 2026-08-22T03:07:41Z */
}

static struct rb_test_check *make(const char *yaml)
{
    struct rb_test_check *check = rb_test_check_new(yaml, &clock_now.clock);
    ck_assert_ptr_nonnull(check->kind);
    ck_assert_msg(check->valid, "%s", rb_test_check_errors(check));
    return check;
}

/* The worker part, then the first question. */
static struct rb_action begin(struct rb_test_check *check)
{
    struct rb_event started = {.type = RB_EVENT_START};
    check->ctx.state = check->state;
    check->kind->run(&check->ctx, &check->outcome);
    ck_assert(!check->outcome.final);
    struct rb_action action = rb_test_check_step(check, &started);
    ck_assert_str_eq(action.http.url, "http://docker/version");
    ck_assert_str_eq(action.http.unix_socket, "/run/x.sock");
    return action;
}

static struct rb_action answer(struct rb_test_check *check, long status, const char *body)
{
    struct rb_http_response response = {.status = status, .body = body, .body_len = strlen(body)};
    struct rb_event event = {.type = RB_EVENT_HTTP, .http = &response};
    struct rb_action action = rb_test_check_step(check, &event);
    if (action.type == RB_ACTION_HTTP)
        ck_assert_str_eq(action.http.method, "GET");
    return action;
}

static void lose(struct rb_test_check *check, enum rb_net_failure failure)
{
    struct rb_event event = {.type = RB_EVENT_FAILED, .failure = failure, .detail = "how it failed"};
    ck_assert_int_eq(rb_test_check_step(check, &event).type, RB_ACTION_DONE);
    ck_assert_ptr_nonnull(rb_kind_reason(check->kind, check->outcome.reason));
}

static const char version[] = "{\"Version\":\"20.10.24\",\"ApiVersion\":\"1.41\"}";

static const char list[] = "[{\"Id\":\"a\",\"State\":\"running\",\"Labels\":{\"com.docker.compose.project\":\"mine\"}},"
                           "{\"Id\":\"b\",\"State\":\"exited\",\"Labels\":{\"com.docker.compose.project\":\"old\"}}]";

START_TEST(a_healthy_engine)
{
    struct rb_test_check *check = make("{kind: docker, socket: /run/x.sock, min: '20.10', projects: [mine]}");
    begin(check);
    ck_assert_str_eq(answer(check, 200, version).http.url, "http://docker/v1.41/containers/json?all=1");
    ck_assert_int_eq(answer(check, 200, list).type, RB_ACTION_DONE);
    ck_assert_int_eq(check->outcome.result, RB_RESULT_OK);
    ck_assert_int_eq(check->outcome.sighting, RB_SIGHTING_PRESENT);
    ck_assert(rb_test_check_says(check, "20.10.24"));
    ck_assert_double_eq(rb_test_check_value(check, "containers", "running"), 1);
    ck_assert_double_eq(rb_test_check_value(check, "up", NULL), 1);
    rb_test_check_free(check);
}
END_TEST

START_TEST(findings)
{
    struct rb_test_check *check = make("{kind: docker, socket: /run/x.sock, min: '28', projects: [other], disk_warn_above: 1kB}");
    begin(check);
    answer(check, 200, version);
    ck_assert_str_eq(check->outcome.reason, "too_old");
    ck_assert_str_eq(answer(check, 200, list).http.url, "http://docker/v1.41/system/df");
    ck_assert(rb_test_check_says(check, "compose project mine runs here"));
    ck_assert(rb_test_check_says(check, "compose project old: 0 of 1"));
    answer(check, 200,
           "{\"LayersSize\":900,\"Containers\":[{\"SizeRw\":50}],\"Volumes\":[{\"UsageData\":{\"Size\":-1}},{\"UsageData\":{\"Size\":60}}],"
           "\"BuildCache\":[{\"Size\":7}]}");
    ck_assert_double_eq(rb_test_check_value(check, "disk", "volumes"), 60);
    ck_assert(rb_test_check_says(check, "on disk"));
    rb_test_check_free(check);
}
END_TEST

START_TEST(why_it_cannot_be_asked)
{
    static const struct {
        enum rb_net_failure failure;
        const char *reason;
        enum rb_result result;
        enum rb_sighting sighting;
    } rows[] = {{RB_NET_NO_SOCKET, "no_socket", RB_RESULT_FAIL, RB_SIGHTING_GONE},
                {RB_NET_REFUSED, "not_running", RB_RESULT_FAIL, RB_SIGHTING_GONE},
                {RB_NET_PERMISSION, "no_permission", RB_RESULT_UNKNOWN, RB_SIGHTING_NONE},
                {RB_NET_TIMEOUT, "timeout", RB_RESULT_FAIL, RB_SIGHTING_PRESENT},
                {RB_NET_PROTOCOL, "protocol", RB_RESULT_FAIL, RB_SIGHTING_PRESENT},
                {RB_NET_CLOSED, "protocol", RB_RESULT_FAIL, RB_SIGHTING_PRESENT},
                {RB_NET_OTHER, "protocol", RB_RESULT_UNKNOWN, RB_SIGHTING_PRESENT}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rb_test_check *check = make("{kind: docker, socket: /run/x.sock}");
        begin(check);
        lose(check, rows[i].failure);
        ck_assert_str_eq(check->outcome.reason, rows[i].reason);
        ck_assert_int_eq(check->outcome.result, rows[i].result);
        ck_assert_int_eq(check->outcome.sighting, rows[i].sighting);
        ck_assert(rb_test_check_says(check, "/run/x.sock"));
        ck_assert_double_eq(rb_test_check_value(check, "up", NULL), 0);
        rb_test_check_free(check);
    }
}
END_TEST

START_TEST(what_is_no_engine)
{
    static const char *const bodies[] = {"<html>", "[]", "{\"ApiVersion\":\"9.1\"}", "{\"ApiVersion\":41}", ""};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct rb_test_check *check = make("{kind: docker, socket: /run/x.sock}");
        begin(check);
        ck_assert_str_eq(answer(check, 200, bodies[i]).http.url, "http://docker/_ping");
        ck_assert_int_eq(answer(check, 200, "OK").type, RB_ACTION_DONE);
        ck_assert_str_eq(check->outcome.reason, "protocol");
        rb_test_check_free(check);
    }
}
END_TEST

START_TEST(an_engine_that_refuses)
{
    struct rb_test_check *check = make("{kind: docker, socket: /run/x.sock}");
    begin(check);
    answer(check, 200, version);
    ck_assert_int_eq(answer(check, 403, "{\"message\":\"plugin says password=hunter2hunter2\"}").type, RB_ACTION_DONE);
    ck_assert_str_eq(check->outcome.reason, "api_error");
    ck_assert_int_eq(check->outcome.result, RB_RESULT_UNKNOWN);
    ck_assert(!rb_test_check_says(check, "hunter2"));
    rb_test_check_free(check);
}
END_TEST

START_TEST(nothing_to_connect_to)
{
    struct rb_test_check *check = make("{kind: docker, socket: 'ssh://host'}");
    check->ctx.state = check->state;
    check->kind->run(&check->ctx, &check->outcome);
    ck_assert(check->outcome.final);
    ck_assert_str_eq(check->outcome.reason, "unsupported");
    rb_test_check_free(check);
    struct rb_test_check *bad = rb_test_check_new("{kind: docker, min: 'new'}", &clock_now.clock);
    ck_assert(!bad->valid);
    rb_test_check_free(bad);
}
END_TEST

struct noted {
    size_t count, gaps, changes;
    char text[256], subject[64];
};

static void take_note(void *ctx, const struct rb_check_spec *spec, const struct rb_note *note)
{
    struct noted *noted = ctx;
    ck_assert_str_eq(spec->name, "test");
    noted->count++;
    noted->gaps += note->gap;
    noted->changes += note->changed;
    snprintf(noted->text, sizeof noted->text, "%s", note->text);
    snprintf(noted->subject, sizeof noted->subject, "%s", note->subject ? note->subject : "");
}

START_TEST(events_become_notes_once)
{
    struct noted noted = {0};
    struct rb_notes notes = {.add = take_note, .ctx = &noted};
    struct rb_test_check *check = make("{kind: docker, socket: /run/x.sock}");
    struct rb_stream_request request = {0};
    check->ctx.state = check->state;
    check->ctx.notes = &notes;
    const struct rb_stream_ops *stream = check->kind->stream;
    ck_assert(!stream->open(&check->ctx, &request, &check->outcome)); /* nobody has found the engine yet */
    check->kind->run(&check->ctx, &check->outcome);
    ck_assert(stream->open(&check->ctx, &request, &check->outcome));
    ck_assert_str_eq(request.unix_socket, "/run/x.sock");
    ck_assert_ptr_nonnull(strstr(request.url, "/events?filters="));
    static const char die[] =
        "{\"Type\":\"container\",\"Action\":\"die\",\"timeNano\":1787368061000000000,\"Actor\":{\"ID\":\"x\",\"Attributes\":{"
        "\"name\":\"p-web-1\",\"exitCode\":\"2\",\"com.docker.compose.project\":\"p\",\"com.docker.compose.service\":\"web\"}}}";
    stream->line(&check->ctx, die, strlen(die));
    ck_assert_uint_eq(noted.count, 1);
    ck_assert_str_eq(noted.text, "container p-web-1 ended with exit code 2");
    ck_assert_str_eq(noted.subject, "p/web");
    stream->line(&check->ctx, "{\"Action\":\"exec_die\",\"Actor\":{\"ID\":\"x\"}}", 44);
    stream->line(&check->ctx, "garbage", 7);
    ck_assert_uint_eq(noted.count, 1);
    stream->gap(&check->ctx, INT64_C(1787368061) * RB_NS_PER_S, RB_NET_CLOSED);
    ck_assert_uint_eq(noted.gaps, 1);
    stream->line(&check->ctx, die, strlen(die)); /* the engine tells again what was told before the gap */
    ck_assert_uint_eq(noted.count, 2);
    rb_test_check_free(check);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kind_docker");
    TCase *tcase = tcase_create("kind_docker");
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, a_healthy_engine);
    tcase_add_test(tcase, findings);
    tcase_add_test(tcase, why_it_cannot_be_asked);
    tcase_add_test(tcase, what_is_no_engine);
    tcase_add_test(tcase, an_engine_that_refuses);
    tcase_add_test(tcase, nothing_to_connect_to);
    tcase_add_test(tcase, events_become_notes_once);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
