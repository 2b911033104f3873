/* /status and the reports of `check`: shapes by an independent JSON parser, hostile text, order and width of the table. */
#include <jansson.h>

#include "../support/check_main.h"
#include "../support/state_fixture.h"
#include "runbook/base/text.h"
#include "runbook/render/render.h"

static const char hostile[] = "a\x1b[31m\n<b>&\"'|\xe2\x80\xae\xff\xc3\xa9";
static struct fixture f;
static struct rb_snapshot *snapshot;
static struct rb_view view;

static void begin(void)
{
    fixture_start(&f, fixture_plan(4));
    (void)fixture_run_as(&f, 0, RB_RESULT_OK, RB_SIGHTING_NONE, "fine");
    (void)fixture_run_as(&f, 1, RB_RESULT_WARN, RB_SIGHTING_NONE, "a|b");
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    struct rb_outcome outcome;
    rb_outcome_init(&outcome, arena);
    rb_outcome_set(&outcome, RB_RESULT_FAIL, "bad", "%s", hostile);
    rb_outcome_evidence(&outcome, "dir/a b.toml:12:5: unexpected character");
    rb_outcome_evidence(&outcome, "no place here");
    rb_outcome_value(&outcome, "size", NULL, 2.5);
    rb_store_started(f.store, 2);
    (void)rb_store_completed(f.store, 2, &outcome, rb_elapsed_ns(&f.clock.clock));
    snapshot = fixture_snapshot(&f);
    view = rb_view_of(snapshot, &f.clock.clock);
}

static void end(void)
{
    rb_snapshot_unref(snapshot);
    fixture_end(&f);
}

static json_t *parse(const struct rb_buf *out)
{
    json_error_t error;
    json_t *root = json_loadb(rb_buf_str(out), out->len, JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(root != NULL, "%s at %d: %.200s", error.text, error.position, rb_buf_str(out));
    return root;
}

static const char *text_at(json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

START_TEST(test_status_shape)
{
    static const char *const keys[] = {"version", "time",   "host",   "root",  "uptime_s",  "ready",  "snapshot_age_s",
                                       "summary", "safety", "checks", "drift", "incidents", "config", "self"};
    static const char *const check_keys[] = {"name",   "kind",     "phase",         "severity",       "presence",   "state",
                                             "result", "reason",   "message",       "evidence",       "hints",      "values",
                                             "since",  "last_run", "last_ok",       "age_s",          "duration_s", "next_run",
                                             "runs",   "failures", "suppressed_by", "silenced_until", "flapping",   "runbook"};
    begin();
    RB_BUF_AUTO out;
    rb_buf_init(&out, RB_RENDER_MAX);
    struct rb_error err;
    ck_assert_int_eq(rb_render_status_json(&view, &out, &err), 0);
    json_t *root = parse(&out);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        ck_assert_msg(json_object_get(root, keys[i]) != NULL, "%s", keys[i]);
    json_t *checks = json_object_get(root, "checks");
    ck_assert_uint_eq(json_array_size(checks), 4);
    json_t *bad = json_array_get(checks, 2);
    for (size_t i = 0; i < sizeof check_keys / sizeof check_keys[0]; i++)
        ck_assert_msg(json_object_get(bad, check_keys[i]) != NULL, "%s", check_keys[i]);
    ck_assert_str_eq(text_at(bad, "state"), "fail");
    ck_assert_str_eq(text_at(bad, "message"),
                     "a\x1b[31m\n<b>&\"'|\xe2\x80\xae\xef\xbf\xbd\xc3\xa9"); /* exact, the invalid byte as U+FFFD */
    ck_assert_str_eq(text_at(json_array_get(json_object_get(bad, "values"), 0), "unit"), "bytes");
    ck_assert(json_is_null(json_object_get(json_array_get(checks, 3), "result")));
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(root, "summary"), "fail")), 1);
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(root, "summary"), "pending")), 1);
    json_decref(root);
    /* the text itself holds no control or bidi byte */
    ck_assert_ptr_null(memchr(rb_buf_str(&out), 0x1b, out.len));
    ck_assert_ptr_null(strstr(rb_buf_str(&out), "\xe2\x80\xae"));
    end();
}
END_TEST

START_TEST(test_one_check)
{
    begin();
    RB_BUF_AUTO out;
    rb_buf_init(&out, RB_RENDER_MAX);
    struct rb_error err;
    ck_assert_int_eq(rb_render_check_json(&view, 1, &out, &err), 0);
    json_t *root = parse(&out);
    ck_assert_str_eq(text_at(root, "name"), "c1");
    json_decref(root);
    ck_assert_int_eq(rb_render_check_json(&view, 4, &out, &err), RB_ENOTFOUND);
    end();
}
END_TEST

START_TEST(test_table)
{
    begin();
    for (size_t columns = 60; columns <= 160; columns += 20) {
        RB_BUF_AUTO out;
        rb_buf_init(&out, RB_RENDER_MAX);
        struct rb_error err;
        struct rb_text_style style = {.columns = columns, .language = columns % 40 ? RB_LANGUAGE_DE : RB_LANGUAGE_EN};
        ck_assert_int_eq(rb_render_status_text(&view, &style, &out, &err), 0);
        const char *line = rb_buf_str(&out);
        const char *first = strchr(line, '\n') + 1;
        ck_assert_int_eq(strncmp(first, "fail     c2", 11), 0); /* worst first */
        for (; *line; line += strcspn(line, "\n") + 1) {
            size_t len = strcspn(line, "\n");
            ck_assert(rb_text_is_plain(line, len));
            ck_assert_uint_le(rb_text_columns(line, len), columns);
        }
    }
    RB_BUF_AUTO colour;
    rb_buf_init(&colour, RB_RENDER_MAX);
    struct rb_error err;
    ck_assert_int_eq(rb_render_status_text(&view, &(struct rb_text_style){.colour = true, .columns = 80}, &colour, &err), 0);
    ck_assert_ptr_nonnull(strstr(rb_buf_str(&colour), "\033[1;31mfail"));
    end();
}
END_TEST

static char *report(enum rb_check_format format, const bool *chosen)
{
    struct rb_buf out;
    rb_buf_init(&out, RB_RENDER_MAX);
    struct rb_error err;
    struct rb_text_style style = {.columns = 100};
    ck_assert_int_eq(rb_render_check_report(&view, chosen, format, &style, &out, &err), 0);
    return rb_buf_steal(&out, NULL);
}

START_TEST(test_reports)
{
    static const bool good_only[] = {true, false, false, false};
    begin();
    char *text = report(RB_CHECK_NAGIOS, NULL);
    ck_assert_int_eq(strncmp(text, "RUNBOOKD CRITICAL - 1 fail, 1 warn", 34), 0);
    ck_assert_ptr_eq(strchr(text, '|'), strrchr(text, '|'));
    ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
    free(text);
    text = report(RB_CHECK_NAGIOS, good_only);
    ck_assert_int_eq(strncmp(text, "RUNBOOKD OK - 1 ok |", 20), 0);
    free(text);
    text = report(RB_CHECK_JUNIT, NULL);
    ck_assert_ptr_nonnull(strstr(text, "tests=\"4\" failures=\"1\" errors=\"0\" skipped=\"1\""));
    ck_assert_ptr_nonnull(strstr(text, "message=\"a\\x1b[31m\\n&lt;b&gt;&amp;&quot;&#39;|"));
    free(text);
    text = report(RB_CHECK_SARIF, NULL);
    json_error_t error;
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(root != NULL, "%s", error.text);
    json_t *run = json_array_get(json_object_get(root, "runs"), 0), *results = json_object_get(run, "results");
    ck_assert_str_eq(text_at(root, "version"), "2.1.0");
    ck_assert_uint_eq(json_array_size(results), 2); /* the placed failure and the warning */
    ck_assert_ptr_nonnull(strstr(text, "\"uri\":\"dir/a%20b.toml\"},\"region\":{\"startLine\":12,\"startColumn\":5}"));
    json_decref(root);
    free(text);
    text = report(RB_CHECK_JSON, good_only);
    root = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    ck_assert_uint_eq(json_array_size(json_object_get(root, "checks")), 1);
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(root, "summary"), "fail")), 0);
    json_decref(root);
    free(text);
    end();
}
END_TEST

START_TEST(test_page)
{
    begin();
    for (int language = 0; language < RB_LANGUAGE_COUNT; language++) {
        RB_BUF_AUTO out;
        rb_buf_init(&out, RB_RENDER_MAX);
        struct rb_error err;
        ck_assert_int_eq(rb_render_page_html(&view, (enum rb_language)language, &out, &err), 0);
        const char *text = rb_buf_str(&out);
        ck_assert_ptr_nonnull(strstr(text, language ? "<html lang=\"de\">" : "<html lang=\"en\">"));
        ck_assert_ptr_null(strstr(text, "<b>"));
        ck_assert_ptr_null(strstr(text, "<script"));
        ck_assert_ptr_null(strstr(text, " style=\""));
        ck_assert_ptr_nonnull(strstr(text, "&lt;b&gt;"));
        ck_assert_ptr_nonnull(strstr(text, rb_render_html_style()));
    }
    end();
}
END_TEST

RB_TEST_MAIN("status", test_status_shape, test_one_check, test_table, test_reports, test_page)
