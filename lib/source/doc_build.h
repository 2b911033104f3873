/* What the three parsers of documents share: problems with places, limits, duplicate keys, and the tree itself. Private to lib/source.
 *
 * A parser reports events (open, key, value, close); the builder keeps the stacks. Without `tree` no node is made and the memory used depends on the
 * nesting and on the keys of the open tables only. */
#ifndef RUNBOOK_SOURCE_DOC_BUILD_H
#define RUNBOOK_SOURCE_DOC_BUILD_H

#include "runbook/source/document.h"

enum { RB_DOC_MAX_DEPTH = 128, RB_DOC_MAX_NODES = 1000000, RB_DOC_MAX_BYTES = 64 << 20 };

struct doc_place {
    unsigned line, column; /* 1-based */
};

/* Turns byte offsets into places in one pass: offsets must not decrease. */
struct doc_cursor {
    const char *text;
    size_t offset;
    struct doc_place place;
};
void doc_cursor_init(struct doc_cursor *cursor, const char *text);
struct doc_place doc_cursor_at(struct doc_cursor *cursor, size_t offset);

struct doc_key {
    const char *text;
    size_t len;
    struct doc_place place;
    char
        kind; /* keys are equal only within one kind: 's' text, 'p' a plain scalar of another type, 'c' complex, 'm' merge (never a duplicate) */
};

/* What a finished value weighs: nodes when every alias is written out, and levels. */
struct doc_size {
    uint64_t nodes;
    unsigned levels;
};

struct doc_frame {
    struct rb_doc_node *node; /* NULL without tree */
    bool table;
    size_t first_key, first_item;
    struct doc_size size;
    size_t count;
};

struct doc_builder {
    struct rb_arena *arena;         /* nodes */
    struct rb_arena *message_arena; /* texts of problems */
    bool tree;
    struct rb_doc_problems *problems;
    struct rb_error *err;
    int code; /* sticky: first limit or allocation that failed */
    struct doc_frame frames[RB_DOC_MAX_DEPTH];
    size_t depth;
    struct doc_key *keys;
    size_t key_count, key_cap;
    struct rb_doc_node **items;
    size_t item_count, item_cap;
    size_t nodes;
    struct rb_doc_node *root; /* of the last complete value at depth 0 */
    struct doc_size root_size;
};

void doc_build_init(struct doc_builder *b, struct rb_arena *arena, struct rb_arena *message_arena, bool tree,
                    struct rb_doc_problems *problems, struct rb_error *err);
void doc_build_fini(struct doc_builder *b);
/* Adds one problem (only counted beyond the list's length). */
void doc_problem(struct doc_builder *b, struct doc_place place, const char *fmt, ...) RB_PRINTF(3, 4);
/* A scalar node at a place; NULL without tree or memory. */
struct rb_doc_node *doc_build_scalar(struct doc_builder *b, enum rb_doc_type type, struct doc_place place);
void doc_build_open(struct doc_builder *b, bool table, struct doc_place place);
void doc_build_key(struct doc_builder *b, const struct doc_key *key);
/* A finished value (NULL without tree) below the innermost open node. */
void doc_build_value(struct doc_builder *b, struct rb_doc_node *node, struct doc_size size);
/* Ends the innermost node: reports its duplicate keys, gives it its children. Does not add it to its parent. */
struct rb_doc_node *doc_build_close(struct doc_builder *b, struct doc_size *out_size);
/* Fails for good with RB_ELIMIT or RB_ENOMEM. */
void doc_build_fail(struct doc_builder *b, int code, const char *fmt, ...) RB_PRINTF(3, 4);

/* The parsers: they report into the builder; b->code and the problems tell how it went. */
void doc_parse_json(struct doc_builder *b, const char *bytes, size_t len, bool lenient, bool *out_lenient);
void doc_parse_yaml(struct doc_builder *b, const char *bytes, size_t len);

#endif
