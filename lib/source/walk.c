/* The walk behind untracked files.
 *
 * Invariants: names wait on a heap-allocated stack (100,000 nested folders cost no C stack); paths above 4,000 bytes and unreadable folders are counted, never
 * silently passed; at most 5 million names are looked at. git's ignore rules are asked only for what is not tracked, and an ignored folder is not entered.
 *
 * A folder's names are sorted before they go on the stack, folders as "name/", so that what is reported comes in the order of paths, which is the index's order:
 * who listens can merge the two as they come, and the next name of the index is almost always the next name here. */
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
    char *path;         /* "" is the root; other folders end in '/' until their turn has come */
    unsigned top;       /* 0, or the number of the untracked folder that it lies in (collapse) */
    unsigned char type; /* as readdir knows it */
};
struct state {
    struct walk *walk;
    struct pending *stack;
    size_t count, cap;
    size_t names;
    size_t next; /* tracked path that is expected next */
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

/* Whether `path` is tracked; then `next` says where. */
static bool is_tracked(struct state *s, const char *path)
{
    const struct walk *walk = s->walk;
    if (s->next >= walk->tracked_count || strcmp(walk->tracked[s->next], path) != 0)
        s->next = lower_bound(walk, path, strlen(path), "");
    return s->next < walk->tracked_count && strcmp(walk->tracked[s->next], path) == 0;
}

static bool lies_in(const struct walk *walk, size_t at, const char *dir, size_t len)
{
    return at < walk->tracked_count && strncmp(walk->tracked[at], dir, len) == 0 && walk->tracked[at][len] == '/';
}

static bool holds_tracked(const struct state *s, const char *dir)
{
    size_t len = strlen(dir);
    return len == 0 || lies_in(s->walk, s->next, dir, len) || lies_in(s->walk, lower_bound(s->walk, dir, len, "/"), dir, len);
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

static int push(struct state *s, char *take_path, unsigned top, unsigned char type)
{
    if (s->count == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 64;
        struct pending *bigger = cap <= MAX_STACK ? realloc(s->stack, cap * sizeof(*bigger)) : NULL;
        if (!bigger) {
            free(take_path);
            return rb_error_set(s->err, RB_ELIMIT, "too many names to look through");
        }
        s->stack = bigger;
        s->cap = cap;
    }
    s->stack[s->count++] = (struct pending){take_path, top, type};
    return 0;
}

/* Forgets what was pushed since there were `count`. */
static void drop_to(struct state *s, size_t count)
{
    while (s->count > count)
        free(s->stack[--s->count].path);
}

static bool is_too_deep(const char *path)
{
    unsigned depth = 0;
    for (; *path; path++)
        depth += *path == '/';
    return depth >= MAX_DEPTH;
}

/* Whether what lies in a folder is of interest; `top` becomes the number of the untracked folder that begins here. */
static bool enters(struct state *s, const char *path, unsigned *top)
{
    struct walk *walk = s->walk;
    if (is_too_deep(path)) {
        walk->unreachable++;
        return false;
    }
    if (walk->enter && !walk->enter(walk->ctx, path))
        return false;
    if (!walk->repo || holds_tracked(s, path))
        return true;
    if (is_tracked(s, path) || is_ignored(walk, path, true))
        return false;
    if (walk->collapse && *top == 0)
        *top = ++s->tops;
    return true;
}

/* Reports the untracked folder around `path` and forgets what is left of it. `path` is cut down to that folder. */
static int report_collapsed(struct state *s, char *path, unsigned top, const struct stat *st)
{
    while (s->count > 0 && s->stack[s->count - 1].top == top)
        free(s->stack[--s->count].path);
    for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        bool ours = !holds_tracked(s, path);
        *slash = '/';
        if (ours) {
            slash[1] = '\0';
            break;
        }
    }
    return s->walk->found(s->walk->ctx, path, st, s->err);
}

/* A name that is no folder. What is tracked needs no system call. */
static int visit_file(struct state *s, const struct pending *item)
{
    struct walk *walk = s->walk;
    struct stat st;
    if (walk->repo && is_tracked(s, item->path)) {
        size_t at = s->next++;
        return walk->tracked_seen ? walk->tracked_seen(walk->ctx, at, item->type == DT_REG, s->err) : 0;
    }
    if ((walk->repo && is_ignored(walk, item->path, false)) || rb_below_lstat(walk->below, item->path, &st) != 0)
        return 0; /* or gone since */
    if (walk->collapse && !S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
        return 0; /* git sees no FIFO, socket or device: they leave a tree clean */
    return item->top == 0 ? walk->found(walk->ctx, item->path, &st, s->err) : report_collapsed(s, item->path, item->top, &st);
}

static bool is_skipped_name(const char *name)
{
    static const char *const names[] = {".", "..", ".git", ".hg", ".svn", ".jj", NULL};
    for (size_t i = 0; names[i]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static int push_name(struct state *s, const char *dir, unsigned top, int fd, const struct dirent *entry)
{
    char path[MAX_PATH_BYTES + 2];
    struct stat st;
    unsigned char type = entry->d_type;
    if (type == DT_UNKNOWN && fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        type = S_ISDIR(st.st_mode) ? DT_DIR : S_ISREG(st.st_mode) ? DT_REG : DT_UNKNOWN;
    int len = snprintf(path, sizeof(path), "%s%s%s%s", dir, *dir ? "/" : "", entry->d_name, type == DT_DIR ? "/" : "");
    if (len < 0 || (size_t)len - (type == DT_DIR) > MAX_PATH_BYTES) {
        s->walk->unreachable++;
        return 0;
    }
    char *copy = strdup(path);
    return copy ? push(s, copy, top, type) : rb_error_set(s->err, RB_ENOMEM, "out of memory while looking through folders");
}

static int last_first(const void *left, const void *right)
{
    return strcmp(((const struct pending *)right)->path, ((const struct pending *)left)->path);
}

/* Puts the names of a folder on the stack. One with a .git is somebody else's repository: its files are not ours. */
static int push_names(struct state *s, const char *dir, unsigned top, DIR *stream)
{
    size_t before = s->count;
    struct dirent *entry;
    int code = 0;
    while (code == 0 && (entry = readdir(stream)) != NULL) {
        if (*dir && strcmp(entry->d_name, ".git") == 0) {
            drop_to(s, before);
            return 0;
        }
        if (++s->names > MAX_NAMES)
            code = rb_error_set(s->err, RB_ELIMIT, "more than %d files to look through: narrow the globs", MAX_NAMES);
        else if (is_cancelled(s->walk))
            code = rb_error_set(s->err, RB_ETIMEOUT, "cancelled while looking through folders");
        else if (!is_skipped_name(entry->d_name))
            code = push_name(s, dir, top, dirfd(stream), entry);
    }
    if (s->count > before + 1)
        qsort(s->stack + before, s->count - before, sizeof(*s->stack), last_first);
    return code;
}

static int visit_dir(struct state *s, const struct pending *dir)
{
    unsigned top = dir->top;
    if (*dir->path && !enters(s, dir->path, &top))
        return 0;
    int fd = rb_below_open(s->walk->below, dir->path, O_RDONLY | O_DIRECTORY);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    if (!stream) {
        s->walk->unreachable += fd != -ENOENT;
        if (fd >= 0)
            close(fd);
        return 0;
    }
    int code = push_names(s, dir->path, top, stream);
    closedir(stream);
    return code;
}

int walk_run(struct walk *walk, struct rb_error *err)
{
    struct state s = {.walk = walk, .err = err};
    char *root = strdup("");
    int code = root ? push(&s, root, 0, DT_DIR) : rb_error_set(err, RB_ENOMEM, "out of memory while looking through folders");
    while (code == 0 && s.count > 0) {
        struct pending item = s.stack[--s.count];
        size_t len = strlen(item.path);
        if (item.type == DT_DIR && len > 0)
            item.path[len - 1] = '\0';
        if (is_cancelled(walk))
            code = rb_error_set(err, RB_ETIMEOUT, "cancelled while looking through folders");
        else
            code = item.type == DT_DIR ? visit_dir(&s, &item) : visit_file(&s, &item);
        free(item.path);
    }
    drop_to(&s, 0);
    free(s.stack);
    return code;
}
