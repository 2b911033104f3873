/* Scans end to end: gathering, the helper process (this very binary started again), what crosses the pipe, and helpers that die, hang or
 * lie.
 *
 * The kinds below are the test's own: `probe` counts files and shows its options, `poison` kills the helper at one file. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/run_fixture.h"
#include "engine/scan_wire.h"

struct probe_options {
    const char *text;
    int64_t number;
    struct rb_pairs pairs;
    bool slow;
};

static const struct rb_option probe_table[] = {
    {.name = "text", .type = RB_OPT_STRING, .offset = offsetof(struct probe_options, text), .doc = "Text."},
    {.name = "number", .type = RB_OPT_INT, .offset = offsetof(struct probe_options, number), .doc = "Number.", .fallback = "7"},
    {.name = "pairs", .type = RB_OPT_PAIRS, .offset = offsetof(struct probe_options, pairs), .doc = "Pairs."},
    {.name = "slow", .type = RB_OPT_BOOL, .offset = offsetof(struct probe_options, slow), .doc = "Hangs.", .fallback = "false"},
    {NULL}};
static const struct rb_value_def probe_values[] = {{"files", "", RB_VALUE_GAUGE, "Files seen.", NULL}, {NULL}};

static void begin(const struct rb_check_ctx *ctx, void *state, struct rb_scan_request *out)
{
    (void)ctx;
    (void)state;
    *out = (struct rb_scan_request){.tracked = true, .untracked = true, .max_file_bytes = 1 << 20};
}

static void visit(const struct rb_check_ctx *ctx, void *state, const struct rb_scan_file *file, struct rb_outcome *out)
{
    const struct probe_options *options = ctx->options;
    (*(size_t *)state)++;
    rb_outcome_evidence(out, "%s", file->path);
    if (options->slow)
        sleep(30);
}

static void finish_probe(const struct rb_check_ctx *ctx, void *state, const struct rb_scan_summary *summary, struct rb_outcome *out)
{
    const struct probe_options *options = ctx->options;
    rb_outcome_value(out, "files", NULL, (double)*(size_t *)state);
    rb_outcome_say(out, "%s %s %lld %s=%s %s", ctx->spec->name, options->text ? options->text : "-", (long long)options->number,
                   options->pairs.count ? options->pairs.items[0].key : "-", options->pairs.count ? options->pairs.items[0].value : "-",
                   summary->complete ? "complete" : "incomplete");
}

static void visit_poison(const struct rb_check_ctx *ctx, void *state, const struct rb_scan_file *file, struct rb_outcome *out)
{
    (void)ctx;
    (void)state;
    (void)out;
    if (strcmp(file->path, "bad.txt") == 0)
        (void)raise(SIGKILL);
}

static const struct rb_scan_ops probe_ops = {.state_size = sizeof(size_t), .begin = begin, .visit = visit, .finish = finish_probe};
static const struct rb_scan_ops poison_ops = {.state_size = sizeof(size_t), .begin = begin, .visit = visit_poison, .finish = finish_probe};
static const struct rb_kind probe = {
    .schema = {.schema = {.name = "probe", .doc = "Probe.", .options = probe_table, .size = sizeof(struct probe_options)}},
    .values = probe_values,
    .exec = RB_EXEC_SCAN,
    .scan = &probe_ops};
static const struct rb_kind poison = {
    .schema = {.schema = {.name = "poison", .doc = "Poison.", .options = probe_table, .size = sizeof(struct probe_options)}},
    .values = probe_values,
    .exec = RB_EXEC_SCAN,
    .scan = &poison_ops};
static const struct rb_kind_schema *const kind_rows[] = {&probe.schema, &poison.schema, NULL};
static const struct rb_kind_list kinds = {.items = kind_rows, .count = 2};

/* ---- a small tree and runs over it ---- */

static char root[64];
static struct rb_arena *arena;
static struct rb_children *children;
static struct rb_scans *scans;

static void write_file(const char *name, const char *text, mode_t mode)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", root, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void remove_file(const char *name)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", root, name);
    (void)unlink(path);
}

static void set_up(void)
{
    struct rb_error err = {0};
    snprintf(root, sizeof root, "/tmp/rb-scans-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    write_file("good.txt", "good", 0644);
    write_file("bad.txt", "bad", 0644);
    arena = rb_arena_new(1 << 20);
    children = rb_children_new(ev_default_loop(0), rb_platform_host(), &err);
    scans = rb_scans_new(ev_default_loop(0), children, rb_platform_host(), &err);
    ck_assert_msg(children && scans, "%s", err.message);
}

static void tear_down(void)
{
    rb_scans_free(scans);
    rb_children_free(children);
    rb_arena_free(arena);
    remove_file("good.txt");
    remove_file("bad.txt");
    remove_file("helper");
    ck_assert_int_eq(rmdir(root), 0);
}

static void prepare(struct run_fixture *fixture, const struct rb_kind *kind, const char *yaml, int64_t timeout_ms)
{
    struct rb_diags *diags = rb_arena_alloc(arena, sizeof *diags);
    struct rb_node *node = NULL;
    rb_diags_init(diags, arena);
    ck_assert_int_eq(rb_node_load_text("test", "/", yaml, strlen(yaml), NULL, arena, diags, &node), 0);
    run_fixture_init(fixture, kind, NULL, root, timeout_ms);
    fixture->spec.node = node;
}

static void run_all(struct run_fixture *fixtures, size_t count)
{
    for (size_t i = 0; i < count; i++)
        rb_scans_start(scans, &fixtures[i].run);
    for (size_t i = 0; i < count; i++)
        ck_assert(run_fixture_wait(ev_default_loop(0), &fixtures[i].finished, 10));
}

START_TEST(one_helper_serves_all_and_options_arrive_unchanged)
{
    struct run_fixture fixtures[2];
    prepare(&fixtures[0], &probe, "{name: a, kind: probe, every: 5s, text: 1.10, pairs: {k: v}}", 5000);
    prepare(&fixtures[1], &probe, "{name: b, kind: probe, text: '0x1F', number: 12}", 5000);
    /* What the configuration has already expanded is not expanded again. */
    struct rb_node *value;
    memcpy(&value, &rb_node_get(fixtures[0].spec.node, "pairs")->items[0], sizeof value);
    value->scalar = "${NOT_AGAIN}";
    run_all(fixtures, 2);
    ck_assert_msg(fixtures[0].result == RB_RESULT_OK, "%s: %s", fixtures[0].reason, fixtures[0].message);
    ck_assert_str_eq(fixtures[0].message, "test 1.10 7 k=${NOT_AGAIN} complete");
    ck_assert_str_eq(fixtures[1].message, "test 0x1F 12 -=- complete");
    ck_assert_uint_eq(fixtures[0].run.outcome.value_count, 1);
    ck_assert(fixtures[0].run.outcome.values[0].number == 2);
    ck_assert_str_eq(fixtures[0].run.outcome.evidence[0], "bad.txt");
    struct rb_scan_stats stats = rb_scans_stats(scans);
    ck_assert_uint_eq(stats.runs, 1);
    ck_assert_uint_eq(stats.failures, 0);
    ck_assert(!stats.active);
    ck_assert_int_gt(stats.peak_resident_bytes, 1 << 20);
    ck_assert_int_lt(stats.peak_resident_bytes, INT64_C(4) << 30);
    for (int i = 0; i < 2; i++)
        run_fixture_fini(&fixtures[i]);
}
END_TEST

/* A scheduled one waits for company; with one that somebody waits for, both start a few milliseconds later. */
START_TEST(what_is_urgent_is_not_gathered_for_long)
{
    struct run_fixture fixtures[2];
    prepare(&fixtures[0], &probe, "{name: a, kind: probe}", 5000);
    prepare(&fixtures[1], &probe, "{name: b, kind: probe}", 5000);
    fixtures[1].run.urgent = true;
    rb_scans_start(scans, &fixtures[0].run);
    ck_assert(!rb_scans_stats(scans).active);
    rb_scans_start(scans, &fixtures[1].run);
    (void)usleep(5000);
    (void)ev_run(ev_default_loop(0), EVRUN_NOWAIT);
    ck_assert(rb_scans_stats(scans).active);
    for (size_t i = 0; i < 2; i++) {
        ck_assert(run_fixture_wait(ev_default_loop(0), &fixtures[i].finished, 10));
        ck_assert_int_eq(fixtures[i].result, RB_RESULT_OK);
        run_fixture_fini(&fixtures[i]);
    }
    ck_assert_uint_eq(rb_scans_stats(scans).runs, 1);
}
END_TEST

START_TEST(poisoned_file_blinds_only_its_check)
{
    struct run_fixture fixtures[3];
    prepare(&fixtures[0], &probe, "{name: a, kind: probe}", 5000);
    prepare(&fixtures[1], &poison, "{name: b, kind: poison}", 5000);
    prepare(&fixtures[2], &probe, "{name: c, kind: probe}", 5000);
    run_all(fixtures, 3);
    ck_assert_int_eq(fixtures[0].result, RB_RESULT_OK);
    ck_assert_int_eq(fixtures[2].result, RB_RESULT_OK);
    ck_assert_int_eq(fixtures[1].result, RB_RESULT_UNKNOWN);
    ck_assert_str_eq(fixtures[1].reason, "scan_helper_died");
    ck_assert_ptr_nonnull(strstr(fixtures[1].message, "signal 9"));
    ck_assert_uint_eq(rb_scans_stats(scans).runs, 4);
    ck_assert_uint_eq(rb_scans_stats(scans).failures, 2);
    for (int i = 0; i < 3; i++)
        run_fixture_fini(&fixtures[i]);
}
END_TEST

START_TEST(hanging_helper_is_ended)
{
    struct run_fixture fixture;
    prepare(&fixture, &probe, "{name: a, kind: probe, slow: true}", 200);
    run_all(&fixture, 1);
    ck_assert_int_eq(fixture.result, RB_RESULT_UNKNOWN);
    ck_assert_str_eq(fixture.reason, "timeout");
    ck_assert(fixture.after_s < 4);
    ck_assert_uint_eq(rb_children_running(children), 0);
    run_fixture_fini(&fixture);
}
END_TEST

START_TEST(options_that_do_not_parse_say_so)
{
    struct run_fixture fixture;
    prepare(&fixture, &probe, "{name: a, kind: probe, number: many}", 5000);
    run_all(&fixture, 1);
    ck_assert_int_eq(fixture.result, RB_RESULT_UNKNOWN);
    ck_assert_str_eq(fixture.reason, "internal_error");
    run_fixture_fini(&fixture);
}
END_TEST

static void run_with_helper(struct run_fixture *fixture, const char *script)
{
    char path[160];
    struct rb_error err;
    write_file("helper", script, 0755);
    snprintf(path, sizeof path, "%s/helper", root);
    ck_assert_int_eq(rb_scans_set_helper(scans, path, &err), 0);
    prepare(fixture, &probe, "{name: a, kind: probe}", 3000);
    run_all(fixture, 1);
    ck_assert_int_eq(fixture->result, RB_RESULT_UNKNOWN);
    ck_assert_str_eq(fixture->reason, "scan_helper_died");
    run_fixture_fini(fixture);
}

START_TEST(helpers_that_lie_are_not_believed)
{
    struct run_fixture fixture;
    run_with_helper(&fixture, "#!/bin/sh\necho nonsense\n");
    ck_assert_ptr_nonnull(strstr(fixture.message, "cannot be read"));
    run_with_helper(&fixture, "#!/bin/sh\nexit 0\n");
    ck_assert_ptr_nonnull(strstr(fixture.message, "before it reported"));
    run_with_helper(&fixture, "#!/bin/sh\necho 'no more memory' >&2; exit 9\n");
    ck_assert_ptr_nonnull(strstr(fixture.message, "no more memory"));
    ck_assert_ptr_nonnull(strstr(fixture.message, "code 9"));
    run_with_helper(&fixture, "not a program");
    struct rb_error err;
    ck_assert_int_eq(rb_scans_set_helper(scans, "relative", &err), RB_EINVAL);
}
END_TEST

START_TEST(free_cancels_waiting_and_running)
{
    struct run_fixture running, waiting;
    prepare(&running, &probe, "{name: a, kind: probe, slow: true}", 60000);
    prepare(&waiting, &probe, "{name: b, kind: probe}", 60000);
    rb_scans_start(scans, &running.run);
    bool never = false;
    (void)run_fixture_wait(ev_default_loop(0), &never, 0.4);
    ck_assert(rb_scans_stats(scans).active);
    rb_scans_start(scans, &waiting.run);
    rb_scans_free(scans);
    scans = NULL;
    ck_assert_str_eq(running.reason, "cancelled");
    ck_assert_str_eq(waiting.reason, "cancelled");
    run_fixture_fini(&running);
    run_fixture_fini(&waiting);
}
END_TEST

START_TEST(broken_jobs_are_refused)
{
    static const char *const jobs[] = {"",
                                       "[]",
                                       "{}",
                                       "{\"root\":\"relative\",\"timeout_ms\":1,\"checks\":[]}",
                                       "{\"root\":\"/\",\"timeout_ms\":1,\"checks\":[{}]}",
                                       "{\"root\":\"/\",\"timeout_ms\":1,\"checks\":[{\"name\":\"a\",\"kind\":\"b\",\"node\":\"?x\"}]}",
                                       "{\"root\":\"/\",\"timeout_ms\":1,\"checks\":[{\"name\":\"a\",\"kind\":\"b\",\"node\":5}]}"};
    struct scan_job job;
    struct rb_error err;
    for (size_t i = 0; i < sizeof jobs / sizeof jobs[0]; i++)
        ck_assert_int_eq(scan_job_read(jobs[i], strlen(jobs[i]), arena, &job, &err), RB_EPARSE);
    static const char other[] = "{\"version\":\"0.0.0-other\",\"root\":\"/\",\"timeout_ms\":1,\"checks\":[]}";
    ck_assert_int_eq(scan_job_read(other, strlen(other), arena, &job, &err), RB_EUNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.message, "0.0.0-other"));
    ck_assert_int_eq(scan_job_read(other + 25, strlen(other + 25), arena, &job, &err), RB_EPARSE);
}
END_TEST

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--scan-helper") == 0)
        return scan_helper_run(&kinds, STDIN_FILENO, STDOUT_FILENO);
    TCase *tcase = tcase_create("scans");
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, one_helper_serves_all_and_options_arrive_unchanged);
    tcase_add_test(tcase, what_is_urgent_is_not_gathered_for_long);
    tcase_add_test(tcase, poisoned_file_blinds_only_its_check);
    tcase_add_test(tcase, hanging_helper_is_ended);
    tcase_add_test(tcase, options_that_do_not_parse_say_so);
    tcase_add_test(tcase, helpers_that_lie_are_not_believed);
    tcase_add_test(tcase, free_cancels_waiting_and_running);
    tcase_add_test(tcase, broken_jobs_are_refused);
    Suite *suite = suite_create("scans");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
