/* The bounded buffer: growth, its maximum, sticky failure, stealing. */
#include <stdint.h>
#include <string.h>

#include "../support/check_main.h"
#include "runbook/base/buf.h"

START_TEST(starts_empty)
{
    struct rb_buf buf;
    rb_buf_init(&buf, 10);
    ck_assert_str_eq(rb_buf_str(&buf), "");
    ck_assert_ptr_null(buf.data);
    rb_buf_fini(&buf);
    struct rb_buf zero = {0};
    rb_buf_fini(&zero);
    rb_buf_adds(&zero, "x");
    ck_assert(zero.failed);
    RB_BUF_AUTO largest = {.max = SIZE_MAX};
    rb_buf_adds(&largest, "x");
    ck_assert_str_eq(rb_buf_str(&largest), "x");
}
END_TEST

START_TEST(appends_and_terminates)
{
    RB_BUF_AUTO buf = {.max = 1000};
    rb_buf_add(&buf, "a\0b", 3);
    rb_buf_adds(&buf, NULL);
    rb_buf_addc(&buf, 'c');
    rb_buf_addf(&buf, "%d", 42);
    ck_assert_uint_eq(buf.len, 6);
    ck_assert_mem_eq(buf.data, "a\0bc42", 7);
}
END_TEST

START_TEST(never_exceeds_max)
{
    for (size_t max = 0; max < 200; max++) {
        RB_BUF_AUTO buf = {.max = max};
        for (size_t i = 0; i < max; i++)
            rb_buf_addc(&buf, 'x');
        ck_assert(!buf.failed);
        ck_assert_uint_eq(buf.len, max);
        rb_buf_addc(&buf, 'y');
        ck_assert(buf.failed);
        ck_assert(!buf.out_of_memory);
        ck_assert_uint_eq(buf.len, max);
        ck_assert_uint_le(buf.cap, max + 1);
    }
}
END_TEST

START_TEST(failure_sticks_until_reset)
{
    RB_BUF_AUTO buf = {.max = 4};
    struct rb_error err;
    rb_buf_adds(&buf, "abc");
    rb_buf_adds(&buf, "de");
    rb_buf_addc(&buf, 'f');
    ck_assert_str_eq(rb_buf_str(&buf), "abc");
    ck_assert_int_eq(rb_buf_check(&buf, "body", &err), RB_ELIMIT);
    ck_assert_ptr_nonnull(strstr(err.message, "body"));
    ck_assert_ptr_nonnull(strstr(err.message, "4 bytes"));
    ck_assert_ptr_null(rb_buf_steal(&buf, NULL));
    ck_assert_uint_eq(rb_buf_add_some(&buf, "z", 1), 0);
    rb_buf_reset(&buf);
    ck_assert_int_eq(rb_buf_check(&buf, "body", &err), RB_OK);
    rb_buf_adds(&buf, "wxyz");
    ck_assert_str_eq(rb_buf_str(&buf), "wxyz");
}
END_TEST

START_TEST(long_formats_fit_exactly)
{
    char text[1001];
    memset(text, 'q', 1000);
    text[1000] = '\0';
    RB_BUF_AUTO exact = {.max = 1000};
    rb_buf_addf(&exact, "%s", text);
    ck_assert_str_eq(rb_buf_str(&exact), text);
    RB_BUF_AUTO small = {.max = 999};
    rb_buf_addf(&small, "%s", text);
    ck_assert(small.failed);
    ck_assert_uint_eq(small.len, 0);
}
END_TEST

START_TEST(add_some_takes_what_fits)
{
    RB_BUF_AUTO buf = {.max = 5};
    ck_assert_uint_eq(rb_buf_add_some(&buf, "abc", 3), 3);
    ck_assert_uint_eq(rb_buf_add_some(&buf, "def", 3), 2);
    ck_assert_uint_eq(rb_buf_add_some(&buf, "g", 1), 0);
    ck_assert(!buf.failed);
    ck_assert_str_eq(rb_buf_str(&buf), "abcde");
}
END_TEST

START_TEST(steal_hands_over)
{
    RB_BUF_AUTO buf = {.max = 100};
    size_t len = 7;
    char *empty = rb_buf_steal(&buf, &len);
    ck_assert_ptr_nonnull(empty);
    ck_assert_str_eq(empty, "");
    ck_assert_uint_eq(len, 0);
    free(empty);
    rb_buf_adds(&buf, "text");
    char *text = rb_buf_steal(&buf, &len);
    ck_assert_str_eq(text, "text");
    ck_assert_uint_eq(len, 4);
    ck_assert_ptr_null(buf.data);
    free(text);
    rb_buf_adds(&buf, "again");
    ck_assert_str_eq(rb_buf_str(&buf), "again");
}
END_TEST

RB_TEST_MAIN("buf", starts_empty, appends_and_terminates, never_exceeds_max, failure_sticks_until_reset, long_formats_fit_exactly,
             add_some_takes_what_fits, steal_hands_over)
