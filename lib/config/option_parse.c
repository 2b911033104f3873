/* Option tables to structs: keys, defaults, lists and nested tables.
 *
 * Invariants: `out` is always filled completely (defaults where the file is silent or wrong), so that a caller may go on and report more; a table is
 * read in its own order, so that the same file gives the same errors in the same order. */
#include "option_value.h"

#include <math.h>
#include <string.h>

#include "runbook/base/text.h"

#define MAX_KEYS       1024u  /* of one mapping */
#define MAX_ITEMS      10000u /* of one list, unless the table says less */
#define MAX_CANDIDATES 256u

static void *field_of(void *object, const struct rb_option *option)
{
    return (char *)object + option->offset;
}

static bool is_list(enum rb_option_type type)
{
    return type == RB_OPT_STRINGS || type == RB_OPT_PATHS || type == RB_OPT_GLOBS || type == RB_OPT_REGEXES || type == RB_OPT_ARGV;
}

static const struct rb_option *find_option(const struct rb_schema *schema, const char *key)
{
    for (const struct rb_option *option = schema->options; option != NULL && option->name != NULL; option++)
        if (strcmp(option->name, key) == 0)
            return option;
    return NULL;
}

static bool is_ignored(const struct rb_options_context *context, const char *key)
{
    for (const char *const *name = context->ignore; name != NULL && *name != NULL; name++)
        if (strcmp(*name, key) == 0)
            return true;
    return false;
}

static const char *nearest_key(const struct rb_options_context *context, const struct rb_schema *schema, const char *key)
{
    const char *candidates[MAX_CANDIDATES + 1];
    size_t count = 0;
    for (const struct rb_option *option = schema->options; option != NULL && option->name != NULL && count < MAX_CANDIDATES; option++)
        candidates[count++] = option->name;
    for (const char *const *name = context->ignore; name != NULL && *name != NULL && count < MAX_CANDIDATES; name++)
        candidates[count++] = *name;
    candidates[count] = NULL;
    return rb_text_nearest(key, candidates);
}

/* The index of an earlier pair with the same key, or `at`. */
static size_t first_with_key(const struct rb_node *node, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (strcmp(node->keys[i], node->keys[at]) == 0)
            return i;
    return at;
}

static int report_duplicate(const struct rb_options_context *context, const struct rb_node *node, size_t at, size_t first)
{
    const struct rb_mark *place = &node->key_marks[first];
    const struct rb_mark *mark = &node->key_marks[at];
    bool elsewhere = place->file != NULL && mark->file != NULL && strcmp(place->file, mark->file) != 0;
    return rb_diag_add(context->diags, *mark, "duplicate key '%s', first at %s%sline %u", node->keys[at], elsewhere ? place->file : "",
                       elsewhere ? ", " : "", place->line);
}

static int check_keys(const struct rb_options_context *context, const struct rb_schema *schema, const struct rb_node *node)
{
    int rc = 0;
    if (node->count > MAX_KEYS)
        return rb_diag_add(context->diags, node->mark, "%s has more than %u keys", context->where, MAX_KEYS);
    for (size_t i = 0; i < node->count; i++) {
        const char *key = node->keys[i];
        size_t first = first_with_key(node, i);
        if (first != i) {
            rc = report_duplicate(context, node, i, first);
        } else if (find_option(schema, key) == NULL && !is_ignored(context, key) && strcmp(key, "<<") != 0) { /* the reader refused "<<" */
            const char *near = nearest_key(context, schema, key);
            rc = rb_diag_add(context->diags, node->key_marks[i], "unknown key '%s' in %s%s%s%s", key, context->where,
                             near != NULL ? "; did you mean '" : "", near != NULL ? near : "", near != NULL ? "'?" : "");
        }
    }
    return rc;
}

static int check_count(const struct rb_options_context *context, const struct rb_option *option, const struct rb_node *node, size_t count)
{
    size_t max = option->max > 0 ? (size_t)option->max : MAX_ITEMS;
    size_t min = option->min > 0 ? (size_t)option->min : (option->flags & RB_OPT_NONEMPTY) != 0 || option->type == RB_OPT_ARGV ? 1 : 0;
    if (count >= min && count <= max)
        return 0;
    if (count < min)
        return rb_diag_add(context->diags, node->mark, "'%s' in %s wants at least %zu item%s", option->name, context->where, min,
                           min == 1 ? "" : "s");
    return rb_diag_add(context->diags, node->mark, "'%s' in %s wants at most %zu items, found %zu", option->name, context->where, max,
                       count);
}

static int expected_list(const struct rb_options_context *context, const struct rb_option *option, const struct rb_node *node)
{
    if (option->type == RB_OPT_ARGV && node->type == RB_NODE_SCALAR)
        return rb_diag_add(context->diags, node->mark, "'%s' in %s: write it as a list; there is no shell", option->name, context->where);
    return rb_diag_add(context->diags, node->mark, "'%s' in %s wants a %s, found %s", option->name, context->where,
                       rb_option_type_name(option->type), rb_option_found(context, option, node));
}

/* One item of a list; an empty or a nested one is an error. */
static int read_item(const struct rb_options_context *context, const struct rb_option *option, const struct rb_node *item, const char **out)
{
    if (item->invalid)
        return RB_ECONFIG;
    if (item->type != RB_NODE_SCALAR)
        return rb_diag_add(context->diags, item->mark, "an item of '%s' in %s must be text, found %s", option->name, context->where,
                           rb_option_found(context, option, item));
    return rb_option_check_text(context, option, item, rb_option_item_type(option->type), out);
}

static int read_list(const struct rb_options_context *context, const struct rb_option *option, const struct rb_node *node,
                     struct rb_strings *out)
{
    const struct rb_node *const single[] = {node};
    bool one = node->type == RB_NODE_SCALAR && option->type != RB_OPT_ARGV;
    if (!one && node->type != RB_NODE_SEQUENCE)
        return expected_list(context, option, node);
    size_t count = one ? 1 : node->count;
    int rc = check_count(context, option, node, count);
    if (rc < 0 || count == 0)
        return rc;
    const char **items = rb_arena_array(context->arena, count + 1, sizeof *items);
    if (items == NULL)
        return RB_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        items[i] = "";
        int step = read_item(context, option, one ? single[0] : node->items[i], &items[i]);
        rc = step < 0 ? step : rc;
    }
    if (rc == 0 && option->type == RB_OPT_ARGV && items[0][0] == '\0')
        rc = rb_diag_add(context->diags, node->mark, "'%s' in %s: the program's name is empty", option->name, context->where);
    *out = (struct rb_strings){.items = items, .count = count};
    return rc;
}

static int read_pairs(const struct rb_options_context *context, const struct rb_option *option, const struct rb_node *node,
                      struct rb_pairs *out)
{
    int rc = 0;
    if (node->type != RB_NODE_MAPPING)
        return expected_list(context, option, node);
    if (node->count > MAX_KEYS || check_count(context, option, node, node->count) < 0)
        return node->count > MAX_KEYS ? rb_diag_add(context->diags, node->mark, "'%s' has more than %u keys", option->name, MAX_KEYS)
                                      : RB_ECONFIG;
    struct rb_pair *items = rb_arena_array(context->arena, node->count + 1, sizeof *items);
    if (items == NULL)
        return RB_ENOMEM;
    for (size_t i = 0; i < node->count; i++) {
        const struct rb_node *item = node->items[i];
        size_t first = first_with_key(node, i);
        items[i].key = node->keys[i];
        if (first != i)
            rc = report_duplicate(context, node, i, first);
        else if (item->invalid || (item->type != RB_NODE_NULL && read_item(context, option, item, &items[i].value) < 0))
            rc = RB_ECONFIG;
    }
    *out = (struct rb_pairs){.items = items, .count = node->count};
    return rc;
}

/* The context of a nested table: its messages name the way to it; nobody else has keys in there. */
static struct rb_options_context nested_context(const struct rb_options_context *context, const struct rb_option *option, const char *index)
{
    struct rb_options_context nested = {.arena = context->arena, .diags = context->diags};
    nested.where = rb_arena_printf(context->arena, "'%s%s' of %s", option->name, index, context->where);
    if (nested.where == NULL)
        nested.where = context->where;
    return nested;
}

static int read_struct(const struct rb_options_context *context, const struct rb_option *option, const struct rb_node *node, void *out)
{
    struct rb_schema schema = {.name = option->name, .doc = option->doc, .options = option->sub, .size = option->sub_size};
    struct rb_options_context nested = nested_context(context, option, "");
    return rb_options_parse_in(&nested, &schema, node, out);
}

static int read_structs(const struct rb_options_context *context, const struct rb_option *option, const struct rb_node *node,
                        struct rb_structs *out)
{
    struct rb_schema schema = {.name = option->name, .doc = option->doc, .options = option->sub, .size = option->sub_size};
    bool one = node->type == RB_NODE_MAPPING;
    if (!one && node->type != RB_NODE_SEQUENCE)
        return expected_list(context, option, node);
    size_t count = one ? 1 : node->count;
    int rc = check_count(context, option, node, count);
    char *items = rc == 0 ? rb_arena_array(context->arena, count + 1, option->sub_size) : NULL;
    if (items == NULL)
        return rc < 0 ? rc : RB_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const char *index = one ? "" : rb_arena_printf(context->arena, "[%zu]", i);
        struct rb_options_context nested = nested_context(context, option, index != NULL ? index : "");
        int step = rb_options_parse_in(&nested, &schema, one ? node : node->items[i], items + i * option->sub_size);
        rc = step < 0 ? step : rc;
    }
    *out = (struct rb_structs){.items = items, .count = count};
    return rc;
}

/* Duplicate keys anywhere below a value that its kind reads itself; depth is bounded by the reader of YAML. */
static int check_free_keys(const struct rb_options_context *context, const struct rb_node *node)
{
    int rc = 0;
    if (node->type == RB_NODE_MAPPING && node->count > MAX_KEYS)
        return rb_diag_add(context->diags, node->mark, "a mapping in %s has more than %u keys", context->where, MAX_KEYS);
    for (size_t i = 0; i < node->count; i++) {
        size_t first = node->type == RB_NODE_MAPPING ? first_with_key(node, i) : i;
        int step = first != i ? report_duplicate(context, node, i, first) : check_free_keys(context, node->items[i]);
        rc = step < 0 ? step : rc;
    }
    return rc;
}

static int read_field(const struct rb_options_context *context, const struct rb_option *option, const struct rb_node *node, void *field)
{
    if (node->invalid)
        return RB_ECONFIG;
    if (is_list(option->type))
        return read_list(context, option, node, field);
    switch (option->type) {
    case RB_OPT_PAIRS:
        return read_pairs(context, option, node, field);
    case RB_OPT_STRUCT:
        return read_struct(context, option, node, field);
    case RB_OPT_STRUCTS:
        return read_structs(context, option, node, field);
    case RB_OPT_NODE:
        *(const struct rb_node **)field = node;
        return (option->flags & RB_OPT_ELSEWHERE) != 0 ? 0 : check_free_keys(context, node);
    default:
        return rb_option_read_scalar(context, option, node, field);
    }
}

static void set_absent(const struct rb_option *option, void *field)
{
    if (option->type == RB_OPT_TRISTATE)
        *(int8_t *)field = -1;
    else if (option->type == RB_OPT_NUMBER)
        *(double *)field = (double)NAN;
    else if (option->type == RB_OPT_DURATION || option->type == RB_OPT_SIZE)
        *(int64_t *)field = -1;
}

/* A fallback is YAML: a scalar, or a list or mapping in flow style (under a key of its own, because a configuration is a mapping). */
static int apply_fallback(const struct rb_options_context *context, const struct rb_option *option, void *field)
{
    static const char file[] = "built-in default";
    const char *text = option->fallback;
    struct rb_node scalar = {.type = RB_NODE_SCALAR, .scalar = text, .mark = {.file = file}};
    if (text[0] != '[' && text[0] != '{')
        return read_field(context, option, &scalar, field);
    struct rb_node *root = NULL;
    const char *yaml = rb_arena_printf(context->arena, "value: %s", text);
    if (yaml == NULL || rb_node_load_text(file, ".", yaml, strlen(yaml), NULL, context->arena, context->diags, &root) < 0)
        return RB_ECONFIG;
    return read_field(context, option, root->items[0], field);
}

static int apply_absent(const struct rb_options_context *context, const struct rb_option *option, void *field)
{
    set_absent(option, field);
    if (option->type == RB_OPT_STRUCT)
        return read_struct(context, option, NULL, field);
    return option->fallback != NULL ? apply_fallback(context, option, field) : 0;
}

static bool is_given(const struct rb_option *option, const struct rb_node *value)
{
    if (value == NULL)
        return false;
    return value->type != RB_NODE_NULL || value->invalid || option->type == RB_OPT_NODE;
}

static int read_option(const struct rb_options_context *context, const struct rb_option *option, const struct rb_node *node, void *out)
{
    const struct rb_node *value = rb_node_get(node, option->name);
    int rc = apply_absent(context, option, field_of(out, option));
    if (is_given(option, value))
        return read_field(context, option, value, field_of(out, option));
    if ((option->flags & RB_OPT_REQUIRED) == 0)
        return rc;
    struct rb_mark mark = value != NULL ? value->mark : node != NULL ? node->mark : (struct rb_mark){0};
    return rb_diag_add(context->diags, mark, "%s needs '%s' (%s)", context->where, option->name, rb_option_type_name(option->type));
}

int rb_options_parse_in(const struct rb_options_context *context, const struct rb_schema *schema, const struct rb_node *node, void *out)
{
    memset(out, 0, schema->size);
    int rc = 0;
    if (node != NULL && node->type != RB_NODE_MAPPING && node->type != RB_NODE_NULL) {
        rc = rb_diag_add(context->diags, node->mark, "%s must be a mapping", context->where);
        node = NULL;
    }
    /* A table that is not there at all lacks nothing: only one that was begun has to be complete. */
    bool required_apply = node != NULL;
    if (node != NULL && node->type == RB_NODE_MAPPING && !context->keys_checked && check_keys(context, schema, node) < 0)
        rc = RB_ECONFIG;
    for (const struct rb_option *option = schema->options; option != NULL && option->name != NULL; option++) {
        struct rb_option relaxed = *option;
        if (!required_apply)
            relaxed.flags &= ~(unsigned)RB_OPT_REQUIRED;
        int step = read_option(context, &relaxed, node, out);
        rc = step < 0 ? step : rc;
    }
    if (rc == 0 && node != NULL && schema->validate != NULL) {
        size_t before = context->diags->count + context->diags->dropped;
        schema->validate(out, node, context->diags);
        rc = context->diags->count + context->diags->dropped > before ? RB_ECONFIG : 0;
    }
    return rc;
}

int rb_options_parse(const struct rb_schema *schema, const struct rb_node *node, const char *const *ignore, struct rb_arena *arena,
                     void *out, struct rb_diags *diags)
{
    struct rb_options_context context = {.arena = arena, .diags = diags, .where = schema->name, .ignore = ignore};
    return rb_options_parse_in(&context, schema, node, out);
}
