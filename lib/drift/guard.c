/* What safety checks guard: read from their configuration, not from their results, so that a guard that fails still guards.
 *
 * A `keys` rule guards key paths in files: an item is refused when one of its differing keys is (or lies below, or holds) such a path, or when its keys cannot be told. Any other
 * safety check that names a file guards the whole of it. */
#include <string.h>

#include "runbook/base/glob.h"
#include "runbook/drift/accept.h"

enum { PATH_TEXT = 1024, MAX_DEPTH = 16 };

struct guard {
    const struct rb_drift_item *item;
    const char *key; /* the rule's or item's key that met; NULL: the whole file */
};

/* A key path with '/' between its segments, quotes and brackets gone: "a[0].\"b.c\"" → "a/0/b.c". Wildcards stay; for rules an index becomes '*', because items name list
 * entries by name where they can. */
static bool to_segments(const char *path, bool rule, char out[PATH_TEXT])
{
    size_t len = 0;
    char quote = 0;
    for (const char *at = path; *at; at++) {
        if (len + 2 >= PATH_TEXT)
            return false;
        if (quote ? *at == quote : *at == '"' || *at == '\'') {
            quote = quote ? 0 : *at;
        } else if (!quote && (*at == '.' || *at == '[')) {
            if (len > 0)
                out[len++] = '/';
            const char *close = *at == '[' ? strchr(at, ']') : NULL;
            if (close && rule) {
                out[len++] = '*';
                at = close;
            }
        } else if (quote || *at != ']') {
            out[len++] = *at == '/' ? '_' : *at;
        }
    }
    out[len] = '\0';
    return true;
}

static bool key_meets(const char *rule, const char *key)
{
    char pattern[PATH_TEXT + 4], path[PATH_TEXT];
    if (!to_segments(rule, true, pattern) || !to_segments(key, false, path))
        return true; /* cannot be told: guarded */
    if (rb_glob_match(pattern, path) || rb_glob_may_match_below(pattern, path))
        return true;
    strncat(pattern, "/**", 4);
    return rb_glob_match(pattern, path);
}

static bool names_file(const struct rb_node *value, const char *file)
{
    if (!value)
        return false;
    if (value->type == RB_NODE_SCALAR)
        return strcmp(value->scalar, file) == 0 || rb_glob_match(value->scalar, file);
    for (size_t i = 0; value->type == RB_NODE_SEQUENCE && i < value->count; i++)
        if (names_file(value->items[i], file))
            return true;
    return false;
}

/* One rule of a `keys` check. */
static bool rule_guards(const struct rb_node *rule, struct guard *guard)
{
    if (!names_file(rb_node_get(rule, "file"), guard->item->key) && !names_file(rb_node_get(rule, "files"), guard->item->key))
        return false;
    const struct rb_node *key = rb_node_get(rule, "key");
    if (!key || key->type != RB_NODE_SCALAR || !guard->item->keys_known || guard->item->change != RB_DRIFT_CHANGED)
        return true;
    for (size_t i = 0; i < guard->item->keys.count; i++)
        if (key_meets(key->scalar, guard->item->keys.items[i])) {
            guard->key = guard->item->keys.items[i];
            return true;
        }
    return false;
}

static bool keys_guards(const struct rb_node *node, struct guard *guard)
{
    const struct rb_node *rules = rb_node_get(node, "rules");
    for (size_t i = 0; rules && rules->type == RB_NODE_SEQUENCE && i < rules->count; i++)
        if (rules->items[i]->type == RB_NODE_MAPPING && rule_guards(rules->items[i], guard))
            return true;
    return false;
}

/* Any other kind: a value of an option whose name says that it holds files. */
static bool files_guard(const struct rb_node *node, const char *file, unsigned depth)
{
    static const char *const names[] = {"file", "files", "path", "paths", "exist", "absent", "executable", "dotenv", NULL};
    if (depth > MAX_DEPTH || !node || (node->type != RB_NODE_MAPPING && node->type != RB_NODE_SEQUENCE))
        return false;
    for (size_t i = 0; names[i] && node->type == RB_NODE_MAPPING; i++)
        if (names_file(rb_node_get(node, names[i]), file))
            return true;
    for (size_t i = 0; i < node->count; i++)
        if (files_guard(node->items[i], file, depth + 1))
            return true;
    return false;
}

const char *rb_drift_guard(const struct rb_plan *plan, const struct rb_drift_item *item, struct rb_arena *arena)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct rb_check_spec *spec = &plan->checks[i];
        if (spec->phase != RB_PHASE_SAFETY)
            continue;
        struct guard guard = {.item = item};
        bool keys = strcmp(spec->kind->schema.name, "keys") == 0;
        if (keys ? !keys_guards(spec->node, &guard) : !files_guard(spec->node, item->key, 0))
            continue;
        if (guard.key)
            return rb_arena_printf(arena, "the safety check '%s' guards %s in %s: such a change can never be accepted; put it right",
                                   spec->name, guard.key, item->key);
        return rb_arena_printf(arena, "the safety check '%s' guards %s: such a change can never be accepted; put it right", spec->name,
                               item->key);
    }
    return NULL;
}
