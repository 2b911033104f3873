/* trust: let the configuration of this folder start its programs. Shows them first; running the command is the consent. */
#include <string.h>

#include "cli.h"
#include "runbook/base/text.h"

static bool starts_program(const struct rb_check_spec *spec)
{
    return spec->kind->starts_programs;
}

static json_t *programs_json(const struct rb_plan *plan)
{
    json_t *programs = json_array();
    for (size_t i = 0; i < plan->count; i++) {
        const struct rb_check_spec *spec = &plan->checks[i];
        if (!starts_program(spec))
            continue;
        RB_BUF_AUTO command;
        rb_buf_init(&command, 65536);
        rb_cli_add_argv(&command, rb_node_get(spec->node, "argv"));
        (void)json_array_append_new(programs, json_pack("{s:o, s:s, s:o}", "check", rb_cli_json_text(spec->name), "kind",
                                                        spec->kind->schema.name, "command", rb_cli_json_text(rb_buf_str(&command))));
    }
    return programs;
}

static void add_programs(const struct rb_plan *plan, struct rb_buf *out)
{
    size_t count = 0;
    for (size_t i = 0; i < plan->count; i++) {
        const struct rb_check_spec *spec = &plan->checks[i];
        if (!starts_program(spec))
            continue;
        rb_buf_addf(out, "  %-20s ", spec->name);
        const struct rb_node *argv = rb_node_get(spec->node, "argv");
        if (argv)
            rb_cli_add_argv(out, argv);
        else
            rb_buf_addf(out, "(what kind %s needs)", spec->kind->schema.name);
        rb_buf_addc(out, '\n');
        count++;
    }
    if (count == 0)
        rb_buf_adds(out, "  none\n");
}

static int print(const struct rb_cli *cli, const struct rb_plan *plan)
{
    if (cli->args->json)
        return rb_cli_write_json(
            json_pack("{s:o, s:s, s:o}", "file", rb_cli_json_text(plan->source), "sha256", plan->digest, "programs", programs_json(plan)),
            RB_EXIT_OK);
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_RENDER_MAX);
    rb_buf_adds(&text, "Programs that ");
    rb_text_escapes(&text, plan->source);
    rb_buf_adds(&text, " starts:\n");
    add_programs(plan, &text);
    rb_buf_addf(&text, "Trusted as it is now (sha256 %.16s…). Any change to it or its includes ends the trust.\n", plan->digest);
    return rb_cli_write(&text, RB_EXIT_OK);
}

static int record(const struct rb_cli *cli, const struct rb_plan *plan)
{
    struct rb_error err = {0};
    if (plan->discovered || plan->digest[0] == '\0') {
        rb_cli_error("there is no configuration here to trust; write one: runbookd init");
        return RB_EXIT_CANNOT;
    }
    if (rb_trust_record(plan->trust_dir, plan->source, plan->digest, &err) < 0) {
        rb_cli_error("%s", err.message);
        return RB_EXIT_CANNOT;
    }
    return print(cli, plan);
}

static int run(const struct rb_cli *cli)
{
    struct rb_cli_loaded *loaded = rb_cli_load(cli);
    if (!loaded)
        return RB_EXIT_CANNOT;
    if (!loaded->plan)
        return rb_cli_load_failed(loaded);
    int code = record(cli, loaded->plan);
    rb_plan_unref(loaded->plan);
    return code;
}

const struct rb_cli_command rb_cli_cmd_trust = {
    .name = "trust",
    .args = "",
    .doc = "Let ./runbookd.yml start the programs that it names.",
    .details = "A configuration that merely lies in the working folder starts nothing and uses no secret until its digest is recorded by "
               "this command. It prints the "
               "programs first; read them. A file named by --config needs no trust.",
    .run = run,
};
