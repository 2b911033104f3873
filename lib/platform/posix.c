/* Helpers over POSIX that are the same on every system: reading files that may be traps, finding the home folder.
 *
 * Files belong to somebody else: a name may be a FIFO, a device, a link out of the tree or a gigabyte. Everything is opened with
 * O_NONBLOCK and looked at by fstat before the first read; descriptors are close-on-exec from birth. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"
#include "runbook/base/wipe.h"
#include "runbook/platform/file_events.h"

#define OPEN_FLAGS      (O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)
#define BELOW_MAX_DEPTH 64
#define BELOW_MAX_LINKS 40

int rb_platform_fail(struct rb_error *err, int saved_errno, const char *fmt, ...)
{
    char what[400];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    int code = rb_error_sys(err, saved_errno, "%s", what);
    if (saved_errno == ENOENT || saved_errno == ENOTDIR || saved_errno == ESRCH)
        code = RB_ENOTFOUND;
    else if (saved_errno == EACCES || saved_errno == EPERM)
        code = RB_EPERM;
    else if (saved_errno == ENOMEM)
        code = RB_ENOMEM;
    if (err)
        err->code = code;
    return code;
}

int rb_platform_arena_fail(struct rb_error *err, const char *what)
{
    return rb_error_set(err, RB_ENOMEM, "%s: out of memory, or more than the caller's arena may hold", what);
}

int rb_platform_read_fd(int fd, const char *name, size_t max, struct rb_buf *out, struct rb_error *err)
{
    char chunk[16384];
    size_t total = 0;
    int code = RB_OK;
    for (ssize_t got = 1; got != 0 && code == RB_OK;) {
        got = read(fd, chunk, sizeof chunk);
        if (got < 0 && errno == EINTR)
            continue;
        total += got > 0 ? (size_t)got : 0;
        if (got < 0)
            code = rb_platform_fail(err, errno, "cannot read %s", name);
        else if (total > max)
            code = rb_error_set(err, RB_ELIMIT, "%s is larger than the limit of %zu bytes", name, max);
        else
            rb_buf_add(out, chunk, (size_t)got);
    }
    if (out->wiped)
        rb_wipe(chunk, sizeof chunk);
    return code == RB_OK ? rb_buf_check(out, name, err) : code;
}

/* Reads an open descriptor if it is a regular file of fitting size; always closes it. */
static int read_regular(int fd, const char *name, size_t max, struct rb_buf *out, struct rb_error *err)
{
    struct stat st;
    int code;
    if (fstat(fd, &st) != 0)
        code = rb_platform_fail(err, errno, "cannot look at %s", name);
    else if (!S_ISREG(st.st_mode))
        code = rb_error_set(err, RB_EINVAL, "%s is %s, not a regular file; it is not read", name,
                            S_ISDIR(st.st_mode)    ? "a folder"
                            : S_ISFIFO(st.st_mode) ? "a FIFO"
                            : S_ISSOCK(st.st_mode) ? "a socket"
                                                   : "a device");
    else if (st.st_size > 0 && (uintmax_t)st.st_size > max)
        code = rb_error_set(err, RB_ELIMIT, "%s has %jd bytes, the limit is %zu", name, (intmax_t)st.st_size, max);
    else
        code = rb_platform_read_fd(fd, name, max, out, err);
    (void)close(fd);
    return code;
}

static int open_failed(const char *name, struct rb_error *err)
{
    /* ENXIO: a socket, or a FIFO of which the system wants a writer. */
    if (errno == ENXIO)
        return rb_error_set(err, RB_EINVAL, "%s is a socket or a device, not a regular file; it is not read", name);
    return rb_platform_fail(err, errno, "cannot open %s", name);
}

void rb_free_wiped(void *block)
{
    if (block)
        rb_wipe(block, rb_platform_host()->block_bytes(block));
    free(block);
}

void *rb_realloc_wiped(void *block, size_t size)
{
    size_t old = block ? rb_platform_host()->block_bytes(block) : 0;
    void *grown = malloc(size);
    if (!grown)
        return NULL;
    if (block)
        memcpy(grown, block, old < size ? old : size);
    rb_free_wiped(block);
    return grown;
}

int rb_file_read(const char *path, size_t max, bool nofollow, struct rb_buf *out, struct rb_error *err)
{
    int fd = open(path, OPEN_FLAGS | (nofollow ? O_NOFOLLOW : 0));
    if (fd < 0 && errno == ELOOP && nofollow)
        return rb_error_set(err, RB_EINVAL, "%s is a symbolic link; it is not followed", path);
    if (fd < 0)
        return open_failed(path, err);
    return read_regular(fd, path, max, out, err);
}

int rb_file_read_below(int root_fd, const char *relative, size_t max, struct rb_buf *out, struct rb_error *err)
{
    if (*relative == '/' || *relative == '\0')
        return rb_error_set(err, RB_EINVAL, "\"%s\" is not a path below the root folder", relative);
    for (const char *p = relative; *p; p += strspn(p, "/")) {
        size_t len = strcspn(p, "/");
        if (len == 2 && p[0] == '.' && p[1] == '.')
            return rb_error_set(err, RB_EINVAL, "\"%s\" has a \"..\" segment; nothing outside the root folder is read", relative);
        p += len;
    }
    int fd = rb_platform_open_below(root_fd, relative, err);
    if (fd < 0)
        return fd;
    return read_regular(fd, relative, max, out, err);
}

/* ---- the walk, for systems without openat2 ---- */

/* The folders from the root to where the walk stands: ".." inside a link goes back to one that was passed, never by the file system. */
struct walk {
    int fds[BELOW_MAX_DEPTH + 1]; /* [0] is the caller's and stays open */
    size_t depth;
    unsigned links;
    char pending[PATH_MAX]; /* what is still to be walked */
    const char *name;       /* for messages */
    int opened;             /* the last component, once it is open; -1 before */
};

static void walk_close(struct walk *walk)
{
    for (size_t i = 1; i <= walk->depth; i++)
        (void)close(walk->fds[i]);
}

static int leaves_root(const struct walk *walk, struct rb_error *err)
{
    return rb_error_set(err, RB_EPERM, "%s leaves the root folder through a symbolic link; it is not read", walk->name);
}

/* Puts the target of the link `component` before the rest of the path. RB_ENOTFOUND when it is no link. */
static int follow_link(struct walk *walk, const char *component, const char *rest, struct rb_error *err)
{
    char target[PATH_MAX], joined[PATH_MAX];
    ssize_t len = readlinkat(walk->fds[walk->depth], component, target, sizeof target - 1);
    if (len < 0)
        return rb_platform_fail(err, errno == EINVAL ? ENOTDIR : errno, "cannot open %s", walk->name);
    target[len] = '\0';
    if (++walk->links > BELOW_MAX_LINKS)
        return rb_error_set(err, RB_EINVAL, "%s: more than %d symbolic links on the way", walk->name, BELOW_MAX_LINKS);
    if (target[0] == '/')
        return leaves_root(walk, err);
    size_t rest_len = strlen(rest);
    if ((size_t)len + 1 + rest_len >= sizeof joined)
        return rb_platform_fail(err, ENAMETOOLONG, "cannot open %s", walk->name);
    memcpy(joined, target, (size_t)len);
    joined[len] = '/';
    memcpy(joined + len + 1, rest, rest_len + 1);
    /* A link as the last component must not turn into a folder by its slash. */
    if (rest_len == 0)
        joined[len] = '\0';
    memcpy(walk->pending, joined, sizeof joined);
    return RB_OK;
}

/* Takes one component off `pending`; sets `opened` when it was the last one. */
static int walk_step(struct walk *walk, struct rb_error *err)
{
    char component[NAME_MAX + 1], rest[PATH_MAX];
    const char *p = walk->pending + strspn(walk->pending, "/");
    size_t len = strcspn(p, "/");
    if (len > NAME_MAX)
        return rb_platform_fail(err, ENAMETOOLONG, "cannot open %s", walk->name);
    memcpy(component, p, len);
    component[len] = '\0';
    p += len;
    bool last = p[strspn(p, "/")] == '\0';
    p += strspn(p, "/");
    memcpy(rest, p, strlen(p) + 1);
    if (strcmp(component, "..") == 0) {
        if (walk->depth == 0)
            return leaves_root(walk, err);
        (void)close(walk->fds[walk->depth--]);
        len = 0;
    }
    if (len == 0 || strcmp(component, ".") == 0) {
        if (last)
            return rb_error_set(err, RB_EINVAL, "%s is a folder, not a regular file; it is not read", walk->name);
        memcpy(walk->pending, rest, sizeof rest);
        return 0;
    }
    int fd = openat(walk->fds[walk->depth], component, OPEN_FLAGS | O_NOFOLLOW | (last ? 0 : O_DIRECTORY));
    if (fd >= 0 && last) {
        walk->opened = fd;
        return RB_OK;
    }
    if (fd < 0 && (errno == ELOOP || errno == ENOTDIR || errno == EMLINK))
        return follow_link(walk, component, rest, err);
    if (fd < 0)
        return open_failed(walk->name, err);
    if (walk->depth == BELOW_MAX_DEPTH) {
        (void)close(fd);
        return rb_error_set(err, RB_ELIMIT, "%s is deeper than %d folders", walk->name, BELOW_MAX_DEPTH);
    }
    walk->fds[++walk->depth] = fd;
    memcpy(walk->pending, rest, sizeof rest);
    return 0;
}

int rb_posix_open_below(int root_fd, const char *relative, struct rb_error *err)
{
    struct walk walk = {.fds = {root_fd}, .name = relative, .opened = -1};
    size_t len = strlen(relative);
    if (len >= sizeof walk.pending)
        return rb_platform_fail(err, ENAMETOOLONG, "cannot open %.100s…", relative);
    memcpy(walk.pending, relative, len + 1);
    int code;
    do
        code = walk_step(&walk, err);
    while (code == RB_OK && walk.opened < 0);
    walk_close(&walk);
    return code == RB_OK ? walk.opened : code;
}

/* ---- paths ---- */

int rb_home_dir(char *out, size_t out_size, struct rb_error *err)
{
    struct passwd entry, *found = NULL;
    char storage[16384];
    int failed = getpwuid_r(getuid(), &entry, storage, sizeof storage, &found);
    if (failed)
        return rb_platform_fail(err, failed, "cannot look up user %u", (unsigned)getuid());
    if (!found || !found->pw_dir || found->pw_dir[0] != '/')
        return rb_error_set(err, RB_ENOTFOUND, "user %u has no home folder in the password database; write absolute paths",
                            (unsigned)getuid());
    int len = snprintf(out, out_size, "%s", found->pw_dir);
    if (len < 0 || (size_t)len >= out_size)
        return rb_error_set(err, RB_ELIMIT, "the path of the home folder is longer than %zu bytes", out_size);
    return RB_OK;
}

int rb_path_expand(const char *path, char *out, size_t out_size, struct rb_error *err)
{
    char home[PATH_MAX] = "";
    bool is_home = path[0] == '~' && (path[1] == '/' || path[1] == '\0');
    if (is_home) {
        int code = rb_home_dir(home, sizeof home, err);
        if (code != RB_OK)
            return code;
        path++;
    }
    int len = snprintf(out, out_size, "%s%s", home, path);
    if (len < 0 || (size_t)len >= out_size)
        return rb_error_set(err, RB_ELIMIT, "the path \"%.80s…\" is longer than %zu bytes", path, out_size);
    return RB_OK;
}

/* ---- shared by the systems ---- */

const char *const *rb_platform_split(struct rb_arena *arena, const char *block, size_t len, size_t max_count)
{
    size_t count = 0;
    for (size_t i = 0; i < len && count < max_count; i += strnlen(block + i, len - i) + 1)
        count++;
    const char **items = rb_arena_array(arena, count + 1, sizeof *items);
    if (!items)
        return NULL;
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        size_t item_len = strnlen(block + at, len - at);
        items[i] = rb_arena_strndup(arena, block + at, item_len);
        at += item_len + 1;
    }
    return items;
}

const char *rb_platform_join(struct rb_arena *arena, const char *block, size_t len)
{
    while (len > 0 && block[len - 1] == '\0')
        len--;
    char *joined = rb_arena_strndup(arena, block, len);
    for (size_t i = 0; joined && i < len; i++) {
        if (joined[i] == '\0')
            joined[i] = ' ';
    }
    return joined;
}

bool rb_platform_fs_is_remote(const char *fs_type)
{
    static const char *const remote[] = {"nfs",        "nfs4",        "cifs",           "smb3",      "smbfs",   "ceph",      "9p",
                                         "afs",        "afpfs",       "webdav",         "ncpfs",     "coda",    "glusterfs", "lustre",
                                         "fuse.sshfs", "fuse.rclone", "fuse.glusterfs", "fuse.s3fs", "macfuse", "osxfuse",   "fuse.davfs2"};
    for (size_t i = 0; i < sizeof remote / sizeof remote[0]; i++) {
        if (strcmp(fs_type, remote[i]) == 0)
            return true;
    }
    return false;
}

const char *rb_file_loss_name(enum rb_file_loss loss)
{
    static const char *const names[RB_FILE_LOSS_COUNT] = {[RB_FILE_LOSS_OVERFLOW] = "overflow",
                                                          [RB_FILE_LOSS_FOLDER] = "folder_gone",
                                                          [RB_FILE_LOSS_LIMIT] = "limit",
                                                          [RB_FILE_LOSS_ERROR] = "error"};
    return names[loss];
}
