/* command: what a program prints, line by line.
 *
 * Output is a stranger's: it is redacted as one text before it is cut into lines, and a program that failed, was cut or took too long is never compared: half an answer would
 * read as drift. */
#include <stdio.h>
#include <string.h>

#include "runbook/base/digest.h"
#include "runbook/base/redact.h"
#include "runbook/check/facts.h"
#include "runbook/config/diag.h"
#include "runbook/drift/source.h"
#include "runbook/drift/tables.h"

enum { KEY_BYTES = 1024, SECRET_MIN_BYTES = 4, MAX_SECRETS = 128 };
enum order { ORDER_SORTED, ORDER_AS_PRINTED, ORDER_KEYED };

struct command_options {
    struct rb_strings argv;
    struct rb_pairs env;
    const char *cwd, *separator;
    int64_t output_cap;
    int order;
    bool any_exit;
};
_Static_assert(sizeof(struct command_options) <= RB_DRIFT_SOURCE_OPTIONS, "options fit");

static const struct rb_choice orders[] = {
    {"sorted", ORDER_SORTED, "Lines are a set: their order means nothing."},
    {"as_printed", ORDER_AS_PRINTED, "The order counts: each line is compared with the one of its number."},
    {"keyed", ORDER_KEYED, "What stands before the separator is the key, the rest its value."},
    {NULL}};

const struct rb_option rb_drift_command_options[] = {
    {.name = "argv",
     .type = RB_OPT_ARGV,
     .offset = offsetof(struct command_options, argv),
     .doc = "Program and arguments, without a shell, run in the root.",
     .max = 256,
     .example = "[kubectl, get, nodes, -o, name]"},
    {.name = "env",
     .type = RB_OPT_PAIRS,
     .flags = RB_OPT_SECRET,
     .offset = offsetof(struct command_options, env),
     .doc = "Variables added to the clean environment.",
     .max = 128},
    {.name = "cwd", .type = RB_OPT_PATH, .offset = offsetof(struct command_options, cwd), .doc = "Working folder, relative to root."},
    {.name = "order",
     .type = RB_OPT_CHOICE,
     .offset = offsetof(struct command_options, order),
     .doc = "How lines are compared.",
     .fallback = "sorted",
     .choices = orders},
    {.name = "separator",
     .type = RB_OPT_STRING,
     .flags = RB_OPT_NONEMPTY,
     .offset = offsetof(struct command_options, separator),
     .doc = "With `order: keyed`: what divides key and value. Without it: blanks.",
     .example = "\"==\""},
    {.name = "any_exit",
     .type = RB_OPT_BOOL,
     .offset = offsetof(struct command_options, any_exit),
     .doc = "Compare the output whatever the exit code is.",
     .fallback = "false"},
    {.name = "output_cap",
     .type = RB_OPT_SIZE,
     .offset = offsetof(struct command_options, output_cap),
     .doc = "Most output; more is not compared at all.",
     .fallback = "256KiB",
     .min = 1024,
     .max = 4 * 1024 * 1024},
    {NULL}};

static void validate(const void *options, const struct rb_node *node, struct rb_diags *diags)
{
    const struct command_options *o = options;
    if (o->argv.count == 0)
        (void)rb_diag_add(diags, node->mark, "command needs argv, for example {argv: [uname, -r]}");
    if (o->separator && o->order != ORDER_KEYED)
        (void)rb_diag_add(diags, node->mark, "command: separator means something with `order: keyed` only");
}

static enum rb_drift_collected start(const struct rb_drift_collect *collect, struct rb_action *next)
{
    const struct command_options *o = collect->options;
    struct rb_arena *arena = collect->ctx->arena;
    const char **env = rb_arena_array(arena, o->env.count + 1, sizeof *env);
    for (size_t i = 0; env && i < o->env.count; i++)
        env[i] = rb_arena_printf(arena, "%s=%s", o->env.items[i].key, o->env.items[i].value ? o->env.items[i].value : "");
    next->type = RB_ACTION_CHILD;
    next->child = (struct rb_child_spec){.argv = o->argv.items, .env = env, .cwd = o->cwd, .output_cap = 2 * (size_t)o->output_cap};
    rb_outcome_fact(collect->out, RB_FACT_PROGRAM, "%s", o->argv.items[0]);
    return RB_DRIFT_MORE;
}

/* ---- facts ---- */

static void mask_value(struct rb_buf *text, const char *secret)
{
    size_t len = strlen(secret);
    struct rb_buf masked;
    rb_buf_init(&masked, text->max);
    const char *at = rb_buf_str(text);
    for (const char *hit; (hit = strstr(at, secret)) != NULL; at = hit + len) {
        rb_buf_add(&masked, at, (size_t)(hit - at));
        rb_buf_adds(&masked, RB_REDACTED);
    }
    rb_buf_adds(&masked, at);
    rb_buf_fini(text);
    *text = masked;
}

/* By its name, or because the configuration read it from a file. */
static bool is_secret(const struct rb_drift_collect *collect, const char *name)
{
    const struct rb_node *command = collect->ctx->spec->node ? rb_node_get(collect->ctx->spec->node, "command") : NULL;
    const struct rb_node *env = command ? rb_node_get(command, "env") : NULL, *value = env ? rb_node_get(env, name) : NULL;
    return (value && value->secret) || rb_redact_key_is_secret(name);
}

/* The output as text without secrets: those that we gave it, and those that look like one. A NUL becomes a line end, so that nothing behind it is lost. */
static void clean_output(const struct rb_drift_collect *collect, const struct rb_child_result *result, struct rb_buf *out)
{
    const struct command_options *o = collect->options;
    struct rb_buf text;
    rb_buf_init(&text, 16 * result->out_len + 1024);
    for (size_t i = 0; i < result->out_len; i++)
        rb_buf_addc(&text, result->out[i] ? result->out[i] : '\n');
    for (size_t i = 0; i < o->env.count; i++)
        if (o->env.items[i].value && strlen(o->env.items[i].value) >= SECRET_MIN_BYTES && is_secret(collect, o->env.items[i].key))
            mask_value(&text, o->env.items[i].value);
    (void)rb_redact(out, rb_buf_str(&text), text.len);
    out->failed |= text.failed;
    rb_buf_fini(&text);
}

/* A long line is told by its beginning and its digest. */
static const char *key_of(struct rb_arena *arena, const char *text, size_t len)
{
    char hex[RB_SHA256_HEX];
    if (len <= KEY_BYTES)
        return rb_arena_strndup(arena, text, len);
    rb_sha256_of(text, len, hex);
    size_t head = 200; /* whole characters only */
    while (head > 0 && ((unsigned char)text[head] & 0xc0u) == 0x80u)
        head--;
    return rb_arena_printf(arena, "%.*s… sha256:%.16s", (int)head, text, hex);
}

static size_t key_length(const struct command_options *o, const char *line, size_t len, size_t *out_value)
{
    const char *separator = o->separator;
    size_t width = separator ? strlen(separator) : 1;
    for (size_t i = 0; i + width <= len; i++) {
        bool hit = separator ? memcmp(line + i, separator, width) == 0 : line[i] == ' ' || line[i] == '\t';
        if (!hit)
            continue;
        size_t value = i + width;
        while (value < len && (line[value] == ' ' || line[value] == '\t'))
            value++;
        *out_value = value;
        while (i > 0 && (line[i - 1] == ' ' || line[i - 1] == '\t'))
            i--;
        return i;
    }
    *out_value = len;
    return len;
}

static void add_line(const struct rb_drift_collect *collect, size_t number, const char *line, size_t len)
{
    const struct command_options *o = collect->options;
    struct rb_arena *arena = collect->ctx->arena;
    size_t key_len = len, value_at = len;
    if (o->order == ORDER_KEYED)
        key_len = key_length(o, line, len, &value_at);
    const char *key = o->order == ORDER_AS_PRINTED ? rb_arena_printf(arena, "line %06zu", number) : key_of(arena, line, key_len);
    const char *text = rb_arena_strndup(arena, o->order == ORDER_AS_PRINTED ? line : line + value_at,
                                        o->order == ORDER_AS_PRINTED ? len : len - value_at);
    if (!key || !text)
        return;
    if (o->order == ORDER_SORTED)
        (void)rb_drift_facts_add(collect->facts, key, "true");
    else
        (void)rb_drift_facts_add_text(collect->facts, key, text);
}

static void add_lines(const struct rb_drift_collect *collect, const char *text)
{
    const struct command_options *o = collect->options;
    for (size_t number = 1; *text; number++) {
        size_t len = strcspn(text, "\n"), kept = len;
        while (kept > 0 && strchr(" \t\r", text[kept - 1]))
            kept--;
        if (kept > 0 || o->order == ORDER_AS_PRINTED)
            add_line(collect, number, text, kept);
        text += len;
        text += *text == '\n';
    }
}

/* ---- ends ---- */

static enum rb_drift_collected fail(const struct rb_drift_collect *collect, const char *reason, const char *what)
{
    const struct command_options *o = collect->options;
    rb_outcome_set(collect->out, RB_RESULT_UNKNOWN, reason, "%s %s", o->argv.items[0], what);
    return RB_DRIFT_FAILED;
}

static enum rb_drift_collected judge(const struct rb_drift_collect *collect, const struct rb_child_result *result)
{
    const struct command_options *o = collect->options;
    char text[64];
    if (result->end == RB_CHILD_NOT_FOUND)
        return fail(collect, "not_found", "does not exist: is it installed, and in the daemon's PATH?");
    if (result->end == RB_CHILD_NOT_EXECUTABLE)
        return fail(collect, "not_executable", "may not be executed");
    if (result->end == RB_CHILD_TIMEOUT)
        return fail(collect, "incomplete", "did not end in time: give the check a longer timeout");
    if (result->end == RB_CHILD_SPAWN_FAILED)
        return fail(collect, "failed", "could not be started by the system");
    if (result->end == RB_CHILD_SIGNALED || (result->code != 0 && !o->any_exit)) {
        snprintf(text, sizeof text, result->end == RB_CHILD_SIGNALED ? "was ended by signal %d" : "exited with %d", result->code);
        rb_outcome_last_words(collect->out, result->err_len ? result->err : result->out,
                              result->err_len ? result->err_len : result->out_len);
        return fail(collect, "failed", text);
    }
    if (result->out_len > (size_t)o->output_cap)
        return fail(collect, "too_many", "printed more than output_cap: a part would be no fair comparison");
    RB_BUF_AUTO clean;
    rb_buf_init(&clean, 16 * result->out_len + 1024);
    clean_output(collect, result, &clean);
    if (clean.failed)
        return fail(collect, "too_many", "printed more than can be compared");
    add_lines(collect, rb_buf_str(&clean));
    return RB_DRIFT_COLLECTED;
}

static enum rb_drift_collected step(const struct rb_drift_collect *collect, const struct rb_event *event, struct rb_action *next)
{
    if (event->type == RB_EVENT_START)
        return start(collect, next);
    if (event->type == RB_EVENT_CHILD)
        return judge(collect, event->child);
    return fail(collect, "failed", event->detail ? event->detail : "could not be run");
}

const struct rb_drift_source rb_drift_source_command = {.name = "command", .validate = validate, .step = step};
