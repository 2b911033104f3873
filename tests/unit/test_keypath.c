/* Key paths: the grammar with its errors, and what each path finds in TOML, YAML and JSON. */
#include <stdio.h>
#include <string.h>

#include "../support/check_main.h"
#include "runbook/source/keypath.h"

static const char toml[] = "mode = \"paper\"\n"
                           "environment.enable_live_trading = false\n"
                           "inline = { live = { armed = true }, list = [ { armed = false }, 3 ] }\n"
                           "[models.\"gpt-5.2\"]\n"
                           "family = \"gpt\"\n"
                           "\"*\" = 1\n"
                           "\"\" = 2\n"
                           "[[tier]]\nallow_live = false\n"
                           "[[tier]]\nallow_live = true\n"
                           "[deep.allow_live]\nallow_live = 1\n"
                           "[numbers]\n\"0\" = \"zero\"\n";

static struct rb_doc_node *parse(enum rb_doc_format format, const char *text, struct rb_arena *arena)
{
    const struct rb_doc_options tree = {.tree = true};
    struct rb_doc_node *root = NULL;
    struct rb_error err = {0};
    ck_assert_msg(rb_doc_parse(format, text, strlen(text), &tree, arena, &root, NULL, NULL, &err) == 0, "%s", err.message);
    ck_assert_ptr_nonnull(root);
    return root;
}

/* The paths found, joined by blanks. */
static void found_by(const struct rb_doc_node *root, const char *path_text, char out[1024], struct rb_arena *arena)
{
    const struct rb_keypath *path = NULL;
    struct rb_error err = {0};
    struct rb_keypath_matches matches;
    ck_assert_msg(rb_keypath_parse(path_text, arena, &path, &err) == 0, "%s", err.message);
    ck_assert_msg(rb_keypath_find(path, root, 100, arena, &matches, &err) == 0, "%s", err.message);
    out[0] = '\0';
    for (size_t i = 0; i < matches.count; i++) {
        size_t len = strlen(out);
        snprintf(out + len, 1024 - len, "%s%s", len ? " " : "", matches.items[i].path);
    }
}

static void expect(const struct rb_doc_node *root, const char *path, const char *wanted, struct rb_arena *arena)
{
    char found[1024];
    found_by(root, path, found, arena);
    ck_assert_msg(strcmp(found, wanted) == 0, "%s found '%s', expected '%s'", path, found, wanted);
}

START_TEST(names_and_indexes)
{
    RB_ARENA_AUTO *arena = rb_arena_new(8 << 20);
    const struct rb_doc_node *root = parse(RB_DOC_TOML, toml, arena);
    expect(root, "mode", "mode", arena);
    expect(root, "environment.enable_live_trading", "environment.enable_live_trading", arena);
    expect(root, "inline.live.armed", "inline.live.armed", arena);
    expect(root, "inline.list[0].armed", "inline.list[0].armed", arena);
    expect(root, "inline.list.0.armed", "inline.list[0].armed", arena);
    expect(root, "inline.list[2]", "", arena);
    expect(root, "tier[1].allow_live", "tier[1].allow_live", arena);
    expect(root, "tier.allow_live", "", arena);
    expect(root, "models.\"gpt-5.2\".family", "models.\"gpt-5.2\".family", arena);
    expect(root, "models.'gpt-5.2'.family", "models.\"gpt-5.2\".family", arena);
    expect(root, "models.gpt-5.2.family", "", arena);
    expect(root, "models.\"gpt-5.2\".\"*\"", "models.\"gpt-5.2\".\"*\"", arena);
    expect(root, "models.\"gpt-5.2\".\"\"", "models.\"gpt-5.2\".\"\"", arena);
    expect(root, "numbers.0", "numbers.0", arena);
    expect(root, "numbers[0]", "", arena); /* brackets are for lists alone */
    expect(root, "mode.x", "", arena);
}
END_TEST

START_TEST(wildcards)
{
    RB_ARENA_AUTO *arena = rb_arena_new(8 << 20);
    const struct rb_doc_node *root = parse(RB_DOC_TOML, toml, arena);
    expect(root, "**.allow_live", "tier[0].allow_live tier[1].allow_live deep.allow_live deep.allow_live.allow_live", arena);
    expect(root, "tier[*].allow_live", "tier[0].allow_live tier[1].allow_live", arena);
    expect(root, "tier.*.allow_live", "tier[0].allow_live tier[1].allow_live", arena);
    expect(root, "**.mode", "mode", arena); /* no level at all */
    expect(root, "inline.**.armed", "inline.live.armed inline.list[0].armed", arena);
    expect(root, "**.**.armed", "inline.live.armed inline.list[0].armed", arena); /* each value once */
    expect(root, "environment.enable_*", "environment.enable_live_trading", arena);
    expect(root, "environment.enable_live_tradin?", "environment.enable_live_trading", arena);
    expect(root, "*.live", "inline.live", arena);
    expect(root, "nothing.**", "", arena);
    expect(root, "numbers.**", "numbers numbers.0", arena);
}
END_TEST

START_TEST(other_formats)
{
    RB_ARENA_AUTO *arena = rb_arena_new(8 << 20);
    const struct rb_doc_node *yaml = parse(RB_DOC_YAML, "base: &b {armed: true}\nuse: *b\nmerged:\n  <<: *b\n  other: 1\n", arena);
    expect(yaml, "**.armed", "base.armed use.armed merged.armed", arena);
    const struct rb_doc_node *json = parse(RB_DOC_JSON, "[{\"a\": {\"b\": 1}}, {\"a\": {\"b\": 2}}]", arena);
    expect(json, "[*].a.b", "[0].a.b [1].a.b", arena);
    expect(json, "[1].a", "[1].a", arena);
    const struct rb_doc_node *scalar = parse(RB_DOC_JSON, "3", arena);
    expect(scalar, "**", "", arena);
    expect(scalar, "a", "", arena);
}
END_TEST

START_TEST(a_match_tells_place_and_key)
{
    RB_ARENA_AUTO *arena = rb_arena_new(8 << 20);
    const struct rb_doc_node *root = parse(RB_DOC_TOML, toml, arena);
    const struct rb_keypath *path = NULL;
    struct rb_keypath_matches matches;
    ck_assert_int_eq(rb_keypath_parse("inline.list[1]", arena, &path, NULL), 0);
    ck_assert(!rb_keypath_has_wildcard(path));
    ck_assert_int_eq(rb_keypath_find(path, root, 1, arena, &matches, NULL), 0);
    ck_assert_uint_eq(matches.count, 1);
    ck_assert_str_eq(matches.items[0].key, "list");
    ck_assert_uint_eq(matches.items[0].node->line, 3);
    ck_assert_int_eq(matches.items[0].node->integer, 3);
    static const char *const wild[] = {"*", "a.**", "a[*]", "a.b?"};
    for (size_t i = 0; i < sizeof wild / sizeof wild[0]; i++) {
        ck_assert_int_eq(rb_keypath_parse(wild[i], arena, &path, NULL), 0);
        ck_assert_msg(rb_keypath_has_wildcard(path), "%s", wild[i]);
    }
}
END_TEST

START_TEST(errors_name_the_place)
{
    static const char *const wrong[] = {"",      ".",     "a.",    ".a",     "a..b",  "a.\"b",   "a['b']", "a[",  "a[x]",
                                        "a[01]", "a[-1]", "a b\"", "\"a\"b", "a[0]b", "\"\\n\"", "a.b**",  "x{*", "a]"};
    RB_ARENA_AUTO *arena = rb_arena_new(8 << 20);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const struct rb_keypath *path = NULL;
        struct rb_error err = {0};
        ck_assert_msg(rb_keypath_parse(wrong[i], arena, &path, &err) == RB_EINVAL, "'%s' was taken", wrong[i]);
        ck_assert_msg(strstr(err.message, "character") != NULL && path == NULL, "'%s': %s", wrong[i], err.message);
    }
    char text[RB_KEYPATH_MAX_TEXT + 1];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    const struct rb_keypath *path = NULL;
    ck_assert_int_eq(rb_keypath_parse(text, arena, &path, NULL), RB_EINVAL);
    text[RB_KEYPATH_MAX_TEXT - 1] = '\0';
    ck_assert_int_eq(rb_keypath_parse(text, arena, &path, NULL), 0);
    char many[80] = "";
    for (int i = 0; i < RB_KEYPATH_MAX_SEGMENTS; i++)
        strcat(many, i ? ".a" : "a");
    ck_assert_int_eq(rb_keypath_parse(many, arena, &path, NULL), 0);
    strcat(many, ".a");
    ck_assert_int_eq(rb_keypath_parse(many, arena, &path, NULL), RB_EINVAL);
}
END_TEST

START_TEST(limits)
{
    RB_ARENA_AUTO *arena = rb_arena_new(64 << 20);
    const struct rb_doc_node *root = parse(RB_DOC_JSON, "[1, 2, 3, 4, 5]", arena);
    const struct rb_keypath *path = NULL;
    struct rb_keypath_matches matches = {.count = 7};
    struct rb_error err = {0};
    ck_assert_int_eq(rb_keypath_parse("[*]", arena, &path, NULL), 0);
    ck_assert_int_eq(rb_keypath_find(path, root, 5, arena, &matches, &err), 0);
    ck_assert_uint_eq(matches.count, 5);
    ck_assert_int_eq(rb_keypath_find(path, root, 4, arena, &matches, &err), RB_ELIMIT);
    ck_assert_uint_eq(matches.count, 0);
    RB_ARENA_AUTO *tiny = rb_arena_new(16);
    ck_assert_int_eq(rb_keypath_find(path, root, 5, tiny, &matches, &err), RB_ENOMEM);
    ck_assert_int_eq(rb_keypath_parse("a.b", tiny, &path, &err), RB_ENOMEM);
    ck_assert_int_eq(rb_keypath_find(path, NULL, 5, arena, &matches, &err), 0);
}
END_TEST

/* Many `**` against a deep document: linear, where backtracking would not come back. */
START_TEST(many_wildcards_are_linear)
{
    RB_ARENA_AUTO *arena = rb_arena_new(64 << 20);
    char text[2048] = "";
    for (int i = 0; i < 120; i++)
        strcat(text, "{\"a\":");
    strcat(text, "1");
    for (int i = 0; i < 120; i++)
        strcat(text, "}");
    const struct rb_doc_node *root = parse(RB_DOC_JSON, text, arena);
    const struct rb_keypath *path = NULL;
    struct rb_keypath_matches matches;
    ck_assert_int_eq(rb_keypath_parse("**.a.**.a.**.a.**.a.**.a.**.a.**.a.**.a.**.b", arena, &path, NULL), 0);
    ck_assert_int_eq(rb_keypath_find(path, root, 1000, arena, &matches, NULL), 0);
    ck_assert_uint_eq(matches.count, 0);
    ck_assert_int_eq(rb_keypath_parse("**.a.**.a.**.a", arena, &path, NULL), 0);
    ck_assert_int_eq(rb_keypath_find(path, root, 1000, arena, &matches, NULL), 0);
    ck_assert_uint_eq(matches.count, 118);
}
END_TEST

RB_TEST_MAIN("keypath", names_and_indexes, wildcards, other_formats, a_match_tells_place_and_key, errors_name_the_place, limits,
             many_wildcards_are_linear)
