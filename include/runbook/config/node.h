/* The configuration as a tree of nodes with places: what YAML became, before any option table looks at it.
 *
 * Independent of libfyaml, so that the option tables, the scan helper (which gets its checks as JSON) and tests share one form. Everything lives in
 * the arena it was loaded into. Includes are resolved, `${VAR}` expanded, `!file` read; anchors and aliases are refused (SPEC 4; alias bombs).
 * A mapping keeps every pair, duplicates too: the option tables report them all. */
#ifndef RUNBOOK_CONFIG_NODE_H
#define RUNBOOK_CONFIG_NODE_H

#include <stdbool.h>
#include <stddef.h>

#include "runbook/base/arena.h"
#include "runbook/base/buf.h"
#include "runbook/base/strings.h"
#include "runbook/config/diag.h"

enum rb_node_type { RB_NODE_NULL, RB_NODE_SCALAR, RB_NODE_SEQUENCE, RB_NODE_MAPPING };

struct rb_node {
    enum rb_node_type type;
    struct rb_mark mark;
    const char *scalar; /* SCALAR: terminated text */
    bool quoted;        /* SCALAR: written with quotes or as a block: always a string */
    bool secret;        /* came from !file or a variable with a telling name: never printed, never exported, its digest stands for it */
    bool invalid;       /* an error about this value was reported already: nobody reports another; on the root: a file is missing */
    const char **keys;  /* MAPPING: `count` keys */
    struct rb_mark *key_marks;
    struct rb_node **items; /* MAPPING values or SEQUENCE items */
    size_t count;
};

#define RB_NODE_MAX_DEPTH   32
#define RB_NODE_MAX_COUNT   200000u
#define RB_CONFIG_MAX_BYTES (4u << 20) /* all files together */

/* How variables and files are found; NULL members mean the process's environment and the file system. */
struct rb_node_load_options {
    const char *(*getenv)(void *ctx, const char *name);
    void *ctx;
    const char *credentials_dir; /* $CREDENTIALS_DIRECTORY or NULL */
    bool check_permissions;      /* refuse files that others can write */
};

/* Loads a file with its includes (`include: [glob, ...]` at top level: literal must exist, a glob may match nothing; `checks` lists are
 * joined, a second `daemon` or `defaults` mapping is merged, clashing keys are errors). Every file read is appended to `out_files` (arena).
 * Returns 0 with *out_root set, or RB_ECONFIG with diagnostics; *out_root is then what could be read, for further validation, or NULL. `out_files` may be
 * NULL. Config thread only. */
int rb_node_load_file(const char *path, const struct rb_node_load_options *options, struct rb_arena *arena, struct rb_diags *diags,
                      struct rb_node **out_root, struct rb_strings *out_files) RB_MUST_CHECK;
/* Loads from memory; `name` stands for the file in places, `dir` is where relative includes count from. */
int rb_node_load_text(const char *name, const char *dir, const char *text, size_t len, const struct rb_node_load_options *options,
                      struct rb_arena *arena, struct rb_diags *diags, struct rb_node **out_root) RB_MUST_CHECK;

/* The first value of `key` in a mapping, or NULL. */
const struct rb_node *rb_node_get(const struct rb_node *mapping, const char *key);
/* Canonical JSON: sorted keys, no blanks, plain scalars typed by the YAML 1.2 core schema. `with_secrets`: true only for the pipe to our own scan helper; else
 * a secret becomes "sha256:<digest>". Used for identity digests. */
void rb_node_to_json(const struct rb_node *node, bool with_secrets, struct rb_buf *out);

#endif
