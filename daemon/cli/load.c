/* Loading the configuration for a command, with its errors told once and in one way. */
#include "cli.h"

int rb_cli_code_of(const struct rb_error *err)
{
    switch (err->code) {
    case RB_ECONFIG:
    case RB_EPARSE:
    case RB_ENOTFOUND:
    case RB_EPERM:
        return RB_EXIT_CONFIG;
    default:
        return RB_EXIT_CANNOT;
    }
}

struct rb_cli_loaded *rb_cli_load(const struct rb_cli *cli)
{
    struct rb_cli_loaded *loaded = rb_arena_alloc(cli->arena, sizeof *loaded);
    if (!loaded) {
        rb_cli_error("out of memory");
        return NULL;
    }
    rb_diags_init(&loaded->diags, cli->arena);
    int rc = rb_app_load_plan(&cli->args->app, cli->arena, &loaded->diags, &loaded->plan, &loaded->err);
    if (rc < 0) {
        loaded->plan = NULL;
        loaded->code = loaded->diags.count > 0 ? RB_EXIT_CONFIG : rb_cli_code_of(&loaded->err);
    }
    return loaded;
}

int rb_cli_load_failed(const struct rb_cli_loaded *loaded)
{
    if (loaded->diags.count == 0) {
        rb_cli_error("%s", loaded->err.message);
        return loaded->code;
    }
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_RENDER_MAX);
    rb_diags_print(&loaded->diags, &text);
    (void)fwrite(rb_buf_str(&text), 1, text.len, stderr);
    return loaded->code;
}
