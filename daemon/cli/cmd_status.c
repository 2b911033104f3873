/* status: what the running daemon knows. */
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "runbook/base/text.h"
#include "screen.h"

static const struct rb_cli_option options[] = {{"watch", 'w', RB_CLI_SECONDS, offsetof(struct rb_cli_args, watch_ms), "SECONDS",
                                                "Show it again and again, every 2 seconds unless told.", NULL},
                                               {NULL}};

static size_t summary_of(const json_t *status, const char *key)
{
    json_int_t number = json_integer_value(json_object_get(json_object_get(status, "summary"), key));
    return number > 0 ? (size_t)number : 0;
}

static int code_of(const json_t *status)
{
    return summary_of(status, "fail") + summary_of(status, "unknown") + summary_of(status, "stale") > 0 ? RB_EXIT_BAD : RB_EXIT_OK;
}

/* ---- colour ---- */

struct word_colour {
    const char *word, *sequence;
};
static const struct word_colour colours[] = {
    {"ok", "\033[32m"},      {"warn", "\033[33m"},   {"fail", "\033[1;31m"}, {"unknown", "\033[35m"}, {"stale", "\033[35m"},
    {"skip", "\033[2m"},     {"pending", "\033[2m"}, {"OK", "\033[32m"},     {"WARN", "\033[33m"},    {"FAIL", "\033[1;31m"},
    {"UNKNOWN", "\033[35m"}, {"STALE", "\033[35m"},  {"SKIP", "\033[2m"},    {"PENDING", "\033[2m"},  {"VIOLATED", "\033[1;31m"},
};

/* A state that stands first on a line gets its colour. */
static void add_coloured_line(struct rb_buf *out, const char *line, size_t len)
{
    size_t indent = 0;
    while (indent < len && line[indent] == ' ')
        indent++;
    size_t word = indent;
    while (word < len && line[word] != ' ' && line[word] != ':')
        word++;
    const char *sequence = NULL;
    for (size_t i = 0; i < sizeof colours / sizeof colours[0]; i++) {
        if (strlen(colours[i].word) == word - indent && strncmp(colours[i].word, line + indent, word - indent) == 0)
            sequence = colours[i].sequence;
    }
    if (!sequence) {
        rb_buf_add(out, line, len);
        return;
    }
    rb_buf_add(out, line, indent);
    rb_buf_adds(out, sequence);
    rb_buf_add(out, line + indent, word - indent);
    rb_buf_adds(out, "\033[0m");
    rb_buf_add(out, line + word, len - word);
}

/* The daemon's text, escaped again, with colour where it is wanted. */
static void add_text(struct rb_buf *out, const struct rb_buf *body)
{
    if (!rb_cli_style(stdout, 0).colour) {
        rb_cli_add_lines(out, rb_buf_str(body), body->len);
        return;
    }
    RB_BUF_AUTO escaped;
    rb_buf_init(&escaped, RB_RENDER_MAX);
    rb_cli_add_lines(&escaped, rb_buf_str(body), body->len);
    const char *at = rb_buf_str(&escaped), *end = at + escaped.len;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t len = newline ? (size_t)(newline - at) : (size_t)(end - at);
        add_coloured_line(out, at, len);
        rb_buf_addc(out, '\n');
        at += len + 1;
    }
}

/* ---- once ---- */

static int nobody(const struct rb_client *client, const struct rb_error *err)
{
    if (err->code != RB_ENOTFOUND) {
        rb_cli_error("%s", err->message);
        return RB_EXIT_CANNOT;
    }
    RB_BUF_AUTO line;
    rb_buf_init(&line, 16384);
    rb_client_nobody(client, &line);
    rb_cli_error("%s; start it: runbookd serve; or run the checks once: runbookd check", rb_buf_str(&line));
    return RB_EXIT_CANNOT;
}

static int get_text(const struct rb_client *client, struct rb_buf *out, struct rb_error *err)
{
    RB_BUF_AUTO body;
    rb_buf_init(&body, RB_RENDER_MAX);
    long status = 0;
    int rc = rb_client_get(client, "/status", "text/plain", &body, &status, err);
    if (rc < 0)
        return rc;
    if (status != 200)
        return rb_error_set(err, RB_EPARSE, "the daemon answered /status with status %ld", status);
    add_text(out, &body);
    return 0;
}

static int once(const struct rb_cli *cli, const struct rb_client *client)
{
    json_t *status = NULL;
    struct rb_error err = {0};
    if (rb_client_get_json(client, "/status", &status, &err) < 0)
        return nobody(client, &err);
    if (!rb_client_check_root(client, status)) {
        json_decref(status);
        return RB_EXIT_CANNOT;
    }
    int code = code_of(status);
    if (cli->args->json)
        return rb_cli_write_json(status, code);
    json_decref(status);
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_RENDER_MAX);
    if (get_text(client, &text, &err) < 0)
        return nobody(client, &err);
    return rb_cli_write(&text, code);
}

/* ---- watch ---- */

/* One frame; a daemon that is gone is shown as such, because it may come back. */
static void add_frame(const struct rb_cli *cli, const struct rb_client *client, struct rb_buf *out)
{
    struct rb_error err = {0};
    json_t *status = NULL;
    if (!cli->args->json && get_text(client, out, &err) == 0)
        return;
    char *dumped = NULL;
    if (cli->args->json && rb_client_get_json(client, "/status", &status, &err) == 0)
        dumped = json_dumps(status, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(status);
    rb_buf_reset(out);
    if (dumped) {
        rb_buf_adds(out, dumped);
    } else if (cli->args->json) {
        rb_buf_adds(out, "null");
    } else {
        rb_buf_adds(out, "runbookd: ");
        rb_text_escapes(out, err.message);
        rb_buf_adds(out, "; waiting for the daemon (runbookd serve)");
    }
    rb_buf_addc(out, '\n');
    free(dumped);
}

static int watch(const struct rb_cli *cli, const struct rb_client *client)
{
    json_t *status = NULL;
    struct rb_error ignored;
    bool other_tree = rb_client_get_json(client, "/status", &status, &ignored) == 0 && !rb_client_check_root(client, status);
    json_decref(status);
    if (other_tree)
        return RB_EXIT_CANNOT;
    struct rb_screen screen;
    RB_BUF_AUTO frame;
    rb_buf_init(&frame, RB_RENDER_MAX);
    rb_screen_init(&screen, cli->args->json);
    do {
        rb_buf_reset(&frame);
        add_frame(cli, client, &frame);
        rb_screen_draw(&screen, &frame);
    } while (rb_screen_wait(cli->args->watch_ms));
    rb_screen_fini(&screen);
    return RB_EXIT_OK;
}

static int run(const struct rb_cli *cli)
{
    struct rb_client client;
    rb_client_find(cli, &client);
    if (cli->args->watch_ms > 0)
        return watch(cli, &client);
    return once(cli, &client);
}

const struct rb_cli_command rb_cli_cmd_status = {
    .name = "status",
    .args = "",
    .doc = "Show what the running daemon knows.",
    .details = "Asks the daemon of this tree over its control socket, else over the configured address. Exit code 0: nothing is bad; 1: "
               "any fail, unknown or stale; 2: no "
               "daemon answers.",
    .options = options,
    .run = run,
};
