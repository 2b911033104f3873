/* The builder behind the document parsers.
 *
 * Invariants: depth never exceeds RB_DOC_MAX_DEPTH; after a failure (`code` < 0) every call does nothing; the keys and items of the open nodes lie
 * on two growing stacks, so that a closed node gets arrays of exactly its size and a check without a tree keeps nothing.
 * Duplicates are found by sorting the keys of one table when it closes: no hash that a hostile file could flood, and all of them are found. */
#include "doc_build.h"

#include <stdlib.h>
#include <string.h>

void doc_cursor_init(struct doc_cursor *cursor, const char *text)
{
    *cursor = (struct doc_cursor){.text = text, .place = {1, 1}};
}

struct doc_place doc_cursor_at(struct doc_cursor *cursor, size_t offset)
{
    for (; cursor->offset < offset; cursor->offset++) {
        unsigned char c = (unsigned char)cursor->text[cursor->offset];
        if (c == '\n') {
            cursor->place.line++;
            cursor->place.column = 1;
        } else if ((c & 0xC0) != 0x80) {
            cursor->place.column++;
        }
    }
    return cursor->place;
}

void doc_build_init(struct doc_builder *b, struct rb_arena *arena, struct rb_arena *message_arena, bool tree,
                    struct rb_doc_problems *problems, struct rb_error *err)
{
    *b = (struct doc_builder){.arena = arena, .message_arena = message_arena, .tree = tree, .problems = problems, .err = err};
}

void doc_build_fini(struct doc_builder *b)
{
    free(b->keys);
    free(b->items);
    b->keys = NULL;
    b->items = NULL;
}

void doc_problem(struct doc_builder *b, struct doc_place place, const char *fmt, ...)
{
    struct rb_doc_problems *list = b->problems;
    if (list->count == sizeof(list->items) / sizeof(list->items[0])) {
        list->dropped++;
        return;
    }
    va_list args;
    va_start(args, fmt);
    const char *message = rb_arena_vprintf(b->message_arena, fmt, args);
    va_end(args);
    list->items[list->count++] = (struct rb_doc_problem){place.line, place.column,
                                                         message ? message : "out of memory while describing the problem"};
}

void doc_build_fail(struct doc_builder *b, int code, const char *fmt, ...)
{
    if (b->code < 0)
        return;
    struct rb_error local = {0};
    va_list args;
    va_start(args, fmt);
    const char *message = rb_arena_vprintf(b->message_arena, fmt, args);
    va_end(args);
    b->code = rb_error_set(b->err ? b->err : &local, code, "%s", message ? message : "out of memory");
}

/* Makes room for one more element; false (and a sticky failure) when there is none. */
static bool grow(struct doc_builder *b, void **array, size_t *cap, size_t count, size_t size)
{
    if (count < *cap)
        return true;
    size_t wanted = *cap ? *cap * 2 : 64;
    void *bigger = wanted <= (size_t)RB_DOC_MAX_BYTES ? realloc(*array, wanted * size) : NULL;
    if (!bigger) {
        doc_build_fail(b, RB_ENOMEM, "out of memory while reading the document");
        return false;
    }
    *array = bigger;
    *cap = wanted;
    return true;
}

static struct rb_doc_node *new_node(struct doc_builder *b, enum rb_doc_type type, struct doc_place place)
{
    if (b->code < 0 || !b->tree)
        return NULL;
    if (++b->nodes > RB_DOC_MAX_NODES) {
        doc_build_fail(b, RB_ELIMIT, "line %u: the document has more than %d values", place.line, RB_DOC_MAX_NODES);
        return NULL;
    }
    struct rb_doc_node *node = rb_arena_alloc(b->arena, sizeof(*node));
    if (!node) {
        doc_build_fail(b, RB_ENOMEM, "out of memory while reading the document");
        return NULL;
    }
    node->type = type;
    node->line = place.line;
    node->column = place.column;
    return node;
}

struct rb_doc_node *doc_build_scalar(struct doc_builder *b, enum rb_doc_type type, struct doc_place place)
{
    return new_node(b, type, place);
}

void doc_build_open(struct doc_builder *b, bool table, struct doc_place place)
{
    if (b->code < 0)
        return;
    if (b->depth == RB_DOC_MAX_DEPTH) {
        doc_build_fail(b, RB_ELIMIT, "line %u, column %u: nested deeper than %d levels", place.line, place.column, RB_DOC_MAX_DEPTH);
        return;
    }
    b->frames[b->depth++] = (struct doc_frame){.node = new_node(b, table ? RB_DOC_TABLE : RB_DOC_LIST, place),
                                               .table = table,
                                               .first_key = b->key_count,
                                               .first_item = b->item_count,
                                               .size = {.nodes = 1, .levels = 1}};
}

void doc_build_key(struct doc_builder *b, const struct doc_key *key)
{
    void *keys = b->keys;
    if (b->code < 0 || !grow(b, &keys, &b->key_cap, b->key_count, sizeof(*b->keys)))
        return;
    b->keys = keys;
    b->keys[b->key_count++] = *key;
}

void doc_build_value(struct doc_builder *b, struct rb_doc_node *node, struct doc_size size)
{
    if (b->code < 0)
        return;
    if (b->depth == 0) {
        b->root = node;
        b->root_size = size;
        return;
    }
    struct doc_frame *frame = &b->frames[b->depth - 1];
    frame->count++;
    frame->size.nodes = size.nodes > UINT64_MAX - frame->size.nodes ? UINT64_MAX : frame->size.nodes + size.nodes;
    if (size.levels >= frame->size.levels)
        frame->size.levels = size.levels + 1;
    void *items = b->items;
    if (!b->tree || !grow(b, &items, &b->item_cap, b->item_count, sizeof(struct rb_doc_node *)))
        return;
    b->items = items;
    b->items[b->item_count++] = node;
}

static int compare_keys(const void *left, const void *right)
{
    const struct doc_key *a = left, *b = right;
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    size_t common = a->len < b->len ? a->len : b->len;
    int order = common ? memcmp(a->text, b->text, common) : 0;
    if (order != 0)
        return order;
    if (a->len != b->len)
        return a->len < b->len ? -1 : 1;
    if (a->place.line != b->place.line)
        return a->place.line < b->place.line ? -1 : 1;
    return a->place.column < b->place.column ? -1 : a->place.column > b->place.column;
}

static bool same_key(const struct doc_key *a, const struct doc_key *b)
{
    return a->kind == b->kind && a->kind != 'm' && a->len == b->len && (a->len == 0 || memcmp(a->text, b->text, a->len) == 0);
}

static void report_duplicates(struct doc_builder *b, struct doc_key *keys, size_t count)
{
    if (count < 2)
        return;
    qsort(keys, count, sizeof(*keys), compare_keys);
    for (size_t i = 1, first = 0; i < count; i++) {
        if (!same_key(&keys[first], &keys[i])) {
            first = i;
            continue;
        }
        int shown = keys[i].len > 80 ? 80 : (int)keys[i].len;
        doc_problem(b, keys[i].place, "duplicate key \"%.*s\" (first at line %u, column %u)", shown, keys[i].text, keys[first].place.line,
                    keys[first].place.column);
    }
}

/* Copies the frame's part of the stacks into its node. */
static void fill_node(struct doc_builder *b, const struct doc_frame *frame)
{
    struct rb_doc_node *node = frame->node;
    size_t count = b->item_count - frame->first_item;
    if (count == 0)
        return;
    node->items = rb_arena_array(b->arena, count, sizeof(struct rb_doc_node *));
    if (frame->table) {
        node->keys = rb_arena_array(b->arena, count, sizeof(char *));
        node->key_lens = rb_arena_array(b->arena, count, sizeof(size_t));
    }
    if (!node->items || (frame->table && (!node->keys || !node->key_lens))) {
        doc_build_fail(b, RB_ENOMEM, "out of memory while reading the document");
        return;
    }
    memcpy(node->items, b->items + frame->first_item, count * sizeof(struct rb_doc_node *));
    for (size_t i = 0; frame->table && i < count; i++) {
        node->keys[i] = b->keys[frame->first_key + i].text;
        node->key_lens[i] = b->keys[frame->first_key + i].len;
    }
    node->count = count;
}

struct rb_doc_node *doc_build_close(struct doc_builder *b, struct doc_size *out_size)
{
    *out_size = (struct doc_size){1, 1};
    if (b->code < 0 || b->depth == 0)
        return NULL;
    const struct doc_frame *frame = &b->frames[b->depth - 1];
    if (b->tree)
        fill_node(b, frame);
    /* Only after the node took its keys: sorting destroys their order. */
    if (frame->table && b->keys)
        report_duplicates(b, b->keys + frame->first_key, b->key_count - frame->first_key);
    b->key_count = frame->first_key;
    b->item_count = frame->first_item;
    *out_size = frame->size;
    b->depth--;
    return frame->node;
}
