/* Lock files: TOML with [[package]] (uv.lock, poetry.lock, pdm.lock, Cargo.lock) and npm's package-lock.json, versions 1 to 3.
 *
 * Only name and version are taken: hashes, markers and sources change with every tool version and say nothing that a person decided. */
#include <stdio.h>
#include <string.h>

#include "packages_internal.h"
#include "runbook/source/document.h"

enum { LOCK_BYTES = 64 << 20, MAX_NESTING = 64 };

static int parse(struct packages_reader *reader, const char *path, enum rb_doc_format format, struct rb_doc_node **out,
                 struct rb_error *err)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, LOCK_BYTES);
    struct rb_doc_problems problems = {0};
    bool lenient = false;
    int rc = packages_file(reader, path, LOCK_BYTES, &text, err);
    if (rc == 0)
        rc = rb_doc_parse(format, rb_buf_str(&text), text.len, &(struct rb_doc_options){.tree = true}, reader->arena, out, &lenient,
                          &problems, err);
    if (rc == RB_EPARSE && problems.count > 0)
        return rb_error_set(err, RB_EPARSE, "%s:%u:%u: %s", path, problems.items[0].line, problems.items[0].column,
                            problems.items[0].message);
    return rc;
}

static struct packages_text text_at(const struct rb_doc_node *table, const char *key)
{
    const struct rb_doc_node *node = table->type == RB_DOC_TABLE ? rb_doc_get(table, key) : NULL;
    if (!node || node->type != RB_DOC_STRING)
        return (struct packages_text){"", 0};
    return (struct packages_text){node->string, node->string_len};
}

int packages_toml_lock(struct packages_reader *reader, const struct rb_found *found, struct rb_error *err)
{
    struct rb_doc_node *root = NULL;
    int rc = parse(reader, found->path, RB_DOC_TOML, &root, err);
    if (rc < 0)
        return rc;
    const struct rb_doc_node *list = rb_doc_get(root, "package");
    if (list && list->type != RB_DOC_LIST)
        list = NULL;
    if (!list && root->count > 0 && !rb_doc_get(root, "version") && !rb_doc_get(root, "metadata") && !rb_doc_get(root, "lock-version"))
        return rb_error_set(err, RB_EPARSE, "%s is no lock file: it has no [[package]]", found->path);
    for (size_t i = 0; rc == 0 && list && i < list->count; i++) {
        struct packages_text name = text_at(list->items[i], "name");
        if (name.len > 0)
            rc = packages_add(reader, found->path, name, text_at(list->items[i], "version"), found->mtime_wall_ns, err);
    }
    return rc;
}

/* ---- npm (docs.npmjs.com, "package-lock.json") ---- */

/* "node_modules/a/node_modules/@scope/b" is "@scope/b". */
static struct packages_text name_of_path(const char *path, size_t len)
{
    static const char folder[] = "node_modules/";
    size_t start = 0, folder_len = sizeof folder - 1;
    for (size_t i = 0; i + folder_len < len; i++)
        if (strncmp(path + i, folder, folder_len) == 0)
            start = i + folder_len;
    return (struct packages_text){path + start, len - start};
}

static int add_paths(struct packages_reader *reader, const struct rb_found *found, const struct rb_doc_node *paths, struct rb_error *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < paths->count; i++) {
        const struct rb_doc_node *entry = paths->items[i];
        const struct rb_doc_node *link = entry->type == RB_DOC_TABLE ? rb_doc_get(entry, "link") : NULL;
        struct packages_text name = text_at(entry, "name");
        if (paths->key_lens[i] == 0 || (link && link->boolean)) /* the project itself, and a link to what is listed as well */
            continue;
        if (name.len == 0)
            name = name_of_path(paths->keys[i], paths->key_lens[i]);
        rc = packages_add(reader, found->path, name, text_at(entry, "version"), found->mtime_wall_ns, err);
    }
    return rc;
}

/* Version 1: the tree of installed folders, each with what lies below it. */
static int add_tree(struct packages_reader *reader, const struct rb_found *found, const struct rb_doc_node *root, struct rb_error *err)
{
    struct {
        const struct rb_doc_node *table;
        size_t next;
    } stack[MAX_NESTING] = {{root, 0}};
    size_t depth = 1;
    while (depth > 0) {
        const struct rb_doc_node *table = stack[depth - 1].table;
        size_t i = stack[depth - 1].next++;
        if (i >= table->count) {
            depth--;
            continue;
        }
        const struct rb_doc_node *entry = table->items[i];
        int rc = packages_add(reader, found->path, (struct packages_text){table->keys[i], table->key_lens[i]}, text_at(entry, "version"),
                              found->mtime_wall_ns, err);
        if (rc < 0)
            return rc;
        const struct rb_doc_node *below = entry->type == RB_DOC_TABLE ? rb_doc_get(entry, "dependencies") : NULL;
        if (!below || below->type != RB_DOC_TABLE)
            continue;
        if (depth == MAX_NESTING)
            return rb_error_set(err, RB_ELIMIT, "%s: dependencies are nested more than %d deep", found->path, MAX_NESTING);
        stack[depth].table = below;
        stack[depth++].next = 0;
    }
    return 0;
}

int packages_npm_lock(struct packages_reader *reader, const struct rb_found *found, struct rb_error *err)
{
    struct rb_doc_node *root = NULL;
    int rc = parse(reader, found->path, RB_DOC_JSON, &root, err);
    if (rc < 0)
        return rc;
    const struct rb_doc_node *paths = rb_doc_get(root, "packages"), *tree = rb_doc_get(root, "dependencies");
    if (paths && paths->type == RB_DOC_TABLE)
        return add_paths(reader, found, paths, err);
    if (tree && tree->type == RB_DOC_TABLE)
        return add_tree(reader, found, tree, err);
    if (!rb_doc_get(root, "lockfileVersion"))
        return rb_error_set(err, RB_EPARSE, "%s is no lock file of npm: it has no lockfileVersion", found->path);
    return 0;
}
