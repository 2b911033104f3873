/* schema: JSON Schema of the configuration, for editors. */
#include "cli.h"

static int run(const struct rb_cli *cli RB_UNUSED)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_RENDER_MAX);
    struct rb_error err = {0};
    if (rb_schema_json(rb_kind_registry(), &text, &err) < 0) {
        rb_cli_error("%s", err.message);
        return RB_EXIT_CANNOT;
    }
    if (text.len > 0 && rb_buf_str(&text)[text.len - 1] != '\n')
        rb_buf_addc(&text, '\n');
    return rb_cli_write(&text, RB_EXIT_OK);
}

const struct rb_cli_command rb_cli_cmd_schema = {
    .name = "schema",
    .args = "",
    .doc = "Print the JSON Schema of the configuration, for editors.",
    .details = "In an editor with the YAML language server, begin the file with:\n# yaml-language-server: $schema=runbookd.schema.json",
    .run = run,
};
