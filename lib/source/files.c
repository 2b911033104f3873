/* The files of a tree: git's index and what git does not ignore, matched against globs.
 *
 * The index is read once and held in memory only; its order (bytes of the path) is the order of the result, so that untracked files need one sort. A root below the
 * top of the work tree sees only its own part. Submodules and nested repositories are other people's trees and left out. */
#include "runbook/source/files.h"

#include "git_internal.h"
#include "runbook/base/glob.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_MAX_ENTRIES = 200000 };

struct list {
    const struct rb_file_request *request;
    struct rb_arena *arena;
    struct rb_file_entry *items; /* malloc: grows */
    size_t count, cap, max;
};

static bool wanted(const struct rb_file_request *request, const char *path)
{
    bool in = request->include.count == 0;
    for (size_t i = 0; i < request->include.count && !in; i++)
        in = rb_glob_match(request->include.items[i], path);
    for (size_t i = 0; i < request->exclude.count && in; i++)
        in = !rb_glob_match(request->exclude.items[i], path);
    return in;
}

static int add_entry(struct list *list, const struct rb_file_entry *entry, struct rb_error *err)
{
    if (list->count >= list->max)
        return rb_error_set(err, RB_ELIMIT, "more than %zu files match: narrow the globs", list->max);
    if (list->count == list->cap) {
        size_t cap = list->cap ? list->cap * 2 : 256;
        struct rb_file_entry *bigger = realloc(list->items, cap * sizeof(*bigger));
        if (!bigger)
            return rb_error_set(err, RB_ENOMEM, "out of memory while listing files");
        list->items = bigger;
        list->cap = cap;
    }
    list->items[list->count] = *entry;
    list->items[list->count].path = rb_arena_strdup(list->arena, entry->path);
    if (!list->items[list->count++].path)
        return rb_error_set(err, RB_ENOMEM, "out of memory while listing files");
    return 0;
}

/* Adds what the index holds below the prefix; `out_paths` gets every path (submodules too) for the walk. */
static int list_index(struct list *list, git_index *index, const char *prefix, const char ***out_paths, size_t *out_count,
                      struct rb_error *err)
{
    size_t total = git_index_entrycount(index), prefix_len = strlen(prefix);
    const char **paths = rb_arena_array(list->arena, total ? total : 1, sizeof(char *));
    if (!paths)
        return rb_error_set(err, RB_ENOMEM, "out of memory while listing files");
    int code = 0;
    size_t count = 0;
    for (size_t i = 0; i < total && code == 0; i++) {
        const git_index_entry *from = git_index_get_byindex(index, i);
        if (strncmp(from->path, prefix, prefix_len) != 0)
            continue;
        const char *path = from->path + prefix_len;
        bool again = count > 0 && strcmp(paths[count - 1], path) == 0; /* stages of a conflict */
        if (!again)
            paths[count++] = path;
        bool submodule = (from->mode & S_IFMT) == (S_IFDIR | S_IFLNK);
        if (again || !list->request->tracked || (submodule && !list->request->submodules) || !wanted(list->request, path))
            continue;
        struct rb_file_entry entry = {.path = path, .tracked = true, .mode = from->mode, .conflicted = GIT_INDEX_ENTRY_STAGE(from) > 0};
        memcpy(entry.blob, from->id.id, sizeof(entry.blob));
        entry.index_mtime_ns = (int64_t)from->mtime.seconds * 1000000000 + from->mtime.nanoseconds;
        entry.index_size = from->file_size;
        entry.index_ctime_ns = (int64_t)from->ctime.seconds * 1000000000 + from->ctime.nanoseconds;
        entry.index_ino = from->ino;
        entry.assumed = (from->flags & GIT_INDEX_ENTRY_VALID) || (from->flags_extended & GIT_INDEX_ENTRY_SKIP_WORKTREE);
        code = add_entry(list, &entry, err);
    }
    *out_paths = paths;
    *out_count = count;
    return code;
}

static bool enter_dir(void *ctx, const char *dir)
{
    const struct rb_file_request *request = ((struct list *)ctx)->request;
    for (size_t i = 0; i < request->exclude.count; i++) {
        char pattern[1024];
        size_t len = strlen(request->exclude.items[i]);
        if (len < 4 || len >= sizeof(pattern) || strcmp(request->exclude.items[i] + len - 3, "/**") != 0)
            continue;
        memcpy(pattern, request->exclude.items[i], len - 3);
        pattern[len - 3] = '\0';
        if (rb_glob_match(pattern, dir))
            return false;
    }
    for (size_t i = 0; i < request->include.count; i++)
        if (rb_glob_may_match_below(request->include.items[i], dir))
            return true;
    return request->include.count == 0;
}

static int add_untracked(void *ctx, const char *path, const struct stat *st, struct rb_error *err)
{
    struct list *list = ctx;
    if (!wanted(list->request, path))
        return 0;
    return add_entry(list, &(struct rb_file_entry){.path = path, .mode = (unsigned)st->st_mode}, err);
}

static int list_untracked(struct list *list, git_repository *repo, const char *prefix, const char *const *tracked, size_t tracked_count,
                          struct rb_error *err)
{
    struct rb_below below;
    int code = rb_below_init(&below, list->request->root, err);
    if (code < 0)
        return code;
    struct walk walk = {.below = &below,
                        .repo = repo,
                        .prefix = prefix,
                        .tracked = tracked,
                        .tracked_count = tracked_count,
                        .cancelled = list->request->cancelled,
                        .enter = enter_dir,
                        .found = add_untracked,
                        .ctx = list};
    code = walk_run(&walk, err);
    if (list->request->out_unreachable)
        *list->request->out_unreachable = walk.unreachable;
    rb_below_fini(&below);
    return code;
}

static int64_t written_at(git_index *index)
{
    struct stat st;
    const char *path = git_index_path(index);
    return path && lstat(path, &st) == 0 ? rb_stat_mtime_ns(&st) : 0;
}

static int list_git(struct list *list, struct rb_git *git, struct rb_error *err)
{
    const char *prefix;
    int code = git_prefix(git, list->request->root, list->arena, &prefix, err);
    git_index *index = NULL;
    if (code == 0 && git_repository_index(&index, git->repo) < 0)
        code = git_fail(err, RB_ESYS, "cannot read the git index");
    const char **paths = NULL;
    size_t count = 0;
    if (code == 0 && list->request->out_index_mtime_ns)
        *list->request->out_index_mtime_ns = written_at(index);
    if (code == 0)
        code = list_index(list, index, prefix, &paths, &count, err);
    if (code == 0 && list->request->untracked)
        code = list_untracked(list, git->repo, prefix, paths, count, err);
    git_index_free(index);
    return code;
}

static int compare_entries(const void *left, const void *right)
{
    return strcmp(((const struct rb_file_entry *)left)->path, ((const struct rb_file_entry *)right)->path);
}

/* The index comes sorted: without untracked files nothing is left to do. */
static bool is_sorted(const struct list *list)
{
    for (size_t i = 1; i < list->count; i++)
        if (strcmp(list->items[i - 1].path, list->items[i].path) > 0)
            return false;
    return true;
}

int rb_files_list(const struct rb_file_request *request, struct rb_arena *arena, struct rb_file_entry **out, size_t *out_count,
                  struct rb_error *err)
{
    struct list list = {.request = request, .arena = arena, .max = request->max_entries ? request->max_entries : DEFAULT_MAX_ENTRIES};
    struct rb_git *git = NULL;
    struct rb_error open_err = {0};
    if (request->out_unreachable)
        *request->out_unreachable = 0;
    if (request->out_index_mtime_ns)
        *request->out_index_mtime_ns = 0;
    int code = request->no_git ? RB_ENOTFOUND : rb_git_open(request->root, &git, &open_err);
    if (code == 0 && !rb_git_workdir(git))
        code = RB_ENOTFOUND;
    if (request->out_outside_git)
        *request->out_outside_git = code == RB_ENOTFOUND;
    if (code == 0)
        code = list_git(&list, git, err);
    else if (code == RB_ENOTFOUND)
        code = list_untracked(&list, NULL, "", NULL, 0, err);
    else
        code = rb_error_set(err, code, "%s", open_err.message);
    rb_git_close(git);
    if (code == 0 && !is_sorted(&list))
        qsort(list.items, list.count, sizeof(*list.items), compare_entries);
    struct rb_file_entry *entries = code == 0 ? rb_arena_array(arena, list.count ? list.count : 1, sizeof(*entries)) : NULL;
    if (code == 0 && !entries)
        code = rb_error_set(err, RB_ENOMEM, "out of memory while listing files");
    if (code == 0) {
        if (list.count > 0)
            memcpy(entries, list.items ? list.items : entries, list.count * sizeof(*entries));
        *out = entries;
        *out_count = list.count;
    }
    free(list.items);
    return code;
}
