/* silence: mark checks as known for a while. Only through the daemon, which holds what is silenced. */
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "runbook/base/text.h"

static const struct rb_cli_option options[] = {
    {"for", 0, RB_CLI_TEXT, offsetof(struct rb_cli_args, incident.duration), "DURATION", "How long, e.g. 2h; 0 ends the silence.", NULL},
    {"until", 0, RB_CLI_TEXT, offsetof(struct rb_cli_args, drift.until), "DATE", "Until when (a date or RFC 3339 time).", NULL},
    {"reason", 0, RB_CLI_TEXT, offsetof(struct rb_cli_args, drift.reason), "TEXT", "Why; it enters the timeline.", NULL},
    {"who", 0, RB_CLI_TEXT, offsetof(struct rb_cli_args, drift.who), "NAME", "Who says so.", NULL},
    {NULL}};

static int list(const struct rb_cli *cli, const struct rb_client *client)
{
    json_t *report = NULL, *silence;
    struct rb_error err = {0};
    size_t i;
    if (rb_client_get_json(client, "/api/v1/silences", &report, &err) < 0) {
        rb_cli_error("%s", err.message);
        return RB_EXIT_CANNOT;
    }
    if (cli->args->json)
        return rb_cli_write_json(report, RB_EXIT_OK);
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_RENDER_MAX);
    json_array_foreach(json_object_get(report, "silences"), i, silence)
    {
        rb_text_escapes(&text, json_string_value(json_object_get(silence, "check")));
        rb_buf_adds(&text, "  until ");
        rb_text_escapes(&text, json_string_value(json_object_get(silence, "until")));
        rb_buf_addc(&text, '\n');
    }
    json_decref(report);
    if (text.len == 0)
        rb_buf_adds(&text, "no check is silenced\n");
    return rb_cli_write(&text, RB_EXIT_OK);
}

static void put(json_t *object, const char *key, const char *text)
{
    if (text)
        (void)json_object_set_new(object, key, rb_cli_json_text(text));
}

static int silence_one(const struct rb_cli *cli, const struct rb_client *client, const char *check)
{
    RB_BUF_AUTO answer;
    rb_buf_init(&answer, RB_RENDER_MAX);
    struct rb_error err = {0};
    long status = 0;
    json_t *body = json_object();
    put(body, "check", check);
    put(body, "for", cli->args->incident.duration);
    put(body, "until", cli->args->drift.until);
    put(body, "reason", cli->args->drift.reason);
    put(body, "who", cli->args->drift.who);
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    int rc = text ? rb_client_post(client, "/api/v1/silences", text, &answer, &status, &err)
                  : rb_error_set(&err, RB_ENOMEM, "out of memory");
    free(text);
    if (rc == 0 && status == 200)
        return cli->args->json ? rb_cli_write(&answer, RB_EXIT_OK) : RB_EXIT_OK;
    json_t *problem = rc == 0 ? json_loadb(rb_buf_str(&answer), answer.len, 0, NULL) : NULL;
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    rb_cli_error("%s: %s", check, rc < 0 ? err.message : detail ? detail : "the daemon refused it");
    json_decref(problem);
    return rc < 0 ? RB_EXIT_CANNOT : RB_EXIT_BAD;
}

static int run(const struct rb_cli *cli)
{
    struct rb_client client;
    rb_client_find(cli, &client);
    if (!client.socket[0]) {
        RB_BUF_AUTO text;
        rb_buf_init(&text, 4096);
        rb_client_nobody(&client, &text);
        rb_cli_error("%s", rb_buf_str(&text));
        return RB_EXIT_CANNOT;
    }
    int worst = RB_EXIT_OK;
    if (cli->args->words.count == 0)
        return list(cli, &client);
    for (size_t i = 0; i < cli->args->words.count; i++) {
        int code = silence_one(cli, &client, cli->args->words.items[i]);
        worst = code > worst ? code : worst;
    }
    return worst;
}

const struct rb_cli_command rb_cli_cmd_silence = {
    .name = "silence",
    .args = "[CHECK…]",
    .doc = "Mark checks as known for a while; without a name: what is silenced.",
    .details =
        "A silenced check keeps its state and its counters; reports and alerts mark it. CHECK is a name or a pattern. --for 0 ends it. "
        "Checks of phase safety can never be silenced. Needs the daemon.",
    .options = options,
    .max_words = 64,
    .run = run,
};
