/* Outcomes: builders with their limits, and the JSON form with everything that may not come in. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runbook/base/buf.h"
#include "runbook/check/kind.h"

static const struct rb_value_def values[] = {
    {"files", "", RB_VALUE_GAUGE, "Files.", NULL}, {"size", "bytes", RB_VALUE_GAUGE, "Size.", "part"}, {NULL}};
static const struct rb_reason_def reasons[] = {{"broken", "A file is broken."}, {NULL}};
static const struct rb_kind kind = {.schema = {.schema = {.name = "test"}}, .values = values, .reasons = reasons};

static struct rb_arena *arena;
static struct rb_outcome out;

static void set_up(void)
{
    arena = rb_arena_new((size_t)8 * 1024 * 1024);
    rb_outcome_init(&out, arena);
}

static void tear_down(void)
{
    rb_arena_free(arena);
}

START_TEST(starts_ok)
{
    ck_assert_int_eq(out.result, RB_RESULT_OK);
    ck_assert_str_eq(out.reason, "none");
    ck_assert_str_eq(out.message, "");
    for (int i = 0; i < RB_RESULT_COUNT; i++)
        ck_assert_uint_gt(strlen(rb_result_name((enum rb_result)i)), 0);
}
END_TEST

START_TEST(the_worst_finding_stands_and_none_is_lost)
{
    rb_outcome_say(&out, "%d files", 3);
    ck_assert_str_eq(out.message, "3 files");
    rb_outcome_raise(&out, RB_RESULT_WARN, "broken", "first");
    ck_assert_uint_eq(out.evidence_count, 0); /* the text of an ok result gives way */
    rb_outcome_raise(&out, RB_RESULT_FAIL, "broken", "second");
    rb_outcome_raise(&out, RB_RESULT_UNKNOWN, "absent", "third");
    rb_outcome_say(&out, "fourth");
    ck_assert_int_eq(out.result, RB_RESULT_FAIL);
    ck_assert_str_eq(out.message, "second");
    ck_assert_uint_eq(out.evidence_count, 3);
    ck_assert_str_eq(out.evidence[0], "first");
    ck_assert_str_eq(out.evidence[1], "third");
    ck_assert_str_eq(out.evidence[2], "fourth");
    rb_outcome_set(&out, RB_RESULT_OK, "broken", "mended");
    ck_assert_str_eq(out.reason, "none");
}
END_TEST

START_TEST(lists_stop_at_their_limits)
{
    char label[16];
    for (int i = 0; i < 600; i++) {
        snprintf(label, sizeof label, "l%d", i);
        rb_outcome_evidence(&out, "%d", i);
        rb_outcome_hint(&out, "%d", i);
        rb_outcome_fact(&out, "file", "%d", i);
        rb_outcome_value(&out, "size", label, i);
        rb_outcome_perfdata(&out, "seconds", label, i);
    }
    ck_assert_uint_eq(out.evidence_count, RB_OUTCOME_MAX_EVIDENCE);
    ck_assert_uint_eq(out.evidence_dropped, 600 - RB_OUTCOME_MAX_EVIDENCE);
    ck_assert_str_eq(out.evidence[63], "63");
    ck_assert_uint_eq(out.hint_count, RB_OUTCOME_MAX_HINTS);
    ck_assert_uint_eq(out.fact_count, RB_OUTCOME_MAX_FACTS);
    ck_assert_uint_eq(out.value_count, RB_OUTCOME_MAX_LABELS + RB_OUTCOME_MAX_PERFDATA);
    for (int i = 0; i < 600; i++) {
        snprintf(label, sizeof label, "n%d", i);
        rb_outcome_value(&out, label, NULL, i);
    }
    ck_assert_uint_eq(out.value_count, RB_OUTCOME_MAX_VALUES);
}
END_TEST

START_TEST(one_sample_per_series)
{
    rb_outcome_value(&out, "files", NULL, 1);
    rb_outcome_value(&out, "files", NULL, 2);
    rb_outcome_perfdata(&out, "files", "x", 3);
    rb_outcome_fact(&out, "file", "a");
    rb_outcome_fact(&out, "file", "a");
    ck_assert_uint_eq(out.value_count, 2);
    ck_assert(out.values[0].number == 2 && out.values[1].perfdata);
    ck_assert_uint_eq(out.fact_count, 1);
}
END_TEST

START_TEST(text_is_cut_between_characters)
{
    static char text[3000];
    for (size_t i = 0; i + 3 < sizeof text; i += 3)
        memcpy(text + i, "\xE2\x82\xAC", 3);
    rb_outcome_set(&out, RB_RESULT_FAIL, "broken", "%s", text);
    ck_assert_uint_le(strlen(out.message), RB_OUTCOME_MAX_TEXT);
    ck_assert_uint_eq(strlen(out.message) % 3, 0);
    ck_assert_uint_ge(strlen(out.message), RB_OUTCOME_MAX_TEXT - 3);
}
END_TEST

START_TEST(last_words_are_the_last_lines_redacted)
{
    struct rb_buf text;
    rb_buf_init(&text, 1 << 20);
    for (int i = 0; i < 100; i++)
        rb_buf_addf(&text, "line %d\r\n\n", i);
    rb_buf_adds(&text, "password=hunter2hunter2");
    rb_outcome_last_words(&out, text.data, text.len);
    ck_assert_uint_eq(out.last_words_count, RB_OUTCOME_MAX_LAST_WORDS);
    ck_assert_str_eq(out.last_words[0], "line 81");
    ck_assert_ptr_null(strstr(out.last_words[19], "hunter2"));
    rb_outcome_last_words(&out, "only", 4);
    ck_assert_uint_eq(out.last_words_count, 1);
    ck_assert_str_eq(out.last_words[0], "only");
    rb_buf_fini(&text);
}
END_TEST

START_TEST(last_words_of_a_flood_begin_at_a_line)
{
    size_t len = 600000;
    char *text = malloc(len);
    memset(text, 'x', len);
    rb_outcome_last_words(&out, text, len);
    ck_assert_uint_eq(out.last_words_count, 0);
    memcpy(text + len - 5, "\nlast", 5);
    rb_outcome_last_words(&out, text, len);
    ck_assert_uint_eq(out.last_words_count, 1);
    ck_assert_str_eq(out.last_words[0], "last");
    free(text);
}
END_TEST

START_TEST(exhausted_arena_is_harmless)
{
    struct rb_arena *small = rb_arena_new(256);
    struct rb_outcome lean;
    rb_outcome_init(&lean, small);
    for (int i = 0; i < 100; i++) {
        rb_outcome_evidence(&lean, "some text that is long enough to fill it %d", i);
        rb_outcome_value(&lean, "files", NULL, i);
        rb_outcome_raise(&lean, RB_RESULT_FAIL, "broken", "message %d", i);
    }
    ck_assert(rb_arena_failed(small));
    ck_assert_ptr_nonnull(lean.message);
    rb_arena_free(small);
}
END_TEST

/* ---- JSON ---- */

static void fill(struct rb_outcome *outcome)
{
    rb_outcome_set(outcome, RB_RESULT_FAIL, "broken", "a \"quoted\" line\nwith \x1b[31m and \xE2\x82\xAC");
    outcome->sighting = RB_SIGHTING_GONE;
    rb_outcome_evidence(outcome, "evidence");
    outcome->evidence_dropped = 7;
    rb_outcome_hint(outcome, "cat 'x'");
    rb_outcome_fact(outcome, "file", "config.toml");
    rb_outcome_value(outcome, "files", NULL, 0.1);
    rb_outcome_value(outcome, "size", "a", (double)NAN);
    rb_outcome_value(outcome, "size", "b", HUGE_VAL);
    rb_outcome_last_words(outcome, "one\ntwo", 7);
}

START_TEST(json_goes_there_and_back)
{
    struct rb_buf text;
    struct rb_error err = {0};
    struct rb_outcome back;
    rb_buf_init(&text, 1 << 20);
    fill(&out);
    ck_assert_int_eq(rb_outcome_to_json(&out, &text, &err), 0);
    ck_assert_ptr_null(strchr(text.data, '\n'));
    rb_outcome_init(&back, arena);
    ck_assert_msg(rb_outcome_from_json(text.data, text.len, &kind, &back, &err) == 0, "%s", err.message);
    ck_assert_int_eq(back.result, RB_RESULT_FAIL);
    ck_assert_str_eq(back.reason, "broken");
    ck_assert_str_eq(back.message, out.message);
    ck_assert_int_eq(back.sighting, RB_SIGHTING_GONE);
    ck_assert_str_eq(back.evidence[0], "evidence");
    ck_assert_uint_eq(back.evidence_dropped, 7);
    ck_assert_str_eq(back.hints[0], "cat 'x'");
    ck_assert_str_eq(back.facts[0].value, "config.toml");
    ck_assert_uint_eq(back.value_count, 3);
    ck_assert(back.values[0].number == 0.1 && isnan(back.values[1].number) && isinf(back.values[2].number));
    ck_assert_str_eq(back.values[2].label, "b");
    ck_assert_uint_eq(back.last_words_count, 2);
    rb_buf_fini(&text);
}
END_TEST

START_TEST(bytes_that_are_not_text_are_escaped_and_facts_dropped)
{
    struct rb_buf text;
    struct rb_error err = {0};
    rb_buf_init(&text, 1 << 20);
    rb_outcome_say(&out, "name \xff");
    rb_outcome_fact(&out, "file", "name \xff");
    ck_assert_int_eq(rb_outcome_to_json(&out, &text, &err), 0);
    struct rb_outcome back;
    rb_outcome_init(&back, arena);
    ck_assert_int_eq(rb_outcome_from_json(text.data, text.len, &kind, &back, &err), 0);
    ck_assert_str_eq(back.message, "name \\xff");
    ck_assert_uint_eq(back.fact_count, 0);
    text.max = text.len + 10;
    ck_assert_int_eq(rb_outcome_to_json(&out, &text, &err), RB_ELIMIT);
    rb_buf_fini(&text);
}
END_TEST

#define HEAD "{\"result\":\"fail\",\"reason\":\"broken\",\"message\":\"m\",\"sighting\":0,\"dropped\":0,\"hints\":[],\"last_words\":[],"

static const char *const refused[] = {
    "",
    "[]",
    "{}",
    "{\"result\":\"fail\"}",
    HEAD "\"evidence\":[],\"values\":[]}",
    HEAD "\"evidence\":[],\"values\":[],\"facts\":[],\"more\":1}",
    HEAD "\"evidence\":[],\"evidence\":[],\"values\":[],\"facts\":[]}",
    HEAD "\"evidence\":[1],\"values\":[],\"facts\":[]}",
    HEAD "\"evidence\":{},\"values\":[],\"facts\":[]}",
    HEAD "\"evidence\":[],\"values\":[[\"no_such\",null,1,false]],\"facts\":[]}",
    HEAD "\"evidence\":[],\"values\":[[\"files\",\"label\",1,false]],\"facts\":[]}",
    HEAD "\"evidence\":[],\"values\":[[\"size\",null,1,false]],\"facts\":[]}",
    HEAD "\"evidence\":[],\"values\":[[\"files\",null,\"many\",false]],\"facts\":[]}",
    HEAD "\"evidence\":[],\"values\":[[\"files\",null,1,true]],\"facts\":[]}",
    HEAD "\"evidence\":[],\"values\":[[\"files\",null,1]],\"facts\":[]}",
    HEAD "\"evidence\":[],\"values\":[],\"facts\":[[\"file\"]]}",
    HEAD "\"evidence\":[\"\\u0000\"],\"values\":[],\"facts\":[]}",
    "{\"result\":\"great\",\"reason\":\"broken\",\"message\":\"m\",\"sighting\":0,\"dropped\":0,\"hints\":[],\"last_words\":[],"
    "\"evidence\":[],\"values\":[],\"facts\":[]}",
    "{\"result\":\"fail\",\"reason\":\"made_up\",\"message\":\"m\",\"sighting\":0,\"dropped\":0,\"hints\":[],\"last_words\":[],"
    "\"evidence\":[],\"values\":[],\"facts\":[]}",
    "{\"result\":\"fail\",\"reason\":\"broken\",\"message\":\"m\",\"sighting\":9,\"dropped\":0,\"hints\":[],\"last_words\":[],\"evidence\":"
    "[],\"values\":[],\"facts\":[]}",
    "{\"result\":\"fail\",\"reason\":\"broken\",\"message\":\"m\",\"sighting\":0,\"dropped\":-1,\"hints\":[],\"last_words\":[],"
    "\"evidence\":[],\"values\":[],\"facts\":[]}",
};

START_TEST(anything_else_is_refused_and_leaves_no_trace)
{
    struct rb_error err = {0};
    ck_assert_int_eq(rb_outcome_from_json(refused[_i], strlen(refused[_i]), &kind, &out, &err), RB_EPARSE);
    ck_assert_uint_gt(strlen(err.message), 0);
    ck_assert_int_eq(out.result, RB_RESULT_OK);
    ck_assert_uint_eq(out.value_count + out.evidence_count + out.fact_count, 0);
}
END_TEST

START_TEST(lists_and_texts_beyond_the_limits_are_refused)
{
    struct rb_buf text;
    struct rb_error err = {0};
    rb_buf_init(&text, (size_t)16 << 20);
    rb_buf_adds(&text, HEAD "\"values\":[],\"facts\":[],\"evidence\":[\"0\"");
    for (int i = 0; i < RB_OUTCOME_MAX_EVIDENCE; i++)
        rb_buf_adds(&text, ",\"x\"");
    rb_buf_adds(&text, "]}");
    ck_assert_int_eq(rb_outcome_from_json(text.data, text.len, &kind, &out, &err), RB_EPARSE);
    while (text.len < (size_t)9 << 20)
        rb_buf_adds(&text, "                                                                ");
    ck_assert_int_eq(rb_outcome_from_json(text.data, text.len, &kind, &out, &err), RB_ELIMIT);
    rb_buf_fini(&text);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("outcome");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, starts_ok);
    tcase_add_test(tcase, the_worst_finding_stands_and_none_is_lost);
    tcase_add_test(tcase, lists_stop_at_their_limits);
    tcase_add_test(tcase, one_sample_per_series);
    tcase_add_test(tcase, text_is_cut_between_characters);
    tcase_add_test(tcase, last_words_are_the_last_lines_redacted);
    tcase_add_test(tcase, last_words_of_a_flood_begin_at_a_line);
    tcase_add_test(tcase, exhausted_arena_is_harmless);
    tcase_add_test(tcase, json_goes_there_and_back);
    tcase_add_test(tcase, bytes_that_are_not_text_are_escaped_and_facts_dropped);
    tcase_add_loop_test(tcase, anything_else_is_refused_and_leaves_no_trace, 0, (int)(sizeof refused / sizeof refused[0]));
    tcase_add_test(tcase, lists_and_texts_beyond_the_limits_are_refused);
    Suite *suite = suite_create("outcome");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
