/* Durations, sizes, numbers and times: strict in, friendly out, and back again; the fake clock beside them. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "../support/check_main.h"
#include "runbook/base/clock.h"
#include "runbook/base/units.h"

START_TEST(durations_read)
{
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"0", 0},          {"0s", 0},
                {"250ms", 250},    {"15s", 15000},
                {"1m30s", 90000},  {"5m", 300000},
                {"2h", 7200000},   {"7d", 604800000},
                {"1w", 604800000}, {"1w2d3h4m5s6ms", 788645006},
                {"90s", 90000},    {"3650d", 315360000000}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        int64_t ms = -1;
        ck_assert_int_eq(rb_duration_parse(good[i].text, &ms, NULL), RB_OK);
        ck_assert_int_eq(ms, good[i].ms);
    }
}
END_TEST

START_TEST(durations_refused)
{
    static const struct {
        const char *text, *hint;
    } bad[] = {{"", "not a duration"},
               {"30", "\"30s\""},
               {"5 m", "not a duration"},
               {"-5s", "not a duration"},
               {"1.5h", "whole numbers"},
               {"s", "not a duration"},
               {"30s1m", "largest first"},
               {"1m1m", "largest first"},
               {"5min", "not a duration"},
               {"3651d", "10 years"},
               {"99999999999999999999s", "10 years"},
               {"1h ", "not a duration"},
               {"5M", "not a duration"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct rb_error err = {0};
        int64_t ms = 77;
        ck_assert_int_eq(rb_duration_parse(bad[i].text, &ms, &err), RB_EINVAL);
        ck_assert_msg(strstr(err.message, bad[i].hint) != NULL, "%s: %s", bad[i].text, err.message);
        ck_assert_int_eq(ms, 77);
    }
}
END_TEST

START_TEST(sizes_read)
{
    static const struct {
        const char *text;
        int64_t bytes;
    } good[] = {{"0", 0},
                {"512", 512},
                {"512B", 512},
                {"10kB", 10000},
                {"10KB", 10000},
                {"64K", 65536},
                {"64k", 65536},
                {"2GiB", 2147483648},
                {"1.5GB", 1500000000},
                {"1.5 MiB", 1572864},
                {"1T", 1099511627776},
                {"4096PiB", INT64_C(1) << 62}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        int64_t bytes = -1;
        ck_assert_int_eq(rb_size_parse(good[i].text, &bytes, NULL), RB_OK);
        ck_assert_int_eq(bytes, good[i].bytes);
    }
}
END_TEST

START_TEST(sizes_refused)
{
    static const char *const bad[] = {"",     "B",  "-1", "1.5", "1.5B", "10XB", "10 ", "1. 5kB", "4097PiB", "99999999999999999999",
                                      "1.GB", "10%"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct rb_error err = {0};
        int64_t bytes = 77;
        ck_assert_msg(rb_size_parse(bad[i], &bytes, &err) == RB_EINVAL, "%s", bad[i]);
        ck_assert_str_ne(err.message, "");
        ck_assert_int_eq(bytes, 77);
    }
}
END_TEST

START_TEST(integers)
{
    int64_t value = 0;
    ck_assert_int_eq(rb_int_parse("-42", &value, NULL), RB_OK);
    ck_assert_int_eq(value, -42);
    ck_assert_int_eq(rb_int_parse("+7", &value, NULL), RB_OK);
    ck_assert_int_eq(value, 7);
    ck_assert_int_eq(rb_int_parse("9223372036854775807", &value, NULL), RB_OK);
    ck_assert(value == INT64_MAX);
    ck_assert_int_eq(rb_int_parse("-9223372036854775808", &value, NULL), RB_OK);
    ck_assert(value == INT64_MIN);
    static const char *const bad[] = {"", "-", "1 ", " 1", "1.0", "0x10", "9223372036854775808", "-9223372036854775809", "1e3"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_int_eq(rb_int_parse(bad[i], &value, NULL), RB_EINVAL);
}
END_TEST

START_TEST(amounts)
{
    struct rb_amount amount = {0};
    ck_assert_int_eq(rb_amount_parse("10%", &amount, NULL), RB_OK);
    ck_assert(amount.set && amount.percent && fabs(amount.percent_value - 10) < 1e-9);
    ck_assert_int_eq(rb_amount_parse("2.5 %", &amount, NULL), RB_OK);
    ck_assert(fabs(amount.percent_value - 2.5) < 1e-9);
    ck_assert_int_eq(rb_amount_parse("2GiB", &amount, NULL), RB_OK);
    ck_assert(amount.set && !amount.percent);
    ck_assert_int_eq(amount.bytes, INT64_C(2) << 30);
    static const char *const bad[] = {"", "%", "101%", "100.1%", "-5%", "1%%", "x%"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_int_eq(rb_amount_parse(bad[i], &amount, NULL), RB_EINVAL);
}
END_TEST

#define EXPECT_PRINT(function, value, expected)       \
    do {                                              \
        RB_BUF_AUTO out = {.max = 100};               \
        function(&out, value);                        \
        ck_assert_str_eq(rb_buf_str(&out), expected); \
    } while (0)

START_TEST(durations_print)
{
    EXPECT_PRINT(rb_duration_print, -5, "0 s");
    EXPECT_PRINT(rb_duration_print, 0, "0 s");
    EXPECT_PRINT(rb_duration_print, 400, "0.4 s");
    EXPECT_PRINT(rb_duration_print, 980, "1 s");
    EXPECT_PRINT(rb_duration_print, 1999, "1 s");
    EXPECT_PRINT(rb_duration_print, 333000, "5 min 33 s");
    EXPECT_PRINT(rb_duration_print, 2460000, "41 min");
    EXPECT_PRINT(rb_duration_print, 25320000, "7 h 2 min");
    EXPECT_PRINT(rb_duration_print, INT64_C(86400000) * 3 + 4 * 3600000 + 59000, "3 d 4 h");
    EXPECT_PRINT(rb_duration_print, INT64_C(86400000) * 3 + 59000, "3 d");
    EXPECT_PRINT(rb_duration_print_exact, 60000, "60s");
    EXPECT_PRINT(rb_duration_print_exact, 90000, "1m30s");
    EXPECT_PRINT(rb_duration_print_exact, 0, "0s");
}
END_TEST

START_TEST(exact_durations_read_back)
{
    for (int64_t ms = 0; ms < INT64_C(400) * 86400 * 1000; ms = ms * 3 + 7) {
        RB_BUF_AUTO out = {.max = 100};
        int64_t back = -1;
        rb_duration_print_exact(&out, ms);
        ck_assert_int_eq(rb_duration_parse(rb_buf_str(&out), &back, NULL), RB_OK);
        ck_assert_int_eq(back, ms);
    }
}
END_TEST

START_TEST(sizes_print)
{
    EXPECT_PRINT(rb_size_print, 0, "0 B");
    EXPECT_PRINT(rb_size_print, 512, "512 B");
    EXPECT_PRINT(rb_size_print, 1023, "1023 B");
    EXPECT_PRINT(rb_size_print, 1024, "1 KiB");
    EXPECT_PRINT(rb_size_print, 1572864, "1.5 MiB");
    EXPECT_PRINT(rb_size_print, INT64_C(42) << 30, "42 GiB");
    EXPECT_PRINT(rb_size_print, 1048575, "1 MiB");
    EXPECT_PRINT(rb_size_print, INT64_MAX, "8 EiB");
}
END_TEST

START_TEST(doubles_print_shortest)
{
    EXPECT_PRINT(rb_double_print, 0.0, "0");
    EXPECT_PRINT(rb_double_print, -0.0, "-0");
    EXPECT_PRINT(rb_double_print, 1.0, "1");
    EXPECT_PRINT(rb_double_print, 0.1, "0.1");
    EXPECT_PRINT(rb_double_print, 1234567.0, "1234567");
    EXPECT_PRINT(rb_double_print, 1.0 / 3, "0.3333333333333333");
    EXPECT_PRINT(rb_double_print, 5e-324, "5e-324");
    EXPECT_PRINT(rb_double_print, 1e300, "1e+300");
    EXPECT_PRINT(rb_double_print, (double)NAN, "NaN");
    EXPECT_PRINT(rb_double_print, (double)INFINITY, "+Inf");
    EXPECT_PRINT(rb_double_print, -(double)INFINITY, "-Inf");
    static const double values[] = {1755831661.123, 0.30000000000000004, 123456789012345678.0,  -2.5e-7,
                                    1e15,           999999999999999.9,   1.7976931348623157e308};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        RB_BUF_AUTO out = {.max = 100};
        rb_double_print(&out, values[i]);
        double back = strtod(rb_buf_str(&out), NULL);
        ck_assert_mem_eq(&back, &values[i], sizeof back);
    }
}
END_TEST

START_TEST(times_print)
{
    char text[RB_TIME_TEXT];
    const int64_t when = INT64_C(1787368061) * RB_NS_PER_S + 123 * RB_NS_PER_MS;
    ck_assert_str_eq(rb_time_rfc3339(text, when), "2026-08-22T03:07:41Z");
    ck_assert_str_eq(rb_time_rfc3339_ms(text, when), "2026-08-22T03:07:41.123Z");
    ck_assert_str_eq(rb_time_human(text, when), "2026-08-22 03:07:41Z");
    ck_assert_str_eq(rb_time_of_day(text, when), "03:07:41Z");
    ck_assert_str_eq(rb_time_rfc3339(text, 0), "");
    ck_assert_str_eq(rb_time_of_day(text, 0), "");
    ck_assert_str_eq(rb_time_rfc3339(text, -1), "1969-12-31T23:59:59Z");
    ck_assert_str_eq(rb_time_rfc3339(text, INT64_C(951782400) * RB_NS_PER_S), "2000-02-29T00:00:00Z");
    ck_assert_uint_lt(strlen(rb_time_rfc3339_ms(text, INT64_MIN)), RB_TIME_TEXT);
}
END_TEST

START_TEST(times_read)
{
    static const struct {
        const char *text;
        int64_t s, ns;
    } good[] = {{"2026-08-22T03:07:41Z", 1787368061, 0},
                {"2026-08-22T05:07:41+02:00", 1787368061, 0},
                {"2026-08-21t22:37:41.5-04:30", 1787368061, 500000000},
                {"2026-08-22 03:07:41.123456789123z", 1787368061, 123456789},
                {"1970-01-01T00:00:00Z", 0, 0},
                {"2000-02-29", 951782400, 0},
                {"2016-12-31T23:59:60Z", 1483228800, 0}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        int64_t wall = -1;
        ck_assert_int_eq(rb_time_parse(good[i].text, &wall, NULL), RB_OK);
        ck_assert_int_eq(wall, good[i].s * RB_NS_PER_S + good[i].ns);
    }
    static const char *const bad[] = {"",
                                      "now",
                                      "2026-13-01T00:00:00Z",
                                      "2026-02-29T00:00:00Z",
                                      "1900-02-29",
                                      "2026-08-22T24:00:00Z",
                                      "2026-08-22T03:07:41",
                                      "2026-08-22T03:07Z",
                                      "2026-08-22T03:07:41.Z",
                                      "2026-08-22T03:07:41+2:00",
                                      "2026-08-22T03:07:41Zx",
                                      "2300-01-01T00:00:00Z",
                                      "2026-00-10",
                                      "2026-01-00"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t wall = 5;
        struct rb_error err;
        ck_assert_msg(rb_time_parse(bad[i], &wall, &err) == RB_EPARSE, "%s", bad[i]);
        ck_assert_int_eq(wall, 5);
    }
}
END_TEST

START_TEST(every_day_reads_back)
{
    for (int64_t day = -100000; day < 100000; day += 13) {
        char text[RB_TIME_TEXT];
        int64_t when = (day * 86400 + 1) * RB_NS_PER_S, back = 0;
        ck_assert_int_eq(rb_time_parse(rb_time_rfc3339(text, when), &back, NULL), RB_OK);
        ck_assert_int_eq(back, when);
    }
}
END_TEST

START_TEST(fake_clock_moves_when_told)
{
    struct rb_fake_clock fake;
    rb_fake_clock_init(&fake, 5000);
    const struct rb_clock *clock = &fake.clock;
    int64_t elapsed = rb_elapsed_ns(clock), awake = rb_awake_ns(clock);
    rb_fake_clock_advance(&fake, 10);
    rb_fake_clock_sleep(&fake, 100);
    rb_fake_clock_step(&fake, -4000);
    ck_assert_int_eq(rb_elapsed_ns(clock) - elapsed, 110);
    ck_assert_int_eq(rb_awake_ns(clock) - awake, 10);
    ck_assert_int_eq(rb_wall_ns(clock), 1110);
}
END_TEST

RB_TEST_MAIN("units", durations_read, durations_refused, sizes_read, sizes_refused, integers, amounts, durations_print,
             exact_durations_read_back, sizes_print, doubles_print_shortest, times_print, times_read, every_day_reads_back,
             fake_clock_moves_when_told)
