/* Path patterns: meaning, refusals, pruning, and that nothing hostile burns time. */
#include <string.h>
#include <time.h>

#include "../support/check_main.h"
#include "runbook/base/glob.h"

static const struct {
    const char *pattern, *path;
    bool matches;
} cases[] = {
    {"a.toml", "a.toml", true},
    {"a.toml", "b/a.toml", false},
    {"*.toml", "a.toml", true},
    {"*.toml", ".toml", true},
    {"*.toml", "b/a.toml", false},
    {"**/*.toml", "a.toml", true},
    {"**/*.toml", "b/a.toml", true},
    {"**/*.toml", "c/b/a.toml", true},
    {"**/*.toml", "a.tomlx", false},
    {"config/**", "config/a", true},
    {"config/**", "config/a/b", true},
    {"config/**", "config", false},
    {"config/**", "configs/a", false},
    {"a/**/b", "a/b", true},
    {"a/**/b", "a/x/b", true},
    {"a/**/b", "a/x/y/b", true},
    {"a/**/b", "ab", false},
    {"a/**/b", "a/xb", false},
    {"src/**/l1_runner.py", "src/a/b/l1_runner.py", true},
    {"**", "any/thing", true},
    {"a**b", "a/x/b", true},
    {"?.c", "ä.c", true},
    {"?", "/", false},
    {"a?b", "a/b", false},
    {"[a-c]x", "bx", true},
    {"[a-c]x", "dx", false},
    {"[!a-c]x", "dx", true},
    {"[^a]x", "ax", false},
    {"[]]x", "]x", true},
    {"[ä-ü]", "ö", true},
    {"[!a]", "/", false},
    {"[a\\]]", "]", true},
    {"{a,b}.c", "a.c", true},
    {"{a,b}.c", "b.c", true},
    {"{a,b}.c", "c.c", false},
    {"{a,b{1,2}}x", "b2x", true},
    {"{a,b{1,2}}x", "bx", false},
    {"a{,.bak}", "a", true},
    {"a{,.bak}", "a.bak", true},
    {"{src,lib}/**/*.{c,h}", "lib/x/y.h", true},
    {"{**/a,b}", "x/y/a", true},
    {"\\*", "*", true},
    {"\\*", "x", false},
    {"./a/b", "a/b", true},
    {"dir/", "dir", true},
    {"a,b", "a,b", true},
    {"a}", "a}", true},
    {"x", "", false},
};

START_TEST(meaning)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_msg(rb_glob_match(cases[i].pattern, cases[i].path) == cases[i].matches, "%s on %s", cases[i].pattern, cases[i].path);
}
END_TEST

START_TEST(refusals)
{
    static const struct {
        const char *pattern, *hint;
    } bad[] = {{"", "empty"}, {"/etc/*", "absolute"}, {"../x", ".."},       {"a/../b", ".."},  {"{..,a}/b", ".."},
               {"a[b", "["},  {"a{b", "{"},           {"a\\", "backslash"}, {"/", "absolute"}, {"./", "empty"}};
    struct rb_error err;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_assert_int_eq(rb_glob_check(bad[i].pattern, &err), RB_EINVAL);
        ck_assert_msg(strstr(err.message, bad[i].hint) != NULL, "%s", err.message);
        ck_assert(!rb_glob_match(bad[i].pattern, bad[i].pattern));
    }
    char longest[1026];
    memset(longest, 'a', sizeof longest - 1);
    longest[1025] = '\0';
    ck_assert_int_eq(rb_glob_check(longest, &err), RB_EINVAL);
    longest[1024] = '\0';
    ck_assert_int_eq(rb_glob_check(longest, &err), RB_OK);
    ck_assert_int_eq(rb_glob_check("{{{{{{{{{a}}}}}}}}}", &err), RB_EINVAL);
    ck_assert_int_eq(rb_glob_check("a..b/c", &err), RB_OK);
    ck_assert_int_eq(rb_glob_check("**/*.{toml,yml,yaml,json}", &err), RB_OK);
}
END_TEST

START_TEST(literals)
{
    ck_assert(rb_glob_is_literal("config/config.toml"));
    ck_assert(!rb_glob_is_literal("*.toml"));
    ck_assert(!rb_glob_is_literal("a?"));
    ck_assert(!rb_glob_is_literal("{a,b}"));
    ck_assert(!rb_glob_is_literal("[a]"));
    ck_assert(!rb_glob_is_literal("\\a"));
}
END_TEST

START_TEST(pruning_never_hides_a_match)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char dir[64];
        (void)strncpy(dir, cases[i].path, sizeof dir - 1);
        dir[sizeof dir - 1] = '\0';
        char *slash;
        while (cases[i].matches && (slash = strrchr(dir, '/')) != NULL) {
            *slash = '\0';
            ck_assert_msg(rb_glob_may_match_below(cases[i].pattern, dir), "%s below %s", cases[i].pattern, dir);
        }
        ck_assert(rb_glob_may_match_below(cases[i].pattern, ""));
    }
    ck_assert(!rb_glob_may_match_below("config/**", "src"));
    ck_assert(!rb_glob_may_match_below("*.toml", "config"));
    ck_assert(rb_glob_may_match_below("a/*/c", "a/b"));
    ck_assert(!rb_glob_may_match_below("a/*/c", "a/b/d"));
    ck_assert(!rb_glob_may_match_below("[", "a"));
}
END_TEST

/* What makes a backtracking matcher run for years. CPU time of this process only bounds it generously. */
START_TEST(hostile_patterns_end)
{
    char pattern[1025] = "", path[4001];
    for (size_t i = 0; i + 2 < sizeof pattern; i += 2)
        memcpy(pattern + i, "*a", 2);
    pattern[1024] = '\0';
    memset(path, 'a', 4000);
    path[4000] = '\0';
    clock_t begin = clock();
    ck_assert(rb_glob_match(pattern, path));
    path[3999] = 'b';
    ck_assert(!rb_glob_match(pattern, path));
    char braces[1025] = "";
    for (size_t i = 0; i + 6 < sizeof braces; i += 5)
        memcpy(braces + i, "{a,b}", 5);
    ck_assert(!rb_glob_match(braces, path));
    ck_assert_int_lt((clock() - begin) / CLOCKS_PER_SEC, 20);
}
END_TEST

RB_TEST_MAIN("glob", meaning, refusals, literals, pruning_never_hides_a_match, hostile_patterns_end)
