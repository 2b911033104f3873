/* The table of commands, made from commands.def, and the options that every command has. */
#include <stddef.h>

#include "cli.h"

#define RB_COMMAND(name) extern const struct rb_cli_command rb_cli_cmd_##name;
#include "commands.def"
#undef RB_COMMAND

const struct rb_cli_command *const rb_cli_commands[] = {
#define RB_COMMAND(name) &rb_cli_cmd_##name,
#include "commands.def"
#undef RB_COMMAND
    NULL,
};

const char *const rb_cli_shells[] = {"bash", "zsh", "fish", NULL};

#define ARG(member) offsetof(struct rb_cli_args, member)

const struct rb_cli_option rb_cli_global_options[] = {
    {"config", 'c', RB_CLI_TEXT, ARG(app.config), "FILE", "Use this configuration; naming it counts as trust.", NULL},
    {"root", 0, RB_CLI_TEXT, ARG(app.root), "DIR", "The tree that path checks work on.", NULL},
    {"state-dir", 0, RB_CLI_TEXT, ARG(app.state_dir), "DIR", "Where runbookd keeps its state: the only place it writes to.", NULL},
    {"json", 0, RB_CLI_FLAG, ARG(json), NULL, "Print JSON in the shape of the HTTP endpoint.", NULL},
    {"help", 'h', RB_CLI_FLAG, ARG(help), NULL, "Show help for the command.", NULL},
    {"version", 'V', RB_CLI_FLAG, ARG(version), NULL, "Show the version.", NULL},
    {NULL, 0, RB_CLI_FLAG, 0, NULL, NULL, NULL},
};
