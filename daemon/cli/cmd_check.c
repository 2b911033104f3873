/* check: every check (or those named) once, now, in the foreground. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "runbook/base/text.h"
#include "runbook_select.h"

#define ARG(member) offsetof(struct rb_cli_args, member)

static const struct rb_choice formats[] = {{"text", RB_CHECK_TEXT, "for people"},
                                           {"json", RB_CHECK_JSON, "{summary, safety, checks}"},
                                           {"junit", RB_CHECK_JUNIT, "JUnit XML for continuous integration"},
                                           {"sarif", RB_CHECK_SARIF, "SARIF 2.1.0 for code scanning"},
                                           {"nagios", RB_CHECK_NAGIOS, "one line, exit code 0 to 3"},
                                           {NULL, 0, NULL}};

static const struct rb_cli_option options[] = {
    {"phase", 'p', RB_CLI_CHOICE, ARG(phase), "PHASE", "Only checks of this phase.", rb_phase_choices},
    {"runbook", 0, RB_CLI_TEXT, ARG(runbook), "SECTION", "Only checks that this section of the runbook names: \"[FILE#]Phase 8 > Entry\".",
     NULL},
    {"strict", 0, RB_CLI_FLAG, ARG(strict), NULL, "A warning makes the exit code 1 too.", NULL},
    {"format", 'f', RB_CLI_CHOICE, ARG(format), "FORMAT", "How to print the result.", formats},
    {"print-accepted", 0, RB_CLI_FLAG, ARG(print_accepted), NULL,
     "Print the new findings of checks with a ratchet as lines for their file of accepted findings, nothing else.", NULL},
    {"discover", 0, RB_CLI_FLAG, ARG(app.discover), NULL, "Plan from where it stands, even when there is a configuration.", NULL},
    {NULL}};

/* ---- progress: one line on stderr, rewritten ---- */

#define EVIDENCE_LINES 8

struct progress {
    bool shown;
    size_t columns;
};

static void show_progress(void *ctx, size_t done, size_t total, const char *name, enum rb_state state)
{
    struct progress *progress = ctx;
    RB_BUF_AUTO text, line;
    rb_buf_init(&text, 1024);
    rb_buf_init(&line, 4096);
    rb_buf_addf(&text, "%zu/%zu  ", done, total);
    rb_text_escapes(&text, name);
    rb_buf_addf(&text, "  %s", rb_state_name(state));
    rb_buf_adds(&line, "\r");
    rb_text_clip(&line, rb_buf_str(&text), progress->columns - 1);
    rb_buf_adds(&line, "\033[K");
    (void)fputs(rb_buf_str(&line), stderr);
    (void)fflush(stderr);
    progress->shown = true;
}

static void clear_progress(struct progress *progress)
{
    if (progress->shown)
        (void)fputs("\r\033[K", stderr);
    progress->shown = false;
}

/* ---- exit codes ---- */

static int nagios_code(const size_t by_state[RB_STATE_COUNT])
{
    if (by_state[RB_STATE_FAIL] > 0)
        return 2;
    if (by_state[RB_STATE_UNKNOWN] + by_state[RB_STATE_STALE] + by_state[RB_STATE_PENDING] > 0)
        return 3;
    return by_state[RB_STATE_WARN] > 0 ? 1 : 0;
}

static int exit_code(const struct rb_view *view, const bool *chosen, const struct rb_cli_args *args)
{
    size_t by_state[RB_STATE_COUNT] = {0};
    for (size_t i = 0; i < view->snapshot->count; i++) {
        if (chosen[i])
            by_state[rb_view_state(view, i)]++;
    }
    if (args->format == RB_CHECK_NAGIOS)
        return nagios_code(by_state);
    /* What did not run although it was chosen is not known to be good. */
    size_t bad = by_state[RB_STATE_FAIL] + by_state[RB_STATE_UNKNOWN] + by_state[RB_STATE_STALE] + by_state[RB_STATE_PENDING];
    return bad > 0 || (args->strict && by_state[RB_STATE_WARN] > 0) ? RB_EXIT_BAD : RB_EXIT_OK;
}

static int report(const struct rb_cli *cli, const struct rb_app_result *result)
{
    const struct rb_cli_args *args = cli->args;
    struct rb_view view = rb_view_of(result->snapshot, rb_platform_host()->clock);
    enum rb_check_format format = args->json ? RB_CHECK_JSON : (enum rb_check_format)args->format;
    struct rb_text_style style = rb_cli_style(stdout, result->snapshot->plan->daemon.language);
    style.evidence = EVIDENCE_LINES;
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_RENDER_MAX);
    struct rb_error err = {0};
    if (rb_render_check_report(&view, result->chosen, format, &style, &text, &err) < 0) {
        rb_cli_error("%s", err.message);
        return RB_EXIT_CANNOT;
    }
    if (text.len > 0 && rb_buf_str(&text)[text.len - 1] != '\n')
        rb_buf_addc(&text, '\n');
    return rb_cli_write(&text, exit_code(&view, result->chosen, args));
}

/* ---- accepted findings ---- */

enum { PRINT_DIGITS = 16 };

/* Where the fingerprint of "… [0123456789abcdef]" begins, or NULL. */
static const char *fingerprint_in(const char *evidence)
{
    size_t len = strlen(evidence);
    const char *print = len > PRINT_DIGITS + 3 ? evidence + len - PRINT_DIGITS - 1 : NULL;
    bool found = print && print[-1] == '[' && print[-2] == ' ' && strspn(print, "0123456789abcdef") == PRINT_DIGITS &&
                 print[PRINT_DIGITS] == ']';
    return found ? print : NULL;
}

/* One check's new findings, as lib/source/accepted reads them; true when there are more than its evidence holds. */
static bool add_accepted(const struct rb_record *record, struct rb_buf *out)
{
    size_t found = 0;
    for (size_t i = 0; i < record->evidence_count; i++) {
        const char *evidence = record->evidence[i], *print = fingerprint_in(evidence);
        const char *text = strncmp(evidence, "new: ", 5) == 0 ? evidence + 5 : evidence;
        if (!print || print - 2 < text)
            continue;
        RB_BUF_AUTO line;
        rb_buf_init(&line, RB_OUTCOME_MAX_TEXT);
        rb_buf_add(&line, text, (size_t)(print - 2 - text));
        if (found++ == 0)
            rb_buf_addf(out, "# %s\n", record->spec->name);
        rb_buf_addf(out, "%.*s # ", PRINT_DIGITS, print);
        rb_text_escapes(out, rb_buf_str(&line));
        rb_buf_addc(out, '\n');
    }
    for (size_t i = 0; i < record->value_count; i++) {
        if (strcmp(record->values[i].name, "findings") == 0 && !record->values[i].perfdata)
            return record->values[i].number > (double)found;
    }
    return record->evidence_dropped > 0;
}

/* Nothing is written to the tree: `>> FILE` is the person's. */
static int print_accepted(const struct rb_app_result *result)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_RENDER_MAX);
    size_t lists = 0, known = 0;
    for (size_t i = 0; i < result->snapshot->count; i++) {
        const struct rb_record *record = result->snapshot->records[i];
        const struct rb_kind *kind = rb_kind_of(record->spec->kind);
        if (!result->chosen[i] || !rb_kind_reason(kind, "accepted_unreadable"))
            continue;
        lists++;
        known += record->result != RB_RESULT_UNKNOWN || strcmp(record->reason, "accepted_unreadable") == 0;
        if (add_accepted(record, &text))
            rb_cli_error("%s has more new findings than were printed; add these to its file and ask again", record->spec->name);
    }
    if (lists == 0)
        rb_cli_error("none of these checks has a file of accepted findings; kinds text and command have, with `ratchet` or `accepted`");
    return rb_cli_write(&text, lists > 0 && known == lists ? RB_EXIT_OK : RB_EXIT_CANNOT);
}

/* Nagios shows what it gets on standard output, and code 3 means that nothing is known. */
static int no_result(const struct rb_cli *cli, int code)
{
    if (cli->args->format != RB_CHECK_NAGIOS || cli->args->json)
        return code;
    (void)puts("RUNBOOKD UNKNOWN - the checks could not be run; see standard error");
    return 3;
}

static int could_not_run(const struct rb_cli *cli, int rc, struct rb_diags *diags, const struct rb_error *err)
{
    struct rb_cli_loaded loaded = {.diags = *diags, .err = *err, .code = diags->count > 0 ? RB_EXIT_CONFIG : rb_cli_code_of(err)};
    bool wrong_name = rc == RB_ENOTFOUND && diags->count == 0 && cli->args->words.count > 0;
    int code = rb_cli_load_failed(&loaded);
    return no_result(cli, wrong_name ? RB_EXIT_USAGE : code);
}

/* The checks of the section behind those that were named. */
static int add_section(const struct rb_cli *cli, struct rb_strings *names)
{
    struct rb_strings section = {0};
    int code = rb_cli_runbook_names(cli, cli->args->runbook, cli->args->phase, &section);
    if (code != RB_EXIT_OK)
        return code;
    const char **all = rb_arena_array(cli->arena, names->count + section.count + 1, sizeof *all);
    if (!all) {
        rb_cli_error("out of memory");
        return RB_EXIT_CANNOT;
    }
    for (size_t i = 0; i < names->count; i++)
        all[i] = names->items[i];
    for (size_t i = 0; i < section.count; i++)
        all[names->count + i] = section.items[i];
    *names = (struct rb_strings){.items = all, .count = names->count + section.count};
    return RB_EXIT_OK;
}

static int run(const struct rb_cli *cli)
{
    struct progress progress = {.columns = rb_cli_style(stderr, 0).columns};
    const char *term = getenv("TERM");
    bool with_progress = rb_cli_is_terminal(stderr) && term && strcmp(term, "dumb") != 0;
    struct rb_app_check request = {.options = &cli->args->app,
                                   .names = cli->args->words,
                                   .phase = cli->args->phase,
                                   .without_head = true,
                                   .progress = with_progress ? show_progress : NULL,
                                   .ctx = &progress};
    if (cli->args->runbook) {
        int code = add_section(cli, &request.names);
        if (code != RB_EXIT_OK)
            return no_result(cli, code);
    }
    struct rb_diags *diags = rb_arena_alloc(cli->arena, sizeof *diags);
    if (!diags) {
        rb_cli_error("out of memory");
        return RB_EXIT_CANNOT;
    }
    rb_diags_init(diags, cli->arena);
    struct rb_app_result result = {0};
    struct rb_error err = {0};
    int rc = rb_app_check(&request, cli->arena, diags, &result, &err);
    clear_progress(&progress);
    if (rc < 0)
        return could_not_run(cli, rc, diags, &err);
    int code = cli->args->print_accepted ? print_accepted(&result) : report(cli, &result);
    rb_snapshot_unref(result.snapshot);
    free(result.chosen);
    return code;
}

const struct rb_cli_command rb_cli_cmd_check = {
    .name = "check",
    .args = "[NAME…]",
    .doc = "Run the checks once and print what they say.",
    .details = "With --runbook the checks that a section of the team's runbook names run (docs/runbooks.md); a section that names none is "
               "an error. "
               "Dependencies run first; results are raw (fail_after does not apply) and nothing is stored. Exit code 0: ok, warn or skip; "
               "1: any fail, unknown or stale "
               "(with --strict also warn); 2: could not run; 64: usage; 78: configuration. With --format nagios 0 to 3. With "
               "--print-accepted 0, or 2 when a check could not look.",
    .options = options,
    .max_words = 4096,
    .run = run,
};
