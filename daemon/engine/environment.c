/* A clean environment and the search for a program.
 *
 * Children inherit nothing by accident: the list below is everything. Relative folders in the daemon's PATH are dropped, because a child
 * runs in the
 * watched tree and must not pick up a program from there. The usual folders stand behind, since launchd and systemd give a daemon less
 * than a person has. */
#include "environment.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runbook/base/buf.h"

#define PATH_MAX_BYTES  ((size_t)16 * 1024)
#define ENTRIES_MAX     512u
#define HOME_MAX        1024u
#define PASSWORD_BUFFER 4096u

static const char *const fixed_entries[] = {
    "LANG=C.UTF-8",  "LC_ALL=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1", "GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0", "PAGER=cat",
    "GIT_PAGER=cat", "NO_COLOR=1",
};
static const char *const passed_on[] = {"TMPDIR", "TZ"};
static const char *const usual_folders[] = {"/usr/local/bin", "/opt/homebrew/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"};

struct entries {
    const char **items;
    size_t count;
    struct rb_arena *arena;
};

/* Adds "K=V", replacing an earlier K. */
static void put(struct entries *entries, const char *entry)
{
    const char *equals = entry ? strchr(entry, '=') : NULL;
    if (!equals || equals == entry)
        return;
    size_t key_len = (size_t)(equals - entry) + 1;
    for (size_t i = 0; i < entries->count; i++) {
        if (strncmp(entries->items[i], entry, key_len) == 0) {
            entries->items[i] = entry;
            return;
        }
    }
    if (entries->count < ENTRIES_MAX)
        entries->items[entries->count++] = entry;
}

static bool path_has(const char *path, const char *folder, size_t len)
{
    for (const char *at = path; *at;) {
        size_t part = strcspn(at, ":");
        if (part == len && memcmp(at, folder, len) == 0)
            return true;
        at += part + (at[part] == ':');
    }
    return false;
}

static void add_folder(struct rb_buf *path, const char *folder, size_t len)
{
    if (len == 0 || folder[0] != '/' || path_has(rb_buf_str(path), folder, len))
        return;
    if (path->len)
        rb_buf_addc(path, ':');
    rb_buf_add(path, folder, len);
}

static void put_path(struct entries *entries)
{
    RB_BUF_AUTO path;
    rb_buf_init(&path, PATH_MAX_BYTES);
    const char *own = getenv("PATH");
    for (const char *at = own ? own : ""; *at && path.len < PATH_MAX_BYTES / 2;) {
        size_t part = strcspn(at, ":");
        if (part < PATH_MAX_BYTES / 4)
            add_folder(&path, at, part);
        at += part + (at[part] == ':');
    }
    for (size_t i = 0; i < sizeof usual_folders / sizeof usual_folders[0]; i++)
        add_folder(&path, usual_folders[i], strlen(usual_folders[i]));
    put(entries, rb_arena_printf(entries->arena, "PATH=%s", rb_buf_str(&path)));
}

static void put_user(struct entries *entries)
{
    char home[HOME_MAX], buffer[PASSWORD_BUFFER];
    if (rb_home_dir(home, sizeof home, NULL) == 0)
        put(entries, rb_arena_printf(entries->arena, "HOME=%s", home));
    struct passwd user, *found = NULL;
    if (getpwuid_r(geteuid(), &user, buffer, sizeof buffer, &found) != 0 || !found)
        return;
    put(entries, rb_arena_printf(entries->arena, "USER=%s", user.pw_name));
    put(entries, rb_arena_printf(entries->arena, "LOGNAME=%s", user.pw_name));
}

const char *const *environment_build(struct rb_arena *arena, const char *const *extra)
{
    struct entries entries = {.arena = arena, .items = rb_arena_array(arena, ENTRIES_MAX + 1, sizeof(const char *))};
    if (!entries.items)
        return NULL;
    put_path(&entries);
    put_user(&entries);
    for (size_t i = 0; i < sizeof passed_on / sizeof passed_on[0]; i++) {
        const char *value = getenv(passed_on[i]);
        if (value)
            put(&entries, rb_arena_printf(arena, "%s=%s", passed_on[i], value));
    }
    for (size_t i = 0; i < sizeof fixed_entries / sizeof fixed_entries[0]; i++)
        put(&entries, fixed_entries[i]);
    for (; extra && *extra; extra++)
        put(&entries, *extra);
    return rb_arena_failed(arena) ? NULL : entries.items;
}

static const char *value_of(const char *const *envp, const char *key)
{
    size_t len = strlen(key);
    for (; *envp; envp++) {
        if (strncmp(*envp, key, len) == 0 && (*envp)[len] == '=')
            return *envp + len + 1;
    }
    return "";
}

/* Searches PATH as execvp(3) does: a file that may not be executed does not end the search. */
static int search(struct rb_arena *arena, const char *name, const char *path, const char **out_path, struct rb_error *err)
{
    const char *unusable = NULL;
    while (*path) {
        size_t part = strcspn(path, ":");
        struct stat info;
        char *candidate = part && path[0] == '/' ? rb_arena_printf(arena, "%.*s/%s", (int)part, path, name) : NULL;
        if (candidate && stat(candidate, &info) == 0 && S_ISREG(info.st_mode)) {
            if (access(candidate, X_OK) == 0) {
                *out_path = candidate;
                return RB_OK;
            }
            unusable = candidate;
        }
        path += part + (path[part] == ':');
    }
    if (rb_arena_failed(arena))
        return rb_error_set(err, RB_ENOMEM, "cannot search for %s: out of memory", name);
    if (unusable)
        return rb_error_set(err, RB_EPERM, "%s is not executable for this user", unusable);
    return rb_error_set(err, RB_ENOTFOUND, "%s is in no folder of PATH", name);
}

int environment_resolve(struct rb_arena *arena, const struct rb_platform *platform, const char *root, const char *name,
                        const char *const *envp, const char **out_path, struct rb_error *err)
{
    const char *found = NULL;
    if (!name || !name[0])
        return rb_error_set(err, RB_ENOTFOUND, "the program's name is empty");
    if (name[0] == '/')
        found = name;
    else if (strchr(name, '/'))
        found = rb_arena_printf(arena, "%s/%s", root, name);
    else {
        int rc = search(arena, name, value_of(envp, "PATH"), &found, err);
        if (rc < 0)
            return rc;
    }
    if (!found)
        return rb_error_set(err, RB_ENOMEM, "cannot start %s: out of memory", name);
    if (platform->is_dialog_shim && platform->is_dialog_shim(found))
        return rb_error_set(err, RB_EUNSUPPORTED, "%s would open a dialog; install the developer tools (xcode-select --install)", found);
    *out_path = found;
    return RB_OK;
}
