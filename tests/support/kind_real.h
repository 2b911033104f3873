/* Runs one check of a worker or scan kind on real files with the real clock: options from YAML. (kind_run.h is the twin on a made-up machine.) */
#ifndef RB_TEST_KIND_REAL_H
#define RB_TEST_KIND_REAL_H

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "runbook/check/kind.h"
#include "runbook/check/scan.h"

static inline int64_t real_now(void *ctx)
{
    struct timespec now;
    (void)ctx;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * RB_NS_PER_S + now.tv_nsec;
}

/* Parses `yaml` with the kind's table into memory of the arena; the text must be valid. */
static inline const void *real_options(const struct rb_kind *kind, const char *yaml, struct rb_arena *arena)
{
    struct rb_diags *diags = rb_arena_alloc(arena, sizeof *diags);
    void *options = rb_arena_alloc(arena, kind->schema.schema.size);
    ck_assert(diags != NULL && options != NULL);
    rb_diags_init(diags, arena);
    struct rb_node *node = NULL;
    struct rb_node_load_options load = {0};
    int code = rb_node_load_text("test", "/", yaml, strlen(yaml), &load, arena, diags, &node);
    if (code == 0)
        code = rb_options_parse(&kind->schema.schema, node, NULL, arena, options, diags);
    if (code < 0 && diags->count > 0)
        ck_abort_msg("options: %s", diags->items[0].message);
    ck_assert_int_eq(code, 0);
    return options;
}

static inline void kind_run(const struct rb_kind *kind, const char *root, const char *yaml, struct rb_arena *arena, struct rb_outcome *out)
{
    static const struct rb_clock clock = {.elapsed_ns = real_now, .awake_ns = real_now, .wall_ns = real_now};
    struct rb_check_ctx ctx = {.root = root, .clock = &clock, .arena = arena, .options = real_options(kind, yaml, arena)};
    rb_outcome_init(out, arena);
    if (kind->exec == RB_EXEC_WORKER) {
        kind->run(&ctx, out);
    } else {
        struct rb_error err = {0};
        struct rb_scan_job job = {.kind = kind, .ctx = ctx, .outcome = out};
        ck_assert_msg(rb_scan_run(root, &job, 1, &err) == 0, "%s", err.message);
    }
    ck_assert_msg(!rb_arena_failed(arena), "the arena is exhausted");
    /* Every reason must be of the kind's closed set, whatever a test looks at. */
    ck_assert_msg(rb_kind_reason(kind, out->reason) != NULL, "reason %s is not in the kind's table", out->reason);
}

static inline double outcome_number(const struct rb_outcome *out, const char *name, const char *label)
{
    for (size_t i = 0; i < out->value_count; i++)
        if (strcmp(out->values[i].name, name) == 0 && (label == NULL) == (out->values[i].label == NULL) &&
            (label == NULL || strcmp(label, out->values[i].label) == 0))
            return out->values[i].number;
    ck_abort_msg("no value %s{%s}", name, label ? label : "");
    return 0;
}

static inline bool outcome_mentions(const struct rb_outcome *out, const char *text)
{
    for (size_t i = 0; i < out->evidence_count; i++)
        if (strstr(out->evidence[i], text))
            return true;
    return strstr(out->message, text) != NULL;
}

static inline bool outcome_hints(const struct rb_outcome *out, const char *text)
{
    for (size_t i = 0; i < out->hint_count; i++)
        if (strstr(out->hints[i], text))
            return true;
    return false;
}

#endif
