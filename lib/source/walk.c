/* The walk behind untracked files.
 *
 * Invariants: names wait on a heap-allocated stack (100,000 nested folders cost no C stack); paths above 4,000 bytes and unreadable folders are counted, never
 * silently passed; at most 5 million names are looked at. git's ignore rules are asked only for what is not tracked, and an ignored folder is not entered.
 *
 * A folder's names are sorted before they go on the stack, folders as "name/", so that what is reported comes in the order of paths, which is the index's order:
 * who listens can merge the two as they come, and the next name of the index is almost always the next name here.
 *
 * A folder that an earlier listing knows (walk_records.h) is not read: its record puts the names on the stack that were of interest, and nobody asks again whether git tracks or
 * ignores them. Records are made as names are decided: each name knows the record of its folder. */
#include "walk_records.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Deeper than any real tree; libgit2's ignore rules cost the cube of the depth. */
enum { MAX_DEPTH = 128 };
enum { MAX_NAMES = 5000000, MAX_STACK = 2000000 };

struct pending {
    char *path;         /* "" is the root; other folders end in '/' until their turn has come */
    size_t parent;      /* record of its folder in walk->fresh */
    unsigned top;       /* 0, or the number of the untracked folder that it lies in (collapse) */
    unsigned char type; /* as readdir knows it */
    bool decided;       /* the earlier listing says that it is of interest */
};
struct state {
    struct walk *walk;
    struct pending *stack;
    size_t count, cap;
    size_t names;
    size_t next; /* tracked path that is expected next */
    unsigned tops;
    struct records records;
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
    char full[2 * WALK_PATH_MAX + 512];
    int ignored = 0;
    if (!walk->repo)
        return false;
    int len = snprintf(full, sizeof(full), "%s%s%s", walk->prefix, path, dir ? "/" : "");
    return len > 0 && (size_t)len < sizeof(full) && git_ignore_path_is_ignored(&ignored, walk->repo, full) == 0 && ignored;
}

static int push(struct state *s, char *take_path, const struct pending *like)
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
    s->stack[s->count] = *like;
    s->stack[s->count++].path = take_path;
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

/* Puts what an earlier listing knows of a folder on the stack. */
static int push_known(struct state *s, const struct pending *dir, const struct rb_listed_folder *known, size_t record)
{
    size_t before = s->count;
    int code = 0;
    for (const struct rb_listed_name *name = known->names; name && code == 0; name = name->next) {
        size_t len = strlen(dir->path), name_len = strlen(name->name);
        char *path = malloc(len + name_len + 2);
        if (!path)
            return rb_error_set(s->err, RB_ENOMEM, "out of memory while looking through folders");
        memcpy(path, dir->path, len);
        path[len] = '/';
        memcpy(path + len + (len > 0), name->name, name_len + 1);
        bool folder = name_len > 0 && name->name[name_len - 1] == '/';
        code = push(s, path, &(struct pending){.parent = record, .type = folder ? DT_DIR : DT_UNKNOWN, .decided = true});
    }
    for (size_t low = before, high = s->count; low + 1 < high; low++) { /* the stack wants the last first */
        struct pending swapped = s->stack[low];
        s->stack[low] = s->stack[--high];
        s->stack[high] = swapped;
    }
    return code;
}

static void note(struct state *s, const struct pending *item)
{
    if (!item->decided) /* else it is in the record already */
        records_note(&s->records, item->parent, item->path, item->type == DT_DIR);
}

/* Whether what lies in a folder is of interest; `top` becomes the number of the untracked folder that begins here. */
static bool enters(struct state *s, const struct pending *dir, unsigned *top)
{
    struct walk *walk = s->walk;
    const char *path = dir->path;
    if (is_too_deep(path)) {
        walk->unreachable++;
        note(s, dir);
        return false;
    }
    if (dir->decided)
        return true;
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
    if (!item->decided && walk->repo && walk->tracked_seen && is_tracked(s, item->path)) {
        size_t at = s->next++;
        return walk->tracked_seen(walk->ctx, at, item->type == DT_REG, s->err);
    }
    if ((!item->decided && walk->repo && is_ignored(walk, item->path, false)) || rb_below_lstat(walk->below, item->path, &st) != 0)
        return 0; /* or gone since */
    if (walk->collapse && !S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
        return 0; /* git sees no FIFO, socket or device: they leave a tree clean */
    note(s, item);
    return item->top == 0 ? walk->found(walk->ctx, item->path, &st, s->err) : report_collapsed(s, item->path, item->top, &st);
}

/* In a git repository the folders of other systems are files like others. */
static bool is_skipped_name(const struct walk *walk, const char *name)
{
    static const char *const all[] = {".", "..", ".git", ".hg", ".svn", ".jj", NULL}, *const gits[] = {".", "..", ".git", NULL};
    const char *const *names = walk->repo ? gits : all;
    for (size_t i = 0; names[i]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* The paths of the index below a folder, so that its names are looked for among few. */
struct span {
    size_t low, high, skip; /* skip: bytes of the folder's path with its '/' */
};

static struct span span_of(const struct walk *walk, const char *dir)
{
    size_t len = strlen(dir);
    if (len == 0)
        return (struct span){.high = walk->tracked_count};
    return (struct span){
        .low = lower_bound(walk, dir, len, "/"), .high = lower_bound(walk, dir, len, "0"), .skip = len + 1}; /* '0' follows '/' */
}

static bool names_tracked(const struct walk *walk, struct span span, const char *name)
{
    while (span.low < span.high) {
        size_t middle = span.low + (span.high - span.low) / 2;
        int order = strcmp(walk->tracked[middle] + span.skip, name);
        if (order == 0)
            return true;
        if (order < 0)
            span.low = middle + 1;
        else
            span.high = middle;
    }
    return false;
}

static int too_long(struct state *s, const struct pending *in)
{
    records_note_unreachable(&s->records, in->parent);
    s->walk->unreachable++;
    return 0;
}

static unsigned char type_of(int fd, const struct dirent *entry)
{
    struct stat st;
    if (entry->d_type != DT_UNKNOWN || fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return entry->d_type;
    return S_ISDIR(st.st_mode) ? DT_DIR : S_ISREG(st.st_mode) ? DT_REG : DT_UNKNOWN;
}

/* Tracked files go on the stack only where somebody wants to be told of them. */
static int push_name(struct state *s, const struct pending *in, struct span span, int fd, const struct dirent *entry)
{
    unsigned char type = type_of(fd, entry);
    size_t dir_len = strlen(in->path), name_len = strlen(entry->d_name), at = dir_len + (dir_len > 0);
    if (type != DT_DIR && s->walk->repo && !s->walk->tracked_seen && names_tracked(s->walk, span, entry->d_name))
        return 0;
    if (at + name_len > WALK_PATH_MAX)
        return too_long(s, in);
    char *path = malloc(at + name_len + 2);
    if (!path)
        return rb_error_set(s->err, RB_ENOMEM, "out of memory while looking through folders");
    memcpy(path, in->path, dir_len);
    path[dir_len] = '/';
    memcpy(path + at, entry->d_name, name_len + 1);
    if (type == DT_DIR)
        memcpy(path + at + name_len, "/", 2);
    return push(s, path, &(struct pending){.parent = in->parent, .top = in->top, .type = type});
}

static int last_first(const void *left, const void *right)
{
    return strcmp(((const struct pending *)right)->path, ((const struct pending *)left)->path);
}

bool walk_is_repository(int fd)
{
    char start[8];
    struct stat st;
    if (fstatat(fd, ".git", &st, AT_SYMLINK_NOFOLLOW) != 0)
        return false;
    if (S_ISDIR(st.st_mode))
        return fstatat(fd, ".git/HEAD", &st, AT_SYMLINK_NOFOLLOW) == 0 && fstatat(fd, ".git/objects", &st, AT_SYMLINK_NOFOLLOW) == 0;
    int file = S_ISREG(st.st_mode) ? openat(fd, ".git", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) : -1;
    bool is = S_ISLNK(st.st_mode) ||
              (file >= 0 && read(file, start, sizeof(start)) == (ssize_t)sizeof(start) && memcmp(start, "gitdir: ", sizeof(start)) == 0);
    if (file >= 0)
        close(file);
    return is;
}

static int report_repository(struct state *s, const struct pending *in)
{
    struct walk *walk = s->walk;
    char path[WALK_PATH_MAX + 2];
    if (!walk->repository)
        return 0;
    if (!walk->collapse || in->top == 0)
        return walk->repository(walk->ctx, in->path, s->err);
    snprintf(path, sizeof(path), "%s/", in->path);
    return report_collapsed(s, path, in->top, NULL);
}

/* Puts the names of a folder on the stack; `in` is what they have of it (its path, its record). The files of a repository of its own are somebody else's. What a .git holds
 * can change without its folder's times: such a folder is looked at each time. */
static int push_names(struct state *s, const struct pending *in, DIR *stream)
{
    size_t before = s->count;
    struct span span = span_of(s->walk, in->path);
    struct dirent *entry;
    int code = 0;
    while (code == 0 && (entry = readdir(stream)) != NULL) {
        if (*in->path && strcmp(entry->d_name, ".git") == 0) {
            records_distrust(&s->records, in->parent);
            if (walk_is_repository(dirfd(stream))) {
                drop_to(s, before);
                return report_repository(s, in);
            }
        }
        if (++s->names > MAX_NAMES)
            code = rb_error_set(s->err, RB_ELIMIT, "more than %d files to look through: narrow the globs", MAX_NAMES);
        else if (is_cancelled(s->walk))
            code = rb_error_set(s->err, RB_ETIMEOUT, "cancelled while looking through folders");
        else if (!is_skipped_name(s->walk, entry->d_name))
            code = push_name(s, in, span, dirfd(stream), entry);
    }
    if (s->count > before + 1)
        qsort(s->stack + before, s->count - before, sizeof(*s->stack), last_first);
    return code;
}

static int visit_dir(struct state *s, const struct pending *dir)
{
    struct pending in = {.path = dir->path, .top = dir->top};
    int code = 0;
    if (*dir->path && !enters(s, dir, &in.top))
        return 0;
    if (*dir->path)
        note(s, dir);
    const struct rb_listed_folder *known = records_known(&s->records, dir->path);
    if (known) {
        s->walk->unreachable += (size_t)known->unreachable;
        return push_known(s, dir, known, records_add(&s->records, known));
    }
    int fd = rb_below_open(s->walk->below, dir->path, O_RDONLY | O_DIRECTORY);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    if (!stream) {
        s->walk->unreachable += fd != -ENOENT;
        records_doubt(&s->records, dir->path);
        if (fd >= 0)
            close(fd);
        return 0;
    }
    in.parent = records_begin(&s->records, dir->path, fd);
    code = push_names(s, &in, stream);
    closedir(stream);
    return code;
}

int walk_run(struct walk *walk, struct rb_error *err)
{
    struct state s = {.walk = walk, .records = {.walk = walk}, .err = err};
    char *root = strdup("");
    int code = root ? push(&s, root, &(struct pending){.parent = SIZE_MAX, .type = DT_DIR})
                    : rb_error_set(err, RB_ENOMEM, "out of memory while looking through folders");
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
    records_fini(&s.records);
    return code;
}
