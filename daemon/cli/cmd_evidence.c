/* evidence: the facts of this tree in one archive; with --observed also what was seen. */
#include <archive.h>
#include <git2.h>
#include <math.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "client.h"
#include "drift_print.h"
#include "pack.h"
#include "runbook/evidence/evidence.h"

#define ARG(member)       offsetof(struct rb_cli_args, member)
#define ALONE_DEADLINE_MS 10000
#define MAX_AGE_NS        (INT64_C(5) * RB_NS_PER_S)
#define SOURCE_DAEMON     "daemon"
#define SOURCE_ROUND      "one round"

static const struct rb_cli_option options[] = {
    {"output", 'o', RB_CLI_TEXT, ARG(output), "FILE", "Write to this file, and its sha256 to FILE.sha256.", NULL},
    {"commit", 0, RB_CLI_LIST, ARG(commits), "COMMIT", "Add this commit with its patch; may be given several times.", NULL},
    {"observed", 0, RB_CLI_FLAG, ARG(observed), NULL, "Add status, triage and metrics as they are now; no two such archives are equal.",
     NULL},
    {"force", 0, RB_CLI_FLAG, ARG(force), NULL, "Replace a file that is there.", NULL},
    {"strict", 0, RB_CLI_FLAG, ARG(strict), NULL, "Exit 1 when an input is missing.", NULL},
    {NULL}};

/* ---- facts ---- */

/* What produced the archive: the same program gives the same text. */
static int add_versions(struct rb_archive *archive, struct rb_error *err)
{
    int major = 0, minor = 0, revision = 0;
    (void)git_libgit2_version(&major, &minor, &revision);
    RB_BUF_AUTO text;
    rb_buf_init(&text, 4096);
    rb_buf_addf(&text, "runbookd %s\nlibarchive %d\nlibgit2 %d.%d.%d\nzlib %s\n", RB_VERSION, archive_version_number(), major, minor,
                revision, zlibVersion());
    return rb_archive_add(archive, "versions.txt", "runbookd", rb_buf_str(&text), text.len, err);
}

static bool has_drift(const struct rb_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++)
        if (strcmp(plan->checks[i].kind->schema.name, "drift") == 0)
            return true;
    return false;
}

/* When something changed or was accepted is an observation; that it differs, and who accepted it why, is a fact. */
static void strip_times(json_t *report)
{
    size_t i, k;
    json_t *check, *item;
    json_array_foreach(json_object_get(report, "drift"), i, check)
    {
        (void)json_object_del(check, "baseline");
        json_array_foreach(json_object_get(check, "items"), k, item)
        {
            (void)json_object_del(item, "changed_at");
            (void)json_object_del(item, "time_note");
        }
    }
}

/* Against the accepted baselines of this tree. A discovered plan depends on the machine: its drift is none of the facts. */
static int add_drift(const struct rb_cli *cli, const struct rb_plan *plan, struct rb_archive *archive, struct rb_error *err)
{
    if (plan->discovered || !has_drift(plan))
        return rb_archive_add_missing(archive, "drift.json", "the configuration has no drift check", err);
    int code;
    json_t *report = rb_drift_report(cli, true, &code);
    if (!report)
        return rb_archive_add_missing(archive, "drift.json", "the drift checks could not run", err);
    strip_times(report);
    char *text = json_dumps(report, JSON_INDENT(1) | JSON_SORT_KEYS);
    json_decref(report);
    int rc = text ? rb_archive_add(archive, "drift.json", "drift checks", text, strlen(text), err)
                  : rb_error_set(err, RB_ENOMEM, "out of memory");
    free(text);
    return rc;
}

static int add_facts(const struct rb_cli *cli, const struct rb_plan *plan, const struct rb_error *broken, struct rb_archive *archive,
                     struct rb_error *err)
{
    const struct passwd *user = getpwuid(geteuid());
    int rc = 0;
    rb_pack_hide(cli, plan, archive);
    if (broken->code)
        rc = rb_archive_add_missing(archive, "config/effective.json", broken->message, err);
    else
        rc = rb_evidence_add_config(archive, plan, user ? user->pw_dir : NULL, err);
    if (rc == 0)
        rc = rb_evidence_add_git(archive, plan->daemon.root, &cli->args->commits, err);
    if (rc == 0)
        rc = rb_evidence_add_files(archive, plan->daemon.root, "files/", &cli->args->words, err);
    if (rc == 0)
        rc = add_drift(cli, plan, archive, err);
    return rc == 0 ? add_versions(archive, err) : rc;
}

/* ---- what was observed ---- */

static const struct body {
    const char *name, *path, *accept;
} bodies[] = {{"observed/status.json", "/status", "application/json"},
              {"observed/triage.json", "/triage", "application/json"},
              {"observed/triage.txt", "/triage", "text/plain"},
              {"observed/metrics.txt", "/metrics", "text/plain"}};
#define BODY_COUNT (sizeof bodies / sizeof bodies[0])

static bool serves_this_tree(const struct rb_client *client)
{
    json_t *status = NULL;
    struct rb_error ignored;
    if (rb_client_get_json(client, "/status", &status, &ignored) < 0)
        return false;
    const char *root = json_string_value(json_object_get(status, "root"));
    bool same = root && strcmp(root, client->root) == 0;
    json_decref(status);
    return same;
}

static int add_from_daemon(const struct rb_client *client, struct rb_archive *archive, struct rb_error *err)
{
    int rc = 0;
    for (size_t i = 0; i < BODY_COUNT && rc == 0; i++) {
        RB_BUF_AUTO body;
        rb_buf_init(&body, RB_RENDER_MAX);
        long status = 0;
        struct rb_error why = {0};
        int got = rb_client_get(client, bodies[i].path, bodies[i].accept, &body, &status, &why);
        if (got == 0 && status != 200)
            got = rb_error_set(&why, RB_EPARSE, "the daemon answered with status %ld", status);
        rc = got == 0 ? rb_archive_add(archive, bodies[i].name, SOURCE_DAEMON, rb_buf_str(&body), body.len, err)
                      : rb_archive_add_missing(archive, bodies[i].name, why.message, err);
    }
    return rc;
}

static int render(size_t which, const struct rb_view *view, const struct rb_diagnosis *diagnosis, struct rb_buf *out, struct rb_error *err)
{
    const struct rb_text_style style = {.columns = 100, .language = (enum rb_language)view->snapshot->plan->daemon.language};
    const struct rb_server_stats none = {0};
    switch (which) {
    case 0:
        return rb_render_status_json(view, out, err);
    case 1:
        return rb_render_triage_json(view, diagnosis, out, err);
    case 2:
        return rb_render_triage_text(view, diagnosis, &style, out, err);
    default:
        return rb_render_metrics(view, &none, RB_METRICS_TEXT, out, err);
    }
}

static int add_rendered(const struct rb_cli *cli, const struct rb_app_result *result, struct rb_archive *archive, struct rb_error *err)
{
    struct rb_view view = rb_view_of(result->snapshot, rb_platform_host()->clock);
    int64_t round_ns = isfinite(result->duration_s) ? (int64_t)(result->duration_s * (double)RB_NS_PER_S) : 0;
    struct rb_diagnosis_options limits = {.max_age_ns = MAX_AGE_NS + round_ns, .round_s = result->duration_s};
    struct rb_diagnosis diagnosis = {0};
    int rc = rb_diagnose(&view, &limits, cli->arena, &diagnosis, err);
    for (size_t i = 0; i < BODY_COUNT && rc == 0; i++) {
        RB_BUF_AUTO body;
        rb_buf_init(&body, RB_RENDER_MAX);
        rc = render(i, &view, &diagnosis, &body, err);
        if (rc == 0)
            rc = rb_archive_add(archive, bodies[i].name, SOURCE_ROUND, rb_buf_str(&body), body.len, err);
    }
    return rc;
}

/* Without a daemon: every triage check once, as `triage` does it. */
static int add_from_round(const struct rb_cli *cli, struct rb_archive *archive, struct rb_error *err)
{
    struct rb_diags diags;
    rb_diags_init(&diags, cli->arena);
    struct rb_app_check request = {.options = &cli->args->app, .phase = -1, .triage_only = true, .deadline_ms = ALONE_DEADLINE_MS};
    struct rb_app_result result = {0};
    struct rb_error why = {0};
    int rc = rb_app_check(&request, cli->arena, &diags, &result, &why);
    if (rc < 0) {
        rc = 0;
        for (size_t i = 0; i < BODY_COUNT && rc == 0; i++)
            rc = rb_archive_add_missing(archive, bodies[i].name, diags.count > 0 ? "the configuration has errors" : why.message, err);
        return rc;
    }
    rc = add_rendered(cli, &result, archive, err);
    rb_snapshot_unref(result.snapshot);
    free(result.chosen);
    return rc;
}

static int add_observed(const struct rb_cli *cli, struct rb_archive *archive, struct rb_error *err)
{
    struct rb_client client;
    rb_client_find(cli, &client);
    return serves_this_tree(&client) ? add_from_daemon(&client, archive, err) : add_from_round(cli, archive, err);
}

/* ---- the command ---- */

static int collect(const struct rb_cli *cli, const struct rb_plan *plan, const struct rb_error *broken)
{
    struct rb_error err = {0};
    struct rb_archive *archive = rb_archive_new("evidence", rb_evidence_head_time(plan->daemon.root));
    int rc = archive ? add_facts(cli, plan, broken, archive, &err) : rb_error_set(&err, RB_ENOMEM, "out of memory");
    if (rc == 0 && cli->args->observed)
        rc = add_observed(cli, archive, &err);
    return rc < 0 ? rb_pack_failed(archive, &err) : rb_pack_finish(cli, archive);
}

static int run(const struct rb_cli *cli)
{
    int code = rb_pack_check_output(cli);
    if (code)
        return code;
    struct rb_error broken = {0};
    struct rb_plan *plan = rb_pack_load(cli, &broken, &code);
    if (!plan)
        return code;
    code = collect(cli, plan, &broken);
    rb_plan_unref(plan);
    return code;
}

const struct rb_cli_command rb_cli_cmd_evidence = {
    .name = "evidence",
    .args = "[PATHS…]",
    .doc = "Pack the facts of this tree into an archive that the same facts always give bit for bit.",
    .details =
        "HEAD, status, the last 50 commits, tags, the configuration, drift, versions, and PATHS of the tree, below evidence/. Facts only: "
        "no time, place, user or machine, so "
        "that two people who see the same tree get the same sha256. Secrets are masked and counted. What was observed comes with "
        "--observed.",
    .options = options,
    .max_words = 4096,
    .words = RB_CLI_WORDS_FILES,
    .run = run,
};
