/* version: one line. */
#include "cli.h"

static int run(const struct rb_cli *cli)
{
    if (cli->args->json)
        return rb_cli_write_json(json_pack("{s:s}", "version", RB_VERSION), RB_EXIT_OK);
    RB_BUF_AUTO text;
    rb_buf_init(&text, 256);
    rb_buf_adds(&text, "runbookd " RB_VERSION "\n");
    return rb_cli_write(&text, RB_EXIT_OK);
}

const struct rb_cli_command rb_cli_cmd_version = {.name = "version", .args = "", .doc = "Show the version.", .run = run};
