/* bundle: pack files of the tree so that the same files give the same bytes. */
#include "pack.h"
#include "runbook/evidence/evidence.h"

#define ARG(member) offsetof(struct rb_cli_args, member)

static const struct rb_cli_option options[] = {
    {"output", 'o', RB_CLI_TEXT, ARG(output), "FILE", "Write to this file, and its sha256 to FILE.sha256.", NULL},
    {"force", 0, RB_CLI_FLAG, ARG(force), NULL, "Replace a file that is there.", NULL},
    {"strict", 0, RB_CLI_FLAG, ARG(strict), NULL, "Exit 1 when an input is missing.", NULL},
    {NULL}};

static int pack(const struct rb_cli *cli, const struct rb_plan *plan)
{
    const char *root = plan->daemon.root;
    struct rb_error err = {0};
    struct rb_archive *archive = rb_archive_new("bundle", rb_evidence_head_time(root));
    if (archive)
        rb_pack_hide(cli, plan, archive);
    else
        (void)rb_error_set(&err, RB_ENOMEM, "out of memory");
    if (!archive || rb_evidence_add_files(archive, root, "", &cli->args->words, &err) < 0)
        return rb_pack_failed(archive, &err);
    return rb_pack_finish(cli, archive);
}

static int run(const struct rb_cli *cli)
{
    if (cli->args->words.count == 0) {
        rb_cli_error("name the files to pack: runbookd bundle FILES… -o FILE.tar.gz");
        return RB_EXIT_USAGE;
    }
    int code = rb_pack_check_output(cli);
    if (code)
        return code;
    struct rb_error why;
    struct rb_plan *plan = rb_pack_load(cli, &why, &code);
    if (!plan)
        return code;
    code = pack(cli, plan);
    rb_plan_unref(plan);
    return code;
}

const struct rb_cli_command rb_cli_cmd_bundle = {
    .name = "bundle",
    .args = "FILES…",
    .doc = "Pack files into an archive that the same files always give bit for bit.",
    .details =
        "FILES are files, folders or globs, counted from the root. The archive is a tar.gz with sorted members below bundle/, "
        "manifest.json and SHA256SUMS.txt; "
        "FILE.sha256 is written beside it. Secrets are masked. An input that is not there becomes a member NAME.__MISSING__ that says why.",
    .options = options,
    .max_words = 4096,
    .words = RB_CLI_WORDS_FILES,
    .run = run,
};
