/* The files of a configuration: joined names, who may write them, and what an include pattern matches.
 *
 * A pattern is walked from its longest literal folder on and never deeper than it can match; entries are counted, so that an include of a huge
 * tree ends with an error instead of an endless walk. */
#include "loader.h"

#include <dirent.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runbook/base/glob.h"
#include "runbook/base/text.h"
#include "runbook/platform/platform.h"

#define MAX_ENTRIES 20000u /* looked at for one pattern */
#define MAX_DEPTH   16u

const char *rb_config_join(struct rb_arena *arena, const char *dir, const char *name)
{
    char expanded[4096];
    struct rb_error ignored;
    if (name[0] == '~' && rb_path_expand(name, expanded, sizeof expanded, &ignored) == 0)
        return rb_arena_strdup(arena, expanded);
    if (name[0] == '/' || dir == NULL || dir[0] == '\0' || strcmp(dir, ".") == 0)
        return rb_arena_strdup(arena, name);
    bool slash = dir[strlen(dir) - 1] == '/';
    return rb_arena_printf(arena, "%s%s%s", dir, slash ? "" : "/", name);
}

const char *rb_config_dirname(struct rb_arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return ".";
    if (slash == path)
        return "/";
    return rb_arena_strndup(arena, path, (size_t)(slash - path));
}

/* Many systems give each user a group of his own and a umask that lets it write: that is still only he. */
static bool is_private_group(uid_t owner, gid_t group)
{
    struct passwd user, *found_user = NULL;
    struct group members, *found_group = NULL;
    char user_text[4096], group_text[16384];
    if (getpwuid_r(owner, &user, user_text, sizeof user_text, &found_user) != 0 || found_user == NULL)
        return false;
    if (getgrgid_r(group, &members, group_text, sizeof group_text, &found_group) != 0 || found_group == NULL)
        return false;
    if (user.pw_gid != group || strcmp(user.pw_name, members.gr_name) != 0)
        return false;
    for (char **member = members.gr_mem; *member != NULL; member++)
        if (strcmp(*member, user.pw_name) != 0)
            return false;
    return true;
}

static bool is_written_by_others(const struct stat *st)
{
    if ((st->st_mode & S_IWOTH) != 0)
        return true;
    return (st->st_mode & S_IWGRP) != 0 && !is_private_group(st->st_uid, st->st_gid);
}

int rb_config_check_writers(struct rb_loader *loader, const char *path)
{
    struct stat st;
    struct rb_mark mark = {.file = path};
    RB_BUF_AUTO quoted;
    rb_buf_init(&quoted, 8192);
    if (!loader->options.check_permissions || stat(path, &st) != 0)
        return 0; /* reading it will say why it cannot be read */
    if (is_written_by_others(&st)) {
        const char *target = rb_text_shell_quote(&quoted, path) ? rb_buf_str(&quoted) : "FILE";
        return rb_diag_add(loader->diags, mark,
                           "others can write this file (mode %04o) and make runbookd start programs; run: chmod go-w %s",
                           (unsigned)(st.st_mode & 07777), target);
    }
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return rb_diag_add(loader->diags, mark, "the file belongs to user %u, not to you (%u) or root; copy it, or change its owner",
                           (unsigned)st.st_uid, (unsigned)geteuid());
    return 0;
}

struct walk {
    struct rb_arena *arena;
    const char *base;    /* folder on disk */
    const char *pattern; /* what is left of the include pattern, relative to base */
    const char *found[RB_CONFIG_MAX_FILES];
    size_t count;
    size_t entries;
};

static int walk_folder(struct walk *walk, const char *relative, unsigned depth, struct rb_error *err);

static int visit(struct walk *walk, const char *relative, unsigned depth, struct rb_error *err)
{
    struct stat st;
    const char *path = rb_config_join(walk->arena, walk->base, relative);
    if (path == NULL)
        return rb_error_set(err, RB_ENOMEM, "out of memory");
    if (lstat(path, &st) != 0)
        return 0; /* gone meanwhile */
    if (S_ISDIR(st.st_mode))
        return depth < MAX_DEPTH && rb_glob_may_match_below(walk->pattern, relative) ? walk_folder(walk, relative, depth + 1, err) : 0;
    if (!rb_glob_match(walk->pattern, relative))
        return 0;
    if (walk->count == RB_CONFIG_MAX_FILES)
        return rb_error_set(err, RB_ELIMIT, "the pattern matches more than %u files", RB_CONFIG_MAX_FILES);
    walk->found[walk->count++] = path;
    return 0;
}

static int walk_folder(struct walk *walk, const char *relative, unsigned depth, struct rb_error *err)
{
    const char *path = relative[0] == '\0' ? walk->base : rb_config_join(walk->arena, walk->base, relative);
    DIR *dir = path != NULL ? opendir(path) : NULL;
    if (dir == NULL)
        return 0; /* a glob may match nothing */
    int rc = 0;
    const struct dirent *entry;
    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (++walk->entries > MAX_ENTRIES) {
            rc = rb_error_set(err, RB_ELIMIT, "more than %u files had to be looked at; make the pattern narrower", MAX_ENTRIES);
            break;
        }
        const char *child = rb_config_join(walk->arena, relative, entry->d_name);
        rc = child != NULL ? visit(walk, child, depth, err) : rb_error_set(err, RB_ENOMEM, "out of memory");
    }
    closedir(dir);
    return rc;
}

static int compare_names(const void *a, const void *b)
{
    const char *const *x = a;
    const char *const *y = b;
    return strcmp(*x, *y);
}

/* Where the literal folders of a pattern end: "conf.d/x-*.yml" → 7. */
static size_t literal_prefix(const char *pattern)
{
    size_t meta = strcspn(pattern, "*?[{\\");
    while (meta > 0 && pattern[meta - 1] != '/')
        meta--;
    return meta;
}

int rb_config_glob(struct rb_arena *arena, const char *dir, const char *pattern, struct rb_strings *out, struct rb_error *err)
{
    size_t prefix = literal_prefix(pattern);
    const char *folder = prefix > 0 ? rb_arena_strndup(arena, pattern, prefix > 1 ? prefix - 1 : 1) : ".";
    struct walk walk = {.arena = arena, .pattern = pattern + prefix};
    walk.base = prefix > 0 && folder != NULL ? rb_config_join(arena, dir, folder) : dir;
    int rc = rb_glob_check(walk.pattern, err);
    if (rc == 0)
        rc = walk_folder(&walk, "", 0, err);
    if (rc < 0)
        return rc;
    qsort(walk.found, walk.count, sizeof walk.found[0], compare_names);
    const char **items = rb_arena_array(arena, walk.count + 1, sizeof *items);
    if (items == NULL)
        return rb_error_set(err, RB_ENOMEM, "out of memory");
    if (walk.count > 0)
        memcpy(items, walk.found, walk.count * sizeof *items);
    *out = (struct rb_strings){.items = walk.count > 0 ? items : NULL, .count = walk.count};
    return 0;
}
