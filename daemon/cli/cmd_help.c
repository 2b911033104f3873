/* help: how to use a command. */
#include "cli.h"
#include "runbook/base/text.h"

static int unknown(const char *name)
{
    const char *names[64];
    size_t count = 0;
    for (; count < 63 && rb_cli_commands[count]; count++)
        names[count] = rb_cli_commands[count]->name;
    names[count] = NULL;
    const char *near = rb_text_nearest(name, names);
    if (near)
        rb_cli_error("unknown command `%s`; did you mean `%s`?", name, near);
    else
        rb_cli_error("unknown command `%s`; `runbookd help` lists them", name);
    return RB_EXIT_USAGE;
}

static int run(const struct rb_cli *cli)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, 65536);
    if (cli->args->words.count > 0) {
        const struct rb_cli_command *command = rb_cli_find(cli->args->words.items[0]);
        if (!command)
            return unknown(cli->args->words.items[0]);
        rb_cli_help_command(command, &text);
    } else {
        rb_cli_help(&text);
    }
    return rb_cli_write(&text, RB_EXIT_OK);
}

const struct rb_cli_command rb_cli_cmd_help = {
    .name = "help",
    .args = "[COMMAND]",
    .doc = "Show help, of everything or of one command.",
    .max_words = 1,
    .words = RB_CLI_WORDS_COMMANDS,
    .run = run,
};
