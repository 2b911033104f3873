/* syntax: every tracked TOML, YAML and JSON file parses, and no key stands twice.
 *
 * A scan: the files come from the scan engine, each parsed with the reader that all other kinds use. A broken file is fail; a file that could not be judged (unreadable, above
 * a limit) makes the check unknown, never ok; no matching file at all is unknown too. A tracked file that is deleted in the work tree is
 * skipped and counted: that is what `git` and `path` are for. Symlinks are skipped: their target is checked where it lies. */
#include <stdio.h>
#include <string.h>

#include "runbook/base/glob.h"
#include "runbook/base/text.h"
#include "runbook/check/facts.h"
#include "runbook/check/kind.h"
#include "runbook/check/watch.h"
#include "runbook/source/document.h"

enum json_mode { JSON_AUTO, JSON_STRICT, JSON_LENIENT };
enum { MAX_FILE = 64 << 20, FILE_ARENA = 1 << 20, PROBLEMS_SHOWN = 4 };

struct syntax_options {
    struct rb_strings files, exclude;
    int json;
    bool untracked;
};

static const struct rb_choice json_choices[] = {
    {"auto", JSON_AUTO, "Comments and trailing commas only in files known for them: *.jsonc, tsconfig.json, .vscode/*.json …"},
    {"strict", JSON_STRICT, "RFC 8259 everywhere."},
    {"lenient", JSON_LENIENT, "Comments and trailing commas everywhere."},
    {NULL, 0, NULL}};

static const struct rb_option options[] = {
    {.name = "files",
     .type = RB_OPT_GLOBS,
     .offset = offsetof(struct syntax_options, files),
     .doc = "Globs of the files to parse, by their extension. Default: every TOML, YAML and JSON file.",
     .example = "[\"**/*.toml\", \"**/*.yml\", \"**/*.yaml\", \"**/*.json\"]"},
    {.name = "exclude",
     .type = RB_OPT_GLOBS,
     .offset = offsetof(struct syntax_options, exclude),
     .doc = "Globs of files to leave out.",
     .example = "[\"tests/broken/**\"]"},
    {.name = "json",
     .type = RB_OPT_CHOICE,
     .offset = offsetof(struct syntax_options, json),
     .doc = "How strictly JSON is read.",
     .fallback = "auto",
     .choices = json_choices},
    {.name = "untracked",
     .type = RB_OPT_BOOL,
     .offset = offsetof(struct syntax_options, untracked),
     .doc = "Also files that git neither tracks nor ignores. Outside a git repository every file counts.",
     .fallback = "false"},
    {NULL}};

static const struct rb_value_def values[] = {
    {"files", "", RB_VALUE_GAUGE, "Files parsed, by format.", "format"},
    {"broken", "", RB_VALUE_GAUGE, "Files that do not parse or hold a key twice, by format.", "format"},
    {"deleted", "", RB_VALUE_GAUGE, "Tracked files that are deleted in the work tree.", NULL},
    {"unchecked", "", RB_VALUE_GAUGE, "Files that could not be judged: unreadable, too large, too deep.", NULL},
    {NULL}};

static const struct rb_reason_def reasons[] = {
    {"broken", "At least one file does not parse; the evidence has file, line and column."},
    {"no_files", "No file matches: the globs are wrong, or the root is."},
    {"unreadable", "A file could not be read or changed while it was read."},
    {"too_large", "A file is above the limits of size (64 MiB), depth (128) or number of values (1 million)."},
    {"incomplete", "The scan did not see every file; the message says why."},
    {NULL}};

struct syntax_state {
    size_t files[RB_DOC_UNKNOWN], broken[RB_DOC_UNKNOWN];
    size_t deleted, unreadable, too_large, other;
    const char *first_broken;    /* "path:line:column: message" */
    const char *first_unchecked; /* "path: why" */
};

static struct rb_strings files_of(const struct syntax_options *o)
{
    static const char *const all[] = {"**/*.toml", "**/*.yml", "**/*.yaml", "**/*.json", "**/*.jsonc", NULL};
    return o->files.count > 0 ? o->files : (struct rb_strings){all, sizeof(all) / sizeof(all[0]) - 1};
}

static void begin(const struct rb_check_ctx *ctx, void *state, struct rb_scan_request *out)
{
    const struct syntax_options *o = ctx->options;
    (void)state;
    *out = (struct rb_scan_request){
        .include = files_of(o), .exclude = o->exclude, .tracked = true, .untracked = o->untracked, .max_file_bytes = MAX_FILE};
}

static void watches(const void *opts, struct rb_watch_sink *sink)
{
    const struct syntax_options *o = opts;
    rb_watch_globs(sink, files_of(o), o->exclude, false);
}

/* Whether tools that own files of this name read comments in them. */
static bool known_with_comments(const char *path)
{
    static const char *const patterns[] = {"**/*.jsonc",
                                           "**/{ts,js}config.json",
                                           "**/{ts,js}config.*.json",
                                           "**/.vscode/*.json",
                                           "**/.devcontainer/**/*.json",
                                           "**/devcontainer.json",
                                           "**/pyrightconfig.json",
                                           "**/.eslintrc.json",
                                           "**/tslint.json",
                                           "**/deno.json",
                                           "**/api-extractor.json",
                                           "**/turbo.json",
                                           "**/.zed/*.json",
                                           "**/.markdownlint.json",
                                           NULL};
    for (size_t i = 0; patterns[i]; i++)
        if (rb_glob_match(patterns[i], path))
            return true;
    return false;
}

static void note_unchecked(struct syntax_state *s, size_t *counter, struct rb_outcome *out, const char *path, const char *why)
{
    ++*counter;
    rb_outcome_evidence(out, "%s: %s", path, why);
    if (!s->first_unchecked)
        s->first_unchecked = rb_arena_printf(out->arena, "%s: %s", path, why);
}

/* Whether the file is valid once comments and trailing commas are allowed. */
static bool valid_with_comments(const struct rb_scan_file *file, struct rb_arena *arena)
{
    const struct rb_doc_options lenient = {.lenient_json = true};
    struct rb_doc_problems problems;
    bool used = false;
    struct rb_error err;
    return rb_doc_parse(RB_DOC_JSON, file->bytes, file->len, &lenient, arena, NULL, &used, &problems, &err) == 0 && used;
}

static void report_broken(struct syntax_state *s, const struct rb_scan_file *file, const struct rb_doc_problems *problems, const char *note,
                          struct rb_outcome *out)
{
    size_t more = problems->count + problems->dropped;
    for (size_t i = 0; i < problems->count && i < PROBLEMS_SHOWN; i++, more--) {
        const struct rb_doc_problem *p = &problems->items[i];
        rb_outcome_evidence(out, "%s:%u:%u: %s%s", file->path, p->line, p->column, p->message, note);
        if (!s->first_broken)
            s->first_broken = rb_arena_printf(out->arena, "%s:%u:%u: %s%s", file->path, p->line, p->column, p->message, note);
    }
    if (more > 0)
        rb_outcome_evidence(out, "%s: %zu more problems", file->path, more);
    rb_outcome_fact(out, RB_FACT_FILE, "%s", file->path);
}

static void parse(const struct syntax_options *o, struct syntax_state *s, enum rb_doc_format format, const struct rb_scan_file *file,
                  struct rb_outcome *out)
{
    RB_ARENA_AUTO *arena = rb_arena_new(FILE_ARENA);
    bool lenient = o->json == JSON_LENIENT || (o->json == JSON_AUTO && known_with_comments(file->path));
    const struct rb_doc_options how = {.lenient_json = lenient};
    struct rb_doc_problems problems = {0};
    struct rb_error err = {0};
    int code = arena ? rb_doc_parse(format, file->bytes, file->len, &how, arena, NULL, NULL, &problems, &err)
                     : rb_error_set(&err, RB_ENOMEM, "out of memory");
    s->files[format]++;
    if (code == 0)
        return;
    if (code != RB_EPARSE) {
        note_unchecked(s, &s->too_large, out, file->path, err.message);
        return;
    }
    s->broken[format]++;
    bool comments = format == RB_DOC_JSON && !lenient && valid_with_comments(file, arena);
    report_broken(s, file, &problems, comments ? " (valid only as JSON with comments: exclude it, or set json: lenient)" : "", out);
}

static void visit(const struct rb_check_ctx *ctx, void *state, const struct rb_scan_file *file, struct rb_outcome *out)
{
    struct syntax_state *s = state;
    enum rb_doc_format format = rb_doc_format_of(file->path);
    if (file->symlink)
        return;
    if (file->problem && strcmp(file->problem, "deleted") == 0)
        s->deleted++;
    else if (format == RB_DOC_UNKNOWN)
        s->other++;
    else if (!file->problem)
        parse(ctx->options, s, format, file, out);
    else if (strcmp(file->problem, "too_large") == 0)
        note_unchecked(s, &s->too_large, out, file->path, "larger than 64 MiB");
    else
        note_unchecked(s, &s->unreadable, out, file->path,
                       strcmp(file->problem, "changed_while_read") == 0 ? "changed while it was read" : file->problem);
}

static void report_values(const struct syntax_state *s, struct rb_outcome *out)
{
    for (int f = 0; f < RB_DOC_UNKNOWN; f++) {
        const char *name = rb_doc_format_name((enum rb_doc_format)f);
        rb_outcome_value(out, "files", name, (double)s->files[f]);
        rb_outcome_value(out, "broken", name, (double)s->broken[f]);
    }
    rb_outcome_value(out, "deleted", NULL, (double)s->deleted);
    rb_outcome_value(out, "unchecked", NULL, (double)(s->unreadable + s->too_large));
}

static void finish(const struct rb_check_ctx *ctx, void *state, const struct rb_scan_summary *summary, struct rb_outcome *out)
{
    const struct syntax_state *s = state;
    (void)ctx;
    size_t files = s->files[RB_DOC_TOML] + s->files[RB_DOC_YAML] + s->files[RB_DOC_JSON];
    size_t broken = s->broken[RB_DOC_TOML] + s->broken[RB_DOC_YAML] + s->broken[RB_DOC_JSON];
    report_values(s, out);
    if (s->deleted > 0)
        rb_outcome_evidence(out, "%zu tracked files are deleted in the work tree: skipped", s->deleted);
    if (s->other > 0)
        rb_outcome_evidence(out, "%zu files match the globs, but their names tell no format: skipped", s->other);
    if (broken > 0)
        rb_outcome_set(out, RB_RESULT_FAIL, "broken", "%zu of %zu files broken: %s", broken, files, s->first_broken ? s->first_broken : "");
    else if (!summary->complete)
        rb_outcome_set(out, RB_RESULT_UNKNOWN, "incomplete", "after %zu files: %s", files,
                       summary->incomplete_why ? summary->incomplete_why : "interrupted");
    else if (s->unreadable > 0)
        rb_outcome_set(out, RB_RESULT_UNKNOWN, "unreadable", "%zu files could not be read: %s", s->unreadable,
                       s->first_unchecked ? s->first_unchecked : "");
    else if (s->too_large > 0)
        rb_outcome_set(out, RB_RESULT_UNKNOWN, "too_large", "%zu files are above the limits: %s", s->too_large,
                       s->first_unchecked ? s->first_unchecked : "");
    else if (files == 0)
        rb_outcome_set(out, RB_RESULT_UNKNOWN, "no_files", "no tracked TOML, YAML or JSON file matches the globs");
    else
        rb_outcome_say(out, "%zu files parse: %zu TOML, %zu YAML, %zu JSON", files, s->files[RB_DOC_TOML], s->files[RB_DOC_YAML],
                       s->files[RB_DOC_JSON]);
    if (broken > 0 && !summary->complete)
        rb_outcome_evidence(out, "the scan is incomplete: %s", summary->incomplete_why ? summary->incomplete_why : "interrupted");
}

const struct rb_kind rb_kind_syntax = {
    .schema = {.schema = {.name = "syntax",
                          .doc = "Every tracked TOML, YAML and JSON file parses; duplicate keys are errors.",
                          .options = options,
                          .size = sizeof(struct syntax_options)},
               .default_phase = RB_PHASE_PREFLIGHT,
               .default_triage = false,
               .example = "{name: configs, kind: syntax, files: [\"**/*.toml\", \"**/*.yml\", \"**/*.yaml\", \"**/*.json\"]}"},
    .values = values,
    .reasons = reasons,
    .exec = RB_EXEC_SCAN,
    .scan = &(const struct rb_scan_ops){.state_size = sizeof(struct syntax_state), .begin = begin, .visit = visit, .finish = finish},
    .watches = watches,
};
