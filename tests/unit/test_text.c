/* Escaping, quoting, columns, suggestions: the last line before a terminal and a shell. */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/check_main.h"
#include "runbook/base/text.h"

static void expect_escape(const char *text, size_t len, const char *expected)
{
    RB_BUF_AUTO out = {.max = 65536};
    rb_text_escape(&out, text, len);
    ck_assert_str_eq(rb_buf_str(&out), expected);
    ck_assert_int_eq(rb_text_is_plain(text, len), strlen(expected) == len && memcmp(text, expected, len) == 0);
    RB_BUF_AUTO twice = {.max = 65536};
    rb_text_escapes(&twice, rb_buf_str(&out));
    ck_assert_str_eq(rb_buf_str(&twice), expected);
}

START_TEST(plain_text_stays)
{
    static const char *const plain[] = {"", "plain", "C:\\path", "Prüfung läuft", "日本語", "naïve 🙂", "\\n stays", "a\u0301"};
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        expect_escape(plain[i], strlen(plain[i]), plain[i]);
    RB_BUF_AUTO out = {.max = 10};
    rb_text_escapes(&out, NULL);
    ck_assert_uint_eq(out.len, 0);
}
END_TEST

START_TEST(controls_are_shown)
{
    expect_escape("a\nb\r\tc", 6, "a\\nb\\r\\tc");
    expect_escape("\x1b[31m", 5, "\\x1b[31m");
    expect_escape("a\0b", 3, "a\\x00b");
    expect_escape("\x7f", 1, "\\x7f");
    expect_escape("\xc2\x85\xc2\x9b", 4, "\\u{0085}\\u{009B}");
}
END_TEST

START_TEST(invisible_and_bidi_are_shown)
{
    expect_escape("\u202e", 3, "\\u{202E}");
    expect_escape("\u200b\u200c\u200d\u200e\u200f", 15, "\\u{200B}\\u{200C}\\u{200D}\\u{200E}\\u{200F}");
    expect_escape("\u2066\u2069\u061c", 8, "\\u{2066}\\u{2069}\\u{061C}");
    expect_escape("\u2028\u2029\u2060\ufeff", 12, "\\u{2028}\\u{2029}\\u{2060}\\u{FEFF}");
    expect_escape("\U000e0041", 4, "\\u{E0041}");
    expect_escape("\xef\xbf\xbe", 3, "\\u{FFFE}");
}
END_TEST

START_TEST(invalid_bytes_are_shown)
{
    expect_escape("\x80", 1, "\\x80");
    expect_escape("\xc0\xaf", 2, "\\xc0\\xaf");
    expect_escape("\xe0\x80\xaf", 3, "\\xe0\\x80\\xaf");
    expect_escape("\xed\xa0\x80", 3, "\\xed\\xa0\\x80");
    expect_escape("\xf4\x90\x80\x80", 4, "\\xf4\\x90\\x80\\x80");
    expect_escape("\xf0\x9f\x99", 3, "\\xf0\\x9f\\x99");
    expect_escape("\xffz", 2, "\\xffz");
    ck_assert(!rb_text_is_utf8("\xed\xa0\x80", 3));
    ck_assert(rb_text_is_utf8("ä\x01", 3));
}
END_TEST

static void expect_quote(const char *value, const char *expected)
{
    RB_BUF_AUTO out = {.max = 4096};
    ck_assert(rb_text_shell_quote(&out, value));
    ck_assert_str_eq(rb_buf_str(&out), expected);
}

START_TEST(shell_words)
{
    expect_quote("docs/a-b_c.yml", "docs/a-b_c.yml");
    expect_quote("a@b:c,d+e%f=g", "a@b:c,d+e%f=g");
    expect_quote("", "''");
    expect_quote("-rf", "'-rf'");
    expect_quote("~root", "'~root'");
    expect_quote("=ls", "'=ls'");
    expect_quote("a b", "'a b'");
    expect_quote("it's", "'it'\\''s'");
    expect_quote("$(id)`x`;!", "'$(id)`x`;!'");
    expect_quote("Prüf", "'Prüf'");
}
END_TEST

START_TEST(hostile_values_never_enter_a_command)
{
    static const char *const hostile[] = {"a\nb", "\x1b", "\u202e", "\xff", "a\x7f", "x\u200b", "\xc2\x85"};
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
        RB_BUF_AUTO out = {.max = 4096};
        ck_assert(!rb_text_shell_quote(&out, hostile[i]));
        ck_assert_uint_eq(out.len, 0);
    }
}
END_TEST

/* A real shell reads back what was quoted. */
START_TEST(a_shell_agrees)
{
    static const char *const values[] = {"it's \"$HOME\" `id` \\ * ? [a] {b,c} # !x ~", "''", "-n", "a'b'c", " lead"};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        RB_BUF_AUTO script = {.max = 4096};
        char got[256] = "";
        int ends[2];
        rb_buf_adds(&script, "printf %s ");
        ck_assert(rb_text_shell_quote(&script, values[i]));
        ck_assert_int_eq(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0) {
            (void)dup2(ends[1], 1);
            execl("/bin/sh", "sh", "-c", rb_buf_str(&script), (char *)NULL);
            _exit(127);
        }
        (void)close(ends[1]);
        ssize_t len = read(ends[0], got, sizeof got - 1);
        (void)close(ends[0]);
        int status = 0;
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_int_ge(len, 0);
        ck_assert_str_eq(got, values[i]);
    }
}
END_TEST

START_TEST(columns_and_clipping)
{
    ck_assert_uint_eq(rb_text_columns("abc", 3), 3);
    ck_assert_uint_eq(rb_text_columns("日本", 6), 4);
    ck_assert_uint_eq(rb_text_columns("a\u0301", 3), 1);
    ck_assert_uint_eq(rb_text_columns("ä\xff", 3), 2);
    static const struct {
        const char *text;
        size_t columns;
        const char *expected;
    } cases[] = {{"abcdef", 6, "abcdef"},
                 {"abcdef", 5, "abcd…"},
                 {"日本語", 5, "日本…"},
                 {"日本語", 4, "日…"},
                 {"ab", 0, ""},
                 {"ab", 1, "…"},
                 {"", 0, ""}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        RB_BUF_AUTO out = {.max = 100};
        rb_text_clip(&out, cases[i].text, cases[i].columns);
        ck_assert_str_eq(rb_buf_str(&out), cases[i].expected);
        ck_assert_uint_le(rb_text_columns(rb_buf_str(&out), out.len), cases[i].columns);
    }
}
END_TEST

START_TEST(distances)
{
    static const char *const words[] = {"severity", "timeout", "every", "kind", NULL};
    ck_assert_uint_eq(rb_text_distance("", "abc"), 3);
    ck_assert_uint_eq(rb_text_distance("kitten", "sitting"), 3);
    ck_assert_uint_eq(rb_text_distance("ab", "ba"), 1);
    ck_assert_uint_eq(rb_text_distance("same", "same"), 0);
    char longest[70];
    memset(longest, 'a', 69);
    longest[69] = '\0';
    ck_assert_uint_gt(rb_text_distance(longest, "a"), 1000);
    ck_assert_str_eq(rb_text_nearest("severty", words), "severity");
    ck_assert_str_eq(rb_text_nearest("tiemout", words), "timeout");
    ck_assert_str_eq(rb_text_nearest("knd", words), "kind");
    ck_assert_ptr_null(rb_text_nearest("banana", words));
    ck_assert_str_eq(rb_text_nearest("every", words), "every");
}
END_TEST

START_TEST(find_ignores_case)
{
    static const char text[] = "Content-Type: JSON";
    ck_assert_ptr_eq(rb_text_find_nocase(text, "json"), text + 14);
    ck_assert_ptr_eq(rb_text_find_nocase(text, ""), text);
    ck_assert_ptr_null(rb_text_find_nocase(text, "yaml"));
    ck_assert_ptr_null(rb_text_find_nocase("", "a"));
}
END_TEST

RB_TEST_MAIN("text", plain_text_stays, controls_are_shown, invisible_and_bidi_are_shown, invalid_bytes_are_shown, shell_words,
             hostile_values_never_enter_a_command, a_shell_agrees, columns_and_clipping, distances, find_ignores_case)
