/* The command kind: options, exit codes, message and evidence, perfdata, secrets, and real programs through the real engine. */
#include <signal.h>
#include <stdio.h>

#include "../support/run_fixture.h"
#include "../support/scratch.h"

extern const struct rb_kind rb_kind_command;

static struct rb_arena *arena;
static struct rb_outcome out;
static struct rb_check_spec spec;
static struct rb_check_ctx ctx;

static void set_up(void)
{
    arena = rb_arena_new((size_t)32 << 20);
    rb_outcome_init(&out, arena);
}

static void tear_down(void)
{
    rb_arena_free(arena);
}

/* Parses a check's mapping; returns the number of errors. */
static size_t parse(const char *yaml)
{
    static const char *const ignore[] = {"name", "kind", NULL};
    struct rb_diags *diags = rb_arena_alloc(arena, sizeof *diags);
    struct rb_node *node = NULL;
    void *options = rb_arena_alloc(arena, rb_kind_command.schema.schema.size);
    rb_diags_init(diags, arena);
    ck_assert_int_eq(rb_node_load_text("test.yml", "/", yaml, strlen(yaml), NULL, arena, diags, &node), 0);
    int rc = rb_options_parse(&rb_kind_command.schema.schema, node, ignore, arena, options, diags);
    ck_assert_int_eq(rc, diags->count ? RB_ECONFIG : 0);
    spec = (struct rb_check_spec){.name = "test", .kind = &rb_kind_command.schema, .timeout_ms = 10000, .options = options, .node = node};
    ctx = (struct rb_check_ctx){.spec = &spec, .options = options, .root = "/", .arena = arena, .platform = rb_platform_host()};
    return diags->count;
}

static void judge(const char *yaml, struct rb_child_result result)
{
    ck_assert_uint_eq(parse(yaml), 0);
    rb_outcome_init(&out, arena);
    result.out = result.out ? result.out : "";
    result.err = result.err ? result.err : "";
    result.out_len = strlen(result.out);
    result.err_len = strlen(result.err);
    rb_kind_command.child->judge(&ctx, &result, &out);
    /* Whatever happened: the reason is one of the kind's. */
    ck_assert_ptr_nonnull(rb_kind_reason(&rb_kind_command, out.reason));
}

#define PLAIN "{name: a, kind: command, argv: [x]}"

START_TEST(options_are_checked)
{
    ck_assert_uint_eq(parse(PLAIN), 0);
    ck_assert_uint_eq(
        parse("{name: a, kind: command, argv: [x], env: {A: b}, cwd: sub, exit: {0: ok, 255: skip}, output_cap: 1MiB, perfdata: false}"),
        0);
    ck_assert_uint_ge(parse("{name: a, kind: command}"), 1);
    ck_assert_uint_ge(parse("{name: a, kind: command, argv: x y z}"), 1);
    ck_assert_uint_eq(parse("{name: a, kind: command, argv: [x], exit: {256: ok}}"), 1);
    ck_assert_uint_eq(parse("{name: a, kind: command, argv: [x], exit: {-1: ok, 1: good}}"), 2);
    ck_assert_uint_eq(parse("{name: a, kind: command, argv: [x], env: {'1A': x, 'A=B': y}}"), 2);
    ck_assert_uint_ge(parse("{name: a, kind: command, argv: [x], output_cap: 10}"), 1);
}
END_TEST

START_TEST(start_carries_environment_and_folder)
{
    struct rb_child_spec child;
    ck_assert_uint_eq(parse("{name: a, kind: command, argv: [x, '$HOME'], env: {A: 'b c', E: null}, cwd: sub}"), 0);
    ck_assert(rb_kind_command.child->command(&ctx, &child, &out));
    ck_assert_str_eq(child.argv[1], "$HOME");
    ck_assert_ptr_null(child.argv[2]);
    ck_assert_str_eq(child.env[0], "A=b c");
    ck_assert_str_eq(child.env[1], "E=");
    ck_assert_ptr_null(child.env[2]);
    ck_assert_str_eq(child.cwd, "sub");
    ck_assert_uint_eq(child.output_cap, 65536);
}
END_TEST

static const struct {
    const char *yaml;
    int code;
    enum rb_result result;
} codes[] = {
    {PLAIN, 0, RB_RESULT_OK},
    {PLAIN, 1, RB_RESULT_WARN},
    {PLAIN, 2, RB_RESULT_FAIL},
    {PLAIN, 3, RB_RESULT_UNKNOWN},
    {PLAIN, 4, RB_RESULT_UNKNOWN},
    {PLAIN, 255, RB_RESULT_UNKNOWN},
    {"{name: a, kind: command, argv: [x], exit: {0: ok, 1: fail, 2: warn, 3: skip}}", 1, RB_RESULT_FAIL},
    {"{name: a, kind: command, argv: [x], exit: {0: ok, 1: fail, 2: warn, 3: skip}}", 2, RB_RESULT_WARN},
    {"{name: a, kind: command, argv: [x], exit: {0: ok, 1: fail, 2: warn, 3: skip}}", 3, RB_RESULT_SKIP},
    {"{name: a, kind: command, argv: [x], exit: {0: ok, 1: fail, 2: warn, 3: skip}}", 9, RB_RESULT_UNKNOWN},
    {"{name: a, kind: command, argv: [x], exit: {1: fail}}", 0, RB_RESULT_OK},
    {"{name: a, kind: command, argv: [x], exit: {0: fail, 1: ok}}", 0, RB_RESULT_FAIL},
};

START_TEST(exit_codes_have_their_meaning)
{
    judge(codes[_i].yaml, (struct rb_child_result){.end = RB_CHILD_EXITED, .code = codes[_i].code, .program = "/x"});
    ck_assert_int_eq(out.result, codes[_i].result);
    ck_assert_str_eq(out.reason, codes[_i].result == RB_RESULT_OK ? "none" : "exit");
    ck_assert_uint_eq(out.value_count, 1);
    ck_assert(out.values[0].number == codes[_i].code);
}
END_TEST

START_TEST(nagios_output_becomes_message_evidence_and_perfdata)
{
    judge(PLAIN, (struct rb_child_result){.end = RB_CHILD_EXITED,
                                          .code = 2,
                                          .program = "/x",
                                          .out = "DISK CRITICAL - / 95 % | /=95%;80;90\nlong one\r\nlong two | 'a b'=5ms\nc=1KB\nd=2c\n",
                                          .err = "on stderr\n"});
    ck_assert_str_eq(out.message, "DISK CRITICAL - / 95 % (exit code 2)");
    ck_assert_uint_eq(out.evidence_count, 2);
    ck_assert_str_eq(out.evidence[0], "long one");
    ck_assert_str_eq(out.evidence[1], "long two");
    ck_assert_uint_eq(out.value_count, 5);
    ck_assert_str_eq(out.values[0].name, "ratio");
    ck_assert_str_eq(out.values[3].name, "total");
    ck_assert_str_eq(out.last_words[out.last_words_count - 1], "on stderr");
}
END_TEST

START_TEST(bars_that_are_no_perfdata_stay_text)
{
    judge(PLAIN, (struct rb_child_result){.end = RB_CHILD_EXITED, .out = "a | b\n| x | y=1 |\n"});
    ck_assert_str_eq(out.message, "a | b");
    ck_assert_uint_eq(out.value_count, 1);
    ck_assert_str_eq(out.evidence[0], "| x | y=1 |");
    judge("{name: a, kind: command, argv: [x], perfdata: false}", (struct rb_child_result){.end = RB_CHILD_EXITED, .out = "a | b=1"});
    ck_assert_str_eq(out.message, "a | b=1");
    ck_assert_uint_eq(out.value_count, 1);
    ck_assert_uint_eq(out.last_words_count, 0);
}
END_TEST

START_TEST(other_ends_are_told_apart)
{
    judge(PLAIN, (struct rb_child_result){.end = RB_CHILD_TIMEOUT, .err = "still waiting"});
    ck_assert_int_eq(out.result, RB_RESULT_FAIL);
    ck_assert_str_eq(out.reason, "timeout");
    ck_assert_str_eq(out.last_words[0], "still waiting");
    judge(PLAIN, (struct rb_child_result){.end = RB_CHILD_SIGNALED, .code = SIGSEGV});
    ck_assert_int_eq(out.result, RB_RESULT_FAIL);
    ck_assert_str_eq(out.reason, "signaled");
    judge(PLAIN, (struct rb_child_result){.end = RB_CHILD_NOT_FOUND, .code = 2, .program = "x"});
    ck_assert_int_eq(out.result, RB_RESULT_UNKNOWN);
    ck_assert_str_eq(out.reason, "not_found");
    judge(PLAIN, (struct rb_child_result){.end = RB_CHILD_NOT_EXECUTABLE, .code = 13, .program = "x"});
    ck_assert_str_eq(out.reason, "not_executable");
    judge(PLAIN, (struct rb_child_result){.end = RB_CHILD_SPAWN_FAILED, .code = 2, .program = "x"});
    ck_assert_int_eq(out.result, RB_RESULT_UNKNOWN);
    ck_assert_str_eq(out.reason, "not_started");
}
END_TEST

static bool mentions(const char *word)
{
    bool found = strstr(out.message, word) != NULL;
    for (size_t i = 0; i < out.evidence_count; i++)
        found = found || strstr(out.evidence[i], word);
    for (size_t i = 0; i < out.last_words_count; i++)
        found = found || strstr(out.last_words[i], word);
    return found;
}

START_TEST(secrets_do_not_come_out)
{
    const char *yaml = "{name: a, kind: command, argv: [x], env: {KEY: plainlooking}}";
    ck_assert_uint_eq(parse(yaml), 0);
    struct rb_node *value;
    memcpy(&value, &rb_node_get(spec.node, "env")->items[0], sizeof value);
    value->secret = true; /* as if it had come from !file */
    struct rb_child_result result = {.end = RB_CHILD_EXITED,
                                     .code = 2,
                                     .program = "/x",
                                     .out = "got plainlooking\nplainlookingplainlooking end\npassword=hunter2hunter2\n"
                                            "-----BEGIN PRIVATE KEY-----\nTUlJRXZRSUJBREFOQmdrcWhraUc5dzBC\n-----END PRIVATE KEY-----\n",
                                     .err = "plainlooking"};
    result.out_len = strlen(result.out);
    result.err_len = strlen(result.err);
    rb_outcome_init(&out, arena);
    rb_kind_command.child->judge(&ctx, &result, &out);
    ck_assert(!mentions("plainlooking"));
    ck_assert(!mentions("hunter2"));
    ck_assert(!mentions("TUlJRXZR"));
    ck_assert(mentions("got [redacted]"));
    ck_assert(mentions("end"));
}
END_TEST

START_TEST(long_output_is_bounded)
{
    char *text = malloc(300001);
    for (int i = 0; i < 300000; i++)
        text[i] = i % 5000 == 4999 ? '\n' : 'x';
    text[300000] = '\0';
    judge(PLAIN, (struct rb_child_result){.end = RB_CHILD_EXITED, .code = 1, .out = text, .truncated = true});
    ck_assert_uint_le(strlen(out.message), RB_OUTCOME_MAX_TEXT);
    ck_assert_ptr_nonnull(strstr(out.message, "(exit code 1)"));
    ck_assert_uint_le(out.evidence_count, 10);
    ck_assert(mentions("left out"));
    free(text);
}
END_TEST

/* Through the engine: what the kind says of real programs. */
static void run_real(struct run_fixture *fixture, const char *yaml, int64_t timeout_ms)
{
    struct rb_error err = {0};
    struct rb_children *children = rb_children_new(ev_default_loop(0), rb_platform_host(), &err);
    ck_assert_ptr_nonnull(children);
    ck_assert_uint_eq(parse(yaml), 0);
    run_fixture_init(fixture, &rb_kind_command, ctx.options, "/tmp", timeout_ms);
    fixture->spec.node = spec.node;
    rb_children_start(children, &fixture->run);
    ck_assert(run_fixture_wait(ev_default_loop(0), &fixture->finished, 8));
    rb_children_free(children);
}

/* The fingerprint of the first new finding. */
static void first_print(char out_print[17])
{
    for (size_t i = 0; i < out.evidence_count; i++) {
        const char *bracket = strncmp(out.evidence[i], "new: ", 5) == 0 ? strrchr(out.evidence[i], '[') : NULL;
        if (bracket) {
            snprintf(out_print, 17, "%.16s", bracket + 1);
            return;
        }
    }
    ck_abort_msg("no new finding in the evidence");
}

#define RATCHET "{name: a, kind: command, argv: [x], exit: {0: ok, 1: fail}, accepted: list, findings: '^[^ :]+:[0-9]+:'}"
static void judge_in(const struct scratch *scratch, const char *yaml, const char *text, bool truncated)
{
    ck_assert_uint_eq(parse(yaml), 0);
    ctx.root = scratch->path;
    ctx.state = rb_arena_alloc(arena, rb_kind_command.child->state_size);
    rb_outcome_init(&out, arena);
    ck_assert(rb_kind_looks(&rb_kind_command, ctx.options));
    rb_kind_command.run(&ctx, &out);
    ck_assert(!out.final);
    ctx.root = "/nowhere"; /* judge() runs on the loop thread and reads no file */
    struct rb_child_result result = {
        .end = RB_CHILD_EXITED, .code = 1, .out = text, .out_len = strlen(text), .err = "", .truncated = truncated};
    rb_kind_command.child->judge(&ctx, &result, &out);
    ck_assert_ptr_nonnull(rb_kind_reason(&rb_kind_command, out.reason));
}

START_TEST(accepted_findings_stay_quiet)
{
    struct scratch scratch;
    char print[17], list[64];
    scratch_make(&scratch);
    judge_in(&scratch, RATCHET, "Found 1 pattern:\ndocs/a.md:12: live = true\n", false);
    ck_assert_int_eq(out.result, RB_RESULT_FAIL);
    ck_assert_str_eq(out.reason, "new_findings");
    ck_assert_str_eq(out.message, "1 new findings (0 accepted), first: docs/a.md:12: live = true");
    first_print(print);
    snprintf(list, sizeof list, "# settled\n%s PR #12\n", print);
    scratch_write(&scratch, "list", list);
    judge_in(&scratch, RATCHET, "Found 1 pattern:\r\ndocs/a.md:99: live = true\r\nTotal", false); /* moved */
    ck_assert_msg(out.result == RB_RESULT_OK, "%s", out.message);
    ck_assert_str_eq(out.message, "1 findings, all accepted; 0 new");
    judge_in(&scratch, RATCHET, "docs/a.md:1: live = true\ndocs/a.md:2: live = true\n", false); /* one more of the same */
    ck_assert_int_eq(out.result, RB_RESULT_FAIL);
    ck_assert_str_eq(out.message, "1 new findings (1 accepted), first: docs/a.md:2: live = true");
    judge_in(&scratch, RATCHET, "docs/b.md:12: live = true\n", false);
    ck_assert_int_eq(out.result, RB_RESULT_FAIL);
    judge_in(&scratch, RATCHET, "docs/a.md:1: live = true\n", true); /* what was cut may be new */
    ck_assert_str_eq(out.reason, "exit");
    judge_in(&scratch, RATCHET, "cannot read docs\n", false); /* it failed in another way */
    ck_assert_int_eq(out.result, RB_RESULT_FAIL);
    ck_assert_str_eq(out.reason, "exit");
    scratch_write(&scratch, "list", "not a fingerprint\n");
    judge_in(&scratch, RATCHET, "docs/a.md:1: live = true\n", false);
    ck_assert_int_eq(out.result, RB_RESULT_UNKNOWN);
    ck_assert_str_eq(out.reason, "accepted_unreadable");
    scratch_remove(&scratch);
}
END_TEST

START_TEST(every_line_is_a_finding_by_default)
{
    struct scratch scratch;
    scratch_make(&scratch);
    judge_in(&scratch, "{name: a, kind: command, argv: [x], exit: {1: warn}, ratchet: true}", "\n  one\n\n two\n", false);
    ck_assert_int_eq(out.result, RB_RESULT_WARN);
    ck_assert_str_eq(out.message, "2 new findings (0 accepted), first:   one");
    char *many = malloc(3000 * 8 + 1);
    ck_assert_ptr_nonnull(many);
    for (size_t i = 0; i < 3000; i++)
        snprintf(many + 8 * i, 9, "f%06zu\n", i);
    judge_in(&scratch, "{name: a, kind: command, argv: [x], exit: {1: fail}, ratchet: true}", many, false);
    ck_assert_int_eq(out.result, RB_RESULT_FAIL);
    ck_assert_str_eq(out.reason, "exit");
    free(many);
    scratch_remove(&scratch);
}
END_TEST

START_TEST(real_programs)
{
    struct run_fixture fixture;
    run_real(&fixture, "{name: a, kind: command, argv: [sh, -c, 'echo \"$GREETING | t=1.5s\"; pwd'], env: {GREETING: hello}}", 5000);
    ck_assert_int_eq(fixture.result, RB_RESULT_OK);
    ck_assert_str_eq(fixture.message, "hello");
    ck_assert_str_eq(fixture.run.outcome.evidence[0], "/tmp");
    ck_assert_str_eq(fixture.run.outcome.facts[0].key, "program");
    ck_assert_int_eq(fixture.run.outcome.facts[0].value[0], '/');
    run_fixture_fini(&fixture);
    run_real(&fixture, "{name: a, kind: command, argv: [rb-no-such-program]}", 5000);
    ck_assert_str_eq(fixture.reason, "not_found");
    run_fixture_fini(&fixture);
    run_real(&fixture, "{name: a, kind: command, argv: [sleep, '30']}", 200);
    ck_assert_int_eq(fixture.result, RB_RESULT_FAIL);
    ck_assert_str_eq(fixture.reason, "timeout");
    run_fixture_fini(&fixture);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("kind_command");
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, options_are_checked);
    tcase_add_test(tcase, start_carries_environment_and_folder);
    tcase_add_loop_test(tcase, exit_codes_have_their_meaning, 0, (int)(sizeof codes / sizeof codes[0]));
    tcase_add_test(tcase, nagios_output_becomes_message_evidence_and_perfdata);
    tcase_add_test(tcase, bars_that_are_no_perfdata_stay_text);
    tcase_add_test(tcase, other_ends_are_told_apart);
    tcase_add_test(tcase, secrets_do_not_come_out);
    tcase_add_test(tcase, long_output_is_bounded);
    tcase_add_test(tcase, accepted_findings_stay_quiet);
    tcase_add_test(tcase, every_line_is_a_finding_by_default);
    tcase_add_test(tcase, real_programs);
    Suite *suite = suite_create("kind_command");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
