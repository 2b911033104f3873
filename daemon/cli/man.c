/* runbookd(1) in roff (man macros), from the tables of commands and options. Everything that roff would read as a request is escaped. */
#include <string.h>

#include "cli.h"

/* One character beyond ASCII as \[uXXXX], because roff reads bytes; returns how many bytes follow its first. The texts are our own and valid UTF-8. */
static size_t add_wide(struct rb_buf *out, const char *text)
{
    unsigned char first = (unsigned char)text[0];
    size_t more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
    unsigned point = first & (0x3Fu >> more);
    for (size_t i = 1; i <= more; i++)
        point = point << 6 | ((unsigned char)text[i] & 0x3Fu);
    rb_buf_addf(out, "\\[u%04X]", point);
    return more;
}

/* Text with '-', '\\' and a leading '.' or '\'' made harmless (groff_char(7)); a line break becomes a request of its own. */
static void add_text(struct rb_buf *out, const char *text)
{
    bool line_start = out->len == 0 || rb_buf_str(out)[out->len - 1] == '\n';
    for (; *text; text++) {
        if (line_start && (*text == '.' || *text == '\''))
            rb_buf_adds(out, "\\&");
        line_start = *text == '\n';
        if (*text == '\\')
            rb_buf_adds(out, "\\e");
        else if (*text == '-')
            rb_buf_adds(out, "\\-");
        else if (*text == '\n')
            rb_buf_adds(out, "\n.br\n");
        else if ((unsigned char)*text >= 0x80)
            text += add_wide(out, text);
        else
            rb_buf_addc(out, *text);
    }
}

static void add_line(struct rb_buf *out, const char *request, const char *text)
{
    rb_buf_adds(out, request);
    add_text(out, text);
    rb_buf_addc(out, '\n');
}

static void add_options(struct rb_buf *out, const struct rb_cli_option *table)
{
    for (; table && table->name; table++) {
        RB_BUF_AUTO usage;
        rb_buf_init(&usage, 256);
        rb_cli_option_usage(table, &usage);
        rb_buf_adds(out, ".TP\n");
        rb_buf_adds(out, ".B ");
        add_text(out, rb_buf_str(&usage));
        rb_buf_addc(out, '\n');
        add_line(out, "", table->doc);
        if (!table->choices)
            continue;
        rb_buf_adds(out, "One of:");
        for (const struct rb_choice *choice = table->choices; choice->name; choice++) {
            rb_buf_adds(out, choice == table->choices ? " " : ", ");
            add_text(out, choice->name);
        }
        rb_buf_adds(out, ".\n");
    }
}

static void add_command(struct rb_buf *out, const struct rb_cli_command *command)
{
    rb_buf_adds(out, ".SS \"");
    add_text(out, command->name);
    rb_buf_adds(out, command->args[0] ? " " : "");
    add_text(out, command->args);
    rb_buf_adds(out, "\"\n");
    add_line(out, "", command->doc);
    if (command->details)
        add_line(out, "", command->details);
    add_options(out, command->options);
}

static void add_kinds(struct rb_buf *out)
{
    const struct rb_kind_list *kinds = rb_kind_registry();
    rb_buf_adds(out, ".SH CHECK KINDS\n");
    for (size_t i = 0; i < kinds->count; i++) {
        rb_buf_adds(out, ".TP\n");
        add_line(out, ".B ", kinds->items[i]->schema.name);
        add_line(out, "", kinds->items[i]->schema.doc);
    }
    rb_buf_adds(out, ".PP\nTheir options: runbookd explain KIND\n");
}

void rb_cli_man(struct rb_buf *out)
{
    rb_buf_adds(out, ".TH RUNBOOKD 1 \"\" \"runbookd " RB_VERSION "\" \"User Commands\"\n"
                     ".SH NAME\nrunbookd \\- check a team's runbook all the time and tell cause from symptom\n"
                     ".SH SYNOPSIS\n.B runbookd\n.I COMMAND\n[\\fIOPTION\\fR...]\n"
                     ".SH DESCRIPTION\nrunbookd turns a runbook into one long\\-running local daemon: it runs the checks all the time, "
                     "remembers what was accepted as\n"
                     "normal, exports everything to Prometheus and answers a triage with a ranked diagnosis. It changes nothing but its "
                     "own state folder.\n"
                     ".SH COMMANDS\n");
    for (size_t i = 0; rb_cli_commands[i]; i++)
        add_command(out, rb_cli_commands[i]);
    rb_buf_adds(out, ".SH OPTIONS\nThese work with every command, before or after it.\n");
    add_options(out, rb_cli_global_options);
    add_kinds(out);
    rb_buf_adds(
        out, ".SH EXIT STATUS\n"
             ".TP\n.B 0\nok, warn or skip\n"
             ".TP\n.B 1\nany check is fail, unknown or stale (with \\-\\-strict also warn)\n"
             ".TP\n.B 2\ncould not run\n"
             ".TP\n.B 64\nwrong usage\n"
             ".TP\n.B 78\nerrors in the configuration\n"
             ".SH FILES\n"
             ".TP\n.I ./runbookd.yml\nThe configuration; after it $XDG_CONFIG_HOME/runbookd/runbookd.yml and /etc/runbookd/runbookd.yml.\n"
             ".TP\n.I ~/.local/state/runbookd\nThe state, one folder for each tree.\n"
             ".SH ENVIRONMENT\n"
             ".TP\n.B RUNBOOKD_CONFIG\nThe configuration, as \\-\\-config.\n"
             ".TP\n.B STATE_DIRECTORY\nThe state folder, before the configuration's.\n"
             ".TP\n.B CREDENTIALS_DIRECTORY\nWhere !file looks first.\n"
             ".TP\n.B NO_COLOR\nNo colour on a terminal.\n");
}
