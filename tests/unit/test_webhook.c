/* Alertmanager's webhook: what a real one sends, what is missing, what is hostile. */
#include <stdio.h>
#include <string.h>

#include "../support/check_main.h"
#include "runbook/incident/webhook.h"

/* As Alertmanager 0.25 sent it, shortened: one resolved alert in a group that fires. */
#define ALERT(status, instance, starts)                                                                                             \
    "{\"status\":\"" status "\",\"labels\":{\"alertname\":\"DiskFull\",\"instance\":\"" instance                                    \
    "\",\"service\":\"db\",\"severity\":\"warning\"},\"annotations\":{\"summary\":\"disk of " instance "\"},\"startsAt\":\"" starts \
    "\",\"endsAt\":\"0001-01-01T00:00:00Z\",\"generatorURL\":\"\",\"fingerprint\":\"fp-" instance "\"}"
#define GROUP(status, alerts, more)                                                                                              \
    "{\"receiver\":\"hook\",\"status\":\"" status "\",\"alerts\":[" alerts                                                       \
    "],\"groupLabels\":{\"alertname\":\"DiskFull\"},\"commonLabels\":{},\"commonAnnotations\":{},\"externalURL\":\"http://am\"," \
    "\"version\":\"4\",\"groupKey\":\"{}:{alertname=\\\"DiskFull\\\"}\"" more "}"

static struct rb_arena *arena;

static int parse(const char *text, struct rb_webhook *out, struct rb_error *err)
{
    rb_arena_free(arena);
    arena = rb_arena_new((size_t)8 << 20);
    ck_assert_ptr_nonnull(arena);
    return rb_webhook_parse(text, strlen(text), arena, out, err);
}

START_TEST(a_real_group_with_a_resolved_alert_inside)
{
    struct rb_webhook hook;
    struct rb_error err;
    ck_assert_int_eq(
        parse(GROUP("firing", ALERT("resolved", "h1", "1") "," ALERT("firing", "h2", "1"), ",\"truncatedAlerts\":7"), &hook, &err), 0);
    ck_assert(hook.firing);
    ck_assert_str_eq(hook.group_key, "{}:{alertname=\"DiskFull\"}");
    ck_assert_str_eq(hook.name, "DiskFull");
    ck_assert_str_eq(hook.title, "DiskFull: disk of h1");
    ck_assert_str_eq(hook.text, "firing: DiskFull h2; resolved: DiskFull h1; 7 more alerts left out by the sender");
    ck_assert_int_eq(hook.severity, RB_INCIDENT_MEDIUM);
    ck_assert_uint_eq(hook.alerts, 2);
}
END_TEST

START_TEST(a_repetition_signs_alike_whatever_the_order)
{
    struct rb_webhook one, two, changed, later;
    struct rb_error err;
    ck_assert_int_eq(parse(GROUP("firing", ALERT("firing", "h1", "1") "," ALERT("firing", "h2", "1"), ""), &one, &err), 0);
    ck_assert_int_eq(parse(GROUP("firing", ALERT("firing", "h2", "1") "," ALERT("firing", "h1", "1"), ",\"new\":{}"), &two, &err), 0);
    ck_assert_int_eq(parse(GROUP("firing", ALERT("firing", "h2", "1") "," ALERT("resolved", "h1", "1"), ""), &changed, &err), 0);
    ck_assert_int_eq(parse(GROUP("firing", ALERT("firing", "h2", "1") "," ALERT("firing", "h1", "2"), ""), &later, &err), 0);
    ck_assert_str_eq(one.signature, two.signature);
    ck_assert_str_ne(one.signature, changed.signature);
    ck_assert_str_ne(one.signature, later.signature);
}
END_TEST

START_TEST(what_is_missing_is_named)
{
    static const struct {
        const char *text, *told;
        int code;
    } cases[] = {
        {"", "not JSON", RB_EPARSE},
        {"{\"a\":1,\"a\":2}", "not JSON", RB_EPARSE},
        {"[]", "not an object", RB_EINVAL},
        {"{}", "version (\"4\"), groupKey (text), status (\"firing\" or \"resolved\"), alerts (a list)", RB_EINVAL},
        {"{\"version\":4,\"groupKey\":\"k\",\"status\":\"firing\",\"alerts\":[]}", "wrong: version", RB_EINVAL},
        {"{\"version\":\"4\",\"groupKey\":7,\"status\":\"firing\",\"alerts\":[]}", "wrong: groupKey", RB_EINVAL},
        {"{\"version\":\"4\",\"groupKey\":\"k\",\"status\":\"hot\",\"alerts\":[]}", "wrong: status", RB_EINVAL},
        {"{\"version\":\"4\",\"groupKey\":\"k\",\"status\":\"firing\",\"alerts\":[{\"status\":\"firing\"}]}", "alerts[0].labels",
         RB_EINVAL},
        {"{\"version\":\"4\",\"groupKey\":\"k\",\"status\":\"firing\",\"alerts\":[{\"labels\":{}}]}", "alerts[0].status", RB_EINVAL},
        {"{\"version\":\"4\",\"groupKey\":\"k\",\"status\":\"firing\",\"alerts\":[null]}", "alerts[0]", RB_EINVAL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rb_webhook hook;
        struct rb_error err = {0};
        ck_assert_int_eq(parse(cases[i].text, &hook, &err), cases[i].code);
        ck_assert_msg(strstr(err.message, cases[i].told), "%zu: %s", i, err.message);
    }
    struct rb_webhook hook;
    struct rb_error err;
    ck_assert_int_eq(rb_webhook_parse("{}\0", 3, arena, &hook, &err), RB_EPARSE);
}
END_TEST

START_TEST(little_is_enough_and_types_that_do_not_fit_are_passed_over)
{
    struct rb_webhook hook;
    struct rb_error err;
    ck_assert_int_eq(parse("{\"version\":\"4\",\"groupKey\":\"k\",\"status\":\"resolved\",\"alerts\":[{\"status\":\"resolved\",\"labels\":{"
                           "\"severity\":9}}],"
                           "\"groupLabels\":[],\"commonLabels\":7,\"commonAnnotations\":null,\"truncatedAlerts\":\"many\"}",
                           &hook, &err),
                     0);
    ck_assert(!hook.firing);
    ck_assert_str_eq(hook.title, "alert");
    ck_assert_str_eq(hook.text, "resolved: (no alertname)");
    ck_assert_uint_eq(hook.truncated, 0);
    ck_assert_int_eq(parse("{\"version\":\"4\",\"groupKey\":\"k\",\"status\":\"firing\",\"alerts\":[]}", &hook, &err), 0);
    ck_assert_uint_eq(hook.alerts, 0);
}
END_TEST

START_TEST(its_own_alerts_do_not_count)
{
#define OWN(labels) "{\"status\":\"firing\",\"labels\":{" labels "}}"
    struct rb_webhook hook;
    struct rb_error err;
    ck_assert_int_eq(
        parse(GROUP("firing",
                    OWN("\"alertname\":\"RunbookdStale\"") "," OWN("\"alertname\":\"runbookdX\"") "," OWN(
                        "\"alertname\":\"Up\",\"job\":\"runbookd\"") "," OWN("\"alertname\":\"Up\",\"job\":\"shop\",\"severity\":\"page\""),
                    ""),
              &hook, &err),
        0);
    ck_assert_uint_eq(hook.self, 3);
    ck_assert_uint_eq(hook.alerts, 1);
    ck_assert_int_eq(hook.severity, RB_INCIDENT_HIGH);
    ck_assert_str_eq(hook.text, "firing: Up shop");
}
END_TEST

START_TEST(a_thousand_alerts_are_read_and_the_rest_is_counted)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_WEBHOOK_BODY_MAX);
    rb_buf_adds(&text, "{\"version\":\"4\",\"groupKey\":\"k\",\"status\":\"firing\",\"truncatedAlerts\":5,\"alerts\":[");
    for (unsigned i = 0; i < 1010; i++)
        rb_buf_addf(&text, "%s{\"status\":\"firing\",\"labels\":{\"alertname\":\"A%u\"}}", i ? "," : "", i);
    rb_buf_adds(&text, "]}");
    struct rb_webhook hook;
    struct rb_error err;
    ck_assert_int_eq(parse(rb_buf_str(&text), &hook, &err), 0);
    ck_assert_uint_eq(hook.alerts, 1000);
    ck_assert_uint_eq(hook.truncated, 15);
    ck_assert(strstr(hook.text, "A19 and 980 more; 15 more alerts"));
    rb_arena_free(arena);
    arena = rb_arena_new(4096);
    ck_assert_int_eq(rb_webhook_parse(text.data, text.len, arena, &hook, &err), RB_ENOMEM);
    rb_arena_free(arena);
    arena = NULL;
}
END_TEST

RB_TEST_MAIN("webhook", a_real_group_with_a_resolved_alert_inside, a_repetition_signs_alike_whatever_the_order, what_is_missing_is_named,
             little_is_enough_and_types_that_do_not_fit_are_passed_over, its_own_alerts_do_not_count,
             a_thousand_alerts_are_read_and_the_rest_is_counted)
