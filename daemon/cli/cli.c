/* The command line's entry: parse, answer help and version, run the command. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "cli.h"
#include "runbook/base/log.h"

#define ARENA_MAX ((size_t)64 << 20)

static int usage_error(const struct rb_cli_command *command, const struct rb_error *err)
{
    if (err->code == RB_ENOMEM) {
        rb_cli_error("%s", err->message);
        return RB_EXIT_CANNOT;
    }
    rb_cli_error("%s", err->message);
    if (command)
        (void)fprintf(stderr, "See: runbookd help %s\n", command->name);
    else
        (void)fputs("See: runbookd help\n", stderr);
    return RB_EXIT_USAGE;
}

static int show_help(const struct rb_cli_command *command)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, 65536);
    if (command)
        rb_cli_help_command(command, &text);
    else
        rb_cli_help(&text);
    return rb_cli_write(&text, RB_EXIT_OK);
}

static int no_command(void)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, 65536);
    rb_cli_help(&text);
    (void)fputs(rb_buf_str(&text), stderr);
    return RB_EXIT_USAGE;
}

static int run(const struct rb_cli_args *args, const struct rb_cli_command *command, struct rb_arena *arena)
{
    if (args->help)
        return show_help(command);
    if (args->version)
        command = rb_cli_find("version");
    if (!command)
        return no_command();
    struct rb_cli cli = {.args = args, .command = command, .arena = arena};
    return command->run(&cli);
}

/* A standard stream that the caller closed would become the number of the next file that is opened, and then get our messages. It is replaced by one that refuses
 * what the stream is for. */
static bool fill_standard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        int flags = fd == STDIN_FILENO ? O_WRONLY : O_RDONLY;
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", flags) != fd)
            return false;
    }
    return true;
}

int rb_cli_main(int argc, char **argv)
{
    if (!fill_standard_streams())
        return RB_EXIT_CANNOT;
    RB_ARENA_AUTO *arena = rb_arena_new(ARENA_MAX);
    if (!arena) {
        rb_cli_error("out of memory");
        return RB_EXIT_CANNOT;
    }
    /* Commands are quiet: only what stops them is told. `serve` sets its own level and form when it knows them. */
    rb_log_init(&(struct rb_log_options){.level = RB_LOG_ERROR, .fd = 2});
    struct rb_cli_args args;
    const struct rb_cli_command *command;
    struct rb_error err = {0};
    if (rb_cli_parse(argc, (const char *const *)argv, arena, &args, &command, &err) < 0)
        return usage_error(command, &err);
    return run(&args, command, arena);
}
