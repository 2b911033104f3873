/* The document readers: places, duplicates, limits, hostile input; JSON compared with jansson. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/check_main.h"
#include "runbook/source/document.h"

struct parsed {
    struct rb_arena *arena;
    struct rb_doc_node *root;
    struct rb_doc_problems problems;
    struct rb_error err;
    bool lenient;
    int code;
};

static struct parsed parse_bytes(enum rb_doc_format format, const char *bytes, size_t len, bool lenient, bool tree)
{
    struct parsed p = {.arena = rb_arena_new((size_t)256 << 20)};
    struct rb_doc_options options = {.lenient_json = lenient, .tree = tree};
    p.code = rb_doc_parse(format, bytes, len, &options, p.arena, &p.root, &p.lenient, &p.problems, &p.err);
    return p;
}

static struct parsed parse(enum rb_doc_format format, const char *text)
{
    struct parsed p = parse_bytes(format, text, strlen(text), false, true);
    /* Whether a tree is wanted must never change the verdict. */
    struct parsed check = parse_bytes(format, text, strlen(text), false, false);
    ck_assert_int_eq(p.code, check.code);
    ck_assert_uint_eq(p.problems.count, check.problems.count);
    ck_assert_ptr_null(check.root);
    rb_arena_free(check.arena);
    return p;
}

static void expect_problem(enum rb_doc_format format, const char *text, unsigned line, unsigned column, const char *part)
{
    struct parsed p = parse(format, text);
    ck_assert_int_eq(p.code, RB_EPARSE);
    ck_assert_uint_ge(p.problems.count, 1);
    ck_assert_uint_eq(p.problems.items[0].line, line);
    ck_assert_uint_eq(p.problems.items[0].column, column);
    ck_assert_msg(strstr(p.problems.items[0].message, part) != NULL, "%s", p.problems.items[0].message);
    rb_arena_free(p.arena);
}

static void expect_valid(enum rb_doc_format format, const char *text)
{
    struct parsed p = parse(format, text);
    ck_assert_msg(p.code == 0, "%s: %s", text, p.err.message);
    rb_arena_free(p.arena);
}

START_TEST(format_by_name)
{
    ck_assert_int_eq(rb_doc_format_of("a/b.toml"), RB_DOC_TOML);
    ck_assert_int_eq(rb_doc_format_of("uv.lock"), RB_DOC_TOML);
    ck_assert_int_eq(rb_doc_format_of("x/Cargo.lock"), RB_DOC_TOML);
    ck_assert_int_eq(rb_doc_format_of("a.YML"), RB_DOC_YAML);
    ck_assert_int_eq(rb_doc_format_of(".github/a.yaml"), RB_DOC_YAML);
    ck_assert_int_eq(rb_doc_format_of("n.ipynb"), RB_DOC_JSON);
    ck_assert_int_eq(rb_doc_format_of("my-uv.lock"), RB_DOC_UNKNOWN);
    ck_assert_int_eq(rb_doc_format_of("a.toml/readme"), RB_DOC_UNKNOWN);
    struct rb_error err;
    ck_assert_int_eq(rb_doc_parse(RB_DOC_UNKNOWN, "", 0, NULL, NULL, NULL, NULL, NULL, &err), RB_EINVAL);
}
END_TEST

START_TEST(toml_tree_and_places)
{
    struct parsed p = parse(RB_DOC_TOML, "z = 1\na = 'x'\n[t.u]\nd = 1979-05-27T07:32:00Z\nf = [1.5, inf]\nb = true\n");
    ck_assert_int_eq(p.code, 0);
    ck_assert_uint_eq(p.root->count, 3);
    ck_assert_str_eq(p.root->keys[0], "z"); /* order of the file, not of the alphabet */
    const struct rb_doc_node *u = rb_doc_pointer(p.root, "/t/u");
    ck_assert_ptr_nonnull(u);
    ck_assert_str_eq(rb_doc_get(u, "d")->string, "1979-05-27T07:32:00Z");
    ck_assert_int_eq(rb_doc_get(u, "d")->type, RB_DOC_DATETIME);
    ck_assert_uint_eq(rb_doc_get(u, "d")->line, 4);
    ck_assert_uint_eq(rb_doc_get(u, "d")->column, 5);
    ck_assert(isinf(rb_doc_pointer(u, "/f/1")->number));
    ck_assert(rb_doc_get(u, "b")->boolean);
    ck_assert_ptr_null(rb_doc_pointer(p.root, "/t/v"));
    ck_assert_ptr_null(rb_doc_pointer(u, "/f/01"));
    ck_assert_ptr_null(rb_doc_pointer(u, "f"));
    rb_arena_free(p.arena);
    expect_problem(RB_DOC_TOML, "a = 1\na = 2\n", 2, 5, "redefine"); /* toml++ points at the value */
    expect_problem(RB_DOC_TOML, "ok = 1\nx = \n", 2, 5, "value");
    expect_problem(RB_DOC_TOML, "[.]\n", 1, 2, "");
    expect_problem(RB_DOC_TOML, "a = '\xC3\xA4' # \xC3\xA4\n\xC3\xA4 = 1\n", 2, 1, "quotes");
    expect_valid(RB_DOC_TOML, "\xEF\xBB\xBF"
                              "a = 1\n");
    expect_valid(RB_DOC_TOML, "");
}
END_TEST

START_TEST(toml_limits)
{
    char *text = malloc(400000);
    memset(text, '[', 5000);
    memcpy(text, "a=", 2);
    text[5000] = '\0';
    struct parsed p = parse(RB_DOC_TOML, text);
    ck_assert_int_eq(p.code, RB_ELIMIT);
    rb_arena_free(p.arena);
    for (int i = 0; i < 100000; i++)
        memcpy(text + 2 * i, "a.", 2);
    strcpy(text + 200000, "a = 1\n");
    p = parse(RB_DOC_TOML, text);
    ck_assert_int_eq(p.code, RB_ELIMIT);
    ck_assert_ptr_nonnull(strstr(p.err.message, "line 1"));
    rb_arena_free(p.arena);
    /* Dots in strings, comments and floats are none of a key. */
    char *at = text + sprintf(text, "s = \"%0100d\"\n# ", 0);
    memset(at, '.', 100);
    at += 100;
    at += sprintf(at, "\nf = [");
    for (int i = 0; i < 100; i++)
        at += sprintf(at, "1.5, ");
    sprintf(at, "]\nt = '''\n.......................................................\n'''\n");
    expect_valid(RB_DOC_TOML, text);
    free(text);
}
END_TEST

START_TEST(yaml_tree)
{
    struct parsed p = parse(RB_DOC_YAML,
                            "b: &b {x: 1, y: 0x1F}\nc:\n  <<: *b\n  y: 3\nd: !Ref z\ne: !!str 12\nf: yes\ng: ~\nh: -1.5e3\ni: 'true'\n");
    ck_assert_int_eq(p.code, 0);
    ck_assert_int_eq(rb_doc_pointer(p.root, "/c/x")->integer, 1);
    ck_assert_int_eq(rb_doc_pointer(p.root, "/c/y")->integer, 3); /* own keys win */
    ck_assert_ptr_null(rb_doc_pointer(p.root, "/c/<<"));
    ck_assert_int_eq(rb_doc_pointer(p.root, "/b/y")->integer, 31);
    ck_assert_str_eq(rb_doc_get(p.root, "d")->string, "z");
    ck_assert_int_eq(rb_doc_get(p.root, "e")->type, RB_DOC_STRING);
    ck_assert_int_eq(rb_doc_get(p.root, "f")->type, RB_DOC_STRING);
    ck_assert_int_eq(rb_doc_get(p.root, "g")->type, RB_DOC_NULL);
    ck_assert_double_eq(rb_doc_get(p.root, "h")->number, -1500);
    ck_assert_int_eq(rb_doc_get(p.root, "i")->type, RB_DOC_STRING);
    rb_arena_free(p.arena);
    p = parse(RB_DOC_YAML, "a: 1\n---\n- x\n- y\n---\n");
    ck_assert_int_eq(p.code, 0);
    ck_assert_int_eq(p.root->type, RB_DOC_LIST);
    ck_assert_uint_eq(p.root->count, 3);
    ck_assert_str_eq(rb_doc_pointer(p.root, "/1/1")->string, "y");
    rb_arena_free(p.arena);
    p = parse(RB_DOC_YAML, "");
    ck_assert_int_eq(p.code, 0);
    ck_assert_int_eq(p.root->type, RB_DOC_NULL);
    rb_arena_free(p.arena);
}
END_TEST

START_TEST(yaml_problems)
{
    struct parsed p = parse(RB_DOC_YAML, "a: 1\nb:\n  x: 1\n  x: 2\na: 3\n\"a\": 4\n1: x\n\"1\": y\n");
    ck_assert_int_eq(p.code, RB_EPARSE);
    ck_assert_uint_eq(p.problems.count, 3); /* all of them; 1 and "1" differ */
    ck_assert_uint_eq(p.problems.items[0].line, 4);
    ck_assert_uint_eq(p.problems.items[0].column, 3);
    ck_assert_ptr_nonnull(strstr(p.problems.items[1].message, "first at line 1, column 1"));
    rb_arena_free(p.arena);
    expect_problem(RB_DOC_YAML, "a: [1, 2\nb: 3\n", 3, 1, "flow sequence");
    expect_problem(RB_DOC_YAML, "ok: 1\n---\nb: c: d\n", 3, 5, "mapping");
    expect_problem(RB_DOC_YAML, "a:\n\tb: 1\n", 2, 1, "tab");
    expect_problem(RB_DOC_YAML, "x: *nope\n", 1, 4, "*nope has no anchor");
    expect_problem(RB_DOC_YAML, "x: &x [*x]\n", 1, 8, "contains it");
    expect_problem(RB_DOC_YAML, "? [a, b]\n: 1\n? [a, b]\n: 2\n", 3, 3, "duplicate");
    expect_problem(RB_DOC_YAML, "\xC3\xA4: 1\nb: caf\xE9\n", 2, 7, "UTF-8");
    expect_problem(RB_DOC_YAML, "\xFF\xFE", 1, 1, "UTF-16");
    expect_valid(RB_DOC_YAML, "base: &base {a: 1}\nx: {<<: *base}\ny: {<<: [*base, {b: 2}]}\n");
}
END_TEST

START_TEST(yaml_bombs_stay_small)
{
    char text[8192];
    size_t at = (size_t)sprintf(text, "a: &a [1,1,1,1,1,1,1,1,1]\n");
    for (char c = 'b'; c < 'j'; c++)
        at += (size_t)sprintf(text + at, "%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", c, c, c - 1, c - 1, c - 1, c - 1, c - 1, c - 1,
                              c - 1, c - 1, c - 1);
    struct parsed p = parse_bytes(RB_DOC_YAML, text, at, false, true);
    ck_assert_int_eq(p.code, RB_EPARSE);
    ck_assert_ptr_nonnull(strstr(p.problems.items[0].message, "aliases expand"));
    ck_assert_uint_lt(rb_arena_used(p.arena), 1 << 20);
    rb_arena_free(p.arena);
    /* Merge keys copy: 2,000 keys merged 2,000 times are refused, 50 merged 100 times are everyday. */
    size_t cap = 1 << 20, len = 0;
    char *merges = malloc(cap);
    for (int i = 0; i < 2000; i++)
        len += (size_t)snprintf(merges + len, cap - len, i ? "  k%d: 1\n" : "b: &b\n  k%d: 1\n", i);
    for (int i = 0; i < 2000; i++)
        len += (size_t)snprintf(merges + len, cap - len, "m%d: {<<: *b}\n", i);
    p = parse_bytes(RB_DOC_YAML, merges, len, false, true);
    ck_assert_int_eq(p.code, RB_EPARSE);
    ck_assert_ptr_nonnull(strstr(p.problems.items[0].message, "merge keys"));
    rb_arena_free(p.arena);
    len = 0;
    for (int i = 0; i < 50; i++)
        len += (size_t)snprintf(merges + len, cap - len, i ? "  k%d: 1\n" : "b: &b\n  k%d: 1\n", i);
    for (int i = 0; i < 100; i++)
        len += (size_t)snprintf(merges + len, cap - len, "m%d: {<<: *b}\n", i);
    p = parse_bytes(RB_DOC_YAML, merges, len, false, true);
    ck_assert_int_eq(p.code, 0);
    ck_assert_uint_eq(rb_doc_get(p.root, "m99")->count, 50);
    rb_arena_free(p.arena);
    free(merges);
}
END_TEST

START_TEST(depth_limit_in_all_formats)
{
    char text[4096];
    for (int depth = 127; depth <= 129; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        text[2 * depth] = '\0';
        struct parsed json = parse(RB_DOC_JSON, text), yaml = parse(RB_DOC_YAML, text);
        ck_assert_int_eq(json.code, depth <= 128 ? 0 : RB_ELIMIT);
        ck_assert_int_eq(yaml.code, json.code);
        rb_arena_free(json.arena);
        rb_arena_free(yaml.arena);
    }
}
END_TEST

START_TEST(json_problems)
{
    static const struct {
        const char *text;
        unsigned line, column;
        const char *part;
    } rows[] = {{"", 1, 1, "empty"},
                {"[1", 1, 3, "without an end"},
                {"{\"a\":1,}", 1, 8, "trailing comma"},
                {"[1,\n 2,]", 2, 4, "trailing comma"},
                {"// x\n1", 1, 1, "comments"},
                {"{a:1}", 1, 2, "double quotes"},
                {"[01]", 1, 2, "number"},
                {"[1.]", 1, 2, "number"},
                {"[+1]", 1, 2, "value"},
                {"[NaN]", 1, 2, "value"},
                {"[\"\xC3\xBC\", x]", 1, 7, "value"},
                {"[\"a\tb\"]", 1, 4, "control"},
                {"[\"\\x\"]", 1, 3, "escape"},
                {"[\"\\u12g4\"]", 1, 3, "escape"},
                {"\"abc", 1, 1, "without an end"},
                {"{} {}", 1, 4, "more text"},
                {"{\"a\" 1}", 1, 6, "':'"},
                {"[1 2]", 1, 4, "','"},
                {"[,]", 1, 2, "value"},
                {"\xEF\xBB\xBF{}", 1, 1, "byte order mark"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect_problem(RB_DOC_JSON, rows[i].text, rows[i].line, rows[i].column, rows[i].part);
    struct parsed p = parse_bytes(RB_DOC_JSON, "{}\0", 3, false, false);
    ck_assert_int_eq(p.code, RB_EPARSE);
    ck_assert_str_eq(p.problems.items[0].message, "NUL byte");
    rb_arena_free(p.arena);
}
END_TEST

START_TEST(json_duplicates)
{
    struct parsed p = parse(RB_DOC_JSON, "{\"a\":1,\"b\":{\"x\":1,\"x\":2},\"a\":2,\n \"\\u0061\":3}");
    ck_assert_int_eq(p.code, RB_EPARSE);
    ck_assert_uint_eq(p.problems.count, 3); /* an escaped a is an a */
    ck_assert_uint_eq(p.problems.items[0].column, 19);
    ck_assert_uint_eq(p.problems.items[2].line, 2);
    rb_arena_free(p.arena);
    /* More than fit: counted. */
    char text[4096] = "{";
    for (int i = 0; i < 40; i++)
        strcat(text, "\"k\":0,");
    strcat(text, "\"z\":0}");
    p = parse(RB_DOC_JSON, text);
    ck_assert_uint_eq(p.problems.count, 16);
    ck_assert_uint_eq(p.problems.dropped, 23);
    rb_arena_free(p.arena);
    expect_valid(RB_DOC_JSON, "[{\"a\":1},{\"a\":{\"a\":1}}]");
}
END_TEST

START_TEST(json_values)
{
    struct parsed p = parse(RB_DOC_JSON, "{\"n\":[1e999,123456789012345678901234567890,-0,9223372036854775807],\"s\":\"\\ud83d\\ude00\\n\","
                                         "\"h\":\"\\ud800\",\"z\":\"a\\u0000b\",\"a~/b\":true}");
    ck_assert_int_eq(p.code, 0);
    ck_assert(isinf(rb_doc_pointer(p.root, "/n/0")->number));
    ck_assert_int_eq(rb_doc_pointer(p.root, "/n/1")->type, RB_DOC_FLOAT);
    ck_assert_int_eq(rb_doc_pointer(p.root, "/n/3")->integer, INT64_MAX);
    ck_assert_str_eq(rb_doc_get(p.root, "s")->string, "\xF0\x9F\x98\x80\n");
    ck_assert_str_eq(rb_doc_get(p.root, "h")->string, "\xEF\xBF\xBD");
    ck_assert_uint_eq(rb_doc_get(p.root, "z")->string_len, 3);
    ck_assert(rb_doc_pointer(p.root, "/a~0~1b")->boolean);
    ck_assert_ptr_null(rb_doc_pointer(p.root, "/a~2"));
    rb_arena_free(p.arena);
}
END_TEST

START_TEST(json_lenient)
{
    static const char text[] = "// c\n{\"a\": [1, 2,], /* x */ \"b\": 1,}\n";
    struct parsed p = parse_bytes(RB_DOC_JSON, text, sizeof text - 1, true, true);
    ck_assert_int_eq(p.code, 0);
    ck_assert(p.lenient);
    ck_assert_uint_eq(rb_doc_get(p.root, "a")->count, 2);
    rb_arena_free(p.arena);
    p = parse_bytes(RB_DOC_JSON, "{\"a\": 1}", 8, true, true);
    ck_assert(p.code == 0 && !p.lenient);
    rb_arena_free(p.arena);
    static const char *const still_wrong[] = {"[1,,]", "[,]", "{,}", "/* x", "{\"a\":1 \"b\":2}", "[1] // ok\n x"};
    for (size_t i = 0; i < sizeof still_wrong / sizeof still_wrong[0]; i++) {
        p = parse_bytes(RB_DOC_JSON, still_wrong[i], strlen(still_wrong[i]), true, false);
        ck_assert_msg(p.code == RB_EPARSE, "%s", still_wrong[i]);
        rb_arena_free(p.arena);
    }
}
END_TEST

/* Mutates valid texts and asks jansson the same question. Deterministic. */
START_TEST(json_agrees_with_jansson)
{
    static const char *const seeds[] = {"{\"a\":[1,2.5e-3,-0.0,true,false,null],\"b\":{\"c\":\"x\\n\\u00e4\\\"\"}}",
                                        "[[],{},\"\",0,-1,[[[1]]]]", " { \"k\" : [ 1 , 2 ] } "};
    static const char alphabet[] = "{}[]\",:\\u0123456789.eE+-tfn \n\x01/";
    uint64_t random = 88172645463325252ULL;
    for (int round = 0; round < 60000; round++) {
        char text[128];
        const char *seed = seeds[round % 3];
        size_t len = strlen(seed);
        memcpy(text, seed, len + 1);
        for (int edits = 0; edits < 1 + round % 3; edits++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            text[random % len] = alphabet[(random >> 32) % (sizeof alphabet - 1)];
        }
        json_error_t error;
        json_t *theirs = json_loadb(text, len, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
        /* Where we differ on purpose: numbers out of range and half surrogate pairs are valid JSON. */
        bool on_purpose = !theirs && (json_error_code(&error) == json_error_numeric_overflow || strstr(error.text, "surrogate") ||
                                      strstr(error.text, "\\u"));
        struct parsed ours = parse_bytes(RB_DOC_JSON, text, len, false, round % 2);
        ck_assert_msg(on_purpose || (ours.code == 0) == (theirs != NULL), "%s: jansson says %s, we say %s", text,
                      theirs ? "valid" : error.text, ours.code == 0 ? "valid" : ours.err.message);
        rb_arena_free(ours.arena);
        json_decref(theirs);
    }
}
END_TEST

START_TEST(limits_are_told)
{
    struct rb_error err;
    struct rb_doc_problems problems;
    char *big = malloc((64 << 20) + 1);
    ck_assert_ptr_nonnull(big);
    ck_assert_int_eq(rb_doc_parse(RB_DOC_JSON, big, (64 << 20) + 1, NULL, NULL, NULL, NULL, &problems, &err), RB_ELIMIT);
    /* Above a million values: fine to check, too much for a tree. */
    size_t len = 2400002;
    memset(big, '1', len);
    for (size_t i = 0; i < len; i += 2)
        big[i] = i ? ',' : '[';
    big[len - 1] = ']';
    big[len - 2] = '1';
    big[len - 3] = '1';
    struct parsed p = parse_bytes(RB_DOC_JSON, big, len, false, false);
    ck_assert_int_eq(p.code, 0);
    ck_assert_uint_lt(rb_arena_used(p.arena), 4096);
    rb_arena_free(p.arena);
    p = parse_bytes(RB_DOC_JSON, big, len, false, true);
    ck_assert_int_eq(p.code, RB_ELIMIT);
    rb_arena_free(p.arena);
    free(big);
    /* An arena that is too small ends in an error, not in a crash. */
    struct rb_arena *small = rb_arena_new(600);
    struct rb_doc_options tree = {.tree = true};
    struct rb_doc_node *root = NULL;
    for (int f = RB_DOC_TOML; f <= RB_DOC_JSON; f++) {
        const char *text = f == RB_DOC_TOML ? "a=[1,2,3,4,5,6,7,8,9,10]\n" : "[1,2,3,4,5,6,7,8,9,10,11,12]";
        ck_assert_int_eq(rb_doc_parse((enum rb_doc_format)f, text, strlen(text), &tree, small, &root, NULL, &problems, &err), RB_ENOMEM);
    }
    rb_arena_free(small);
}
END_TEST

RB_TEST_MAIN("document", format_by_name, toml_tree_and_places, toml_limits, yaml_tree, yaml_problems, yaml_bombs_stay_small,
             depth_limit_in_all_formats, json_problems, json_duplicates, json_values, json_lenient, json_agrees_with_jansson,
             limits_are_told)
