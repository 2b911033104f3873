/* drift: facts now against the facts that somebody accepted. One source a check (lib/drift); this file reads the baseline, lets the source collect, compares and reports.
 *
 * It only reads: what has to be written (a proposal for a first baseline, the source's cache) rides on the report, and the daemon writes it. A baseline that is damaged is told
 * and never rebuilt. Open items are a warning, never more: drift is evidence for a cause, not a cause (SPEC 11). */
#include <string.h>

#include "runbook/base/glob.h"
#include "runbook/base/units.h"
#include "runbook/check/kind.h"
#include "runbook/check/watch.h"
#include "runbook/config/diag.h"
#include "runbook/drift/options.h"
#include "runbook/drift/tables.h"

enum { MAX_EVIDENCE_ITEMS = 20, MAX_IGNORE = 200 };

/* Between the worker's part and the exchange's of one run; only the time survives it. */
struct drift_memory {
    int64_t observed_wall_ns; /* of the last complete observation; 0: none */
    struct drift_run *run;    /* of the run that goes on; set anew by every run() */
};

struct drift_run {
    struct rb_drift_collect collect;
    const struct rb_drift_source *source;
    struct rb_drift_facts facts;
    struct rb_drift_report report;
    struct rb_drift_baseline baseline;
    bool has_baseline;
    const char *damage; /* why the stored baseline is not believed, or NULL */
};

static const struct rb_choice baseline_choices[] = {
    {"accept", RB_DRIFT_BASELINE_ACCEPT, "Somebody accepts the first baseline: until then the check is unknown, with reason no_baseline."},
    {"auto", RB_DRIFT_BASELINE_AUTO, "What the first run finds becomes the baseline. A damaged baseline is not replaced by itself."},
    {NULL, 0, NULL}};

static const struct rb_option ignore_table[] = {{.name = "key",
                                                 .type = RB_OPT_STRING,
                                                 .flags = RB_OPT_REQUIRED | RB_OPT_NONEMPTY,
                                                 .offset = offsetof(struct rb_drift_ignore_option, key),
                                                 .doc = "Glob over the keys of facts (paths of files).",
                                                 .example = "\"config/generated/**\""},
                                                {.name = "reason",
                                                 .type = RB_OPT_STRING,
                                                 .flags = RB_OPT_REQUIRED | RB_OPT_NONEMPTY,
                                                 .offset = offsetof(struct rb_drift_ignore_option, reason),
                                                 .doc = "Why such changes mean nothing.",
                                                 .example = "written by the nightly build"},
                                                {.name = "until",
                                                 .type = RB_OPT_STRING,
                                                 .offset = offsetof(struct rb_drift_ignore_option, until),
                                                 .doc = "Date or time (RFC 3339, UTC) from which the rule counts no more.",
                                                 .example = "\"2027-01-31\""},
                                                {NULL}};

static const struct rb_option options[] = {
/* NOLINTBEGIN(bugprone-macro-parentheses): members of an initialiser */
#define RB_DRIFT_SOURCE(source_name, source_type, table, text, sample)                             \
    {.name = #source_name,                                                                         \
     .type = source_type,                                                                          \
     .offset = offsetof(struct rb_drift_options, sources) +                                        \
               RB_DRIFT_SOURCE_##source_name * sizeof(((struct rb_drift_options *)0)->sources[0]), \
     .doc = text,                                                                                  \
     .sub = table,                                                                                 \
     .sub_size = RB_DRIFT_SOURCE_OPTIONS,                                                          \
     .example = sample},
#include "runbook/drift/sources.def"
#undef RB_DRIFT_SOURCE
    /* NOLINTEND(bugprone-macro-parentheses) */
    {.name = "exclude",
     .type = RB_OPT_GLOBS,
     .offset = offsetof(struct rb_drift_options, exclude),
     .doc = "With `files`: globs that are left out.",
     .example = "[\".ops_local/secrets/**\"]"},
    {.name = "untracked",
     .type = RB_OPT_BOOL,
     .offset = offsetof(struct rb_drift_options, untracked),
     .doc = "With `files`: files that git does not track, too.",
     .fallback = "true"},
    {.name = "ignored",
     .type = RB_OPT_BOOL,
     .offset = offsetof(struct rb_drift_options, ignored),
     .doc = "With `files`: even files that git ignores.",
     .fallback = "false"},
    {.name = "max_file",
     .type = RB_OPT_SIZE,
     .offset = offsetof(struct rb_drift_options, max_file),
     .doc = "With `files`: above this size a file is compared by its size only.",
     .fallback = "64MiB",
     .min = 1024,
     .max = INT64_C(1) << 30},
    {.name = "baseline",
     .type = RB_OPT_CHOICE,
     .flags = RB_OPT_COSMETIC,
     .offset = offsetof(struct rb_drift_options, baseline),
     .doc = "Where the first baseline comes from.",
     .fallback = "accept",
     .choices = baseline_choices},
    {.name = "ignore",
     .type = RB_OPT_STRUCTS,
     .offset = offsetof(struct rb_drift_options, ignore),
     .doc = "Differences that are not reported. A rule that matches nothing is told.",
     .sub = ignore_table,
     .sub_size = sizeof(struct rb_drift_ignore_option),
     .max = MAX_IGNORE,
     .example = "[{key: \"config/generated/**\", reason: written by the nightly build}]"},
    {NULL}};

static const struct rb_value_def values[] = {{"facts", "", RB_VALUE_GAUGE, "Facts that were compared.", NULL},
                                             {"open", "", RB_VALUE_GAUGE, "Items that differ and are not accepted.", "change"},
                                             {"accepted", "", RB_VALUE_GAUGE, "Items that differ from the base and are accepted.", NULL},
                                             {NULL}};

static const struct rb_reason_def reasons[] = {
    {"drift", "Something differs from the accepted baseline: accept it with a reason, or put it right."},
    {"no_baseline", "Nothing was accepted as normal yet: look at it, then `runbookd drift accept CHECK --all --reason …`."},
    {"baseline_damaged", "The stored baseline is damaged: restore it, or accept a new one."},
    {"unreadable", "What the check is about could not be read."},
    {"incomplete", "The time was over before everything was read."},
    {"too_many", "More facts than a check may have: narrow it."},
    {"not_found", "What the check is about is not there."},
    {"not_executable", "The program cannot be started."},
    {"failed", "The program or the server that should tell the facts failed."},
    {"parse", "The answer is not of the form that was expected."},
    {"offline", "The remote side cannot be reached; what is known stays as it was."},
    {"no_engine", "No Docker engine answers."},
    {NULL}};

/* ---- configuration ---- */

static void validate_ignore(struct rb_drift_options *parsed, const struct rb_node *node, struct rb_diags *diags)
{
    /* NOLINTNEXTLINE(performance-no-int-to-ptr): the list is ours until the plan is whole */
    struct rb_drift_ignore_option *rules = (struct rb_drift_ignore_option *)(uintptr_t)parsed->ignore.items;
    const struct rb_node *list = rb_node_get(node, "ignore");
    for (size_t i = 0; i < parsed->ignore.count; i++) {
        struct rb_error err = {0};
        const struct rb_node *at = list && i < list->count ? list->items[i] : node;
        if (rules[i].key && rb_glob_check(rules[i].key, &err) < 0)
            (void)rb_diag_add(diags, at->mark, "ignore: %s", err.message);
        if (rules[i].until && rb_time_parse(rules[i].until, &rules[i].until_wall_ns, &err) < 0)
            (void)rb_diag_add(diags, at->mark, "ignore: until: %s", err.message);
    }
}

static void validate(void *options_out, const struct rb_node *node, struct rb_diags *diags)
{
    struct rb_drift_options *parsed = options_out;
    size_t given = 0;
    for (int id = 0; id < RB_DRIFT_SOURCE_COUNT; id++) {
        const struct rb_drift_source *source = rb_drift_source_of((enum rb_drift_source_id)id);
        const struct rb_node *value = rb_node_get(node, source->name);
        if (!value)
            continue;
        parsed->source = id;
        given++;
        if (source->validate)
            source->validate(parsed->sources[id].bytes, value, diags);
    }
    if (given != 1)
        (void)rb_diag_add(diags, node->mark, "a drift check has exactly one source, this one has %zu: %s", given,
                          given == 0 ? "name it, e.g. files: [\"config/**\"]" : "make one check of each");
    validate_ignore(parsed, node, diags);
}

/* ---- result ---- */

static void say_counts(const struct rb_drift_report *report, struct rb_buf *out)
{
    size_t written = 0;
    static const enum rb_drift_change order[] = {RB_DRIFT_CHANGED, RB_DRIFT_ADDED, RB_DRIFT_REMOVED};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        size_t count = 0;
        for (int item_class = 0; item_class < RB_DRIFT_CLASS_COUNT; item_class++)
            count += report->open[order[i]][item_class];
        if (count > 0)
            rb_buf_addf(out, "%s%zu %s", written++ > 0 ? ", " : "", count, rb_drift_change_name(order[i]));
    }
}

static void add_evidence(const struct rb_drift_report *report, struct rb_outcome *out)
{
    size_t told = 0;
    for (size_t i = 0; i < report->item_count && told < MAX_EVIDENCE_ITEMS; i++) {
        const struct rb_drift_item *item = &report->items[i];
        if (item->accepted)
            continue;
        char at[RB_TIME_TEXT];
        const char *item_class = rb_drift_class_name(item->item_class);
        bool both = item->change == RB_DRIFT_CHANGED && item->item_class == RB_DRIFT_CLASS_NONE && item->old_text && item->new_text;
        rb_outcome_evidence(out, "%s %s (%s%s%.4s)%s%s%s%s%s%s", rb_drift_change_name(item->change), item->key, item_class,
                            item_class[0] ? ", " : "", item->id, item->changed_wall_ns ? " at " : "",
                            item->changed_wall_ns ? rb_time_human(at, item->changed_wall_ns) : "", item->new_text ? ": " : "",
                            both ? item->old_text : "", both ? " → " : "", item->new_text ? item->new_text : "");
        told++;
    }
    size_t open = rb_drift_open(report);
    if (open > told)
        rb_outcome_evidence(out, "and %zu more: runbookd drift show %s", open - told, "--all");
}

static void tell_ignored(const struct rb_drift_options *parsed, const struct rb_drift_ignore_use *use, struct rb_outcome *out)
{
    const struct rb_drift_ignore_option *rules = parsed->ignore.items;
    for (size_t i = 0; i < parsed->ignore.count; i++) {
        if (use[i].expired)
            rb_outcome_evidence(out, "the ignore rule %s is over since %s: renew or remove it", rules[i].key, rules[i].until);
        else if (!use[i].used)
            rb_outcome_evidence(out, "the ignore rule %s matches nothing: remove it", rules[i].key);
    }
}

static void report_values(const struct rb_drift_report *report, struct rb_outcome *out)
{
    size_t accepted = 0;
    for (size_t i = 0; i < report->item_count; i++)
        accepted += report->items[i].accepted != NULL;
    for (int change = 0; change < RB_DRIFT_CHANGE_COUNT; change++) {
        size_t count = 0;
        for (int item_class = 0; item_class < RB_DRIFT_CLASS_COUNT; item_class++)
            count += report->open[change][item_class];
        rb_outcome_value(out, "open", rb_drift_change_name((enum rb_drift_change)change), (double)count);
    }
    rb_outcome_value(out, "accepted", NULL, (double)accepted);
    rb_outcome_value(out, "facts", NULL, (double)report->facts);
}

static void conclude(const struct drift_run *run, struct rb_outcome *out)
{
    const struct rb_drift_report *report = &run->report;
    char since[RB_TIME_TEXT];
    rb_time_rfc3339(since, report->baseline_wall_ns);
    report_values(report, out);
    out->drift = report;
    if (rb_drift_open(report) == 0) {
        rb_outcome_say(out, "%zu facts, as accepted %.10s", report->facts, since);
        return;
    }
    RB_BUF_AUTO counts;
    rb_buf_init(&counts, 128);
    say_counts(report, &counts);
    rb_outcome_raise(out, RB_RESULT_WARN, "drift", "%s since %.10s", rb_buf_str(&counts), since);
    add_evidence(report, out);
}

/* ---- the run ---- */

/* What a first baseline would hold; the daemon keeps it until somebody accepts it, or takes it at once. */
static void propose(struct drift_run *run, const struct rb_check_ctx *ctx, struct rb_outcome *out)
{
    const struct rb_drift_options *parsed = ctx->options;
    struct rb_drift_baseline proposal = {
        .check = ctx->spec->name, .source = run->source->name, .wall_ns = run->collect.now_wall_ns, .facts = run->facts};
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_DRIFT_BASELINE_MAX);
    struct rb_error err = {0};
    if (rb_drift_baseline_encode(&proposal, &text, &err) < 0) {
        rb_outcome_set(out, RB_RESULT_UNKNOWN, "too_many", "%s", err.message);
        return;
    }
    run->report.proposal = rb_arena_strndup(ctx->arena, text.data, text.len);
    run->report.proposal_len = run->report.proposal ? text.len : 0;
    run->report.adopt = parsed->baseline == RB_DRIFT_BASELINE_AUTO && !run->damage;
    run->report.facts = run->facts.count;
    out->drift = &run->report;
    rb_outcome_value(out, "facts", NULL, (double)run->facts.count);
    if (run->damage)
        rb_outcome_set(
            out, RB_RESULT_UNKNOWN, "baseline_damaged",
            "the baseline is damaged (%s): restore it from a copy, or accept a new one: runbookd drift accept %s --all --reason '…'",
            run->damage, ctx->spec->name);
    else if (run->report.adopt && ctx->state_dir[0] != '\0')
        rb_outcome_say(out, "first baseline: %zu facts", run->facts.count);
    else if (run->report.adopt)
        rb_outcome_set(out, RB_RESULT_SKIP, "no_baseline", "%zu facts; there is no folder of state that could keep a baseline",
                       run->facts.count);
    else
        rb_outcome_set(out, RB_RESULT_UNKNOWN, "no_baseline", "%zu facts, none accepted yet: runbookd drift accept %s --all --reason '…'",
                       run->facts.count, ctx->spec->name);
}

static void compare(struct drift_run *run, const struct rb_check_ctx *ctx, struct rb_outcome *out)
{
    const struct rb_drift_options *parsed = ctx->options;
    struct rb_error err = {0};
    struct rb_drift_ignore *ignore = rb_arena_array(ctx->arena, parsed->ignore.count + 1, sizeof *ignore);
    struct rb_drift_ignore_use *use = rb_arena_array(ctx->arena, parsed->ignore.count + 1, sizeof *use);
    if (!ignore || !use)
        return;
    const struct rb_drift_ignore_option *rules = parsed->ignore.items;
    for (size_t i = 0; i < parsed->ignore.count; i++)
        ignore[i] = (struct rb_drift_ignore){.key = rules[i].key, .reason = rules[i].reason, .until_wall_ns = rules[i].until_wall_ns};
    const struct rb_drift_comparison comparison = {.baseline = &run->baseline,
                                                   .facts = &run->facts,
                                                   .ignore = ignore,
                                                   .ignore_count = parsed->ignore.count,
                                                   .out_use = use,
                                                   .now_wall_ns = run->collect.now_wall_ns};
    if (rb_drift_compare(&comparison, ctx->arena, &run->report, &err) < 0) {
        rb_outcome_set(out, RB_RESULT_UNKNOWN, "resource_limit", "%s", err.message);
        return;
    }
    if (run->source->explain)
        run->source->explain(&run->collect, run->report.items, run->report.item_count, rb_drift_baseline_kept, &run->baseline);
    rb_drift_default_texts(&run->report, ctx->arena);
    rb_drift_count(&run->report);
    conclude(run, out);
    tell_ignored(parsed, use, out);
}

static void finish(struct drift_run *run, const struct rb_check_ctx *ctx, enum rb_drift_collected collected, struct rb_outcome *out)
{
    struct rb_error err = {0};
    if (collected != RB_DRIFT_COLLECTED)
        return;
    if (rb_drift_facts_finish(&run->facts, &err) < 0) {
        rb_outcome_set(out, RB_RESULT_UNKNOWN, "too_many", "%s", err.message);
        return;
    }
    if (run->has_baseline)
        compare(run, ctx, out);
    else
        propose(run, ctx, out);
    ((struct drift_memory *)ctx->memory)->observed_wall_ns = run->collect.now_wall_ns;
}

/* True when the run may go on. */
static bool read_baseline(struct drift_run *run, const struct rb_check_ctx *ctx, struct rb_outcome *out)
{
    struct rb_error err = {0};
    int rc = rb_drift_baseline_read(ctx->state_dir, ctx->spec->name, ctx->arena, &run->baseline, &err);
    run->has_baseline = rc == 0 && strcmp(run->baseline.source, run->source->name) == 0;
    if (rc == 0 || rc == RB_ENOTFOUND)
        return true;
    if (rc == RB_ECORRUPT) {
        run->damage = rb_arena_strdup(ctx->arena, err.message);
        return run->damage != NULL;
    }
    rb_outcome_set(out, RB_RESULT_UNKNOWN, "unreadable", "the baseline cannot be read (%s); look at the folder of state", err.message);
    return false;
}

static void run(const struct rb_check_ctx *ctx, struct rb_outcome *out)
{
    const struct rb_drift_options *parsed = ctx->options;
    struct drift_memory *memory = ctx->memory;
    struct drift_run *state = rb_arena_alloc(ctx->arena, sizeof *state);
    if (!memory || !state)
        return;
    memory->run = state;
    out->final = true;
    state->source = rb_drift_source_of((enum rb_drift_source_id)parsed->source);
    if (!read_baseline(state, ctx, out))
        return;
    rb_drift_facts_init(&state->facts, ctx->arena);
    state->collect = (struct rb_drift_collect){.ctx = ctx,
                                               .options = parsed->sources[parsed->source].bytes,
                                               .facts = &state->facts,
                                               .out = out,
                                               .state = rb_arena_alloc(ctx->arena, state->source->state_size + 1),
                                               .report = &state->report,
                                               .proposing = !state->has_baseline,
                                               .base = state->has_baseline ? &state->baseline.facts : NULL,
                                               .now_wall_ns = rb_wall_ns(ctx->clock),
                                               .previous_wall_ns = memory->observed_wall_ns};
    if (!state->collect.state)
        return;
    enum rb_drift_collected collected = state->source->collect ? state->source->collect(&state->collect) : RB_DRIFT_MORE;
    if (collected == RB_DRIFT_MORE && state->source->step)
        out->final = false;
    else
        finish(state, ctx, collected, out);
}

static void step(const struct rb_check_ctx *ctx, void *unused, const struct rb_event *event, struct rb_action *next, struct rb_outcome *out)
{
    (void)unused;
    struct drift_run *state = ((struct drift_memory *)ctx->memory)->run;
    state->collect.ctx = ctx; /* the worker's part had copies of its own */
    state->collect.out = out;
    enum rb_drift_collected collected = state->source->step(&state->collect, event, next);
    if (collected == RB_DRIFT_MORE)
        return;
    *next = (struct rb_action){.type = RB_ACTION_DONE};
    finish(state, ctx, collected, out);
}

static void watches(const void *opts, struct rb_watch_sink *sink)
{
    const struct rb_drift_options *parsed = opts;
    const struct rb_drift_source *source = rb_drift_source_of((enum rb_drift_source_id)parsed->source);
    if (source->watches)
        source->watches(parsed->sources[parsed->source].bytes, parsed, sink);
}

static const char *const program_options[] = {"command", "tools", NULL};

const struct rb_kind rb_kind_drift = {
    .schema = {.schema = {.name = "drift",
                          .doc = "What differs from the accepted baseline: files, packages, answers of programs and servers.",
                          .options = options,
                          .size = sizeof(struct rb_drift_options),
                          .validate = validate},
               .default_phase = RB_PHASE_DRIFT,
               .default_triage = true,
               .default_every = "60s",
               .program_options = program_options,
               .example = "{name: config-drift, kind: drift, files: [\"config/**\", \"*.toml\"], exclude: [\"config/local/**\"]}"},
    .values = values,
    .reasons = reasons,
    .net_reasons = true,
    .exec = RB_EXEC_EXCHANGE,
    .memory_size = sizeof(struct drift_memory),
    .run = run,
    .exchange = &(const struct rb_exchange_ops){.step = step},
    .watches = watches,
};
