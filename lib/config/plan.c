/* The plan: one file to one validated, immutable configuration.
 *
 * Invariants: every step runs even when an earlier one failed, so that one run reports every error; what the steps must not do is report the
 * consequences of an error that was reported already (`incomplete`, invalid nodes). The plan is handed out only when nothing failed. It lives in one
 * arena; its reference count is the only thing about it that changes. */
#include "runbook/config/plan.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader.h"
#include "option_value.h"
#include "plan_internal.h"

#define PLAN_ARENA_MAX ((size_t)256 << 20) /* 4 MiB of YAML make at most some 60 MiB of nodes; the rest is headroom for merged defaults */

static void plan_free(struct rb_plan *plan)
{
    rb_arena_free(plan->arena);
    free(plan);
}

struct rb_plan *rb_plan_ref(struct rb_plan *plan)
{
    __atomic_add_fetch(&plan->refs, 1, __ATOMIC_RELAXED);
    return plan;
}

void rb_plan_unref(struct rb_plan *plan)
{
    if (plan != NULL && __atomic_sub_fetch(&plan->refs, 1, __ATOMIC_ACQ_REL) == 0)
        plan_free(plan);
}

size_t rb_plan_find(const struct rb_plan *plan, const char *name)
{
    for (size_t i = 0; i < plan->count; i++)
        if (plan->checks[i].name != NULL && strcmp(plan->checks[i].name, name) == 0)
            return i;
    return SIZE_MAX;
}

void rb_plan_warn(struct rb_plan *plan, const char *fmt, ...)
{
    const char **items = rb_arena_array(plan->arena, plan->warnings.count + 2, sizeof *items);
    va_list args;
    va_start(args, fmt);
    const char *text = rb_arena_vprintf(plan->arena, fmt, args);
    va_end(args);
    if (items == NULL || text == NULL)
        return; /* the arena's failure is noticed when the plan is finished */
    for (size_t i = 0; i < plan->warnings.count; i++)
        items[i] = plan->warnings.items[i];
    items[plan->warnings.count] = text;
    plan->warnings = (struct rb_strings){.items = items, .count = plan->warnings.count + 1};
}

struct rb_mark rb_plan_mark(const struct rb_plan_builder *builder, const struct rb_node *mapping, const char *key)
{
    const struct rb_node *value = mapping != NULL ? rb_node_get(mapping, key) : NULL;
    if (value != NULL)
        return value->mark;
    return mapping != NULL ? mapping->mark : (struct rb_mark){.file = builder->plan->source};
}

static struct rb_plan *plan_new(void)
{
    struct rb_plan *plan = calloc(1, sizeof *plan);
    struct rb_arena *arena = plan != NULL ? rb_arena_new(PLAN_ARENA_MAX) : NULL;
    if (arena == NULL) {
        free(plan);
        return NULL;
    }
    plan->arena = arena;
    plan->refs = 1;
    return plan;
}

static const char *working_dir(const struct rb_plan_builder *builder)
{
    char here[4096];
    if (builder->request->cwd != NULL)
        return builder->request->cwd;
    const char *copy = getcwd(here, sizeof here) != NULL ? rb_arena_strdup(builder->plan->arena, here) : NULL;
    return copy != NULL ? copy : "/";
}

/* Where the configuration comes from: a text, a named file, or the search. Sets source, dir, discovered, trusted. */
static int choose_source(struct rb_plan_builder *builder, bool *out_found_here, struct rb_error *err)
{
    const struct rb_plan_request *request = builder->request;
    struct rb_plan *plan = builder->plan;
    char path[4096];
    const char *cwd = builder->cwd = working_dir(builder);
    *out_found_here = false;
    plan->trusted = true;
    if (request->text != NULL) {
        plan->source = "discovery";
        plan->discovered = true;
        builder->dir = cwd;
        return 0;
    }
    if (request->config == NULL) {
        int rc = rb_config_find(cwd, path, sizeof path, out_found_here, err);
        if (rc < 0)
            return rc;
        plan->source = rb_arena_strdup(plan->arena, path);
    } else {
        plan->source = rb_config_join(plan->arena, cwd, request->config);
    }
    builder->dir = plan->source != NULL ? rb_config_dirname(plan->arena, plan->source) : NULL;
    return builder->dir != NULL ? 0 : rb_error_set(err, RB_ENOMEM, "out of memory");
}

static void load_nodes(struct rb_plan_builder *builder)
{
    static const struct rb_node_load_options strict = {.check_permissions = true};
    struct rb_plan *plan = builder->plan;
    struct rb_node_load_options options = builder->request->load != NULL ? *builder->request->load : strict;
    struct rb_node *root = NULL;
    if (options.credentials_dir == NULL && builder->request->load == NULL)
        options.credentials_dir = getenv("CREDENTIALS_DIRECTORY");
    int rc = plan->discovered ? rb_node_load_text(plan->source, builder->dir, builder->request->text, strlen(builder->request->text),
                                                  &options, plan->arena, builder->diags, &root)
                              : rb_node_load_file(plan->source, &options, plan->arena, builder->diags, &root, &plan->files);
    builder->root = root;
    builder->incomplete = root == NULL || root->invalid;
    builder->failed = rc < 0;
}

struct top_level {
    const struct rb_node *daemon, *defaults, *include, *checks;
};

static const struct rb_option top_options[] = {
    {.name = "daemon",
     .type = RB_OPT_NODE,
     .offset = offsetof(struct top_level, daemon),
     .flags = RB_OPT_ELSEWHERE,
     .doc = "The daemon itself."},
    {.name = "defaults",
     .type = RB_OPT_NODE,
     .offset = offsetof(struct top_level, defaults),
     .flags = RB_OPT_ELSEWHERE,
     .doc = "Common options for all checks."},
    {.name = "include",
     .type = RB_OPT_NODE,
     .offset = offsetof(struct top_level, include),
     .flags = RB_OPT_ELSEWHERE,
     .doc = "Further files."},
    {.name = "checks", .type = RB_OPT_NODE, .offset = offsetof(struct top_level, checks), .flags = RB_OPT_ELSEWHERE, .doc = "The checks."},
    {.name = NULL}};

static void read_top_level(struct rb_plan_builder *builder)
{
    static const struct rb_schema schema = {.name = "the configuration", .options = top_options, .size = sizeof(struct top_level)};
    struct top_level top;
    struct rb_common_options unused;
    struct rb_plan *plan = builder->plan;
    if (rb_options_parse(&schema, builder->root, NULL, plan->arena, &top, builder->diags) < 0)
        builder->failed = true;
    if (rb_options_parse(&rb_daemon_schema, top.daemon, NULL, plan->arena, &plan->daemon, builder->diags) < 0)
        builder->failed = true;
    struct rb_options_context context = {.arena = plan->arena, .diags = builder->diags, .where = "defaults"};
    if (rb_options_parse_in(&context, &rb_common_schema, top.defaults, &unused) < 0)
        builder->failed = true; /* and not merged: its errors would come back with every check */
    else if (top.defaults != NULL && top.defaults->type == RB_NODE_MAPPING)
        builder->defaults = top.defaults;
}

static void build(struct rb_plan_builder *builder)
{
    static int (*const steps[])(struct rb_plan_builder *) = {rb_plan_read_checks, rb_plan_link_checks, rb_plan_resolve_places,
                                                             rb_plan_check_runbooks, rb_plan_apply_trust};
    read_top_level(builder);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
        if (steps[i](builder) < 0)
            builder->failed = true;
}

/* Secret values stay in plan->arena; a plan never prints them (redaction is by node->secret and RB_OPT_SECRET). */
static int finish(const struct rb_plan_builder *builder, struct rb_error *err)
{
    bool unexplained = builder->failed && builder->diags->count == 0; /* only memory fails without a diagnostic */
    if (unexplained || rb_arena_failed(builder->plan->arena) || rb_arena_failed(builder->diags->arena))
        return rb_error_set(err, RB_ENOMEM, "out of memory while reading the configuration");
    if (builder->failed || builder->diags->count > 0) {
        size_t total = builder->diags->count + builder->diags->dropped;
        return rb_error_set(err, RB_ECONFIG, "%zu error%s in the configuration", total, total == 1 ? "" : "s");
    }
    return 0;
}

int rb_plan_load(const struct rb_plan_request *request, const struct rb_kind_list *kinds, struct rb_diags *diags, struct rb_plan **out,
                 struct rb_error *err)
{
    struct rb_plan_builder builder = {.request = request, .kinds = kinds, .diags = diags, .plan = plan_new()};
    bool found_here = false;
    if (builder.plan == NULL)
        return rb_error_set(err, RB_ENOMEM, "out of memory");
    int rc = choose_source(&builder, &found_here, err);
    if (rc == 0) {
        builder.plan->trusted = !found_here;
        load_nodes(&builder);
        if (builder.root != NULL)
            build(&builder);
        rc = finish(&builder, err);
    }
    if (rc < 0) {
        plan_free(builder.plan);
        return rc;
    }
    *out = builder.plan;
    return 0;
}
