/* Help for people, from the tables. */
#include <string.h>

#include "cli.h"
#include "runbook/base/text.h"

#define COLUMNS        90
#define COMMAND_COLUMN 14
#define OPTION_COLUMN  26

static void pad(struct rb_buf *out, size_t from, size_t to)
{
    for (; from < to; from++)
        rb_buf_addc(out, ' ');
}

void rb_cli_wrap(struct rb_buf *out, const char *text, size_t at, size_t indent, size_t columns)
{
    bool first = true;
    while (*text) {
        size_t word = strcspn(text, " \n");
        size_t width = rb_text_columns(text, word);
        if (!first && at + 1 + width > columns) {
            rb_buf_addc(out, '\n');
            pad(out, 0, indent);
            at = indent;
        } else if (!first) {
            rb_buf_addc(out, ' ');
            at++;
        }
        rb_buf_add(out, text, word);
        at += width;
        first = false;
        text += word;
        if (*text == '\n') {
            rb_buf_addc(out, '\n');
            pad(out, 0, indent);
            at = indent;
            first = true;
        }
        text += *text != '\0';
    }
    rb_buf_addc(out, '\n');
}

void rb_cli_option_usage(const struct rb_cli_option *option, struct rb_buf *out)
{
    if (option->letter)
        rb_buf_addf(out, "-%c, ", option->letter);
    rb_buf_addf(out, "--%s", option->name);
    if (option->type == RB_CLI_SECONDS)
        rb_buf_addf(out, " [%s]", option->argument);
    else if (option->argument)
        rb_buf_addf(out, " %s", option->argument);
}

static void add_options(const struct rb_cli_option *table, struct rb_buf *out)
{
    for (; table && table->name; table++) {
        size_t start = out->len;
        rb_buf_adds(out, table->letter ? "  " : "      ");
        rb_cli_option_usage(table, out);
        size_t at = out->len - start;
        if (at >= OPTION_COLUMN) {
            rb_buf_addc(out, '\n');
            at = 0;
        }
        pad(out, at, OPTION_COLUMN);
        rb_cli_wrap(out, table->doc, OPTION_COLUMN, OPTION_COLUMN, COLUMNS);
        if (!table->choices)
            continue;
        pad(out, 0, OPTION_COLUMN);
        rb_buf_adds(out, "One of:");
        for (const struct rb_choice *choice = table->choices; choice->name; choice++)
            rb_buf_addf(out, "%s %s", choice == table->choices ? "" : ",", choice->name);
        rb_buf_adds(out, ".\n");
    }
}

void rb_cli_help(struct rb_buf *out)
{
    rb_buf_adds(out, "runbookd checks a team's runbook all the time and tells cause from symptom.\n\n"
                     "Usage: runbookd COMMAND [OPTION…]\n\nCommands:\n");
    for (size_t i = 0; rb_cli_commands[i]; i++) {
        rb_buf_addf(out, "  %s", rb_cli_commands[i]->name);
        pad(out, 2 + strlen(rb_cli_commands[i]->name), COMMAND_COLUMN);
        rb_cli_wrap(out, rb_cli_commands[i]->doc, COMMAND_COLUMN, COMMAND_COLUMN, COLUMNS);
    }
    rb_buf_adds(out, "\nOptions of every command, before or after it:\n");
    add_options(rb_cli_global_options, out);
    rb_buf_adds(out, "\nFirst steps:  runbookd check     run every check once, here\n"
                     "              runbookd serve     keep checking; curl -s localhost:9112/triage\n"
                     "More:         runbookd help COMMAND, runbookd explain\n");
}

void rb_cli_help_command(const struct rb_cli_command *command, struct rb_buf *out)
{
    rb_buf_addf(out, "Usage: runbookd %s [OPTION…]%s%s\n\n", command->name, command->args[0] ? " " : "", command->args);
    rb_cli_wrap(out, command->doc, 0, 0, COLUMNS);
    if (command->details) {
        rb_buf_addc(out, '\n');
        rb_cli_wrap(out, command->details, 0, 0, COLUMNS);
    }
    if (command->options && command->options->name) {
        rb_buf_adds(out, "\nOptions:\n");
        add_options(command->options, out);
    }
    rb_buf_adds(out, "\nOptions of every command:\n");
    add_options(rb_cli_global_options, out);
}
