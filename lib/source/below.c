/* Opening files below a folder without ever following a symlink.
 *
 * Every component is opened with O_NOFOLLOW relative to the one before, so that a folder that was swapped for a symlink leads nowhere. The parent folder
 * of the last path stays open, and a path below it starts there: sorted lists cost one open per folder. */
#include "runbook/source/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
    free(below->dir);
    below->dir_fd = -1;
    below->dir = NULL;
}

void rb_below_fini(struct rb_below *below)
{
    forget_dir(below);
    if (below->root_fd >= 0)
        close(below->root_fd);
    below->root_fd = -1;
}

/* Opens each component of `path` from `fd` on (borrowed); returns a new descriptor or a negative errno. */
static int descend(int fd, char *path)
{
    int at = fd;
    while (*path) {
        char *slash = strchr(path, '/');
        if (slash)
            *slash = '\0';
        bool escapes = strcmp(path, "..") == 0;
        int next = escapes ? -1 : openat(at, *path ? path : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int failure = escapes ? EINVAL : errno;
        if (at != fd)
            close(at);
        if (next < 0)
            return -failure;
        at = next;
        path = slash ? slash + 1 : path + strlen(path);
        if (slash)
            *slash = '/';
    }
    return at == fd ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : at;
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
    size_t known = below->dir ? strlen(below->dir) : 0;
    if (below->dir && known == len && memcmp(below->dir, path, len) == 0)
        return below->dir_fd;
    char *dir = strndup(path, len);
    if (!dir)
        return -ENOMEM;
    bool nested = below->dir && known < len && memcmp(below->dir, path, known) == 0 && path[known] == '/';
    int fd = nested ? descend(below->dir_fd, dir + known + 1) : descend(below->root_fd, dir);
    if (fd < 0) {
        free(dir);
        return fd;
    }
    forget_dir(below);
    below->dir = dir;
    below->dir_fd = fd;
    return fd;
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
