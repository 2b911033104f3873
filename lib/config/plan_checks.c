/* `checks`: names, kinds, common options, defaults and the kinds' own tables.
 *
 * Defaults are merged into the node of a check, so that the one mapping tells all of it (identity, scan helper, `explain`). A check whose kind is unknown
 * keeps its place with what is known of it: other checks may depend on it. */
#include <string.h>

#include "loader.h"
#include "option_value.h"
#include "plan_internal.h"
#include "runbook/base/text.h"

#define NAME_MAX_LEN     64u
#define MAX_KEY_NAMES    128u
#define DEFAULT_EVERY_MS 60000

static bool is_check_name(const char *name)
{
    static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    static const char rest[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:-";
    size_t len = strlen(name);
    return len > 0 && len <= NAME_MAX_LEN && strchr(first, name[0]) != NULL && strspn(name, rest) == len;
}

static const char *read_name(struct rb_plan_builder *builder, const struct rb_node *node)
{
    const struct rb_node *name = rb_node_get(node, "name");
    if (name != NULL && name->invalid)
        return NULL;
    if (name == NULL || name->type != RB_NODE_SCALAR) {
        rb_diag_add(builder->diags, name != NULL ? name->mark : node->mark, "a check needs a 'name'");
        return NULL;
    }
    if (!is_check_name(name->scalar)) {
        rb_diag_add(builder->diags, name->mark,
                    "'%.80s' is no name for a check: letters, digits and _ . : - (the first a letter or digit), at most %u characters",
                    name->scalar, NAME_MAX_LEN);
        return NULL;
    }
    return name->scalar;
}

static const struct rb_kind_schema *find_kind(const struct rb_kind_list *kinds, const char *name)
{
    for (size_t i = 0; i < kinds->count; i++)
        if (strcmp(kinds->items[i]->schema.name, name) == 0)
            return kinds->items[i];
    return NULL;
}

static const struct rb_kind_schema *read_kind(struct rb_plan_builder *builder, const struct rb_node *node, const char *check_name)
{
    const struct rb_node *kind = rb_node_get(node, "kind");
    const char *names[MAX_KEY_NAMES + 1];
    size_t count = 0;
    if (kind != NULL && kind->invalid)
        return NULL;
    if (kind == NULL || kind->type != RB_NODE_SCALAR) {
        rb_diag_add(builder->diags, kind != NULL ? kind->mark : node->mark, "check '%s' needs a 'kind'",
                    check_name != NULL ? check_name : "?");
        return NULL;
    }
    const struct rb_kind_schema *found = find_kind(builder->kinds, kind->scalar);
    if (found != NULL)
        return found;
    for (size_t i = 0; i < builder->kinds->count && count < MAX_KEY_NAMES; i++)
        names[count++] = builder->kinds->items[i]->schema.name;
    names[count] = NULL;
    const char *near = rb_text_nearest(kind->scalar, names);
    rb_diag_add(builder->diags, kind->mark, "unknown kind '%.80s' in check '%s'%s%s%s", kind->scalar, check_name != NULL ? check_name : "?",
                near != NULL ? "; did you mean '" : "; `runbookd explain` lists them", near != NULL ? near : "", near != NULL ? "'?" : "");
    return NULL;
}

/* A copy of the check's mapping with the defaults that it does not set itself. */
static const struct rb_node *merge_defaults(struct rb_plan_builder *builder, const struct rb_node *node)
{
    const struct rb_node *defaults = builder->defaults;
    struct rb_arena *arena = builder->plan->arena;
    if (defaults == NULL)
        return node;
    struct rb_node *merged = rb_arena_alloc(arena, sizeof *merged);
    if (merged == NULL)
        return node;
    *merged = *node;
    for (size_t i = 0; i < defaults->count; i++)
        if (rb_node_get(node, defaults->keys[i]) == NULL &&
            rb_node_append(arena, merged, defaults->keys[i], defaults->key_marks[i], defaults->items[i]) < 0)
            return node;
    return merged;
}

static size_t add_names(const struct rb_option *options, const char **names, size_t count)
{
    for (; options != NULL && options->name != NULL && count < MAX_KEY_NAMES; options++)
        names[count++] = options->name;
    return count;
}

static int read_common(struct rb_plan_builder *builder, const char *where, const struct rb_node *node, struct rb_common_options *out)
{
    struct rb_options_context context = {.arena = builder->plan->arena, .diags = builder->diags, .where = where, .keys_checked = true};
    return rb_options_parse_in(&context, &rb_common_schema, node, out);
}

static int64_t default_every(const struct rb_kind_schema *kind)
{
    int64_t ms = DEFAULT_EVERY_MS;
    struct rb_error ignored;
    if (kind != NULL && kind->default_every != NULL && rb_duration_parse(kind->default_every, &ms, &ignored) < 0)
        return DEFAULT_EVERY_MS;
    return ms;
}

static void apply_common(struct rb_check_spec *spec, const struct rb_common_options *common)
{
    const struct rb_kind_schema *kind = spec->kind;
    const struct rb_node *phase = rb_node_get(spec->node, "phase");
    bool manual_kind = kind != NULL && kind->default_every != NULL && strcmp(kind->default_every, "manual") == 0;
    bool phase_given = phase != NULL && phase->type == RB_NODE_SCALAR;
    spec->phase = phase_given ? (enum rb_phase)common->phase : kind != NULL ? kind->default_phase : RB_PHASE_PREFLIGHT;
    spec->presence = (enum rb_presence)common->presence;
    spec->severity = (enum rb_severity)common->severity;
    spec->manual = common->every_ms == RB_EVERY_MANUAL || (common->every_ms < 0 && manual_kind);
    spec->every_ms = common->every_ms > 0 ? common->every_ms : default_every(kind);
    spec->timeout_ms = common->timeout_ms;
    spec->fail_after = (unsigned)common->fail_after;
    spec->recover_after = (unsigned)common->recover_after;
    spec->triage = common->triage >= 0 ? common->triage == 1 : kind != NULL && kind->default_triage;
    spec->runbook = common->runbook;
    spec->hints = common->hints;
}

static int read_kind_options(struct rb_plan_builder *builder, const char *where, struct rb_check_spec *spec)
{
    const char *names[MAX_KEY_NAMES + 1] = {"name", "kind"};
    names[add_names(rb_common_schema.options, names, 2)] = NULL;
    struct rb_arena *arena = builder->plan->arena;
    const struct rb_schema *schema = &spec->kind->schema;
    void *options = rb_arena_alloc(arena, schema->size > 0 ? schema->size : 1);
    if (options == NULL)
        return RB_ENOMEM;
    struct rb_options_context context = {.arena = arena, .diags = builder->diags, .where = where, .ignore = names};
    spec->options = options;
    return rb_options_parse_in(&context, schema, spec->node, options);
}

static bool is_common_cosmetic(const char *key)
{
    for (const struct rb_option *option = rb_common_schema.options; option->name != NULL; option++)
        if (strcmp(option->name, key) == 0)
            return (option->flags & RB_OPT_COSMETIC) != 0;
    return false;
}

static bool is_kind_cosmetic(const struct rb_kind_schema *kind, const char *key)
{
    for (const struct rb_option *option = kind->schema.options; option != NULL && option->name != NULL; option++)
        if (strcmp(option->name, key) == 0)
            return (option->flags & RB_OPT_COSMETIC) != 0;
    return false;
}

/* Kind, root and every option that changes what a result means; a secret enters by its digest. */
static int set_identity(struct rb_plan_builder *builder, struct rb_check_spec *spec)
{
    const struct rb_node *node = spec->node;
    struct rb_node meaning = {.type = RB_NODE_MAPPING, .mark = node->mark};
    for (size_t i = 0; i < node->count; i++) {
        const char *key = node->keys[i];
        if (strcmp(key, "name") == 0 || is_common_cosmetic(key) || is_kind_cosmetic(spec->kind, key))
            continue;
        if (rb_node_append(builder->plan->arena, &meaning, key, node->key_marks[i], node->items[i]) < 0)
            return RB_ENOMEM;
    }
    RB_BUF_AUTO json;
    rb_buf_init(&json, RB_CONFIG_MAX_BYTES * 8u);
    rb_node_to_json(&meaning, false, &json);
    if (json.failed)
        return RB_ENOMEM;
    rb_sha256_of(rb_buf_str(&json), json.len, spec->identity);
    return 0;
}

static int read_check(struct rb_plan_builder *builder, const struct rb_node *node, struct rb_check_spec *spec)
{
    struct rb_common_options common;
    spec->mark = node->mark;
    if (node->type != RB_NODE_MAPPING)
        return node->invalid ? RB_ECONFIG : rb_diag_add(builder->diags, node->mark, "a check is a mapping with at least 'name' and 'kind'");
    spec->name = read_name(builder, node);
    spec->kind = read_kind(builder, node, spec->name);
    spec->node = merge_defaults(builder, node);
    const char *where = rb_arena_printf(builder->plan->arena, "check '%s' (kind %s)", spec->name != NULL ? spec->name : "?",
                                        spec->kind != NULL ? spec->kind->schema.name : "?");
    if (where == NULL)
        return RB_ENOMEM;
    int rc = read_common(builder, where, spec->node, &common);
    apply_common(spec, &common);
    if (spec->kind == NULL || spec->name == NULL)
        rc = RB_ECONFIG;
    if (spec->kind == NULL)
        return rc;
    if (!spec->kind->presence_aware && rb_node_get(node, "presence") != NULL && spec->presence != RB_PRESENCE_REQUIRED)
        rb_plan_warn(builder->plan, "%s: this kind does not know absence, 'presence: %s' has no effect", where,
                     rb_presence_name(spec->presence));
    int own = read_kind_options(builder, where, spec);
    if (rc == 0 && own == 0)
        return set_identity(builder, spec);
    return rc < 0 ? rc : own;
}

int rb_plan_read_checks(struct rb_plan_builder *builder)
{
    const struct rb_node *list = rb_node_get(builder->root, "checks");
    struct rb_plan *plan = builder->plan;
    if (list != NULL && list->invalid)
        return RB_ECONFIG;
    if (list == NULL || list->type == RB_NODE_NULL || (list->type == RB_NODE_SEQUENCE && list->count == 0)) {
        if (!builder->incomplete)
            rb_plan_warn(plan, "%s has no checks: there is nothing to watch; `runbookd init` shows what could be there", plan->source);
        return 0;
    }
    if (list->type != RB_NODE_SEQUENCE)
        return rb_diag_add(builder->diags, list->mark, "'checks' wants a list of checks, each beginning with '- name:'");
    if (list->count > RB_PLAN_MAX_CHECKS)
        return rb_diag_add(builder->diags, list->items[RB_PLAN_MAX_CHECKS]->mark, "more than %u checks; run a second daemon for the rest",
                           RB_PLAN_MAX_CHECKS);
    plan->checks = rb_arena_array(plan->arena, list->count, sizeof *plan->checks);
    if (plan->checks == NULL)
        return RB_ENOMEM;
    plan->count = list->count;
    int rc = 0;
    for (size_t i = 0; i < list->count; i++) {
        int step = read_check(builder, list->items[i], &plan->checks[i]);
        rc = step < 0 ? step : rc;
    }
    return rc;
}
