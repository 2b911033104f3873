/* keys: every condition against real files in three formats, everything that fails closed, and that no secret value enters an outcome. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/check_main.h"
#include "../support/kind_real.h"
#include "../support/scratch.h"

extern const struct rb_kind rb_kind_keys;

static const char config[] = "# enable_live_trading = true\n"
                             "note = \"enable_live_trading = true\"\n"
                             "environment.mode = \"paper\"\n"
                             "environment.enable_live_trading = false\n"
                             "environment.confirm_token = \"hunter2-swordfish\"\n"
                             "environment.require_confirm_token = true\n"
                             "limits = { max = 50.0, open = 2 }\n"
                             "started = 2026-01-02T03:04:05Z\n"
                             "list = [1, 2]\n"
                             "[[tier]]\nallow_live = false\n"
                             "[[tier]]\nallow_live = false\n";

static void make_tree(struct scratch *s)
{
    scratch_make(s);
    scratch_write(s, "config.toml", config);
    scratch_write(s, "stack.yml", "base: &b {armed: false}\nprod:\n  <<: *b\nnothing: ~\nword: \"false\"\n");
    scratch_write(s, "notes.jsonc", "{ // comments belong here\n\"a\": 1, }\n");
    scratch_write(s, "commented.json", "{ // and not here\n\"a\": 1}\n");
    scratch_write(s, "state.json", "{\"kill\": {\"state\": \"ACTIVE\", \"count\": 9007199254740993}}\n");
}

static void expect(const struct scratch *s, const char *rule, enum rb_result result, const char *reason, struct rb_outcome *out,
                   struct rb_arena *arena)
{
    char yaml[1024];
    snprintf(yaml, sizeof yaml, "{rules: [%s]}", rule);
    kind_run(&rb_kind_keys, s->path, yaml, arena, out);
    ck_assert_msg(out->result == result && strcmp(out->reason, reason) == 0, "%s: %s %s: %s", rule, rb_result_name(out->result),
                  out->reason, out->message);
}

static void holds(const struct scratch *s, const char *rule, struct rb_arena *arena)
{
    struct rb_outcome out;
    expect(s, rule, RB_RESULT_OK, "none", &out, arena);
}

static void fails(const struct scratch *s, const char *rule, const char *reason, const char *says, struct rb_arena *arena)
{
    struct rb_outcome out;
    expect(s, rule, RB_RESULT_FAIL, reason, &out, arena);
    ck_assert_msg(outcome_mentions(&out, says), "%s: '%s', expected '%s'", rule, out.message, says);
}

START_TEST(conditions_hold)
{
    static const char *const good[] = {
        "{file: config.toml, key: environment.mode, equals: paper}",
        "{file: config.toml, key: environment.enable_live_trading, equals: false}",
        "{files: [\"*.toml\"], key: environment.mode, one_of: [shadow, paper]}",
        "{file: config.toml, key: limits.max, equals: 50}",
        "{file: config.toml, key: limits.open, equals: 2.0}",
        "{file: config.toml, key: limits.max, range: {min: 0, max: 50}}",
        "{file: config.toml, key: limits.open, range: {max: 2}}",
        "{file: config.toml, key: environment.live_mode_armed, absent: true}",
        "{file: config.toml, key: environment.live_mode_armed, absent_or: false}",
        "{file: config.toml, key: environment.enable_live_trading, absent_or: false}",
        "{file: config.toml, key: environment, present: true}",
        "{file: config.toml, key: environment.mode, matches: \"^pap\"}",
        "{file: config.toml, key: \"**.allow_live\", equals: false}",
        "{file: config.toml, key: \"tier[1].allow_live\", equals: false}",
        "{file: config.toml, key: list, equals: [1, 2]}",
        "{file: config.toml, key: limits, equals: {open: 2, max: 50.0}}",
        "{file: config.toml, key: started, equals: \"2026-01-02T03:04:05Z\"}",
        "{file: stack.yml, key: \"*.armed\", equals: false}",
        "{file: stack.yml, key: prod.armed, equals: false}",
        "{file: stack.yml, key: nothing, absent: true}",
        "{file: stack.yml, key: nothing, absent_or: false}",
        "{file: stack.yml, key: nothing, equals: null}",
        "{file: stack.yml, key: word, equals: \"false\"}",
        "{file: state.json, key: kill.state, equals: ACTIVE}",
        "{file: state.json, key: kill.count, equals: 9007199254740993}",
        "{file: notes.jsonc, key: a, equals: 1}",
        "{file: none.json, key: a, equals: 1, file_optional: true}",
        "{files: [\"none/*.json\"], key: a, equals: 1, file_optional: true}",
    };
    struct scratch s;
    make_tree(&s);
    RB_ARENA_AUTO *arena = rb_arena_new(64 << 20);
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        holds(&s, good[i], arena);
    scratch_remove(&s);
}
END_TEST

START_TEST(conditions_fail_with_both_values)
{
    static const struct {
        const char *rule, *reason, *says;
    } bad[] = {
        {"{file: config.toml, key: environment.mode, equals: live}", "wrong_value",
         "config.toml:3: environment.mode is \"paper\", expected \"live\""},
        {"{file: config.toml, key: environment.enable_live_trading, equals: true}", "wrong_value",
         "config.toml:4: environment.enable_live_trading is false, expected true"},
        {"{file: config.toml, key: environment.enable_live_trading, equals: \"false\"}", "wrong_value", "is false, expected \"false\""},
        {"{file: config.toml, key: environment.enable_live_trading, equals: 0}", "wrong_value", "is false, expected 0"},
        {"{file: stack.yml, key: word, equals: false}", "wrong_value", "stack.yml:5: word is \"false\", expected false"},
        {"{file: config.toml, key: environment.mode, one_of: [a, 1]}", "wrong_value", "expected one of [\"a\", 1]"},
        {"{file: config.toml, key: limits.max, range: {max: 49.5}}", "wrong_value", "limits.max is 50, expected at most 49.5"},
        {"{file: config.toml, key: limits.open, range: {min: 3, max: 4}}", "wrong_value", "expected at least 3 and at most 4"},
        {"{file: config.toml, key: environment.mode, range: {min: 3}}", "wrong_value", "is \"paper\", expected at least 3"},
        {"{file: config.toml, key: environment.mode, absent: true}", "key_present", "is \"paper\", expected absent"},
        {"{file: config.toml, key: environment.mode, absent_or: false}", "wrong_value", "expected absent or false"},
        {"{file: stack.yml, key: nothing, present: true}", "wrong_value", "is null, expected a value"},
        {"{file: config.toml, key: environment.mode, matches: \"^live$\"}", "wrong_value", "expected a string that matches ^live$"},
        {"{file: config.toml, key: limits.open, matches: \"2\"}", "wrong_value", "is 2, expected a string"},
        {"{file: config.toml, key: \"**.allow_live\", equals: true}", "wrong_value", "config.toml:13: tier[1].allow_live is false"},
        {"{file: state.json, key: kill.count, equals: 9007199254740992}", "wrong_value", "is 9007199254740993"},
        {"{file: config.toml, key: list, equals: [1, 2, 3]}", "wrong_value", "is a list of 2, expected [1, 2, 3]"},
        {"{file: config.toml, key: limits, equals: {open: 2}}", "wrong_value", "is a table of 2 keys, expected {open: 2}"},
        {"{file: config.toml, key: environment.enabel, equals: false}", "key_missing",
         "config.toml: environment.enabel is missing, expected false"},
        {"{file: config.toml, key: \"**.gone\", equals: false}", "key_missing", "**.gone is missing"},
        {"{file: config.toml, key: gone, present: true}", "key_missing", "gone is missing, expected a value"},
        {"{file: config.toml, key: environment.mode.deeper, one_of: [a]}", "key_missing", "is missing"},
    };
    struct scratch s;
    make_tree(&s);
    RB_ARENA_AUTO *arena = rb_arena_new(64 << 20);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        fails(&s, bad[i].rule, bad[i].reason, bad[i].says, arena);
    scratch_remove(&s);
}
END_TEST

START_TEST(fails_closed)
{
    struct scratch s;
    char path[512];
    struct rb_outcome out;
    make_tree(&s);
    RB_ARENA_AUTO *arena = rb_arena_new(64 << 20);
    fails(&s, "{file: gone.toml, key: a, absent: true}", "file_missing", "gone.toml does not exist", arena);
    fails(&s, "{files: [gone.toml], key: a, absent: true}", "file_missing", "gone.toml does not exist", arena);
    fails(&s, "{file: config.toml/x.toml, key: a, absent: true}", "file_missing", "does not exist", arena);
    fails(&s, "{files: [\"gone/**/*.toml\"], key: a, absent: true}", "no_files", "gone/**/*.toml matches no file: a is not guarded", arena);
    scratch_write(&s, "broken.toml", "a = 1\na = 2\n");
    fails(&s, "{file: broken.toml, key: a, equals: 1}", "broken", "broken.toml:2:", arena);
    fails(&s, "{file: broken.toml, key: b, absent: true, file_optional: true}", "broken", "does not parse", arena);
    fails(&s, "{file: commented.json, key: a, equals: 1}", "broken", "commented.json:1:", arena);
    scratch_write(&s, "plain.txt", "a = 1\n");
    fails(&s, "{file: plain.txt, key: a, equals: 1}", "broken", "its name tells no format", arena);
    scratch_folder(&s, "folder.toml");
    fails(&s, "{file: folder.toml, key: a, absent: true}", "not_a_file", "folder.toml", arena);
    ck_assert_int_eq(mkfifo(scratch_path(&s, "fifo.toml", path), 0600), 0);
    fails(&s, "{file: fifo.toml, key: a, absent: true}", "not_a_file", "fifo.toml", arena);
    ck_assert_int_eq(symlink("/etc/passwd", scratch_path(&s, "out.toml", path)), 0);
    fails(&s, "{file: out.toml, key: a, absent: true}", "not_a_file", "out.toml", arena);
    scratch_write(&s, "empty.toml", "");
    fails(&s, "{file: empty.toml, key: a, equals: false}", "key_missing", "empty.toml: a is missing", arena);
    expect(&s, "{file: empty.toml, key: a, absent_or: false}", RB_RESULT_OK, "none", &out, arena);
    if (geteuid() != 0) {
        ck_assert_int_eq(chmod(scratch_path(&s, "config.toml", path), 0), 0);
        expect(&s, "{file: config.toml, key: a, absent: true}", RB_RESULT_UNKNOWN, "not_permitted", &out, arena);
    }
    scratch_remove(&s);
}
END_TEST

START_TEST(counts_and_facts)
{
    struct scratch s;
    struct rb_outcome out;
    make_tree(&s);
    RB_ARENA_AUTO *arena = rb_arena_new(64 << 20);
    expect(&s,
           "{file: config.toml, key: \"**.allow_live\", equals: false}, {file: config.toml, key: gone, absent: true}, "
           "{files: [state.json], key: kill.state, present: true}",
           RB_RESULT_OK, "none", &out, arena);
    ck_assert_str_eq(out.message, "4 keys in 2 files");
    ck_assert_double_eq(outcome_number(&out, "checked", NULL), 4);
    ck_assert_double_eq(outcome_number(&out, "files", NULL), 2);
    ck_assert_double_eq(outcome_number(&out, "violations", NULL), 0);
    ck_assert_uint_eq(out.fact_count, 2); /* each file once, however many rules name it */
    ck_assert_str_eq(out.facts[0].key, "file");
    ck_assert_str_eq(out.facts[0].value, "config.toml");
    expect(
        &s,
        "{file: gone.toml, key: a, equals: 1}, {file: gone.toml, key: b, equals: 1}, {file: config.toml, key: environment.mode, equals: x}",
        RB_RESULT_FAIL, "file_missing", &out, arena);
    ck_assert_double_eq(outcome_number(&out, "violations", NULL), 2); /* the missing file once */
    ck_assert_msg(strstr(out.message, "first: gone.toml does not exist") != NULL, "%s", out.message);
    ck_assert(outcome_mentions(&out, "environment.mode is \"paper\""));
    ck_assert_uint_eq(out.hint_count, 0); /* no repository, no git */
    scratch_folder(&s, ".git");
    scratch_write(&s, "a b.toml", "x = 1\n");
    expect(&s, "{file: \"a b.toml\", key: x, equals: 2}", RB_RESULT_FAIL, "wrong_value", &out, arena);
    ck_assert(outcome_hints(&out, "diff HEAD -- 'a b.toml'"));
    scratch_remove(&s);
}
END_TEST

/* The whole outcome as text: nothing of it may hold the planted value. */
static void assert_hidden(const struct rb_outcome *out, const char *value)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, 1 << 20);
    ck_assert_int_eq(rb_outcome_to_json(out, &text, NULL), 0);
    ck_assert_msg(strstr(rb_buf_str(&text), value) == NULL, "%s", rb_buf_str(&text));
}

START_TEST(secrets_stay_hidden)
{
    struct scratch s;
    struct rb_outcome out;
    make_tree(&s);
    RB_ARENA_AUTO *arena = rb_arena_new(64 << 20);
    expect(&s, "{file: config.toml, key: environment.confirm_token, absent_or: \"\"}", RB_RESULT_FAIL, "wrong_value", &out, arena);
    assert_hidden(&out, "hunter2");
    ck_assert_msg(strstr(out.message, "environment.confirm_token is set (value hidden), expected absent or \"\"") != NULL, "%s",
                  out.message);
    expect(&s, "{file: config.toml, key: environment.confirm_token, equals: other-swordfish}", RB_RESULT_FAIL, "wrong_value", &out, arena);
    assert_hidden(&out, "swordfish");
    expect(&s, "{file: config.toml, key: \"environment.*\", absent: true}", RB_RESULT_FAIL, "key_present", &out, arena);
    assert_hidden(&out, "hunter2");
    expect(&s, "{file: config.toml, key: environment.mode, equals: live, secret: true}", RB_RESULT_FAIL, "wrong_value", &out, arena);
    assert_hidden(&out, "paper");
    assert_hidden(&out, "\"live\"");
    /* The flag about a token is no token. */
    expect(&s, "{file: config.toml, key: environment.require_confirm_token, equals: false}", RB_RESULT_FAIL, "wrong_value", &out, arena);
    ck_assert_msg(strstr(out.message, "is true, expected") != NULL, "%s", out.message);
    /* A token by its shape, under an innocent name. */
    scratch_write(&s, "shape.toml", "note = \"ghp_abcdefghijklmnopqrstuvwxyz0123456789\"\n");
    expect(&s, "{file: shape.toml, key: note, equals: x}", RB_RESULT_FAIL, "wrong_value", &out, arena);
    assert_hidden(&out, "ghp_abcdef");
    scratch_remove(&s);
}
END_TEST

START_TEST(wrong_rules_are_told)
{
    static const char *const wrong[] = {"{rules: []}",
                                        "{rules: [{file: a.toml, key: a}]}",
                                        "{rules: [{file: a.toml, key: a, equals: 1, absent: true}]}",
                                        "{rules: [{key: a, equals: 1}]}",
                                        "{rules: [{file: a.toml, files: [b.toml], key: a, equals: 1}]}",
                                        "{rules: [{file: a.toml, key: \"a..b\", equals: 1}]}",
                                        "{rules: [{file: a.toml, key: a, one_of: 3}]}",
                                        "{rules: [{file: a.toml, key: a, range: {}}]}",
                                        "{rules: [{file: a.toml, key: a, range: {min: 2, max: 1}}]}",
                                        "{rules: [{file: a.toml, key: a, matches: \"(\"}]}",
                                        "{rules: [{files: [\"../*.toml\"], key: a, equals: 1}]}",
                                        "{rules: [{file: a.toml, equals: 1}]}"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        RB_ARENA_AUTO *arena = rb_arena_new(4 << 20);
        struct rb_diags *diags = rb_arena_alloc(arena, sizeof *diags);
        void *options = rb_arena_alloc(arena, rb_kind_keys.schema.schema.size);
        ck_assert(diags != NULL && options != NULL);
        rb_diags_init(diags, arena);
        struct rb_node *node = NULL;
        struct rb_node_load_options load = {0};
        ck_assert_int_eq(rb_node_load_text("t", "/", wrong[i], strlen(wrong[i]), &load, arena, diags, &node), 0);
        ck_assert_msg(rb_options_parse(&rb_kind_keys.schema.schema, node, NULL, arena, options, diags) == RB_ECONFIG, "%s", wrong[i]);
    }
}
END_TEST

START_TEST(hostile_documents)
{
    struct scratch s;
    struct rb_outcome out;
    make_tree(&s);
    RB_ARENA_AUTO *arena = rb_arena_new(64 << 20);
    char deep[2048] = "";
    for (int i = 0; i < 200; i++)
        strcat(deep, "{\"a\":");
    scratch_write(&s, "deep.json", deep);
    expect(&s, "{file: deep.json, key: a, absent: true}", RB_RESULT_UNKNOWN, "too_large", &out, arena);
    scratch_write(&s, "escape.toml", "mode = \"\\u001b[2J\\u202e\"\n");
    expect(&s, "{file: escape.toml, key: mode, equals: paper}", RB_RESULT_FAIL, "wrong_value", &out, arena);
    ck_assert_msg(strchr(out.message, '\x1b') == NULL, "an escape character in the message");
    scratch_remove(&s);
}
END_TEST

RB_TEST_MAIN("kind_keys", conditions_hold, conditions_fail_with_both_values, fails_closed, counts_and_facts, secrets_stay_hidden,
             wrong_rules_are_told, hostile_documents)
