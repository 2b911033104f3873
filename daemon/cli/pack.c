/* The common end of `evidence` and `bundle`. */
#include "pack.h"

#include <string.h>

#include "runbook/base/text.h"
#include "runbook/evidence/evidence.h"

#define ARCHIVE_MAX ((size_t)512 << 20)

struct rb_plan *rb_pack_load(const struct rb_cli *cli, struct rb_error *why, int *out_code)
{
    struct rb_cli_loaded *loaded = rb_cli_load(cli);
    *out_code = RB_EXIT_CANNOT;
    if (!loaded || loaded->plan)
        return loaded ? loaded->plan : NULL;
    bool errors = loaded->diags.count > 0;
    (void)rb_error_set(why, RB_ECONFIG, "%s",
                       errors ? "the configuration has errors; see them with: runbookd validate" : "the configuration cannot be read");
    struct rb_cli_args args = *cli->args;
    args.app.config = NULL;
    args.app.discover = true;
    struct rb_cli inner = {.args = &args, .command = cli->command, .arena = cli->arena};
    struct rb_cli_loaded *discovered = rb_cli_load(&inner);
    if (!discovered || !discovered->plan)
        *out_code = rb_cli_load_failed(loaded);
    return discovered ? discovered->plan : NULL;
}

void rb_pack_hide(const struct rb_cli *cli, const struct rb_plan *plan, struct rb_archive *archive)
{
    char found[4096];
    bool here;
    struct rb_error ignored;
    rb_evidence_hide_plan(archive, plan);
    if (!plan->discovered)
        return;
    if (cli->args->app.config)
        rb_evidence_hide_file(archive, cli->args->app.config);
    else if (rb_config_find(".", found, sizeof found, &here, &ignored) == 0)
        rb_evidence_hide_file(archive, found);
}

int rb_pack_check_output(const struct rb_cli *cli)
{
    struct rb_error err = {0};
    if (!cli->args->output) {
        rb_cli_error("name the file to write: runbookd %s -o FILE.tar.gz", cli->command->name);
        return RB_EXIT_USAGE;
    }
    if (rb_archive_check_target(cli->args->output, cli->args->force, &err) == 0)
        return 0;
    rb_cli_error("%s", err.message);
    return RB_EXIT_CANNOT;
}

int rb_pack_failed(struct rb_archive *take_archive, const struct rb_error *err)
{
    rb_archive_free(take_archive);
    rb_cli_error("%s", err->message);
    return RB_EXIT_CANNOT;
}

static json_t *missing_json(const struct rb_archive *archive)
{
    json_t *out = json_array();
    for (size_t i = 0; rb_archive_missing(archive, i); i++)
        (void)json_array_append_new(out, rb_cli_json_text(rb_archive_missing(archive, i)));
    return out;
}

static void add_count(struct rb_buf *out, size_t count, const char *one, const char *many)
{
    rb_buf_addf(out, "%zu %s", count, count == 1 ? one : many);
}

static int tell(const struct rb_cli *cli, const struct rb_archive *archive, const struct rb_archive_totals *totals, const char *sha256)
{
    int code = cli->args->strict && totals->missing > 0 ? RB_EXIT_BAD : RB_EXIT_OK;
    if (cli->args->json)
        return rb_cli_write_json(json_pack("{s:o, s:s, s:I, s:I, s:I, s:o}", "file", rb_cli_json_text(cli->args->output), "sha256", sha256,
                                           "members", (json_int_t)totals->members, "bytes", (json_int_t)totals->bytes, "masked",
                                           (json_int_t)totals->masked, "missing", missing_json(archive)),
                                 code);
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_RENDER_MAX);
    rb_buf_adds(&text, "Wrote ");
    rb_text_escapes(&text, cli->args->output);
    rb_buf_adds(&text, ": ");
    add_count(&text, totals->members, "member, ", "members, ");
    add_count(&text, totals->masked, "secret masked, ", "secrets masked, ");
    add_count(&text, totals->missing, "input missing\n", "inputs missing\n");
    rb_buf_addf(&text, "sha256 %s\n", sha256);
    for (size_t i = 0; rb_archive_missing(archive, i); i++) {
        rb_buf_adds(&text, "missing ");
        rb_text_escapes(&text, rb_archive_missing(archive, i));
        rb_buf_addc(&text, '\n');
    }
    return rb_cli_write(&text, code);
}

int rb_pack_finish(const struct rb_cli *cli, struct rb_archive *take_archive)
{
    struct rb_error err = {0};
    struct rb_archive_totals totals;
    char sha256[65];
    RB_BUF_AUTO bytes;
    rb_buf_init(&bytes, ARCHIVE_MAX);
    int rc = rb_archive_finish(take_archive, &bytes, &totals, &err);
    if (rc == 0)
        rc = rb_archive_write(cli->args->output, &bytes, cli->args->force, sha256, &err);
    if (rc < 0)
        return rb_pack_failed(take_archive, &err);
    int code = tell(cli, take_archive, &totals, sha256);
    rb_archive_free(take_archive);
    return code;
}
