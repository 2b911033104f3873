/* init: write what discovery finds as a commented configuration. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "runbook/base/text.h"
#include "runbook/config/discovery.h"
#include "runbook/state/files.h"

#define ARG(member) offsetof(struct rb_cli_args, member)
#define FILE_NAME   "runbookd.yml"

static const struct rb_cli_option options[] = {
    {"output", 'o', RB_CLI_TEXT, ARG(output), "FILE", "Write to this file instead of ./" FILE_NAME "; - is standard output.", NULL},
    {"stdout", 0, RB_CLI_FLAG, ARG(to_stdout), NULL, "Print it and write nothing.", NULL},
    {"force", 0, RB_CLI_FLAG, ARG(force), NULL, "Replace a file that is there.", NULL},
    {NULL}};

/* Loading the discovered plan proves that what is written can be read again, and tells the root. */
static int discover(const struct rb_cli *cli, struct rb_buf *text, struct rb_error *err)
{
    struct rb_cli_args args = *cli->args;
    args.app.discover = true;
    struct rb_cli inner = {.args = &args, .command = cli->command, .arena = cli->arena};
    struct rb_cli_loaded *loaded = rb_cli_load(&inner);
    if (!loaded)
        return rb_error_set(err, RB_ENOMEM, "out of memory");
    if (!loaded->plan && loaded->diags.count == 0)
        return rb_error_set(err, loaded->err.code, "%s", loaded->err.message);
    if (!loaded->plan) {
        (void)rb_cli_load_failed(loaded);
        return rb_error_set(err, RB_ECONFIG, "the discovered configuration has errors; please report this");
    }
    struct rb_discovery_request request = {.root = loaded->plan->daemon.root, .platform = rb_platform_host(), .kinds = rb_kind_registry()};
    int rc = rb_discover(&request, text, err);
    if (rc == 0)
        rc = rb_buf_check(text, "the configuration", err);
    rb_plan_unref(loaded->plan);
    return rc;
}

static int target_path(const struct rb_cli *cli, char *out, size_t out_size, struct rb_error *err)
{
    const char *dir = cli->args->app.root;
    int len = 0;
    if (cli->args->output)
        len = snprintf(out, out_size, "%s", cli->args->output);
    else
        len = snprintf(out, out_size, "%s/" FILE_NAME, dir ? dir : ".");
    return len > 0 && (size_t)len < out_size ? 0 : rb_error_set(err, RB_ELIMIT, "the path is too long");
}

/* A new file: never through a link that somebody put there, never over what exists. */
static int write_new(const char *path, const struct rb_buf *text, struct rb_error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0 && errno == EEXIST)
        return rb_error_set(err, RB_EBUSY, "%s exists already; look at the new one with --stdout, or replace it with --force", path);
    if (fd < 0)
        return rb_error_sys(err, errno, "cannot create %s", path);
    size_t done = 0;
    while (done < text->len) {
        ssize_t n = write(fd, rb_buf_str(text) + done, text->len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    int saved = done < text->len ? errno : 0;
    if (close(fd) != 0 && saved == 0)
        saved = errno;
    if (saved == 0)
        return 0;
    (void)unlink(path);
    return rb_error_sys(err, saved, "cannot write %s", path);
}

static int replace(const char *path, const struct rb_buf *text, struct rb_error *err)
{
    struct stat info;
    if (lstat(path, &info) == 0 && !S_ISREG(info.st_mode))
        return rb_error_set(err, RB_EINVAL, "%s is no regular file; not replaced", path);
    const char *slash = strrchr(path, '/');
    char dir[4096];
    size_t len = slash ? (size_t)(slash - path) : 0;
    if (len >= sizeof dir)
        return rb_error_set(err, RB_ELIMIT, "the path is too long");
    (void)snprintf(dir, sizeof dir, "%.*s", (int)len, path);
    return rb_file_replace(slash ? (len ? dir : "/") : ".", slash ? slash + 1 : path, rb_buf_str(text), text->len, 0644, err);
}

static int write_file(const struct rb_cli *cli, const struct rb_buf *text)
{
    char path[4096];
    struct rb_error err = {0};
    int rc = target_path(cli, path, sizeof path, &err);
    if (rc == 0)
        rc = cli->args->force ? replace(path, text, &err) : write_new(path, text, &err);
    if (rc < 0) {
        rb_cli_error("%s", err.message);
        return RB_EXIT_CANNOT;
    }
    if (cli->args->json)
        return rb_cli_write_json(json_pack("{s:o}", "file", rb_cli_json_text(path)), RB_EXIT_OK);
    RB_BUF_AUTO line;
    rb_buf_init(&line, 65536);
    rb_buf_adds(&line, "Wrote ");
    rb_text_escapes(&line, path);
    rb_buf_adds(&line, ". Read it, then: runbookd trust (it may start programs), runbookd check, runbookd serve\n");
    return rb_cli_write(&line, RB_EXIT_OK);
}

static int run(const struct rb_cli *cli)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_CONFIG_MAX_BYTES);
    struct rb_error err = {0};
    int rc = discover(cli, &text, &err);
    if (rc < 0) {
        rb_cli_error("%s", err.message);
        return RB_EXIT_CANNOT;
    }
    bool to_stdout = cli->args->to_stdout || (cli->args->output && strcmp(cli->args->output, "-") == 0);
    return to_stdout ? rb_cli_write(&text, RB_EXIT_OK) : write_file(cli, &text);
}

const struct rb_cli_command rb_cli_cmd_init = {
    .name = "init",
    .args = "",
    .doc = "Write a commented configuration from what is here.",
    .details = "Looks at the working folder (or --root) as `serve` does without a configuration and writes ./" FILE_NAME
               ". It replaces nothing without --force.",
    .options = options,
    .run = run,
};
