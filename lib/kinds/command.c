/* command: runs a program of the team and believes its exit code.
 *
 * The first line of its output is the message, as with Nagios plugins; perfdata behind '|' becomes metrics. Output is what a stranger
 * wrote: it is redacted as one
 * text (a key block spans lines), secrets that we ourselves put into its environment are masked by value, and only then is it cut into
 * lines. */
#include <stdlib.h>
#include <string.h>

#include "runbook/base/redact.h"
#include "runbook/base/units.h"
#include "runbook/check/facts.h"
#include "runbook/check/kind.h"
#include "runbook/check/perfdata.h"

#include "command/ratchet.h"

#define EVIDENCE_LINES   8
#define SECRET_MIN_BYTES 4u
#define ENV_MAX          128
#define EXIT_MAX         255

struct command_options {
    struct rb_strings argv;
    struct rb_pairs env;
    const char *cwd;
    struct rb_pairs exit;
    int64_t output_cap;
    int8_t perfdata;
    struct rb_command_ratchet ratchet;
};

static const struct rb_option options[] = {
    {.name = "argv",
     .type = RB_OPT_ARGV,
     .offset = offsetof(struct command_options, argv),
     .doc = "Program and arguments, without a shell; a relative path with '/' counts from root, a bare name is searched in PATH.",
     .flags = RB_OPT_REQUIRED | RB_OPT_NONEMPTY,
     .max = 256,
     .example = "[scripts/ops/ops_doctor.sh, --json]"},
    {.name = "env",
     .type = RB_OPT_PAIRS,
     .offset = offsetof(struct command_options, env),
     .doc = "Variables added to the clean environment; nothing else of the daemon's own is passed on.",
     .flags = RB_OPT_SECRET,
     .max = ENV_MAX,
     .example = "{PEAK_TRADE_MODE: research}"},
    {.name = "cwd",
     .type = RB_OPT_PATH,
     .offset = offsetof(struct command_options, cwd),
     .doc = "Working folder; relative to root, which is the default.",
     .example = "scripts"},
    {.name = "exit",
     .type = RB_OPT_PAIRS,
     .offset = offsetof(struct command_options, exit),
     .doc = "What each exit code means: ok, warn, fail, unknown or skip. Without it as Nagios: 0 ok, 1 warn, 2 fail. A code that is not "
            "listed is unknown.",
     .max = EXIT_MAX + 1,
     .example = "{0: ok, 1: fail, 2: warn, 3: skip}"},
    {.name = "output_cap",
     .type = RB_OPT_SIZE,
     .offset = offsetof(struct command_options, output_cap),
     .doc = "Bytes kept of standard output and of standard error each: the first and the last half.",
     .fallback = "64KiB",
     .min = 1024,
     .max = 4 * 1024 * 1024,
     .example = "16KiB"},
    {.name = "perfdata",
     .type = RB_OPT_TRISTATE,
     .offset = offsetof(struct command_options, perfdata),
     .doc = "Whether text behind '|' is perfdata of a Nagios plugin; without it: when it reads like that.",
     .example = "true"},
    {.name = "ratchet",
     .type = RB_OPT_BOOL,
     .offset = offsetof(struct command_options, ratchet.on),
     .doc =
         "When the exit code means warn or fail: lines of the output that people accepted stay quiet, and with no new one the check is ok.",
     .fallback = "false"},
    {.name = "accepted",
     .type = RB_OPT_PATH,
     .offset = offsetof(struct command_options, ratchet.accepted),
     .doc = "File with accepted lines, relative to root: a fingerprint a line, as the check prints it, with any remark behind it. Turns "
            "the ratchet on; with "
            "ratchet alone it is .runbookd/NAME.accepted.",
     .flags = RB_OPT_NONEMPTY,
     .example = "ops/doctor.accepted"},
    {.name = "findings",
     .type = RB_OPT_REGEX,
     .offset = offsetof(struct command_options, ratchet.findings),
     .doc = "Which lines of standard output are findings; headings and totals are not. Turns the ratchet on. Default: every line.",
     .flags = RB_OPT_NONEMPTY,
     .example = "\"^[^ :]+:[0-9]+:\""},
    {NULL}};

static const struct rb_reason_def reasons[] = {
    {"exit", "The program ended with an exit code that means this result; its first line of output tells why."},
    {"signaled", "A signal that was not ours ended the program: a crash, the memory killer, or somebody's hand."},
    {"new_findings", "The program found what nobody accepted; the evidence has the lines and their fingerprints."},
    {"accepted_unreadable", "The file with accepted lines cannot be understood."},
    {"not_found", "The program, or the interpreter in its first line, does not exist."},
    {"not_executable", "The program exists but may not be executed, or has no '#!' line."},
    {"not_started", "The system could not start the program; the message has its error."},
    {NULL}};

static const struct rb_value_def values[] = {{"exit_code", "", RB_VALUE_GAUGE, "Exit code of the last run that ended by itself.", NULL},
                                             {"findings", "", RB_VALUE_GAUGE, "With a ratchet: what nobody accepted.", NULL},
                                             {NULL}};

/* ---- options ---- */

static int result_of_word(const char *word)
{
    for (int i = 0; word && i < RB_RESULT_COUNT; i++) {
        if (strcmp(word, rb_result_name((enum rb_result)i)) == 0)
            return i;
    }
    return -1;
}

/* 0 … 255, or -1. */
static int exit_code_of(const char *text)
{
    int64_t code;
    if (!text || text[0] == '+' || text[0] == '-' || rb_int_parse(text, &code, NULL) < 0)
        return -1;
    return code >= 0 && code <= EXIT_MAX ? (int)code : -1;
}

static bool is_variable_name(const char *name)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
    return name[0] && !(name[0] >= '0' && name[0] <= '9') && name[strspn(name, letters)] == '\0';
}

static struct rb_mark mark_of(const struct rb_node *node, const char *key)
{
    const struct rb_node *item = node ? rb_node_get(node, key) : NULL;
    return item ? item->mark : node ? node->mark : (struct rb_mark){0};
}

static void validate(void *filled, const struct rb_node *node, struct rb_diags *diags)
{
    const struct command_options *o = filled;
    for (size_t i = 0; i < o->exit.count; i++) {
        const struct rb_pair *pair = &o->exit.items[i];
        if (exit_code_of(pair->key) < 0)
            (void)rb_diag_add(diags, mark_of(node, "exit"), "exit: '%s' is no exit code (0 to %d)", pair->key, EXIT_MAX);
        else if (result_of_word(pair->value) < 0)
            (void)rb_diag_add(diags, mark_of(node, "exit"), "exit: code %s must be ok, warn, fail, unknown or skip", pair->key);
    }
    for (size_t i = 0; i < o->env.count; i++) {
        if (!is_variable_name(o->env.items[i].key))
            (void)rb_diag_add(diags, mark_of(node, "env"), "env: '%s' is no name of a variable (letters, digits, _)", o->env.items[i].key);
    }
}

/* ---- start ---- */

static const char *const *environment(const struct rb_check_ctx *ctx, const struct rb_pairs *env)
{
    const char **entries = rb_arena_array(ctx->arena, env->count + 1, sizeof *entries);
    for (size_t i = 0; entries && i < env->count; i++)
        entries[i] = rb_arena_printf(ctx->arena, "%s=%s", env->items[i].key, env->items[i].value ? env->items[i].value : "");
    return entries;
}

static bool command(const struct rb_check_ctx *ctx, struct rb_child_spec *out, struct rb_outcome *outcome)
{
    const struct command_options *o = ctx->options;
    *out = (struct rb_child_spec){
        .argv = o->argv.items, .env = environment(ctx, &o->env), .cwd = o->cwd, .output_cap = (size_t)o->output_cap};
    if (rb_arena_failed(ctx->arena)) {
        rb_outcome_set(outcome, RB_RESULT_UNKNOWN, "resource_limit", "not started: out of memory");
        return false;
    }
    return true;
}

/* ---- output ---- */

/* Masks every occurrence of `secret` in the buffer by rewriting it. */
static void mask_value(struct rb_buf *text, const char *secret, size_t len)
{
    struct rb_buf masked;
    rb_buf_init(&masked, text->max);
    const char *at = rb_buf_str(text), *end = at + text->len;
    for (const char *hit = at; hit < end;) {
        bool found = (size_t)(end - hit) >= len && memcmp(hit, secret, len) == 0;
        if (!found) {
            hit++;
            continue;
        }
        rb_buf_add(&masked, at, (size_t)(hit - at));
        rb_buf_adds(&masked, RB_REDACTED);
        at = hit += len;
    }
    rb_buf_add(&masked, at, (size_t)(end - at));
    rb_buf_fini(text);
    *text = masked;
}

/* The output without secrets: those by shape, and those that the configuration gave the program from a file. */
static void clean_text(const struct rb_check_ctx *ctx, const char *text, size_t len, struct rb_buf *out)
{
    rb_buf_init(out, 16 * len + 1024);
    rb_buf_add(out, text, len);
    const struct rb_node *env = ctx->spec->node ? rb_node_get(ctx->spec->node, "env") : NULL;
    for (size_t i = 0; env && env->type == RB_NODE_MAPPING && i < env->count; i++) {
        const struct rb_node *item = env->items[i];
        if (item->secret && item->scalar && strlen(item->scalar) >= SECRET_MIN_BYTES)
            mask_value(out, item->scalar, strlen(item->scalar));
    }
    struct rb_buf redacted;
    rb_buf_init(&redacted, 16 * len + 1024);
    (void)rb_redact(&redacted, rb_buf_str(out), out->len);
    rb_buf_fini(out);
    *out = redacted;
}

/* One line without its end; moves the cursor behind it. False at the end of the text. */
static bool next_line(const char **cursor, const char *end, const char **out_line, size_t *out_len)
{
    if (*cursor >= end)
        return false;
    const char *newline = memchr(*cursor, '\n', (size_t)(end - *cursor));
    const char *stop = newline ? newline : end;
    *out_line = *cursor;
    *out_len = (size_t)(stop - *cursor);
    while (*out_len > 0 && ((*out_line)[*out_len - 1] == '\r' || (*out_line)[*out_len - 1] == ' ' || (*out_line)[*out_len - 1] == '\t'))
        (*out_len)--;
    *cursor = newline ? newline + 1 : end;
    return true;
}

/* Takes perfdata off a line, where it is wanted; returns the length of the text before it and whether there was any. */
static size_t split_perfdata(int8_t wanted, const char *line, size_t len, struct rb_outcome *out, bool *found)
{
    const char *bar = wanted == 0 ? NULL : memchr(line, '|', len);
    if (!bar)
        return len;
    size_t data_len = len - (size_t)(bar + 1 - line);
    if (wanted < 0 && rb_perfdata_parse(bar + 1, data_len, NULL) == 0)
        return len;
    (void)rb_perfdata_parse(bar + 1, data_len, out);
    *found = true;
    size_t before = (size_t)(bar - line);
    while (before > 0 && line[before - 1] == ' ')
        before--;
    return before;
}

struct message {
    const char *line;
    size_t len;
};

/* Message, evidence and perfdata of standard output; the layout is that of the plugin guidelines: TEXT | PERF, long text …, text | PERF …,
 * more PERF. */
static struct message read_output(const struct command_options *o, const char *text, size_t len, struct rb_outcome *out)
{
    struct message message = {"", 0};
    const char *cursor = text, *end = text + len, *line;
    size_t line_len;
    bool any = false, tail = false;
    for (int shown = 0; next_line(&cursor, end, &line, &line_len);) {
        if (tail) {
            (void)rb_perfdata_parse(line, line_len, out);
            continue;
        }
        bool found = false;
        bool first = message.len == 0;
        /* In later lines a bar is perfdata only when the first line had some, or it was asked for: tables have bars too. */
        if (first || any || o->perfdata > 0)
            line_len = split_perfdata(o->perfdata, line, line_len, out, &found);
        tail = found && !first;
        any = any || found;
        if (line_len == 0)
            continue;
        if (first)
            message = (struct message){line, line_len};
        else if (shown++ < EVIDENCE_LINES)
            rb_outcome_evidence(out, "%.*s", (int)line_len, line);
    }
    return message;
}

static struct message first_line(const char *text, size_t len)
{
    const char *cursor = text, *line;
    size_t line_len;
    while (next_line(&cursor, text + len, &line, &line_len)) {
        if (line_len > 0)
            return (struct message){line, line_len};
    }
    return (struct message){"", 0};
}

/* ---- judging ---- */

static enum rb_result result_of_code(const struct command_options *o, int code)
{
    static const enum rb_result nagios[] = {RB_RESULT_OK, RB_RESULT_WARN, RB_RESULT_FAIL, RB_RESULT_UNKNOWN};
    for (size_t i = 0; i < o->exit.count; i++) {
        if (exit_code_of(o->exit.items[i].key) == code)
            return (enum rb_result)result_of_word(o->exit.items[i].value);
    }
    if (o->exit.count)
        return code == 0 ? RB_RESULT_OK : RB_RESULT_UNKNOWN;
    return code >= 0 && code < 4 ? nagios[code] : RB_RESULT_UNKNOWN;
}

static void judge_exit(const struct command_options *o, const struct rb_child_result *result, const struct message *message,
                       struct rb_outcome *out)
{
    enum rb_result verdict = result_of_code(o, result->code);
    int len = (int)(message->len < RB_OUTCOME_MAX_TEXT - 32 ? message->len : RB_OUTCOME_MAX_TEXT - 32);
    rb_outcome_value(out, "exit_code", NULL, result->code);
    if (verdict == RB_RESULT_OK)
        rb_outcome_set(out, verdict, "none", "%.*s", len, message->line);
    else if (len > 0)
        rb_outcome_set(out, verdict, "exit", "%.*s (exit code %d)", len, message->line, result->code);
    else
        rb_outcome_set(out, verdict, "exit", "exit code %d, no output", result->code);
}

static void judge_end(const struct rb_check_ctx *ctx, const struct rb_child_result *result, const struct message *message,
                      struct rb_outcome *out)
{
    const struct command_options *o = ctx->options;
    RB_BUF_AUTO timeout;
    rb_buf_init(&timeout, 64);
    out->sighting = result->end == RB_CHILD_NOT_FOUND ? RB_SIGHTING_GONE : RB_SIGHTING_PRESENT; /* of the program: it may be optional */
    switch (result->end) {
    case RB_CHILD_EXITED:
        judge_exit(o, result, message, out);
        break;
    case RB_CHILD_SIGNALED:
        rb_outcome_set(out, RB_RESULT_FAIL, "signaled", "%s was ended by signal %d (%s)", o->argv.items[0], result->code,
                       strsignal(result->code));
        break;
    case RB_CHILD_TIMEOUT:
        rb_duration_print(&timeout, ctx->spec->timeout_ms);
        rb_outcome_set(out, RB_RESULT_FAIL, "timeout", "%s did not end within %s; its process group was killed", o->argv.items[0],
                       rb_buf_str(&timeout));
        break;
    case RB_CHILD_NOT_FOUND:
        rb_outcome_set(out, RB_RESULT_UNKNOWN, "not_found", "%s (or the interpreter in its first line) was not found", result->program);
        break;
    case RB_CHILD_NOT_EXECUTABLE:
        rb_outcome_set(out, RB_RESULT_UNKNOWN, "not_executable", "%s cannot be executed: %s; look at its mode and its '#!' line",
                       result->program, strerror(result->code));
        break;
    case RB_CHILD_SPAWN_FAILED:
        rb_outcome_set(out, RB_RESULT_UNKNOWN, "not_started", "%s could not be started: %s; look at its working folder and the limits",
                       result->program, strerror(result->code));
        break;
    }
}

static void add_facts(const struct rb_check_ctx *ctx, const struct rb_child_result *result, struct rb_outcome *out)
{
    const struct command_options *o = ctx->options;
    if (result->program)
        rb_outcome_fact(out, RB_FACT_PROGRAM, "%s", result->program);
    if (o->argv.items[0][0] != '/' && strchr(o->argv.items[0], '/'))
        rb_outcome_fact(out, RB_FACT_FILE, "%s", o->argv.items[0]);
}

/* Output that was cut may hide a new finding: then the exit code counts. */
static void judge_findings(const struct rb_check_ctx *ctx, const struct rb_child_result *result, const struct rb_buf *text,
                           struct rb_outcome *out)
{
    const struct command_options *o = ctx->options;
    bool bad = result->end == RB_CHILD_EXITED && (out->result == RB_RESULT_WARN || out->result == RB_RESULT_FAIL);
    if (!bad || !rb_command_ratchet_on(&o->ratchet))
        return;
    if (result->truncated)
        rb_outcome_evidence(out, "the output was cut, so nothing counts as accepted: raise output_cap");
    else
        rb_command_ratchet_judge(ctx, &o->ratchet, text, ctx->state, out);
}

static void judge(const struct rb_check_ctx *ctx, const struct rb_child_result *result, struct rb_outcome *out)
{
    RB_BUF_AUTO stdout_text;
    RB_BUF_AUTO stderr_text;
    clean_text(ctx, result->out, result->out_len, &stdout_text);
    clean_text(ctx, result->err, result->err_len, &stderr_text);
    struct message message = read_output(ctx->options, rb_buf_str(&stdout_text), stdout_text.len, out);
    if (message.len == 0)
        message = first_line(rb_buf_str(&stderr_text), stderr_text.len);
    judge_end(ctx, result, &message, out);
    add_facts(ctx, result, out);
    judge_findings(ctx, result, &stdout_text, out);
    if (result->truncated)
        rb_outcome_evidence(out, "output beyond the cap of %lld bytes was left out",
                            (long long)((const struct command_options *)ctx->options)->output_cap);
    if (out->result <= RB_RESULT_OK)
        return;
    /* Standard error last: what a program says before it dies usually stands there. */
    RB_BUF_AUTO all;
    rb_buf_init(&all, stdout_text.len + stderr_text.len + 2);
    rb_buf_add(&all, rb_buf_str(&stdout_text), stdout_text.len);
    rb_buf_addc(&all, '\n');
    rb_buf_add(&all, rb_buf_str(&stderr_text), stderr_text.len);
    rb_outcome_last_words(out, rb_buf_str(&all), all.len);
}

static bool looks(const void *options_of_check)
{
    return rb_command_ratchet_on(&((const struct command_options *)options_of_check)->ratchet);
}

/* The worker part. */
static void run(const struct rb_check_ctx *ctx, struct rb_outcome *out RB_UNUSED)
{
    rb_command_ratchet_read(ctx, &((const struct command_options *)ctx->options)->ratchet, ctx->state);
}

static const struct rb_child_ops child = {.command = command, .judge = judge, .state_size = sizeof(struct rb_command_accepted)};

const struct rb_kind rb_kind_command = {
    .schema = {.schema = {.name = "command",
                          .doc = "Runs a program without a shell and judges its exit code (Nagios plugins as they are).",
                          .options = options,
                          .size = sizeof(struct command_options),
                          .validate = validate},
               .default_phase = RB_PHASE_PREFLIGHT,
               .default_triage = false,
               .starts_programs = true,
               .presence_aware = true,
               .example = "{name: doctor, kind: command, argv: [scripts/ops/ops_doctor.sh, --json], every: 1h, exit: {0: ok, 1: fail, 2: "
                          "warn, 3: skip}}"},
    .values = values,
    .reasons = reasons,
    .exec = RB_EXEC_CHILD,
    .run = run,
    .looks = looks,
    .child = &child};
