/* secrets: values in the tree that look like credentials, by rule.
 *
 * A scan: the engine finds shapes, source/secret_rules.c judges, this file reports. No value ever enters an outcome, only rule, place, length and fingerprint; the
 * fingerprint is made of rule, path and value, so that it survives moving the line and changes with the value. An allowed finding names who
 * may stay and why, and until when: an expired one fails again and says so, one that matches nothing is told. */
#include <stdio.h>
#include <string.h>

#include "runbook/base/buf.h"
#include "runbook/base/redact.h"
#include "runbook/base/units.h"
#include "runbook/check/facts.h"
#include "runbook/check/kind.h"
#include "runbook/source/secret_rules.h"

enum { FACTS_MAX = 32, MAX_RULES = 128, ALLOW_MAX = 1000, FINGERPRINTS_MAX = 10000, PATH_SHOWN = 1000 };

struct allow_row {
    const char *fingerprint, *reason, *until;
};
struct secrets_options {
    struct rb_strings files, exclude, rules, disable;
    struct rb_structs allow;
    double entropy;
    bool tracked, untracked;
};

static const struct rb_option allow_table[] = {{.name = "fingerprint",
                                                .type = RB_OPT_STRING,
                                                .flags = RB_OPT_REQUIRED | RB_OPT_NONEMPTY,
                                                .offset = offsetof(struct allow_row, fingerprint),
                                                .doc = "As the check prints it: 16 hex digits."},
                                               {.name = "reason",
                                                .type = RB_OPT_STRING,
                                                .flags = RB_OPT_REQUIRED | RB_OPT_NONEMPTY,
                                                .offset = offsetof(struct allow_row, reason),
                                                .doc = "Why it may stay."},
                                               {.name = "until",
                                                .type = RB_OPT_STRING,
                                                .offset = offsetof(struct allow_row, until),
                                                .doc = "Date or time (RFC 3339) from which it is a finding again.",
                                                .example = "2027-01-01"},
                                               {NULL}};

static const struct rb_option options[] = {{.name = "files",
                                            .type = RB_OPT_GLOBS,
                                            .offset = offsetof(struct secrets_options, files),
                                            .doc = "Globs of the files to search. Default: every file.",
                                            .example = "[\"config/**\"]"},
                                           {.name = "exclude",
                                            .type = RB_OPT_GLOBS,
                                            .offset = offsetof(struct secrets_options, exclude),
                                            .doc = "Globs of files to leave out.",
                                            .example = "[\"tests/fixtures/**\"]"},
                                           {.name = "rules",
                                            .type = RB_OPT_STRINGS,
                                            .offset = offsetof(struct secrets_options, rules),
                                            .doc = "Names of rules, or of groups of rules, to use. Default: all.",
                                            .example = "[cloud, forge, private_key]"},
                                           {.name = "disable",
                                            .type = RB_OPT_STRINGS,
                                            .offset = offsetof(struct secrets_options, disable),
                                            .doc = "Names of rules, or of groups of rules, to leave out.",
                                            .example = "[generic]"},
                                           {.name = "allow",
                                            .type = RB_OPT_STRUCTS,
                                            .offset = offsetof(struct secrets_options, allow),
                                            .doc = "Findings that may stay, each with a reason.",
                                            .sub = allow_table,
                                            .sub_size = sizeof(struct allow_row),
                                            .max = ALLOW_MAX,
                                            .example = "[{fingerprint: 0123456789abcdef, reason: test key, until: 2027-01-01}]"},
                                           {.name = "entropy",
                                            .type = RB_OPT_NUMBER,
                                            .offset = offsetof(struct secrets_options, entropy),
                                            .doc = "Least entropy of a generic value, in bits a character; short values need less.",
                                            .fallback = "3.5",
                                            .min = 0,
                                            .max = 8},
                                           {.name = "tracked",
                                            .type = RB_OPT_BOOL,
                                            .offset = offsetof(struct secrets_options, tracked),
                                            .doc = "Files that git tracks.",
                                            .fallback = "true"},
                                           {.name = "untracked",
                                            .type = RB_OPT_BOOL,
                                            .offset = offsetof(struct secrets_options, untracked),
                                            .doc = "Files that git neither tracks nor ignores.",
                                            .fallback = "true"},
                                           {NULL}};

static const struct rb_value_def values[] = {
    {"findings", "", RB_VALUE_GAUGE, "Secrets that nobody allowed, by group of rules.", "group"},
    {"allowed", "", RB_VALUE_GAUGE, "Secrets on the allow-list.", NULL},
    {"expired", "", RB_VALUE_GAUGE, "Secrets whose entry on the allow-list has expired.", NULL},
    {"files", "", RB_VALUE_GAUGE, "Files searched.", NULL},
    {"binary", "", RB_VALUE_GAUGE, "Files with a NUL: not searched behind it.", NULL},
    {"unchecked", "", RB_VALUE_GAUGE, "Files that could not be searched: unreadable, too large.", NULL},
    {NULL}};

static const struct rb_reason_def reasons[] = {{"found", "A secret stands in a file: rotate it, then take it out, of the history too."},
                                               {"allow_expired", "The only findings are on the allow-list, and their date has passed."},
                                               {"no_files", "No file matches: the globs are wrong, or the root is."},
                                               {"unreadable", "A file could not be read, or changed while it was read."},
                                               {"too_large", "A text file is above the limit of 64 MiB."},
                                               {"gave_up", "A rule reached its limits on a line: exclude the file."},
                                               {"incomplete", "The scan did not see every file; the message says why."},
                                               {NULL}};

static const char *const groups[] = {"cloud", "forge", "registry", "chat", "payment", "service", "database", "key", "token", "generic"};
enum { GROUPS = sizeof groups / sizeof groups[0] };

struct secrets_state {
    const struct secrets_options *options;
    const struct rb_secret_rule *rules[MAX_RULES]; /* of each pattern */
    struct rb_pattern *patterns;
    bool *allow_used;
    int64_t *allow_until; /* wall ns; 0: for ever */
    size_t rule_count, groups[GROUPS];
    size_t files, binary, unreadable, too_large, gave_up, dropped;
    size_t findings, bad_files, allowed, expired, fingerprints, facts;
    const char *first, *first_unchecked, *last_fact;
};

/* ---- rules in use ---- */

static bool names_rule(const struct rb_strings *names, const struct rb_secret_rule *rule)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->items[i], rule->name) == 0 || strcmp(names->items[i], rule->group) == 0)
            return true;
    return false;
}

static void begin(const struct rb_check_ctx *ctx, void *state, struct rb_scan_request *out)
{
    struct secrets_state *s = state;
    const struct secrets_options *o = ctx->options;
    size_t count = 0;
    const struct rb_secret_rule *all = rb_secret_rules(&count);
    s->options = o;
    s->patterns = rb_arena_array(ctx->arena, count, sizeof(*s->patterns));
    s->allow_used = rb_arena_array(ctx->arena, o->allow.count + 1, sizeof(*s->allow_used));
    s->allow_until = rb_arena_array(ctx->arena, o->allow.count + 1, sizeof(*s->allow_until));
    for (size_t i = 0; s->patterns && i < count && s->rule_count < MAX_RULES; i++) {
        if ((o->rules.count > 0 && !names_rule(&o->rules, &all[i])) || names_rule(&o->disable, &all[i]))
            continue;
        s->patterns[s->rule_count] = all[i].pattern;
        s->rules[s->rule_count++] = &all[i];
    }
    const struct allow_row *rows = o->allow.items;
    for (size_t i = 0; s->allow_until && i < o->allow.count; i++)
        if (rows[i].until)
            (void)!rb_time_parse(rows[i].until, &s->allow_until[i], NULL); /* validate() has read it already */
    *out = (struct rb_scan_request){.include = o->files,
                                    .exclude = o->exclude,
                                    .tracked = o->tracked,
                                    .untracked = o->untracked,
                                    .patterns = s->patterns,
                                    .pattern_count = s->rule_count};
}

/* ---- findings ---- */

static bool value_of(const struct secrets_state *s, const struct rb_scan_file *file, const struct rb_pattern_hit *hit, const char **value,
                     size_t *len)
{
    return rb_secret_value(s->rules[hit->pattern], file->text, file->text_len, hit, s->options->entropy, value, len);
}

/* Two rules may see the same value; the one that stands first in the table says more. */
static bool is_told_better(const struct secrets_state *s, const struct rb_scan_file *file, size_t index)
{
    const struct rb_pattern_hit *hit = &file->hits[index];
    const char *value;
    size_t len;
    for (size_t step = 0; step < 2; step++) {
        for (size_t i = step ? index + 1 : index; step ? i < file->hit_count : i > 0; i = step ? i + 1 : i - 1) {
            const struct rb_pattern_hit *other = &file->hits[step ? i : i - 1];
            if (other->line_start != hit->line_start)
                break;
            bool overlap = other->value_start < hit->value_end && hit->value_start < other->value_end;
            if (overlap && other->pattern < hit->pattern && value_of(s, file, other, &value, &len))
                return true;
        }
    }
    return false;
}

enum standing { NEW, ALLOWED, EXPIRED };

static enum standing look_up(struct secrets_state *s, const struct rb_check_ctx *ctx, const char *print, const struct allow_row **out)
{
    const struct allow_row *rows = s->options->allow.items;
    for (size_t i = 0; i < s->options->allow.count; i++) {
        if (strcmp(rows[i].fingerprint, print) != 0)
            continue;
        *out = &rows[i];
        s->allow_used[i] = true;
        bool over = s->allow_until[i] != 0 && rb_wall_ns(ctx->clock) >= s->allow_until[i];
        return over ? EXPIRED : ALLOWED;
    }
    return NEW;
}

static void report(struct secrets_state *s, const struct rb_scan_file *file, const struct rb_pattern_hit *hit, const char *print,
                   const struct allow_row *expired, struct rb_outcome *out)
{
    const struct rb_secret_rule *rule = s->rules[hit->pattern];
    RB_BUF_AUTO path;
    rb_buf_init(&path, 8 * PATH_SHOWN);
    (void)rb_redact(&path, file->path, strlen(file->path)); /* a name can be a secret too */
    if (!s->first)
        s->first = rb_arena_printf(out->arena, "%s in %s:%zu", rule->doc, rb_buf_str(&path), hit->line);
    if (expired)
        rb_outcome_evidence(out, "%s:%zu:%zu: %s (%s), fingerprint %s: allowed until %s, which has passed (%s)", rb_buf_str(&path),
                            hit->line, hit->value_start - hit->line_start + 1, rule->doc, rule->name, print, expired->until,
                            expired->reason);
    else
        rb_outcome_evidence(out, "%s:%zu:%zu: %s (%s), %zu bytes, fingerprint %s", rb_buf_str(&path), hit->line,
                            hit->value_start - hit->line_start + 1, rule->doc, rule->name, hit->value_end - hit->value_start, print);
    if (s->facts < FACTS_MAX && (!s->last_fact || strcmp(s->last_fact, rb_buf_str(&path)) != 0)) {
        s->facts++;
        s->last_fact = rb_arena_strdup(out->arena, rb_buf_str(&path));
        rb_outcome_fact(out, RB_FACT_FILE, "%s", rb_buf_str(&path));
    }
}

static void judge(struct secrets_state *s, const struct rb_check_ctx *ctx, const struct rb_scan_file *file, size_t index,
                  struct rb_outcome *out)
{
    const struct rb_pattern_hit *hit = &file->hits[index];
    const struct rb_secret_rule *rule = s->rules[hit->pattern];
    const char *value;
    size_t len;
    char print[RB_SECRET_FINGERPRINT] = "";
    const struct allow_row *row = NULL;
    enum standing standing = NEW;
    if (!value_of(s, file, hit, &value, &len) || is_told_better(s, file, index))
        return;
    /* Each costs a quarter of a millisecond: beyond the maximum a finding is new, which is the safe side. */
    bool needed = s->options->allow.count > 0 || out->evidence_count < RB_OUTCOME_MAX_EVIDENCE;
    if (needed && s->fingerprints++ < FINGERPRINTS_MAX && rb_secret_fingerprint(rule->name, file->path, value, len, print, NULL) == 0)
        standing = look_up(s, ctx, print, &row);
    if (standing == ALLOWED) {
        s->allowed++;
        return;
    }
    s->findings++;
    s->expired += standing == EXPIRED;
    for (size_t i = 0; i < GROUPS; i++)
        s->groups[i] += strcmp(groups[i], rule->group) == 0;
    report(s, file, hit, print, row, out);
}

static void note_unchecked(struct secrets_state *s, const struct rb_scan_file *file, struct rb_outcome *out)
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

static void visit(const struct rb_check_ctx *ctx, void *state, const struct rb_scan_file *file, struct rb_outcome *out)
{
    struct secrets_state *s = state;
    if (file->symlink || (file->problem && strcmp(file->problem, "deleted") == 0))
        return;
    if (!file->tracked && file->problem && strcmp(file->problem, "not_regular") == 0)
        return; /* a FIFO or socket that lies around holds no text; a tracked file that became one is another matter */
    s->binary += file->binary;
    if (file->problem) {
        if (!file->binary)
            note_unchecked(s, file, out);
        return;
    }
    s->files++;
    s->gave_up += file->gave_up;
    s->dropped += file->hits_dropped;
    size_t before = s->findings;
    for (size_t i = 0; i < file->hit_count; i++)
        judge(s, ctx, file, i, out);
    s->bad_files += s->findings > before;
}

/* ---- the end ---- */

static void report_values(const struct secrets_state *s, struct rb_outcome *out)
{
    for (size_t i = 0; i < GROUPS; i++)
        rb_outcome_value(out, "findings", groups[i], (double)s->groups[i]);
    rb_outcome_value(out, "allowed", NULL, (double)s->allowed);
    rb_outcome_value(out, "expired", NULL, (double)s->expired);
    rb_outcome_value(out, "files", NULL, (double)s->files);
    rb_outcome_value(out, "binary", NULL, (double)s->binary);
    rb_outcome_value(out, "unchecked", NULL, (double)(s->unreadable + s->too_large));
}

static void report_unused(const struct secrets_state *s, struct rb_outcome *out)
{
    const struct allow_row *rows = s->options->allow.items;
    for (size_t i = 0; i < s->options->allow.count; i++)
        if (!s->allow_used[i])
            rb_outcome_evidence(out, "allow: %s (%s) matches nothing any more: take it out", rows[i].fingerprint, rows[i].reason);
}

static void say_findings(const struct secrets_state *s, struct rb_outcome *out)
{
    const char *plural = s->findings == 1 ? "" : "s", *files = s->bad_files == 1 ? "" : "s";
    if (s->expired == s->findings)
        rb_outcome_set(out, RB_RESULT_FAIL, "allow_expired", "%zu secret%s whose permission has expired, first %s", s->findings, plural,
                       s->first);
    else
        rb_outcome_set(out, RB_RESULT_FAIL, "found", "%zu secret%s in %zu file%s, first %s", s->findings, plural, s->bad_files, files,
                       s->first);
}

static void finish(const struct rb_check_ctx *ctx, void *state, const struct rb_scan_summary *summary, struct rb_outcome *out)
{
    const struct secrets_state *s = state;
    const char *why = summary->incomplete_why ? summary->incomplete_why : "interrupted";
    (void)ctx;
    report_values(s, out);
    if (s->findings > 0) {
        say_findings(s, out);
        if (!summary->complete)
            rb_outcome_evidence(out, "the scan is incomplete: %s", why);
    } else if (!summary->complete) {
        rb_outcome_set(out, RB_RESULT_UNKNOWN, "incomplete", "after %zu files: %s", s->files, why);
    } else if (s->unreadable > 0) {
        rb_outcome_set(out, RB_RESULT_UNKNOWN, "unreadable", "%zu files could not be read: %s", s->unreadable, s->first_unchecked);
    } else if (s->too_large > 0) {
        rb_outcome_set(out, RB_RESULT_UNKNOWN, "too_large", "%zu files are above the limit: %s", s->too_large, s->first_unchecked);
    } else if (s->gave_up + s->dropped > 0) {
        rb_outcome_set(out, RB_RESULT_UNKNOWN, "gave_up", "%zu lines and %zu further matches could not be judged", s->gave_up, s->dropped);
    } else if (s->files + s->binary == 0) {
        rb_outcome_set(out, RB_RESULT_UNKNOWN, "no_files", "no file matches the globs");
    } else {
        rb_outcome_say(out, "no secrets in %zu files (%zu rules, %zu allowed)", s->files, s->rule_count, s->allowed);
    }
    if (summary->complete)
        report_unused(s, out);
}

/* ---- configuration ---- */

static void validate_rules(const struct rb_strings *names, const char *option, const struct rb_node *node, struct rb_diags *diags)
{
    size_t count = 0;
    const struct rb_secret_rule *all = rb_secret_rules(&count);
    for (size_t i = 0; i < names->count; i++) {
        struct rb_strings one = {&names->items[i], 1};
        bool known = false;
        for (size_t j = 0; j < count && !known; j++)
            known = names_rule(&one, &all[j]);
        if (!known)
            (void)rb_diag_add(diags, node->mark, "%s: there is no rule or group \"%s\"; docs/secrets.md lists them", option,
                              names->items[i]);
    }
}

static void validate(void *opts, const struct rb_node *node, struct rb_diags *diags)
{
    const struct secrets_options *o = opts;
    const struct allow_row *rows = o->allow.items;
    struct rb_error err = {0};
    int64_t until = 0;
    validate_rules(&o->rules, "rules", node, diags);
    validate_rules(&o->disable, "disable", node, diags);
    for (size_t i = 0; i < o->allow.count; i++) {
        if (rows[i].until && rb_time_parse(rows[i].until, &until, &err) < 0)
            (void)rb_diag_add(diags, node->mark, "allow: until \"%s\" is no date such as 2027-01-01", rows[i].until);
    }
    if (!o->tracked && !o->untracked)
        (void)rb_diag_add(diags, node->mark, "tracked and untracked are both false: no file could match");
}

const struct rb_kind rb_kind_secrets = {
    .schema =
        {.schema =
             {.name = "secrets",
              .doc =
                  "Secrets by value: cloud, forge, chat and payment keys, private keys, passwords in URLs, random values of telling keys.",
              .options = options,
              .size = sizeof(struct secrets_options),
              .validate = validate},
         .default_phase = RB_PHASE_PREFLIGHT,
         .default_triage = false,
         .default_every = "5m",
         .example = "{name: secrets, kind: secrets, allow: [{fingerprint: 0123456789abcdef, reason: test key, until: 2027-01-01}]}"},
    .values = values,
    .reasons = reasons,
    .exec = RB_EXEC_SCAN,
    .scan = &(const struct rb_scan_ops){.state_size = sizeof(struct secrets_state), .begin = begin, .visit = visit, .finish = finish},
};
