/* Two made-up kinds that use every type of option, for tests of lib/config: it must not know a real one. */
#ifndef RB_TEST_FAKE_KINDS_H
#define RB_TEST_FAKE_KINDS_H

#include "runbook/config/plan.h"

struct fake_limits {
    int64_t low, high;
    const char *unit;
};

struct fake_rule {
    const char *key;
    int8_t equals;
};

struct fake_options {
    bool flag;
    int8_t maybe;
    int64_t port, wait_ms, size;
    double ratio;
    struct rb_amount amount;
    const char *url, *title, *file, *glob, *regex, *password;
    int level;
    struct rb_strings texts, files, globs, regexes, argv;
    struct rb_pairs pairs;
    struct fake_limits limits;
    struct rb_structs rules;
    const struct rb_node *raw;
};

#define FAKE(member) offsetof(struct fake_options, member)

static const struct rb_choice fake_levels[] = {{"low", 1, "a little"}, {"high", 2, NULL}, {NULL, 0, NULL}};

static const struct rb_option fake_limit_table[] = {
    {.name = "low", .type = RB_OPT_INT, .offset = offsetof(struct fake_limits, low), .fallback = "5", .doc = "Lower end."},
    {.name = "high", .type = RB_OPT_INT, .offset = offsetof(struct fake_limits, high), .fallback = "10", .doc = "Upper end."},
    {.name = "unit", .type = RB_OPT_STRING, .offset = offsetof(struct fake_limits, unit), .flags = RB_OPT_REQUIRED, .doc = "Unit."},
    {.name = NULL}};

static const struct rb_option fake_rule_table[] = {
    {.name = "key", .type = RB_OPT_STRING, .offset = offsetof(struct fake_rule, key), .flags = RB_OPT_REQUIRED, .doc = "Key path."},
    {.name = "equals", .type = RB_OPT_TRISTATE, .offset = offsetof(struct fake_rule, equals), .doc = "Wanted value."},
    {.name = NULL}};

static const struct rb_option fake_table[] = {
    {.name = "flag", .type = RB_OPT_BOOL, .offset = FAKE(flag), .doc = "A switch."},
    {.name = "maybe", .type = RB_OPT_TRISTATE, .offset = FAKE(maybe)},
    {.name = "port", .type = RB_OPT_INT, .offset = FAKE(port), .min = 1, .max = 65535, .doc = "A port."},
    {.name = "wait", .type = RB_OPT_DURATION, .offset = FAKE(wait_ms), .fallback = "90s"},
    {.name = "size", .type = RB_OPT_SIZE, .offset = FAKE(size)},
    {.name = "ratio", .type = RB_OPT_NUMBER, .offset = FAKE(ratio)},
    {.name = "amount", .type = RB_OPT_AMOUNT, .offset = FAKE(amount)},
    {.name = "url", .type = RB_OPT_URL, .offset = FAKE(url), .flags = RB_OPT_REQUIRED, .doc = "Where to ask."},
    {.name = "title", .type = RB_OPT_STRING, .offset = FAKE(title), .flags = RB_OPT_COSMETIC | RB_OPT_NONEMPTY},
    {.name = "file", .type = RB_OPT_PATH, .offset = FAKE(file)},
    {.name = "glob", .type = RB_OPT_GLOB, .offset = FAKE(glob)},
    {.name = "regex", .type = RB_OPT_REGEX, .offset = FAKE(regex)},
    {.name = "password", .type = RB_OPT_STRING, .offset = FAKE(password), .flags = RB_OPT_SECRET},
    {.name = "level", .type = RB_OPT_CHOICE, .offset = FAKE(level), .choices = fake_levels, .fallback = "low"},
    {.name = "texts", .type = RB_OPT_STRINGS, .offset = FAKE(texts), .fallback = "[one, \"two words\"]", .max = 3},
    {.name = "files", .type = RB_OPT_PATHS, .offset = FAKE(files)},
    {.name = "globs", .type = RB_OPT_GLOBS, .offset = FAKE(globs)},
    {.name = "regexes", .type = RB_OPT_REGEXES, .offset = FAKE(regexes)},
    {.name = "argv", .type = RB_OPT_ARGV, .offset = FAKE(argv)},
    {.name = "pairs", .type = RB_OPT_PAIRS, .offset = FAKE(pairs)},
    {.name = "limits", .type = RB_OPT_STRUCT, .offset = FAKE(limits), .sub = fake_limit_table, .sub_size = sizeof(struct fake_limits)},
    {.name = "rules", .type = RB_OPT_STRUCTS, .offset = FAKE(rules), .sub = fake_rule_table, .sub_size = sizeof(struct fake_rule)},
    {.name = "raw", .type = RB_OPT_NODE, .offset = FAKE(raw)},
    {.name = NULL}};

static const struct rb_kind_schema fake_probe = {
    .schema = {.name = "probe", .doc = "Asks something.", .options = fake_table, .size = sizeof(struct fake_options)},
    .default_phase = RB_PHASE_HEALTH,
    .default_triage = true,
    .presence_aware = true};
static const struct rb_kind_schema fake_program = {
    .schema = {.name = "program", .doc = "Starts something.", .options = fake_table, .size = sizeof(struct fake_options)},
    .default_phase = RB_PHASE_GATE,
    .starts_programs = true,
    .default_every = "1h"};

static const struct rb_kind_schema *const fake_kind_items[] = {&fake_probe, &fake_program, NULL};
static const struct rb_kind_list fake_kinds = {.items = fake_kind_items, .count = 2};

#endif
