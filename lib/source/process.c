/* Which processes belong to a folder: by where they stand, or by a path of their command line.
 *
 * The command line is compared as text, so that `--config=/srv/tree/x` and `python3 /srv/tree/bot.py` both count; a path that only begins like the folder (/srv/tree2) or
 * ends like it (/backup/srv/tree) does not.
 *
 * A link's name, a `..` or a relative path leads there as well. Those arguments are followed component by component and not with realpath(3): a dead network mount on the way
 * would hold the worker for good, and a path whose end does not exist yet counts too. */
#include "runbook/source/process.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

enum { MAX_LINKS = 40, MAX_PATH = 4096, MAX_FOLLOWED = 64 /* arguments of a process */ };

static const char name_bytes[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";

void rb_process_command(const struct rb_process *process, struct rb_buf *out)
{
    for (size_t i = 0; process->argv && process->argv[i]; i++) {
        if (i > 0)
            rb_buf_addc(out, ' ');
        rb_buf_adds(out, process->argv[i]);
    }
}

static bool stands_in(const char *path, const char *folder)
{
    size_t len = strlen(folder);
    return path && strncmp(path, folder, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

static bool mentions(const char *text, const char *folder)
{
    size_t len = strlen(folder);
    for (const char *at = len > 0 ? strstr(text, folder) : NULL; at; at = strstr(at + 1, folder)) {
        bool starts = at == text || (!strchr(name_bytes, at[-1]) && at[-1] != '/');
        if (starts && (at[len] == '\0' || !strchr(name_bytes, at[len])))
            return true;
    }
    return false;
}

bool rb_process_lies_in(const struct rb_process *process, const char *command, const char *folder)
{
    return stands_in(process->cwd, folder) || mentions(command, folder);
}

/* ---- paths under other names ---- */

static bool hangs(const char *path, const char *folder, const char *const *mounts)
{
    for (size_t i = 0; mounts && mounts[i]; i++) {
        if (stands_in(path, mounts[i]) && !stands_in(folder, mounts[i]))
            return true;
    }
    return false;
}

/* Puts what the link at `at` points to before the rest of the path; false when that is too long. */
static bool splice(struct rb_buf *todo, const char *target, size_t target_len, const char *rest)
{
    struct rb_buf fresh;
    rb_buf_init(&fresh, MAX_PATH);
    rb_buf_add(&fresh, target, target_len);
    rb_buf_addc(&fresh, '/');
    rb_buf_adds(&fresh, rest);
    rb_buf_fini(todo);
    *todo = fresh;
    return !fresh.failed;
}

static void cut(struct rb_buf *path, size_t len)
{
    path->len = len;
    if (path->data)
        path->data[len] = '\0';
}

static void leave(struct rb_buf *path)
{
    size_t len = path->len;
    while (len > 0 && path->data[len - 1] != '/')
        len--;
    cut(path, len > 0 ? len - 1 : 0);
}

/* Follows `path` (absolute) until it stands in the folder or ends. */
static bool follow(const char *path, const char *folder, const char *const *mounts)
{
    char target[MAX_PATH];
    RB_BUF_AUTO todo, done;
    rb_buf_init(&todo, MAX_PATH);
    rb_buf_init(&done, MAX_PATH);
    rb_buf_adds(&todo, path);
    int links = 0;
    for (size_t at = 0; !todo.failed && !done.failed && at < todo.len;) {
        const char *part = rb_buf_str(&todo) + at;
        size_t len = strcspn(part, "/");
        const char *rest = part + len;
        at += len + (*rest == '/');
        if (len == 2 && memcmp(part, "..", 2) == 0)
            leave(&done);
        if (len == 0 || (len <= 2 && strspn(part, ".") >= len))
            continue;
        size_t parent = done.len;
        rb_buf_addc(&done, '/');
        rb_buf_add(&done, part, len);
        if (hangs(rb_buf_str(&done), folder, mounts))
            return false;
        ssize_t got = readlink(rb_buf_str(&done), target, sizeof target);
        if (got > 0 && (++links > MAX_LINKS || !splice(&todo, target, (size_t)got, rest)))
            return false;
        if (got > 0) {
            cut(&done, target[0] == '/' ? 0 : parent);
            at = 0;
        }
    }
    return !done.failed && stands_in(rb_buf_str(&done), folder);
}

/* The path in an argument: all of it, what follows '=', or what an option of one letter holds (-I/usr/include). */
static const char *path_of(const char *argument)
{
    const char *equals = strchr(argument, '=');
    const char *slash = strchr(argument, '/');
    if (equals && (!slash || equals < slash))
        return equals + 1;
    return argument[0] == '-' ? slash : argument;
}

bool rb_process_leads_to(const struct rb_process *process, const char *folder, const char *const *mounts)
{
    for (size_t i = 0; process->argv && process->argv[i] && i < MAX_FOLLOWED; i++) {
        const char *path = path_of(process->argv[i]);
        if (!path || path[0] == '\0' || (path[0] != '/' && !process->cwd))
            continue;
        RB_BUF_AUTO full;
        rb_buf_init(&full, MAX_PATH);
        if (path[0] != '/') {
            rb_buf_adds(&full, process->cwd);
            rb_buf_addc(&full, '/');
        }
        rb_buf_adds(&full, path);
        if (!full.failed && follow(rb_buf_str(&full), folder, mounts))
            return true;
    }
    return false;
}
