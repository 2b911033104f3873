/* verify: is this archive whole, and safe to unpack? */
#include <string.h>

#include "cli.h"
#include "runbook/base/text.h"
#include "runbook/evidence/verify.h"

#define REPORT_MAX ((size_t)768 << 20) /* names and sums of every member, and inner archives */

static json_t *problems_json(const struct rb_verify_report *report)
{
    json_t *out = json_array();
    for (size_t i = 0; i < report->count; i++) {
        const struct rb_verify_problem *problem = &report->problems[i];
        (void)json_array_append_new(out, json_pack("{s:s, s:o, s:o}", "code", rb_verify_code_name(problem->code), "member",
                                                   rb_cli_json_text(problem->member), "message", rb_cli_json_text(problem->message)));
    }
    return out;
}

static int print_json(const char *path, const struct rb_verify_report *report, int code)
{
    json_t *notes = json_array();
    for (size_t i = 0; i < report->note_count; i++)
        (void)json_array_append_new(notes, rb_cli_json_text(report->notes[i]));
    return rb_cli_write_json(json_pack("{s:o, s:b, s:s, s:o, s:I, s:I, s:I, s:I, s:b, s:o, s:I, s:o}", "file", rb_cli_json_text(path), "ok",
                                       report->count == 0, "sha256", report->sha256, "folder", rb_cli_json_text(report->folder), "members",
                                       (json_int_t)report->members, "bytes", (json_int_t)report->bytes, "masked",
                                       (json_int_t)report->masked, "missing", (json_int_t)report->missing, "sidecar", report->sidecar,
                                       "problems", problems_json(report), "problems_dropped", (json_int_t)report->dropped, "notes", notes),
                             code);
}

static void add_problem(struct rb_buf *out, const struct rb_verify_problem *problem)
{
    rb_buf_addf(out, "  %-10s", rb_verify_code_name(problem->code));
    rb_text_escapes(out, problem->member ? problem->member : "the archive");
    rb_buf_adds(out, ": ");
    rb_text_escapes(out, problem->message);
    rb_buf_addc(out, '\n');
}

static int print_text(const char *path, const struct rb_verify_report *report, int code)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_RENDER_MAX);
    rb_text_escapes(&text, path);
    if (report->count == 0)
        rb_buf_addf(&text, ": OK, %zu members, %zu secrets masked, %zu inputs missing\n", report->members, report->masked, report->missing);
    else
        rb_buf_addf(&text, ": NOT OK, %zu problem%s\n", report->count + report->dropped, report->count + report->dropped == 1 ? "" : "s");
    for (size_t i = 0; i < report->count; i++)
        add_problem(&text, &report->problems[i]);
    if (report->dropped)
        rb_buf_addf(&text, "  and %zu more\n", report->dropped);
    rb_buf_addf(&text, "sha256 %s%s\n", report->sha256, report->sidecar ? "" : " (compare it with what its maker told you)");
    for (size_t i = 0; i < report->note_count; i++) {
        rb_buf_adds(&text, "note   ");
        rb_text_escapes(&text, report->notes[i]);
        rb_buf_addc(&text, '\n');
    }
    return rb_cli_write(&text, code);
}

static int run(const struct rb_cli *cli)
{
    if (cli->args->words.count == 0) {
        rb_cli_error("name the archive: runbookd verify FILE.tar.gz");
        return RB_EXIT_USAGE;
    }
    const char *path = cli->args->words.items[0];
    RB_ARENA_AUTO *arena = rb_arena_new(REPORT_MAX);
    struct rb_verify_report report;
    struct rb_error err = {0};
    if (!arena)
        (void)rb_error_set(&err, RB_ENOMEM, "out of memory");
    if (!arena || rb_verify_file(path, arena, &report, &err) < 0) {
        rb_cli_error("%s", err.message);
        return RB_EXIT_CANNOT;
    }
    int code = report.count > 0 ? RB_EXIT_BAD : RB_EXIT_OK;
    return cli->args->json ? print_json(path, &report, code) : print_text(path, &report, code);
}

const struct rb_cli_command rb_cli_cmd_verify = {
    .name = "verify",
    .args = "FILE",
    .doc = "Prove that an archive of evidence or bundle is whole and safe to unpack.",
    .details = "Works offline and unpacks nothing: checks the .sha256 beside it, the compressed stream to its last byte, manifest and "
               "sums, sums and archives inside, and refuses "
               "absolute paths, .., links, devices, duplicates and bombs. It proves that nothing was damaged, not who made it. Exit code "
               "0: whole; 1: each problem is named; 2: it "
               "cannot be read.",
    .max_words = 1,
    .words = RB_CLI_WORDS_FILES,
    .run = run,
};
