/* Files with their includes become one tree.
 *
 * Invariants: what could be read is handed out even when something else failed, so that one run reports every error; a file is read once; the chain of open includes is known, so that a cycle is named and never followed; `checks` lists are joined in
 * reading order, `daemon` and `defaults` are merged key by key and a key that two files set is an error. What else stands at top level is kept as it
 * is, doubles included: the option tables report those with both places. */
#include "loader.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "runbook/base/glob.h"
#include "runbook/platform/platform.h"

struct chain { /* files that are open above this one */
    const struct chain *parent;
    dev_t device;
    ino_t inode;
    unsigned depth;
};

static const char *process_getenv(void *ctx, const char *name)
{
    (void)ctx;
    return getenv(name);
}

static void loader_init(struct rb_loader *loader, const struct rb_node_load_options *options, struct rb_arena *arena,
                        struct rb_diags *diags)
{
    *loader = (struct rb_loader){.arena = arena, .diags = diags};
    if (options != NULL)
        loader->options = *options;
    if (loader->options.getenv == NULL)
        loader->options.getenv = process_getenv;
}

static bool is_loaded(const struct rb_loader *loader, const char *path)
{
    struct stat a, b;
    if (stat(path, &a) != 0)
        return false;
    for (size_t i = 0; i < loader->file_count; i++)
        if (stat(loader->files[i], &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
            return true;
    return false;
}

static bool is_merged_key(const char *key)
{
    return strcmp(key, "daemon") == 0 || strcmp(key, "defaults") == 0;
}

static int merge_mapping(struct rb_loader *loader, struct rb_node *into, const struct rb_node *from)
{
    int rc = 0;
    for (size_t i = 0; i < from->count; i++) {
        const struct rb_node *present = rb_node_get(into, from->keys[i]);
        if (present != NULL)
            rc = rb_diag_add(loader->diags, from->key_marks[i], "'%s' is already set at %s:%u", from->keys[i], present->mark.file,
                             present->mark.line);
        else if (rb_node_append(loader->arena, into, from->keys[i], from->key_marks[i], from->items[i]) < 0)
            return RB_ENOMEM;
    }
    return rc;
}

static int join_lists(struct rb_loader *loader, struct rb_node *into, const struct rb_node *from)
{
    struct rb_node **items = rb_arena_array(loader->arena, into->count + from->count + 1, sizeof(struct rb_node *));
    if (items == NULL)
        return RB_ENOMEM;
    for (size_t i = 0; i < into->count; i++)
        items[i] = into->items[i];
    for (size_t i = 0; i < from->count; i++)
        items[into->count + i] = from->items[i];
    into->items = items;
    into->count += from->count;
    return 0;
}

static struct rb_node *find_mutable(const struct rb_node *mapping, const char *key)
{
    for (size_t i = 0; i < mapping->count; i++)
        if (strcmp(mapping->keys[i], key) == 0)
            return mapping->items[i];
    return NULL;
}

static int merge_file(struct rb_loader *loader, struct rb_node *root, const struct rb_node *included)
{
    int rc = 0;
    for (size_t i = 0; i < included->count; i++) {
        const char *key = included->keys[i];
        struct rb_node *item = included->items[i];
        struct rb_node *present = find_mutable(root, key);
        int step = 0;
        if (strcmp(key, "include") == 0 || item->type == RB_NODE_NULL)
            continue;
        if (present != NULL && is_merged_key(key) && present->type == RB_NODE_MAPPING && item->type == RB_NODE_MAPPING)
            step = merge_mapping(loader, present, item);
        else if (present != NULL && strcmp(key, "checks") == 0 && present->type == RB_NODE_SEQUENCE && item->type == RB_NODE_SEQUENCE)
            step = join_lists(loader, present, item);
        else
            step = rb_node_append(loader->arena, root, key, included->key_marks[i], item);
        if (step == RB_ENOMEM)
            return step;
        rc = step < 0 ? step : rc;
    }
    return rc;
}

static int load_file(struct rb_loader *loader, const char *path, struct rb_mark named_at, const struct chain *parent, struct rb_node **out);

/* One file that an include named. */
static int include_file(struct rb_loader *loader, const char *path, const struct rb_node *named, const struct chain *chain,
                        struct rb_node *root)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        root->invalid = true;
        return rb_diag_add(loader->diags, named->mark, "included file %s does not exist or cannot be reached", path);
    }
    for (const struct chain *up = chain; up != NULL; up = up->parent)
        if (up->device == st.st_dev && up->inode == st.st_ino)
            return rb_diag_add(loader->diags, named->mark, "%s includes itself, directly or through others; remove this include", path);
    if (is_loaded(loader, path))
        return rb_diag_add(loader->diags, named->mark, "%s is included a second time; remove one of the two", path);
    struct rb_node *included = NULL;
    int rc = load_file(loader, path, named->mark, chain, &included);
    int merged = included != NULL ? merge_file(loader, root, included) : 0;
    if (included == NULL || included->invalid)
        root->invalid = true;
    return rc < 0 ? rc : merged;
}

static int include_pattern(struct rb_loader *loader, const char *dir, const struct rb_node *named, const struct chain *chain,
                           struct rb_node *root)
{
    if (named->type != RB_NODE_SCALAR || named->scalar[0] == '\0')
        return rb_diag_add(loader->diags, named->mark, "include wants a path or a list of paths and globs");
    if (rb_glob_is_literal(named->scalar)) {
        const char *path = rb_config_join(loader->arena, dir, named->scalar);
        return path != NULL ? include_file(loader, path, named, chain, root) : RB_ENOMEM;
    }
    struct rb_strings found = {0};
    struct rb_error err;
    if (rb_config_glob(loader->arena, dir, named->scalar, &found, &err) < 0)
        return rb_diag_add(loader->diags, named->mark, "include '%s': %s", named->scalar, err.message);
    int rc = 0;
    for (size_t i = 0; i < found.count; i++)
        if (!is_loaded(loader, found.items[i])) {
            int step = include_file(loader, found.items[i], named, chain, root);
            rc = step < 0 ? step : rc;
        }
    return rc;
}

static int load_includes(struct rb_loader *loader, const char *dir, const struct chain *chain, struct rb_node *root)
{
    const struct rb_node *include = rb_node_get(root, "include");
    if (include == NULL || include->type == RB_NODE_NULL)
        return 0;
    if (chain->depth >= RB_CONFIG_MAX_INCLUDE)
        return rb_diag_add(loader->diags, include->mark, "includes are nested deeper than %u files", RB_CONFIG_MAX_INCLUDE);
    if (include->type == RB_NODE_MAPPING)
        return rb_diag_add(loader->diags, include->mark, "include wants a path or a list of paths and globs");
    if (include->type == RB_NODE_SCALAR)
        return include_pattern(loader, dir, include, chain, root);
    int rc = 0;
    for (size_t i = 0; i < include->count; i++) {
        int step = include_pattern(loader, dir, include->items[i], chain, root);
        rc = step < 0 ? step : rc;
    }
    return rc;
}

static int read_tree(struct rb_loader *loader, const struct rb_yaml_source *source, const struct chain *chain, struct rb_node **out)
{
    struct rb_node *root = NULL;
    int rc = rb_yaml_read(loader, source, &root);
    if (root == NULL)
        return rc;
    if (root->type != RB_NODE_MAPPING)
        return rb_diag_add(loader->diags, root->mark, "a configuration is a mapping with the keys daemon, defaults, include and checks");
    int included = load_includes(loader, source->dir, chain, root);
    *out = root;
    return rc < 0 ? rc : included;
}

static int load_file(struct rb_loader *loader, const char *path, struct rb_mark named_at, const struct chain *parent, struct rb_node **out)
{
    if (loader->file_count == RB_CONFIG_MAX_FILES)
        return rb_diag_add(loader->diags, named_at, "more than %u files", RB_CONFIG_MAX_FILES);
    if (rb_config_check_writers(loader, path) < 0)
        return RB_ECONFIG;
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_CONFIG_MAX_BYTES);
    struct rb_error err;
    if (rb_file_read(path, RB_CONFIG_MAX_BYTES, false, &text, &err) < 0)
        return rb_diag_add(loader->diags, named_at, "%s", err.message);
    struct chain chain = {.parent = parent, .depth = parent != NULL ? parent->depth + 1 : 0};
    struct stat st;
    if (stat(path, &st) == 0) {
        chain.device = st.st_dev;
        chain.inode = st.st_ino;
    }
    const char *name = rb_arena_strdup(loader->arena, path);
    const char *dir = rb_config_dirname(loader->arena, path);
    if (name == NULL || dir == NULL)
        return RB_ENOMEM;
    loader->files[loader->file_count++] = name;
    struct rb_yaml_source source = {.file = name, .dir = dir, .text = rb_buf_str(&text), .len = text.len};
    return read_tree(loader, &source, &chain, out);
}

static int finish(struct rb_loader *loader, int rc, struct rb_mark whole, struct rb_strings *out_files)
{
    if (rc == RB_ENOMEM || rb_arena_failed(loader->arena))
        return rb_diag_add(loader->diags, whole, "out of memory while reading the configuration");
    if (out_files == NULL)
        return rc;
    const char **files = rb_arena_array(loader->arena, loader->file_count + 1, sizeof *files);
    if (files == NULL)
        return rb_diag_add(loader->diags, whole, "out of memory while reading the configuration");
    for (size_t i = 0; i < loader->file_count; i++)
        files[i] = loader->files[i];
    *out_files = (struct rb_strings){.items = loader->file_count > 0 ? files : NULL, .count = loader->file_count};
    return rc;
}

int rb_node_load_file(const char *path, const struct rb_node_load_options *options, struct rb_arena *arena, struct rb_diags *diags,
                      struct rb_node **out_root, struct rb_strings *out_files)
{
    struct rb_loader loader;
    loader_init(&loader, options, arena, diags);
    struct rb_mark whole = {.file = path};
    struct rb_node *root = NULL;
    int rc = finish(&loader, load_file(&loader, path, whole, NULL, &root), whole, out_files);
    *out_root = root;
    return rc;
}

int rb_node_load_text(const char *name, const char *dir, const char *text, size_t len, const struct rb_node_load_options *options,
                      struct rb_arena *arena, struct rb_diags *diags, struct rb_node **out_root)
{
    struct rb_loader loader;
    loader_init(&loader, options, arena, diags);
    struct rb_mark whole = {.file = rb_arena_strdup(arena, name)};
    struct chain chain = {0};
    struct rb_node *root = NULL;
    struct rb_yaml_source source = {.file = whole.file != NULL ? whole.file : name, .dir = dir, .text = text, .len = len};
    int rc = finish(&loader, read_tree(&loader, &source, &chain, &root), whole, NULL);
    *out_root = root;
    return rc;
}
