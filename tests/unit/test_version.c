/* Versions as real programs print them, and the order that people expect of them. */
#include <string.h>

#include "../support/check_main.h"
#include "runbook/base/version.h"

static int compare(const char *a, const char *b)
{
    struct rb_version left, right;
    ck_assert_msg(rb_version_parse_all(a, &left), "%s is no version", a);
    ck_assert_msg(rb_version_parse_all(b, &right), "%s is no version", b);
    int forward = rb_version_compare(&left, &right), back = rb_version_compare(&right, &left);
    ck_assert_int_eq((forward > 0) - (forward < 0), (back < 0) - (back > 0));
    return forward;
}

START_TEST(orders_by_numbers)
{
    ck_assert_int_lt(compare("3.9", "3.11"), 0);
    ck_assert_int_eq(compare("3.11", "3.11.0"), 0);
    ck_assert_int_lt(compare("3.11", "3.11.1"), 0);
    ck_assert_int_gt(compare("10", "9.99.99"), 0);
    ck_assert_int_eq(compare("v1.2", "1.2"), 0);
    ck_assert_int_gt(compare("99999999999999999999999.1", "2.0"), 0);
}
END_TEST

START_TEST(orders_stages)
{
    static const char *const ascending[] = {"3.12.0.dev1", "3.12.0a1", "3.12.0a2", "3.12.0b1", "3.12.0-rc.1",
                                            "3.12.0rc2",   "3.12.0",   "3.12.0-1", "3.12.0p2", "3.12.1-ea"};
    for (size_t i = 0; i + 1 < sizeof ascending / sizeof ascending[0]; i++)
        ck_assert_msg(compare(ascending[i], ascending[i + 1]) < 0, "%s before %s", ascending[i], ascending[i + 1]);
    ck_assert_int_lt(compare("1.1.1", "1.1.1a"), 0);
    ck_assert_int_lt(compare("1.1.1a", "1.1.1w"), 0);
    ck_assert_int_eq(compare("1.2.3+build.7", "1.2.3"), 0);
    ck_assert_int_gt(compare("6.1.0-18-amd64", "6.1"), 0);
}
END_TEST

START_TEST(bound_counts_only_what_it_names)
{
    struct rb_version version, bound;
    ck_assert(rb_version_parse_all("3.12.9", &version));
    ck_assert(rb_version_parse_all("3.12", &bound));
    ck_assert_int_eq(rb_version_compare_to_bound(&version, &bound), 0);
    ck_assert(rb_version_parse_all("4.0rc1", &version));
    ck_assert(rb_version_parse_all("4", &bound));
    ck_assert_int_eq(rb_version_compare_to_bound(&version, &bound), 0);
}
END_TEST

START_TEST(finds_versions_in_real_output)
{
    static const char *const cases[][2] = {
        {"Python 3.11.2\n", "3.11.2"},
        {"git version 2.39.2 (Apple Git-143)\n", "2.39.2"},
        {"go version go1.21.5 linux/amd64\n", "1.21.5"},
        {"jq-1.6\n", "1.6"},
        {"v18.19.0\n", "18.19.0"},
        {"openjdk version \"17.0.9\" 2023-10-17\n", "17.0.9"},
        {"OpenSSH_9.2p1 Debian-2+deb12u2, OpenSSL 3.0.11 19 Sep 2023\n", "9.2p1"},
        {"OpenSSL 1.1.1w  11 Sep 2023\n", "1.1.1w"},
        {"Docker version 20.10.24+dfsg1, build 297e128\n", "20.10.24+dfsg1"},
        {"less 590 (GNU regular expressions)\n", "590"},
        {"uv 0.4.18 (7b55e9790 2024-10-01)\n", "0.4.18"},
        {"Terraform v1.6.0-beta2\non linux_amd64\n", "1.6.0-beta2"},
        {"GNU bash, version 5.2.15(1)-release (x86_64-pc-linux-gnu)\n", "5.2.15"},
        {"sha2 tool 7\n", "7"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t len = 0;
        const char *found = rb_version_find(cases[i][0], strlen(cases[i][0]), &len);
        ck_assert_msg(found && len == strlen(cases[i][1]) && strncmp(found, cases[i][1], len) == 0, "%s gave '%.*s'", cases[i][0], (int)len,
                      found ? found : "");
    }
}
END_TEST

START_TEST(refuses_what_is_no_version)
{
    struct rb_version version;
    size_t len;
    ck_assert(!rb_version_parse_all("", &version));
    ck_assert(!rb_version_parse_all("latest", &version));
    ck_assert(!rb_version_parse_all("3.11 or so", &version));
    ck_assert(!rb_version_parse_all("3..11", &version));
    ck_assert_ptr_null(rb_version_find("no number here", 14, &len));
    ck_assert_ptr_null(rb_version_find("", 0, &len));
    /* Bytes after the end and NUL inside are not read as part of it. */
    static const char bytes[] = {'1', '.', '2', '\0', '3'};
    ck_assert_uint_eq(rb_version_parse(bytes, sizeof bytes, &version), 3);
    ck_assert_uint_eq(rb_version_parse("1.23", 3, &version), 3);
    ck_assert_uint_eq(version.parts[1], 2);
}
END_TEST

START_TEST(keeps_only_eight_parts)
{
    struct rb_version version;
    ck_assert(rb_version_parse_all("1.2.3.4.5.6.7.8.9.10", &version));
    ck_assert_uint_eq(version.count, RB_VERSION_PARTS);
    ck_assert_uint_eq(version.parts[7], 8);
}
END_TEST

RB_TEST_MAIN("version", orders_by_numbers, orders_stages, bound_counts_only_what_it_names, finds_versions_in_real_output,
             refuses_what_is_no_version, keeps_only_eight_parts)
