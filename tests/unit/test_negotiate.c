/* Accept, Accept-Encoding and If-None-Match as browsers, curl and Prometheus send them, and as nobody should. */
#include <string.h>

#include "../support/check_main.h"
#include "internal.h"

static const char prometheus[] = "application/openmetrics-text;version=1.0.0;q=0.75,application/openmetrics-text;version=0.0.1;q=0.5,text/"
                                 "plain;version=0.0.4;q=0.25,*/*;q=0.1";
static const char browser[] = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";

START_TEST(test_accept)
{
    static const char open[] = "application/openmetrics-text";
    ck_assert_int_eq(rb_accept_quality(prometheus, open, "version=1.0.0", true), 750);
    ck_assert_int_eq(rb_accept_quality(prometheus, "text/plain", NULL, false), 250);
    ck_assert_int_eq(rb_accept_quality(prometheus, "application/json", NULL, false), 100);
    ck_assert_int_eq(rb_accept_quality("application/openmetrics-text; version=0.0.1", open, "version=1.0.0", true), 0);
    ck_assert_int_eq(rb_accept_quality("*/*", open, "version=1.0.0", true), 0);
    ck_assert_int_eq(rb_accept_quality(NULL, open, "version=1.0.0", true), 0);
    ck_assert_int_eq(rb_accept_quality(NULL, "text/plain", NULL, false), 1000);
    ck_assert_int_eq(rb_accept_quality(browser, "text/html", NULL, false), 1000);
    ck_assert_int_eq(rb_accept_quality(browser, "text/plain", NULL, false), 800);
    ck_assert_int_eq(rb_accept_quality("text/*;q=0.3, TEXT/HTML;Q=0.7, */*;q=0.5", "text/html", NULL, false), 700);
    ck_assert_int_eq(rb_accept_quality("text/*;q=0.3, */*;q=0.5", "text/plain", NULL, false), 300);
    ck_assert_int_eq(rb_accept_quality("text/html;q=0, */*", "text/html", NULL, false), 0);
    ck_assert_int_eq(rb_accept_quality("", "text/html", NULL, false), 0);
    ck_assert_int_eq(rb_accept_quality(",,;;q=,=,*/*;q=0.00000000000001", "text/html", NULL, false), 0);
    ck_assert_int_eq(rb_accept_quality("*/*;q=9e99", "text/html", NULL, false), 0);
}
END_TEST

START_TEST(test_gzip)
{
    static const struct {
        const char *field;
        bool wanted;
    } rows[] = {{NULL, false},
                {"", false},
                {"gzip", true},
                {"deflate, gzip;q=0.5", true},
                {"gzip;q=0", false},
                {"gzip; q=0.000", false},
                {"*", true},
                {"*;q=0", false},
                {"*, gzip;q=0", false},
                {"identity", false},
                {"GZIP", true},
                {"gzipped", false},
                {"br, x-gzip", true},
                {"gzip;q=0.001", true}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_msg(rb_accept_gzip(rows[i].field) == rows[i].wanted, "%s", rows[i].field);
}
END_TEST

START_TEST(test_etags)
{
    ck_assert(rb_etag_matches("W/\"a-1\"", "W/\"a-1\""));
    ck_assert(rb_etag_matches("\"a-1\"", "W/\"a-1\"")); /* weak comparison */
    ck_assert(rb_etag_matches("\"x\" , W/\"a-1\"", "W/\"a-1\""));
    ck_assert(rb_etag_matches("*", "W/\"a-1\""));
    ck_assert(!rb_etag_matches(NULL, "W/\"a-1\""));
    ck_assert(!rb_etag_matches("", "W/\"a-1\""));
    ck_assert(!rb_etag_matches("W/\"a-11\"", "W/\"a-1\""));
    ck_assert(!rb_etag_matches("W/", "W/\"a-1\""));
}
END_TEST

START_TEST(test_route_table)
{
    char name[128] = "";
    RB_BUF_AUTO allow;
    rb_buf_init(&allow, 64);
    ck_assert_ptr_nonnull(rb_route_find("/api/v1/checks/a.b:c-d/run", "POST", name, sizeof name, &allow));
    ck_assert_str_eq(name, "a.b:c-d");
    ck_assert_ptr_null(rb_route_find("/api/v1/checks/", "GET", name, sizeof name, &allow));
    ck_assert_ptr_null(rb_route_find("/api/v1/checks/a/b", "GET", name, sizeof name, &allow));
    ck_assert_uint_eq(allow.len, 0);
    ck_assert_ptr_null(rb_route_find("/status", "PUT", name, sizeof name, &allow));
    ck_assert_str_eq(rb_buf_str(&allow), "GET, HEAD");
    for (size_t i = 0; i < rb_route_count; i++)
        ck_assert(strcmp(rb_routes[i].method, "POST") != 0 || rb_routes[i].guard.changes_state);
}
END_TEST

RB_TEST_MAIN("negotiate", test_accept, test_gzip, test_etags, test_route_table)
