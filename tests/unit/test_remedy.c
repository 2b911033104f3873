/* What changed before, and the commands that are printed: an edit that broke a container, its harmless twins, hostile facts, and a listener that is started again. */
#include "../support/check_main.h"
#include "../support/state_fixture.h"
#include "runbook/check/facts.h"
#include "runbook/incident/diagnosis.h"

static const struct rb_reason_def reasons[] = {{"exited", "."},     {"drift", "."},  {"not_listening", "."},
                                               {"stuck_lock", "."}, {"broken", "."}, {NULL, NULL}};
static const struct rb_kind compose = {.schema = {.schema = {.name = "compose"}}, .reasons = reasons, .exec = RB_EXEC_EXCHANGE};
static const struct rb_kind drift = {.schema = {.schema = {.name = "drift"}}, .reasons = reasons, .exec = RB_EXEC_WORKER};
static const struct rb_kind port = {.schema = {.schema = {.name = "port"}}, .reasons = reasons, .exec = RB_EXEC_WORKER};
static const struct rb_kind syntax = {.schema = {.schema = {.name = "syntax"}}, .reasons = reasons, .exec = RB_EXEC_WORKER};
static const struct rb_kind git = {.schema = {.schema = {.name = "git"}}, .reasons = reasons, .exec = RB_EXEC_WORKER};

struct bench {
    struct fixture f;
    struct rb_snapshot *snapshot;
    struct rb_view view;
    struct rb_arena *arena;
    struct rb_diagnosis diagnosis;
};

static void bench_open(struct bench *b, const struct rb_kind *const *kinds, size_t count)
{
    struct rb_plan *plan = fixture_plan(count);
    plan->daemon.root = "/r";
    for (size_t i = 0; i < count; i++)
        plan->checks[i].kind = &kinds[i]->schema;
    fixture_start(&b->f, plan);
}

static void bench_diagnose(struct bench *b)
{
    b->snapshot = fixture_snapshot(&b->f);
    b->view = rb_view_of(b->snapshot, &b->f.clock.clock);
    b->arena = rb_arena_new(RB_DIAGNOSIS_ARENA);
    struct rb_diagnosis_options options = {.max_age_ns = 5 * SECOND};
    struct rb_error err = {0};
    ck_assert_int_eq(rb_diagnose(&b->view, &options, b->arena, &b->diagnosis, &err), 0);
}

static void bench_close(struct bench *b)
{
    rb_arena_free(b->arena);
    rb_snapshot_unref(b->snapshot);
    fixture_end(&b->f);
}

static void complete_saying(struct bench *b, size_t index, enum rb_result result, const char *reason, const char *message,
                            const char *const *facts, struct rb_drift_report *report)
{
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    struct rb_outcome outcome;
    rb_outcome_init(&outcome, arena);
    rb_outcome_set(&outcome, result, reason, "%s", message);
    for (size_t i = 0; facts && facts[i]; i += 2)
        rb_outcome_fact(&outcome, facts[i], "%s", facts[i + 1]);
    outcome.drift = report;
    rb_store_started(b->f.store, index);
    (void)rb_store_completed(b->f.store, index, &outcome, rb_elapsed_ns(&b->f.clock.clock));
}

static void complete(struct bench *b, size_t index, enum rb_result result, const char *reason, const char *const *facts,
                     struct rb_drift_report *report)
{
    complete_saying(b, index, result, reason, reason, facts, report);
}

static bool has_command(const struct rb_cause *cause, const char *command)
{
    for (size_t i = 0; i < cause->todo_count; i++) {
        if (strcmp(cause->todo[i], command) == 0)
            return true;
    }
    return false;
}

/* A container with config mounted, told relative to the root as compose does, exits `lead_s` after `key` was edited. */
static void edit_and_exit(struct bench *b, const char *key, int64_t lead_s, const struct rb_drift_accepted *accepted)
{
    static const struct rb_kind *const kinds[] = {&compose, &drift};
    static const char *const facts[] = {RB_FACT_CONTAINER, "web", RB_FACT_MOUNT, "config", NULL};
    bench_open(b, kinds, 2);
    int64_t now_ns = rb_wall_ns(&b->f.clock.clock);
    struct rb_drift_item item = {.id = "7f3a00000000",
                                 .key = key,
                                 .change = RB_DRIFT_CHANGED,
                                 .item_class = RB_DRIFT_CLASS_WORKTREE,
                                 .changed_wall_ns = now_ns - lead_s * SECOND,
                                 .line = 35,
                                 .diff = "- a\n+ b",
                                 .accepted = accepted};
    struct rb_drift_report report = {.baseline_wall_ns = now_ns, .items = &item, .item_count = 1};
    complete(b, 1, accepted ? RB_RESULT_OK : RB_RESULT_WARN, accepted ? "none" : "drift", NULL, &report);
    complete(b, 0, RB_RESULT_FAIL, "exited", facts, NULL);
    bench_diagnose(b);
}

START_TEST(an_edit_below_a_mount_is_cited_with_lead_and_diff_and_can_be_undone)
{
    struct bench b;
    edit_and_exit(&b, "config/a b.yml", 27, NULL);
    ck_assert_uint_eq(b.diagnosis.cause_count, 1);
    const struct rb_cause *cause = &b.diagnosis.causes[0];
    ck_assert_uint_eq(cause->changed_before_count, 1);
    ck_assert_int_eq(cause->changed_before[0].lead_ns, 27 * SECOND);
    ck_assert_str_eq(cause->changed_before[0].diff, "- a\n+ b");
    ck_assert_str_eq(cause->changed_before[0].what, "config/a b.yml, line 35; not committed, not accepted (drift 7f3a)");
    ck_assert_uint_eq(b.diagnosis.not_linked_count, 0);
    ck_assert(has_command(cause, "git -C /r diff HEAD -- 'config/a b.yml'"));
    ck_assert(has_command(cause, "git -C /r restore --source=HEAD -- 'config/a b.yml'   # discards that edit"));
    bench_close(&b);
}
END_TEST

START_TEST(an_old_edit_an_unrelated_one_and_an_accepted_one_are_not_cited)
{
    static const struct rb_drift_accepted accepted = {.who = "op", .why = "PR #1"};
    struct row {
        const char *key;
        int64_t lead_s;
        const struct rb_drift_accepted *accepted;
        size_t not_linked;
    } rows[] = {{"config/a.yml", 3 * 86400, NULL, 1},
                {"uv.lock", 60, NULL, 1},
                {"configuration/a.yml", 60, NULL, 1},
                {"config/a.yml", 27, &accepted, 0},
                {"config/a.yml", -1, NULL, 1}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bench b;
        edit_and_exit(&b, rows[i].key, rows[i].lead_s, rows[i].accepted);
        ck_assert_uint_eq(b.diagnosis.causes[0].changed_before_count, 0);
        ck_assert_msg(b.diagnosis.not_linked_count == rows[i].not_linked, "row %zu", i);
        ck_assert_uint_eq(b.diagnosis.causes[0].todo_count, 1);
        bench_close(&b);
    }
}
END_TEST

/* git would take the name for a pattern of everything. */
START_TEST(a_name_that_is_a_pattern_restores_only_itself)
{
    struct bench b;
    edit_and_exit(&b, "config/*", 27, NULL);
    ck_assert(has_command(&b.diagnosis.causes[0], "git -C /r restore --source=HEAD -- ':(literal)config/*'   # discards that edit"));
    bench_close(&b);
    static const struct rb_kind *const kinds[] = {&syntax};
    static const char *const facts[] = {RB_FACT_FILE, "a.toml", RB_FACT_FILE, "sub/a.toml", RB_FACT_FILE, ":!b.toml", NULL};
    static const struct {
        const char *reason, *restored;
    } rows[] = {{"sub/a.toml: line 3 is broken", "sub/a.toml"},
                {"/r/a.toml.", "a.toml"},
                {"cannot parse 'a.toml' at all", "a.toml"},
                {"a.toml.orig and a.tomls", NULL},
                {":!b.toml: broken", "':(literal):!b.toml'"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bench_open(&b, kinds, 1);
        complete_saying(&b, 0, RB_RESULT_FAIL, "broken", rows[i].reason, facts, NULL);
        bench_diagnose(&b);
        size_t restores = 0;
        char wanted[128];
        (void)snprintf(wanted, sizeof wanted, "git -C /r restore --source=HEAD -- %s   # discards what is not committed there",
                       rows[i].restored ? rows[i].restored : "");
        for (size_t k = 0; k < b.diagnosis.causes[0].todo_count; k++)
            restores += strstr(b.diagnosis.causes[0].todo[k], " restore ") != NULL;
        ck_assert_msg(restores == (rows[i].restored != NULL), "row %zu", i);
        ck_assert_msg(!rows[i].restored || has_command(&b.diagnosis.causes[0], wanted), "row %zu", i);
        bench_close(&b);
    }
}
END_TEST

START_TEST(a_name_with_a_control_character_enters_no_command)
{
    struct bench b;
    edit_and_exit(&b, "config/a\x1b[2J.yml", 27, NULL);
    ck_assert_uint_eq(b.diagnosis.causes[0].changed_before_count, 1);
    ck_assert_uint_eq(b.diagnosis.causes[0].todo_count, 1); /* only the question to this daemon */
    bench_close(&b);
}
END_TEST

START_TEST(a_vanished_listener_is_started_as_it_was)
{
    static const struct rb_kind *const kinds[] = {&port};
    static const char *const facts[] = {
        RB_FACT_LISTEN, "9110", RB_FACT_CWD, "/r/my dir", RB_FACT_COMMAND, "python3 serve.py --name=it's", NULL};
    static const char *const masked[] = {RB_FACT_LISTEN, "9110", RB_FACT_COMMAND, "python3 --token=***", NULL};
    struct bench b;
    bench_open(&b, kinds, 1);
    complete(&b, 0, RB_RESULT_FAIL, "not_listening", facts, NULL);
    bench_diagnose(&b);
    ck_assert_str_eq(b.diagnosis.causes[0].todo[0], "(cd '/r/my dir' && exec nohup python3 serve.py '--name=it'\\''s' >/dev/null 2>&1 &)   "
                                                    "# as it was last started, if no supervisor does it");
    bench_close(&b);
    bench_open(&b, kinds, 1);
    complete(&b, 0, RB_RESULT_FAIL, "not_listening", masked, NULL);
    bench_diagnose(&b);
    ck_assert_uint_eq(b.diagnosis.causes[0].todo_count, 1);
    bench_close(&b);
    /* The engine starts its proxy with the container. */
    static const char *const proxy[] = {
        RB_FACT_LISTEN, "9110", RB_FACT_OWNER, "docker-proxy", RB_FACT_COMMAND, "/usr/bin/docker-proxy -proto tcp", NULL};
    bench_open(&b, kinds, 1);
    complete(&b, 0, RB_RESULT_FAIL, "not_listening", proxy, NULL);
    bench_diagnose(&b);
    ck_assert_uint_eq(b.diagnosis.causes[0].todo_count, 1);
    bench_close(&b);
}
END_TEST

START_TEST(a_stuck_lock_is_removed_only_with_its_warning)
{
    static const struct rb_kind *const kinds[] = {&git};
    static const char *const facts[] = {RB_FACT_PATH, "/r/.git/index.lock", NULL};
    struct bench b;
    bench_open(&b, kinds, 1);
    complete(&b, 0, RB_RESULT_FAIL, "stuck_lock", facts, NULL);
    bench_diagnose(&b);
    ck_assert_str_eq(b.diagnosis.causes[0].todo[0], "rm -- /r/.git/index.lock   # only when no git process runs any more");
    bench_close(&b);
}
END_TEST

RB_TEST_MAIN("remedy", an_edit_below_a_mount_is_cited_with_lead_and_diff_and_can_be_undone,
             an_old_edit_an_unrelated_one_and_an_accepted_one_are_not_cited, a_name_that_is_a_pattern_restores_only_itself,
             a_name_with_a_control_character_enters_no_command, a_vanished_listener_is_started_as_it_was,
             a_stuck_lock_is_removed_only_with_its_warning)
