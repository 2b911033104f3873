/* Linux: space, inodes and kind of the file system below a path.
 *
 * The mount is found by the longest mount point that is a prefix of the resolved path, not by device number: overlay and btrfs give
 * files other device numbers than their mount has (proc(5), mountinfo). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "linux_internal.h"

#define MOUNTINFO_MAX (1024 * 1024)

/* Undoes the octal escapes (\040) of a field in place. */
static void unescape(char *field)
{
    char *to = field;
    for (const char *from = field; *from; from++) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' && from[2] <= '7' && from[3] >= '0' && from[3] <= '7') {
            *to++ = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
            from += 3;
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
}

static bool is_below(const char *path, const char *mount_point)
{
    size_t len = strlen(mount_point);
    if (len == 1)
        return true;
    return strncmp(path, mount_point, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

/* Cuts one line of mountinfo: "36 35 98:0 /root /mount options [tags] - type source options". False when it has another form. */
static bool parse_line(char *line, char **out_mount_point, char **out_type)
{
    char *rest = line, *field;
    for (unsigned i = 0; (field = strsep(&rest, " ")) != NULL; i++) {
        if (i == 4)
            *out_mount_point = field;
        if (i >= 6 && strcmp(field, "-") == 0)
            break;
    }
    *out_type = field ? strsep(&rest, " ") : NULL;
    if (!*out_type)
        return false;
    unescape(*out_mount_point);
    return true;
}

static int find_mount(struct rb_arena *arena, const char *path, struct rb_disk_info *out, struct rb_error *err)
{
    RB_BUF_AUTO text = {.max = MOUNTINFO_MAX};
    int code = rb_linux_read_at(AT_FDCWD, "/proc/self/mountinfo", text.max, &text, err);
    if (code != RB_OK)
        return code;
    const char *best_point = NULL, *best_type = NULL;
    char *rest = text.data, *line;
    while ((line = strsep(&rest, "\n")) != NULL) {
        char *point = NULL, *type = NULL;
        if (!parse_line(line, &point, &type) || !is_below(path, point))
            continue;
        /* Of two mounts on one point the later one covers the earlier. */
        if (!best_point || strlen(point) >= strlen(best_point)) {
            best_point = point;
            best_type = type;
        }
    }
    if (!best_point) { /* in a chroot the list does not reach up to its root: the space is still known */
        best_point = "/";
        best_type = "unknown";
    }
    out->mount_point = rb_arena_strdup(arena, best_point);
    out->fs_type = rb_arena_strdup(arena, best_type);
    if (rb_arena_failed(arena))
        return rb_platform_arena_fail(err, "mounts");
    return RB_OK;
}

static bool may_hang(const char *fs_type)
{
    return rb_platform_fs_is_remote(fs_type) || strcmp(fs_type, "autofs") == 0 || strncmp(fs_type, "fuse.", 5) == 0;
}

int rb_linux_remote_mounts(struct rb_arena *arena, const char *const **out, struct rb_error *err)
{
    RB_BUF_AUTO text = {.max = MOUNTINFO_MAX};
    int code = rb_linux_read_at(AT_FDCWD, "/proc/self/mountinfo", text.max, &text, err);
    if (code != RB_OK)
        return code;
    size_t lines = 1, count = 0;
    for (size_t i = 0; i < text.len; i++)
        lines += text.data[i] == '\n';
    const char **points = rb_arena_array(arena, lines + 1, sizeof *points);
    if (!points)
        return rb_platform_arena_fail(err, "mounts");
    char *rest = text.data, *line;
    while ((line = strsep(&rest, "\n")) != NULL) {
        char *point = NULL, *type = NULL;
        if (parse_line(line, &point, &type) && may_hang(type))
            points[count++] = rb_arena_strdup(arena, point);
    }
    if (rb_arena_failed(arena))
        return rb_platform_arena_fail(err, "mounts");
    points[count] = NULL;
    *out = points;
    return RB_OK;
}

int rb_linux_disk_info(struct rb_arena *arena, const char *path, struct rb_disk_info *out, struct rb_error *err)
{
    struct statvfs vfs;
    if (statvfs(path, &vfs) != 0)
        return rb_platform_fail(err, errno, "cannot read the space of %s", path);
    char *real = realpath(path, NULL);
    if (!real)
        return rb_platform_fail(err, errno, "cannot resolve %s", path);
    struct rb_disk_info info = {
        .total_bytes = (int64_t)(vfs.f_blocks * vfs.f_frsize),
        .free_bytes = (int64_t)(vfs.f_bavail * vfs.f_frsize),
        .total_inodes = (int64_t)vfs.f_files,
        .free_inodes = (int64_t)vfs.f_favail,
        .read_only = (vfs.f_flag & ST_RDONLY) != 0,
    };
    int code = find_mount(arena, real, &info, err);
    free(real);
    if (code != RB_OK)
        return code;
    info.remote = rb_platform_fs_is_remote(info.fs_type);
    *out = info;
    return RB_OK;
}
