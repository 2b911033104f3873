/* What a pattern names on disk: one lstat for a literal path, a pruned walk for a glob.
 *
 * Invariants: the walk waits on a heap-allocated stack, follows no symlink and stops at its limits. A relative literal path whose folder leads out of the root through a
 * symlink finds nothing. Unlike the listing for scans nothing is left out: checks look at .git/hooks and ignored build results too. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runbook/base/glob.h"
#include "runbook/platform/platform.h"
#include "runbook/source/files.h"

enum { MAX_NAMES = 1000000, MAX_FOLDERS = 200000 };

struct expansion {
    const char *base;  /* folder that the pattern counts from, absolute and resolved */
    const char *shown; /* put before each path: "" or the base with '/' */
    const char *pattern;
    bool absolute;
    size_t max;
    const atomic_bool *cancelled;
    struct rb_arena *arena;
    struct rb_found_list *out;
    size_t cap;
    char **stack;
    size_t depth, stack_cap, names;
    struct rb_error *err;
};

static bool is_inside(const char *base, const char *path)
{
    size_t len = strcmp(base, "/") == 0 ? 0 : strlen(base);
    return strncmp(path, base, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

/* Looks through a link where that stays inside; says when it leads nowhere. */
static void follow(const struct expansion *x, const char *full, struct stat *st, struct rb_found *found)
{
    char target[PATH_MAX];
    struct stat there;
    found->symlink = true;
    if (!realpath(full, target)) {
        found->dangling = errno == ENOENT || errno == ELOOP || errno == ENOTDIR;
        return;
    }
    if ((x->absolute || is_inside(x->base, target)) && stat(target, &there) == 0)
        *st = there;
}

static int add_found(struct expansion *x, const char *relative, const struct stat *link)
{
    struct rb_found_list *out = x->out;
    char full[PATH_MAX];
    struct stat st = *link;
    if (out->count == x->max)
        return rb_error_set(x->err, RB_ELIMIT, "more than %zu files match %s: narrow it", x->max, x->pattern);
    if (out->count == x->cap) {
        size_t cap = x->cap ? x->cap * 2 : 32;
        struct rb_found *bigger = realloc(out->items, cap * sizeof(*bigger));
        if (!bigger)
            return rb_error_set(x->err, RB_ENOMEM, "out of memory while looking for files");
        out->items = bigger;
        x->cap = cap;
    }
    struct rb_found found = {.path = rb_arena_printf(x->arena, "%s%s", x->shown, relative)};
    if (!found.path)
        return rb_error_set(x->err, RB_ENOMEM, "out of memory while looking for files");
    int len = snprintf(full, sizeof(full), "%s/%s", x->base, relative);
    if (S_ISLNK(link->st_mode) && len > 0 && (size_t)len < sizeof(full))
        follow(x, full, &st, &found);
    found.mode = (unsigned)st.st_mode;
    found.uid = (unsigned)st.st_uid;
    found.size_bytes = (int64_t)st.st_size;
    found.mtime_wall_ns = rb_stat_mtime_ns(&st);
    out->items[out->count++] = found;
    return 0;
}

static int push(struct expansion *x, const char *path)
{
    if (x->depth == x->stack_cap) {
        size_t cap = x->stack_cap ? x->stack_cap * 2 : 32;
        char **bigger = cap <= MAX_FOLDERS ? realloc(x->stack, cap * sizeof(*bigger)) : NULL;
        if (!bigger)
            return rb_error_set(x->err, RB_ELIMIT, "too many folders to look through for %s", x->pattern);
        x->stack = bigger;
        x->stack_cap = cap;
    }
    x->stack[x->depth] = strdup(path);
    if (!x->stack[x->depth])
        return rb_error_set(x->err, RB_ENOMEM, "out of memory while looking for files");
    x->depth++;
    return 0;
}

static int visit_name(struct expansion *x, int fd, const char *dir, const char *name)
{
    char path[PATH_MAX];
    struct stat st;
    int len = snprintf(path, sizeof(path), "%s%s%s", dir, *dir ? "/" : "", name);
    if (len < 0 || (size_t)len >= sizeof(path)) {
        x->out->unreachable++;
        return 0;
    }
    bool matches = rb_glob_match(x->pattern, path), below = rb_glob_may_match_below(x->pattern, path);
    if ((!matches && !below) || fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return 0;
    int code = matches ? add_found(x, path, &st) : 0;
    return code == 0 && below && S_ISDIR(st.st_mode) ? push(x, path) : code;
}

static int read_folder(struct expansion *x, struct rb_below *below, const char *dir)
{
    int fd = rb_below_open(below, dir, O_RDONLY | O_DIRECTORY);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    if (!stream) {
        x->out->unreachable += fd != -ENOENT && fd != -ENOTDIR;
        if (fd >= 0)
            close(fd);
        return 0;
    }
    int code = 0;
    struct dirent *entry;
    while (code == 0 && (entry = readdir(stream)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (++x->names > MAX_NAMES)
            code = rb_error_set(x->err, RB_ELIMIT, "more than %d names to look through for %s: narrow it", MAX_NAMES, x->pattern);
        else if (x->cancelled && atomic_load_explicit(x->cancelled, memory_order_relaxed))
            code = rb_error_set(x->err, RB_ETIMEOUT, "cancelled while looking for files");
        else
            code = visit_name(x, fd, dir, entry->d_name);
    }
    closedir(stream);
    return code;
}

static int expand_glob(struct expansion *x)
{
    struct rb_below below;
    if (access(x->base, F_OK) != 0)
        return 0;
    int code = rb_below_init(&below, x->base, x->err);
    if (code < 0)
        return code;
    code = push(x, "");
    while (code == 0 && x->depth > 0) {
        char *dir = x->stack[--x->depth];
        code = read_folder(x, &below, dir);
        free(dir);
    }
    while (x->depth > 0)
        free(x->stack[--x->depth]);
    free(x->stack);
    rb_below_fini(&below);
    return code;
}

static int expand_literal(struct expansion *x)
{
    char full[PATH_MAX], folder[PATH_MAX];
    struct stat st;
    int len = snprintf(full, sizeof(full), "%s/%s", x->base, x->pattern);
    if (len < 0 || (size_t)len >= sizeof(full))
        return rb_error_set(x->err, RB_EINVAL, "the path is too long");
    char *slash = strrchr(full, '/');
    *slash = '\0';
    bool inside = realpath(*full ? full : "/", folder) && (x->absolute || is_inside(x->base, folder));
    int failure = errno;
    *slash = '/';
    if (inside && lstat(full, &st) == 0)
        return add_found(x, x->pattern, &st);
    if (inside)
        failure = errno;
    x->out->unreachable += failure == EACCES;
    return 0;
}

/* Splits an absolute pattern into the folder before its first meta character and the rest. */
static void split_absolute(char *pattern, const char **out_base, const char **out_rest)
{
    size_t meta = strcspn(pattern, "*?[{\\");
    char *slash = pattern;
    for (size_t i = 0; pattern[i] && i <= meta; i++)
        if (pattern[i] == '/')
            slash = pattern + i;
    *out_rest = slash + 1;
    *slash = '\0';
    *out_base = *pattern ? pattern : "/";
}

static int compare_found(const void *left, const void *right)
{
    return strcmp(((const struct rb_found *)left)->path, ((const struct rb_found *)right)->path);
}

/* Moves the matches from the growing array into the arena. */
static int keep(struct expansion *x, int code)
{
    struct rb_found_list *out = x->out;
    struct rb_found *grown = out->items;
    out->items = NULL;
    if (code == 0 && out->count > 0) {
        qsort(grown, out->count, sizeof(*grown), compare_found);
        out->items = rb_arena_array(x->arena, out->count, sizeof(*grown));
        if (out->items)
            memcpy(out->items, grown, out->count * sizeof(*grown));
        else
            code = rb_error_set(x->err, RB_ENOMEM, "out of memory while looking for files");
    }
    free(grown);
    return code;
}

int rb_files_expand(const char *root, const char *pattern, size_t max, const atomic_bool *cancelled, struct rb_arena *arena,
                    struct rb_found_list *out, struct rb_error *err)
{
    char expanded[PATH_MAX], base[PATH_MAX];
    *out = (struct rb_found_list){0};
    int code = rb_path_expand(pattern, expanded, sizeof(expanded), err);
    if (code < 0)
        return code;
    struct expansion x = {.pattern = expanded, .shown = "", .max = max, .cancelled = cancelled, .arena = arena, .out = out, .err = err};
    const char *from = root;
    if (expanded[0] == '/') {
        x.absolute = true;
        split_absolute(expanded, &from, &x.pattern);
        x.shown = strcmp(from, "/") == 0 ? "/" : rb_arena_printf(arena, "%s/", from);
    }
    if (!x.shown)
        return rb_error_set(err, RB_ENOMEM, "out of memory while looking for files");
    x.base = x.absolute ? from : realpath(from, base);
    if (!x.base)
        return rb_error_sys(err, errno, "cannot resolve %s", from);
    code = rb_glob_is_literal(x.pattern) ? expand_literal(&x) : expand_glob(&x);
    return keep(&x, code);
}
