/* Finding the configuration: a file by SPEC 4's order, or a discovered text that is loaded like any file. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app_internal.h"

/* The tree that discovery looks at: --root, else the git top of the working folder, else the working folder. */
static int discovery_root(const struct rb_app_options *options, const char *cwd, char *out, size_t out_size, struct rb_error *err)
{
    if (options->root != NULL) {
        char resolved[PATH_MAX];
        if (realpath(options->root, resolved) == NULL)
            return rb_error_set(err, RB_ENOTFOUND, "--root %s: no such folder", options->root);
        if ((size_t)snprintf(out, out_size, "%s", resolved) >= out_size)
            return rb_error_set(err, RB_ELIMIT, "--root: the path is too long");
        return 0;
    }
    if (!rb_git_top(cwd, out, out_size) && (size_t)snprintf(out, out_size, "%s", cwd) >= out_size)
        return rb_error_set(err, RB_ELIMIT, "the working folder's path is too long");
    return 0;
}

static int discover_text(const struct rb_app_options *options, const char *cwd, struct rb_arena *arena, struct rb_plan_request *request,
                         struct rb_error *err)
{
    char root[RB_PATH_MAX];
    int rc = discovery_root(options, cwd, root, sizeof root, err);
    if (rc < 0)
        return rc;
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_CONFIG_MAX_BYTES);
    const struct rb_discovery_request discovery = {.root = root, .platform = rb_platform_host(), .kinds = rb_kind_registry()};
    if ((rc = rb_discover(&discovery, &text, err)) < 0 || (rc = rb_buf_check(&text, "the discovered configuration", err)) < 0)
        return rc;
    request->config = NULL;
    request->text = rb_arena_strdup(arena, rb_buf_str(&text));
    request->root = rb_arena_strdup(arena, root);
    return request->text == NULL || request->root == NULL ? rb_error_set(err, RB_ENOMEM, "no memory for the discovered configuration") : 0;
}

int rb_app_load_plan(const struct rb_app_options *options, struct rb_arena *arena, struct rb_diags *diags, struct rb_plan **out,
                     struct rb_error *err)
{
    char cwd[RB_PATH_MAX];
    if (getcwd(cwd, sizeof cwd) == NULL)
        return rb_error_set(err, RB_ESYS, "the working folder is gone; cd to a folder that exists");
    struct rb_plan_request request = {
        .config = options->config, .root = options->root, .state_dir = options->state_dir, .cwd = cwd, .listen = options->listen};
    if (request.config == NULL && !options->discover) {
        const char *named = getenv("RUNBOOKD_CONFIG");
        if (named != NULL && named[0] != '\0')
            request.config = named;
    }
    if (!options->discover) {
        int rc = rb_plan_load(&request, rb_kind_registry(), diags, out, err);
        if (rc != RB_ENOTFOUND || request.config != NULL)
            return rc;
    }
    int rc = discover_text(options, cwd, arena, &request, err);
    return rc < 0 ? rc : rb_plan_load(&request, rb_kind_registry(), diags, out, err);
}
