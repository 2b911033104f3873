/* The option parser, and that every table row can be helped, completed and documented. */
#include <string.h>

#include "../support/check_main.h"
#include "cli.h"

struct parsed {
    struct rb_arena *arena;
    struct rb_cli_args args;
    const struct rb_cli_command *command;
    struct rb_error err;
    int rc;
};

/* `line` is split at blanks. */
static struct parsed parse(const char *line)
{
    struct parsed p = {.arena = rb_arena_new((size_t)1 << 20)};
    ck_assert_ptr_nonnull(p.arena);
    char *copy = rb_arena_strdup(p.arena, line);
    const char **argv = rb_arena_array(p.arena, 64, sizeof *argv);
    int argc = 0;
    char *rest = NULL;
    argv[argc++] = "runbookd";
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        argv[argc++] = word;
    p.rc = rb_cli_parse(argc, argv, p.arena, &p.args, &p.command, &p.err);
    return p;
}

START_TEST(options_stand_anywhere)
{
    static const char *const lines[] = {"--config f.yml --json check web --strict db", "check --json web db --strict --config=f.yml",
                                        "check -c f.yml --strict web --json -- db", "-cf.yml --json check --strict -- web db"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct parsed p = parse(lines[i]);
        ck_assert_msg(p.rc == 0, "%s: %s", lines[i], p.err.message);
        ck_assert_str_eq(p.command->name, "check");
        ck_assert_str_eq(p.args.app.config, "f.yml");
        ck_assert(p.args.json && p.args.strict);
        ck_assert_uint_eq(p.args.words.count, 2);
        ck_assert_str_eq(p.args.words.items[0], "web");
        ck_assert_str_eq(p.args.words.items[1], "db");
        ck_assert_int_eq(p.args.phase, -1);
        rb_arena_free(p.arena);
    }
}
END_TEST

START_TEST(two_dashes_end_options)
{
    struct parsed p = parse("check -- --strict -");
    ck_assert_int_eq(p.rc, 0);
    ck_assert(!p.args.strict);
    ck_assert_str_eq(p.args.words.items[0], "--strict");
    ck_assert_str_eq(p.args.words.items[1], "-");
    rb_arena_free(p.arena);
}
END_TEST

START_TEST(values_of_all_types)
{
    struct parsed p = parse("serve --listen 127.0.0.1:1 --listen=[::1]:2 -l unix:/x --log-level debug --root=/r --state-dir /s");
    ck_assert_int_eq(p.rc, 0);
    ck_assert_uint_eq(p.args.app.listen.count, 3);
    ck_assert_str_eq(p.args.app.listen.items[1], "[::1]:2");
    ck_assert_str_eq(p.args.app.listen.items[2], "unix:/x");
    ck_assert_ptr_null(p.args.app.listen.items[3]);
    ck_assert_int_eq(p.args.app.log_level, 7);
    ck_assert_str_eq(p.args.app.root, "/r");
    ck_assert_str_eq(p.args.app.state_dir, "/s");
    rb_arena_free(p.arena);
    p = parse("check --phase safety --format nagios");
    ck_assert_int_eq(p.args.phase, RB_PHASE_SAFETY);
    ck_assert_int_eq(p.args.format, RB_CHECK_NAGIOS);
    rb_arena_free(p.arena);
}
END_TEST

START_TEST(watch_may_have_a_value)
{
    static const struct {
        const char *line;
        int64_t ms;
    } cases[] = {{"status", 0},           {"status --watch", 2000},        {"status --watch 5", 5000}, {"status --watch=500ms", 500},
                 {"status -w 1m", 60000}, {"status --watch --json", 2000}, {"status --watch 0", 100},  {"--watch 3 status", 3000}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct parsed p = parse(cases[i].line);
        ck_assert_msg(p.rc == 0, "%s: %s", cases[i].line, p.err.message);
        ck_assert_int_eq(p.args.watch_ms, cases[i].ms);
        rb_arena_free(p.arena);
    }
}
END_TEST

START_TEST(mistakes_get_a_suggestion)
{
    static const char *const cases[][2] = {
        {"check --strickt", "did you mean --strict?"},
        {"check --jsn", "did you mean --json?"},
        {"chekc", "did you mean `check`?"},
        {"frobnicate", "unknown command"},
        {"check --format yaml", "one of text, json"},
        {"check --format jsn", "did you mean `json`?"},
        {"check --phase saftey", "did you mean `safety`?"},
        {"check --format", "needs a value"},
        {"check --config=", "needs a value"},
        {"check --strict=yes", "takes no value"},
        {"check --listen x", "is an option of `serve`, not of `check`"},
        {"check -x", "unknown option -x"},
        {"status --watch=soon", "no number of seconds"},
        {"serve web", "takes no arguments; `web` is too much"},
        {"explain http tcp", "`tcp` is too much"},
        {"--strict", "unknown option --strict"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct parsed p = parse(cases[i][0]);
        ck_assert_msg(p.rc == RB_EINVAL, "%s passed", cases[i][0]);
        ck_assert_msg(strstr(p.err.message, cases[i][1]) != NULL, "%s: %s", cases[i][0], p.err.message);
        rb_arena_free(p.arena);
    }
}
END_TEST

START_TEST(help_and_version_need_no_command)
{
    struct parsed p = parse("--help");
    ck_assert(p.rc == 0 && p.args.help && !p.command);
    rb_arena_free(p.arena);
    p = parse("-V");
    ck_assert(p.rc == 0 && p.args.version);
    rb_arena_free(p.arena);
    p = parse("");
    ck_assert(p.rc == 0 && !p.command);
    rb_arena_free(p.arena);
}
END_TEST

/* Names are unique per command, offsets lie in the struct, and each row tells what it is. */
static void check_table(const struct rb_cli_command *command, const struct rb_cli_option *table)
{
    for (const struct rb_cli_option *row = table; row && row->name; row++) {
        ck_assert_uint_lt(row->offset, sizeof(struct rb_cli_args));
        ck_assert_msg(row->doc && strlen(row->doc) > 5, "--%s has no doc", row->name);
        ck_assert_msg((row->type == RB_CLI_FLAG) == (row->argument == NULL), "--%s and its argument", row->name);
        ck_assert_msg((row->type == RB_CLI_CHOICE) == (row->choices != NULL), "--%s and its choices", row->name);
        for (const struct rb_cli_option *other = rb_cli_global_options; command && other->name; other++)
            ck_assert_msg(strcmp(row->name, other->name) != 0 && (!row->letter || row->letter != other->letter), "%s --%s", command->name,
                          row->name);
    }
}

START_TEST(tables_are_whole)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, 1 << 20);
    check_table(NULL, rb_cli_global_options);
    for (size_t i = 0; rb_cli_commands[i]; i++) {
        const struct rb_cli_command *command = rb_cli_commands[i];
        check_table(command, command->options);
        ck_assert(command->run && command->doc && command->args);
        ck_assert_ptr_eq(rb_cli_find(command->name), command);
        rb_buf_reset(&text);
        rb_cli_help_command(command, &text);
        ck_assert(!text.failed);
        ck_assert_ptr_nonnull(strstr(rb_buf_str(&text), command->doc));
    }
    rb_buf_reset(&text);
    rb_cli_help(&text);
    for (size_t i = 0; rb_cli_commands[i]; i++)
        ck_assert_ptr_nonnull(strstr(rb_buf_str(&text), rb_cli_commands[i]->name));
    rb_buf_reset(&text);
    rb_cli_man(&text);
    ck_assert_ptr_nonnull(strstr(rb_buf_str(&text), ".SS \"check [NAME\\[u2026]]\""));
    ck_assert_ptr_nonnull(strstr(rb_buf_str(&text), "\\-\\-strict"));
}
END_TEST

START_TEST(daemon_text_is_escaped_line_by_line)
{
    static const char hostile[] = "ok\tone\n\033[31mred\n\xe2\x80\xae"
                                  "bidi\r\nlast";
    RB_BUF_AUTO text;
    rb_buf_init(&text, 4096);
    rb_cli_add_lines(&text, hostile, sizeof hostile - 1);
    ck_assert_str_eq(rb_buf_str(&text), "ok\\tone\n\\x1b[31mred\n\\u{202E}bidi\\r\nlast\n");
}
END_TEST

RB_TEST_MAIN("cli_args", options_stand_anywhere, two_dashes_end_options, values_of_all_types, watch_may_have_a_value,
             mistakes_get_a_suggestion, help_and_version_need_no_command, tables_are_whole, daemon_text_is_escaped_line_by_line)
