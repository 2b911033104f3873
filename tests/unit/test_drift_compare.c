/* Comparing and accepting: which differences are items, which are accepted, until when, and what a safety check guards. */
#include <stdio.h>
#include <string.h>

#include "../support/check_main.h"
#include "runbook/config/diag.h"
#include "runbook/drift/accept.h"
#include "runbook/drift/compare.h"

struct world {
    struct rb_arena *arena;
    struct rb_drift_baseline baseline;
    struct rb_drift_facts facts;
    struct rb_drift_report report;
    struct rb_drift_ignore ignore[2];
    struct rb_drift_ignore_use use[2];
    size_t ignore_count;
    int64_t now;
};

static void fill(struct rb_drift_facts *facts, struct rb_arena *arena, const char *const *pairs)
{
    rb_drift_facts_init(facts, arena);
    for (; pairs[0]; pairs += 2)
        ck_assert_ptr_nonnull(rb_drift_facts_add(facts, pairs[0], pairs[1]));
    ck_assert_int_eq(rb_drift_facts_finish(facts, NULL), 0);
}

static void begin(struct world *w, const char *const *base)
{
    *w = (struct world){.arena = rb_arena_new(64 << 20), .now = 1000, .baseline = {.check = "c", .source = "s", .wall_ns = 1}};
    fill(&w->baseline.facts, w->arena, base);
}

static size_t compare(struct world *w, const char *const *now)
{
    fill(&w->facts, w->arena, now);
    w->report = (struct rb_drift_report){0};
    const struct rb_drift_comparison comparison = {.baseline = &w->baseline,
                                                   .facts = &w->facts,
                                                   .ignore = w->ignore,
                                                   .ignore_count = w->ignore_count,
                                                   .out_use = w->use,
                                                   .now_wall_ns = w->now};
    ck_assert_int_eq(rb_drift_compare(&comparison, w->arena, &w->report, NULL), 0);
    rb_drift_default_texts(&w->report, w->arena);
    rb_drift_count(&w->report);
    return rb_drift_open(&w->report);
}

static void accept_all(struct world *w, int64_t until)
{
    const struct rb_drift_item *items[16];
    size_t count = 0;
    for (size_t i = 0; i < w->report.item_count; i++)
        if (!w->report.items[i].accepted)
            items[count++] = &w->report.items[i];
    const struct rb_drift_acceptance acceptance = {.who = "op", .why = "why", .until_wall_ns = until, .now_wall_ns = w->now};
    struct rb_drift_baseline next;
    ck_assert_int_eq(rb_drift_accept(&w->baseline, items, count, &acceptance, w->arena, &next, NULL), 0);
    w->baseline = next;
}

#define FACTS(...)        \
    (const char *const[]) \
    {                     \
        __VA_ARGS__, NULL \
    }

START_TEST(added_removed_changed)
{
    struct world w;
    begin(&w, FACTS("a", "1", "b", "2", "c", "3"));
    ck_assert_uint_eq(compare(&w, FACTS("c", "3", "b", "2", "a", "1")), 0);
    ck_assert_uint_eq(compare(&w, FACTS("a", "1", "b", "22", "d", "{\"secret\":\"sha256:0\"}")), 3);
    ck_assert_uint_eq(w.report.item_count, 3);
    ck_assert_int_eq(w.report.items[0].change, RB_DRIFT_CHANGED);
    ck_assert_str_eq(w.report.items[0].old_text, "2");
    ck_assert_int_eq(w.report.items[1].change, RB_DRIFT_REMOVED);
    ck_assert_ptr_null(w.report.items[1].new_text);
    ck_assert_int_eq(w.report.items[2].change, RB_DRIFT_ADDED);
    ck_assert_str_eq(w.report.items[2].new_text, "[redacted]");
    char id[RB_DRIFT_ID];
    rb_drift_item_id("c", "b", id);
    ck_assert_str_eq(w.report.items[0].id, id);
    rb_arena_free(w.arena);
}
END_TEST

START_TEST(accepted_for_good)
{
    struct world w;
    begin(&w, FACTS("a", "1", "b", "2"));
    compare(&w, FACTS("a", "9"));
    accept_all(&w, 0);
    ck_assert_uint_eq(compare(&w, FACTS("a", "9")), 0);
    ck_assert_uint_eq(w.report.item_count, 2); /* still told, as accepted */
    ck_assert_str_eq(w.report.items[0].accepted->why, "why");
    ck_assert_uint_eq(compare(&w, FACTS("a", "8")), 1);
    ck_assert_str_eq(w.report.items[0].old_value, "9"); /* against what was accepted last */
    ck_assert_uint_eq(compare(&w, FACTS("a", "1")), 1); /* going back is a change too */
    rb_arena_free(w.arena);
}
END_TEST

START_TEST(accepted_for_a_time)
{
    struct world w;
    begin(&w, FACTS("a", "1"));
    compare(&w, FACTS("a", "9"));
    accept_all(&w, 2000);
    ck_assert_uint_eq(compare(&w, FACTS("a", "9")), 0);
    ck_assert_uint_eq(compare(&w, FACTS("a", "1")), 0); /* the base stays normal */
    w.now = 2000;
    ck_assert_uint_eq(compare(&w, FACTS("a", "9")), 1);
    ck_assert_str_eq(w.report.items[0].old_value, "1");
    accept_all(&w, 0); /* what is over gives way */
    ck_assert_uint_eq(w.baseline.overlay_count, 1);
    ck_assert_uint_eq(compare(&w, FACTS("a", "9")), 0);
    rb_arena_free(w.arena);
}
END_TEST

START_TEST(ignore_rules)
{
    struct world w;
    begin(&w, FACTS("gen/a", "1", "x", "1"));
    w.ignore[0] = (struct rb_drift_ignore){.key = "gen/**", .until_wall_ns = 2000};
    w.ignore[1] = (struct rb_drift_ignore){.key = "none/*"};
    w.ignore_count = 2;
    ck_assert_uint_eq(compare(&w, FACTS("gen/a", "2", "gen/b", "2", "x", "1")), 0);
    ck_assert(w.use[0].used && !w.use[0].expired && !w.use[1].used);
    w.now = 2000;
    ck_assert_uint_eq(compare(&w, FACTS("gen/a", "2", "gen/b", "2", "x", "1")), 2);
    ck_assert(w.use[0].expired);
    rb_arena_free(w.arena);
}
END_TEST

START_TEST(more_items_than_are_kept)
{
    struct world w;
    begin(&w, FACTS("a", "1"));
    rb_drift_facts_init(&w.facts, w.arena);
    char key[16];
    for (int i = 0; i < RB_DRIFT_MAX_ITEMS + 7; i++) {
        snprintf(key, sizeof key, "k%06d", i);
        ck_assert_ptr_nonnull(rb_drift_facts_add(&w.facts, key, "1"));
    }
    ck_assert_int_eq(rb_drift_facts_finish(&w.facts, NULL), 0);
    const struct rb_drift_comparison comparison = {.baseline = &w.baseline, .facts = &w.facts, .now_wall_ns = 1};
    ck_assert_int_eq(rb_drift_compare(&comparison, w.arena, &w.report, NULL), 0);
    rb_drift_count(&w.report);
    ck_assert_uint_eq(w.report.item_count, RB_DRIFT_MAX_ITEMS);
    ck_assert_uint_eq(w.report.items_dropped, 8);
    ck_assert_uint_eq(rb_drift_open(&w.report), RB_DRIFT_MAX_ITEMS + 8);
    rb_arena_free(w.arena);
}
END_TEST

START_TEST(reasons_are_required)
{
    struct rb_drift_acceptance acceptance = {.who = "op", .why = " \t", .now_wall_ns = 10};
    ck_assert_int_eq(rb_drift_acceptance_check(&acceptance, NULL), RB_EINVAL);
    acceptance.why = "ok";
    ck_assert_int_eq(rb_drift_acceptance_check(&acceptance, NULL), 0);
    acceptance.until_wall_ns = 10;
    ck_assert_int_eq(rb_drift_acceptance_check(&acceptance, NULL), RB_EINVAL);
    acceptance.until_wall_ns = 0;
    acceptance.ref = "a\nb";
    ck_assert_int_eq(rb_drift_acceptance_check(&acceptance, NULL), RB_EINVAL);
    acceptance.ref = NULL;
    acceptance.who = NULL;
    ck_assert_int_eq(rb_drift_acceptance_check(&acceptance, NULL), RB_EINVAL);
}
END_TEST

static bool guarded(const char *kind, const char *yaml, enum rb_phase phase, const char *file, const char *const *keys, size_t key_count)
{
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    struct rb_diags diags;
    struct rb_node *node = NULL;
    rb_diags_init(&diags, arena);
    ck_assert_int_eq(rb_node_load_text("t", "/", yaml, strlen(yaml), NULL, arena, &diags, &node), 0);
    const struct rb_kind_schema schema = {.schema = {.name = kind}};
    struct rb_check_spec spec = {.name = "guard", .kind = &schema, .phase = phase, .node = node};
    const struct rb_plan plan = {.checks = &spec, .count = 1};
    const struct rb_drift_item item = {.key = file, .change = RB_DRIFT_CHANGED, .keys = {keys, key_count}, .keys_known = key_count > 0};
    return rb_drift_guard(&plan, &item, arena) != NULL;
}

START_TEST(safety_checks_guard)
{
    const char *rule = "{rules: [{files: [config.toml, \"config/**\"], key: live.enabled}, {file: x.toml, key: \"**.allow_live\"}]}";
    const char *hit[] = {"live.enabled", NULL}, *below[] = {"live.enabled.x", NULL}, *other[] = {"live.mode", NULL},
               *above[] = {"live", NULL};
    const char *deep[] = {"tiers[core].allow_live", NULL};
    ck_assert(guarded("keys", rule, RB_PHASE_SAFETY, "config.toml", hit, 1));
    ck_assert(guarded("keys", rule, RB_PHASE_SAFETY, "config/a/b.toml", below, 1));
    ck_assert(guarded("keys", rule, RB_PHASE_SAFETY, "config.toml", above, 1));
    ck_assert(guarded("keys", rule, RB_PHASE_SAFETY, "x.toml", deep, 1));
    ck_assert(!guarded("keys", rule, RB_PHASE_SAFETY, "config.toml", other, 1));
    ck_assert(guarded("keys", rule, RB_PHASE_SAFETY, "config.toml", NULL, 0)); /* its keys cannot be told */
    ck_assert(!guarded("keys", rule, RB_PHASE_SAFETY, "other.toml", hit, 1));
    ck_assert(!guarded("keys", rule, RB_PHASE_PREFLIGHT, "config.toml", hit, 1));
    ck_assert(guarded("path", "{absent: [\"out/stop*\"], exist: k.json}", RB_PHASE_SAFETY, "k.json", NULL, 0));
    ck_assert(guarded("env", "{dotenv: [{file: .env}]}", RB_PHASE_SAFETY, ".env", NULL, 0));
    ck_assert(!guarded("path", "{exist: k.json}", RB_PHASE_SAFETY, "l.json", NULL, 0));
}
END_TEST

RB_TEST_MAIN("drift_compare", added_removed_changed, accepted_for_good, accepted_for_a_time, ignore_rules, more_items_than_are_kept,
             reasons_are_required, safety_checks_guard)
