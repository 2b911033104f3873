/* Documents: TOML, YAML and JSON parsed into one tree, with exact places for errors. Used by syntax, keys, drift and compose.
 *
 * TOML by toml++ (behind toml.cpp), YAML by libfyaml, JSON by a strict scanner of our own (places of every duplicate; compared with
 * jansson in its tests) with a lenient mode (comments, trailing commas) that says so.
 * Bounds: depth 128, 1 million nodes (a JSON file that is only checked: no bound), 64 MiB, YAML aliases and merge keys bounded (expansion never above 16 times the
 * document's own nodes plus 65,536). `<<` merge keys are resolved. Aliases share nodes: the tree is read-only. Thread-safe; no global state. */
#ifndef RUNBOOK_SOURCE_DOCUMENT_H
#define RUNBOOK_SOURCE_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runbook/base/arena.h"

enum rb_doc_format { RB_DOC_TOML, RB_DOC_YAML, RB_DOC_JSON, RB_DOC_UNKNOWN };
/* By file name: .toml, uv.lock/poetry.lock/Cargo.lock → TOML; .yml .yaml → YAML; .json, .ipynb … → JSON. */
enum rb_doc_format rb_doc_format_of(const char *path);
const char *rb_doc_format_name(enum rb_doc_format format);

struct rb_doc_problem {
    unsigned line, column; /* 1-based; column counts characters */
    const char *message;
};
struct rb_doc_problems {
    struct rb_doc_problem items[16];
    size_t count; /* kept */
    size_t dropped;
};

enum rb_doc_type { RB_DOC_NULL, RB_DOC_BOOL, RB_DOC_INT, RB_DOC_FLOAT, RB_DOC_STRING, RB_DOC_DATETIME, RB_DOC_LIST, RB_DOC_TABLE };
struct rb_doc_node {
    enum rb_doc_type type;
    unsigned line, column;
    bool boolean;
    int64_t integer;
    double number;
    const char *string; /* STRING and DATETIME (RFC 3339 as written); terminated, `string_len` bytes, may hold NUL */
    size_t string_len;
    const char **keys; /* TABLE, in file order; terminated */
    size_t *key_lens;  /* TABLE: a key may hold NUL */
    struct rb_doc_node **items;
    size_t count;
};

struct rb_doc_options {
    bool lenient_json; /* accept comments and trailing commas; `*out_lenient` tells that it was needed */
    bool tree;         /* build the tree; false: only check */
};

/* Parses `bytes`. Returns 0 (the document is valid; *out_root set when options->tree; a YAML stream of several documents gives a LIST with a node each), RB_EPARSE with
 * problems (at least one), RB_ELIMIT or RB_ENOMEM. Duplicate keys are problems in all three formats, all of them reported. */
int rb_doc_parse(enum rb_doc_format format, const char *bytes, size_t len, const struct rb_doc_options *options, struct rb_arena *arena,
                 struct rb_doc_node **out_root, bool *out_lenient, struct rb_doc_problems *problems, struct rb_error *err) RB_MUST_CHECK;
/* Child of a table by key, or NULL. */
const struct rb_doc_node *rb_doc_get(const struct rb_doc_node *table, const char *key);
/* JSON Pointer (RFC 6901) into a tree; NULL when absent. */
const struct rb_doc_node *rb_doc_pointer(const struct rb_doc_node *root, const char *pointer);

#endif
