/* triage: a ranked diagnosis, from the daemon or, when there is none, from checks run here and now. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "runbook/base/text.h"

#define MAX_AGE_NS        (INT64_C(5) * RB_NS_PER_S)
#define ALONE_DEADLINE_MS 10000

static int code_of_verdict(enum rb_verdict verdict)
{
    switch (verdict) {
    case RB_VERDICT_HEALTHY:
        return RB_EXIT_OK;
    case RB_VERDICT_BLIND:
        return RB_EXIT_CANNOT;
    case RB_VERDICT_CAUSES:
    case RB_VERDICT_UNDETERMINED:
        break;
    }
    return RB_EXIT_BAD;
}

static int code_of_name(const char *name)
{
    if (name && strcmp(name, rb_verdict_name(RB_VERDICT_HEALTHY)) == 0)
        return RB_EXIT_OK;
    return name && strcmp(name, rb_verdict_name(RB_VERDICT_BLIND)) == 0 ? RB_EXIT_CANNOT : RB_EXIT_BAD;
}

static const struct rb_cli_option options[] = {{"discover", 0, RB_CLI_FLAG, offsetof(struct rb_cli_args, app.discover), NULL,
                                                "Plan from where it stands, even when there is a configuration.", NULL},
                                               {NULL}};

/* ---- with a daemon ---- */

/* The verdict of the round that was just made, as an exit code. */
static int code_of_daemon(const struct rb_client *client)
{
    json_t *report = NULL;
    struct rb_error ignored;
    if (rb_client_get_json(client, "/triage?fresh=0", &report, &ignored) < 0)
        return RB_EXIT_BAD;
    int code = code_of_name(json_string_value(json_object_get(report, "verdict")));
    json_decref(report);
    return code;
}

/* Prints the daemon's report; false when it could not give one. */
static bool print_daemons(const struct rb_cli *cli, const struct rb_client *client, int *out_code)
{
    json_t *report = NULL;
    struct rb_error err = {0};
    if (cli->args->json) {
        if (rb_client_get_json(client, "/triage", &report, &err) < 0)
            return false;
        int code = code_of_name(json_string_value(json_object_get(report, "verdict")));
        *out_code = rb_cli_write_json(report, code);
        return true;
    }
    RB_BUF_AUTO body, text;
    rb_buf_init(&body, RB_RENDER_MAX);
    rb_buf_init(&text, RB_RENDER_MAX);
    long status = 0;
    if (rb_client_get(client, "/triage", "text/plain", &body, &status, &err) < 0 || status != 200)
        return false;
    rb_cli_add_lines(&text, rb_buf_str(&body), body.len);
    *out_code = rb_cli_write(&text, code_of_daemon(client));
    return true;
}

/* ---- without one ---- */

static json_t *report_json(const struct rb_view *view, const struct rb_diagnosis *diagnosis, struct rb_error *err)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_RENDER_MAX);
    if (rb_render_triage_json(view, diagnosis, &text, err) < 0)
        return NULL;
    return json_loadb(rb_buf_str(&text), text.len, JSON_ALLOW_NUL, NULL);
}

static int print_alone(const struct rb_cli *cli, const struct rb_view *view, const struct rb_diagnosis *diagnosis)
{
    struct rb_error err = {0};
    if (cli->args->json)
        return rb_cli_write_json(report_json(view, diagnosis, &err), code_of_verdict(diagnosis->verdict));
    struct rb_text_style style = rb_cli_style(stdout, view->snapshot->plan->daemon.language);
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_RENDER_MAX);
    rb_buf_adds(&text, rb_message(style.language, RB_MSG_NO_DAEMON));
    rb_buf_addc(&text, '\n');
    if (rb_render_triage_text(view, diagnosis, &style, &text, &err) < 0) {
        rb_cli_error("%s", err.message);
        return RB_EXIT_CANNOT;
    }
    return rb_cli_write(&text, code_of_verdict(diagnosis->verdict));
}

static int diagnose(const struct rb_cli *cli, const struct rb_app_result *result)
{
    struct rb_view view = rb_view_of(result->snapshot, rb_platform_host()->clock);
    /* Everything that this round brought counts as fresh, however long the slowest check took. */
    int64_t round_ns = isfinite(result->duration_s) ? (int64_t)(result->duration_s * (double)RB_NS_PER_S) : 0;
    struct rb_diagnosis_options limits = {.max_age_ns = MAX_AGE_NS + round_ns, .round_s = result->duration_s};
    struct rb_diagnosis diagnosis = {0};
    struct rb_error err = {0};
    if (rb_diagnose(&view, &limits, cli->arena, &diagnosis, &err) < 0) {
        rb_cli_error("%s", err.message);
        return RB_EXIT_CANNOT;
    }
    return print_alone(cli, &view, &diagnosis);
}

/* Nothing is stored that a scan or a command could be read from, so everything automatic runs, not only what a daemon would bring forward; what is manual waits for
 * its own request. Empty when there is nothing of the kind or no plan: rb_app_check then says what is wrong. */
static struct rb_strings automatic_checks(const struct rb_cli *cli)
{
    struct rb_cli_loaded *loaded = rb_cli_load(cli);
    const struct rb_plan *plan = loaded ? loaded->plan : NULL;
    const char **names = plan ? rb_arena_array(cli->arena, plan->count + 1, sizeof *names) : NULL;
    size_t count = 0;
    for (size_t i = 0; names && i < plan->count; i++) {
        if (!plan->checks[i].manual)
            names[count++] = rb_arena_strdup(cli->arena, plan->checks[i].name);
    }
    if (loaded)
        rb_plan_unref(loaded->plan);
    bool whole = count > 0 && !rb_arena_failed(cli->arena);
    return (struct rb_strings){.items = whole ? names : NULL, .count = whole ? count : 0};
}

static int alone(const struct rb_cli *cli)
{
    struct rb_cli_loaded *loaded = rb_arena_alloc(cli->arena, sizeof *loaded);
    if (!loaded) {
        rb_cli_error("out of memory");
        return RB_EXIT_CANNOT;
    }
    rb_diags_init(&loaded->diags, cli->arena);
    struct rb_app_check request = {
        .options = &cli->args->app, .names = automatic_checks(cli), .phase = -1, .triage_only = true, .deadline_ms = ALONE_DEADLINE_MS};
    struct rb_app_result result = {0};
    if (rb_app_check(&request, cli->arena, &loaded->diags, &result, &loaded->err) < 0) {
        loaded->code = loaded->diags.count > 0 ? RB_EXIT_CONFIG : rb_cli_code_of(&loaded->err);
        return rb_cli_load_failed(loaded);
    }
    int code = diagnose(cli, &result);
    rb_snapshot_unref(result.snapshot);
    free(result.chosen);
    return code;
}

/* The daemon of another tree is no help here. */
static bool serves_this_tree(const struct rb_client *client)
{
    json_t *status = NULL;
    struct rb_error ignored;
    if (rb_client_get_json(client, "/status", &status, &ignored) < 0)
        return false;
    bool same = rb_client_check_root(client, status);
    json_decref(status);
    return same;
}

static int run(const struct rb_cli *cli)
{
    struct rb_client client;
    rb_client_find(cli, &client);
    int code = RB_EXIT_CANNOT;
    if (serves_this_tree(&client) && print_daemons(cli, &client, &code))
        return code;
    return alone(cli);
}

const struct rb_cli_command rb_cli_cmd_triage = {
    .name = "triage",
    .args = "",
    .doc = "Tell cause from symptom: a ranked diagnosis of what is wrong.",
    .details = "Asks the daemon, which runs afresh what is older than five seconds; without a daemon the checks run once here, and the "
               "first line says so. It changes "
               "nothing: what to do is printed, never run. Exit code 0: healthy; 1: causes, or undetermined; 2: nothing could be observed.",
    .options = options,
    .run = run,
};
