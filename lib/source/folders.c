/* The walk over folders behind file events.
 *
 * Invariants: names wait on a heap-allocated stack; every folder is opened without following a symlink on the way; git's ignore rules are asked for folders only, and an
 * ignored one is entered when git tracks something in it all the same. Kept apart from the walk for untracked files, which looks at every file. */
#include "runbook/source/folders.h"

#include "git_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_NAMES = 1000000, MAX_DEPTH = 128, MAX_PATH_BYTES = 4000, REFS_DEPTH = 16 };

struct state {
    const struct rb_folders_request *request;
    struct rb_git *git; /* NULL: outside of git */
    const char *prefix;
    git_index *index; /* read when an ignored folder is met first */
    struct rb_below below;
    char **stack; /* folders whose turn comes; malloc */
    size_t count, cap, names;
    bool ended;
    struct rb_error *err;
};

static int push(struct state *s, const char *path)
{
    if (s->count == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 64;
        char **bigger = realloc(s->stack, cap * sizeof *bigger);
        if (!bigger)
            return rb_error_set(s->err, RB_ENOMEM, "out of memory while looking through folders");
        s->stack = bigger;
        s->cap = cap;
    }
    s->stack[s->count] = strdup(path);
    if (!s->stack[s->count])
        return rb_error_set(s->err, RB_ENOMEM, "out of memory while looking through folders");
    s->count++;
    return 0;
}

static bool is_skipped_name(const char *name)
{
    static const char *const names[] = {".", "..", ".git", ".hg", ".svn", ".jj", NULL};
    for (size_t i = 0; names[i]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* Whether git ignores a folder and holds nothing of it. */
static bool is_ignored(struct state *s, const char *dir)
{
    char path[2 * MAX_PATH_BYTES + 512];
    int ignored = 0;
    if (!s->git)
        return false;
    int len = snprintf(path, sizeof path, "%s%s/", s->prefix, dir);
    if (len < 0 || (size_t)len >= sizeof path || git_ignore_path_is_ignored(&ignored, s->git->repo, path) < 0 || !ignored)
        return false;
    if (!s->index && git_repository_index(&s->index, s->git->repo) < 0)
        return true;
    return git_index_find_prefix(NULL, s->index, path) != 0;
}

static bool is_too_deep(const char *path)
{
    unsigned depth = 0;
    for (; *path; path++)
        depth += *path == '/';
    return depth >= MAX_DEPTH;
}

static bool is_wanted(struct state *s, const char *dir)
{
    const struct rb_folders_request *request = s->request;
    if (is_too_deep(dir) || !request->enter(request->ctx, dir, false))
        return false;
    return !is_ignored(s, dir) || request->enter(request->ctx, dir, true);
}

static int take_name(struct state *s, const char *dir, int fd, const struct dirent *entry)
{
    char path[MAX_PATH_BYTES + 1];
    struct stat st;
    unsigned char type = entry->d_type;
    if (type == DT_UNKNOWN && fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        type = S_ISDIR(st.st_mode) ? DT_DIR : S_ISREG(st.st_mode) ? DT_REG : DT_UNKNOWN;
    if (type != DT_DIR && !(type == DT_REG && s->request->files))
        return 0;
    int len = snprintf(path, sizeof path, "%s%s%s", dir, *dir ? "/" : "", entry->d_name);
    if (len < 0 || (size_t)len >= sizeof path)
        return 0;
    if (type == DT_DIR)
        return is_wanted(s, path) ? push(s, path) : 0;
    s->ended = !s->request->found(s->request->ctx, path, false);
    return 0;
}

/* A repository below the root is somebody else's. */
static bool is_foreign(int fd, const char *dir)
{
    return *dir && walk_is_repository(fd);
}

static int visit(struct state *s, const char *dir)
{
    int fd = rb_below_open(&s->below, dir, O_RDONLY | O_DIRECTORY);
    DIR *stream = fd >= 0 && !is_foreign(fd, dir) ? fdopendir(fd) : NULL;
    if (!stream) {
        if (fd >= 0)
            close(fd);
        return 0;
    }
    s->ended = !s->request->found(s->request->ctx, dir, true);
    int code = 0;
    struct dirent *entry;
    while (code == 0 && !s->ended && (entry = readdir(stream)) != NULL) {
        if (++s->names > MAX_NAMES)
            code = rb_error_set(s->err, RB_ELIMIT, "more than %d names to look through", (int)MAX_NAMES);
        else if (!is_skipped_name(entry->d_name))
            code = take_name(s, dir, dirfd(stream), entry);
    }
    closedir(stream);
    return code;
}

static int walk_folders(struct state *s)
{
    const atomic_bool *cancelled = s->request->cancelled;
    int code = push(s, "");
    while (code == 0 && s->count > 0 && !s->ended) {
        char *dir = s->stack[--s->count];
        code = cancelled && atomic_load_explicit(cancelled, memory_order_relaxed)
                   ? rb_error_set(s->err, RB_ETIMEOUT, "cancelled while looking through folders")
                   : visit(s, dir);
        free(dir);
    }
    while (s->count > 0)
        free(s->stack[--s->count]);
    free(s->stack);
    return code;
}

int rb_folders_walk(const struct rb_folders_request *request, struct rb_error *err)
{
    struct state s = {.request = request, .prefix = "", .err = err};
    RB_ARENA_AUTO *arena = rb_arena_new(64 * 1024);
    int code = arena ? rb_below_init(&s.below, request->root, err) : rb_error_set(err, RB_ENOMEM, "out of memory");
    if (code < 0)
        return code;
    if (rb_git_open(request->root, &s.git, NULL) == 0 &&
        (!rb_git_workdir(s.git) || git_prefix(s.git, request->root, arena, &s.prefix, NULL) < 0)) {
        rb_git_close(s.git);
        s.git = NULL;
    }
    code = walk_folders(&s);
    git_index_free(s.index);
    rb_git_close(s.git);
    rb_below_fini(&s.below);
    return code;
}

/* ---- the repository's own ---- */

struct refs {
    struct rb_arena *arena;
    const char **items;
    size_t count, max;
};

static void add_path(struct refs *refs, const char *dir)
{
    size_t len = strlen(dir);
    while (len > 1 && dir[len - 1] == '/')
        len--;
    char *copy = refs->count < refs->max ? rb_arena_strndup(refs->arena, dir, len) : NULL;
    if (copy)
        refs->items[refs->count++] = copy;
}

/* Folders below refs/, breadth first: the list is its own queue. */
static void add_refs(struct refs *refs, size_t from)
{
    for (size_t at = from; at < refs->count; at++) {
        const char *slash = refs->items[at] + strlen(refs->items[from]);
        unsigned depth = 0;
        for (; *slash; slash++)
            depth += *slash == '/';
        DIR *stream = depth < REFS_DEPTH ? opendir(refs->items[at]) : NULL;
        struct dirent *entry;
        while (stream && refs->count < refs->max && (entry = readdir(stream)) != NULL) {
            char path[MAX_PATH_BYTES];
            struct stat st;
            int len = snprintf(path, sizeof path, "%s/%s", refs->items[at], entry->d_name);
            if (len > 0 && (size_t)len < sizeof path && entry->d_name[0] != '.' && lstat(path, &st) == 0 && S_ISDIR(st.st_mode))
                add_path(refs, path);
        }
        if (stream)
            closedir(stream);
    }
}

int rb_folders_of_git(const char *root, size_t max, struct rb_arena *arena, struct rb_strings *out, struct rb_error *err)
{
    struct rb_git *git = NULL;
    int code = rb_git_open(root, &git, err);
    if (code < 0)
        return code;
    struct refs refs = {.arena = arena, .items = rb_arena_array(arena, max + 1, sizeof(char *)), .max = max};
    const char *common = git_repository_commondir(git->repo);
    const char *below = rb_arena_printf(arena, "%s/refs", common);
    if (refs.items && below) {
        add_path(&refs, git_repository_path(git->repo));
        if (strcmp(common, git_repository_path(git->repo)) != 0)
            add_path(&refs, common);
        size_t from = refs.count;
        add_path(&refs, below);
        if (refs.count > from)
            add_refs(&refs, from);
    }
    rb_git_close(git);
    *out = (struct rb_strings){refs.items, refs.count};
    return rb_arena_failed(arena) ? rb_error_set(err, RB_ENOMEM, "out of memory while looking at the repository") : 0;
}
