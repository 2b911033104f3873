/* Kind prometheus: its questions answered by hand, in the API's own shapes. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/test_check.h"

#define TARGET(job, instance, health, error)                                                                                             \
    "{\"labels\":{\"job\":\"" job "\",\"instance\":\"" instance "\"},\"scrapeUrl\":\"http://" instance "/metrics\",\"health\":\"" health \
    "\",\"lastError\":\"" error "\"}"
#define TARGETS(list) "{\"status\":\"success\",\"data\":{\"activeTargets\":[" list "],\"droppedTargets\":[]}}"
#define STARTED(when) "{\"status\":\"success\",\"data\":{\"startTime\":\"" when "\"}}"

#define RULES(list)               "{\"status\":\"success\",\"data\":{\"groups\":[{\"name\":\"g\",\"file\":\"r.yml\",\"rules\":[" list "]}]}}"
#define RULE(name, health, error) "{\"name\":\"" name "\",\"health\":\"" health "\",\"lastError\":\"" error "\",\"type\":\"alerting\"}"
#define ALERTS(list)              "{\"status\":\"success\",\"data\":{\"alerts\":[" list "]}}"
#define ALERT(name, severity, state)                                                              \
    "{\"labels\":{\"alertname\":\"" name "\",\"severity\":\"" severity                            \
    "\",\"instance\":\"h:1\"},\"annotations\":{\"summary\":\"says " name "\"},\"state\":\"" state \
    "\",\"activeAt\":\"2027-01-15T07:00:00Z\"}"

/* What the pages after targets and runtime information answer; reset before each test. */
static struct {
    const char *rules, *alerts, *pools;
    unsigned asked_rules, asked_alerts;
} pages;
static struct rb_fake_clock clock_now; /* 2027-01-15T08:00:00Z */
static const char young[] = STARTED("2027-01-15T07:59:30.5Z"), old[] = STARTED("2027-01-14T08:00:00Z");

static void setup(void)
{
    rb_fake_clock_init(&clock_now, INT64_C(1800000000) * RB_NS_PER_S);
    memset(&pages, 0, sizeof pages);
    pages.rules = RULES(RULE("fine", "ok", ""));
    pages.alerts = ALERTS("");
    pages.pools = "{\"status\":\"success\",\"data\":{\"scrapePools\":[\"a\"]}}";
}

static struct rb_test_check *make(const char *yaml)
{
    struct rb_test_check *check = rb_test_check_new(yaml, &clock_now.clock);
    ck_assert_ptr_nonnull(check->kind);
    ck_assert_msg(check->valid, "%s", rb_test_check_errors(check));
    return check;
}

static struct rb_action reply(struct rb_test_check *check, long status, const char *body)
{
    struct rb_http_response *response = rb_arena_alloc(check->arena, sizeof *response);
    *response = (struct rb_http_response){.status = status, .body = body, .body_len = strlen(body)};
    struct rb_event event = {.type = RB_EVENT_HTTP, .http = response};
    return rb_test_check_step(check, &event);
}

/* One whole run: ready, these targets, and the runtime information if it is asked for. */
static void run(struct rb_test_check *check, const char *targets, const char *runtime)
{
    struct rb_event start = {.type = RB_EVENT_START};
    rb_test_check_again(check);
    struct rb_action action = rb_test_check_step(check, &start);
    ck_assert_msg(strstr(action.http.url, "/-/ready") != NULL, "%s", action.http.url);
    action = reply(check, 200, "Prometheus is Ready.\n");
    ck_assert_int_eq(action.type, RB_ACTION_HTTP);
    ck_assert_ptr_nonnull(strstr(action.http.url, "/api/v1/targets?state=active"));
    action = reply(check, 200, targets);
    while (action.type == RB_ACTION_HTTP) {
        const char *url = action.http.url, *body = NULL;
        if (strstr(url, "/api/v1/status/runtimeinfo"))
            body = runtime;
        else if (strstr(url, "/api/v1/scrape_pools"))
            body = pages.pools;
        else if (strstr(url, "/api/v1/rules") && ++pages.asked_rules)
            body = pages.rules;
        else if (strstr(url, "/api/v1/alerts") && ++pages.asked_alerts)
            body = pages.alerts;
        ck_assert_msg(body != NULL, "not expected: %s", url);
        action = reply(check, 200, body);
    }
    ck_assert_int_eq(action.type, RB_ACTION_DONE);
    ck_assert_ptr_nonnull(rb_kind_reason(check->kind, check->outcome.reason));
}

static void expect_run(const char *yaml, const char *targets, const char *runtime, const char *reason, const char *says)
{
    struct rb_test_check *check = make(yaml);
    run(check, targets, runtime);
    ck_assert_msg(strcmp(check->outcome.reason, reason) == 0, "wanted %s, got %s: %s", reason, check->outcome.reason,
                  check->outcome.message);
    ck_assert_msg(!says || rb_test_check_says(check, says), "\"%s\" does not say \"%s\"", check->outcome.message, says);
    rb_test_check_free(check);
}

START_TEST(all_up_is_ok)
{
    struct rb_test_check *check = make("{kind: prometheus, url: 'http://localhost:9092/', jobs: {a: required}}");
    run(check, TARGETS(TARGET("a", "h:1", "up", "") "," TARGET("b", "h:2", "down", "refused")), NULL);
    ck_assert_int_eq(check->outcome.result, RB_RESULT_OK);
    ck_assert_int_eq(check->outcome.sighting, RB_SIGHTING_PRESENT);
    ck_assert_double_eq(rb_test_check_value(check, "targets", "up"), 1);
    ck_assert_double_eq(rb_test_check_value(check, "targets", "down"), 1);
    ck_assert_double_eq(rb_test_check_value(check, "ready", NULL), 1);
    ck_assert_str_eq(check->outcome.facts[0].value, "localhost:9092");
    ck_assert_str_eq(check->outcome.facts[1].value, "a h:1");
    ck_assert(rb_test_check_says(check, "b h:2: refused"));
    rb_test_check_free(check);
}
END_TEST

START_TEST(what_is_down_fails_with_its_error)
{
    expect_run("{kind: prometheus, url: 'http://h:1', jobs: {a: required}}",
               TARGETS(TARGET("a", "h:1", "up", "") "," TARGET("a", "h:2", "down", "connection refused")), NULL, "target_down",
               "a h:2: connection refused");
    expect_run("{kind: prometheus, url: 'http://h:1'}", TARGETS(TARGET("x", "h:2", "down", "e")), NULL, "target_down", "1 of 1");
    expect_run("{kind: prometheus, url: 'http://h:1'}", TARGETS(TARGET("x", "h:2", "up", "")), NULL, "none", "1 of 1");
}
END_TEST

START_TEST(empty_is_never_ok)
{
    expect_run("{kind: prometheus, url: 'http://h:1'}", TARGETS(""), old, "no_targets", "watches nothing");
    expect_run("{kind: prometheus, url: 'http://h:1'}", TARGETS(""), "no JSON", "no_targets", NULL);
    expect_run("{kind: prometheus, url: 'http://h:1'}", TARGETS(""), young, "settling", "has no target");
    expect_run("{kind: prometheus, url: 'http://h:1', jobs: {a: optional}}", TARGETS(""), old, "no_targets", NULL);
}
END_TEST

START_TEST(jobs_are_required_optional_or_absent)
{
    expect_run("{kind: prometheus, url: 'http://h:1', jobs: {a: required, b: required}}", TARGETS(TARGET("a", "h:1", "up", "")), old,
               "job_missing", "job b");
    expect_run("{kind: prometheus, url: 'http://h:1', jobs: {a: required, b: required}}", TARGETS(TARGET("a", "h:1", "up", "")), young,
               "settling", "job b");
    expect_run("{kind: prometheus, url: 'http://h:1', grace: 10s, jobs: {a: required, b: required}}", TARGETS(TARGET("a", "h:1", "up", "")),
               young, "job_missing", NULL);
    expect_run("{kind: prometheus, url: 'http://h:1', jobs: {a: required, b: optional}}", TARGETS(TARGET("a", "h:1", "up", "")), NULL,
               "none", NULL);
    expect_run("{kind: prometheus, url: 'http://h:1', jobs: {a: required, b: optional}}",
               TARGETS(TARGET("a", "h:1", "up", "") "," TARGET("b", "h:2", "down", "x")), NULL, "none", NULL);
    expect_run("{kind: prometheus, url: 'http://h:1', jobs: {a: absent}}", TARGETS(TARGET("a", "h:1", "down", "x")), NULL, "job_unexpected",
               "must be absent");
}
END_TEST

START_TEST(an_optional_job_that_was_up_is_missed)
{
    struct rb_test_check *check = make("{kind: prometheus, url: 'http://h:1', jobs: {a: required, b: optional}}");
    run(check, TARGETS(TARGET("a", "h:1", "up", "") "," TARGET("b", "h:2", "up", "")), NULL);
    ck_assert_str_eq(check->outcome.reason, "none");
    run(check, TARGETS(TARGET("a", "h:1", "up", "") "," TARGET("b", "h:2", "down", "gone")), NULL);
    ck_assert_str_eq(check->outcome.reason, "target_down");
    run(check, TARGETS(TARGET("a", "h:1", "up", "")), old);
    ck_assert_str_eq(check->outcome.reason, "job_missing");
    rb_test_check_free(check);
}
END_TEST

START_TEST(new_targets_have_time_for_their_first_scrape)
{
    static const char targets[] = TARGETS(TARGET("a", "h:1", "unknown", ""));
    struct rb_test_check *check = make("{kind: prometheus, url: 'http://h:1', grace: 90s}");
    run(check, targets, NULL);
    ck_assert_int_eq(check->outcome.result, RB_RESULT_OK);
    rb_fake_clock_advance(&clock_now, 89 * RB_NS_PER_S);
    run(check, targets, NULL);
    ck_assert_int_eq(check->outcome.result, RB_RESULT_OK);
    rb_fake_clock_advance(&clock_now, 2 * RB_NS_PER_S);
    run(check, targets, NULL);
    ck_assert_str_eq(check->outcome.reason, "not_scraped");
    run(check, TARGETS(TARGET("a", "h:1", "up", "")), NULL);
    ck_assert_int_eq(check->outcome.result, RB_RESULT_OK);
    run(check, targets, NULL);
    ck_assert_int_eq(check->outcome.result, RB_RESULT_OK);
    rb_test_check_free(check);
}
END_TEST

START_TEST(rules_that_cannot_be_evaluated)
{
    static const char up[] = TARGETS(TARGET("a", "h:1", "up", ""));
    pages.rules = RULES(RULE("fine", "ok", "") "," RULE("Broken", "err", "many-to-many") "," RULE("New", "unknown", ""));
    expect_run("{kind: prometheus, url: 'http://h:1'}", up, NULL, "rule_error", "1 of 3 rules");
    expect_run("{kind: prometheus, url: 'http://h:1'}", up, NULL, "rule_error", "rule Broken in g (r.yml): many-to-many");
    struct rb_test_check *check = make("{kind: prometheus, url: 'http://h:1', rules: warn}");
    run(check, up, NULL);
    ck_assert_int_eq(check->outcome.result, RB_RESULT_WARN);
    ck_assert_double_eq(rb_test_check_value(check, "rules_failing", NULL), 1);
    rb_test_check_free(check);
    pages.asked_rules = 0;
    expect_run("{kind: prometheus, url: 'http://h:1', rules: ignore}", up, NULL, "none", "1 of 1 targets up");
    ck_assert_uint_eq(pages.asked_rules, 0);
    expect_run("{kind: prometheus, url: 'http://h:1'}", TARGETS(TARGET("a", "h:1", "down", "e")), NULL, "target_down", "1 of 3 rules");
    pages.rules = "not found";
    expect_run("{kind: prometheus, url: 'http://h:1'}", up, NULL, "api_error", NULL);
}
END_TEST

START_TEST(alerts_that_fire)
{
    static const char up[] = TARGETS(TARGET("a", "h:1", "up", ""));
    pages.alerts = ALERTS(ALERT("DiskFull", "page", "firing") "," ALERT("Slow", "warn", "firing") "," ALERT(
        "Later", "page", "pending") "," ALERT("Watchdog", "none", "firing") "," ALERT("RunbookdCheckFailing", "page", "firing"));
    struct rb_test_check *check = make("{kind: prometheus, url: 'http://h:1'}");
    run(check, up, NULL);
    ck_assert_str_eq(check->outcome.reason, "alert_firing");
    ck_assert_int_eq(check->outcome.result, RB_RESULT_WARN);
    ck_assert_double_eq(rb_test_check_value(check, "alerts_firing", NULL), 2);
    ck_assert(rb_test_check_says(check, "alert DiskFull, page, h:1 since 2027-01-15T07:00:00Z: says DiskFull"));
    ck_assert(!rb_test_check_says(check, "Later") && !rb_test_check_says(check, "Watchdog") && !rb_test_check_says(check, "Runbookd"));
    rb_test_check_free(check);
    expect_run("{kind: prometheus, url: 'http://h:1', alerts: fail, alert_severities: page}", up, NULL, "alert_firing",
               "DiskFull is firing");
    expect_run("{kind: prometheus, url: 'http://h:1', alert_names: ['Sl*']}", up, NULL, "alert_firing", "alert Slow is firing");
    expect_run("{kind: prometheus, url: 'http://h:1', alert_except: [DiskFull, Slow, Watchdog]}", up, NULL, "none", NULL);
    pages.asked_alerts = 0;
    expect_run("{kind: prometheus, url: 'http://h:1', alerts: ignore}", up, NULL, "none", NULL);
    ck_assert_uint_eq(pages.asked_alerts, 0);
    pages.alerts = ALERTS("{\"labels\":{\"alertname\":\"Mine\",\"job\":\"runbookd\"},\"state\":\"firing\"},{},3");
    expect_run("{kind: prometheus, url: 'http://h:1'}", up, NULL, "none", NULL);
}
END_TEST

START_TEST(a_missing_job_is_told_from_one_without_targets)
{
    static const char one[] = "{kind: prometheus, url: 'http://h:1', jobs: {b: required}}";
    expect_run(one, TARGETS(TARGET("a", "h:1", "up", "")), old, "job_missing", "the scrape configuration that runs has no job b");
    pages.pools = "{\"status\":\"success\",\"data\":{\"scrapePools\":[\"a\",\"b\"]}}";
    expect_run(one, TARGETS(TARGET("a", "h:1", "up", "")), old, "job_missing", "job b is configured, but discovery finds no target");
    pages.pools = "404 page not found";
    expect_run(one, TARGETS(TARGET("a", "h:1", "up", "")), old, "job_missing", "job b has no target");
}
END_TEST

START_TEST(targets_carry_the_labels_that_dashboards_need)
{
    static const char yaml[] = "{kind: prometheus, url: 'http://h:1', target_labels: [job, stack]}";
    expect_run(yaml, TARGETS(TARGET("a", "h:1", "up", "")), NULL, "label_missing", "a h:1 has no label stack");
    expect_run(yaml, TARGETS("{\"labels\":{\"job\":\"a\",\"stack\":\"x\"},\"health\":\"up\"}"), NULL, "none", NULL);
}
END_TEST

START_TEST(answers_that_are_none)
{
    struct rb_event start = {.type = RB_EVENT_START};
    struct rb_test_check *check = make("{kind: prometheus, url: 'http://h:1'}");
    rb_test_check_step(check, &start);
    ck_assert_int_eq(reply(check, 503, "Service Unavailable").type, RB_ACTION_DONE);
    ck_assert_str_eq(check->outcome.reason, "not_ready");
    rb_test_check_again(check);
    rb_test_check_step(check, &start);
    ck_assert_int_eq(reply(check, 404, "").type, RB_ACTION_DONE);
    ck_assert_str_eq(check->outcome.reason, "api_error");
    static const char *const bodies[] = {
        "", "<html>", "{\"status\":\"error\"}", "{\"status\":\"success\",\"data\":{}}", "[]", "{\"status\":\"success\",\"data\":3}"};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        rb_test_check_again(check);
        rb_test_check_step(check, &start);
        reply(check, 200, "");
        ck_assert_int_eq(reply(check, 200, bodies[i]).type, RB_ACTION_DONE);
        ck_assert_str_eq(check->outcome.reason, "api_error");
        ck_assert_int_eq(check->outcome.result, RB_RESULT_FAIL);
    }
    rb_test_check_free(check);
}
END_TEST

START_TEST(failures_of_the_network)
{
    struct rb_event start = {.type = RB_EVENT_START};
    struct rb_test_check *check = make("{kind: prometheus, url: 'http://h:1'}");
    struct rb_http_response refused = {.failure = RB_NET_REFUSED};
    struct rb_event event = {.type = RB_EVENT_HTTP, .http = &refused, .failure = RB_NET_REFUSED};
    rb_test_check_step(check, &start);
    ck_assert_int_eq(rb_test_check_step(check, &event).type, RB_ACTION_DONE);
    ck_assert_str_eq(check->outcome.message, "http://h:1 refused");
    ck_assert_int_eq(check->outcome.sighting, RB_SIGHTING_GONE);
    ck_assert_double_eq(rb_test_check_value(check, "ready", NULL), 0);
    rb_test_check_again(check);
    rb_test_check_step(check, &start);
    reply(check, 200, "");
    struct rb_event late = {.type = RB_EVENT_FAILED, .failure = RB_NET_TIMEOUT, .detail = "no answer in time"};
    ck_assert_int_eq(rb_test_check_step(check, &late).type, RB_ACTION_DONE);
    ck_assert_str_eq(check->outcome.reason, "timeout");
    rb_test_check_free(check);
}
END_TEST

START_TEST(mistakes_in_the_configuration_are_told)
{
    struct rb_test_check *check = rb_test_check_new("{kind: prometheus, url: 'http://h:1', jobs: {a: wanted}, bearer: x, user: u}",
                                                    &clock_now.clock);
    const char *errors = rb_test_check_errors(check);
    ck_assert_ptr_nonnull(strstr(errors, "job a: \"wanted\" is none of required, optional, absent"));
    ck_assert_ptr_nonnull(strstr(errors, "exclude each other"));
    rb_test_check_free(check);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("kind_prometheus");
    TCase *tc = tcase_create("prometheus");
    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_test(tc, all_up_is_ok);
    tcase_add_test(tc, what_is_down_fails_with_its_error);
    tcase_add_test(tc, empty_is_never_ok);
    tcase_add_test(tc, jobs_are_required_optional_or_absent);
    tcase_add_test(tc, an_optional_job_that_was_up_is_missed);
    tcase_add_test(tc, new_targets_have_time_for_their_first_scrape);
    tcase_add_test(tc, rules_that_cannot_be_evaluated);
    tcase_add_test(tc, alerts_that_fire);
    tcase_add_test(tc, a_missing_job_is_told_from_one_without_targets);
    tcase_add_test(tc, targets_carry_the_labels_that_dashboards_need);
    tcase_add_test(tc, answers_that_are_none);
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
