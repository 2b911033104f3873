/* The walk behind untracked files.
 *
 * Invariants: folders wait on a heap-allocated stack (100,000 nested ones cost no C stack); paths above 4,000 bytes and unreadable folders are counted, never
 * silently passed; at most 5 million names are looked at. git's ignore rules are asked only for what is not tracked, and an ignored folder is not entered. */
#include "git_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Deeper than any real tree; libgit2's ignore rules cost the cube of the depth. */
enum { MAX_DEPTH = 128 };
enum { MAX_PATH_BYTES = 4000, MAX_NAMES = 5000000, MAX_STACK = 2000000 };

struct pending {
    char *path;   /* "" is the root */
    unsigned top; /* 0, or the number of the untracked folder that it lies in (collapse) */
};
struct state {
    struct walk *walk;
    struct pending *stack;
    size_t count, cap;
    size_t names;
    unsigned tops;
    struct rb_error *err;
};

static bool is_cancelled(const struct walk *walk)
{
    return walk->cancelled && atomic_load_explicit(walk->cancelled, memory_order_relaxed);
}

/* First tracked path that is not less than the `len` bytes of `path` followed by `suffix`. */
static size_t lower_bound(const struct walk *walk, const char *path, size_t len, const char *suffix)
{
    size_t low = 0, high = walk->tracked_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strncmp(walk->tracked[middle], path, len);
        if (order == 0)
            order = strcmp(walk->tracked[middle] + len, suffix);
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_tracked(const struct walk *walk, const char *path)
{
    size_t at = lower_bound(walk, path, strlen(path), "");
    return at < walk->tracked_count && strcmp(walk->tracked[at], path) == 0;
}

static bool holds_tracked(const struct walk *walk, const char *dir)
{
    size_t len = strlen(dir);
    if (len == 0)
        return true;
    size_t at = lower_bound(walk, dir, len, "/");
    return at < walk->tracked_count && strncmp(walk->tracked[at], dir, len) == 0 && walk->tracked[at][len] == '/';
}

static bool is_ignored(const struct walk *walk, const char *path, bool dir)
{
    char full[2 * MAX_PATH_BYTES + 512];
    int ignored = 0;
    if (!walk->repo)
        return false;
    int len = snprintf(full, sizeof(full), "%s%s%s", walk->prefix, path, dir ? "/" : "");
    return len > 0 && (size_t)len < sizeof(full) && git_ignore_path_is_ignored(&ignored, walk->repo, full) == 0 && ignored;
}

static int push(struct state *s, char *take_path, unsigned top)
{
    if (s->count == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 64;
        struct pending *bigger = cap <= MAX_STACK ? realloc(s->stack, cap * sizeof(*bigger)) : NULL;
        if (!bigger) {
            free(take_path);
            return rb_error_set(s->err, RB_ELIMIT, "too many folders to look through");
        }
        s->stack = bigger;
        s->cap = cap;
    }
    s->stack[s->count++] = (struct pending){take_path, top};
    return 0;
}

/* Whether a folder is somebody else's repository: its files are not ours. */
static bool is_nested_repository(struct walk *walk, const char *path)
{
    char marker[MAX_PATH_BYTES + 8];
    struct stat st;
    snprintf(marker, sizeof(marker), "%s/.git", path);
    return rb_below_lstat(walk->below, marker, &st) == 0;
}

static bool is_too_deep(const char *path)
{
    unsigned depth = 0;
    for (; *path; path++)
        depth += *path == '/';
    return depth >= MAX_DEPTH;
}

static int visit_dir(struct state *s, const char *path, unsigned top)
{
    struct walk *walk = s->walk;
    if (is_too_deep(path)) {
        walk->unreachable++;
        return 0;
    }
    if (walk->enter && !walk->enter(walk->ctx, path))
        return 0;
    if (walk->repo && !holds_tracked(walk, path)) {
        if (is_tracked(walk, path) || is_ignored(walk, path, true))
            return 0;
        if (walk->collapse && top == 0)
            top = ++s->tops;
    }
    if (is_nested_repository(walk, path))
        return 0;
    char *copy = strdup(path);
    return copy ? push(s, copy, top) : rb_error_set(s->err, RB_ENOMEM, "out of memory while looking through folders");
}

/* Reports the untracked folder around `path` and forgets what is left of it. `path` is cut down to that folder. */
static int report_collapsed(struct state *s, char *path, unsigned top, const struct stat *st)
{
    while (s->count > 0 && s->stack[s->count - 1].top == top)
        free(s->stack[--s->count].path);
    for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        bool ours = !holds_tracked(s->walk, path);
        *slash = '/';
        if (ours) {
            slash[1] = '\0';
            break;
        }
    }
    return s->walk->found(s->walk->ctx, path, st, s->err);
}

/* One name of a folder; `type` as readdir knows it, which saves a system call for every folder and tracked file. Returns 1 when the rest of
 * the folder is of no interest. */
static int visit_name(struct state *s, const struct pending *dir, int fd, const char *name, unsigned char type)
{
    struct walk *walk = s->walk;
    char path[MAX_PATH_BYTES + 1];
    struct stat st;
    int len = snprintf(path, sizeof(path), "%s%s%s", dir->path, dir->path[0] ? "/" : "", name);
    if (len < 0 || (size_t)len >= sizeof(path)) {
        walk->unreachable++;
        return 0;
    }
    if (type == DT_DIR)
        return visit_dir(s, path, dir->top);
    if (type != DT_UNKNOWN && walk->repo && is_tracked(walk, path))
        return 0;
    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return 0; /* gone since */
    if (S_ISDIR(st.st_mode))
        return visit_dir(s, path, dir->top);
    if (walk->repo && (is_tracked(walk, path) || is_ignored(walk, path, false)))
        return 0;
    if (dir->top == 0)
        return walk->found(walk->ctx, path, &st, s->err);
    int code = report_collapsed(s, path, dir->top, &st);
    return code < 0 ? code : 1;
}

static bool is_skipped_name(const char *name)
{
    static const char *const names[] = {".", "..", ".git", ".hg", ".svn", ".jj", NULL};
    for (size_t i = 0; names[i]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static int read_dir(struct state *s, const struct pending *dir)
{
    int fd = rb_below_open(s->walk->below, dir->path, O_RDONLY | O_DIRECTORY);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    if (!stream) {
        s->walk->unreachable += fd != -ENOENT;
        if (fd >= 0)
            close(fd);
        return 0;
    }
    int code = 0;
    struct dirent *entry;
    while (code == 0 && (entry = readdir(stream)) != NULL) {
        if (++s->names > MAX_NAMES)
            code = rb_error_set(s->err, RB_ELIMIT, "more than %d files to look through: narrow the globs", MAX_NAMES);
        else if (is_cancelled(s->walk))
            code = rb_error_set(s->err, RB_ETIMEOUT, "cancelled while looking through folders");
        else if (!is_skipped_name(entry->d_name))
            code = visit_name(s, dir, fd, entry->d_name, entry->d_type);
    }
    closedir(stream);
    return code < 0 ? code : 0;
}

int walk_run(struct walk *walk, struct rb_error *err)
{
    struct state s = {.walk = walk, .err = err};
    char *root = strdup("");
    int code = root ? push(&s, root, 0) : rb_error_set(err, RB_ENOMEM, "out of memory while looking through folders");
    while (code == 0 && s.count > 0) {
        struct pending dir = s.stack[--s.count];
        code = read_dir(&s, &dir);
        free(dir.path);
    }
    while (s.count > 0)
        free(s.stack[--s.count].path);
    free(s.stack);
    return code;
}
