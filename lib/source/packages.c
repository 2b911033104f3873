/* Packages: which reader belongs to a place, and the list that all readers fill.
 *
 * A place is expanded below the root without leaving it through a symlink (source/files.h); names of files and folders decide the form, because a lock file that does not parse
 * must be an error and not "no packages". Everything read is hostile: bounded, and cut where it is too long. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "packages_internal.h"
#include "runbook/base/glob.h"
#include "runbook/platform/platform.h"

enum { MAX_PLACES = 64, MAX_FOLDER_ENTRIES = 20000, PATH_TEXT = 1024 };

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);
    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* ---- what the readers use ---- */

static bool grow(struct packages_reader *reader)
{
    struct rb_packages *out = reader->out;
    if (out->count < out->cap)
        return true;
    size_t cap = out->cap ? out->cap * 2 : 256;
    struct rb_package *bigger = rb_arena_array(reader->arena, cap, sizeof *bigger);
    if (!bigger)
        return false;
    if (out->count > 0)
        memcpy(bigger, out->items, out->count * sizeof *bigger);
    out->items = bigger;
    out->cap = cap;
    return true;
}

int packages_add(struct packages_reader *reader, const char *origin, struct packages_text name, struct packages_text version,
                 int64_t changed_wall_ns, struct rb_error *err)
{
    if (reader->out->count >= RB_PACKAGES_MAX)
        return rb_error_set(err, RB_ELIMIT, "more than %d packages: make a check of each place", RB_PACKAGES_MAX);
    size_t name_len = name.len < RB_PACKAGES_MAX_TEXT ? name.len : RB_PACKAGES_MAX_TEXT;
    size_t version_len = version.len < RB_PACKAGES_MAX_TEXT ? version.len : RB_PACKAGES_MAX_TEXT;
    struct rb_package package = {.origin = origin,
                                 .name = rb_arena_strndup(reader->arena, name.text, name_len),
                                 .version = rb_arena_strndup(reader->arena, version.text, version_len),
                                 .changed_wall_ns = changed_wall_ns};
    if (!package.name || !package.version || !grow(reader))
        return rb_error_set(err, RB_ENOMEM, "no memory for the list of packages");
    reader->out->items[reader->out->count++] = package;
    return 0;
}

/* `path` as a glob that names it alone. */
static void add_literal(struct rb_buf *out, const char *path)
{
    for (; *path; path++) {
        if (strchr("*?[]{}\\", *path))
            rb_buf_addc(out, '\\');
        rb_buf_addc(out, *path);
    }
}

int packages_list(struct packages_reader *reader, const char *folder, const char *pattern, struct rb_found_list *out, struct rb_error *err)
{
    RB_BUF_AUTO glob;
    rb_buf_init(&glob, PATH_TEXT);
    add_literal(&glob, folder);
    rb_buf_addf(&glob, "%s%s", ends_with(folder, "/") ? "" : "/", pattern);
    if (glob.failed)
        return rb_error_set(err, RB_ELIMIT, "the path %.80s… is too long", folder);
    return rb_files_expand(reader->request->root, rb_buf_str(&glob), MAX_FOLDER_ENTRIES, reader->request->cancelled, reader->arena, out,
                           err);
}

int packages_file(struct packages_reader *reader, const char *path, size_t max, struct rb_buf *out, struct rb_error *err)
{
    if (path[0] == '/')
        return rb_file_read(path, max, false, out, err);
    int root_fd = open(reader->request->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0)
        return rb_error_sys(err, errno, "cannot open %s", reader->request->root);
    int rc = rb_file_read_below(root_fd, path, max, out, err);
    close(root_fd);
    return rc;
}

/* ---- folders ---- */

/* ".venv/lib/python3.11/site-packages" is told as ".venv": a new minor version of Python is no new place. */
static const char *environment_of(struct rb_arena *arena, const char *folder)
{
    size_t len = strlen(folder);
    const char *tail = base_name(folder);
    if (tail == folder || (strcmp(tail, "site-packages") != 0 && strcmp(tail, "dist-packages") != 0))
        return folder;
    const char *python = tail - 1;
    while (python > folder && python[-1] != '/')
        python--;
    static const char lib[] = "/lib/";
    size_t above = (size_t)(python - folder);
    if (above <= sizeof lib - 1 || len <= above || strncmp(python - (sizeof lib - 1), lib, sizeof lib - 1) != 0)
        return folder;
    return rb_arena_strndup(arena, folder, above - (sizeof lib - 1));
}

static int read_infos(struct packages_reader *reader, const char *folder, size_t *out_count, struct rb_error *err)
{
    static const char *const patterns[] = {"*.dist-info", "*.egg-info"};
    const char *origin = environment_of(reader->arena, folder);
    int rc = origin ? 0 : rb_error_set(err, RB_ENOMEM, "no memory for the list of packages");
    *out_count = 0;
    for (size_t i = 0; rc == 0 && i < sizeof patterns / sizeof patterns[0]; i++) {
        struct rb_found_list found = {0};
        rc = packages_list(reader, folder, patterns[i], &found, err);
        *out_count += rc == 0 ? found.count : 0;
        for (size_t j = 0; rc == 0 && j < found.count; j++)
            rc = packages_python_installed(reader, origin, &found.items[j], err);
    }
    return rc;
}

static int read_environment(struct packages_reader *reader, const char *folder, struct rb_error *err)
{
    size_t infos = 0;
    struct rb_found_list inner = {0};
    int rc = read_infos(reader, folder, &infos, err);
    if (rc < 0 || infos > 0)
        return rc;
    rc = packages_list(reader, folder, "lib/*/{site,dist}-packages", &inner, err);
    for (size_t i = 0; rc == 0 && i < inner.count; i++)
        rc = read_infos(reader, inner.items[i].path, &infos, err);
    const char *name = base_name(folder);
    bool empty_place = strcmp(name, "site-packages") == 0 || strcmp(name, "dist-packages") == 0;
    if (rc == 0 && inner.count == 0 && !empty_place)
        return rb_error_set(err, RB_EUNSUPPORTED, "%s is no virtual environment, no site-packages and no Cellar", folder);
    return rc;
}

static int read_folder(struct packages_reader *reader, const char *folder, struct rb_error *err)
{
    if (strcmp(base_name(folder), "Cellar") == 0)
        return packages_cellar(reader, folder, folder, err);
    return read_environment(reader, folder, err);
}

/* ---- files ---- */

static int read_file(struct packages_reader *reader, const struct rb_found *found, struct rb_error *err)
{
    const char *name = base_name(found->path);
    if (ends_with(name, "package-lock.json") || strcmp(name, "npm-shrinkwrap.json") == 0)
        return packages_npm_lock(reader, found, err);
    if (ends_with(name, ".lock") || ends_with(name, ".toml"))
        return packages_toml_lock(reader, found, err);
    if (ends_with(name, ".txt") || ends_with(name, ".in"))
        return packages_requirements(reader, found, err);
    if (strcmp(name, "status") == 0)
        return packages_dpkg(reader, found->path, found, err);
    return rb_error_set(err, RB_EUNSUPPORTED,
                        "%s: not a known form; known are package-lock.json, *.lock in TOML, requirements*.txt, dpkg's status", found->path);
}

static int read_found(struct packages_reader *reader, const struct rb_found *found, struct rb_error *err)
{
    if (ends_with(found->path, ".dist-info") || ends_with(found->path, ".egg-info")) {
        const char *slash = strrchr(found->path, '/');
        char folder[PATH_TEXT];
        int len = snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - found->path) : 1, slash ? found->path : ".");
        const char *parent = len > 0 && (size_t)len < sizeof folder ? rb_arena_strdup(reader->arena, folder) : NULL;
        const char *origin = parent ? environment_of(reader->arena, parent) : NULL;
        return origin ? packages_python_installed(reader, origin, found, err)
                      : rb_error_set(err, RB_ELIMIT, "%s: path too long", found->path);
    }
    if ((found->mode & 0170000u) == 0040000u)
        return read_folder(reader, found->path, err);
    return read_file(reader, found, err);
}

/* ---- words ---- */

static int read_usual(struct packages_reader *reader, const char *word, const char *const *paths, struct rb_error *err)
{
    const char *prefix = reader->request->system_prefix ? reader->request->system_prefix : "";
    size_t seen = 0;
    for (; *paths; paths++) {
        RB_BUF_AUTO glob;
        struct rb_found_list found = {0};
        rb_buf_init(&glob, PATH_TEXT);
        add_literal(&glob, prefix);
        rb_buf_adds(&glob, *paths);
        int rc = rb_files_expand(reader->request->root, rb_buf_str(&glob), MAX_PLACES, reader->request->cancelled, reader->arena, &found,
                                 err);
        for (size_t i = 0; rc == 0 && i < found.count; i++, seen++)
            rc = strcmp(word, "dpkg") == 0 ? packages_dpkg(reader, word, &found.items[i], err)
                                           : packages_cellar(reader, word, found.items[i].path, err);
        if (rc < 0)
            return rc;
    }
    return seen > 0 ? 0 : rb_error_set(err, RB_ENOTFOUND, "%s is not used on this machine: none of its usual places exists", word);
}

static int read_place(struct packages_reader *reader, struct rb_error *err)
{
    static const char *const dpkg[] = {"/var/lib/dpkg/status", "/var/lib/dpkg/status.d/*", NULL};
    static const char *const brew[] = {"/opt/homebrew/Cellar", "/usr/local/Cellar", "/home/linuxbrew/.linuxbrew/Cellar", NULL};
    const char *place = reader->request->place;
    if (strcmp(place, "dpkg") == 0)
        return read_usual(reader, place, dpkg, err);
    if (strcmp(place, "brew") == 0)
        return read_usual(reader, place, brew, err);
    struct rb_found_list found = {0};
    int rc = rb_files_expand(reader->request->root, place, MAX_FOLDER_ENTRIES, reader->request->cancelled, reader->arena, &found, err);
    if (rc == 0 && found.count == 0)
        return rb_error_set(err, RB_ENOTFOUND, "%s: nothing is there", place);
    for (size_t i = 0; rc == 0 && i < found.count; i++)
        rc = read_found(reader, &found.items[i], err);
    return rc;
}

int rb_packages_read(const struct rb_packages_request *request, struct rb_arena *arena, struct rb_packages *out, struct rb_error *err)
{
    struct packages_reader reader = {.request = request, .arena = arena, .out = out};
    return read_place(&reader, err);
}
