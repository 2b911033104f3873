/* Dotenv files: every accepted form with its value and line, every refusal with its line. */
#include <stdio.h>
#include <string.h>

#include "../support/check_main.h"
#include "runbook/source/dotenv.h"

static void expect(const char *text, const char *wanted)
{
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    struct rb_dotenv env;
    struct rb_error err = {0};
    char found[1024] = "";
    ck_assert_msg(rb_dotenv_parse(text, strlen(text), arena, &env, &err) == 0, "%s: %s", text, err.message);
    for (size_t i = 0; i < env.count; i++) {
        size_t len = strlen(found);
        const struct rb_dotenv_entry *e = &env.items[i];
        snprintf(found + len, sizeof found - len, "%u:%s%s%s|", e->line, e->name, e->value ? "=" : "", e->value ? e->value : "");
    }
    ck_assert_msg(strcmp(found, wanted) == 0, "%s gave %s, expected %s", text, found, wanted);
}

START_TEST(values)
{
    expect("", "");
    expect("\n\n# PT_ARMED=1\n  # more\n", "");
    expect("A=1", "1:A=1|");
    expect("A=1\r\nB=2\r\n", "1:A=1|2:B=2|");
    expect("\xEF\xBB\xBF"
           "A=1\n",
           "1:A=1|");
    expect("export A=1\n\texport\tB=2\n", "1:A=1|2:B=2|");
    expect("exported=1\nexport=2\n", "1:exported=1|2:export=2|");
    expect("A = 1 \n", "1:A=1|");
    expect("A=\nB=\"\"\nC=''\n", "1:A=|2:B=|3:C=|");
    expect("A=0 # PT_ARMED=1\n", "1:A=0|");
    expect("A=0#1\nB=#x\n", "1:A=0#1|2:B=|");
    expect("A=\"0 # in\" # out\nB='# in'\n", "1:A=0 # in|2:B=# in|");
    expect("A=a b  c\n", "1:A=a b  c|");
    expect("A=0; B=1\n", "1:A=0; B=1|1:B=1|"); /* kept whole as well: no guard takes it for "0" */
    expect("export A=1 B=\"2 x\" C='3' D=\nE=4", "1:A=1 B=\"2 x\" C='3' D=|1:B=2 x|1:C=3|1:D=|2:E=4|");
    expect("A=a&&B=1|C=2 -Dx=3 =4 5=6", "1:A=a&&B=1|C=2 -Dx=3 =4 5=6|1:B=1|1:C=2|");
    expect("A=a ; ; (\n", "1:A=a ; ; (|");
    expect("A=\"1; B=2\"\n", "1:A=1; B=2|");
    expect("A=$(touch /tmp/x) `id` ${B}\n", "1:A=$(touch /tmp/x) `id` ${B}|");
    expect("A='x\\n'\n", "1:A=x\\n|");
    expect("A=\"x\\ty\\\"z\\\\ \\q\"\n", "1:A=x\ty\"z\\ \\q|");
    expect("A=\"one\ntwo\"\nB=3\n", "1:A=one\ntwo|3:B=3|");
    expect("A='one\ntwo'\nB=3\n", "1:A=one\ntwo|3:B=3|");
    expect("A\nB # comment\nexport C\n", "1:A|2:B|3:C|");
    expect("A=1\nA=0\n", "1:A=1|2:A=0|");
    expect("a.b-c_1=2\n", "1:a.b-c_1=2|");
}
END_TEST

START_TEST(refusals)
{
    static const struct {
        const char *text, *part;
    } wrong[] = {{"A=1\nPT_ARMED: 1\n", "line 2: no '='"},
                 {"A=\"open\nB=1\n", "line 1: the quote"},
                 {"A='open", "line 1: the quote"},
                 {"A=\"x\"y\n", "line 1: text behind"},
                 {"1A=1\n", "line 1: no NAME"},
                 {"=1\n", "line 1: no NAME"},
                 {"\nif true; then\n", "line 2: no '='"},
                 {"A=1\n}\n", "line 2: no NAME"},
                 {"export =1\n", "line 1: no NAME"}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
        struct rb_dotenv env;
        struct rb_error err = {0};
        ck_assert_msg(rb_dotenv_parse(wrong[i].text, strlen(wrong[i].text), arena, &env, &err) == RB_EPARSE, "%s", wrong[i].text);
        ck_assert_msg(strstr(err.message, wrong[i].part) != NULL, "%s: %s", wrong[i].text, err.message);
        ck_assert_uint_eq(env.count, 0);
    }
}
END_TEST

START_TEST(limits)
{
    RB_ARENA_AUTO *arena = rb_arena_new(16 << 20);
    struct rb_dotenv env;
    struct rb_error err = {0};
    ck_assert_int_eq(rb_dotenv_parse("A=\0", 3, arena, &env, &err), RB_EPARSE);
    static char text[RB_DOTENV_MAX_BYTES + 1];
    memset(text, '\n', sizeof text);
    ck_assert_int_eq(rb_dotenv_parse(text, sizeof text, arena, &env, &err), RB_ELIMIT);
    ck_assert_int_eq(rb_dotenv_parse(text, sizeof text - 1, arena, &env, &err), 0);
    for (size_t i = 0; i < RB_DOTENV_MAX_ENTRIES; i++)
        memcpy(text + i * 4, "A=1\n", 4);
    ck_assert_int_eq(rb_dotenv_parse(text, (size_t)RB_DOTENV_MAX_ENTRIES * 4, arena, &env, &err), 0);
    ck_assert_uint_eq(env.count, RB_DOTENV_MAX_ENTRIES);
    memcpy(text + (size_t)RB_DOTENV_MAX_ENTRIES * 4, "A=1\n", 4);
    ck_assert_int_eq(rb_dotenv_parse(text, (size_t)RB_DOTENV_MAX_ENTRIES * 4 + 4, arena, &env, &err), RB_ELIMIT);
    RB_ARENA_AUTO *tiny = rb_arena_new(8);
    ck_assert_int_eq(rb_dotenv_parse("A=1\n", 4, tiny, &env, &err), RB_ENOMEM);
}
END_TEST

RB_TEST_MAIN("dotenv", values, refusals, limits)
