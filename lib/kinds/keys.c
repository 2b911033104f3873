/* keys: values at key paths in TOML, YAML and JSON files are what they have to be. The guard that fails closed.
 *
 * Files are parsed, never searched: a flag in a comment or in a string is no value, and a dotted key, an inline table or a YAML merge is the same as a written-out one. Types
 * are exact: "false" is not false. What would leave a rule without anything to judge is a failure and not a pass: a file that is missing or broken, a pattern that
 * matches no file, a key that is not there (unless the rule is about absence). What this user may not read is `unknown`.
 *
 * A value never enters the outcome when its rule says `secret` or its key's name tells of a secret. A boolean or null is shown even then (unless `secret`): the name
 * `require_confirm_token` tells of a token, its `false` is what the operator has to see. Each file is read and parsed once a run, in an arena of its own. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runbook/base/glob.h"
#include "runbook/base/redact.h"
#include "runbook/base/text.h"
#include "runbook/base/units.h"
#include "runbook/check/expect.h"
#include "runbook/check/facts.h"
#include "runbook/check/kind.h"
#include "runbook/check/match.h"
#include "runbook/check/watch.h"
#include "runbook/source/document.h"
#include "runbook/source/files.h"
#include "runbook/source/keypath.h"

enum { MAX_FILE = 16 << 20, MAX_FILES = 2000, MAX_MATCHES = 20000, DOCUMENT_ARENA = 256 << 20, HINTED_FILES = 4 };

struct range_options {
    double min, max;
};
struct key_rule {
    const char *file;
    struct rb_strings files;
    const char *key;
    const struct rb_node *equals, *one_of, *absent_or;
    struct range_options range;
    bool has_range; /* set by validate */
    const char *matches;
    bool absent, present, secret, file_optional;
};
struct keys_options {
    struct rb_structs rules;
};

static const struct rb_option range_table[] = {
    {.name = "min", .type = RB_OPT_NUMBER, .offset = offsetof(struct range_options, min), .doc = "Smallest number allowed."},
    {.name = "max", .type = RB_OPT_NUMBER, .offset = offsetof(struct range_options, max), .doc = "Largest number allowed."},
    {NULL}};

#define RULE(member) offsetof(struct key_rule, member)
static const struct rb_option rule_table[] = {
    {.name = "file",
     .type = RB_OPT_PATH,
     .offset = RULE(file),
     .doc = "The file, relative to root or absolute; taken literally. Missing or broken is a failure.",
     .flags = RB_OPT_NONEMPTY,
     .example = "config.toml"},
    {.name = "files",
     .type = RB_OPT_GLOBS,
     .offset = RULE(files),
     .doc = "Files and globs; each has to name at least one file, tracked or not.",
     .example = "[config.toml, \"config/**/*.toml\"]"},
    {.name = "key",
     .type = RB_OPT_STRING,
     .offset = RULE(key),
     .doc = "Key path: segments joined by dots; * is any key or item, ** any number of levels, \"…\" a key taken literally, [0] an item.",
     .flags = RB_OPT_REQUIRED | RB_OPT_NONEMPTY,
     .example = "environment.enable_live_trading"},
    {.name = "equals",
     .type = RB_OPT_NODE,
     .offset = RULE(equals),
     .doc = "The value, of exactly this type: false is not \"false\"; 1 and 1.0 are the same number. At least one value has to be there.",
     .example = "false"},
    {.name = "one_of", .type = RB_OPT_NODE, .offset = RULE(one_of), .doc = "A list of values as in equals.", .example = "[paper, shadow]"},
    {.name = "range",
     .type = RB_OPT_STRUCT,
     .offset = RULE(range),
     .doc = "The value is a number within these bounds, both included.",
     .sub = range_table,
     .sub_size = sizeof(struct range_options),
     .example = "{min: 0, max: 50}"},
    {.name = "matches",
     .type = RB_OPT_REGEX,
     .offset = RULE(matches),
     .doc = "The value is a string in which this regular expression is found; anchor it with ^ and $.",
     .example = "\"^EXEC \\\\(forbidden\\\\)$\""},
    {.name = "absent",
     .type = RB_OPT_BOOL,
     .offset = RULE(absent),
     .doc = "true: no such key may be there; null counts as not there.",
     .fallback = "false"},
    {.name = "absent_or",
     .type = RB_OPT_NODE,
     .offset = RULE(absent_or),
     .doc = "The key is not there (or null), or it has this value.",
     .example = "false"},
    {.name = "present",
     .type = RB_OPT_BOOL,
     .offset = RULE(present),
     .doc = "true: the key is there and not null, whatever its value.",
     .fallback = "false"},
    {.name = "secret",
     .type = RB_OPT_BOOL,
     .offset = RULE(secret),
     .doc = "Never show the value, found or expected. Keys whose names tell of a secret are treated so anyway.",
     .fallback = "false"},
    {.name = "file_optional",
     .type = RB_OPT_BOOL,
     .offset = RULE(file_optional),
     .doc = "The file may be missing (state files that come and go); a broken one still fails.",
     .fallback = "false"},
    {NULL}};

static const struct rb_option options[] = {{.name = "rules",
                                            .type = RB_OPT_STRUCTS,
                                            .offset = offsetof(struct keys_options, rules),
                                            .doc = "What has to hold; every rule is about one key path in one or more files.",
                                            .flags = RB_OPT_REQUIRED,
                                            .min = 1,
                                            .max = 1000,
                                            .sub = rule_table,
                                            .sub_size = sizeof(struct key_rule),
                                            .example = "[{files: [config.toml], key: environment.enable_live_trading, equals: false}]"},
                                           {NULL}};

static const struct rb_value_def values[] = {
    {"checked", "", RB_VALUE_GAUGE, "Keys that were judged; an absent key that may be absent counts.", NULL},
    {"files", "", RB_VALUE_GAUGE, "Files that were read and parsed.", NULL},
    {"violations", "", RB_VALUE_GAUGE, "Keys and files that are not as they have to be.", NULL},
    {NULL}};

static const struct rb_reason_def reasons[] = {
    {"wrong_value", "A key has another value than the rule allows; the evidence has file, line, key and both values."},
    {"key_missing", "A key that has to be there is not; it may have been renamed."},
    {"key_present", "A key is there that must not be."},
    {"file_missing", "A file that a rule guards does not exist; a guard without its file fails closed."},
    {"no_files", "A pattern of a rule matches no file, so that nothing is guarded."},
    {"broken", "A file does not parse; the evidence has the place."},
    {"not_a_file", "The path is no regular file below the root: a folder, a pipe, or a link that leads out."},
    {"unreadable", "A file could not be read; the message has the system's error."},
    {"too_large", "A file is above the limits of size (16 MiB), depth (128) or number of values."},
    {NULL}};

/* ---- a run ---- */

enum document_state { DOCUMENT_READ, DOCUMENT_MISSING, DOCUMENT_UNUSABLE /* told already */ };
struct document {
    const char *path;
    enum document_state state;
    const struct rb_doc_node *root;
};

struct run {
    const struct rb_check_ctx *ctx;
    struct rb_outcome *out;
    struct rb_arena *documents_arena;
    struct document *documents;
    size_t document_count;
    int root_fd;
    size_t checked, files, violations;
    const char *first; /* violation */
    const char *first_reason;
    size_t hinted;
};

/* A failure of the guarded thing itself. The first becomes the message when the run ends. */
static void violate(struct run *run, const char *reason, const char *fmt, ...) RB_PRINTF(3, 4);
static void violate(struct run *run, const char *reason, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const char *text = rb_arena_vprintf(run->out->arena, fmt, args);
    va_end(args);
    run->violations++;
    if (!text)
        return;
    if (!run->first) { /* alone it is the message: no need to say it twice */
        run->first = text;
        run->first_reason = reason;
        return;
    }
    if (run->violations == 2)
        rb_outcome_evidence(run->out, "%s", run->first);
    rb_outcome_evidence(run->out, "%s", text);
}

/* Commands that show what changed in a guarded file. */
static void hint_diff(struct run *run, const char *file)
{
    char top[4096];
    RB_BUF_AUTO root, quoted;
    rb_buf_init(&root, 8192);
    rb_buf_init(&quoted, 8192);
    if (run->hinted == HINTED_FILES || file[0] == '/' || !rb_git_top(run->ctx->root, top, sizeof top) ||
        !rb_text_shell_quote(&root, run->ctx->root) || !rb_text_shell_quote(&quoted, file))
        return;
    RB_BUF_AUTO diff;
    rb_buf_init(&diff, 32768);
    rb_buf_addf(&diff, "git -C %s diff HEAD -- %s", rb_buf_str(&root), rb_buf_str(&quoted));
    for (size_t i = 0; i < run->out->hint_count; i++) {
        if (strcmp(run->out->hints[i], rb_buf_str(&diff)) == 0)
            return;
    }
    run->hinted++;
    rb_outcome_hint(run->out, "%s", rb_buf_str(&diff));
    rb_outcome_hint(run->out, "git -C %s log -n 3 -p -- %s", rb_buf_str(&root), rb_buf_str(&quoted));
}

/* ---- documents ---- */

static void parse_document(struct run *run, struct document *document, const struct rb_buf *bytes)
{
    const char *end = strrchr(document->path, '.');
    const struct rb_doc_options how = {.tree = true, .lenient_json = end && strcmp(end, ".jsonc") == 0};
    struct rb_doc_problems problems;
    struct rb_doc_node *root = NULL;
    struct rb_error err = {0};
    enum rb_doc_format format = rb_doc_format_of(document->path);
    if (format == RB_DOC_UNKNOWN) {
        violate(run, "broken", "%s: its name tells no format; rules read .toml, .yml, .yaml and .json files", document->path);
        return;
    }
    int code = rb_doc_parse(format, rb_buf_str(bytes), bytes->len, &how, run->documents_arena, &root, NULL, &problems, &err);
    if (code == RB_EPARSE) {
        const struct rb_doc_problem *p = &problems.items[0];
        violate(run, "broken", "%s:%u:%u: does not parse: %s", document->path, p->line, p->column, p->message);
        hint_diff(run, document->path);
    } else if (code < 0) {
        rb_outcome_raise(run->out, RB_RESULT_UNKNOWN, code == RB_ENOMEM ? "resource_limit" : "too_large", "%s: %s", document->path,
                         err.message);
    } else {
        document->state = DOCUMENT_READ;
        document->root = root;
        run->files++;
    }
}

static void tell_unreadable(struct run *run, const char *path, int code, const struct rb_error *err)
{
    bool denied = code == RB_EPERM && (err->saved_errno == EACCES || err->saved_errno == EPERM);
    if (code == RB_EINVAL || (code == RB_EPERM && !denied))
        violate(run, "not_a_file", "%s", err->message);
    else if (denied)
        rb_outcome_raise(run->out, RB_RESULT_UNKNOWN, "not_permitted", "%s", err->message);
    else
        rb_outcome_raise(run->out, RB_RESULT_UNKNOWN, code == RB_ELIMIT ? "too_large" : "unreadable", "%s: %s", path, err->message);
}

static void load_document(struct run *run, struct document *document)
{
    RB_BUF_AUTO bytes;
    rb_buf_init(&bytes, (size_t)MAX_FILE + 1);
    struct rb_error err = {0};
    int code = document->path[0] == '/' ? rb_file_read(document->path, MAX_FILE, false, &bytes, &err)
                                        : rb_file_read_below(run->root_fd, document->path, MAX_FILE, &bytes, &err);
    document->state = DOCUMENT_UNUSABLE;
    if (document->path[0] != '/')
        rb_outcome_fact(run->out, RB_FACT_FILE, "%s", document->path);
    else
        rb_outcome_fact(run->out, RB_FACT_PATH, "%s", document->path);
    if (code == RB_ENOTFOUND || err.saved_errno == ENOENT || err.saved_errno == ENOTDIR)
        document->state = DOCUMENT_MISSING;
    else if (code < 0)
        tell_unreadable(run, document->path, code, &err);
    else
        parse_document(run, document, &bytes);
}

/* The document of a path, read at its first use in this run; NULL when there are too many. */
static struct document *get_document(struct run *run, const char *path)
{
    for (size_t i = 0; i < run->document_count; i++) {
        if (strcmp(run->documents[i].path, path) == 0)
            return &run->documents[i];
    }
    if (run->document_count == MAX_FILES) {
        rb_outcome_raise(run->out, RB_RESULT_UNKNOWN, "too_large", "the rules name more than %d files: narrow their globs", MAX_FILES);
        return NULL;
    }
    struct document *document = &run->documents[run->document_count++];
    *document = (struct document){.path = path};
    load_document(run, document);
    return document;
}

/* ---- values against expectations ---- */

/* Whether a value that is there satisfies the rule. RB_MATCH_GAVE_UP: the pattern ran into its limits. */
static enum rb_match allows(const struct key_rule *rule, const struct rb_doc_node *value)
{
    double number;
    bool yes = true;
    if (rule->equals)
        yes = rb_expect_equals(rule->equals, value);
    else if (rule->one_of)
        yes = rb_expect_one_of(rule->one_of, value);
    else if (rule->absent_or)
        yes = value->type == RB_DOC_NULL || rb_expect_equals(rule->absent_or, value);
    else if (rule->absent)
        yes = value->type == RB_DOC_NULL;
    else if (rule->present)
        yes = value->type != RB_DOC_NULL;
    else if (rule->matches)
        return value->type == RB_DOC_STRING ? rb_match_regex(rule->matches, value->string, value->string_len, NULL) : RB_MATCH_NO;
    else if (rule->has_range)
        yes = rb_expect_number(value, &number) && !(number < rule->range.min) && !(number > rule->range.max) && !isnan(number);
    return yes ? RB_MATCH_YES : RB_MATCH_NO;
}

/* ---- words ---- */

static void print_range(struct rb_buf *out, const struct range_options *range)
{
    if (isfinite(range->min)) {
        rb_buf_adds(out, "at least ");
        rb_double_print(out, range->min);
    }
    if (isfinite(range->max)) {
        rb_buf_adds(out, isfinite(range->min) ? " and at most " : "at most ");
        rb_double_print(out, range->max);
    }
}

static void print_expected(struct rb_buf *out, const struct key_rule *rule, bool hidden)
{
    rb_buf_adds(out, rule->absent_or ? "expected absent or " : "expected ");
    if (rule->absent)
        rb_buf_adds(out, "absent");
    else if (rule->present)
        rb_buf_adds(out, "a value");
    else if (rule->has_range)
        print_range(out, &rule->range);
    else if (hidden && !(rule->absent_or && rule->absent_or->type == RB_NODE_SCALAR && rule->absent_or->scalar[0] == '\0'))
        rb_buf_adds(out, "another value");
    else if (rule->equals)
        rb_expect_print_wanted(out, rule->equals);
    else if (rule->absent_or)
        rb_expect_print_wanted(out, rule->absent_or);
    else if (rule->one_of) {
        rb_buf_adds(out, "one of ");
        rb_expect_print_wanted(out, rule->one_of);
    } else {
        rb_buf_addf(out, "a string that matches %s", rule->matches);
    }
}

/* Whether the name alone says that a secret stands there: of the key itself, or of the table around it. */
static bool names_secret(const struct rb_keypath_match *match)
{
    return rb_redact_key_is_secret(match->key) || rb_redact_key_is_secret(match->path);
}

static bool is_hidden(const struct key_rule *rule, const struct rb_keypath_match *match)
{
    enum rb_doc_type type = match->node->type;
    bool harmless = type == RB_DOC_BOOL || type == RB_DOC_NULL || type == RB_DOC_LIST || type == RB_DOC_TABLE;
    return rule->secret || (!harmless && names_secret(match) && !(type == RB_DOC_STRING && match->node->string_len == 0));
}

static void tell_wrong(struct run *run, const struct key_rule *rule, const char *path, const struct rb_keypath_match *match)
{
    bool hidden = is_hidden(rule, match);
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_OUTCOME_MAX_TEXT * 4);
    rb_buf_adds(&text, "is ");
    if (hidden)
        rb_buf_adds(&text, "set (value hidden)");
    else
        rb_expect_print_value(&text, match->node);
    rb_buf_adds(&text, ", ");
    print_expected(&text, rule, hidden);
    violate(run, rule->absent ? "key_present" : "wrong_value", "%s:%u: %s %s", path, match->node->line, match->path, rb_buf_str(&text));
    hint_diff(run, path);
}

/* ---- rules ---- */

static void check_match(struct run *run, const struct key_rule *rule, const char *path, const struct rb_keypath_match *match)
{
    run->checked++;
    enum rb_match verdict = allows(rule, match->node);
    if (verdict == RB_MATCH_NO)
        tell_wrong(run, rule, path, match);
    else if (verdict == RB_MATCH_GAVE_UP)
        rb_outcome_raise(run->out, RB_RESULT_UNKNOWN, "resource_limit", "%s: %s: the pattern of `matches` reached its limits", path,
                         match->path);
}

static void check_file(struct run *run, const struct key_rule *rule, const struct rb_keypath *keypath, const char *path, bool optional)
{
    struct document *document = get_document(run, path);
    if (!document || document->state == DOCUMENT_UNUSABLE || (document->state == DOCUMENT_MISSING && optional))
        return;
    if (document->state == DOCUMENT_MISSING) {
        document->state = DOCUMENT_UNUSABLE; /* told once, not once a rule */
        violate(run, "file_missing", "%s does not exist", path);
        hint_diff(run, path);
        return;
    }
    struct rb_keypath_matches matches;
    struct rb_error err = {0};
    int code = rb_keypath_find(keypath, document->root, MAX_MATCHES, run->documents_arena, &matches, &err);
    if (code < 0) {
        rb_outcome_raise(run->out, RB_RESULT_UNKNOWN, code == RB_ENOMEM ? "resource_limit" : "too_large", "%s: %s: %s", path, rule->key,
                         err.message);
        return;
    }
    for (size_t i = 0; i < matches.count; i++)
        check_match(run, rule, path, &matches.items[i]);
    if (matches.count > 0)
        return;
    run->checked++;
    if (rule->absent || rule->absent_or)
        return;
    RB_BUF_AUTO expected;
    rb_buf_init(&expected, RB_OUTCOME_MAX_TEXT * 4);
    print_expected(&expected, rule, rule->secret || rb_redact_key_is_secret(rule->key));
    violate(run, "key_missing", "%s: %s is missing, %s", path, rule->key, rb_buf_str(&expected));
    hint_diff(run, path);
}

static void check_pattern(struct run *run, const struct key_rule *rule, const struct rb_keypath *keypath, const char *pattern)
{
    struct rb_found_list list;
    struct rb_error err = {0};
    if (rb_glob_is_literal(pattern)) {
        check_file(run, rule, keypath, pattern, rule->file_optional);
        return;
    }
    int code = rb_files_expand(run->ctx->root, pattern, MAX_FILES, run->ctx->cancelled, run->out->arena, &list, &err);
    if (code < 0) {
        const char *reason = code == RB_ETIMEOUT ? "cancelled" : code == RB_ELIMIT ? "too_large" : "unreadable";
        rb_outcome_raise(run->out, RB_RESULT_UNKNOWN, reason, "%s: %s", pattern, err.message);
        return;
    }
    if (list.unreachable > 0)
        rb_outcome_raise(run->out, RB_RESULT_UNKNOWN, "not_permitted", "%s: %zu folders could not be looked into", pattern,
                         list.unreachable);
    if (list.count == 0 && list.unreachable == 0 && !rule->file_optional)
        violate(run, "no_files", "%s matches no file: %s is not guarded", pattern, rule->key);
    for (size_t i = 0; i < list.count; i++)
        check_file(run, rule, keypath, list.items[i].path, true);
}

static bool is_cancelled(const struct rb_check_ctx *ctx)
{
    return ctx->cancelled && atomic_load_explicit(ctx->cancelled, memory_order_relaxed);
}

static void check_rule(struct run *run, const struct key_rule *rule)
{
    const struct rb_keypath *keypath = NULL;
    struct rb_error err = {0};
    if (rb_keypath_parse(rule->key, run->documents_arena, &keypath, &err) < 0) {
        rb_outcome_raise(run->out, RB_RESULT_UNKNOWN, "internal_error", "%s", err.message); /* validated: only memory is left */
        return;
    }
    if (rule->file)
        check_file(run, rule, keypath, rule->file, rule->file_optional);
    for (size_t i = 0; i < rule->files.count; i++)
        check_pattern(run, rule, keypath, rule->files.items[i]);
}

static void conclude(struct run *run)
{
    rb_outcome_value(run->out, "checked", NULL, (double)run->checked);
    rb_outcome_value(run->out, "files", NULL, (double)run->files);
    rb_outcome_value(run->out, "violations", NULL, (double)run->violations);
    if (run->violations == 1)
        rb_outcome_set(run->out, RB_RESULT_FAIL, run->first_reason, "%s", run->first);
    else if (run->violations > 1)
        rb_outcome_set(run->out, RB_RESULT_FAIL, run->first_reason, "%zu violations, %zu keys checked; first: %s", run->violations,
                       run->checked, run->first);
    else if (run->out->result == RB_RESULT_OK)
        rb_outcome_say(run->out, "%zu key%s in %zu file%s", run->checked, run->checked == 1 ? "" : "s", run->files,
                       run->files == 1 ? "" : "s");
}

static void run_check(const struct rb_check_ctx *ctx, struct rb_outcome *out)
{
    const struct keys_options *o = ctx->options;
    const struct key_rule *rules = o->rules.items;
    struct run run = {.ctx = ctx, .out = out, .root_fd = open(ctx->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (run.root_fd < 0) {
        rb_outcome_set(out, RB_RESULT_FAIL, "file_missing", "the root folder %s cannot be opened", ctx->root);
        return;
    }
    RB_ARENA_AUTO *documents = rb_arena_new(DOCUMENT_ARENA);
    run.documents_arena = documents;
    run.documents = documents ? rb_arena_array(documents, MAX_FILES, sizeof *run.documents) : NULL;
    for (size_t i = 0; run.documents && i < o->rules.count && !is_cancelled(ctx); i++)
        check_rule(&run, &rules[i]);
    (void)close(run.root_fd);
    if (!run.documents)
        rb_outcome_set(out, RB_RESULT_UNKNOWN, "resource_limit", "out of memory");
    else if (is_cancelled(ctx) && run.violations == 0)
        rb_outcome_set(out, RB_RESULT_UNKNOWN, "cancelled", "given up before every rule was looked at");
    else
        conclude(&run);
}

/* ---- the table's cross rules ---- */

static struct rb_mark mark_of(const struct rb_node *node, const char *key)
{
    const struct rb_node *item = rb_node_get(node, key);
    return item ? item->mark : node->mark;
}

static void validate_range(struct key_rule *rule, const struct rb_node *node, struct rb_diags *diags)
{
    rule->has_range = rb_node_get(node, "range") != NULL;
    if (!rule->has_range)
        return;
    if (isnan(rule->range.min) && isnan(rule->range.max))
        (void)rb_diag_add(diags, mark_of(node, "range"), "range: give min, max or both");
    rule->range.min = isnan(rule->range.min) ? (double)-INFINITY : rule->range.min;
    rule->range.max = isnan(rule->range.max) ? (double)INFINITY : rule->range.max;
    if (rule->range.min > rule->range.max)
        (void)rb_diag_add(diags, mark_of(node, "range"), "range: min is greater than max");
}

static void validate_rule(struct key_rule *rule, const struct rb_node *node, struct rb_diags *diags)
{
    static const char *const conditions[] = {"equals", "one_of", "range", "matches", "absent_or", NULL};
    const struct rb_keypath *keypath = NULL;
    struct rb_error err = {0};
    size_t count = (size_t)rule->absent + (size_t)rule->present;
    validate_range(rule, node, diags);
    for (size_t i = 0; conditions[i]; i++)
        count += rb_node_get(node, conditions[i]) != NULL;
    if (count != 1)
        (void)rb_diag_add(diags, node->mark,
                          "a rule needs exactly one of equals, one_of, range, matches, absent, absent_or and present; this one has %zu",
                          count);
    if ((rule->file != NULL) == (rule->files.count > 0))
        (void)rb_diag_add(diags, node->mark, "a rule needs either file or files");
    if (rule->one_of && (rule->one_of->type != RB_NODE_SEQUENCE || rule->one_of->count == 0))
        (void)rb_diag_add(diags, rule->one_of->mark, "one_of wants a list of values");
    if (rule->key && rb_keypath_parse(rule->key, diags->arena, &keypath, &err) < 0)
        (void)rb_diag_add(diags, mark_of(node, "key"), "%s", err.message);
}

static void validate(void *opts, const struct rb_node *node, struct rb_diags *diags)
{
    struct keys_options *o = opts;
    const struct rb_node *list = rb_node_get(node, "rules");
    if (!list || list->type != RB_NODE_SEQUENCE || list->count != o->rules.count)
        return;
    struct key_rule *rules; /* the table filled them and nobody else has seen them yet */
    memcpy(&rules, &o->rules.items, sizeof rules);
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i]->type == RB_NODE_MAPPING)
            validate_rule(&rules[i], list->items[i], diags);
    }
}

static void watches(const void *opts, struct rb_watch_sink *sink)
{
    const struct keys_options *o = opts;
    const struct key_rule *rules = o->rules.items;
    for (size_t i = 0; i < o->rules.count; i++) {
        if (rules[i].file)
            rb_watch_path(sink, rules[i].file);
        if (rules[i].files.count > 0)
            rb_watch_globs(sink, rules[i].files, (struct rb_strings){0}, true);
    }
}

extern const struct rb_kind rb_kind_keys;
const struct rb_kind rb_kind_keys = {
    .schema =
        {.schema = {.name = "keys",
                    .doc = "Values at key paths in TOML, YAML and JSON files are what they have to be; fails closed.",
                    .options = options,
                    .size = sizeof(struct keys_options),
                    .validate = validate},
         .default_phase = RB_PHASE_PREFLIGHT,
         .default_triage = true,
         .example =
             "{name: execution-forbidden, kind: keys, phase: safety, rules: [{files: [config.toml], key: environment.enable_live_trading, "
             "equals: false}]}"},
    .values = values,
    .reasons = reasons,
    .exec = RB_EXEC_WORKER,
    .run = run_check,
    .watches = watches,
};
