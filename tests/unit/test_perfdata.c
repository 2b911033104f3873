/* Perfdata: the grammar of the plugin guidelines, units, hostile labels, limits. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runbook/base/buf.h"
#include "runbook/check/perfdata.h"

static struct rb_arena *arena;
static struct rb_outcome out;

static void set_up(void)
{
    arena = rb_arena_new(1 << 20);
    rb_outcome_init(&out, arena);
}

static void tear_down(void)
{
    rb_arena_free(arena);
}

static size_t parse(const char *text)
{
    return rb_perfdata_parse(text, strlen(text), &out);
}

static const struct {
    const char *text, *unit, *label;
    double number;
} good[] = {
    {"time=0.25s;1;2;0;10", "seconds", "time", 0.25},
    {"rta=12.5ms", "seconds", "rta", 0.0125},
    {"rta=0.035ms", "seconds", "rta", 0.000035},
    {"t=250us;;;0", "seconds", "t", 0.00025},
    {"used=10%;80;90", "ratio", "used", 0.1},
    {"/=2643MB;5948;5958;0;5968", "bytes", "/", 2643.0 * 1048576},
    {"mem=1KB", "bytes", "mem", 1024},
    {"mem=2gib", "bytes", "mem", 2147483648.0},
    {"n=4096B", "bytes", "n", 4096},
    {"requests=77c", "total", "requests", 77},
    {"procs=12;~:5;@1:2", "", "procs", 12},
    {"temp=-3.5C", "", "temp", -3.5},
    {"x=1e3", "", "x", 1000},
    {"x=.5s", "seconds", "x", 0.5},
    {"'C:\\ used'=1B", "bytes", "C:\\ used", 1},
    {"'it''s'=2", "", "it's", 2},
};

START_TEST(items_become_base_units)
{
    ck_assert_uint_eq(parse(good[_i].text), 1);
    ck_assert_uint_eq(out.value_count, 1);
    ck_assert_str_eq(out.values[0].name, good[_i].unit);
    ck_assert_str_eq(out.values[0].label, good[_i].label);
    ck_assert_double_eq_tol(out.values[0].number, good[_i].number, 1e-15 * (1 + fabs(good[_i].number)));
    ck_assert(out.values[0].perfdata);
}
END_TEST

static const char *const bad[] = {
    "",       "   ",      "x",      "=5",      "x=",   "x=U",   "x=12,5",
    "x=0x10", "x=nan",    "x=inf",  "'open=5", "''=1", "x=--1", "x=1.2.3",
    "a b c",  "x=5s_y;1", "| more", "x=1e999", "x=.",  "-",     "x=123456789012345678901234567890123456789012345678901234567890123456789"};

START_TEST(what_is_no_item_is_passed_over)
{
    ck_assert_uint_eq(parse(bad[_i]), 0);
    ck_assert_uint_eq(out.value_count, 0);
}
END_TEST

START_TEST(one_odd_item_costs_only_itself)
{
    ck_assert_uint_eq(parse("a=1s broken b=U 'c d'=2% ;; e=3\n"), 3);
    ck_assert_uint_eq(out.value_count, 3);
    ck_assert_str_eq(out.values[1].label, "c d");
    ck_assert_uint_eq(rb_perfdata_parse("a=1 b=2", 7, NULL), 2);
    ck_assert_uint_eq(rb_perfdata_parse("a=1 b=2", 3, NULL), 1);
}
END_TEST

START_TEST(labels_are_made_harmless_and_bounded)
{
    ck_assert_uint_eq(parse("'a\x1b[31m\nb'=1"), 1);
    ck_assert_str_eq(out.values[0].label, "a\\x1b[31m\\nb");
    char text[700];
    memset(text, 'l', sizeof text);
    memcpy(text + 500, "=1", 3);
    ck_assert_uint_eq(parse(text), 1);
    ck_assert_uint_le(strlen(out.values[1].label), 104);
    memset(text, 'l', sizeof text);
    memcpy(text + 690, "=1", 3);
    ck_assert_uint_eq(parse(text), 0);
}
END_TEST

START_TEST(at_most_64_are_kept)
{
    struct rb_buf text;
    rb_buf_init(&text, 1 << 16);
    for (int i = 0; i < 100; i++)
        rb_buf_addf(&text, "l%d=%d ", i, i);
    ck_assert_uint_eq(rb_perfdata_parse(text.data, text.len, &out), 100);
    ck_assert_uint_eq(out.value_count, RB_OUTCOME_MAX_PERFDATA);
    ck_assert_uint_eq(parse("l3=99"), 1); /* a known label is updated also when the list is full */
    ck_assert(out.values[3].number == 99);
    rb_buf_fini(&text);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("perfdata");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, items_become_base_units, 0, (int)(sizeof good / sizeof good[0]));
    tcase_add_loop_test(tcase, what_is_no_item_is_passed_over, 0, (int)(sizeof bad / sizeof bad[0]));
    tcase_add_test(tcase, one_odd_item_costs_only_itself);
    tcase_add_test(tcase, labels_are_made_harmless_and_bounded);
    tcase_add_test(tcase, at_most_64_are_kept);
    Suite *suite = suite_create("perfdata");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
