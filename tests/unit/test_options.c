/* Option tables: every type, defaults, every kind of error, and the reference text. */
#include <math.h>
#include <string.h>

#include "../support/fake_kinds.h"
#include "../support/fixture_main.h"

static struct rb_arena *arena;
static struct rb_diags diags;
static struct rb_buf out;
static struct fake_options parsed;

static void setup(void)
{
    arena = rb_arena_new((size_t)64 << 20);
    rb_diags_init(&diags, arena);
    rb_buf_init(&out, 1 << 20);
}

static void teardown(void)
{
    rb_buf_fini(&out);
    rb_arena_free(arena);
}

static const char *errors(void)
{
    rb_buf_reset(&out);
    rb_diags_print(&diags, &out);
    return rb_buf_str(&out);
}

static int parse(const char *text)
{
    static const char *const others[] = {"name", "every", NULL};
    struct rb_node *root = NULL;
    rb_diags_init(&diags, arena);
    ck_assert_msg(rb_node_load_text("t.yml", ".", text, strlen(text), NULL, arena, &diags, &root) == 0, "%s", errors());
    return rb_options_parse(&fake_probe.schema, root, others, arena, &parsed, &diags);
}

static void accept(const char *text)
{
    ck_assert_msg(parse(text) == 0, "%s: %s", text, errors());
}

static void refuse(const char *text, const char *message)
{
    ck_assert_int_eq(parse(text), RB_ECONFIG);
    ck_assert_msg(strstr(errors(), message) != NULL, "wanted '%s', got: %s", message, errors());
}

START_TEST(defaults)
{
    accept("url: http://x\n");
    ck_assert(!parsed.flag && parsed.maybe == -1 && parsed.port == 0);
    ck_assert_int_eq(parsed.wait_ms, 90000);
    ck_assert_int_eq(parsed.size, -1);
    ck_assert(isnan(parsed.ratio));
    ck_assert(!parsed.amount.set);
    ck_assert_ptr_null(parsed.title);
    ck_assert_int_eq(parsed.level, 1);
    ck_assert_uint_eq(parsed.texts.count, 2);
    ck_assert_str_eq(parsed.texts.items[1], "two words");
    ck_assert_ptr_null(parsed.texts.items[2]);
    ck_assert_int_eq(parsed.limits.low, 5);
    ck_assert_ptr_null(parsed.limits.unit);
    ck_assert_uint_eq(parsed.rules.count, 0);
}
END_TEST

START_TEST(without_a_mapping_there_are_defaults_only)
{
    ck_assert_int_eq(rb_options_parse(&fake_probe.schema, NULL, NULL, arena, &parsed, &diags), 0);
    ck_assert_int_eq(parsed.wait_ms, 90000);
    ck_assert_uint_eq(diags.count, 0);
}
END_TEST

START_TEST(every_type)
{
    accept(
        "name: n\nurl: https://[::1]:8080/p?q=1\nflag: true\nmaybe: false\nport: \"9110\"\nwait: 1m30s\nsize: 2GiB\nratio: 0.25\namount: "
        "10%\n"
        "title: 5\nfile: ~/x\nglob: 'a/**/*.yml'\nregex: '^a+$'\nlevel: high\ntexts: solo\nfiles: [a, b]\nglobs: ['*']\nregexes: [x, y]\n"
        "argv: [ls, -l, 1]\npairs: {a: 1, b: ~, c: 'x'}\nlimits: {unit: s, high: 7}\nrules: [{key: k, equals: true}, {key: l}]\nraw: [1, "
        "{a: b}]\n");
    ck_assert(parsed.flag && parsed.maybe == 0);
    ck_assert_int_eq(parsed.port, 9110);
    ck_assert_int_eq(parsed.wait_ms, 90000);
    ck_assert_int_eq(parsed.size, INT64_C(2) << 30);
    ck_assert_double_eq(parsed.ratio, 0.25);
    ck_assert(parsed.amount.set && parsed.amount.percent);
    ck_assert_str_eq(parsed.title, "5");
    ck_assert_int_eq(parsed.file[0], '/');
    ck_assert_int_eq(parsed.level, 2);
    ck_assert_uint_eq(parsed.texts.count, 1);
    ck_assert_uint_eq(parsed.argv.count, 3);
    ck_assert_str_eq(parsed.argv.items[2], "1");
    ck_assert_uint_eq(parsed.pairs.count, 3);
    ck_assert_ptr_null(parsed.pairs.items[1].value);
    ck_assert_str_eq(parsed.pairs.items[2].key, "c");
    ck_assert_int_eq(parsed.limits.low, 5);
    ck_assert_int_eq(parsed.limits.high, 7);
    const struct fake_rule *rules = parsed.rules.items;
    ck_assert_uint_eq(parsed.rules.count, 2);
    ck_assert_int_eq(rules[0].equals, 1);
    ck_assert_int_eq(rules[1].equals, -1);
    ck_assert_int_eq(parsed.raw->type, RB_NODE_SEQUENCE);
}
END_TEST

START_TEST(one_mapping_is_a_list_of_one)
{
    accept("url: http://x\nrules: {key: k}\n");
    ck_assert_uint_eq(parsed.rules.count, 1);
}
END_TEST

START_TEST(unknown_and_duplicate_keys)
{
    refuse("urll: http://x\n", "t.yml:1:1: unknown key 'urll' in probe; did you mean 'url'?");
    refuse("url: http://x\neverry: 1\n", "did you mean 'every'?");
    refuse("url: http://x\nzzzzzzzzz: 1\n", "unknown key 'zzzzzzzzz' in probe\n");
    refuse("url: http://x\nport: 1\nurl: http://y\n", "t.yml:3:1: duplicate key 'url', first at line 1");
    refuse("url: http://x\nlimits: {unit: s, unti: 1}\n", "unknown key 'unti' in 'limits' of probe; did you mean 'unit'?");
    refuse("url: http://x\nrules: [{key: a}, {key: b, kei: 1}]\n", "in 'rules[1]' of probe");
    refuse("url: http://x\npairs: {a: 1, a: 2}\n", "duplicate key 'a'");
    refuse("url: http://x\nraw: [{b: {c: 1, c: 2}}]\n", "t.yml:2:18: duplicate key 'c', first at line 2");
}
END_TEST

START_TEST(wrong_types)
{
    refuse("port: 1\n", "probe needs 'url' (URL)");
    refuse("url: ~\n", "probe needs 'url' (URL)");
    refuse("url: [http://x]\n", "'url' in probe wants one value (URL), found a list");
    refuse("url: http://x\nflag: yes\n", "wants true or false (write true), found 'yes'");
    refuse("url: http://x\nflag: off\n", "(write false), found 'off'");
    refuse("url: http://x\nmaybe: {a: 1}\n", "found a mapping");
    refuse("url: http://x\nport: abc\n", "t.yml:2:7: 'port' in probe wants a whole number, found 'abc'");
    refuse("url: http://x\nwait: 5\n", "wants a duration such as 15s");
    refuse("url: http://x\nsize: big\n", "wants a size such as");
    refuse("url: http://x\nratio: 1e999\n", "wants a number");
    refuse("url: http://x\nratio: 0x10\n", "wants a number");
    refuse("url: http://x\namount: lots\n", "wants a share or a size");
    refuse("url: http://x\nlevel: hihg\n", "must be one of low, high; found 'hihg'; did you mean 'high'?");
    refuse("url: http://x\ntitle: ''\n", "must not be empty");
    refuse("url: http://x\nargv: ls -l\n", "write it as a list; there is no shell");
    refuse("url: http://x\nargv: []\n", "at least 1 item");
    refuse("url: http://x\nargv: ['', x]\n", "the program's name is empty");
    refuse("url: http://x\ntexts: [a, [b]]\n", "an item of 'texts' in probe must be text, found a list");
    refuse("url: http://x\ntexts: {a: b}\n", "wants a list of texts, found a mapping");
    refuse("url: http://x\npairs: [a]\n", "wants a mapping of texts, found a list");
    refuse("url: http://x\nlimits: 5\n", "'limits' of probe must be a mapping");
    refuse("url: http://x\nlimits: {low: 1}\n", "'limits' of probe needs 'unit'");
    refuse("url: http://x\nrules: text\n", "wants a list of mappings");
}
END_TEST

START_TEST(ranges_and_limits)
{
    refuse("url: http://x\nport: 65536\n", "out of range: found '65536', allowed is 1 to 65535");
    refuse("url: http://x\nport: 0\n", "out of range");
    refuse("url: http://x\ntexts: [a, b, c, d]\n", "wants at most 3 items, found 4");
    RB_BUF_AUTO text;
    rb_buf_init(&text, 1 << 20);
    rb_buf_adds(&text, "url: http://x\npairs:\n");
    for (int i = 0; i < 1025; i++)
        rb_buf_addf(&text, "  k%d: 1\n", i);
    refuse(rb_buf_str(&text), "more than 1024 keys");
    rb_buf_reset(&text);
    for (int i = 0; i < 1025; i++)
        rb_buf_addf(&text, "k%d: 1\n", i);
    refuse(rb_buf_str(&text), "more than 1024 keys");
}
END_TEST

START_TEST(urls)
{
    accept("url: http://localhost\n");
    accept("url: 'https://h:443/?x#y'\n");
    refuse("url: ftp://x\n", "must begin with http:// or https://");
    refuse("url: localhost:80\n", "must begin with");
    refuse("url: http://\n", "names no host");
    refuse("url: http://:80/\n", "names no host");
    refuse("url: http://u:p@h/\n", "must not hold a user or password");
    refuse("url: http://h:x/\n", "port is not a number");
    refuse("url: http://h:70000/\n", "port is out of range");
    refuse("url: 'http://h/a b'\n", "percent-encoded");
    refuse("url: 'http://[::1'\n", "unclosed");
    accept("url: 'http://h/?mail=a@b'\n");
}
END_TEST

START_TEST(patterns)
{
    refuse("url: http://x\nregex: '('\n", "is no regular expression");
    refuse("url: http://x\nregexes: [a, '[']\n", "is no regular expression");
    refuse("url: http://x\nglob: '[a'\n", "'glob' in probe: ");
    refuse("url: http://x\nglobs: [/abs]\n", "'globs' in probe: ");
}
END_TEST

START_TEST(secrets_are_not_printed)
{
    refuse("url: http://x\npassword: [hunter2]\n", "found a list");
    refuse("url: http://x\nport: ${RB_TEST_SECRET:-hunter2}\n", "found a value that is not shown");
    ck_assert_ptr_null(strstr(errors(), "hunter2"));
}
END_TEST

START_TEST(all_errors_at_once)
{
    refuse("urll: 1\nport: x\nflag: yes\nlevel: none\n", "needs 'url'");
    ck_assert_uint_eq(diags.count, 5);
}
END_TEST

START_TEST(reference_text)
{
    rb_options_explain(&fake_probe.schema, &out);
    const char *text = rb_buf_str(&out);
    ck_assert_ptr_nonnull(strstr(text, "probe\n  Asks something.\n"));
    ck_assert_ptr_nonnull(strstr(text, "  url  (URL, required)\n      Where to ask.\n"));
    ck_assert_ptr_nonnull(strstr(text, "Range: 1 to 65535."));
    ck_assert_ptr_nonnull(strstr(text, "Default: 90s."));
    ck_assert_ptr_nonnull(strstr(text, "low: a little"));
    ck_assert_ptr_nonnull(strstr(text, "      unit  (text, required)\n"));
    ck_assert_ptr_nonnull(strstr(text, "password  (text, secret)"));
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n"), line += *line == '\n')
        ck_assert_uint_le(strcspn(line, "\n"), 80);
}
END_TEST

RB_FIXTURE_MAIN("options", defaults, without_a_mapping_there_are_defaults_only, every_type, one_mapping_is_a_list_of_one,
                unknown_and_duplicate_keys, wrong_types, ranges_and_limits, urls, patterns, secrets_are_not_printed, all_errors_at_once,
                reference_text)
