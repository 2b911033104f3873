/* drift: configuration, the states without and with a baseline, and a source with an exchange is not needed for them. */
#include <string.h>
#include <sys/stat.h>

#include "../support/check_main.h"
#include "../support/scratch.h"
#include "../support/test_check.h"
#include "runbook/drift/baseline.h"
#include "runbook/drift/options.h"

struct world {
    struct scratch tree, state;
    struct rb_fake_clock clock;
    struct rb_test_check *check;
};

static void begin(struct world *w, const char *yaml)
{
    scratch_make(&w->tree);
    scratch_make(&w->state);
    scratch_folder(&w->state, "baselines");
    rb_fake_clock_init(&w->clock, INT64_C(1790000000) * RB_NS_PER_S);
    w->check = rb_test_check_new(yaml, &w->clock.clock);
    ck_assert_msg(w->check->valid, "%s", rb_test_check_errors(w->check));
    w->check->ctx.root = w->tree.path;
    w->check->ctx.state_dir = w->state.path;
}

static const struct rb_drift_report *run(struct world *w, enum rb_result result, const char *reason)
{
    struct rb_test_check *check = w->check;
    rb_test_check_again(check);
    rb_fake_clock_advance(&w->clock, 60 * RB_NS_PER_S);
    check->kind->run(&check->ctx, &check->outcome);
    ck_assert_msg(check->outcome.final && check->outcome.result == result && strcmp(check->outcome.reason, reason) == 0, "%s: %s",
                  check->outcome.reason, check->outcome.message);
    return check->outcome.drift;
}

/* What the daemon does with a proposal. */
static void adopt(struct world *w, const struct rb_drift_report *report)
{
    ck_assert_uint_gt(report->proposal_len, 0);
    scratch_write(&w->state, "baselines/test.baseline", report->proposal);
}

static void end(struct world *w)
{
    rb_test_check_free(w->check);
    scratch_remove(&w->tree);
    scratch_remove(&w->state);
}

START_TEST(from_no_baseline_to_drift)
{
    struct world w;
    begin(&w, "{kind: drift, files: [\"*.yml\"], max_file: 1KiB}");
    scratch_write(&w.tree, "a.yml", "x: 1\n");
    scratch_write(&w.tree, "b.txt", "not matched\n");
    const struct rb_drift_report *report = run(&w, RB_RESULT_UNKNOWN, "no_baseline");
    ck_assert(!report->adopt);
    ck_assert_uint_eq(report->facts, 1);
    adopt(&w, report);
    report = run(&w, RB_RESULT_OK, "none");
    ck_assert_uint_eq(rb_drift_open(report), 0);
    scratch_write(&w.tree, "a.yml", "x: 2\n");
    report = run(&w, RB_RESULT_WARN, "drift");
    ck_assert_uint_eq(report->item_count, 1);
    ck_assert_str_eq(report->items[0].old_text, "x = 1"); /* the baseline kept the text: there is no git here */
    ck_assert_str_eq(report->items[0].new_text, "x = 2");
    ck_assert_int_eq(report->items[0].item_class, RB_DRIFT_CLASS_UNTRACKED);
    ck_assert_double_eq(rb_test_check_value(w.check, "open", "changed"), 1);
    ck_assert(rb_test_check_says(w.check, "1 changed since"));
    char big[2048];
    memset(big, 'y', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    scratch_write(&w.tree, "a.yml", big);
    report = run(&w, RB_RESULT_WARN, "drift");
    ck_assert_ptr_nonnull(strstr(report->items[0].new_value, "\"size\":2047"));
    ck_assert(rb_test_check_says(w.check, "compared by size only"));
    end(&w);
}
END_TEST

START_TEST(auto_adopts_but_never_over_damage)
{
    struct world w;
    begin(&w, "{kind: drift, files: [\"**\"], baseline: auto}");
    scratch_write(&w.tree, "a", "1\n");
    const struct rb_drift_report *report = run(&w, RB_RESULT_OK, "none");
    ck_assert(report->adopt);
    scratch_write(&w.state, "baselines/test.baseline", "runbookd baseline 1\ntorn");
    report = run(&w, RB_RESULT_UNKNOWN, "baseline_damaged");
    ck_assert(!report->adopt && report->proposal_len > 0);
    scratch_write(&w.state, "baselines/test.baseline", "runbookd baseline 99\n");
    (void)run(&w, RB_RESULT_UNKNOWN, "unreadable");
    w.check->ctx.state_dir = ""; /* nothing could be stored: then nothing was accepted */
    (void)run(&w, RB_RESULT_SKIP, "no_baseline");
    end(&w);
}
END_TEST

START_TEST(cancelled_is_incomplete)
{
    struct world w;
    begin(&w, "{kind: drift, files: [\"**\"]}");
    scratch_write(&w.tree, "a", "1\n");
    atomic_store(&w.check->cancelled, true);
    ck_assert_ptr_null(run(&w, RB_RESULT_UNKNOWN, "incomplete"));
    end(&w);
}
END_TEST

static void refused(const char *yaml, const char *why)
{
    struct rb_fake_clock clock;
    rb_fake_clock_init(&clock, 1);
    struct rb_test_check *check = rb_test_check_new(yaml, &clock.clock);
    const char *errors = rb_test_check_errors(check);
    ck_assert_msg(!check->valid && strstr(errors, why), "%s: %s", yaml, errors);
    rb_test_check_free(check);
}

START_TEST(configuration)
{
    refused("{kind: drift}", "exactly one source");
    refused("{kind: drift, files: [\"a\"], ignore: [{key: \"[\", reason: x}]}", "ignore");
    refused("{kind: drift, files: [\"a\"], ignore: [{key: a, reason: x, until: soon}]}", "until");
    refused("{kind: drift, files: [\"a\"], ignore: [{key: a}]}", "reason");
    refused("{kind: drift, files: [\"../a\"]}", "..");
}
END_TEST

RB_TEST_MAIN("kind_drift", from_no_baseline_to_drift, auto_adopts_but_never_over_damage, cancelled_is_incomplete, configuration)
