/* Opening files below a folder without ever following a symlink.
 *
 * Every component is opened with O_NOFOLLOW relative to the one before, so that a folder that was swapped for a symlink leads nowhere. The parent folder
 * of the last path and the folder around that stay open, and a path below either starts there: sorted lists cost one open per folder. */
#include "runbook/source/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where the system has descriptors that only lead on, they cost less than ones for reading, and a folder that may be searched but not read is no obstacle. */
#ifndef O_PATH
#define O_PATH O_RDONLY
#endif

int rb_below_init(struct rb_below *below, const char *root, struct rb_error *err)
{
    *below = (struct rb_below){.root_fd = -1, .dir_fd = -1};
    below->root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (below->root_fd < 0)
        return rb_error_sys(err, errno, "cannot open folder %s", root);
    return 0;
}

static void forget_dir(struct rb_below *below)
{
    if (below->dir_fd >= 0)
        close(below->dir_fd);
    if (below->up_len > 0)
        close(below->up_fd);
    free(below->dir);
    below->dir_fd = -1;
    below->dir = NULL;
    below->up_len = 0;
}

void rb_below_fini(struct rb_below *below)
{
    forget_dir(below);
    if (below->root_fd >= 0)
        close(below->root_fd);
    below->root_fd = -1;
}

/* Opens each component of `path`, which is not empty, from `fd` on (borrowed); returns a new descriptor or a negative errno. *out_up is the folder around it: `fd`
 * itself or a new descriptor. */
static int descend(int fd, char *path, int *out_up)
{
    int at = fd, up = fd;
    while (*path) {
        char *slash = strchr(path, '/');
        if (slash)
            *slash = '\0';
        bool escapes = strcmp(path, "..") == 0;
        int next = escapes ? -1 : openat(at, *path ? path : ".", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int failure = escapes ? EINVAL : errno;
        if (slash)
            *slash = '/';
        if (up != fd)
            close(up);
        up = at;
        if (next < 0) {
            if (up != fd)
                close(up);
            return -failure;
        }
        at = next;
        path = slash ? slash + 1 : path + strlen(path);
    }
    *out_up = up;
    return at;
}

static bool lies_below(const char *path, const char *dir, size_t len)
{
    return dir && len > 0 && strncmp(path, dir, len) == 0 && path[len] == '/' && path[len + 1] != '\0';
}

/* Makes `take_dir` the folder that stays open, beginning at the nearest one that is. */
static int move_to(struct rb_below *below, char *take_dir)
{
    size_t known = below->dir ? strlen(below->dir) : 0, skip = 0;
    int from = below->root_fd, up = -1;
    if (lies_below(take_dir, below->dir, known)) {
        from = below->dir_fd;
        skip = known + 1;
    } else if (lies_below(take_dir, below->dir, below->up_len)) {
        from = below->up_fd;
        skip = below->up_len + 1;
    }
    int fd = descend(from, take_dir + skip, &up);
    if (fd < 0) {
        free(take_dir);
        return fd;
    }
    bool keeps_up = up == from && below->up_len > 0 && from == below->up_fd;
    if (up == from && below->dir && from == below->dir_fd)
        below->dir_fd = -1; /* it becomes the folder around */
    if (keeps_up)
        below->up_len = 0;
    forget_dir(below);
    const char *slash = strrchr(take_dir, '/');
    below->up_fd = up;
    below->up_len = slash && up != below->root_fd ? (size_t)(slash - take_dir) : 0;
    below->dir = take_dir;
    below->dir_fd = fd;
    return fd;
}

/* The folder of `path` as a borrowed descriptor, or a negative errno; *out_name is the last component. */
static int parent_of(struct rb_below *below, const char *path, const char **out_name)
{
    const char *slash = strrchr(path, '/');
    *out_name = slash ? slash + 1 : path;
    if (strcmp(*out_name, "..") == 0 || *path == '/')
        return -EINVAL;
    if (!slash)
        return below->root_fd;
    size_t len = (size_t)(slash - path);
    if (below->dir && strncmp(below->dir, path, len) == 0 && below->dir[len] == '\0')
        return below->dir_fd;
    char *dir = strndup(path, len);
    return dir ? move_to(below, dir) : -ENOMEM;
}

int rb_below_lstat(struct rb_below *below, const char *path, struct stat *out)
{
    const char *name;
    int fd = parent_of(below, path, &name);
    if (fd < 0)
        return fd;
    return fstatat(fd, *name ? name : ".", out, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : -errno;
}

int rb_below_open(struct rb_below *below, const char *path, int flags)
{
    const char *name;
    int fd = parent_of(below, path, &name);
    if (fd < 0)
        return fd;
    int opened = openat(fd, *name ? name : ".", flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    return opened >= 0 ? opened : -errno;
}

#ifdef RB_STAT_TIMESPEC_SUFFIX /* set by meson where struct stat says st_mtimespec */
#define st_mtim st_mtimespec
#define st_ctim st_ctimespec
#endif

int64_t rb_stat_mtime_ns(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

int64_t rb_stat_ctime_ns(const struct stat *st)
{
    return (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec;
}
