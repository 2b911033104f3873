/* Places: the configuration file, the root, the state folder, the listeners. Every rule of precedence stands here, each in one function. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader.h"
#include "plan_internal.h"
#include "runbook/platform/platform.h"

#define PATH_SIZE 4096u

static int copy_path(char *out, size_t out_size, const char *dir, const char *name, struct rb_error *err)
{
    int len = snprintf(out, out_size, "%s/%s", dir, name);
    return len > 0 && (size_t)len < out_size ? 0 : rb_error_set(err, RB_ELIMIT, "the path below %.100s is too long", dir);
}

/* Where $XDG_CONFIG_HOME points; an empty or relative one is ignored, as the XDG base directory specification wants. */
static int user_config_path(char *out, size_t out_size, struct rb_error *err)
{
    const char *xdg = getenv("XDG_CONFIG_HOME");
    char home[PATH_SIZE];
    if (xdg != NULL && xdg[0] == '/')
        return copy_path(out, out_size, xdg, "runbookd/runbookd.yml", err);
    int rc = rb_home_dir(home, sizeof home, err);
    return rc < 0 ? rc : copy_path(out, out_size, home, ".config/runbookd/runbookd.yml", err);
}

/* $RUNBOOKD_CONFIG, ./runbookd.yml, $XDG_CONFIG_HOME/runbookd/runbookd.yml, /etc/runbookd/runbookd.yml; --config never gets here. A file that is named but
 * missing is found, so that loading it says what is wrong; the others must exist. */
int rb_config_find(const char *cwd, char *out, size_t out_size, bool *out_found_here, struct rb_error *err)
{
    const char *named = getenv("RUNBOOKD_CONFIG");
    char path[PATH_SIZE];
    struct rb_error ignored;
    *out_found_here = false;
    if (named != NULL && named[0] != '\0')
        return named[0] == '/' ? copy_path(out, out_size, "", named + 1, err) : copy_path(out, out_size, cwd, named, err);
    if (copy_path(path, sizeof path, cwd, "runbookd.yml", &ignored) == 0 && access(path, F_OK) == 0) {
        *out_found_here = true;
        return copy_path(out, out_size, cwd, "runbookd.yml", err);
    }
    if (user_config_path(path, sizeof path, &ignored) == 0 && access(path, F_OK) == 0)
        return user_config_path(out, out_size, err);
    if (access("/etc/runbookd/runbookd.yml", F_OK) == 0)
        return copy_path(out, out_size, "/etc/runbookd", "runbookd.yml", err);
    return rb_error_set(err, RB_ENOTFOUND,
                        "no configuration found: no ./runbookd.yml, none in the user's configuration folder or /etc/runbookd; "
                        "name one with --config, or write one with `runbookd init`");
}

bool rb_git_top(const char *dir, char *out, size_t out_size)
{
    char resolved[PATH_MAX];
    char probe[PATH_MAX + 8];
    struct rb_error ignored;
    if (realpath(dir, resolved) == NULL)
        return false;
    for (;;) {
        if (copy_path(probe, sizeof probe, resolved, ".git", &ignored) == 0 && access(probe, F_OK) == 0) {
            size_t len = strlen(resolved);
            if (len >= out_size)
                return false;
            memcpy(out, resolved, len + 1);
            return true;
        }
        char *slash = strrchr(resolved, '/');
        if (slash == NULL || slash == resolved)
            return false;
        *slash = '\0';
    }
}

/* An example of this source tree describes the reader's tree, not ours: examples/ beside lib/kinds/kinds.def. */
static bool is_shipped_example(const char *dir)
{
    char resolved[PATH_MAX];
    char probe[PATH_MAX + 32];
    struct rb_error ignored;
    if (realpath(dir, resolved) == NULL)
        return false;
    char *slash = strrchr(resolved, '/');
    if (slash == NULL || strcmp(slash, "/examples") != 0)
        return false;
    *slash = '\0';
    return copy_path(probe, sizeof probe, resolved, "lib/kinds/kinds.def", &ignored) == 0 && access(probe, F_OK) == 0;
}

/* --root, then daemon.root (from the configuration's folder), then the git top of the configuration's folder, then that of the working folder, then the working
 * folder itself. A configuration outside of any git tree (/etc, ~/.config) and a shipped example thus mean the tree one stands in. */
static const char *choose_root(struct rb_plan_builder *builder, const char *cwd)
{
    struct rb_arena *arena = builder->plan->arena;
    char top[PATH_MAX];
    if (builder->request->root != NULL)
        return rb_config_join(arena, cwd, builder->request->root);
    if (builder->plan->daemon.root != NULL)
        return rb_config_join(arena, builder->dir, builder->plan->daemon.root);
    if (!is_shipped_example(builder->dir) && rb_git_top(builder->dir, top, sizeof top))
        return rb_arena_strdup(arena, top);
    if (rb_git_top(cwd, top, sizeof top))
        return rb_arena_strdup(arena, top);
    return cwd;
}

static int resolve_root(struct rb_plan_builder *builder, const char *cwd)
{
    const char *chosen = choose_root(builder, cwd);
    const struct rb_node *daemon = rb_node_get(builder->root, "daemon");
    struct rb_mark mark = rb_plan_mark(builder, daemon, "root");
    if (builder->request->root != NULL)
        mark = (struct rb_mark){.file = "--root"};
    char resolved[PATH_MAX];
    struct stat st;
    if (chosen == NULL)
        return RB_ENOMEM;
    if (realpath(chosen, resolved) == NULL || stat(resolved, &st) != 0)
        return rb_diag_add(builder->diags, mark, "root %s: %s", chosen, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return rb_diag_add(builder->diags, mark, "root %s is not a folder", chosen);
    builder->plan->daemon.root = rb_arena_strdup(builder->plan->arena, resolved);
    return builder->plan->daemon.root != NULL ? 0 : RB_ENOMEM;
}

int rb_state_dir_default(char *out, size_t out_size, struct rb_error *err)
{
    char home[PATH_SIZE];
    int rc = rb_home_dir(home, sizeof home, err);
    return rc < 0 ? rc : copy_path(out, out_size, home, ".local/state/runbookd", err);
}

/* $STATE_DIRECTORY (systemd; the first of a colon-separated list), --state-dir, `from_file`, ~/.local/state/runbookd. */
static const char *choose_state_dir(struct rb_plan_builder *builder, const char *cwd, const char *from_file, struct rb_error *err)
{
    struct rb_arena *arena = builder->plan->arena;
    const char *given = getenv("STATE_DIRECTORY");
    char fallback[PATH_SIZE];
    if (given != NULL && given[0] == '/')
        return rb_arena_strndup(arena, given, strcspn(given, ":"));
    if (builder->request->state_dir != NULL)
        return rb_config_join(arena, cwd, builder->request->state_dir);
    if (from_file != NULL)
        return rb_config_join(arena, builder->dir, from_file);
    return rb_state_dir_default(fallback, sizeof fallback, err) == 0 ? rb_arena_strdup(arena, fallback) : NULL;
}

/* The trust record is looked for where the file that asks to be trusted has no say. */
static int resolve_state_dir(struct rb_plan_builder *builder, const char *cwd)
{
    struct rb_error err = {0};
    struct rb_plan *plan = builder->plan;
    struct rb_mark mark = rb_plan_mark(builder, rb_node_get(builder->root, "daemon"), "state_dir");
    plan->daemon.state_dir = choose_state_dir(builder, cwd, plan->daemon.state_dir, &err);
    if (plan->daemon.state_dir == NULL)
        return rb_diag_add(builder->diags, mark, "no state folder: %s; name one with --state-dir", err.message);
    plan->trust_dir = choose_state_dir(builder, cwd, NULL, &err);
    if (plan->trust_dir == NULL)
        plan->trust_dir = plan->daemon.state_dir;
    return 0;
}

/* "localhost:P" means both loopback addresses, as it does to curl. */
static int expand_listen(struct rb_plan_builder *builder, const struct rb_strings *given, struct rb_strings *out)
{
    struct rb_arena *arena = builder->plan->arena;
    const char **items = rb_arena_array(arena, given->count * 2 + 1, sizeof *items);
    size_t count = 0;
    if (items == NULL)
        return RB_ENOMEM;
    for (size_t i = 0; i < given->count; i++) {
        if (strncmp(given->items[i], "localhost:", 10) == 0) {
            items[count++] = rb_arena_printf(arena, "127.0.0.1:%s", given->items[i] + 10);
            items[count++] = rb_arena_printf(arena, "[::1]:%s", given->items[i] + 10);
        } else {
            items[count++] = rb_arena_strdup(arena, given->items[i]);
        }
    }
    *out = (struct rb_strings){.items = count > 0 ? items : NULL, .count = count};
    return 0;
}

/* --listen replaces the file's list. */
static int resolve_listen(struct rb_plan_builder *builder)
{
    const struct rb_strings *given = builder->request->listen.count > 0 ? &builder->request->listen : &builder->plan->daemon.listen;
    struct rb_error err;
    int rc = 0;
    for (size_t i = 0; given == &builder->request->listen && i < given->count; i++)
        if (rb_listen_check(given->items[i], &err) < 0)
            rc = rb_diag_add(builder->diags, (struct rb_mark){.file = "--listen"}, "%s", err.message);
    return rc < 0 ? rc : expand_listen(builder, given, &builder->plan->daemon.listen);
}

int rb_plan_resolve_places(struct rb_plan_builder *builder)
{
    int rc = resolve_root(builder, builder->cwd);
    int state = resolve_state_dir(builder, builder->cwd);
    int listen = resolve_listen(builder);
    return rc < 0 ? rc : state < 0 ? state : listen;
}
