/* completion: scripts for bash, zsh and fish, generated from the tables. Names in the tables are plain ASCII words, so nothing needs quoting but the docs. */
#include <string.h>

#include "cli.h"
#include "runbook/base/text.h"

/* ---- what can stand where ---- */

static void add_words(struct rb_buf *out, enum rb_cli_words words)
{
    const struct rb_kind_list *kinds = rb_kind_registry();
    switch (words) {
    case RB_CLI_WORDS_NONE:
    case RB_CLI_WORDS_FILES: /* the shell knows them itself */
        break;
    case RB_CLI_WORDS_KINDS:
        for (size_t i = 0; i < kinds->count; i++)
            rb_buf_addf(out, "%s%s", i > 0 ? " " : "", kinds->items[i]->schema.name);
        break;
    case RB_CLI_WORDS_COMMANDS:
        for (size_t i = 0; rb_cli_commands[i]; i++)
            rb_buf_addf(out, "%s%s", i > 0 ? " " : "", rb_cli_commands[i]->name);
        break;
    case RB_CLI_WORDS_SHELLS:
        for (size_t i = 0; rb_cli_shells[i]; i++)
            rb_buf_addf(out, "%s%s", i > 0 ? " " : "", rb_cli_shells[i]);
        break;
    }
}

static void add_choices(struct rb_buf *out, const struct rb_choice *choices)
{
    for (const struct rb_choice *choice = choices; choice && choice->name; choice++)
        rb_buf_addf(out, "%s%s", choice == choices ? "" : " ", choice->name);
}

static void add_option_words(struct rb_buf *out, const struct rb_cli_option *table)
{
    for (; table && table->name; table++)
        rb_buf_addf(out, " --%s", table->name);
}

static bool wants_file(const struct rb_cli_option *option)
{
    return option->argument && (strcmp(option->argument, "FILE") == 0 || strcmp(option->argument, "DIR") == 0);
}

/* In single quotes, for any of the shells; only our own table texts come here. */
static void add_quoted(struct rb_buf *out, const char *text)
{
    rb_buf_addc(out, '\'');
    for (; *text; text++) {
        if (*text == '\'')
            rb_buf_adds(out, "'\\''");
        else
            rb_buf_addc(out, *text);
    }
    rb_buf_addc(out, '\'');
}

/* ---- bash ---- */

static void bash_values(struct rb_buf *out, const struct rb_cli_option *table)
{
    for (; table && table->name; table++) {
        if (!table->choices && !wants_file(table))
            continue;
        rb_buf_addf(out, "    --%s", table->name);
        if (table->letter)
            rb_buf_addf(out, "|-%c", table->letter);
        if (table->choices) {
            rb_buf_adds(out, ") COMPREPLY=($(compgen -W \"");
            add_choices(out, table->choices);
            rb_buf_adds(out, "\" -- \"$cur\")); return ;;\n");
        } else {
            rb_buf_addf(out, ") COMPREPLY=($(compgen -%c -- \"$cur\")); return ;;\n", strcmp(table->argument, "DIR") == 0 ? 'd' : 'f');
        }
    }
}

static void bash(struct rb_buf *out)
{
    rb_buf_adds(out,
                "# bash completion for runbookd; load with: source <(runbookd completion bash)\n"
                "_runbookd()\n{\n    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} cmd= words= i\n    COMPREPLY=()\n"
                "    for ((i = 1; i < COMP_CWORD; i++)); do\n        case ${COMP_WORDS[i]} in\n        ");
    for (size_t i = 0; rb_cli_commands[i]; i++)
        rb_buf_addf(out, "%s%s", i > 0 ? "|" : "", rb_cli_commands[i]->name);
    rb_buf_adds(out, ") cmd=${COMP_WORDS[i]}; break ;;\n        esac\n    done\n    case $prev in\n");
    bash_values(out, rb_cli_global_options);
    for (size_t i = 0; rb_cli_commands[i]; i++)
        bash_values(out, rb_cli_commands[i]->options);
    rb_buf_adds(out, "    esac\n    case $cmd in\n    '') words=\"");
    add_words(out, RB_CLI_WORDS_COMMANDS);
    rb_buf_adds(out, "\" ;;\n");
    for (size_t i = 0; rb_cli_commands[i]; i++) {
        rb_buf_addf(out, "    %s) words=\"", rb_cli_commands[i]->name);
        add_words(out, rb_cli_commands[i]->words);
        add_option_words(out, rb_cli_commands[i]->options);
        rb_buf_adds(out, "\" ;;\n");
    }
    rb_buf_adds(out, "    esac\n    case $cmd in\n    ''");
    for (size_t i = 0; rb_cli_commands[i]; i++)
        if (rb_cli_commands[i]->words == RB_CLI_WORDS_FILES)
            rb_buf_addf(out, "|%s", rb_cli_commands[i]->name);
    rb_buf_adds(out, ") [[ $cmd && $cur != -* ]] && { COMPREPLY=($(compgen -f -- \"$cur\")); return; } ;;\n");
    rb_buf_adds(out, "    esac\n    COMPREPLY=($(compgen -W \"$words");
    add_option_words(out, rb_cli_global_options);
    rb_buf_adds(out, "\" -- \"$cur\"))\n}\ncomplete -F _runbookd runbookd\n");
}

/* ---- zsh ---- */

/* One _arguments specification: '--name[doc]:ARG:(choices)'. */
static void zsh_options(struct rb_buf *out, const struct rb_cli_option *table)
{
    for (; table && table->name; table++) {
        RB_BUF_AUTO spec;
        rb_buf_init(&spec, 1024);
        rb_buf_addf(&spec, "%s--%s%s[", table->type == RB_CLI_LIST ? "*" : "", table->name,
                    table->argument && table->type != RB_CLI_SECONDS ? "=" : "");
        for (const char *c = table->doc; *c; c++)
            rb_buf_addf(&spec, strchr("[]:\\", *c) ? "\\%c" : "%c", *c);
        rb_buf_addc(&spec, ']');
        if (table->choices) {
            rb_buf_addf(&spec, ":%s:(", table->argument);
            add_choices(&spec, table->choices);
            rb_buf_addc(&spec, ')');
        } else if (table->argument && table->type != RB_CLI_SECONDS) {
            rb_buf_addf(&spec, ":%s:%s", table->argument, wants_file(table) ? "_files" : "");
        }
        rb_buf_adds(out, " \\\n            ");
        add_quoted(out, rb_buf_str(&spec));
    }
}

static void zsh(struct rb_buf *out)
{
    rb_buf_adds(out, "#compdef runbookd\n# zsh completion for runbookd; load with: source <(runbookd completion zsh)\n_runbookd()\n{\n    "
                     "local -a commands\n"
                     "    local cmd=${words[(r)(");
    for (size_t i = 0; rb_cli_commands[i]; i++)
        rb_buf_addf(out, "%s%s", i > 0 ? "|" : "", rb_cli_commands[i]->name);
    rb_buf_adds(out, ")]}\n    commands=(\n");
    for (size_t i = 0; rb_cli_commands[i]; i++) {
        RB_BUF_AUTO row;
        rb_buf_init(&row, 1024);
        rb_buf_addf(&row, "%s:%s", rb_cli_commands[i]->name, rb_cli_commands[i]->doc);
        rb_buf_adds(out, "        ");
        add_quoted(out, rb_buf_str(&row));
        rb_buf_addc(out, '\n');
    }
    rb_buf_adds(out, "    )\n    case $cmd in\n");
    for (size_t i = 0; rb_cli_commands[i]; i++) {
        rb_buf_addf(out, "        %s) _arguments '1: :' ", rb_cli_commands[i]->name);
        if (rb_cli_commands[i]->words == RB_CLI_WORDS_FILES) {
            rb_buf_adds(out, "'*: :_files'");
        } else if (rb_cli_commands[i]->words != RB_CLI_WORDS_NONE) {
            rb_buf_adds(out, "'*: :(");
            add_words(out, rb_cli_commands[i]->words);
            rb_buf_adds(out, ")'");
        } else {
            rb_buf_adds(out, "'*: :'");
        }
        zsh_options(out, rb_cli_commands[i]->options);
        zsh_options(out, rb_cli_global_options);
        rb_buf_adds(out, " ;;\n");
    }
    rb_buf_adds(out, "        *) _describe command commands ;;\n    esac\n}\ncompdef _runbookd runbookd\n");
}

/* ---- fish ---- */

static void fish_options(struct rb_buf *out, const struct rb_cli_option *table, const char *condition)
{
    for (; table && table->name; table++) {
        rb_buf_addf(out, "complete -c runbookd %s -l %s", condition, table->name);
        if (table->letter)
            rb_buf_addf(out, " -s %c", table->letter);
        if (table->choices) {
            rb_buf_adds(out, " -x -a '");
            add_choices(out, table->choices);
            rb_buf_addc(out, '\'');
        } else if (wants_file(table)) {
            rb_buf_adds(out, " -r -F");
        } else if (table->argument && table->type != RB_CLI_SECONDS) {
            rb_buf_adds(out, " -x");
        }
        rb_buf_adds(out, " -d ");
        add_quoted(out, table->doc);
        rb_buf_addc(out, '\n');
    }
}

static void fish(struct rb_buf *out)
{
    rb_buf_adds(out, "# fish completion for runbookd; load with: runbookd completion fish | source\ncomplete -c runbookd -f\n");
    fish_options(out, rb_cli_global_options, "");
    for (size_t i = 0; rb_cli_commands[i]; i++) {
        const struct rb_cli_command *command = rb_cli_commands[i];
        rb_buf_addf(out, "complete -c runbookd -n __fish_use_subcommand -a %s -d ", command->name);
        add_quoted(out, command->doc);
        rb_buf_addc(out, '\n');
        RB_BUF_AUTO condition;
        rb_buf_init(&condition, 256);
        rb_buf_addf(&condition, "-n '__fish_seen_subcommand_from %s'", command->name);
        if (command->words == RB_CLI_WORDS_FILES) {
            rb_buf_addf(out, "complete -c runbookd %s -F\n", rb_buf_str(&condition));
        } else if (command->words != RB_CLI_WORDS_NONE) {
            rb_buf_addf(out, "complete -c runbookd %s -a '", rb_buf_str(&condition));
            add_words(out, command->words);
            rb_buf_adds(out, "'\n");
        }
        fish_options(out, command->options, rb_buf_str(&condition));
    }
}

static int run(const struct rb_cli *cli)
{
    const char *shell = cli->args->words.count > 0 ? cli->args->words.items[0] : "";
    RB_BUF_AUTO text;
    rb_buf_init(&text, 1 << 20);
    if (strcmp(shell, "bash") == 0) {
        bash(&text);
    } else if (strcmp(shell, "zsh") == 0) {
        zsh(&text);
    } else if (strcmp(shell, "fish") == 0) {
        fish(&text);
    } else {
        rb_cli_error("completion: which shell? bash, zsh or fish");
        return RB_EXIT_USAGE;
    }
    return rb_cli_write(&text, RB_EXIT_OK);
}

const struct rb_cli_command rb_cli_cmd_completion = {
    .name = "completion",
    .args = "SHELL",
    .doc = "Print completions for bash, zsh or fish.",
    .max_words = 1,
    .words = RB_CLI_WORDS_SHELLS,
    .run = run,
};
