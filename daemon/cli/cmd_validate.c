/* validate: is the configuration right? Every error with its place, in one run; and which commands of the team's runbooks no check stands for. */
#include <string.h>

#include "cli.h"
#include "runbook/base/text.h"
#include "runbook_report.h"

static const struct rb_cli_option options[] = {{"discover", 0, RB_CLI_FLAG, offsetof(struct rb_cli_args, app.discover), NULL,
                                                "Validate what discovery finds, even when there is a configuration.", NULL},
                                               {NULL}};

static json_t *errors_json(const struct rb_cli_loaded *loaded)
{
    json_t *errors = json_array();
    for (size_t i = 0; i < loaded->diags.count; i++) {
        const struct rb_diag *diag = &loaded->diags.items[i];
        (void)json_array_append_new(errors, json_pack("{s:o, s:I, s:I, s:o}", "file", rb_cli_json_text(diag->mark.file), "line",
                                                      (json_int_t)diag->mark.line, "column", (json_int_t)diag->mark.column, "message",
                                                      rb_cli_json_text(diag->message)));
    }
    if (loaded->code != RB_EXIT_OK && loaded->diags.count == 0)
        (void)json_array_append_new(
            errors, json_pack("{s:n, s:i, s:i, s:o}", "file", "line", 0, "column", 0, "message", rb_cli_json_text(loaded->err.message)));
    return errors;
}

static json_t *strings_json(const struct rb_strings *list)
{
    json_t *array = json_array();
    for (size_t i = 0; i < list->count; i++)
        (void)json_array_append_new(array, rb_cli_json_text(list->items[i]));
    return array;
}

static json_t *checks_json(const struct rb_plan *plan)
{
    json_t *checks = json_array();
    for (size_t i = 0; i < plan->count; i++) {
        const struct rb_check_spec *spec = &plan->checks[i];
        (void)json_array_append_new(checks,
                                    json_pack("{s:o, s:s, s:s, s:b}", "name", rb_cli_json_text(spec->name), "kind", spec->kind->schema.name,
                                              "phase", rb_phase_name(spec->phase), "untrusted", spec->untrusted));
    }
    return checks;
}

static int print_json(const struct rb_cli_loaded *loaded)
{
    const struct rb_plan *plan = loaded->plan;
    json_t *report = json_pack("{s:b, s:o, s:I}", "valid", plan != NULL, "errors", errors_json(loaded), "errors_dropped",
                               (json_int_t)loaded->diags.dropped);
    if (plan) {
        json_t *more = json_pack("{s:o, s:o, s:o, s:b, s:b, s:o, s:o}", "source", rb_cli_json_text(plan->source), "checks",
                                 checks_json(plan), "files", strings_json(&plan->files), "trusted", plan->trusted, "discovered",
                                 plan->discovered, "warnings", strings_json(&plan->warnings), "runbooks", rb_cli_runbooks_json(plan));
        (void)json_object_update_new(report, more);
    }
    return rb_cli_write_json(report, loaded->code);
}

static int print_text(const struct rb_plan *plan)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_RENDER_MAX);
    rb_text_escapes(&text, plan->source);
    rb_buf_addf(&text, ": %zu check%s", plan->count, plan->count == 1 ? "" : "s");
    if (plan->files.count > 0)
        rb_buf_addf(&text, ", %zu file%s", plan->files.count, plan->files.count == 1 ? "" : "s");
    if (!plan->discovered)
        rb_buf_adds(&text, plan->trusted ? ", trusted" : ", not trusted");
    rb_buf_addc(&text, '\n');
    for (size_t i = 0; i < plan->warnings.count; i++) {
        rb_buf_adds(&text, "warning: ");
        rb_text_escapes(&text, plan->warnings.items[i]);
        rb_buf_addc(&text, '\n');
    }
    rb_cli_runbooks_text(plan, rb_cli_style(stdout, 0).columns, &text);
    return rb_cli_write(&text, RB_EXIT_OK);
}

static int run(const struct rb_cli *cli)
{
    struct rb_cli_loaded *loaded = rb_cli_load(cli);
    if (!loaded)
        return RB_EXIT_CANNOT;
    int code;
    if (cli->args->json)
        code = print_json(loaded);
    else if (loaded->plan)
        code = print_text(loaded->plan);
    else
        code = rb_cli_load_failed(loaded);
    rb_plan_unref(loaded->plan);
    return code;
}

const struct rb_cli_command rb_cli_cmd_validate = {
    .name = "validate",
    .args = "",
    .doc = "Read the configuration and tell every error with its place.",
    .details = "Starts nothing and writes nothing. Where the configuration names a runbook, it also lists the commands in it that no check "
               "covers, with "
               "their lines (docs/runbooks.md): a report, no error. Exit code 0: valid; 78: not valid.",
    .options = options,
    .run = run,
};
