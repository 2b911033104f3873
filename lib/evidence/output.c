/* Writing an archive where the person said: whole or not at all, never over something without being told, never inside .git.
 *
 * The new file is made beside its place under a name of its own, made durable and then linked (which fails when the place is taken) or renamed. The .sha256 is written
 * first: an archive without its sum would look finished, a sum without its archive does not. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runbook/base/digest.h"
#include "runbook/evidence/archive.h"

#define SIDECAR ".sha256"

struct target {
    char dir[PATH_MAX], name[NAME_MAX + 1], sidecar[NAME_MAX + 1];
};

static int split(const char *path, struct target *out, struct rb_error *err)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    size_t dir_len = slash ? (size_t)(slash - path) : 0;
    if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return rb_error_set(err, RB_EINVAL, "%s names a folder; name the file to write", path);
    if (strlen(name) + sizeof SIDECAR > sizeof out->name || dir_len >= sizeof out->dir)
        return rb_error_set(err, RB_ELIMIT, "the name of the archive is too long");
    (void)snprintf(out->name, sizeof out->name, "%s", name);
    (void)snprintf(out->sidecar, sizeof out->sidecar, "%s" SIDECAR, name);
    char dir[PATH_MAX];
    (void)snprintf(dir, sizeof dir, "%.*s", (int)dir_len, path);
    if (!realpath(slash ? (dir_len ? dir : "/") : ".", out->dir))
        return rb_error_sys(err, errno, "cannot write to %s: its folder", path);
    return 0;
}

/* A repository's own folder: any part of the path is ".git", or it holds what a git folder holds (a bare repository). */
static bool inside_git(const char *dir)
{
    for (const char *at = strstr(dir, "/.git"); at; at = strstr(at + 1, "/.git"))
        if (at[5] == '/' || at[5] == '\0')
            return true;
    char head[PATH_MAX + 8], objects[PATH_MAX + 16];
    struct stat st;
    (void)snprintf(head, sizeof head, "%s/HEAD", dir);
    (void)snprintf(objects, sizeof objects, "%s/objects", dir);
    return lstat(head, &st) == 0 && lstat(objects, &st) == 0 && S_ISDIR(st.st_mode);
}

static int check_place(int dir_fd, const char *dir, const char *name, bool replace, struct rb_error *err)
{
    struct stat st;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? 0 : rb_error_sys(err, errno, "cannot look at %s/%s", dir, name);
    if (!replace)
        return rb_error_set(err, RB_EBUSY, "%s/%s exists already; name another file, or replace it with --force", dir, name);
    return S_ISREG(st.st_mode) ? 0 : rb_error_set(err, RB_EINVAL, "%s/%s is no regular file; not replaced", dir, name);
}

static int open_target(const char *path, bool replace, struct target *out, int *out_fd, struct rb_error *err)
{
    int rc = split(path, out, err);
    if (rc < 0)
        return rc;
    if (inside_git(out->dir))
        return rb_error_set(err, RB_EPERM, "%s lies inside a git folder, which is never written to; name another place", path);
    int fd = open(out->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return rb_error_sys(err, errno, "cannot open the folder %s", out->dir);
    rc = check_place(fd, out->dir, out->name, replace, err);
    if (rc == 0)
        rc = check_place(fd, out->dir, out->sidecar, replace, err);
    if (rc < 0) {
        (void)close(fd);
        return rc;
    }
    *out_fd = fd;
    return 0;
}

int rb_archive_check_target(const char *path, bool replace, struct rb_error *err)
{
    struct target target;
    int fd = -1, rc = open_target(path, replace, &target, &fd, err);
    if (rc == 0)
        (void)close(fd);
    return rc;
}

/* 0 or an errno. */
static int fill(int fd, const char *bytes, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t put = write(fd, bytes + at, len - at);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put < 0 ? errno : ENOSPC;
        at += (size_t)put;
    }
    return fsync(fd) == 0 ? 0 : errno;
}

/* 0 or an errno; the place is untouched when it fails. */
static int put_file(int dir_fd, const char *name, const char *bytes, size_t len, bool replace)
{
    char temp[NAME_MAX + 1];
    (void)snprintf(temp, sizeof temp, ".runbookd-%ld.tmp", (long)getpid());
    int fd = openat(dir_fd, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0)
        return errno;
    int failed = fill(fd, bytes, len);
    if (close(fd) != 0 && !failed)
        failed = errno;
    if (!failed && replace && renameat(dir_fd, temp, dir_fd, name) == 0)
        return 0;
    if (!failed && replace)
        failed = errno;
    if (!failed && linkat(dir_fd, temp, dir_fd, name, 0) != 0)
        failed = errno;
    (void)unlinkat(dir_fd, temp, 0);
    return failed;
}

int rb_archive_write(const char *path, const struct rb_buf *bytes, bool replace, char out_sha256[65], struct rb_error *err)
{
    struct target target;
    int fd = -1, rc = open_target(path, replace, &target, &fd, err);
    if (rc < 0)
        return rc;
    rb_sha256_of(rb_buf_str(bytes), bytes->len, out_sha256);
    char line[NAME_MAX + RB_SHA256_HEX + 8];
    int len = snprintf(line, sizeof line, "%s  %s\n", out_sha256, target.name);
    int failed = put_file(fd, target.sidecar, line, (size_t)len, replace);
    if (!failed) {
        failed = put_file(fd, target.name, rb_buf_str(bytes), bytes->len, replace);
        if (failed && !replace)
            (void)unlinkat(fd, target.sidecar, 0);
    }
    if (!failed && fsync(fd) != 0)
        failed = errno;
    (void)close(fd);
    return failed ? rb_error_sys(err, failed, "cannot write %s", path) : 0;
}
