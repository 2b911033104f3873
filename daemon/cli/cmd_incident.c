/* incident: open one with the report as it is now, list, note, close, write the post-mortem. Through the daemon, or on the folder itself when there is none. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "client.h"
#include "incident_alone.h"
#include "postmortem.h"
#include "runbook/base/text.h"
#include "runbook/incident/postmortem.h"

static const struct rb_cli_option options[] = {
    {"title", 0, RB_CLI_TEXT, offsetof(struct rb_cli_args, incident.title), "TEXT", "open: what it is about; by default the worst check.",
     NULL},
    {"severity", 0, RB_CLI_TEXT, offsetof(struct rb_cli_args, incident.severity), "LEVEL", "open: Low, Medium or High.", NULL},
    {"tag", 0, RB_CLI_TEXT, offsetof(struct rb_cli_args, incident.tag), "WORD", "open: the last part of the id.", NULL},
    {"who", 0, RB_CLI_TEXT, offsetof(struct rb_cli_args, drift.who), "NAME", "Who says so.", NULL},
    {"lang", 0, RB_CLI_TEXT, offsetof(struct rb_cli_args, incident.lang), "LANG", "postmortem: en or de; by default the configuration's.",
     NULL},
    {"output", 'o', RB_CLI_TEXT, offsetof(struct rb_cli_args, output), "PATH",
     "postmortem: write this file, or YYYY-MM-DD_title.md into this folder; never over a file that is there.", NULL},
    {NULL}};

static const char *word(const struct rb_cli *cli, size_t index)
{
    return index < cli->args->words.count ? cli->args->words.items[index] : NULL;
}

/* True when the daemon of this tree can be asked. */
static bool has_daemon(const struct rb_cli *cli, struct rb_client *out)
{
    json_t *status = NULL;
    struct rb_error ignored;
    rb_client_find(cli, out);
    if (!out->socket[0] || rb_client_get_json(out, "/status", &status, &ignored) < 0)
        return false;
    bool same = rb_client_check_root(out, status);
    json_decref(status);
    return same;
}

/* One POST; prints what went wrong. NULL unless it was done. */
static bool post(const struct rb_client *client, const char *path, json_t *take_body, struct rb_buf *out)
{
    char *text = take_body ? json_dumps(take_body, JSON_COMPACT) : NULL;
    struct rb_error err = {0};
    long status = 0;
    json_decref(take_body);
    int rc = text ? rb_client_post(client, path, text, out, &status, &err) : rb_error_set(&err, RB_ENOMEM, "out of memory");
    free(text);
    if (rc < 0) {
        rb_cli_error("%s", err.message);
        return false;
    }
    if (status < 300)
        return true;
    json_t *problem = json_loadb(rb_buf_str(out), out->len, 0, NULL);
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    rb_cli_error("%s", detail ? detail : "the daemon refused it");
    json_decref(problem);
    return false;
}

static void put(json_t *object, const char *key, const char *text)
{
    if (text)
        (void)json_object_set_new(object, key, rb_cli_json_text(text));
}

/* ---- open ---- */

static int open_incident(const struct rb_cli *cli)
{
    struct rb_client client;
    RB_BUF_AUTO answer;
    RB_BUF_AUTO text;
    rb_buf_init(&answer, RB_RENDER_MAX);
    rb_buf_init(&text, RB_RENDER_MAX);
    if (!has_daemon(cli, &client))
        return rb_incident_alone_triage(cli);
    json_t *body = json_pack("{s:s}", "source", "cli");
    put(body, "title", cli->args->incident.title);
    put(body, "severity", cli->args->incident.severity);
    put(body, "tag", cli->args->incident.tag);
    put(body, "who", cli->args->drift.who);
    if (!post(&client, "/triage", body, &answer))
        return RB_EXIT_CANNOT;
    rb_cli_add_lines(&text, rb_buf_str(&answer), answer.len);
    return rb_cli_write(&text, RB_EXIT_OK);
}

/* ---- list ---- */

static json_t *list_alone(const struct rb_cli *cli, int *out_code)
{
    struct rb_incident_alone alone;
    struct rb_error err = {0};
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_RENDER_MAX);
    *out_code = rb_incident_alone_open(cli, false, &alone);
    if (*out_code != RB_EXIT_OK)
        return NULL;
    json_t *list = rb_incidents_list_json(&alone.incidents, &text, &err) == 0 ? json_loads(rb_buf_str(&text), 0, NULL) : NULL;
    rb_incident_alone_close(&alone);
    *out_code = list ? RB_EXIT_OK : RB_EXIT_CANNOT;
    return list;
}

static void add_field(struct rb_buf *out, const json_t *incident, const char *name, int width)
{
    const char *text = json_string_value(json_object_get(incident, name));
    size_t start = out->len;
    rb_text_escapes(out, text ? text : "");
    while (out->len - start < (size_t)width)
        rb_buf_addc(out, ' ');
}

static int list(const struct rb_cli *cli)
{
    struct rb_client client;
    struct rb_error err = {0};
    json_t *report = NULL, *incident;
    int code = RB_EXIT_OK;
    size_t i;
    if (has_daemon(cli, &client) && rb_client_get_json(&client, "/api/v1/incidents", &report, &err) < 0)
        code = RB_EXIT_CANNOT;
    if (!report && code == RB_EXIT_OK)
        report = list_alone(cli, &code);
    if (!report) {
        if (err.code != 0)
            rb_cli_error("%s", err.message);
        return code;
    }
    if (cli->args->json)
        return rb_cli_write_json(report, RB_EXIT_OK);
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_RENDER_MAX);
    json_array_foreach(json_object_get(report, "incidents"), i, incident)
    {
        add_field(&text, incident, "id", 42);
        add_field(&text, incident, "state", 8);
        add_field(&text, incident, "severity", 8);
        add_field(&text, incident, "title", 0);
        rb_buf_addc(&text, '\n');
    }
    json_decref(report);
    if (text.len == 0)
        rb_buf_adds(&text, "no incident is kept\n");
    return rb_cli_write(&text, RB_EXIT_OK);
}

/* ---- note, close ---- */

static int change_alone(const struct rb_cli *cli, const char *id, const char *text, bool closing)
{
    struct rb_incident_alone alone;
    int code = rb_incident_alone_open(cli, true, &alone);
    if (code != RB_EXIT_OK)
        return code;
    struct rb_incident *incident = rb_incidents_find(&alone.incidents, id);
    if (!incident || (closing && !rb_incident_is_open(incident))) {
        rb_cli_error(incident ? "%s is closed already" : "there is no incident %s; see: runbookd incident list", id);
        rb_incident_alone_close(&alone);
        return RB_EXIT_BAD;
    }
    struct rb_incident_event event = {
        .kind = closing ? "closed" : "note", .text = text ? text : "closed by hand", .who = cli->args->drift.who};
    code = rb_incident_alone_event(&alone, incident, &event);
    rb_incident_alone_close(&alone);
    return code;
}

static int change(const struct rb_cli *cli, bool closing)
{
    const char *id = word(cli, 1);
    char path[128];
    struct rb_client client;
    RB_BUF_AUTO answer;
    RB_BUF_AUTO text;
    rb_buf_init(&answer, RB_RENDER_MAX);
    rb_buf_init(&text, 4 * RB_INCIDENT_NOTE_MAX);
    for (size_t i = 2; i < cli->args->words.count; i++) {
        rb_buf_adds(&text, i > 2 ? " " : "");
        rb_buf_adds(&text, word(cli, i));
    }
    if (!id || !rb_incident_is_id(id) || (!closing && text.len == 0)) {
        rb_cli_error("%s", closing ? "name the incident: runbookd incident close ID [TEXT]"
                                   : "say what and where: runbookd incident note ID TEXT");
        return RB_EXIT_USAGE;
    }
    if (text.len > RB_INCIDENT_NOTE_MAX || text.failed) {
        rb_cli_error("a note has at most %u bytes", RB_INCIDENT_NOTE_MAX);
        return RB_EXIT_USAGE;
    }
    if (!has_daemon(cli, &client))
        return change_alone(cli, id, text.len ? rb_buf_str(&text) : NULL, closing);
    json_t *body = json_object();
    put(body, "text", text.len ? rb_buf_str(&text) : NULL);
    put(body, "who", cli->args->drift.who);
    (void)snprintf(path, sizeof path, "/api/v1/incidents/%s/%s", id, closing ? "close" : "notes");
    return post(&client, path, body, &answer) ? RB_EXIT_OK : RB_EXIT_BAD;
}

/* ---- post-mortem ---- */

static bool is_german(const struct rb_cli *cli, bool configured)
{
    return cli->args->incident.lang ? strcmp(cli->args->incident.lang, "de") == 0 : configured;
}

static bool make_alone(const struct rb_cli *cli, const char *id, struct rb_buf *out, char name[128])
{
    struct rb_incident_alone alone;
    struct rb_error err = {0};
    if (rb_incident_alone_open(cli, false, &alone) != RB_EXIT_OK)
        return false;
    struct rb_incident *incident = rb_incidents_find(&alone.incidents, id);
    int rc = incident ? rb_postmortem_make(incident, alone.dir, alone.template_path, is_german(cli, alone.german), out, &err)
                      : rb_error_set(&err, RB_ENOTFOUND, "there is no incident %s; see: runbookd incident list", id);
    if (rc == 0)
        rb_postmortem_name(incident, name);
    else
        rb_cli_error("%s", err.message);
    rb_incident_alone_close(&alone);
    return rc == 0;
}

static bool ask_daemon(const struct rb_cli *cli, const struct rb_client *client, const char *id, struct rb_buf *out, char name[128])
{
    char path[160];
    struct rb_error err = {0};
    struct rb_incident incident = {0};
    long status = 0;
    (void)snprintf(path, sizeof path, "/api/v1/incidents/%s", id);
    int rc = rb_client_get_json(client, path, &incident.doc, &err);
    (void)snprintf(path, sizeof path, "/api/v1/incidents/%s/postmortem%s%.2s", id, cli->args->incident.lang ? "?lang=" : "",
                   cli->args->incident.lang ? cli->args->incident.lang : "");
    if (rc == 0) {
        rb_postmortem_name(&incident, name);
        rc = rb_client_get(client, path, "text/markdown", out, &status, &err);
    }
    json_decref(incident.doc);
    if (rc == 0 && status != 200)
        rc = rb_error_set(&err, RB_ESYS, "the daemon could not make it: %.300s", rb_buf_str(out));
    if (rc < 0)
        rb_cli_error("%s", err.message);
    return rc == 0;
}

static int write_file(const struct rb_cli *cli, const struct rb_buf *text, const char *name)
{
    char path[4096];
    struct stat info;
    bool folder = stat(cli->args->output, &info) == 0 && S_ISDIR(info.st_mode);
    (void)snprintf(path, sizeof path, "%s%s%s", cli->args->output, folder ? "/" : "", folder ? name : "");
    FILE *file = fopen(path, "wx");
    if (!file) {
        rb_cli_error("cannot make %s: it exists, or its folder cannot be written", path);
        return RB_EXIT_CANNOT;
    }
    bool whole = fwrite(rb_buf_str(text), 1, text->len, file) == text->len;
    if (fclose(file) != 0 || !whole) {
        rb_cli_error("cannot write %s", path);
        return RB_EXIT_CANNOT;
    }
    return RB_EXIT_OK;
}

static int postmortem(const struct rb_cli *cli)
{
    const char *id = word(cli, 1), *lang = cli->args->incident.lang;
    char name[128] = "";
    struct rb_client client;
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_POSTMORTEM_MAX);
    if (!id || !rb_incident_is_id(id) || (lang && strcmp(lang, "de") != 0 && strcmp(lang, "en") != 0)) {
        rb_cli_error("name the incident: runbookd incident postmortem ID [--lang en|de] [-o PATH]");
        return RB_EXIT_USAGE;
    }
    bool made = has_daemon(cli, &client) ? ask_daemon(cli, &client, id, &text, name) : make_alone(cli, id, &text, name);
    if (!made)
        return RB_EXIT_CANNOT;
    return cli->args->output ? write_file(cli, &text, name) : rb_cli_write(&text, RB_EXIT_OK);
}

static int run(const struct rb_cli *cli)
{
    static const char *const verbs[] = {"open", "list", "note", "close", "postmortem", NULL};
    const char *verb = word(cli, 0) ? word(cli, 0) : "list";
    if (strcmp(verb, "open") == 0)
        return open_incident(cli);
    if (strcmp(verb, "list") == 0)
        return list(cli);
    if (strcmp(verb, "note") == 0)
        return change(cli, false);
    if (strcmp(verb, "close") == 0)
        return change(cli, true);
    if (strcmp(verb, "postmortem") == 0)
        return postmortem(cli);
    const char *near = rb_text_nearest(verb, verbs);
    rb_cli_error("unknown `incident %s`%s%s%s; one of open, list, note, close, postmortem", verb, near ? "; did you mean `" : "",
                 near ? near : "", near ? "`?" : "");
    return RB_EXIT_USAGE;
}

const struct rb_cli_command rb_cli_cmd_incident = {
    .name = "incident",
    .args = "open|list|note|close|postmortem [ID] [TEXT…]",
    .doc = "Keep the state as an incident, note what was done, close it, write the post-mortem.",
    .details =
        "open: makes a triage and keeps it with the state and the timeline; prints the report, which names the id. list: all that are "
        "kept. note ID TEXT; close ID [TEXT]. postmortem ID: Markdown, filled from the timeline. With a daemon everything goes "
        "through it, without one this command takes the lock of the state folder.",
    .options = options,
    .max_words = 1024,
    .run = run,
};
