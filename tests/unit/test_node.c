/* YAML to nodes: places, refusals, variables, secrets, includes, limits, canonical JSON. */
#include "../support/fixture_main.h"
#include "../support/scratch.h"
#include "runbook/config/node.h"

static struct rb_arena *arena;
static struct rb_diags diags;
static struct rb_buf out;
static struct scratch scratch;

static const char *fake_getenv(void *ctx, const char *name)
{
    (void)ctx;
    if (strcmp(name, "HOST") == 0)
        return "example.org";
    if (strcmp(name, "EMPTY") == 0)
        return "";
    if (strcmp(name, "TRICK") == 0)
        return "${HOST}";
    if (strcmp(name, "API_TOKEN") == 0)
        return "hunter2";
    return strcmp(name, "BROKEN") == 0 ? "\xff" : NULL;
}

static const struct rb_node_load_options options = {.getenv = fake_getenv};

static void setup(void)
{
    arena = rb_arena_new((size_t)64 << 20);
    rb_diags_init(&diags, arena);
    rb_buf_init(&out, 1 << 20);
    scratch_make(&scratch);
}

static void teardown(void)
{
    scratch_remove(&scratch);
    rb_buf_fini(&out);
    rb_arena_free(arena);
}

static struct rb_node *load(const char *text, int expected)
{
    struct rb_node *root = NULL;
    ck_assert_int_eq(rb_node_load_text("t.yml", scratch.path, text, strlen(text), &options, arena, &diags, &root), expected);
    return root;
}

static const char *errors(void)
{
    rb_buf_reset(&out);
    rb_diags_print(&diags, &out);
    return rb_buf_str(&out);
}

static void expect_error(const char *text, const char *message)
{
    rb_diags_init(&diags, arena);
    load(text, RB_ECONFIG);
    ck_assert_msg(strstr(errors(), message) != NULL, "wanted '%s', got: %s", message, errors());
}

static struct rb_node *load_scratch(const char *name, int expected, struct rb_strings *files)
{
    char path[512];
    struct rb_node *root = NULL;
    ck_assert_int_eq(rb_node_load_file(scratch_path(&scratch, name, path), &options, arena, &diags, &root, files), expected);
    return root;
}

static const char *json_of(const struct rb_node *node, bool with_secrets)
{
    rb_buf_reset(&out);
    rb_node_to_json(node, with_secrets, &out);
    return rb_buf_str(&out);
}

START_TEST(places_are_kept)
{
    const struct rb_node *root = load("a: 1\nb:\n  - x\n  - {c: 'y'}\n", 0);
    const struct rb_node *list = rb_node_get(root, "b");
    ck_assert_uint_eq(root->key_marks[1].line, 2);
    ck_assert_uint_eq(list->items[0]->mark.line, 3);
    ck_assert_uint_eq(list->items[0]->mark.column, 5);
    ck_assert_str_eq(list->items[0]->mark.file, "t.yml");
    const struct rb_node *c = rb_node_get(list->items[1], "c");
    ck_assert(c->quoted && !list->items[0]->quoted);
    ck_assert_ptr_null(rb_node_get(root, "zz"));
    ck_assert_ptr_null(rb_node_get(list, "a"));
}
END_TEST

START_TEST(what_is_refused)
{
    expect_error("", "t.yml:1:1: the file is empty");
    expect_error("# only a comment\n", "the file is empty");
    expect_error("a: 1\n---\nb: 2\n", "t.yml:2:1: a second YAML document");
    expect_error("a: &x [1]\nb: *x\n", "t.yml:1:5: anchors and aliases");
    expect_error("a: &x [1]\nb: *x\n", "t.yml:2:5: anchors and aliases");
    expect_error("a: !!str 5\n", "t.yml:1:4: tag '!!str' is not known");
    expect_error("? [k]\n: v\n", "a key must be plain text");
    expect_error("<<: {a: 1}\n", "merge keys");
    expect_error("a: \"\xc3\x28\"\n", "t.yml:1:5: byte 0xc3 is not valid UTF-8");
    expect_error("a: \"\\0\"\n", "t.yml:1:5: the text holds a NUL");
    expect_error("a: x\x01\n", "t.yml:1:5: control character 0x01");
    expect_error("a:\n\t- x\n", "t.yml:2:");
    expect_error("a: [1, 2\n", "YAML syntax");
    expect_error("- 1\n", "a configuration is a mapping");
}
END_TEST

START_TEST(one_error_for_broken_syntax)
{
    load("a: [1,\n  b: }\nc: ]\n", RB_ECONFIG);
    ck_assert_uint_eq(diags.count, 1);
    ck_assert_uint_eq(diags.items[0].mark.line, 2);
}
END_TEST

START_TEST(limits)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, 8u << 20);
    rb_buf_adds(&text, "a: ");
    for (int i = 0; i < RB_NODE_MAX_DEPTH - 1; i++)
        rb_buf_addc(&text, '[');
    for (int i = 0; i < RB_NODE_MAX_DEPTH - 1; i++)
        rb_buf_addc(&text, ']');
    load(rb_buf_str(&text), 0);
    rb_buf_reset(&text);
    rb_buf_adds(&text, "a: ");
    for (int i = 0; i < 5000; i++)
        rb_buf_addc(&text, '[');
    expect_error(rb_buf_str(&text), "nested deeper than 32");
    rb_buf_reset(&text);
    rb_buf_adds(&text, "a: [");
    for (unsigned i = 0; i < RB_NODE_MAX_COUNT; i++)
        rb_buf_adds(&text, "1,");
    rb_buf_adds(&text, "1]");
    expect_error(rb_buf_str(&text), "more than 200000 values");
    rb_buf_reset(&text);
    rb_buf_adds(&text, "a: 1\n");
    while (text.len <= RB_CONFIG_MAX_BYTES)
        rb_buf_adds(&text, "# ---------------------------------------------------------------------------\n");
    expect_error(rb_buf_str(&text), "larger than 4 MiB");
}
END_TEST

START_TEST(variables)
{
    const struct rb_node *root = load(
        "a: ${HOST}\nb: \"x-${NONE:-d e}-y\"\nc: ${EMPTY:-z}\nd: $HOME $1 $$x $${y}\ne: ${TRICK}\nf: ${API_TOKEN}\n${k}: v\n", 0);
    ck_assert_str_eq(rb_node_get(root, "a")->scalar, "example.org");
    ck_assert_str_eq(rb_node_get(root, "b")->scalar, "x-d e-y");
    ck_assert_str_eq(rb_node_get(root, "c")->scalar, "z");
    ck_assert_str_eq(rb_node_get(root, "d")->scalar, "$HOME $1 $x ${y}");
    ck_assert_str_eq(rb_node_get(root, "e")->scalar, "${HOST}");
    ck_assert(rb_node_get(root, "f")->secret && !rb_node_get(root, "a")->secret);
    ck_assert_ptr_nonnull(rb_node_get(root, "${k}"));
    expect_error("a: ${NONE}\nb: ${ALSO_NONE}\n", "t.yml:2:4: variable ALSO_NONE is not set");
    expect_error("a: ${}\n", "begins a variable");
    expect_error("a: ${HOST\n", "begins a variable");
    expect_error("a: ${HOST:+x}\n", "begins a variable");
    expect_error("a: ${BROKEN}\n", "not valid UTF-8");
}
END_TEST

START_TEST(secrets_from_files)
{
    char dir[512];
    struct rb_node_load_options with_credentials = options;
    scratch_write(&scratch, "token", "s3cret\n");
    scratch_write(&scratch, "binary", "a\xff");
    scratch_folder(&scratch, "cred");
    scratch_write(&scratch, "cred/token", "better");
    const struct rb_node *root = load("a: !file token\n", 0);
    ck_assert_str_eq(rb_node_get(root, "a")->scalar, "s3cret");
    ck_assert(rb_node_get(root, "a")->secret);
    ck_assert_ptr_null(strstr(json_of(root, false), "s3cret"));
    ck_assert_ptr_nonnull(strstr(json_of(root, false), "\"sha256:"));
    ck_assert_str_eq(json_of(root, true), "{\"a\":\"s3cret\"}");
    with_credentials.credentials_dir = scratch_path(&scratch, "cred", dir);
    struct rb_node *second = NULL;
    ck_assert_int_eq(rb_node_load_text("t.yml", scratch.path, "a: !file token", 14, &with_credentials, arena, &diags, &second), 0);
    ck_assert_str_eq(rb_node_get(second, "a")->scalar, "better");
    expect_error("a: !file nowhere\n", "!file: ");
    expect_error("a: !file binary\n", "is not text");
    expect_error("a: !file [x]\n", "!file wants one path");
    expect_error("a: !file ''\n", "!file wants the path");
}
END_TEST

START_TEST(a_secret_has_a_limit)
{
    char path[512];
    FILE *file = fopen(scratch_path(&scratch, "big", path), "w");
    ck_assert_ptr_nonnull(file);
    for (int i = 0; i < 65537; i++)
        fputc('x', file);
    fclose(file);
    expect_error("a: !file big\n", "!file: ");
}
END_TEST

START_TEST(includes_are_joined)
{
    struct rb_strings files = {0};
    scratch_folder(&scratch, "conf.d");
    scratch_write(&scratch, "main.yml", "include: ['conf.d/*.yml', none/*.yml, extra.yml]\ndaemon: {x: 1}\nchecks: [a]\n");
    scratch_write(&scratch, "conf.d/20.yml", "checks: [c]\n");
    scratch_write(&scratch, "conf.d/10.yml", "checks: [b]\ndaemon: {y: 2}\n");
    scratch_write(&scratch, "conf.d/not.txt", "checks: [no]\n");
    scratch_write(&scratch, "extra.yml", "checks: [d]\nother: 1\n");
    const struct rb_node *root = load_scratch("main.yml", 0, &files);
    ck_assert_str_eq(json_of(rb_node_get(root, "checks"), false), "[\"a\",\"b\",\"c\",\"d\"]");
    ck_assert_str_eq(json_of(rb_node_get(root, "daemon"), false), "{\"x\":1,\"y\":2}");
    ck_assert_uint_eq(files.count, 4);
    ck_assert_ptr_nonnull(strstr(files.items[1], "conf.d/10.yml"));
    ck_assert_ptr_nonnull(strstr(rb_node_get(root, "other")->mark.file, "extra.yml"));
}
END_TEST

START_TEST(includes_that_fail)
{
    scratch_write(&scratch, "main.yml", "include: [missing.yml, loop.yml, clash.yml, clash.yml, 5.yml, [x], broken.yml]\ndaemon: {x: 1}\n");
    scratch_write(&scratch, "loop.yml", "include: main.yml\n");
    scratch_write(&scratch, "clash.yml", "daemon: {x: 2}\n");
    scratch_write(&scratch, "broken.yml", "a: [\n");
    const struct rb_node *root = load_scratch("main.yml", RB_ECONFIG, NULL);
    ck_assert_ptr_nonnull(root);
    ck_assert(root->invalid);
    ck_assert_ptr_nonnull(strstr(errors(), "main.yml:1:11: included file"));
    ck_assert_ptr_nonnull(strstr(errors(), "loop.yml:1:10: "));
    ck_assert_ptr_nonnull(strstr(errors(), "includes itself"));
    ck_assert_ptr_nonnull(strstr(errors(), "clash.yml:1:10: 'x' is already set at"));
    ck_assert_ptr_nonnull(strstr(errors(), "is included a second time"));
    ck_assert_ptr_nonnull(strstr(errors(), "include wants a path"));
    ck_assert_ptr_nonnull(strstr(errors(), "broken.yml:"));
}
END_TEST

START_TEST(a_glob_leaves_out_what_is_open)
{
    scratch_write(&scratch, "main.yml", "include: '*.yml'\nchecks: [a]\n");
    scratch_write(&scratch, "other.yml", "checks: [b]\n");
    const struct rb_node *root = load_scratch("main.yml", 0, NULL);
    ck_assert_str_eq(json_of(rb_node_get(root, "checks"), false), "[\"a\",\"b\"]");
}
END_TEST

START_TEST(depth_and_number_of_includes)
{
    char name[32], text[64];
    for (int i = 0; i <= 9; i++) {
        snprintf(name, sizeof name, "d%d.yml", i);
        snprintf(text, sizeof text, i == 9 ? "a: 1\n" : "include: d%d.yml\n", i + 1);
        scratch_write(&scratch, name, text);
    }
    load_scratch("d1.yml", 0, NULL);
    load_scratch("d0.yml", RB_ECONFIG, NULL);
    ck_assert_ptr_nonnull(strstr(errors(), "nested deeper than 8"));
    scratch_folder(&scratch, "many");
    for (int i = 0; i < 257; i++) {
        snprintf(name, sizeof name, "many/%03d.yml", i);
        scratch_write(&scratch, name, "checks: []\n");
    }
    scratch_write(&scratch, "many.yml", "include: many/*.yml\n");
    rb_diags_init(&diags, arena);
    load_scratch("many.yml", RB_ECONFIG, NULL);
    ck_assert_ptr_nonnull(strstr(errors(), "more than 256 files"));
}
END_TEST

START_TEST(files_that_others_can_write)
{
    char path[512];
    struct rb_node *root = NULL;
    struct rb_node_load_options strict = {.check_permissions = true};
    scratch_write(&scratch, "m.yml", "a: 1\n");
    scratch_path(&scratch, "m.yml", path);
    ck_assert_int_eq(rb_node_load_file(path, &strict, arena, &diags, &root, NULL), 0);
    ck_assert_int_eq(chmod(path, 0622), 0);
    ck_assert_int_eq(rb_node_load_file(path, &strict, arena, &diags, &root, NULL), RB_ECONFIG);
    ck_assert_ptr_nonnull(strstr(errors(), "chmod go-w"));
    ck_assert_ptr_null(root);
    if (geteuid() == 0) {
        rb_diags_init(&diags, arena);
        ck_assert_int_eq(chmod(path, 0644), 0);
        ck_assert_int_eq(chown(path, 12345, (gid_t)-1), 0);
        ck_assert_int_eq(rb_node_load_file(path, &strict, arena, &diags, &root, NULL), RB_ECONFIG);
        ck_assert_ptr_nonnull(strstr(errors(), "belongs to user 12345"));
    }
}
END_TEST

START_TEST(not_a_file)
{
    ck_assert_ptr_null(load_scratch("missing.yml", RB_ECONFIG, NULL));
    ck_assert_ptr_nonnull(strstr(errors(), "missing.yml"));
    scratch_folder(&scratch, "folder.yml");
    ck_assert_ptr_null(load_scratch("folder.yml", RB_ECONFIG, NULL));
}
END_TEST

START_TEST(canonical_json)
{
    const struct rb_node *root = load("z: 1\na: [true, 'true', ~, 0x1F, 0o17, +5, 1.50, 1e3, .5, 1.2.3, 'a\"\\b', \"\\n\", .nan, "
                                      "99999999999999999999]\nm: {y: 1, x: {}}\n",
                                      0);
    ck_assert_str_eq(json_of(root, false),
                     "{\"a\":[true,\"true\",null,31,15,5,1.5,1000,0.5,\"1.2.3\",\"a\\\"\\\\b\",\"\\u000a\",\".nan\",1e+20],"
                     "\"m\":{\"x\":{},\"y\":1},\"z\":1}");
}
END_TEST

RB_FIXTURE_MAIN("node", places_are_kept, what_is_refused, one_error_for_broken_syntax, limits, variables, secrets_from_files,
                a_secret_has_a_limit, includes_are_joined, includes_that_fail, a_glob_leaves_out_what_is_open, depth_and_number_of_includes,
                files_that_others_can_write, not_a_file, canonical_json)
