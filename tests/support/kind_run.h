/* One kind without a daemon: a check's mapping in YAML becomes options, a context with the null platform and a fake clock, and an outcome. */
#ifndef RUNBOOK_TESTS_KIND_RUN_H
#define RUNBOOK_TESTS_KIND_RUN_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "runbook/check/kind.h"

struct kind_run {
    const struct rb_kind *kind;
    struct rb_fake_clock clock;
    struct rb_platform platform;
    struct rb_arena *arena;
    struct rb_diags diags;
    struct rb_check_spec spec;
    struct rb_check_ctx ctx;
    atomic_bool cancelled;
    void *memory;
    struct rb_outcome outcome;
};

/* Parses `yaml` with the kind's table. Returns true when it is valid; else `diags` tells why. */
static inline bool kind_run_init(struct kind_run *run, const struct rb_kind *kind, const char *yaml)
{
    static const char *const common[] = {"name", "kind", NULL};
    memset(run, 0, sizeof *run);
    run->kind = kind;
    rb_fake_clock_init(&run->clock, INT64_C(1750000000) * RB_NS_PER_S);
    rb_platform_null(&run->platform, &run->clock.clock);
    run->arena = rb_arena_new((size_t)64 << 20);
    ck_assert_ptr_nonnull(run->arena);
    rb_diags_init(&run->diags, run->arena);
    run->memory = kind->memory_size ? calloc(1, kind->memory_size) : NULL;
    struct rb_node *node = NULL;
    int rc = rb_node_load_text("test.yml", "/", yaml, strlen(yaml), NULL, run->arena, &run->diags, &node);
    void *options = rb_arena_alloc(run->arena, kind->schema.schema.size);
    ck_assert_ptr_nonnull(options);
    if (rc == 0)
        rc = rb_options_parse(&kind->schema.schema, node, common, run->arena, options, &run->diags);
    run->spec = (struct rb_check_spec){.name = "test", .kind = &kind->schema, .options = options, .node = node, .timeout_ms = 10000};
    run->ctx = (struct rb_check_ctx){.spec = &run->spec,
                                     .options = options,
                                     .root = "/srv/tree",
                                     .platform = &run->platform,
                                     .clock = &run->clock.clock,
                                     .deadline_ns = rb_elapsed_ns(&run->clock.clock) + 10 * RB_NS_PER_S,
                                     .cancelled = &run->cancelled,
                                     .arena = run->arena,
                                     .memory = run->memory};
    rb_outcome_init(&run->outcome, run->arena);
    return rc == 0;
}

static inline void kind_run_fini(struct kind_run *run)
{
    free(run->memory);
    rb_arena_free(run->arena);
}

/* Every reason and value that a kind reports has to be declared. */
static inline void kind_run_verify(const struct kind_run *run)
{
    const struct rb_outcome *out = &run->outcome;
    ck_assert_msg(rb_kind_reason(run->kind, out->reason) != NULL, "reason %s is not declared", out->reason);
    for (size_t i = 0; i < out->value_count; i++) {
        const struct rb_value_def *row = rb_kind_value(run->kind, out->values[i].name);
        ck_assert_msg(row != NULL, "value %s is not declared", out->values[i].name);
        ck_assert_msg((row->label != NULL) == (out->values[i].label != NULL), "label of %s", out->values[i].name);
    }
}

/* Runs the worker part with a fresh outcome. */
static inline void kind_run_worker(struct kind_run *run)
{
    rb_outcome_init(&run->outcome, run->arena);
    run->kind->run(&run->ctx, &run->outcome);
    kind_run_verify(run);
}

static inline bool kind_run_has_evidence(const struct kind_run *run, const char *part)
{
    for (size_t i = 0; i < run->outcome.evidence_count; i++) {
        if (strstr(run->outcome.evidence[i], part))
            return true;
    }
    return false;
}

static inline const char *kind_run_fact(const struct kind_run *run, const char *key)
{
    for (size_t i = 0; i < run->outcome.fact_count; i++) {
        if (strcmp(run->outcome.facts[i].key, key) == 0)
            return run->outcome.facts[i].value;
    }
    return NULL;
}

/* The value with this name and label (NULL: any), or NULL. */
static inline const struct rb_value *kind_run_value(const struct kind_run *run, const char *name, const char *label)
{
    for (size_t i = 0; i < run->outcome.value_count; i++) {
        const struct rb_value *value = &run->outcome.values[i];
        if (strcmp(value->name, name) == 0 && (!label || (value->label && strcmp(value->label, label) == 0)))
            return value;
    }
    return NULL;
}

static inline bool kind_run_diag(const struct kind_run *run, const char *part)
{
    for (size_t i = 0; i < run->diags.count; i++) {
        if (strstr(run->diags.items[i].message, part))
            return true;
    }
    return false;
}

#endif
