/* drift: show what differs from the accepted baselines, take it for normal with a reason, read the log of who did, see one item in full.
 *
 * With a daemon on the folder of state everything goes through it; without one the drift checks run once here, and accepting takes the lock. */
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "drift_print.h"
#include "runbook/base/text.h"
#include "runbook/base/units.h"
#include "runbook/drift/accept.h"

enum { FORMAT_TEXT, FORMAT_JSON, FORMAT_MARKDOWN };

static const struct rb_choice formats[] = {{"text", FORMAT_TEXT, "For people."},
                                           {"json", FORMAT_JSON, "As the endpoint."},
                                           {"markdown", FORMAT_MARKDOWN, "For the documentation of a review."},
                                           {NULL, 0, NULL}};

static const struct rb_cli_option options[] = {
    {"all", 0, RB_CLI_FLAG, offsetof(struct rb_cli_args, drift.all), NULL, "show: accepted items too. accept: every open item.", NULL},
    {"format", 0, RB_CLI_CHOICE, offsetof(struct rb_cli_args, format), "FORMAT", "show: text, json or markdown.", formats},
    {"reason", 0, RB_CLI_TEXT, offsetof(struct rb_cli_args, drift.reason), "TEXT", "accept: why this is intended; required.", NULL},
    {"ref", 0, RB_CLI_TEXT, offsetof(struct rb_cli_args, drift.ref), "TEXT", "accept: a reference, such as PR #1234.", NULL},
    {"who", 0, RB_CLI_TEXT, offsetof(struct rb_cli_args, drift.who), "NAME", "accept: who accepts; the user by default.", NULL},
    {"until", 0, RB_CLI_TEXT, offsetof(struct rb_cli_args, drift.until), "DATE",
     "accept: for how long (a date or RFC 3339 time); then it is drift again.", NULL},
    {"expires", 0, RB_CLI_TEXT, offsetof(struct rb_cli_args, drift.expires), "DURATION",
     "accept: for how long, counted from now, e.g. 14d.", NULL},
    {NULL}};

/* ---- reading ---- */

static json_t *from_daemon(const struct rb_client *client, bool all)
{
    json_t *status = NULL, *report = NULL;
    struct rb_error ignored;
    if (rb_client_get_json(client, "/status", &status, &ignored) < 0)
        return NULL;
    bool same = rb_client_check_root(client, status);
    json_decref(status);
    if (!same || rb_client_get_json(client, all ? "/api/v1/drift?all=1" : "/api/v1/drift", &report, &ignored) < 0)
        return NULL;
    return report;
}

/* Names of all drift checks; `*out_loaded` tells why when it fails. */
static bool drift_checks(const struct rb_cli *cli, struct rb_strings *out, int *out_code)
{
    struct rb_cli_loaded *loaded = rb_cli_load(cli);
    *out_code = RB_EXIT_CANNOT;
    if (!loaded || !loaded->plan) {
        *out_code = loaded ? rb_cli_load_failed(loaded) : RB_EXIT_CANNOT;
        return false;
    }
    const char **names = rb_arena_array(cli->arena, loaded->plan->count + 1, sizeof *names);
    for (size_t i = 0; names && i < loaded->plan->count; i++)
        if (strcmp(loaded->plan->checks[i].kind->schema.name, "drift") == 0)
            names[out->count++] = rb_arena_strdup(cli->arena, loaded->plan->checks[i].name);
    out->items = names;
    rb_plan_unref(loaded->plan);
    return names != NULL;
}

static bool run_checks(const struct rb_cli *cli, struct rb_app_accept *accept, struct rb_app_result *out, int *out_code)
{
    struct rb_strings names = {0};
    struct rb_cli_loaded failed = {0};
    if (!drift_checks(cli, &names, out_code))
        return false;
    if (names.count == 0) {
        rb_cli_error("the configuration has no drift check; see: runbookd explain drift");
        *out_code = RB_EXIT_CANNOT;
        return false;
    }
    rb_diags_init(&failed.diags, cli->arena);
    struct rb_app_check request = {.options = &cli->args->app, .names = names, .phase = -1, .accept = accept};
    int rc = rb_app_check(&request, cli->arena, &failed.diags, out, &failed.err);
    if (rc == 0)
        return true;
    failed.code = failed.diags.count > 0 ? RB_EXIT_CONFIG : rb_cli_code_of(&failed.err);
    *out_code = rb_cli_load_failed(&failed);
    return false;
}

static json_t *from_checks(const struct rb_cli *cli, bool all, int *out_code)
{
    struct rb_app_result result = {0};
    if (!run_checks(cli, NULL, &result, out_code))
        return NULL;
    struct rb_view view = rb_view_of(result.snapshot, rb_platform_host()->clock);
    struct rb_error err = {0};
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_RENDER_MAX);
    json_t *report = NULL;
    if (rb_render_drift_json(&view, all, &text, &err) == 0)
        report = json_loadb(rb_buf_str(&text), text.len, JSON_ALLOW_NUL, NULL);
    if (!report)
        rb_cli_error("%s", err.message);
    rb_snapshot_unref(result.snapshot);
    free(result.chosen);
    return report;
}

json_t *rb_drift_report(const struct rb_cli *cli, bool all, int *out_code)
{
    struct rb_client client;
    rb_client_find(cli, &client);
    json_t *report = from_daemon(&client, all);
    return report ? report : from_checks(cli, all, out_code);
}

/* ---- show, diff ---- */

static struct rb_strings arguments(const struct rb_cli *cli)
{
    const struct rb_strings *words = &cli->args->words;
    return words->count > 1 ? (struct rb_strings){words->items + 1, words->count - 1} : (struct rb_strings){0};
}

/* True when every name is that of a check in the report. */
static bool names_exist(const json_t *report, const struct rb_strings *wanted)
{
    for (size_t i = 0; i < wanted->count; i++) {
        bool found = false;
        size_t k;
        json_t *check;
        json_array_foreach(json_object_get(report, "drift"), k, check)
            found |= strcmp(json_string_value(json_object_get(check, "check")), wanted->items[i]) == 0;
        if (!found) {
            rb_cli_error("'%s' is no drift check that has compared; see: runbookd status", wanted->items[i]);
            return false;
        }
    }
    return true;
}

static json_t *only_wanted(json_t *take_report, const struct rb_strings *wanted)
{
    json_t *list = json_object_get(take_report, "drift");
    for (size_t i = json_array_size(list); i-- > 0;) {
        const char *name = json_string_value(json_object_get(json_array_get(list, i), "check"));
        if (!name || !rb_drift_wanted(wanted, name))
            (void)json_array_remove(list, i);
    }
    return take_report;
}

static int show(const struct rb_cli *cli)
{
    int code = RB_EXIT_CANNOT;
    struct rb_strings wanted = arguments(cli);
    json_t *report = rb_drift_report(cli, cli->args->drift.all, &code);
    if (!report)
        return code;
    if (!names_exist(report, &wanted)) {
        json_decref(report);
        return RB_EXIT_USAGE;
    }
    if (cli->args->json || cli->args->format == FORMAT_JSON)
        return rb_cli_write_json(only_wanted(report, &wanted), RB_EXIT_OK);
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_RENDER_MAX);
    if (cli->args->format == FORMAT_MARKDOWN)
        rb_drift_print_markdown(report, &wanted, &text);
    else
        rb_drift_print_text(report, &wanted, &text);
    json_decref(report);
    return rb_cli_write(&text, RB_EXIT_OK);
}

static int diff(const struct rb_cli *cli)
{
    int code = RB_EXIT_CANNOT;
    struct rb_strings wanted = arguments(cli);
    if (wanted.count != 1) {
        rb_cli_error("name one item: runbookd drift diff ID|KEY");
        return RB_EXIT_USAGE;
    }
    json_t *report = rb_drift_report(cli, true, &code), *check, *item;
    if (!report)
        return code;
    size_t i, k;
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_RENDER_MAX);
    json_array_foreach(json_object_get(report, "drift"), i, check)
    {
        json_array_foreach(json_object_get(check, "items"), k, item)
        {
            const char *id = json_string_value(json_object_get(item, "id")), *key = json_string_value(json_object_get(item, "key"));
            bool meant = (strlen(wanted.items[0]) >= 4 && strncmp(id, wanted.items[0], strlen(wanted.items[0])) == 0) ||
                         strcmp(key, wanted.items[0]) == 0;
            if (meant)
                rb_drift_print_item(json_string_value(json_object_get(check, "check")), item, &text);
        }
    }
    json_decref(report);
    if (text.len > 0)
        return rb_cli_write(&text, RB_EXIT_OK);
    rb_cli_error("there is no item '%s'; see: runbookd drift show --all", wanted.items[0]);
    return RB_EXIT_USAGE;
}

/* ---- accept ---- */

static const char *user_name(const struct rb_cli *cli)
{
    const struct passwd *user = getpwuid(geteuid());
    return user ? rb_arena_strdup(cli->arena, user->pw_name) : rb_arena_printf(cli->arena, "uid %u", (unsigned)geteuid());
}

static char *request_of(const struct rb_cli *cli)
{
    struct rb_strings targets = arguments(cli);
    json_t *list = json_array();
    for (size_t i = 0; i < targets.count; i++)
        (void)json_array_append_new(list, rb_cli_json_text(targets.items[i]));
    const char *who = cli->args->drift.who ? cli->args->drift.who : user_name(cli);
    json_t *request = json_pack("{s:o, s:b, s:s?, s:s?, s:s?, s:s?, s:s?}", "targets", list, "all", cli->args->drift.all, "reason",
                                cli->args->drift.reason, "ref", cli->args->drift.ref, "who", who, "until", cli->args->drift.until,
                                "expires", cli->args->drift.expires);
    char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
    json_decref(request);
    return text;
}

static int tell_answer(const struct rb_cli *cli, long status, const struct rb_buf *body)
{
    json_t *answer = json_loadb(rb_buf_str(body), body->len, 0, NULL);
    if (status >= 400 || !answer) {
        const char *detail = json_string_value(json_object_get(answer, "detail"));
        rb_cli_error("%s", detail ? detail : rb_buf_str(body));
        json_decref(answer);
        return status == 400 ? RB_EXIT_USAGE : RB_EXIT_BAD;
    }
    if (cli->args->json)
        return rb_cli_write_json(answer, RB_EXIT_OK);
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_RENDER_MAX);
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(answer, "baselines"), i, entry)
    {
        rb_buf_adds(&text, "new baseline of ");
        rb_text_escapes(&text, json_string_value(entry));
        rb_buf_addc(&text, '\n');
    }
    json_array_foreach(json_object_get(answer, "accepted"), i, entry)
    {
        rb_buf_addf(&text, "accepted %.8s  ", json_string_value(json_object_get(entry, "id")));
        rb_text_escapes(&text, json_string_value(json_object_get(entry, "key")));
        rb_buf_addc(&text, '\n');
    }
    if (text.len == 0)
        rb_buf_adds(&text, "nothing is open: nothing to accept\n");
    json_decref(answer);
    return rb_cli_write(&text, RB_EXIT_OK);
}

static int accept_alone(const struct rb_cli *cli, const char *json)
{
    RB_BUF_AUTO answer;
    rb_buf_init(&answer, RB_RENDER_MAX);
    struct rb_app_accept accept = {.json = json, .status = 503, .answer = &answer};
    struct rb_app_result result = {0};
    int code = RB_EXIT_CANNOT;
    if (!run_checks(cli, &accept, &result, &code))
        return code;
    rb_snapshot_unref(result.snapshot);
    free(result.chosen);
    return tell_answer(cli, accept.status, &answer);
}

static int accept_drift(const struct rb_cli *cli)
{
    struct rb_client client;
    struct rb_error err = {0};
    long status = 0;
    RB_BUF_AUTO body;
    rb_buf_init(&body, RB_RENDER_MAX);
    char *json = request_of(cli);
    if (!json) {
        rb_cli_error("out of memory");
        return RB_EXIT_CANNOT;
    }
    rb_client_find(cli, &client);
    int rc = rb_client_post(&client, "/api/v1/drift/accept", json, &body, &status, &err), code;
    if (rc == 0) {
        code = tell_answer(cli, status, &body);
    } else if (rc == RB_ENOTFOUND) {
        code = accept_alone(cli, json);
    } else {
        rb_cli_error("%s", err.message);
        code = RB_EXIT_CANNOT;
    }
    free(json);
    return code;
}

/* ---- log ---- */

static json_t *entry_json(const struct rb_drift_log_entry *entry)
{
    char at[RB_TIME_TEXT], until[RB_TIME_TEXT];
    return json_pack("{s:s, s:o, s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:s?}", "time", rb_time_rfc3339(at, entry->wall_ns), "check",
                     rb_cli_json_text(entry->check), "id", entry->id, "key", rb_cli_json_text(entry->key), "change", entry->change, "old",
                     rb_cli_json_text(entry->old_text ? entry->old_text : ""), "new",
                     rb_cli_json_text(entry->new_text ? entry->new_text : ""), "who",
                     rb_cli_json_text(entry->accepted.who ? entry->accepted.who : ""), "why",
                     rb_cli_json_text(entry->accepted.why ? entry->accepted.why : ""), "ref",
                     rb_cli_json_text(entry->accepted.ref ? entry->accepted.ref : ""), "until",
                     entry->accepted.until_wall_ns ? rb_time_rfc3339(until, entry->accepted.until_wall_ns) : NULL);
}

static void add_entry(const struct rb_drift_log_entry *entry, struct rb_buf *out)
{
    char at[RB_TIME_TEXT];
    rb_buf_addf(out, "%s  %-8s  ", rb_time_human(at, entry->wall_ns), entry->change);
    rb_text_escapes(out, entry->check);
    rb_buf_adds(out, "  ");
    rb_text_escapes(out, entry->key);
    rb_buf_adds(out, "\n    ");
    rb_text_escapes(out, entry->accepted.who ? entry->accepted.who : "?");
    rb_buf_adds(out, ": ");
    rb_text_escapes(out, entry->accepted.why ? entry->accepted.why : "");
    if (entry->accepted.ref) {
        rb_buf_adds(out, " (");
        rb_text_escapes(out, entry->accepted.ref);
        rb_buf_addc(out, ')');
    }
    if (entry->accepted.until_wall_ns)
        rb_buf_addf(out, ", until %s", rb_time_human(at, entry->accepted.until_wall_ns));
    rb_buf_addc(out, '\n');
}

static int print_log(const struct rb_cli *cli, const struct rb_drift_log *log)
{
    int code = log->damaged > 0 ? RB_EXIT_BAD : RB_EXIT_OK;
    if (log->damaged > 0)
        rb_cli_error(RB_DRIFT_LOG ": %zu damaged or missing line%s, the first is line %u: somebody or something changed the file",
                     log->damaged, log->damaged == 1 ? "" : "s", log->first_damaged_line);
    if (log->torn)
        rb_cli_error(RB_DRIFT_LOG ": the last line is incomplete: a write was cut off; the acceptance itself stands in the baseline");
    if (cli->args->json) {
        json_t *entries = json_array();
        for (size_t i = 0; i < log->count; i++)
            (void)json_array_append_new(entries, entry_json(&log->items[i]));
        return rb_cli_write_json(json_pack("{s:o, s:i, s:i, s:b}", "log", entries, "damaged", (int)log->damaged, "first_damaged_line",
                                           (int)log->first_damaged_line, "torn", log->torn),
                                 code);
    }
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_RENDER_MAX);
    for (size_t i = 0; i < log->count; i++)
        add_entry(&log->items[i], &text);
    if (log->count == 0 && log->damaged == 0)
        rb_buf_adds(&text, "nothing was accepted yet\n");
    return rb_cli_write(&text, code);
}

static int show_log(const struct rb_cli *cli)
{
    struct rb_cli_loaded *loaded = rb_cli_load(cli);
    if (!loaded || !loaded->plan)
        return loaded ? rb_cli_load_failed(loaded) : RB_EXIT_CANNOT;
    char dir[4096], path[4096 + 32];
    struct rb_error err = {0};
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_DRIFT_LOG_MAX);
    struct rb_drift_log log = {0};
    int rc = rb_app_state_path(loaded->plan, dir, sizeof dir, &err);
    rb_plan_unref(loaded->plan);
    if (rc == 0) {
        (void)snprintf(path, sizeof path, "%s/" RB_DRIFT_LOG, dir);
        rc = rb_file_read(path, RB_DRIFT_LOG_MAX, true, &text, &err);
        if (rc == RB_ESYS && err.saved_errno == ENOENT)
            rc = RB_ENOTFOUND;
    }
    if (rc == 0)
        rc = rb_drift_log_read(rb_buf_str(&text), text.len, cli->arena, &log, &err);
    if (rc == 0 || rc == RB_ENOTFOUND)
        return print_log(cli, &log);
    rb_cli_error("%s", err.message);
    return RB_EXIT_CANNOT;
}

static int run(const struct rb_cli *cli)
{
    const char *verb = cli->args->words.count > 0 ? cli->args->words.items[0] : "show";
    static const char *const verbs[] = {"show", "accept", "log", "diff", NULL};
    if (strcmp(verb, "show") == 0)
        return show(cli);
    if (strcmp(verb, "accept") == 0)
        return accept_drift(cli);
    if (strcmp(verb, "log") == 0)
        return show_log(cli);
    if (strcmp(verb, "diff") == 0)
        return diff(cli);
    const char *near = rb_text_nearest(verb, verbs);
    rb_cli_error("unknown `drift %s`%s%s%s; one of show, accept, log, diff", verb, near ? "; did you mean `" : "", near ? near : "",
                 near ? "`?" : "");
    return RB_EXIT_USAGE;
}

const struct rb_cli_command rb_cli_cmd_drift = {
    .name = "drift",
    .args = "show|accept|log|diff [CHECK|ITEM…]",
    .doc = "What differs from the accepted baselines; accept it with a reason.",
    .details = "show [CHECK…]: open items (--all: accepted ones too). accept CHECK|ID|GLOB…|--all --reason TEXT: takes them for normal, "
               "with who, why and until when; an "
               "item that a safety check guards is refused (exit 1), and then nothing is accepted. log: who accepted what; damage to the "
               "log is told with its line (exit "
               "1). diff ITEM: one item in full. With a daemon everything goes through it, without one the drift checks run once here.",
    .options = options,
    .max_words = 1024,
    .run = run,
};
