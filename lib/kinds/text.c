/* text: patterns that must not occur in the tree, and patterns that must.
 *
 * A scan: the engine searches (source/pattern_scan.h says with which rules), this file judges. A forbidden line is fail, whatever else happened; a required pattern that was
 * not found is fail only when every file was really searched, else unknown. With a ratchet the findings that people accepted stay quiet:
 * by fingerprint (of pattern, path and line, so that moving the line changes nothing) or by number per file. The lines shown are redacted and clipped; the fingerprint is made of
 * the redacted line too, so that it tells nothing about what was masked. */
#include <stdio.h>
#include <string.h>

#include "runbook/base/buf.h"
#include "runbook/base/digest.h"
#include "runbook/base/glob.h"
#include "runbook/base/redact.h"
#include "runbook/base/text.h"
#include "runbook/check/facts.h"
#include "runbook/check/kind.h"
#include "runbook/source/accepted.h"

enum { LINE_LOOK = 4096, LINE_COLUMNS = 160, FACTS_MAX = 32, LABELS_MAX = 16, FINGERPRINT = 17, MISSING_SHOWN = 8 };

struct text_options {
    struct rb_strings files, exclude, forbid, require;
    const char *accepted;
    bool ignore_case, per_file, tracked, untracked, ratchet;
};

static const struct rb_option options[] = {
    {.name = "files",
     .type = RB_OPT_GLOBS,
     .offset = offsetof(struct text_options, files),
     .doc = "Globs of the files to search. Default: every file.",
     .example = "[\"config/**\"]"},
    {.name = "exclude",
     .type = RB_OPT_GLOBS,
     .offset = offsetof(struct text_options, exclude),
     .doc = "Globs of files to leave out.",
     .example = "[\"tests/**\"]"},
    {.name = "forbid",
     .type = RB_OPT_REGEXES,
     .offset = offsetof(struct text_options, forbid),
     .doc = "Regular expressions (PCRE2, within a line) that must not occur.",
     .example = "[\"LIVE_ARMED\\\\s*=\\\\s*1\"]"},
    {.name = "require",
     .type = RB_OPT_REGEXES,
     .offset = offsetof(struct text_options, require),
     .doc = "Regular expressions of which each must occur in at least one of the files; with per_file in each of them.",
     .example = "[\"EXEC \\\\(forbidden\\\\)\"]"},
    {.name = "per_file",
     .type = RB_OPT_BOOL,
     .offset = offsetof(struct text_options, per_file),
     .doc = "Every file must hold every required pattern.",
     .fallback = "false"},
    {.name = "ignore_case",
     .type = RB_OPT_BOOL,
     .offset = offsetof(struct text_options, ignore_case),
     .doc = "Upper and lower case are the same.",
     .fallback = "false"},
    {.name = "tracked",
     .type = RB_OPT_BOOL,
     .offset = offsetof(struct text_options, tracked),
     .doc = "Files that git tracks.",
     .fallback = "true"},
    {.name = "untracked",
     .type = RB_OPT_BOOL,
     .offset = offsetof(struct text_options, untracked),
     .doc = "Files that git neither tracks nor ignores.",
     .fallback = "true"},
    {.name = "ratchet",
     .type = RB_OPT_BOOL,
     .offset = offsetof(struct text_options, ratchet),
     .doc = "Accepted findings stay quiet, new ones fail. The accepted ones stand in the file `accepted` of the repository.",
     .fallback = "false"},
    {.name = "accepted",
     .type = RB_OPT_GLOB,
     .offset = offsetof(struct text_options, accepted),
     .doc = "File with accepted findings, relative to root: a fingerprint a line, or path:count as `rg -c` prints it. Turns the ratchet "
            "on; with "
            "ratchet alone it is .runbookd/NAME.accepted.",
     .example = "ops/accepted.txt"},
    {NULL}};

static const struct rb_value_def values[] = {
    {"findings", "", RB_VALUE_GAUGE, "Lines with a forbidden pattern that nobody accepted.", NULL},
    {"accepted", "", RB_VALUE_GAUGE, "Lines with a forbidden pattern that stay quiet because they were accepted.", NULL},
    {"matches", "", RB_VALUE_GAUGE,
     "Lines (of required patterns: files) that match, by pattern: forbid_1, require_1 and so on, as configured.", "pattern"},
    {"files", "", RB_VALUE_GAUGE, "Files searched.", NULL},
    {"binary", "", RB_VALUE_GAUGE, "Files with a NUL: not searched behind it.", NULL},
    {"unchecked", "", RB_VALUE_GAUGE, "Files that could not be searched: unreadable, too large.", NULL},
    {NULL}};

static const struct rb_reason_def reasons[] = {
    {"forbidden", "A forbidden pattern occurs; the evidence has file, line and column."},
    {"missing", "A required pattern does not occur where it must."},
    {"no_files", "No file matches: the globs are wrong, or the root is."},
    {"unreadable", "A file could not be read, or changed while it was read."},
    {"too_large", "A text file is above the limit of 64 MiB."},
    {"gave_up", "A pattern is too expensive for a line of the tree: simplify it or exclude the file."},
    {"accepted_unreadable", "The file with accepted findings is missing or cannot be understood."},
    {"incomplete", "The scan did not see every file; the message says why."},
    {NULL}};

struct text_state {
    const struct text_options *options;
    struct rb_pattern *patterns;
    size_t pattern_count;
    size_t *matches; /* per pattern: lines; of required ones, files */
    struct rb_accepted accepted;
    bool quiet; /* a ratchet is on */
    bool accepted_broken;
    struct rb_error accepted_error;
    size_t files, deleted, binary, unreadable, too_large, gave_up;
    size_t findings, quiet_findings, bad_files, lacking, facts;
    const char *first, *first_unchecked, *last_fact;
};

static const char *accepted_path(const struct rb_check_ctx *ctx, const struct text_options *o)
{
    return o->accepted ? o->accepted : rb_arena_printf(ctx->arena, ".runbookd/%s.accepted", ctx->spec ? ctx->spec->name : "text");
}

static void begin(const struct rb_check_ctx *ctx, void *state, struct rb_scan_request *out)
{
    struct text_state *s = state;
    const struct text_options *o = ctx->options;
    size_t count = o->forbid.count + o->require.count;
    s->options = o;
    s->patterns = rb_arena_array(ctx->arena, count + 1, sizeof(*s->patterns));
    s->matches = rb_arena_array(ctx->arena, count + 1, sizeof(*s->matches));
    s->pattern_count = s->patterns && s->matches ? count : 0;
    for (size_t i = 0; i < s->pattern_count; i++)
        s->patterns[i] = (struct rb_pattern){.regex = i < o->forbid.count ? o->forbid.items[i] : o->require.items[i - o->forbid.count],
                                             .flags = (o->ignore_case ? RB_PATTERN_IGNORE_CASE : 0u) |
                                                      (i < o->forbid.count ? 0u : (unsigned)RB_PATTERN_ONCE)};
    s->quiet = o->ratchet || o->accepted;
    const char *path = s->quiet ? accepted_path(ctx, o) : NULL;
    if (path)
        s->accepted_broken = rb_accepted_load(ctx->root, path, ctx->arena, &s->accepted, &s->accepted_error) < 0;
    *out = (struct rb_scan_request){.include = o->files,
                                    .exclude = o->exclude,
                                    .tracked = o->tracked,
                                    .untracked = o->untracked,
                                    .patterns = s->patterns,
                                    .pattern_count = s->pattern_count};
}

/* ---- findings ---- */

/* The line around a match, redacted; only its first bytes, because a line may be a whole minified program. */
static void describe_line(const struct rb_scan_file *file, const struct rb_pattern_hit *hit, struct rb_buf *out)
{
    size_t start = hit->line_start, len = hit->line_end - hit->line_start;
    if (len > LINE_LOOK && hit->start - hit->line_start > LINE_LOOK / 2)
        start = hit->start - LINE_LOOK / 4;
    while (start < hit->line_end && (file->text[start] == ' ' || file->text[start] == '\t'))
        start++;
    len = hit->line_end - start;
    (void)rb_redact(out, file->text + start, len > LINE_LOOK ? LINE_LOOK : len);
}

/* Of pattern, path and redacted line; `again` counts equal lines of the file, so that one more of them is a new finding. */
static void fingerprint(const struct rb_pattern *pattern, const char *path, const struct rb_buf *line, size_t again, char out[FINGERPRINT])
{
    RB_BUF_AUTO all;
    char hex[RB_SHA256_HEX];
    rb_buf_init(&all, (size_t)1 << 20);
    rb_buf_addf(&all, "text\n%s\n%s\n%zu\n", pattern->regex, path, again);
    rb_buf_add(&all, rb_buf_str(line), line->len);
    rb_sha256_of(rb_buf_str(&all), all.len, hex);
    memcpy(out, hex, FINGERPRINT - 1);
    out[FINGERPRINT - 1] = '\0';
}

static bool is_equal_line(const struct rb_scan_file *file, const struct rb_pattern_hit *a, const struct rb_pattern_hit *b)
{
    size_t len = a->line_end - a->line_start;
    return a->pattern == b->pattern && len == b->line_end - b->line_start &&
           memcmp(file->text + a->line_start, file->text + b->line_start, len) == 0;
}

static bool is_accepted(struct text_state *s, const char *path, const char *print)
{
    struct rb_accepted_entry *entry = rb_accepted_find(&s->accepted, print);
    if (!entry) {
        entry = rb_accepted_find(&s->accepted, path);
        if (!entry || entry->used >= entry->count)
            return false;
    }
    entry->used++;
    return true;
}

static void note_fact(struct text_state *s, const char *path, struct rb_outcome *out)
{
    if (s->facts >= FACTS_MAX || (s->last_fact && strcmp(s->last_fact, path) == 0))
        return;
    s->facts++;
    s->last_fact = rb_arena_strdup(out->arena, path);
    rb_outcome_fact(out, RB_FACT_FILE, "%s", path);
}

static void report(struct text_state *s, const struct rb_scan_file *file, const struct rb_pattern_hit *hit, const struct rb_buf *line,
                   const char *print, struct rb_outcome *out)
{
    RB_BUF_AUTO shown;
    rb_buf_init(&shown, 4 * LINE_LOOK);
    rb_text_clip(&shown, rb_buf_str(line), LINE_COLUMNS);
    if (!s->first)
        s->first = rb_arena_printf(out->arena, "%s:%zu:%zu", file->path, hit->line, hit->column);
    if (s->quiet)
        rb_outcome_evidence(out, "%s:%zu:%zu: %s [%s]", file->path, hit->line, hit->column, rb_buf_str(&shown), print);
    else
        rb_outcome_evidence(out, "%s:%zu:%zu: %s", file->path, hit->line, hit->column, rb_buf_str(&shown));
    note_fact(s, file->path, out);
}

/* Hits of one line that several forbidden patterns match are several findings: each pattern is a rule of its own. */
static void judge(struct text_state *s, const struct rb_scan_file *file, size_t index, struct rb_outcome *out)
{
    const struct rb_pattern_hit *hit = &file->hits[index];
    char print[FINGERPRINT] = "";
    RB_BUF_AUTO line;
    bool shown = out->evidence_count < RB_OUTCOME_MAX_EVIDENCE;
    rb_buf_init(&line, 8 * LINE_LOOK);
    if (shown || s->quiet)
        describe_line(file, hit, &line);
    if (s->quiet) {
        size_t again = 0;
        for (size_t i = 0; i < index; i++)
            again += is_equal_line(file, &file->hits[i], hit);
        fingerprint(&s->patterns[hit->pattern], file->path, &line, again, print);
        if (is_accepted(s, file->path, print)) {
            s->quiet_findings++;
            return;
        }
    }
    s->findings++;
    report(s, file, hit, &line, print, out);
}

static void note_unchecked(struct text_state *s, const struct rb_scan_file *file, struct rb_outcome *out)
{
    bool large = strcmp(file->problem, "too_large") == 0;
    const char *why = large                                              ? "larger than 64 MiB"
                      : strcmp(file->problem, "changed_while_read") == 0 ? "changed while it was read"
                                                                         : file->problem;
    s->too_large += large;
    s->unreadable += !large;
    if (!s->first_unchecked)
        s->first_unchecked = rb_arena_printf(out->arena, "%s: %s", file->path, why);
    rb_outcome_evidence(out, "%s: not searched, %s", file->path, why);
}

/* Which required patterns this file lacks. */
static void look_for_required(struct text_state *s, const struct rb_scan_file *file, struct rb_outcome *out)
{
    size_t forbidden = s->options->forbid.count;
    for (size_t i = forbidden; i < s->pattern_count; i++) {
        bool found = false;
        for (size_t j = 0; j < file->hit_count && !found; j++)
            found = file->hits[j].pattern == i;
        if (found)
            continue;
        s->lacking++;
        if (s->lacking <= MISSING_SHOWN)
            rb_outcome_evidence(out, "%s: has no match of \"%s\"", file->path, s->patterns[i].regex);
        note_fact(s, file->path, out);
    }
}

static void visit(const struct rb_check_ctx *ctx, void *state, const struct rb_scan_file *file, struct rb_outcome *out)
{
    struct text_state *s = state;
    (void)ctx;
    if (file->symlink || (!file->tracked && file->problem && strcmp(file->problem, "not_regular") == 0))
        return; /* a FIFO or socket that lies around holds no text; a tracked file that became one is another matter */
    if (file->problem && strcmp(file->problem, "deleted") == 0) {
        s->deleted++;
        return;
    }
    s->binary += file->binary;
    if (file->problem) {
        if (!file->binary)
            note_unchecked(s, file, out);
        return;
    }
    s->files++;
    s->gave_up += file->gave_up;
    size_t before = s->findings;
    for (size_t i = 0; i < file->hit_count; i++) {
        s->matches[file->hits[i].pattern]++;
        if (file->hits[i].pattern < s->options->forbid.count)
            judge(s, file, i, out);
    }
    s->findings += file->hits_dropped;
    s->bad_files += s->findings > before;
    if (s->options->per_file && !file->binary)
        look_for_required(s, file, out);
}

/* ---- the end ---- */

static void report_values(const struct text_state *s, struct rb_outcome *out)
{
    rb_outcome_value(out, "findings", NULL, (double)s->findings);
    rb_outcome_value(out, "accepted", NULL, (double)s->quiet_findings);
    rb_outcome_value(out, "files", NULL, (double)s->files);
    rb_outcome_value(out, "binary", NULL, (double)s->binary);
    rb_outcome_value(out, "unchecked", NULL, (double)(s->unreadable + s->too_large));
    for (size_t i = 0; i < s->pattern_count && i < 2 * LABELS_MAX; i++) {
        bool forbidden = i < s->options->forbid.count;
        size_t number = forbidden ? i + 1 : i + 1 - s->options->forbid.count;
        if (number <= LABELS_MAX)
            rb_outcome_value(out, "matches", rb_arena_printf(out->arena, "%s_%zu", forbidden ? "forbid" : "require", number),
                             (double)s->matches[i]);
    }
}

/* Accepted findings that are gone let the ratchet be tightened. */
static void report_gone(const struct text_state *s, struct rb_outcome *out)
{
    size_t gone = 0;
    for (size_t i = 0; i < s->accepted.count; i++) {
        const struct rb_accepted_entry *entry = &s->accepted.items[i];
        gone += entry->used < (entry->count ? entry->count : 1);
    }
    if (gone > 0)
        rb_outcome_evidence(out, "%zu accepted entries cover more than there is: remove what is gone from the list", gone);
}

static size_t count_missing(const struct text_state *s, struct rb_outcome *out)
{
    size_t missing = 0;
    for (size_t i = s->options->forbid.count; i < s->pattern_count; i++) {
        if (s->matches[i] > 0)
            continue;
        missing++;
        if (missing <= MISSING_SHOWN)
            rb_outcome_evidence(out, "no file has a match of \"%s\"", s->patterns[i].regex);
    }
    return missing;
}

/* Why nothing can be said, or NULL. */
static const char *undecided(const struct text_state *s, const struct rb_scan_summary *summary, struct rb_outcome *out)
{
    if (s->accepted_broken) {
        rb_outcome_set(out, RB_RESULT_UNKNOWN, "accepted_unreadable", "%s", s->accepted_error.message);
        return out->reason;
    }
    if (!summary->complete)
        rb_outcome_set(out, RB_RESULT_UNKNOWN, "incomplete", "after %zu files: %s", s->files,
                       summary->incomplete_why ? summary->incomplete_why : "interrupted");
    else if (s->unreadable > 0)
        rb_outcome_set(out, RB_RESULT_UNKNOWN, "unreadable", "%zu files could not be read: %s", s->unreadable, s->first_unchecked);
    else if (s->too_large > 0)
        rb_outcome_set(out, RB_RESULT_UNKNOWN, "too_large", "%zu files are above the limit: %s", s->too_large, s->first_unchecked);
    else if (s->gave_up > 0)
        rb_outcome_set(out, RB_RESULT_UNKNOWN, "gave_up", "on %zu lines a pattern reached its limits", s->gave_up);
    else if (s->files + s->binary == 0)
        rb_outcome_set(out, RB_RESULT_UNKNOWN, "no_files", "no file matches the globs");
    else
        return NULL;
    return out->reason;
}

static void finish(const struct rb_check_ctx *ctx, void *state, const struct rb_scan_summary *summary, struct rb_outcome *out)
{
    struct text_state *s = state;
    (void)ctx;
    report_values(s, out);
    if (s->findings > 0 && !s->accepted_broken) {
        const char *first = s->first ? s->first : "";
        if (s->quiet)
            rb_outcome_set(out, RB_RESULT_FAIL, "forbidden", "%zu new forbidden lines in %zu files (%zu accepted), first %s", s->findings,
                           s->bad_files, s->quiet_findings, first);
        else
            rb_outcome_set(out, RB_RESULT_FAIL, "forbidden", "%zu forbidden lines in %zu files, first %s", s->findings, s->bad_files,
                           first);
        if (!summary->complete)
            rb_outcome_evidence(out, "the scan is incomplete: %s", summary->incomplete_why ? summary->incomplete_why : "interrupted");
        return;
    }
    if (undecided(s, summary, out))
        return;
    report_gone(s, out);
    size_t missing = s->options->per_file ? s->lacking : count_missing(s, out);
    if (missing > 0 && s->options->per_file)
        rb_outcome_set(out, RB_RESULT_FAIL, "missing", "a required pattern is missing %zu times in %zu files", missing, s->files);
    else if (missing > 0)
        rb_outcome_set(out, RB_RESULT_FAIL, "missing", "%zu of %zu required patterns occur in none of %zu files", missing,
                       s->options->require.count, s->files);
    else if (s->quiet)
        rb_outcome_say(out, "%zu files: %zu accepted, 0 new", s->files, s->quiet_findings);
    else
        rb_outcome_say(out, "%zu files: %zu patterns forbidden and absent, %zu required and there", s->files, s->options->forbid.count,
                       s->options->require.count);
}

static void validate(void *opts, const struct rb_node *node, struct rb_diags *diags)
{
    const struct text_options *o = opts;
    if (o->forbid.count == 0 && o->require.count == 0)
        (void)rb_diag_add(diags, node->mark, "a text check needs forbid or require: a list of regular expressions");
    if (!o->tracked && !o->untracked)
        (void)rb_diag_add(diags, node->mark, "tracked and untracked are both false: no file could match");
    if (o->accepted && !rb_glob_is_literal(o->accepted))
        (void)rb_diag_add(diags, node->mark, "accepted names one file; it is no glob");
}

const struct rb_kind rb_kind_text = {
    .schema = {.schema = {.name = "text",
                          .doc = "Patterns that must not, or must, occur in the files of the tree; with a ratchet only new findings fail.",
                          .options = options,
                          .size = sizeof(struct text_options),
                          .validate = validate},
               .default_phase = RB_PHASE_PREFLIGHT,
               .default_triage = false,
               .default_every = "5m",
               .example = "{name: l6, kind: text, files: [\"config/**\"], forbid: [\"LIVE_ARMED\\\\s*=\\\\s*1\"], require: [\"EXEC "
                          "\\\\(forbidden\\\\)\"]}"},
    .values = values,
    .reasons = reasons,
    .exec = RB_EXEC_SCAN,
    .scan = &(const struct rb_scan_ops){.state_size = sizeof(struct text_state), .begin = begin, .visit = visit, .finish = finish},
};
