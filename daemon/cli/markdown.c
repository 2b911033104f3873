/* docs/reference.md, from the tables of commands, options, kinds and metrics. A test compares the file with what this prints. */
#include "cli.h"

static void add_block(struct rb_buf *out, const struct rb_buf *text)
{
    rb_buf_adds(out, "```text\n");
    rb_buf_add(out, rb_buf_str(text), text->len);
    if (text->len > 0 && rb_buf_str(text)[text->len - 1] != '\n')
        rb_buf_addc(out, '\n');
    rb_buf_adds(out, "```\n\n");
}

static void add_commands(struct rb_buf *out)
{
    for (size_t i = 0; rb_cli_commands[i]; i++) {
        RB_BUF_AUTO text;
        rb_buf_init(&text, RB_RENDER_MAX);
        rb_cli_help_command(rb_cli_commands[i], &text);
        rb_buf_addf(out, "### runbookd %s\n\n", rb_cli_commands[i]->name);
        add_block(out, &text);
    }
}

static void add_explained(struct rb_buf *out, const char *name)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_RENDER_MAX);
    if (rb_cli_explain(name, &text))
        add_block(out, &text);
}

static void add_kinds(struct rb_buf *out)
{
    const struct rb_kind_list *kinds = rb_kind_registry();
    for (size_t i = 0; i < kinds->count; i++) {
        rb_buf_addf(out, "### %s\n\n", kinds->items[i]->schema.name);
        add_explained(out, kinds->items[i]->schema.name);
    }
}

void rb_cli_markdown(struct rb_buf *out)
{
    rb_buf_adds(out, "# Reference\n\nMade by `runbookd explain --markdown > docs/reference.md`; do not edit.\n\n## Commands\n\n");
    add_commands(out);
    rb_buf_adds(out, "## Configuration: `daemon`\n\n");
    add_explained(out, "daemon");
    rb_buf_adds(out, "## Configuration: options of every check\n\n");
    add_explained(out, "check");
    rb_buf_adds(out, "## Configuration: check kinds\n\n");
    add_kinds(out);
    rb_buf_adds(out, "## Metrics\n\nKinds add their own, listed with each kind above.\n\n");
    rb_render_metrics_reference(out);
}
