/* Documents flattened to leaves with readable keys: "a.b.c", "[0]" for list items, and "[name]" where every item of a list is a table that its own `name` (or `id`, `key`)
 * tells apart, so that a package inserted at the top of a lock file changes one key and not all. Items that share a `name` are counted: "[numpy]", "[numpy#2]". */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runbook/base/redact.h"
#include "runbook/base/units.h"
#include "runbook/drift/fact.h"
#include "value.h"

enum { MAX_DEPTH = 128 };

struct flatten {
    struct rb_buf key;
    rb_drift_leaf *leaf;
    void *ctx;
    bool ok;
    unsigned depth;
};

const char *rb_drift_last_segment(const char *key)
{
    const char *last = key;
    for (const char *at = key; *at; at++)
        if (*at == '.' && at[1])
            last = at + 1;
    return last;
}

void rb_drift_value_node(struct rb_buf *out, const struct rb_doc_node *node, bool secret)
{
    if (secret && node->type == RB_DOC_STRING && node->string_len > 0) {
        rb_drift_value_secret(out, node->string, node->string_len);
        return;
    }
    switch (node->type) {
    case RB_DOC_NULL:
        rb_buf_adds(out, "null");
        break;
    case RB_DOC_BOOL:
        rb_buf_adds(out, node->boolean ? "true" : "false");
        break;
    case RB_DOC_INT:
        rb_buf_addf(out, "%lld", (long long)node->integer);
        break;
    case RB_DOC_FLOAT:
        if (isfinite(node->number))
            rb_double_print(out, node->number);
        else
            rb_buf_adds(out, isnan(node->number) ? "\"NaN\"" : node->number > 0 ? "\"+Inf\"" : "\"-Inf\"");
        break;
    case RB_DOC_STRING:
    case RB_DOC_DATETIME:
        rb_drift_value_string(out, node->string, node->string_len);
        break;
    case RB_DOC_LIST:
        rb_buf_adds(out, "[]"); /* only empty ones are leaves */
        break;
    case RB_DOC_TABLE:
        rb_buf_adds(out, "{}");
        break;
    }
}

static const char *name_of(const struct rb_doc_node *item, const char *member)
{
    const struct rb_doc_node *name = item->type == RB_DOC_TABLE ? rb_doc_get(item, member) : NULL;
    return name && name->type == RB_DOC_STRING && name->string_len > 0 && strlen(name->string) == name->string_len ? name->string : NULL;
}

/* The items of a list by name; `ordinal` counts those that share one, from 1: lock files have a package once for each platform. */
struct named {
    const char *name;
    size_t index, ordinal;
};

static int by_name(const void *left, const void *right)
{
    const struct named *a = left, *b = right;
    int order = strcmp(a->name, b->name);
    return order != 0 ? order : a->index < b->index ? -1 : a->index > b->index;
}

static int by_index(const void *left, const void *right)
{
    const struct named *a = left, *b = right;
    return a->index < b->index ? -1 : a->index > b->index;
}

/* False when an item has no such name. */
static bool name_items(const struct rb_doc_node *list, const char *member, struct named *items, bool *out_unique)
{
    for (size_t i = 0; i < list->count; i++) {
        items[i] = (struct named){.name = name_of(list->items[i], member), .index = i, .ordinal = 1};
        if (!items[i].name)
            return false;
    }
    qsort(items, list->count, sizeof *items, by_name);
    *out_unique = true;
    for (size_t i = 1; i < list->count; i++) {
        if (strcmp(items[i - 1].name, items[i].name) != 0)
            continue;
        items[i].ordinal = items[i - 1].ordinal + 1;
        *out_unique = false;
    }
    qsort(items, list->count, sizeof *items, by_index);
    return true;
}

/* Names for the items, to be freed: by a member that tells them apart, else by `name` with a count; NULL when they have none. */
static struct named *names_of(const struct rb_doc_node *list)
{
    static const char *const members[] = {"name", "id", "key", "job_name", "uid", NULL};
    struct named *items = calloc(list->count + 1, sizeof *items);
    bool unique = false;
    for (size_t i = 0; items && members[i]; i++)
        if (name_items(list, members[i], items, &unique) && unique)
            return items;
    if (items && name_items(list, members[0], items, &unique))
        return items;
    free(items);
    return NULL;
}

static bool plain_key(const char *key, size_t len)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    return len > 0 && strspn(key, plain) == len;
}

static void add_segment(struct rb_buf *key, const char *name, size_t len)
{
    if (key->len > 0)
        rb_buf_addc(key, '.');
    if (plain_key(name, len))
        rb_buf_add(key, name, len);
    else
        rb_drift_value_string(key, name, len);
}

static void visit(struct flatten *flatten, const struct rb_doc_node *node);

static void cut(struct rb_buf *key, size_t len)
{
    key->len = len;
    if (key->data)
        key->data[len] = '\0';
}

static void visit_table(struct flatten *flatten, const struct rb_doc_node *table)
{
    size_t mark = flatten->key.len;
    for (size_t i = 0; i < table->count && flatten->ok; i++) {
        add_segment(&flatten->key, table->keys[i], table->key_lens[i]);
        visit(flatten, table->items[i]);
        if (flatten->ok)
            cut(&flatten->key, mark);
    }
}

static void visit_list(struct flatten *flatten, const struct rb_doc_node *list)
{
    size_t mark = flatten->key.len;
    struct named *names = names_of(list);
    for (size_t i = 0; i < list->count && flatten->ok; i++) {
        if (names && names[i].ordinal > 1)
            rb_buf_addf(&flatten->key, "[%s#%zu]", names[i].name, names[i].ordinal);
        else if (names)
            rb_buf_addf(&flatten->key, "[%s]", names[i].name);
        else
            rb_buf_addf(&flatten->key, "[%zu]", i);
        visit(flatten, list->items[i]);
        if (flatten->ok)
            cut(&flatten->key, mark);
    }
    free(names);
}

static void visit(struct flatten *flatten, const struct rb_doc_node *node)
{
    if (flatten->key.failed || flatten->depth >= MAX_DEPTH) {
        flatten->ok = false;
        return;
    }
    bool inner = (node->type == RB_DOC_TABLE || node->type == RB_DOC_LIST) && node->count > 0;
    flatten->depth++;
    if (!inner)
        flatten->ok = flatten->leaf(flatten->ctx, rb_buf_str(&flatten->key), node);
    else if (node->type == RB_DOC_TABLE)
        visit_table(flatten, node);
    else
        visit_list(flatten, node);
    flatten->depth--;
}

bool rb_drift_flatten(const struct rb_doc_node *root, const char *prefix, rb_drift_leaf *leaf, void *ctx)
{
    struct flatten flatten = {.leaf = leaf, .ctx = ctx, .ok = true};
    rb_buf_init(&flatten.key, RB_DRIFT_KEY_MAX);
    rb_buf_adds(&flatten.key, prefix);
    visit(&flatten, root);
    rb_buf_fini(&flatten.key);
    return flatten.ok;
}

static bool add_leaf(void *ctx, const char *key, const struct rb_doc_node *node)
{
    struct rb_drift_facts *facts = ctx;
    RB_BUF_AUTO value;
    rb_buf_init(&value, RB_DRIFT_VALUE_MAX);
    rb_drift_value_node(&value, node, rb_redact_key_is_secret(rb_drift_last_segment(key)));
    if (value.failed && node->string) {
        rb_buf_reset(&value);
        rb_drift_value_secret(&value, node->string, node->string_len);
    }
    return rb_drift_facts_add(facts, key, rb_buf_str(&value)) != NULL;
}

void rb_drift_facts_add_node(struct rb_drift_facts *facts, const char *key, const struct rb_doc_node *node)
{
    if (!rb_drift_flatten(node, key, add_leaf, facts))
        facts->too_many = true;
}
