/* Many patterns in one pass: line semantics, Unicode and bytes, what Vectorscan cannot take, limits. Each expectation was checked against rg. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/check_main.h"
#include "runbook/source/pattern_scan.h"

/* "line:column-end" of every hit, with the pattern's number when there are several. */
static const char *scan_bytes(const struct rb_pattern *patterns, size_t count, const char *bytes, size_t len, char out[4096])
{
    struct rb_pattern_set *set = NULL;
    struct rb_pattern_scanner *scanner = NULL;
    struct rb_pattern_result result = {0};
    struct rb_error err = {0};
    bool wanted[16] = {true, true, true, true, true, true, true, true, true, true, true, true, true, true, true, true};
    ck_assert_msg(rb_pattern_set_new(patterns, count, &set, NULL, &err) == 0, "%s", err.message);
    ck_assert_msg(rb_pattern_scanner_new(set, &scanner, &err) == 0, "%s", err.message);
    /* Twice: a scanner is used for many texts. */
    for (int i = 0; i < 2; i++)
        ck_assert_msg(rb_pattern_scan(scanner, bytes, len, wanted, &result, &err) == 0, "%s", err.message);
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < result.count && used < 4000; i++) {
        const struct rb_pattern_hit *hit = &result.hits[i];
        ck_assert_uint_le(hit->end, result.len);
        ck_assert_uint_le(hit->line_start, hit->start);
        used += (size_t)snprintf(out + used, 4096 - used, count > 1 ? "%s%zu:%zu-%zu#%zu" : "%s%zu:%zu-%zu", i ? " " : "", hit->line,
                                 hit->column, hit->column + hit->end - hit->start, hit->pattern);
    }
    if (result.binary)
        snprintf(out + used, 4096 - used, "%sbinary", used ? " " : "");
    rb_pattern_scanner_free(scanner);
    rb_pattern_set_free(set);
    return out;
}

static const char *scan(const char *regex, unsigned flags, const char *text, char out[4096])
{
    struct rb_pattern pattern = {.regex = regex, .flags = flags};
    return scan_bytes(&pattern, 1, text, strlen(text), out);
}

START_TEST(matches_lie_within_lines)
{
    char out[4096];
    ck_assert_str_eq(scan("foo", 0, "foo\nbar foo foo\n\nfoo", out), "1:1-4 2:5-8 4:1-4");
    ck_assert_str_eq(scan("foo", RB_PATTERN_ALL, "bar foo foo\n", out), "1:5-8 1:9-12");
    ck_assert_str_eq(scan("foo", RB_PATTERN_ONCE, "foo\nfoo\n", out), "1:1-4");
    ck_assert_str_eq(scan("a\\s+b", 0, "a\nb a b\n", out), "2:3-6");
    ck_assert_str_eq(scan("a[^x]*b", 0, "a\nb\nab", out), "3:1-3");
    ck_assert_str_eq(scan("^foo$", 0, "foo\nfoo \n foo\nfoo", out), "1:1-4 4:1-4");
    ck_assert_str_eq(scan("^$", 0, "a\n\nb\n", out), "2:1-1");
    ck_assert_str_eq(scan("FOO", RB_PATTERN_IGNORE_CASE, "foo\nFoO\n", out), "1:1-4 2:1-4");
    ck_assert_str_eq(scan("\\Afoo\\z", 0, "x\nfoo\n", out), "2:1-4"); /* the line is the text */
    ck_assert_str_eq(scan("(?-m)^foo", 0, "x\nfoo\n", out), "2:1-4");
    ck_assert_str_eq(scan("a.*z|m", 0, "a m z\nm\n", out), "1:1-6 2:1-2"); /* leftmost, first alternative */
}
END_TEST

START_TEST(line_ends)
{
    char out[4096];
    ck_assert_str_eq(scan("foo$", 0, "foo\r\nfoo\r\nfoo", out), "1:1-4 2:1-4 3:1-4");
    ck_assert_str_eq(scan("foo\\r", 0, "foo\r\nfoo\n", out), "1:1-5");
    ck_assert_str_eq(scan("^foo\\b", 0, "bar\rfoo\n", out), ""); /* a lone \r ends no line */
    ck_assert_str_eq(scan("b.b", 0, "b\rb\n", out), "1:1-4");
    ck_assert_str_eq(scan("é$", 0, "é\r\né", out), "1:1-3 2:1-3");
}
END_TEST

START_TEST(what_vectorscan_cannot_take)
{
    char out[4096];
    ck_assert_str_eq(scan("foo(?!bar)", 0, "foobar\nfoobaz\n", out), "2:1-4");
    ck_assert_str_eq(scan("(?<=x)foo", 0, "foo\nxfoo\n", out), "2:2-5");
    ck_assert_str_eq(scan("(a+)-\\1$", 0, "aa-a\naa-aa\n", out), "1:2-5 2:1-6");
    ck_assert_str_eq(scan("x*", 0, "x\n\na", out), "1:1-2 2:1-1 3:1-1");
    ck_assert_str_eq(scan("foo\\Kbar", 0, "foobar\n", out), "1:4-7");
    ck_assert_str_eq(scan("(?>a+)b", 0, "aaab\n", out), "1:1-5");
    ck_assert_str_eq(scan("\\Qa.b\\E", 0, "axb\na.b\n", out), "2:1-4");
}
END_TEST

START_TEST(unicode_and_bytes)
{
    char out[4096];
    ck_assert_str_eq(scan("gr.n", 0, "grün\n", out), "1:1-6"); /* one character, two bytes */
    ck_assert_str_eq(scan("gr.n", RB_PATTERN_BYTES, "grün\n", out), "");
    ck_assert_str_eq(scan("\\bfoo\\w+", 0, "fooü\n", out), "1:1-6");
    ck_assert_str_eq(scan("ÄRGER", RB_PATTERN_IGNORE_CASE, "ärger\n", out), "1:1-7");
    ck_assert_str_eq(scan("k", RB_PATTERN_IGNORE_CASE, "\xe2\x84\xaa\n", out), "1:1-4"); /* KELVIN SIGN */
    /* Invalid UTF-8 never matches a character, the text around it does; bytes match anything. */
    ck_assert_str_eq(scan("a.b", 0,
                          "a\xff"
                          "b\nacb \xff\n",
                          out),
                     "2:1-4");
    ck_assert_str_eq(scan("a.b", RB_PATTERN_BYTES,
                          "a\xff"
                          "b\n",
                          out),
                     "1:1-4");
    ck_assert_str_eq(scan("foo\\b", 0, "\xc3(foo\xfe\xff\n", out), "1:3-6");
    ck_assert_str_eq(scan("foo", 0, "\xed\xa0\x80 foo \xf4\x90\x80\x80 \xc0\xaf\n", out), "1:5-8"); /* surrogate, too large, overlong */
}
END_TEST

START_TEST(marks_and_binaries)
{
    char out[4096];
    struct rb_pattern pattern = {.regex = "^key"};
    ck_assert_str_eq(scan("^key", 0, "\xef\xbb\xbfkey\n", out), "1:1-4");
    ck_assert_str_eq(scan_bytes(&pattern, 1, "\xff\xfek\0e\0y\0\n\0k\0e\0y\0", 16, out), "1:1-4 2:1-4");
    ck_assert_str_eq(scan_bytes(&pattern, 1, "\xfe\xff\0k\0e\0y\xd8\x3d\xde\0", 12, out), "1:1-4");
    ck_assert_str_eq(scan_bytes(&pattern, 1, "key\n\0", 5, out), "binary");
    size_t len = (size_t)100 << 10;
    char *text = malloc(len);
    ck_assert_ptr_nonnull(text);
    memset(text, 'x', len);
    memcpy(text, "key\n", 4);
    memcpy(text + (80 << 10), "\nkey\nkey\0", 9);
    ck_assert_str_eq(scan_bytes(&pattern, 1, text, len, out), "1:1-4 3:1-4 binary"); /* up to the line of the NUL */
    free(text);
    ck_assert_str_eq(scan_bytes(&pattern, 1, "", 0, out), "");
}
END_TEST

START_TEST(many_at_once)
{
    char out[4096];
    struct rb_pattern patterns[] = {
        {.regex = "foo(\\d+)"}, {.regex = "o\\d"}, {.regex = "(?<!x)foo"}, {.regex = "fo+.+\\.", .filter = "fo"}, {.regex = "ü"}};
    ck_assert_str_eq(scan_bytes(patterns, 5, "foo1 \nxfoo22.\nü foo\n", 21, out),
                     "1:1-5#0 1:1-4#2 1:3-5#1 2:2-7#0 2:2-8#3 2:4-6#1 3:1-3#4 3:4-7#2");
}
END_TEST

START_TEST(captures_tell_the_value)
{
    struct rb_pattern pattern = {.regex = "key=(?:'([^']*)'|(\\w+))", .flags = RB_PATTERN_ALL};
    struct rb_pattern_set *set;
    struct rb_pattern_scanner *scanner;
    struct rb_pattern_result result;
    struct rb_error err;
    bool wanted = true, not_wanted = false;
    const char *text = "key='a b' key=cd";
    ck_assert_int_eq(rb_pattern_set_new(&pattern, 1, &set, NULL, &err), 0);
    ck_assert_int_eq(rb_pattern_scanner_new(set, &scanner, &err), 0);
    ck_assert_int_eq(rb_pattern_scan(scanner, text, strlen(text), &wanted, &result, &err), 0);
    ck_assert_uint_eq(result.count, 2);
    ck_assert_uint_eq(result.hits[0].value_start, 5);
    ck_assert_uint_eq(result.hits[0].value_end, 8);
    ck_assert_uint_eq(result.hits[1].value_start, 14);
    ck_assert_uint_eq(result.hits[1].value_end, 16);
    ck_assert_int_eq(rb_pattern_scan(scanner, text, strlen(text), &not_wanted, &result, &err), 0);
    ck_assert_uint_eq(result.count, 0);
    rb_pattern_scanner_free(scanner);
    rb_pattern_set_free(set);
}
END_TEST

START_TEST(limits_are_told)
{
    size_t len = (size_t)2 << 20;
    char *text = malloc(len);
    ck_assert_ptr_nonnull(text);
    for (size_t i = 0; i < len; i += 2)
        memcpy(text + i, "x\n", 2);
    struct rb_pattern patterns[] = {{.regex = "x"}, {.regex = "(?:a|aa|aaa|a+)+(?=b)[bc]", .filter = "a"}};
    struct rb_pattern_set *set;
    struct rb_pattern_scanner *scanner;
    struct rb_pattern_result result;
    struct rb_error err;
    bool wanted[2] = {true, true};
    ck_assert_int_eq(rb_pattern_set_new(patterns, 2, &set, NULL, &err), 0);
    ck_assert_int_eq(rb_pattern_scanner_new(set, &scanner, &err), 0);
    ck_assert_int_eq(rb_pattern_scan(scanner, text, len, wanted, &result, &err), 0);
    ck_assert_uint_eq(result.count, RB_PATTERN_MAX_HITS);
    ck_assert_uint_eq(result.misses[0].dropped, len / 2 - RB_PATTERN_MAX_HITS);
    ck_assert_uint_eq(result.misses[1].gave_up, 0);
    /* One line of a megabyte on which the second pattern would need for ever. */
    memset(text, 'a', len);
    ck_assert_int_eq(rb_pattern_scan(scanner, text, len, wanted, &result, &err), 0);
    ck_assert_uint_eq(result.count, 0);
    ck_assert_uint_eq(result.misses[0].dropped, 0);
    ck_assert_uint_eq(result.misses[1].gave_up, 1);
    rb_pattern_scanner_free(scanner);
    rb_pattern_set_free(set);
    free(text);
}
END_TEST

START_TEST(bad_patterns)
{
    struct rb_pattern patterns[] = {{.regex = "ok"}, {.regex = "(open"}};
    struct rb_pattern_set *set = NULL;
    struct rb_error err = {0};
    size_t bad = 9;
    ck_assert_int_eq(rb_pattern_set_new(patterns, 2, &set, &bad, &err), RB_EINVAL);
    ck_assert_uint_eq(bad, 1);
    ck_assert_ptr_nonnull(strstr(err.message, "(open"));
    ck_assert_ptr_null(set);
    ck_assert_int_eq(rb_pattern_set_new(patterns, RB_PATTERN_MAX_COUNT + 1, &set, &bad, &err), RB_ELIMIT);
    rb_pattern_set_free(NULL);
    rb_pattern_scanner_free(NULL);
}
END_TEST

RB_TEST_MAIN("pattern_scan", matches_lie_within_lines, line_ends, what_vectorscan_cannot_take, unicode_and_bytes, marks_and_binaries,
             many_at_once, captures_tell_the_value, limits_are_told, bad_patterns)
