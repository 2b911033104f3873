/* The host kind against a made-up machine whose numbers each test sets. */
#include <errno.h>

#include "../support/check_main.h"
#include "../support/kind_run.h"

extern const struct rb_kind rb_kind_host;

static struct rb_disk_info disk;
static int disk_code;
static struct rb_load_info load;

static int fake_disk(struct rb_arena *arena RB_UNUSED, const char *path, struct rb_disk_info *out, struct rb_error *err)
{
    if (disk_code < 0) {
        (void)rb_error_set(err, disk_code, "%s cannot be measured", path);
        err->saved_errno = disk_code == RB_ENOTFOUND ? ENOENT : 0;
        return disk_code;
    }
    *out = disk;
    return 0;
}

static int fake_load(struct rb_load_info *out, struct rb_error *err RB_UNUSED)
{
    *out = load;
    return 0;
}

static int no_answer(struct rb_memory_info *out RB_UNUSED, struct rb_error *err)
{
    return rb_error_set(err, RB_EUNSUPPORTED, "this system does not tell");
}

static void setup(struct kind_run *run, const char *yaml)
{
    disk = (struct rb_disk_info){
        .mount_point = "/", .fs_type = "ext4", .total_bytes = 1000, .free_bytes = 500, .total_inodes = 100, .free_inodes = 50};
    disk_code = 0;
    load = (struct rb_load_info){
        .load1 = 1, .load5 = 2, .load15 = 3, .cpus = 4, .uptime_s = 86400, .open_files = 90, .max_open_files = 100};
    if (!kind_run_init(run, &rb_kind_host, yaml))
        ck_abort_msg("%s: %s", yaml, run->diags.count ? run->diags.items[0].message : "?");
    run->platform.disk_info = fake_disk;
    run->platform.load_info = fake_load;
}

START_TEST(facts_only_is_ok)
{
    struct kind_run run;
    setup(&run, "{name: x, kind: host}");
    kind_run_worker(&run);
    ck_assert_int_eq(run.outcome.result, RB_RESULT_OK);
    ck_assert_str_eq(run.outcome.message, "Null 1.0, kernel 6.1.0, x86_64, up 1 d");
    ck_assert_ptr_null(kind_run_value(&run, "disk_free", NULL));
    ck_assert_double_eq(kind_run_value(&run, "uptime", NULL)->number, 86400);
    ck_assert_double_eq(kind_run_value(&run, "memory_size", NULL)->number, 8.0 * 1024 * 1024 * 1024);
    kind_run_fini(&run);
}
END_TEST

START_TEST(disk_is_judged_at_its_limits)
{
    static const struct {
        int64_t left;
        enum rb_result result;
    } cases[] = {{100, RB_RESULT_OK}, {99, RB_RESULT_WARN}, {20, RB_RESULT_WARN}, {19, RB_RESULT_FAIL}, {0, RB_RESULT_FAIL}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct kind_run run;
        setup(&run, "{name: x, kind: host, disk: {path: /, warn_below: 10%, fail_below: 20B}}");
        disk.free_bytes = cases[i].left;
        kind_run_worker(&run);
        ck_assert_msg(run.outcome.result == cases[i].result, "%lld left: %s", (long long)cases[i].left, run.outcome.message);
        ck_assert_str_eq(run.outcome.reason, cases[i].result == RB_RESULT_OK ? "none" : "disk_low");
        ck_assert_double_eq(kind_run_value(&run, "disk_free", "/")->number, (double)cases[i].left);
        kind_run_fini(&run);
    }
}
END_TEST

START_TEST(disk_message_reads_like_df)
{
    struct kind_run run;
    setup(&run, "{name: x, kind: host, disk: {path: /, warn_below: 10%}}");
    disk.total_bytes = INT64_C(467) << 30;
    disk.free_bytes = INT64_C(42) << 30;
    kind_run_worker(&run);
    ck_assert_str_eq(run.outcome.message, "/ is 91 % full (42 GiB free)");
    ck_assert_int_eq(run.outcome.result, RB_RESULT_WARN);
    ck_assert_uint_gt(run.outcome.hint_count, 0);
    kind_run_fini(&run);
}
END_TEST

START_TEST(several_disks_inodes_and_read_only)
{
    struct kind_run run;
    setup(&run, "{name: x, kind: host, disks: [{path: /a, inodes_fail_below: 60%}, {path: b, writable: true}]}");
    disk.read_only = true;
    kind_run_worker(&run);
    ck_assert_int_eq(run.outcome.result, RB_RESULT_FAIL);
    ck_assert_str_eq(run.outcome.reason, "inodes_low");
    ck_assert(kind_run_has_evidence(&run, "b is mounted read-only"));
    ck_assert_ptr_nonnull(kind_run_value(&run, "disk_size", "/a"));
    ck_assert_ptr_nonnull(kind_run_value(&run, "disk_size", "b"));
    kind_run_fini(&run);
}
END_TEST

START_TEST(missing_path_fails_and_unreadable_is_unknown)
{
    static const struct {
        int code;
        enum rb_result result;
        const char *reason;
    } cases[] = {{RB_ENOTFOUND, RB_RESULT_FAIL, "path_missing"},
                 {RB_EPERM, RB_RESULT_UNKNOWN, "not_permitted"},
                 {RB_EUNSUPPORTED, RB_RESULT_UNKNOWN, "unsupported"},
                 {RB_ESYS, RB_RESULT_UNKNOWN, "unreadable"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct kind_run run;
        setup(&run, "{name: x, kind: host, disk: {path: gone}}");
        disk_code = cases[i].code;
        kind_run_worker(&run);
        ck_assert_int_eq(run.outcome.result, cases[i].result);
        ck_assert_str_eq(run.outcome.reason, cases[i].reason);
        ck_assert_str_eq(kind_run_fact(&run, "path"), "/srv/tree/gone");
        kind_run_fini(&run);
    }
}
END_TEST

START_TEST(load_counts_per_cpu)
{
    struct kind_run run;
    setup(&run, "{name: x, kind: host, load: {warn_above: 2, fail_above: 8}}");
    load.load5 = 8;
    kind_run_worker(&run);
    ck_assert_int_eq(run.outcome.result, RB_RESULT_OK);
    load.load5 = 8.1;
    kind_run_worker(&run);
    ck_assert_int_eq(run.outcome.result, RB_RESULT_WARN);
    load.load5 = 33;
    kind_run_worker(&run);
    ck_assert_int_eq(run.outcome.result, RB_RESULT_FAIL);
    ck_assert_str_eq(run.outcome.reason, "load_high");
    kind_run_fini(&run);
}
END_TEST

START_TEST(memory_that_cannot_be_read_matters_only_with_a_limit)
{
    struct kind_run run;
    setup(&run, "{name: x, kind: host}");
    run.platform.memory_info = no_answer;
    kind_run_worker(&run);
    ck_assert_int_eq(run.outcome.result, RB_RESULT_OK);
    kind_run_fini(&run);
    setup(&run, "{name: x, kind: host, memory: {fail_below: 5%}}");
    kind_run_worker(&run);
    ck_assert_int_eq(run.outcome.result, RB_RESULT_OK);
    run.platform.memory_info = no_answer;
    kind_run_worker(&run);
    ck_assert_int_eq(run.outcome.result, RB_RESULT_UNKNOWN);
    ck_assert_str_eq(run.outcome.reason, "unsupported");
    kind_run_fini(&run);
    setup(&run, "{name: x, kind: host, memory: {fail_below: 60%}}");
    kind_run_worker(&run);
    ck_assert_str_eq(run.outcome.reason, "memory_low");
    kind_run_fini(&run);
}
END_TEST

START_TEST(restart_and_open_files)
{
    struct kind_run run;
    setup(&run, "{name: x, kind: host, uptime: {warn_below: 10m}, open_files: {fail_below: 5%}}");
    load.uptime_s = 599;
    kind_run_worker(&run);
    ck_assert_int_eq(run.outcome.result, RB_RESULT_WARN);
    ck_assert_str_eq(run.outcome.reason, "restarted");
    load.uptime_s = 600;
    load.open_files = 96;
    kind_run_worker(&run);
    ck_assert_int_eq(run.outcome.result, RB_RESULT_FAIL);
    ck_assert_str_eq(run.outcome.reason, "files_low");
    load.open_files = -1;
    kind_run_worker(&run);
    ck_assert_int_eq(run.outcome.result, RB_RESULT_UNKNOWN);
    kind_run_fini(&run);
}
END_TEST

START_TEST(clock_step_is_seen_once_and_sleep_is_none)
{
    struct kind_run run;
    setup(&run, "{name: x, kind: host, clock_step: {warn_above: 1s, fail_above: 1h}}");
    kind_run_worker(&run);
    ck_assert_int_eq(run.outcome.result, RB_RESULT_OK);
    rb_fake_clock_sleep(&run.clock, 7 * 3600 * RB_NS_PER_S);
    kind_run_worker(&run);
    ck_assert_int_eq(run.outcome.result, RB_RESULT_OK);
    rb_fake_clock_step(&run.clock, -2 * RB_NS_PER_S);
    kind_run_worker(&run);
    ck_assert_int_eq(run.outcome.result, RB_RESULT_WARN);
    ck_assert_str_eq(run.outcome.reason, "clock_step");
    ck_assert_double_eq(kind_run_value(&run, "clock_step", NULL)->number, -2.0);
    kind_run_worker(&run);
    ck_assert_int_eq(run.outcome.result, RB_RESULT_OK);
    rb_fake_clock_step(&run.clock, 7200 * RB_NS_PER_S);
    kind_run_worker(&run);
    ck_assert_int_eq(run.outcome.result, RB_RESULT_FAIL);
    kind_run_fini(&run);
}
END_TEST

START_TEST(wrong_host_fails)
{
    struct kind_run run;
    setup(&run, "{name: x, kind: host, os: [darwin, Linux], arch: x86_64, kernel_min: '5.10'}");
    kind_run_worker(&run);
    ck_assert_int_eq(run.outcome.result, RB_RESULT_OK);
    kind_run_fini(&run);
    setup(&run, "{name: x, kind: host, os: darwin}");
    kind_run_worker(&run);
    ck_assert_str_eq(run.outcome.reason, "wrong_host");
    kind_run_fini(&run);
    setup(&run, "{name: x, kind: host, kernel_min: '6.2'}");
    kind_run_worker(&run);
    ck_assert_str_eq(run.outcome.message, "the kernel is 6.1.0, older than 6.2");
    kind_run_fini(&run);
}
END_TEST

START_TEST(mistakes_have_a_place)
{
    struct kind_run run;
    ck_assert(!kind_run_init(&run, &rb_kind_host, "{name: x, kind: host, disk: {path: /, warn_below: 5%, fail_below: 10%}}"));
    ck_assert(kind_run_diag(&run, "fail_below is above warn_below"));
    ck_assert_uint_eq(run.diags.items[0].mark.line, 1);
    kind_run_fini(&run);
    ck_assert(!kind_run_init(&run, &rb_kind_host, "{name: x, kind: host, kernel_min: new}"));
    ck_assert(kind_run_diag(&run, "is no version"));
    kind_run_fini(&run);
}
END_TEST

RB_TEST_MAIN("kind_host", facts_only_is_ok, disk_is_judged_at_its_limits, disk_message_reads_like_df, several_disks_inodes_and_read_only,
             missing_path_fails_and_unreadable_is_unknown, load_counts_per_cpu, memory_that_cannot_be_read_matters_only_with_a_limit,
             restart_and_open_files, clock_step_is_seen_once_and_sleep_is_none, wrong_host_fails, mistakes_have_a_place)
