/* explain --graph: one round of checks here and now, and what their facts say of who depends on whom. */
#include <stdlib.h>

#include "cli.h"
#include "client.h"

#define DEADLINE_MS 10000

static int print(const struct rb_cli *cli, const struct rb_app_result *result)
{
    struct rb_view view = rb_view_of(result->snapshot, rb_platform_host()->clock);
    struct rb_edges edges;
    struct rb_error err = {0};
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_RENDER_MAX);
    enum rb_graph_format format = cli->args->json ? RB_GRAPH_JSON : (enum rb_graph_format)cli->args->format;
    if (rb_graph_edges(&view, cli->arena, &edges, &err) < 0 || rb_render_graph(&view, &edges, format, &text, &err) < 0) {
        rb_cli_error("%s", err.message);
        return RB_EXIT_CANNOT;
    }
    return rb_cli_write(&text, RB_EXIT_OK);
}

int rb_cli_graph(const struct rb_cli *cli)
{
    struct rb_cli_loaded *loaded = rb_arena_alloc(cli->arena, sizeof *loaded);
    if (!loaded) {
        rb_cli_error("out of memory");
        return RB_EXIT_CANNOT;
    }
    rb_diags_init(&loaded->diags, cli->arena);
    struct rb_app_check request = {.options = &cli->args->app, .phase = -1, .deadline_ms = DEADLINE_MS};
    struct rb_app_result result = {0};
    if (rb_app_check(&request, cli->arena, &loaded->diags, &result, &loaded->err) < 0) {
        loaded->code = loaded->diags.count > 0 ? RB_EXIT_CONFIG : rb_cli_code_of(&loaded->err);
        return rb_cli_load_failed(loaded);
    }
    int code = print(cli, &result);
    rb_snapshot_unref(result.snapshot);
    free(result.chosen);
    return code;
}
