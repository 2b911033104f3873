/* Files of the tree become members: found by name, folder or glob, opened without following a link, read up to the limit.
 *
 * A pattern counts from the root. What cannot be packed is told in the archive, because a bundle that silently lacks a file is worse than none. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "read.h"
#include "runbook/evidence/evidence.h"
#include "runbook/source/files.h"

#define ARENA_MAX ((size_t)256 << 20)

struct gather {
    struct rb_archive *archive;
    const char *root, *prefix;
    struct rb_below below;
    struct rb_arena *arena;
    struct rb_error *err;
};

int read_all(int fd, struct rb_buf *out, struct rb_error *err)
{
    char chunk[65536];
    for (;;) {
        ssize_t got = read(fd, chunk, sizeof chunk);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return rb_error_sys(err, errno, "cannot be read");
        if (got == 0)
            return 0;
        rb_buf_add(out, chunk, (size_t)got);
        if (out->failed)
            return rb_error_set(err, RB_ELIMIT, "is larger than %zu MiB", RB_ARCHIVE_MAX_MEMBER >> 20);
    }
}

static bool in_git_folder(const char *path)
{
    for (const char *at = strstr(path, ".git"); at; at = strstr(at + 1, ".git"))
        if ((at == path || at[-1] == '/') && (at[4] == '/' || at[4] == '\0'))
            return true;
    return false;
}

static int missing(struct gather *gather, const char *path, const char *why)
{
    const char *name = rb_arena_printf(gather->arena, "%s%s", gather->prefix, path);
    return name ? rb_archive_add_missing(gather->archive, name, why, gather->err) : rb_error_set(gather->err, RB_ENOMEM, "out of memory");
}

/* Opens a regular file, or says why not in `why`. */
static int open_regular(struct gather *gather, const char *path, bool *out_executable, struct rb_error *why)
{
    int fd = rb_below_open(&gather->below, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return fd == -ELOOP ? rb_error_set(why, RB_EPERM, "is a symlink; those are not followed")
                            : rb_error_sys(why, -fd, "cannot be opened");
    struct stat st;
    int rc = 0;
    if (fstat(fd, &st) != 0)
        rc = rb_error_sys(why, errno, "cannot be looked at");
    else if (!S_ISREG(st.st_mode))
        rc = rb_error_set(why, RB_EUNSUPPORTED, "is no regular file");
    else if ((uintmax_t)st.st_size > RB_ARCHIVE_MAX_MEMBER)
        rc = rb_error_set(why, RB_ELIMIT, "is larger than %zu MiB", RB_ARCHIVE_MAX_MEMBER >> 20);
    *out_executable = rc == 0 && (st.st_mode & S_IXUSR);
    if (rc == 0)
        return fd;
    (void)close(fd);
    return rc;
}

static int add_file(struct gather *gather, const char *path)
{
    if (in_git_folder(path))
        return missing(gather, path, "lies in a git folder");
    struct rb_error why = {0};
    struct rb_member_traits traits = {0};
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_ARCHIVE_MAX_MEMBER);
    int fd = open_regular(gather, path, &traits.executable, &why), rc = fd;
    if (fd >= 0) {
        rc = read_all(fd, &text, &why);
        (void)close(fd);
    }
    if (rc < 0)
        return missing(gather, path, why.message);
    const char *name = rb_arena_printf(gather->arena, "%s%s", gather->prefix, path);
    return name ? rb_archive_add_with(gather->archive, name, path, &text, traits, gather->err)
                : rb_error_set(gather->err, RB_ENOMEM, "out of memory");
}

/* Every file below a folder. */
static int add_folder(struct gather *gather, const char *path)
{
    struct rb_found_list found = {0};
    const char *pattern = rb_arena_printf(gather->arena, strcmp(path, ".") == 0 ? "**" : "%s/**", path);
    if (!pattern)
        return rb_error_set(gather->err, RB_ENOMEM, "out of memory");
    int rc = rb_files_expand(gather->root, pattern, RB_ARCHIVE_MAX_COUNT, NULL, gather->arena, &found, gather->err);
    for (size_t i = 0; i < found.count && rc == 0; i++)
        if (!S_ISDIR(found.items[i].mode) && !in_git_folder(found.items[i].path))
            rc = add_file(gather, found.items[i].path);
    if (rc == 0 && found.unreachable > 0)
        rc = missing(gather, path, "holds folders that cannot be read");
    return rc;
}

/* The pattern as it counts from the root: "./a//b/" is "a/b". NULL with an error when it leads out of it. */
static const char *relative(struct gather *gather, const char *path)
{
    size_t root_len = strlen(gather->root);
    if (path[0] == '/' && strncmp(path, gather->root, root_len) == 0 && (path[root_len] == '/' || path[root_len] == '\0'))
        path += root_len;
    else if (path[0] == '/') {
        (void)rb_error_set(gather->err, RB_EINVAL, "%s lies outside of the root %s; name files below it, or another --root", path,
                           gather->root);
        return NULL;
    }
    RB_BUF_AUTO out;
    rb_buf_init(&out, PATH_MAX);
    while (*path) {
        size_t len = strcspn(path, "/");
        if (len == 2 && path[0] == '.' && path[1] == '.') {
            (void)rb_error_set(gather->err, RB_EINVAL, "a path with \"..\" could lead out of the root %s; write it from the root",
                               gather->root);
            return NULL;
        }
        if (len > 0 && !(len == 1 && path[0] == '.')) {
            rb_buf_adds(&out, out.len > 0 ? "/" : "");
            rb_buf_add(&out, path, len);
        }
        path += len + (path[len] == '/');
    }
    if (out.failed) {
        (void)rb_error_set(gather->err, RB_ELIMIT, "a path is longer than %d bytes", PATH_MAX);
        return NULL;
    }
    const char *text = rb_arena_strdup(gather->arena, out.len > 0 ? rb_buf_str(&out) : ".");
    if (!text)
        (void)rb_error_set(gather->err, RB_ENOMEM, "out of memory");
    return text;
}

static int add_pattern(struct gather *gather, const char *path)
{
    const char *pattern = relative(gather, path);
    if (!pattern)
        return gather->err->code;
    if (strcmp(pattern, ".") == 0)
        return add_folder(gather, pattern);
    struct stat st;
    if (rb_below_lstat(&gather->below, pattern, &st) == 0) /* a name that is there is that name, whatever its characters mean in a glob */
        return S_ISDIR(st.st_mode) ? add_folder(gather, pattern) : add_file(gather, pattern);
    struct rb_found_list found = {0};
    struct rb_error why = {0};
    int rc = rb_files_expand(gather->root, pattern, RB_ARCHIVE_MAX_COUNT, NULL, gather->arena, &found, &why);
    if (rc == RB_ENOMEM || rc == RB_ELIMIT)
        return rb_error_set(gather->err, rc, "%s", why.message);
    if (rc < 0 || found.count == 0)
        return missing(gather, pattern, rc < 0 ? "cannot be looked for" : "is not there");
    for (size_t i = 0; i < found.count && rc == 0; i++)
        rc = S_ISDIR(found.items[i].mode) ? 0 : add_file(gather, found.items[i].path);
    return rc;
}

int rb_evidence_add_files(struct rb_archive *archive, const char *root, const char *prefix, const struct rb_strings *paths,
                          struct rb_error *err)
{
    struct rb_error local = {0};
    struct gather gather = {.archive = archive, .root = root, .prefix = prefix, .err = err ? err : &local};
    RB_ARENA_AUTO *arena = rb_arena_new(ARENA_MAX);
    if (!arena)
        return rb_error_set(gather.err, RB_ENOMEM, "out of memory");
    gather.arena = arena;
    int rc = rb_below_init(&gather.below, root, gather.err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < paths->count && rc == 0; i++)
        rc = add_pattern(&gather, paths->items[i]);
    rb_below_fini(&gather.below);
    return rc;
}
