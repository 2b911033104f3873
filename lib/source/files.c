/* The files of a tree: git's index and what git does not ignore, matched against globs.
 *
 * The index is read once and held in memory only; its order (bytes of the path) is the order of the result and of the walk behind untracked files, so that the two are
 * merged as they come and a reader need not wait for the end. A root below the
 * top of the work tree sees only its own part. Submodules and nested repositories are other people's trees and left out. */
#include "runbook/source/files.h"

#include "git_internal.h"
#include "runbook/base/glob.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct list {
    const struct rb_file_request *request;
    struct rb_arena *arena;
    int (*found)(void *ctx, const struct rb_file_entry *entry, struct rb_error *err);
    void *ctx;
    size_t count, max;
    /* git's side */
    const char **paths;               /* relative to the root, each once */
    const struct index_entry **stats; /* the same shape */
    size_t tracked_count, next;       /* next: the first that was not handed out yet */
    bool lasting;                     /* the index's strings lie in the arena */
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

/* Hands out an entry; its path becomes one in the arena. */
static int add_entry(struct list *list, struct rb_file_entry *entry, struct rb_error *err)
{
    if (list->count >= list->max)
        return rb_error_set(err, RB_ELIMIT, "more than %zu files match: narrow the globs", list->max);
    if (!entry->tracked || !list->lasting)
        entry->path = rb_arena_strdup(list->arena, entry->path);
    if (!entry->path)
        return rb_error_set(err, RB_ENOMEM, "out of memory while listing files");
    list->count++;
    return list->found(list->ctx, entry, err);
}

/* Collects what the index holds below the prefix, submodules too: the walk must know them. */
static int read_index(struct list *list, const struct index_file *index, const char *prefix, struct rb_error *err)
{
    size_t total = index->count, prefix_len = strlen(prefix), count = 0;
    list->paths = rb_arena_array(list->arena, total + 1, sizeof(*list->paths));
    list->stats = rb_arena_array(list->arena, total + 1, sizeof(*list->stats));
    if (!list->paths || !list->stats)
        return rb_error_set(err, RB_ENOMEM, "out of memory while listing files");
    for (size_t i = 0; i < total; i++) {
        const struct index_entry *from = &index->items[i];
        if (strncmp(from->path, prefix, prefix_len) != 0)
            continue;
        const char *path = from->path + prefix_len;
        if (count > 0 && strcmp(list->paths[count - 1], path) == 0)
            continue; /* stages of a conflict */
        list->paths[count] = path;
        list->stats[count++] = from;
    }
    list->tracked_count = count;
    list->lasting = index->lasting;
    if (list->request->out_tracked)
        *list->request->out_tracked = count;
    return 0;
}

static int add_tracked(struct list *list, size_t at, bool regular, struct rb_error *err)
{
    const struct index_entry *from = list->stats[at];
    bool submodule = (from->mode & S_IFMT) == (S_IFDIR | S_IFLNK);
    if (!list->request->tracked || (submodule && !list->request->submodules) || !wanted(list->request, list->paths[at]))
        return 0;
    struct rb_file_entry entry = {
        .path = list->paths[at], .tracked = true, .regular = regular, .mode = from->mode, .conflicted = from->stage > 0};
    memcpy(entry.blob, from->id, sizeof(entry.blob));
    entry.index_mtime_ns = from->mtime_ns;
    entry.index_size = from->size_bytes;
    entry.index_ctime_ns = from->ctime_ns;
    entry.index_ino = from->ino;
    entry.skipped = from->skipped;
    return add_entry(list, &entry, err);
}

/* Hands out what is tracked and comes before `path` (NULL: all) and was not seen on disk. */
static int catch_up(struct list *list, const char *path, struct rb_error *err)
{
    int code = 0;
    while (code == 0 && list->next < list->tracked_count && (!path || strcmp(list->paths[list->next], path) < 0))
        code = add_tracked(list, list->next++, false, err);
    return code;
}

static int add_seen(void *ctx, size_t index, bool regular, struct rb_error *err)
{
    struct list *list = ctx;
    int code = 0;
    while (code == 0 && list->next < index)
        code = add_tracked(list, list->next++, false, err);
    if (code < 0 || list->next > index)
        return code;
    return add_tracked(list, list->next++, regular, err);
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
    int code = catch_up(list, path, err);
    if (code < 0 || !wanted(list->request, path))
        return code;
    return add_entry(list, &(struct rb_file_entry){.path = path, .mode = (unsigned)st->st_mode}, err);
}

static int add_repository(void *ctx, const char *dir, struct rb_error *err)
{
    struct list *list = ctx;
    const char *path = wanted(list->request, dir) ? rb_arena_printf(list->arena, "%s/", dir) : NULL;
    if (!path)
        return wanted(list->request, dir) ? rb_error_set(err, RB_ENOMEM, "out of memory while listing files") : 0;
    int code = catch_up(list, path, err);
    return code < 0 ? code : add_entry(list, &(struct rb_file_entry){.path = path, .mode = S_IFDIR}, err);
}

/* `git` and `index` NULL: outside of git. */
static int walk_tree(struct list *list, struct rb_git *git, const struct index_file *index, const char *prefix, struct rb_error *err)
{
    const struct rb_file_request *request = list->request;
    struct rb_listing *fresh = request->out_listing;
    struct rb_below below;
    int code = rb_below_init(&below, request->root, err);
    if (code < 0)
        return code;
    if (fresh)
        *fresh = (struct rb_listing){.key = listing_key(request, git, index, prefix, list->arena)};
    if (fresh && index && index->bytes)
        fresh->index = listed_stat(&index->st, request->now_wall_ns - RB_LISTING_SETTLE_NS);
    bool believes = fresh && fresh->key && request->known && request->known->key && strcmp(fresh->key, request->known->key) == 0;
    struct walk walk = {.below = &below,
                        .repo = git ? git->repo : NULL,
                        .prefix = prefix,
                        .tracked = list->paths,
                        .tracked_count = list->tracked_count,
                        .cancelled = request->cancelled,
                        .enter = enter_dir,
                        .found = add_untracked,
                        .repository = request->repositories ? add_repository : NULL,
                        .tracked_seen = fresh ? NULL : add_seen, /* who remembers folders does not see their files */
                        .ctx = list,
                        .known = believes ? request->known : NULL,
                        .fresh = fresh,
                        .arena = list->arena,
                        .settled_before_ns = request->now_wall_ns - RB_LISTING_SETTLE_NS};
    code = walk_run(&walk, err);
    if (fresh && rb_arena_failed(list->arena))
        fresh->key = NULL; /* records may lack their names */
    if (fresh)
        fresh->changed = fresh->key && !(believes && listing_same(fresh, request->known));
    if (request->out_unreachable)
        *request->out_unreachable = walk.unreachable;
    rb_below_fini(&below);
    return code;
}

static int list_git(struct list *list, struct rb_git *git, struct rb_error *err)
{
    const char *prefix;
    int code = git_prefix(git, list->request->root, list->arena, &prefix, err);
    struct index_file index = {0};
    const struct rb_listing *known = list->request->known;
    if (code == 0)
        code = index_open(git, list->arena, known && known->key ? &known->index : NULL, &index, err);
    if (code == 0 && list->request->out_index_mtime_ns)
        *list->request->out_index_mtime_ns = rb_stat_mtime_ns(&index.st);
    if (code == 0 && list->request->out_filters)
        *list->request->out_filters = git_has_filters(git->repo);
    if (code == 0)
        code = read_index(list, &index, prefix, err);
    if (code == 0 && list->request->untracked)
        code = walk_tree(list, git, &index, prefix, err);
    if (code == 0)
        code = catch_up(list, NULL, err);
    index_close(&index);
    return code;
}

int rb_files_each(const struct rb_file_request *request, struct rb_arena *arena,
                  int (*found)(void *ctx, const struct rb_file_entry *entry, struct rb_error *err), void *ctx, struct rb_error *err)
{
    struct list list = {.request = request,
                        .arena = arena,
                        .found = found,
                        .ctx = ctx,
                        .max = request->max_entries ? request->max_entries : RB_FILES_MAX_ENTRIES};
    struct rb_git *git = NULL;
    struct rb_error open_err = {0};
    if (request->out_unreachable)
        *request->out_unreachable = 0;
    if (request->out_index_mtime_ns)
        *request->out_index_mtime_ns = 0;
    if (request->out_tracked)
        *request->out_tracked = 0;
    if (request->out_filters)
        *request->out_filters = false;
    int code = request->no_git ? RB_ENOTFOUND : rb_git_open(request->root, &git, &open_err);
    if (code == 0 && !rb_git_workdir(git))
        code = RB_ENOTFOUND;
    if (request->out_outside_git)
        *request->out_outside_git = code == RB_ENOTFOUND;
    if (code == 0)
        code = list_git(&list, git, err);
    else if (code == RB_ENOTFOUND)
        code = walk_tree(&list, NULL, NULL, "", err);
    else
        code = rb_error_set(err, code, "%s", open_err.message);
    rb_git_close(git);
    return code;
}

struct growing {
    struct rb_file_entry *items; /* malloc: grows */
    size_t count, cap;
};

static int append(void *ctx, const struct rb_file_entry *entry, struct rb_error *err)
{
    struct growing *growing = ctx;
    if (growing->count == growing->cap) {
        size_t cap = growing->cap ? growing->cap * 2 : 256;
        struct rb_file_entry *bigger = realloc(growing->items, cap * sizeof(*bigger));
        if (!bigger)
            return rb_error_set(err, RB_ENOMEM, "out of memory while listing files");
        growing->items = bigger;
        growing->cap = cap;
    }
    growing->items[growing->count++] = *entry;
    return 0;
}

int rb_files_list(const struct rb_file_request *request, struct rb_arena *arena, struct rb_file_entry **out, size_t *out_count,
                  struct rb_error *err)
{
    struct growing growing = {0};
    int code = rb_files_each(request, arena, append, &growing, err);
    struct rb_file_entry *entries = code == 0 ? rb_arena_array(arena, growing.count + 1, sizeof(*entries)) : NULL;
    if (entries) {
        if (growing.count > 0)
            memcpy(entries, growing.items, growing.count * sizeof(*entries));
        *out = entries;
        *out_count = growing.count;
    } else if (code == 0) {
        code = rb_error_set(err, RB_ENOMEM, "out of memory while listing files");
    }
    free(growing.items);
    return code;
}
