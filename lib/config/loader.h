/* Private to lib/config: the state of one load, shared by the reader of YAML, the expansion of variables and the includes. */
#ifndef RB_CONFIG_LOADER_H
#define RB_CONFIG_LOADER_H

#include "runbook/config/node.h"

#define RB_CONFIG_MAX_FILES   256u
#define RB_CONFIG_MAX_INCLUDE 8u          /* depth, the main file not counted */
#define RB_CONFIG_MAX_SECRET  (64u << 10) /* bytes of a !file */
#define RB_CONFIG_MAX_SCALAR  (64u << 10) /* bytes of a value after expansion */

struct rb_loader {
    struct rb_node_load_options options; /* `getenv` always set */
    struct rb_arena *arena;
    struct rb_diags *diags;
    size_t bytes; /* of every file so far */
    size_t nodes;
    const char *files[RB_CONFIG_MAX_FILES];
    size_t file_count;
};

/* One text to read: `file` stands in places, `dir` is where relative names count from. */
struct rb_yaml_source {
    const char *file;
    const char *dir;
    const char *text;
    size_t len;
};

/* YAML text → nodes, with variables expanded and secrets read. The only user of libfyaml. 0, or RB_ECONFIG with diagnostics;
 * *out is then set when the text is YAML and only some of its values are wrong. */
int rb_yaml_read(struct rb_loader *loader, const struct rb_yaml_source *source, struct rb_node **out) RB_MUST_CHECK;

/* Replaces `${VAR}`, `${VAR:-default}` and `$$` in node->scalar. */
int rb_config_expand(struct rb_loader *loader, struct rb_node *node) RB_MUST_CHECK;
/* Replaces node->scalar, a path, by what the file holds and marks the node secret. */
int rb_config_read_secret(struct rb_loader *loader, const char *dir, struct rb_node *node) RB_MUST_CHECK;

/* Refuses a file that somebody else can change; says what to do. */
int rb_config_check_writers(struct rb_loader *loader, const char *path) RB_MUST_CHECK;
/* "dir/name", or `name` when it is absolute; in the arena. "~/" is expanded. */
const char *rb_config_join(struct rb_arena *arena, const char *dir, const char *name);
/* The folder part of a path, "." when it has none; in the arena. */
const char *rb_config_dirname(struct rb_arena *arena, const char *path);

/* Fills `out` (at most `max`) with the sorted paths that match an include pattern below `dir`; returns 0 or RB_ELIMIT. */
int rb_config_glob(struct rb_arena *arena, const char *dir, const char *pattern, struct rb_strings *out,
                   struct rb_error *err) RB_MUST_CHECK;

/* Adds one pair to a mapping. Copies its arrays: meant for mappings of a few keys, such as `daemon` and `defaults`. */
int rb_node_append(struct rb_arena *arena, struct rb_node *mapping, const char *key, struct rb_mark key_mark,
                   struct rb_node *item) RB_MUST_CHECK;

#endif
