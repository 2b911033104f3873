/* tool: is a program there, and is its version right? Starts `argv`, looks for the version in what it prints, compares it.
 *
 * Standard error counts as well as standard output: Java and old Pythons print their version there. A program that prints its version and then
 * exits badly is judged by the version; the exit code becomes evidence. Without any bound the check says which version is there. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>

#include "runbook/base/text.h"
#include "runbook/base/version.h"
#include "runbook/check/facts.h"
#include "runbook/check/kind.h"

#define OUTPUT_CAP    ((size_t)64 * 1024)
#define MATCH_LIMIT   100000u
#define VERSION_CHARS 100

struct tool_options {
    struct rb_strings argv;
    const char *pattern, *min, *max, *below;
};

static const struct rb_option options[] = {
    {.name = "argv",
     .type = RB_OPT_ARGV,
     .offset = offsetof(struct tool_options, argv),
     .doc = "Program and arguments that print the version; no shell.",
     .flags = RB_OPT_REQUIRED | RB_OPT_NONEMPTY,
     .max = 64,
     .example = "[python3, --version]"},
    {.name = "pattern",
     .type = RB_OPT_REGEX,
     .offset = offsetof(struct tool_options, pattern),
     .doc = "Regular expression whose first group is the version. Without it: the first number with a dot.",
     .example = "'version \"([^\"]+)\"'"},
    {.name = "min",
     .type = RB_OPT_STRING,
     .offset = offsetof(struct tool_options, min),
     .doc = "Oldest version that will do; a pre-release of it is too old.",
     .example = "\"3.11\""},
    {.name = "max",
     .type = RB_OPT_STRING,
     .offset = offsetof(struct tool_options, max),
     .doc = "Newest version that will do, as far as it is written: 3.12 allows 3.12.9.",
     .example = "\"3.12\""},
    {.name = "below",
     .type = RB_OPT_STRING,
     .offset = offsetof(struct tool_options, below),
     .doc = "Every version must be older than this; its pre-releases are not.",
     .example = "\"4\""},
    {NULL}};

static const struct rb_reason_def reasons[] = {{"not_found", "The program is not in the PATH of the daemon, or its path does not exist."},
                                               {"not_executable", "The program exists but may not be executed."},
                                               {"too_old", "The version is older than the minimum."},
                                               {"too_new", "The version is newer than allowed."},
                                               {"no_version", "The program ran but printed nothing that looks like its version."},
                                               {"crashed", "A signal ended the program before it printed its version."},
                                               {"not_started", "The system could not start the program; the message has its error."},
                                               {NULL}};

static bool command(const struct rb_check_ctx *ctx, struct rb_child_spec *out, struct rb_outcome *outcome)
{
    const struct tool_options *o = ctx->options;
    *out = (struct rb_child_spec){.argv = o->argv.items, .output_cap = OUTPUT_CAP};
    rb_outcome_fact(outcome, RB_FACT_PROGRAM, "%s", o->argv.items[0]);
    return true;
}

/* ---- finding the version ---- */

/* The first group (or, without one, the whole match) of `pattern` in `text`; NULL when it does not match. */
static const char *find_by_pattern(const char *pattern, const char *text, size_t len, size_t *out_len)
{
    int code;
    PCRE2_SIZE offset;
    pcre2_code *regex = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_MULTILINE,
                                      &code, &offset, NULL);
    pcre2_match_data *match = regex ? pcre2_match_data_create_from_pattern(regex, NULL) : NULL;
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    const char *found = NULL;
    if (match && limits) {
        (void)pcre2_set_match_limit(limits, MATCH_LIMIT);
        (void)pcre2_set_heap_limit(limits, 1024);
        int groups = pcre2_match(regex, (PCRE2_SPTR)text, len, 0, 0, match, limits);
        const PCRE2_SIZE *ovector = pcre2_get_ovector_pointer(match);
        int group = groups > 1 ? 1 : 0;
        if (groups > 0 && ovector[2 * group] != PCRE2_UNSET) {
            found = text + ovector[2 * group];
            *out_len = ovector[2 * group + 1] - ovector[2 * group];
        }
    }
    pcre2_match_context_free(limits);
    pcre2_match_data_free(match);
    pcre2_code_free(regex);
    return found;
}

static const char *find_in(const struct tool_options *o, const char *text, size_t len, size_t *out_len)
{
    if (!text || len == 0)
        return NULL;
    return o->pattern ? find_by_pattern(o->pattern, text, len, out_len) : rb_version_find(text, len, out_len);
}

/* ---- judging ---- */

/* Name of the program without its folders. */
static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static void compare(const struct tool_options *o, const char *text, const struct rb_version *have, struct rb_outcome *out)
{
    const char *name = base_name(o->argv.items[0]);
    struct rb_version bound;
    if (o->min && rb_version_parse_all(o->min, &bound) && rb_version_compare(have, &bound) < 0)
        rb_outcome_raise(out, RB_RESULT_FAIL, "too_old", "%s is %s, older than the minimum %s", name, text, o->min);
    if (o->max && rb_version_parse_all(o->max, &bound) && rb_version_compare_to_bound(have, &bound) > 0)
        rb_outcome_raise(out, RB_RESULT_FAIL, "too_new", "%s is %s, newer than the maximum %s", name, text, o->max);
    if (o->below && rb_version_parse_all(o->below, &bound) && rb_version_compare_to_bound(have, &bound) >= 0)
        rb_outcome_raise(out, RB_RESULT_FAIL, "too_new", "%s is %s, but must be below %s", name, text, o->below);
    if (out->result == RB_RESULT_OK)
        rb_outcome_say(out, "%s %s", name, text);
}

static void no_version(const struct tool_options *o, const struct rb_child_result *result, struct rb_outcome *out)
{
    const char *name = base_name(o->argv.items[0]);
    if (result->end == RB_CHILD_SIGNALED)
        rb_outcome_set(out, RB_RESULT_FAIL, "crashed", "%s was ended by signal %d", name, result->code);
    else if (result->code != 0)
        rb_outcome_set(out, RB_RESULT_FAIL, "no_version", "%s printed no version and exited with %d", name, result->code);
    else
        rb_outcome_set(out, RB_RESULT_FAIL, "no_version", "%s printed no version%s", name, o->pattern ? " that the pattern matches" : "");
    bool use_err = result->err_len > 0;
    rb_outcome_last_words(out, use_err ? result->err : result->out, use_err ? result->err_len : result->out_len);
}

static void judge_output(const struct tool_options *o, const struct rb_child_result *result, struct rb_outcome *out)
{
    size_t len = 0;
    const char *found = find_in(o, result->out, result->out_len, &len);
    if (!found)
        found = find_in(o, result->err, result->err_len, &len);
    struct rb_version have;
    if (!found || len > VERSION_CHARS || rb_version_parse(found, len, &have) == 0) {
        no_version(o, result, out);
        return;
    }
    const char *text = rb_arena_strndup(out->arena, found, len);
    if (!text)
        return;
    compare(o, text, &have, out);
    if (result->end == RB_CHILD_SIGNALED)
        rb_outcome_evidence(out, "it was ended by signal %d after it printed its version", result->code);
    else if (result->code != 0)
        rb_outcome_evidence(out, "it exited with %d after it printed its version", result->code);
}

/* "python3 --version" as a command to paste, or nothing when an argument must not enter one. */
static void hint_command(const struct tool_options *o, struct rb_outcome *out)
{
    RB_BUF_AUTO line;
    rb_buf_init(&line, RB_OUTCOME_MAX_TEXT);
    for (size_t i = 0; i < o->argv.count; i++) {
        if (i > 0)
            rb_buf_addc(&line, ' ');
        if (!rb_text_shell_quote(&line, o->argv.items[i]))
            return;
    }
    if (!line.failed)
        rb_outcome_hint(out, "%s", rb_buf_str(&line));
}

static void judge(const struct rb_check_ctx *ctx, const struct rb_child_result *result, struct rb_outcome *out)
{
    const struct tool_options *o = ctx->options;
    const char *program = o->argv.items[0];
    struct rb_error err = {0};
    out->sighting = RB_SIGHTING_PRESENT;
    switch (result->end) {
    case RB_CHILD_EXITED:
    case RB_CHILD_SIGNALED:
        judge_output(o, result, out);
        break;
    case RB_CHILD_TIMEOUT:
        rb_outcome_set(out, RB_RESULT_FAIL, "timeout", "%s did not print its version within %.1f s", base_name(program),
                       result->duration_s);
        rb_outcome_last_words(out, result->out_len > 0 ? result->out : result->err,
                              result->out_len > 0 ? result->out_len : result->err_len);
        break;
    case RB_CHILD_NOT_FOUND:
        out->sighting = RB_SIGHTING_GONE;
        rb_outcome_set(out, RB_RESULT_FAIL, "not_found", "%s is not installed%s", base_name(program),
                       strchr(program, '/') ? " at its path" : ", or not in the daemon's PATH");
        break;
    case RB_CHILD_NOT_EXECUTABLE:
        rb_outcome_set(out, RB_RESULT_FAIL, "not_executable", "%s may not be executed", program);
        break;
    case RB_CHILD_SPAWN_FAILED:
        out->sighting = RB_SIGHTING_NONE;
        (void)rb_error_sys(&err, result->code, "%s could not be started", program);
        rb_outcome_set(out, RB_RESULT_UNKNOWN, "not_started", "%s", err.message);
        break;
    }
    if (out->result > RB_RESULT_OK)
        hint_command(o, out);
}

/* ---- the table's cross rules ---- */

static struct rb_mark mark_of(const struct rb_node *node, const char *key)
{
    const struct rb_node *item = rb_node_get(node, key);
    return item ? item->mark : node->mark;
}

static void validate(void *opts, const struct rb_node *node, struct rb_diags *diags)
{
    const struct tool_options *o = opts;
    const struct {
        const char *name, *text;
    } bounds[] = {{"min", o->min}, {"max", o->max}, {"below", o->below}};
    struct rb_version version, least = {0};
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        if (!bounds[i].text)
            continue;
        if (!rb_version_parse_all(bounds[i].text, &version))
            (void)rb_diag_add(diags, mark_of(node, bounds[i].name), "%s: \"%s\" is no version; write for example \"3.11\"", bounds[i].name,
                              bounds[i].text);
        else if (i == 0)
            least = version;
        else if (o->min && rb_version_compare(&version, &least) < 0)
            (void)rb_diag_add(diags, mark_of(node, bounds[i].name), "%s %s is less than min %s: no version could pass", bounds[i].name,
                              bounds[i].text, o->min);
    }
}

const struct rb_kind rb_kind_tool = {
    .schema = {.schema = {.name = "tool",
                          .doc = "A program is installed and its version is right.",
                          .options = options,
                          .size = sizeof(struct tool_options),
                          .validate = validate},
               .default_phase = RB_PHASE_PREFLIGHT,
               .default_triage = true,
               .starts_programs = true,
               .presence_aware = true,
               .default_every = "1h",
               .example = "{name: python, kind: tool, argv: [python3, --version], min: \"3.11\"}"},
    .reasons = reasons,
    .exec = RB_EXEC_CHILD,
    .child = &(const struct rb_child_ops){.command = command, .judge = judge},
};
