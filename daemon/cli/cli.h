/* The command line: tables of commands and options, from which parsing, help, completion and the man page follow.
 *
 * A command is one file cmd_<name>.c with one `const struct rb_cli_command rb_cli_cmd_<name>` and one row in commands.def. Thread: main only. */
#ifndef RUNBOOKD_CLI_H
#define RUNBOOKD_CLI_H

#include <jansson.h>
#include <stdio.h>

#include "app.h"
#include "runbook/render/render.h"

/* ---- tables ---- */

enum rb_cli_type {
    RB_CLI_FLAG,   /* bool */
    RB_CLI_TEXT,   /* const char * */
    RB_CLI_LIST,   /* struct rb_strings: may be given several times */
    RB_CLI_CHOICE, /* int: value of the named choice */
    RB_CLI_SECONDS /* int64_t milliseconds: `--watch`, `--watch 5`, `--watch=500ms`; 0: not given */
};

struct rb_cli_option {
    const char *name; /* without the dashes; NULL ends the table */
    char letter;      /* short form, or 0 */
    enum rb_cli_type type;
    size_t offset;        /* into struct rb_cli_args */
    const char *argument; /* its name in the help; NULL for flags */
    const char *doc;      /* one sentence */
    const struct rb_choice *choices;
};

/* What the parser fills, for all commands. */
struct rb_cli_args {
    struct rb_app_options app;
    bool json, help, version;
    bool print_accepted, strict, force, to_stdout, discovery, graph, man, markdown;
    bool observed;             /* evidence: what was observed too */
    struct rb_strings commits; /* evidence: --commit, several */
    struct {                   /* drift */
        bool all;
        const char *reason, *ref, *who, *until, *expires;
    } drift;
    struct { /* incident, silence */
        const char *title, *severity, *tag, *lang, *duration;
    } incident;
    const char *runbook; /* check: --runbook, an address */
    int phase;           /* -1: any */
    int format;          /* enum rb_check_format */
    const char *output;
    int64_t watch_ms;        /* 0: once */
    struct rb_strings words; /* positional arguments after the command */
};

/* What completion offers for positional arguments. */
enum rb_cli_words { RB_CLI_WORDS_NONE, RB_CLI_WORDS_KINDS, RB_CLI_WORDS_COMMANDS, RB_CLI_WORDS_SHELLS, RB_CLI_WORDS_FILES };

struct rb_cli;
struct rb_cli_command {
    const char *name;
    const char *args;                    /* "[NAME…]" for the usage line, or "" */
    const char *doc;                     /* one line */
    const char *details;                 /* a paragraph for `help CMD` and the man page, or NULL */
    const struct rb_cli_option *options; /* its own; the global ones come along. NULL: none */
    size_t max_words;
    enum rb_cli_words words;
    int (*run)(const struct rb_cli *cli); /* returns an enum rb_exit */
};

/* NULL-terminated, in the order of the help. */
extern const struct rb_cli_command *const rb_cli_commands[];
extern const struct rb_cli_option rb_cli_global_options[];
extern const char *const rb_cli_shells[];

struct rb_cli {
    const struct rb_cli_args *args;
    const struct rb_cli_command *command;
    struct rb_arena *arena; /* for the whole invocation */
};

/* ---- args.c: pure ---- */

/* Parses everything behind argv[0]. `*out_command` is NULL when there was none. Returns 0, or RB_EINVAL with a message that says what is wrong and what was probably
 * meant; *out_command is then the command as far as it was recognised. `args` is borrowed from argv and the arena. */
int rb_cli_parse(int argc, const char *const *argv, struct rb_arena *arena, struct rb_cli_args *out_args,
                 const struct rb_cli_command **out_command, struct rb_error *err) RB_MUST_CHECK;
const struct rb_cli_command *rb_cli_find(const char *name);

/* ---- the program ---- */

/* main() behind the scan helper. Returns the exit code. */
int rb_cli_main(int argc, char **argv);

/* ---- output.c ---- */

/* "runbookd: <message>" on stderr, escaped. */
void rb_cli_error(const char *fmt, ...) RB_PRINTF(1, 2);
/* Writes to stdout. Returns `code`, or RB_EXIT_CANNOT with a message when the bytes did not get out. */
int rb_cli_write(const struct rb_buf *text, int code);
/* explain --graph. */
int rb_cli_graph(const struct rb_cli *cli);
/* Prints JSON and drops the reference; NULL is out of memory. Returns `code` or RB_EXIT_CANNOT. On a terminal nothing but ASCII leaves. */
int rb_cli_write_json(json_t *take_value, int code);
/* A JSON string; what is not UTF-8 is escaped first. */
json_t *rb_cli_json_text(const char *text);
/* How text for people looks on this stream: colour only on a terminal without NO_COLOR and TERM=dumb. */
struct rb_text_style rb_cli_style(FILE *stream, int language);
bool rb_cli_is_terminal(FILE *stream);
/* Appends `text` line by line with each line escaped; for what came from another process. */
void rb_cli_add_lines(struct rb_buf *out, const char *text, size_t len);
/* Appends argv as one line that a shell would read back, secrets masked. */
void rb_cli_add_argv(struct rb_buf *out, const struct rb_node *argv);

/* ---- load.c ---- */

struct rb_cli_loaded {
    struct rb_diags diags;
    struct rb_plan *plan; /* NULL when it failed */
    int code;             /* enum rb_exit: 0, 78, 2 */
    struct rb_error err;  /* when code is not 0 and there are no diagnostics */
};
/* Loads the configuration; never NULL unless memory is out. Lives in the arena; unref the plan. */
struct rb_cli_loaded *rb_cli_load(const struct rb_cli *cli);
/* Says on stderr why loading failed; returns loaded->code. */
int rb_cli_load_failed(const struct rb_cli_loaded *loaded);
/* Exit code of an error: 78 for what the configuration's author can mend, else 2. */
int rb_cli_code_of(const struct rb_error *err);

/* ---- help.c ---- */

void rb_cli_help(struct rb_buf *out);
void rb_cli_help_command(const struct rb_cli_command *command, struct rb_buf *out);
/* "  --config FILE" */
void rb_cli_option_usage(const struct rb_cli_option *option, struct rb_buf *out);
/* Appends `text` in lines of at most `columns`, each after `indent` blanks; the first line goes on where the buffer stands at column `at`. */
void rb_cli_wrap(struct rb_buf *out, const char *text, size_t at, size_t indent, size_t columns);

/* ---- man.c: runbookd(1) in roff, made from the tables ---- */
void rb_cli_man(struct rb_buf *out);

/* ---- markdown.c: docs/reference.md, made from the tables ---- */
void rb_cli_markdown(struct rb_buf *out);

/* ---- cmd_explain.c ---- */

/* What `explain NAME` prints, for a kind, "daemon", "check" or "defaults". False when nothing has this name. */
bool rb_cli_explain(const char *name, struct rb_buf *out);

#endif
