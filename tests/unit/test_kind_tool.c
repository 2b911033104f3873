/* The tool kind: what a program printed and how it ended, judged without starting one. */
#include <errno.h>
#include <stdio.h>

#include "../support/check_main.h"
#include "../support/kind_run.h"

extern const struct rb_kind rb_kind_tool;

static void judge(struct kind_run *run, const char *yaml, const struct rb_child_result *result)
{
    if (!kind_run_init(run, &rb_kind_tool, yaml))
        ck_abort_msg("%s: %s", yaml, run->diags.count ? run->diags.items[0].message : "?");
    struct rb_child_spec spec = {0};
    ck_assert(rb_kind_tool.child->command(&run->ctx, &spec, &run->outcome));
    ck_assert_str_eq(spec.argv[0], "/opt/py/python3");
    ck_assert_ptr_null(spec.argv[2]);
    ck_assert_uint_gt(spec.output_cap, 0);
    rb_kind_tool.child->judge(&run->ctx, result, &run->outcome);
    kind_run_verify(run);
}

static void expect(const char *options, const char *printed, enum rb_result result, const char *reason)
{
    char yaml[512];
    ck_assert_int_lt(snprintf(yaml, sizeof yaml, "{name: x, kind: tool, argv: [/opt/py/python3, --version]%s}", options), (int)sizeof yaml);
    struct kind_run run;
    judge(&run, yaml,
          &(struct rb_child_result){.end = RB_CHILD_EXITED, .out = printed, .out_len = strlen(printed), .err = "", .err_len = 0});
    ck_assert_msg(run.outcome.result == result, "%s on %s: %s", options, printed, run.outcome.message);
    ck_assert_str_eq(run.outcome.reason, reason);
    kind_run_fini(&run);
}

START_TEST(bounds)
{
    expect("", "Python 3.11.2\n", RB_RESULT_OK, "none");
    expect(", min: '3.11'", "Python 3.11.0\n", RB_RESULT_OK, "none");
    expect(", min: '3.11'", "Python 3.9.18\n", RB_RESULT_FAIL, "too_old");
    expect(", min: '3.11'", "Python 3.11.0rc2\n", RB_RESULT_FAIL, "too_old");
    expect(", max: '3.12'", "Python 3.12.9\n", RB_RESULT_OK, "none");
    expect(", max: '3.12'", "Python 3.13.0\n", RB_RESULT_FAIL, "too_new");
    expect(", below: '4'", "Python 3.99\n", RB_RESULT_OK, "none");
    expect(", below: '4'", "Python 4.0.0b1\n", RB_RESULT_FAIL, "too_new");
    expect(", min: 3.10", "Python 3.9.1\n", RB_RESULT_FAIL, "too_old");
}
END_TEST

START_TEST(pattern_picks_the_version)
{
    expect(", pattern: 'engine ([0-9.]+)', min: '20'", "client 1.0\nengine 20.10.24\n", RB_RESULT_OK, "none");
    expect(", pattern: 'engine ([0-9.]+)'", "client 1.0\n", RB_RESULT_FAIL, "no_version");
    expect(", pattern: '^v(.*)$'", "vnext\n", RB_RESULT_FAIL, "no_version");
    /* A pattern that explodes ends at its match limit instead of hanging. */
    char bomb[4096];
    memset(bomb, 'a', sizeof bomb - 1);
    bomb[sizeof bomb - 1] = '\0';
    expect(", pattern: '((a+)+)+b'", bomb, RB_RESULT_FAIL, "no_version");
}
END_TEST

START_TEST(standard_error_counts)
{
    struct kind_run run;
    judge(&run, "{name: x, kind: tool, argv: [/opt/py/python3, --version], min: '2.7'}",
          &(struct rb_child_result){.end = RB_CHILD_EXITED, .code = 3, .out = "", .err = "Python 2.7.18\n", .err_len = 14});
    ck_assert_int_eq(run.outcome.result, RB_RESULT_OK);
    ck_assert_str_eq(run.outcome.message, "python3 2.7.18");
    ck_assert(kind_run_has_evidence(&run, "exited with 3"));
    ck_assert_int_eq(run.outcome.sighting, RB_SIGHTING_PRESENT);
    ck_assert_str_eq(kind_run_fact(&run, "program"), "/opt/py/python3");
    kind_run_fini(&run);
}
END_TEST

START_TEST(every_end_has_its_reason)
{
    static const struct {
        enum rb_child_end end;
        int code;
        enum rb_result result;
        const char *reason;
        enum rb_sighting sighting;
    } cases[] = {{RB_CHILD_NOT_FOUND, ENOENT, RB_RESULT_FAIL, "not_found", RB_SIGHTING_GONE},
                 {RB_CHILD_NOT_EXECUTABLE, EACCES, RB_RESULT_FAIL, "not_executable", RB_SIGHTING_PRESENT},
                 {RB_CHILD_TIMEOUT, 9, RB_RESULT_FAIL, "timeout", RB_SIGHTING_PRESENT},
                 {RB_CHILD_SIGNALED, 11, RB_RESULT_FAIL, "crashed", RB_SIGHTING_PRESENT},
                 {RB_CHILD_EXITED, 1, RB_RESULT_FAIL, "no_version", RB_SIGHTING_PRESENT},
                 {RB_CHILD_SPAWN_FAILED, EAGAIN, RB_RESULT_UNKNOWN, "not_started", RB_SIGHTING_NONE}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct kind_run run;
        judge(&run, "{name: x, kind: tool, argv: [/opt/py/python3, --version]}",
              &(struct rb_child_result){
                  .end = cases[i].end, .code = cases[i].code, .out = "", .err = "broken pipe\n", .err_len = 12, .duration_s = 10});
        ck_assert_int_eq(run.outcome.result, cases[i].result);
        ck_assert_str_eq(run.outcome.reason, cases[i].reason);
        ck_assert_int_eq(run.outcome.sighting, cases[i].sighting);
        ck_assert_uint_eq(run.outcome.hint_count, 1);
        ck_assert_str_eq(run.outcome.hints[0], "/opt/py/python3 '--version'");
        kind_run_fini(&run);
    }
}
END_TEST

START_TEST(hostile_output_stays_bounded)
{
    char *junk = malloc(65536);
    ck_assert_ptr_nonnull(junk);
    memset(junk, '9', 65536);
    struct kind_run run;
    judge(&run, "{name: x, kind: tool, argv: [/opt/py/python3, --version]}",
          &(struct rb_child_result){.end = RB_CHILD_EXITED, .out = junk, .out_len = 65536, .err = ""});
    ck_assert_str_eq(run.outcome.reason, "no_version");
    kind_run_fini(&run);
    free(junk);
}
END_TEST

START_TEST(mistakes_are_told)
{
    struct kind_run run;
    ck_assert(!kind_run_init(&run, &rb_kind_tool, "{name: x, kind: tool}"));
    kind_run_fini(&run);
    ck_assert(!kind_run_init(&run, &rb_kind_tool, "{name: x, kind: tool, argv: python3 --version}"));
    kind_run_fini(&run);
    ck_assert(!kind_run_init(&run, &rb_kind_tool, "{name: x, kind: tool, argv: [p], min: newest}"));
    ck_assert(kind_run_diag(&run, "is no version"));
    kind_run_fini(&run);
    ck_assert(!kind_run_init(&run, &rb_kind_tool, "{name: x, kind: tool, argv: [p], min: '3.11', max: '3.9'}"));
    ck_assert(kind_run_diag(&run, "no version could pass"));
    kind_run_fini(&run);
}
END_TEST

RB_TEST_MAIN("kind_tool", bounds, pattern_picks_the_version, standard_error_counts, every_end_has_its_reason, hostile_output_stays_bounded,
             mistakes_are_told)
