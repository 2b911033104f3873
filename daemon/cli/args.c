/* The option parser: options anywhere, before or after the command, `--opt value` or `--opt=value`, `--` ends them.
 *
 * getopt_long permutes only in the GNU library and knows no sub-commands, so this reads the tables itself, in two passes: the first finds the command (it must
 * know which options of any command take a value), the second reads the options that this command has. Pure: no output, no exit. */
#include <string.h>

#include "cli.h"
#include "runbook/base/text.h"
#include "runbook/base/units.h"

#define WATCH_DEFAULT_MS 2000
#define WATCH_MIN_MS     100
#define MAX_ARGUMENTS    4096

struct parser {
    int argc;
    const char *const *argv;
    struct rb_arena *arena;
    const struct rb_cli_command *command;
    struct rb_cli_args *out;
    const char **words;
    size_t word_count;
    struct rb_error *err;
};

const struct rb_cli_command *rb_cli_find(const char *name)
{
    for (size_t i = 0; rb_cli_commands[i]; i++) {
        if (strcmp(rb_cli_commands[i]->name, name) == 0)
            return rb_cli_commands[i];
    }
    return NULL;
}

/* ---- looking up ---- */

static const struct rb_cli_option *find_long(const struct rb_cli_option *table, const char *name, size_t len)
{
    for (; table && table->name; table++) {
        if (strlen(table->name) == len && strncmp(table->name, name, len) == 0)
            return table;
    }
    return NULL;
}

static const struct rb_cli_option *find_letter(const struct rb_cli_option *table, char letter)
{
    for (; table && table->name; table++) {
        if (table->letter == letter)
            return table;
    }
    return NULL;
}

static bool is_option(const char *word)
{
    return word[0] == '-' && word[1] != '\0';
}

/* The row that `word` ("--name", "--name=value", "-c", "-cvalue") names in this table; `*out_value` is the part that is attached, or NULL. */
static const struct rb_cli_option *find_in(const struct rb_cli_option *table, const char *word, const char **out_value)
{
    *out_value = NULL;
    if (word[1] != '-') {
        const struct rb_cli_option *row = find_letter(table, word[1]);
        if (row && row->type != RB_CLI_FLAG && word[2] != '\0')
            *out_value = word + 2;
        return row && (row->type != RB_CLI_FLAG || word[2] == '\0') ? row : NULL;
    }
    size_t len = strcspn(word + 2, "=");
    if (word[2 + len] == '=')
        *out_value = word + 2 + len + 1;
    return find_long(table, word + 2, len);
}

/* The row in the global table or that of `command`; with NULL in that of any command. `*out_owner` is NULL for a global one. */
static const struct rb_cli_option *find_anywhere(const struct rb_cli_command *command, const char *word, const char **out_value,
                                                 const struct rb_cli_command **out_owner)
{
    *out_owner = NULL;
    const struct rb_cli_option *row = find_in(rb_cli_global_options, word, out_value);
    for (size_t i = 0; !row && rb_cli_commands[i]; i++) {
        if (command && rb_cli_commands[i] != command)
            continue;
        row = find_in(rb_cli_commands[i]->options, word, out_value);
        *out_owner = row ? rb_cli_commands[i] : NULL;
    }
    return row;
}

/* True when the next word is this option's value. */
static bool takes_next(const struct rb_cli_option *row, const char *value, const char *next)
{
    if (row->type == RB_CLI_FLAG || value || !next)
        return false;
    return row->type != RB_CLI_SECONDS || (next[0] >= '0' && next[0] <= '9');
}

/* Index of the command word, or argc. */
static int find_command(int argc, const char *const *argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0)
            return i + 1 < argc ? i + 1 : argc;
        if (!is_option(argv[i]))
            return i;
        const char *value;
        const struct rb_cli_command *owner;
        const struct rb_cli_option *row = find_anywhere(NULL, argv[i], &value, &owner);
        if (row && takes_next(row, value, i + 1 < argc ? argv[i + 1] : NULL))
            i++;
    }
    return argc;
}

/* ---- messages ---- */

static const char *nearest_option(const struct parser *p, const char *name)
{
    const char *names[64];
    size_t count = 0;
    const struct rb_cli_option *tables[] = {rb_cli_global_options, p->command ? p->command->options : NULL};
    for (size_t t = 0; t < 2; t++) {
        for (const struct rb_cli_option *row = tables[t]; row && row->name && count < 63; row++)
            names[count++] = row->name;
    }
    names[count] = NULL;
    return rb_text_nearest(name, names);
}

static int unknown_option(struct parser *p, const char *word)
{
    size_t len = strcspn(word, "=");
    const char *name = rb_arena_strndup(p->arena, word, len);
    const char *value;
    const struct rb_cli_command *owner;
    if (!name)
        return rb_error_set(p->err, RB_ENOMEM, "out of memory");
    if (p->command && find_anywhere(NULL, word, &value, &owner) && owner)
        return rb_error_set(p->err, RB_EINVAL, "%s is an option of `%s`, not of `%s`", name, owner->name, p->command->name);
    const char *near = name[1] == '-' ? nearest_option(p, name + 2) : NULL;
    if (near)
        return rb_error_set(p->err, RB_EINVAL, "unknown option %s; did you mean --%s?", name, near);
    return rb_error_set(p->err, RB_EINVAL, "unknown option %s", name);
}

static int unknown_command(struct parser *p, const char *word)
{
    const char *names[64];
    size_t count = 0;
    for (; count < 63 && rb_cli_commands[count]; count++)
        names[count] = rb_cli_commands[count]->name;
    names[count] = NULL;
    const char *near = rb_text_nearest(word, names);
    if (near)
        return rb_error_set(p->err, RB_EINVAL, "unknown command `%s`; did you mean `%s`?", word, near);
    return rb_error_set(p->err, RB_EINVAL, "unknown command `%s`", word);
}

static int wrong_choice(struct parser *p, const struct rb_cli_option *row, const char *value)
{
    const char *names[32];
    size_t count = 0;
    RB_BUF_AUTO list;
    rb_buf_init(&list, 256);
    for (const struct rb_choice *choice = row->choices; choice->name && count < 31; choice++) {
        rb_buf_addf(&list, "%s%s", count ? ", " : "", choice->name);
        names[count++] = choice->name;
    }
    names[count] = NULL;
    const char *near = rb_text_nearest(value, names);
    if (near)
        return rb_error_set(p->err, RB_EINVAL, "--%s: unknown value `%s`; did you mean `%s`?", row->name, value, near);
    return rb_error_set(p->err, RB_EINVAL, "--%s: unknown value `%s`; one of %s", row->name, value, rb_buf_str(&list));
}

/* ---- storing values ---- */

static int store_choice(struct parser *p, const struct rb_cli_option *row, const char *value, int *out)
{
    for (const struct rb_choice *choice = row->choices; choice->name; choice++) {
        if (strcmp(choice->name, value) == 0) {
            *out = choice->value;
            return 0;
        }
    }
    return wrong_choice(p, row, value);
}

static int store_list(struct parser *p, const char *value, struct rb_strings *list)
{
    const char **items = rb_arena_array(p->arena, list->count + 2, sizeof *items);
    if (!items)
        return rb_error_set(p->err, RB_ENOMEM, "out of memory");
    for (size_t i = 0; i < list->count; i++)
        items[i] = list->items[i];
    items[list->count] = value;
    *list = (struct rb_strings){.items = items, .count = list->count + 1};
    return 0;
}

/* A bare number is seconds; anything else a duration with its unit. */
static int store_seconds(struct parser *p, const struct rb_cli_option *row, const char *value, int64_t *out_ms)
{
    int64_t number = WATCH_DEFAULT_MS;
    if (value && rb_int_parse(value, &number, NULL) == 0 && number >= 0 && number <= 86400)
        number *= 1000;
    else if (value && rb_duration_parse(value, &number, NULL) < 0)
        return rb_error_set(p->err, RB_EINVAL, "--%s: `%s` is no number of seconds; write for example --%s 5", row->name, value, row->name);
    *out_ms = number < WATCH_MIN_MS ? WATCH_MIN_MS : number;
    return 0;
}

static int store(struct parser *p, const struct rb_cli_option *row, const char *value)
{
    void *field = (char *)p->out + row->offset;
    if (row->type == RB_CLI_FLAG && value)
        return rb_error_set(p->err, RB_EINVAL, "--%s takes no value", row->name);
    if (row->type != RB_CLI_FLAG && row->type != RB_CLI_SECONDS && (!value || value[0] == '\0'))
        return rb_error_set(p->err, RB_EINVAL, "--%s needs a value: --%s %s", row->name, row->name, row->argument);
    switch (row->type) {
    case RB_CLI_FLAG:
        *(bool *)field = true;
        return 0;
    case RB_CLI_TEXT:
        *(const char **)field = value;
        return 0;
    case RB_CLI_LIST:
        return store_list(p, value, field);
    case RB_CLI_CHOICE:
        return store_choice(p, row, value, field);
    case RB_CLI_SECONDS:
        return store_seconds(p, row, value, field);
    }
    return 0;
}

/* ---- the second pass ---- */

/* Reads the option at `*index` and moves it to the last word that belongs to it. */
static int read_option(struct parser *p, int *index)
{
    const char *word = p->argv[*index], *value;
    const struct rb_cli_command *owner;
    /* Without a command only `--help` and the like make sense; the global table is all there is. */
    const struct rb_cli_option *row = p->command ? find_anywhere(p->command, word, &value, &owner)
                                                 : find_in(rb_cli_global_options, word, &value);
    if (!row)
        return unknown_option(p, word);
    const char *next = *index + 1 < p->argc ? p->argv[*index + 1] : NULL;
    if (takes_next(row, value, next)) {
        value = next;
        (*index)++;
    }
    return store(p, row, value);
}

static int read_all(struct parser *p, int command_index)
{
    bool options_end = false;
    for (int i = 1; i < p->argc; i++) {
        int rc = 0;
        if (!options_end && strcmp(p->argv[i], "--") == 0)
            options_end = true;
        else if (!options_end && is_option(p->argv[i]))
            rc = read_option(p, &i);
        else if (i != command_index)
            p->words[p->word_count++] = p->argv[i];
        if (rc < 0)
            return rc;
    }
    return 0;
}

int rb_cli_parse(int argc, const char *const *argv, struct rb_arena *arena, struct rb_cli_args *out_args,
                 const struct rb_cli_command **out_command, struct rb_error *err)
{
    *out_args = (struct rb_cli_args){.phase = -1};
    *out_command = NULL;
    if (argc > MAX_ARGUMENTS)
        return rb_error_set(err, RB_EINVAL, "more than %d arguments", MAX_ARGUMENTS);
    struct parser p = {.argc = argc, .argv = argv, .arena = arena, .out = out_args, .err = err};
    p.words = rb_arena_array(arena, (size_t)argc + 1, sizeof *p.words);
    if (!p.words)
        return rb_error_set(err, RB_ENOMEM, "out of memory");
    int command_index = find_command(argc, argv);
    if (command_index < argc) {
        p.command = rb_cli_find(argv[command_index]);
        if (!p.command)
            return unknown_command(&p, argv[command_index]);
        *out_command = p.command;
    }
    int rc = read_all(&p, command_index);
    if (rc < 0)
        return rc;
    out_args->words = (struct rb_strings){.items = p.word_count ? p.words : NULL, .count = p.word_count};
    if (p.command && p.word_count > p.command->max_words)
        return rb_error_set(err, RB_EINVAL, "`%s` takes %s; `%s` is too much", p.command->name,
                            p.command->max_words ? p.command->args : "no arguments", p.words[p.command->max_words]);
    return 0;
}
