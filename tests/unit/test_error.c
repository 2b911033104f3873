/* The bounded error: codes, system texts, prefixes, truncation. */
#include <errno.h>
#include <string.h>

#include "../support/check_main.h"
#include "runbook/base/error.h"

START_TEST(set_fills_and_returns)
{
    struct rb_error err;
    ck_assert_int_eq(rb_error_set(&err, RB_EINVAL, "port %d is taken", 9112), RB_EINVAL);
    ck_assert_int_eq(err.code, RB_EINVAL);
    ck_assert_int_eq(err.saved_errno, 0);
    ck_assert_str_eq(err.message, "port 9112 is taken");
    ck_assert_int_eq(rb_error_set(NULL, RB_ENOMEM, "x"), RB_ENOMEM);
}
END_TEST

START_TEST(sys_appends_reason)
{
    struct rb_error err;
    ck_assert_int_eq(rb_error_sys(&err, ENOENT, "cannot open %s", "a"), RB_ESYS);
    ck_assert_int_eq(err.saved_errno, ENOENT);
    ck_assert_str_eq(err.message, "cannot open a: No such file or directory");
    ck_assert_int_eq(rb_error_sys(NULL, ENOENT, "x"), RB_ESYS);
}
END_TEST

START_TEST(long_messages_keep_the_reason)
{
    struct rb_error err;
    char name[2000];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    (void)rb_error_sys(&err, EACCES, "cannot open %s", name);
    size_t len = strlen(err.message);
    ck_assert_uint_lt(len, sizeof err.message);
    ck_assert_str_eq(err.message + len - strlen(": Permission denied"), ": Permission denied");
    (void)rb_error_set(&err, RB_ELIMIT, "%s", name);
    ck_assert_uint_eq(strlen(err.message), sizeof err.message - 1);
    ck_assert_int_eq(rb_error_prefix(&err, "%s", name), RB_ELIMIT);
    ck_assert_uint_eq(strlen(err.message), sizeof err.message - 1);
}
END_TEST

START_TEST(prefix_goes_before)
{
    struct rb_error err;
    (void)rb_error_set(&err, RB_EPARSE, "no value");
    ck_assert_int_eq(rb_error_prefix(&err, "line %d", 3), RB_EPARSE);
    ck_assert_str_eq(err.message, "line 3: no value");
    ck_assert_int_lt(rb_error_prefix(NULL, "x"), 0);
}
END_TEST

RB_TEST_MAIN("error", set_fills_and_returns, sys_appends_reason, long_messages_keep_the_reason, prefix_goes_before)
