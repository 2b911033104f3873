/* What the three document targets share: any bytes, checked and built into a tree; both must say the same, and every place must lie in the text. */
#ifndef RUNBOOK_TESTS_FUZZ_DOCUMENT_H
#define RUNBOOK_TESTS_FUZZ_DOCUMENT_H

#include "fuzz.h"
#include "runbook/source/document.h"

/* Visits a tree as a reader would; aliases share nodes, so that the walk is bounded by a budget. */
static inline void fuzz_walk(const struct rb_doc_node *node, unsigned depth, size_t *budget)
{
    FUZZ_HOLDS(node != NULL && depth <= 128 + 1);
    if (*budget == 0)
        return;
    --*budget;
    FUZZ_HOLDS(node->type != RB_DOC_STRING || node->string[node->string_len] == '\0');
    FUZZ_HOLDS(node->type == RB_DOC_TABLE || node->type == RB_DOC_LIST || node->count == 0);
    for (size_t i = 0; i < node->count; i++) {
        FUZZ_HOLDS(node->type != RB_DOC_TABLE || node->keys[i][node->key_lens[i]] == '\0');
        fuzz_walk(node->items[i], depth + 1, budget);
    }
}

static inline void fuzz_document(enum rb_doc_format format, const uint8_t *data, size_t size, bool lenient)
{
    if (size > FUZZ_IN_MAX)
        return;
    char *text = malloc(size ? size : 1); /* not terminated: reading past the end shows */
    struct rb_arena *arena = rb_arena_new((size_t)128 << 20), *check_arena = rb_arena_new(1 << 20);
    if (!text || !arena || !check_arena)
        abort();
    if (size)
        memcpy(text, data, size);
    struct rb_doc_options tree = {.lenient_json = lenient, .tree = true}, check = {.lenient_json = lenient};
    struct rb_doc_node *root = NULL;
    struct rb_doc_problems problems, again;
    struct rb_error err;
    bool used_lenient = false;
    int code = rb_doc_parse(format, text, size, &tree, arena, &root, &used_lenient, &problems, &err);
    int checked = rb_doc_parse(format, text, size, &check, check_arena, NULL, NULL, &again, &err);
    FUZZ_HOLDS(code == checked);
    FUZZ_HOLDS((code == RB_EPARSE) == (problems.count > 0) || code == RB_ELIMIT || code == RB_ENOMEM);
    FUZZ_HOLDS(problems.count == again.count || code != RB_EPARSE);
    FUZZ_HOLDS((code == 0) == (root != NULL));
    for (size_t i = 0; code == RB_EPARSE && i < problems.count; i++) {
        FUZZ_HOLDS(problems.items[i].message[0] != '\0');
        FUZZ_HOLDS(problems.items[i].line >= 1 && problems.items[i].line <= size + 2 && problems.items[i].column >= 1 &&
                   problems.items[i].column <= size + 2);
    }
    size_t budget = 100000;
    if (root)
        fuzz_walk(root, 0, &budget);
    rb_arena_free(arena);
    rb_arena_free(check_arena);
    free(text);
}

#endif
