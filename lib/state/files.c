/* The state folder and its files.
 *
 * Invariants: everything is made private (folders 0700, files 0600) and nothing that somebody else could have put there is believed: the folder is opened without
 * following a symlink and must belong to this user and be writable by nobody else; files inside are reached through its descriptor, never through a path again.
 * A file is replaced by write, fsync, rename, fsync of the folder, so that after any crash there is the old or the new one, whole. What a crash leaves behind is
 * ".NAME.tmp-…"; rb_state_lock removes it, because with the lock nobody else is writing.
 *
 * The lock is POSIX's (fcntl): it ends with the process however that ends, and tells who holds it. It is per process: nothing else may open `lock` here. */
#include "runbook/state/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runbook/base/digest.h"
#include "runbook/base/units.h"

#define VERSION_TEXT   "runbookd state 1\n"
#define VERSION_FAMILY "runbookd state "
#define ROOT_NAME_MAX  64
#define TOKEN_BYTES    32
#define TOKEN_HEX      (2 * (size_t)TOKEN_BYTES)
#define TEMP_MARK      ".tmp-"

static void close_fd(const int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}
#define FD_AUTO __attribute__((cleanup(close_fd))) int

static int open_dir(const char *dir, struct rb_error *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    if (errno == ENOENT)
        return rb_error_set(err, RB_ENOTFOUND, "there is no state folder %s", dir);
    if (errno == ELOOP || errno == ENOTDIR)
        return rb_error_set(err, RB_EPERM, "%s is not a folder of its own (a symlink is refused); remove it or name another state_dir",
                            dir);
    return rb_error_sys(err, errno, "cannot open the state folder %s", dir);
}

/* Reads at most `size` bytes of a file of ours. Number of bytes, or a negative code (RB_ENOTFOUND when absent). */
static ssize_t read_small(int dir_fd, const char *name, char *out, size_t size, struct stat *st, struct rb_error *err)
{
    FD_AUTO fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return rb_error_set(err, RB_ENOTFOUND, "there is no %s in the state folder", name);
    if (fd < 0 || fstat(fd, st) != 0)
        return rb_error_sys(err, errno, "cannot open %s in the state folder", name);
    if (!S_ISREG(st->st_mode))
        return rb_error_set(err, RB_EPERM, "%s in the state folder is not a regular file; move it away", name);
    size_t len = 0;
    while (len < size) {
        ssize_t got = read(fd, out + len, size - len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return rb_error_sys(err, errno, "cannot read %s in the state folder", name);
        if (got == 0)
            break;
        len += (size_t)got;
    }
    return (ssize_t)len;
}

/* ---- atomic replacement ---- */

static int write_all(int fd, const char *bytes, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t put = write(fd, bytes + at, len - at);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put < 0 ? errno : ENOSPC;
        at += (size_t)put;
    }
    return 0;
}

/* Fills an open temporary file and makes it durable. 0 or an errno. */
static int fill_temp(int fd, const void *bytes, size_t len, mode_t mode)
{
    int failed = write_all(fd, bytes, len);
    if (!failed && fchmod(fd, mode) != 0)
        failed = errno;
    if (!failed && fsync(fd) != 0)
        failed = errno;
    return failed;
}

static int replace_at(int dir_fd, const char *name, const void *bytes, size_t len, mode_t mode)
{
    uint32_t random;
    if (getentropy(&random, sizeof random) != 0)
        return errno;
    char temp[320];
    int written = snprintf(temp, sizeof temp, ".%s" TEMP_MARK "%ld-%08x", name, (long)getpid(), random);
    if (written < 0 || (size_t)written >= sizeof temp)
        return ENAMETOOLONG;
    int fd = openat(dir_fd, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    int failed = fill_temp(fd, bytes, len, mode ? mode : 0600);
    if (close(fd) != 0 && !failed)
        failed = errno;
    if (!failed && renameat(dir_fd, temp, dir_fd, name) != 0)
        failed = errno;
    if (failed) {
        (void)unlinkat(dir_fd, temp, 0);
        return failed;
    }
    return fsync(dir_fd) == 0 ? 0 : errno;
}

static bool is_file_name(const char *name)
{
    return name[0] != '\0' && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

int rb_file_replace(const char *dir, const char *name, const void *bytes, size_t len, mode_t mode, struct rb_error *err)
{
    if (!is_file_name(name))
        return rb_error_set(err, RB_EINVAL, "\"%s\" is not the name of a file in the state folder", name);
    FD_AUTO dir_fd = open_dir(dir, err);
    if (dir_fd < 0)
        return dir_fd;
    int failed = replace_at(dir_fd, name, bytes, len, mode);
    return failed ? rb_error_sys(err, failed, "cannot write %s/%s; the old one, if any, is untouched", dir, name) : 0;
}

/* ---- the folder ---- */

/* mkdir -p with mode 0700 for what is missing. */
static int make_dirs(const char *path, struct rb_error *err)
{
    char partial[4096];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof partial || path[0] != '/')
        return rb_error_set(err, RB_EINVAL, "state_dir must be an absolute path of at most %zu bytes", sizeof partial - 1);
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(partial, path, i);
        partial[i] = '\0';
        if (mkdir(partial, 0700) != 0 && errno != EEXIST && errno != EISDIR) {
            struct stat st;
            int saved = errno;
            /* On a read-only or foreign parent mkdir may say EROFS or EACCES for what exists. */
            if (stat(partial, &st) != 0)
                return rb_error_sys(err, saved, "cannot make the folder %s for the state; name another with --state-dir", partial);
        }
    }
    return 0;
}

static int check_base(const char *base, struct rb_error *err)
{
    struct stat st;
    if (stat(base, &st) != 0)
        return errno == ENOENT ? rb_error_set(err, RB_ENOTFOUND, "there is no state folder %s", base)
                               : rb_error_sys(err, errno, "cannot look at the state folder %s", base);
    if (!S_ISDIR(st.st_mode))
        return rb_error_set(err, RB_EINVAL, "%s is not a folder; name another with --state-dir", base);
    if ((st.st_mode & S_IWOTH) && !(st.st_mode & S_ISVTX))
        return rb_error_set(err, RB_EPERM, "everybody can write into %s; run `chmod o-w` on it or name another with --state-dir", base);
    return 0;
}

static int check_private(int dir_fd, const char *dir, struct rb_error *err)
{
    struct stat st;
    if (fstat(dir_fd, &st) != 0)
        return rb_error_sys(err, errno, "cannot look at the state folder %s", dir);
    if (st.st_uid != geteuid())
        return rb_error_set(err, RB_EPERM, "the state folder %s belongs to user %ju, not to this one (%ju); name another with --state-dir",
                            dir, (uintmax_t)st.st_uid, (uintmax_t)geteuid());
    if (st.st_mode & (S_IWGRP | S_IWOTH))
        return rb_error_set(err, RB_EPERM, "others can write into the state folder %s; run `chmod 700` on it", dir);
    return 0;
}

static int check_version(int dir_fd, const char *dir, bool create, struct rb_error *err)
{
    char text[64];
    struct stat st = {0};
    struct rb_error why = {0};
    ssize_t len = read_small(dir_fd, "VERSION", text, sizeof text, &st, &why);
    if (len == RB_ENOTFOUND) {
        int failed = create ? replace_at(dir_fd, "VERSION", VERSION_TEXT, sizeof VERSION_TEXT - 1, 0600) : 0;
        return failed ? rb_error_sys(err, failed, "cannot write into the state folder %s", dir) : 0;
    }
    if (len < 0) {
        if (err)
            *err = why;
        return (int)len;
    }
    size_t expected = sizeof VERSION_TEXT - 1, family = sizeof VERSION_FAMILY - 1;
    if ((size_t)len == expected && memcmp(text, VERSION_TEXT, expected) == 0)
        return 0;
    if ((size_t)len > family && memcmp(text, VERSION_FAMILY, family) == 0)
        return rb_error_set(
            err, RB_EUNSUPPORTED,
            "the state folder %s was written by another version of runbookd; run that one, or name another with --state-dir", dir);
    return rb_error_set(err, RB_ECORRUPT, "%s/VERSION is not runbookd's; if the folder is, remove that file", dir);
}

static int name_of_root(const char *base, const char *root, char *out, size_t out_size, struct rb_error *err)
{
    char digest[RB_SHA256_HEX], name[ROOT_NAME_MAX + 1];
    rb_sha256_of(root, strlen(root), digest);
    const char *last = strrchr(root, '/');
    last = last ? last + 1 : root;
    size_t len = 0;
    for (; len < ROOT_NAME_MAX && last[len]; len++) {
        char c = last[len];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
                     (c == '.' && len > 0);
        name[len] = '_';
        if (plain)
            name[len] = c;
    }
    name[len] = '\0';
    int written = snprintf(out, out_size, "%s/%s-%.12s", base, len ? name : "root", digest);
    if (written < 0 || (size_t)written >= out_size)
        return rb_error_set(err, RB_ELIMIT, "the path of the state folder is too long; name a shorter one with --state-dir");
    return 0;
}

int rb_state_dir_open(const char *base, const char *root, bool create, char *out, size_t out_size, struct rb_error *err)
{
    char dir[4096];
    int rc = name_of_root(base, root, dir, sizeof dir < out_size ? sizeof dir : out_size, err);
    if (rc == 0 && create)
        rc = make_dirs(base, err);
    if (rc == 0)
        rc = check_base(base, err);
    if (rc < 0)
        return rc;
    if (create && mkdir(dir, 0700) != 0 && errno != EEXIST)
        return rb_error_sys(err, errno, "cannot make the state folder %s; name another with --state-dir", dir);
    FD_AUTO dir_fd = open_dir(dir, err);
    if (dir_fd < 0)
        return dir_fd;
    rc = check_private(dir_fd, dir, err);
    if (rc == 0)
        rc = check_version(dir_fd, dir, create, err);
    if (rc == 0)
        memcpy(out, dir, strlen(dir) + 1);
    return rc;
}

/* ---- the lock ---- */

static long holder_of(int fd)
{
    struct flock held = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_GETLK, &held) == 0 && held.l_type != F_UNLCK && held.l_pid > 0)
        return (long)held.l_pid;
    /* The holder lives in another process namespace: what it wrote is all that is known. */
    char text[32];
    ssize_t len = pread(fd, text, sizeof text - 1, 0);
    text[len > 0 ? len : 0] = '\0';
    return strtol(text, NULL, 10);
}

static void remove_leftovers(int dir_fd)
{
    int again = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = again >= 0 ? fdopendir(again) : NULL;
    if (!entries) {
        close_fd(&again);
        return;
    }
    for (struct dirent *entry = readdir(entries); entry; entry = readdir(entries)) {
        if (entry->d_name[0] == '.' && strstr(entry->d_name, TEMP_MARK))
            (void)unlinkat(dir_fd, entry->d_name, 0);
    }
    (void)closedir(entries);
}

static int write_pid(int fd)
{
    char text[32];
    int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || lseek(fd, 0, SEEK_SET) < 0)
        return errno;
    return write_all(fd, text, (size_t)len);
}

static int take_lock(int fd, const char *dir, struct rb_error *err)
{
    struct flock wanted = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_SETLK, &wanted) == 0) {
        /* The pid is a courtesy; a full disk must not keep the daemon from starting. */
        (void)write_pid(fd);
        return 0;
    }
    if (errno != EACCES && errno != EAGAIN)
        return rb_error_sys(err, errno, "cannot lock %s/lock", dir);
    return rb_error_set(err, RB_EBUSY, "process %ld already works on %s; stop it, or ask it over HTTP", holder_of(fd), dir);
}

int rb_state_lock(const char *dir, int *out_fd, struct rb_error *err)
{
    FD_AUTO dir_fd = open_dir(dir, err);
    if (dir_fd < 0)
        return dir_fd;
    int fd = openat(dir_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
    if (fd < 0)
        return rb_error_sys(err, errno, "cannot open %s/lock", dir);
    int rc = take_lock(fd, dir, err);
    if (rc < 0) {
        (void)close(fd);
        return rc;
    }
    remove_leftovers(dir_fd);
    *out_fd = fd;
    return 0;
}

/* ---- damaged files ---- */

/* "20260822T030741Z" */
static void compact_stamp(int64_t wall_ns, char out[RB_TIME_TEXT])
{
    char text[RB_TIME_TEXT];
    (void)rb_time_rfc3339(text, wall_ns);
    size_t len = 0;
    for (const char *c = text; *c; c++) {
        if (*c != '-' && *c != ':')
            out[len++] = *c;
    }
    out[len] = '\0';
}

int rb_file_set_aside(const char *dir, const char *name, int64_t wall_ns, char *out_name, size_t out_size, struct rb_error *err)
{
    if (!is_file_name(name))
        return rb_error_set(err, RB_EINVAL, "\"%s\" is not the name of a file in the state folder", name);
    FD_AUTO dir_fd = open_dir(dir, err);
    if (dir_fd < 0)
        return dir_fd;
    char stamp[RB_TIME_TEXT], aside[320];
    compact_stamp(wall_ns, stamp);
    for (unsigned attempt = 1; attempt <= 100; attempt++) {
        int written = attempt == 1 ? snprintf(aside, sizeof aside, "%s.damaged-%s", name, stamp)
                                   : snprintf(aside, sizeof aside, "%s.damaged-%s-%u", name, stamp, attempt);
        if (written < 0 || (size_t)written >= sizeof aside || (size_t)written >= out_size)
            return rb_error_set(err, RB_ELIMIT, "the name of %s is too long to set it aside", name);
        struct stat st;
        if (fstatat(dir_fd, aside, &st, AT_SYMLINK_NOFOLLOW) == 0)
            continue; /* that name keeps an earlier one */
        if (renameat(dir_fd, name, dir_fd, aside) != 0)
            return rb_error_sys(err, errno, "cannot set %s/%s aside", dir, name);
        memcpy(out_name, aside, (size_t)written + 1);
        return 0;
    }
    return rb_error_set(err, RB_ELIMIT, "%s holds a hundred damaged copies of %s; remove them", dir, name);
}

/* ---- the token ---- */

static int make_token(int dir_fd, char out[TOKEN_HEX + 1], struct rb_error *err)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char random[TOKEN_BYTES];
    char line[TOKEN_HEX + 1];
    if (getentropy(random, sizeof random) != 0)
        return rb_error_sys(err, errno, "the system gives no random bytes for the token");
    for (size_t i = 0; i < TOKEN_BYTES; i++) {
        line[2 * i] = digits[random[i] >> 4];
        line[2 * i + 1] = digits[random[i] & 15];
    }
    line[TOKEN_HEX] = '\n';
    int failed = replace_at(dir_fd, "token", line, sizeof line, 0600);
    if (failed)
        return rb_error_sys(err, failed, "cannot write the token into the state folder");
    memcpy(out, line, TOKEN_HEX);
    out[TOKEN_HEX] = '\0';
    return 0;
}

static bool is_token(const char *text, size_t len)
{
    if (len == TOKEN_HEX + 1 && text[TOKEN_HEX] == '\n')
        len--;
    return len == TOKEN_HEX && strspn(text, "0123456789abcdef") >= TOKEN_HEX;
}

int rb_token_load(const char *dir, bool create, char *out, size_t out_size, struct rb_error *err)
{
    if (out_size < TOKEN_HEX + 1)
        return rb_error_set(err, RB_EINVAL, "a token needs %zu bytes", TOKEN_HEX + 1);
    FD_AUTO dir_fd = open_dir(dir, err);
    if (dir_fd < 0)
        return dir_fd;
    char text[TOKEN_HEX + 3] = {0};
    struct stat st = {0};
    ssize_t len = read_small(dir_fd, "token", text, sizeof text - 1, &st, err);
    if (len == RB_ENOTFOUND && create)
        return make_token(dir_fd, out, err);
    if (len < 0)
        return (int)len;
    if (st.st_uid != geteuid() || (st.st_mode & 077))
        return rb_error_set(err, RB_EPERM,
                            "others can reach %s/token (it must be yours, mode 0600); remove it, a new one is made at the next start", dir);
    if (!is_token(text, (size_t)len))
        return rb_error_set(err, RB_ECORRUPT, "%s/token is not a token; remove it, a new one is made at the next start", dir);
    memcpy(out, text, TOKEN_HEX);
    out[TOKEN_HEX] = '\0';
    return 0;
}
