/* tools: versions of programs, by what they print. A program that is not there is a fact too ("null"): tools that appear or vanish are the drift that people look for. */
#include <stdio.h>
#include <string.h>

#include "runbook/base/version.h"
#include "runbook/check/facts.h"
#include "runbook/check/match.h"
#include "runbook/config/diag.h"
#include "runbook/drift/source.h"
#include "runbook/drift/tables.h"

enum { OUTPUT_CAP = 64 * 1024, MAX_VERSION = 100 };

/* One item of the list; the table fills items of exactly RB_DRIFT_SOURCE_OPTIONS bytes. */
union tool {
    struct {
        const char *name, *after;
        struct rb_strings argv;
    } is;
    unsigned char room[RB_DRIFT_SOURCE_OPTIONS];
};
#define TOOL(field) offsetof(union tool, is.field)

const struct rb_option rb_drift_tools_options[] = {
    {.name = "name", .type = RB_OPT_STRING, .offset = TOOL(name), .doc = "Key of the fact; without it the program's name."},
    {.name = "argv",
     .type = RB_OPT_ARGV,
     .flags = RB_OPT_REQUIRED | RB_OPT_NONEMPTY,
     .offset = TOOL(argv),
     .doc = "Program and arguments that print the version; no shell.",
     .max = 64,
     .example = "[python3, --version]"},
    {.name = "after",
     .type = RB_OPT_REGEX,
     .offset = TOOL(after),
     .doc = "Regular expression behind which the version stands. Without it: the first number with a dot.",
     .example = "'engine: '"},
    {NULL}};

struct tools_state {
    size_t at;
};

static const union tool *tool_at(const struct rb_drift_collect *collect, size_t at)
{
    const struct rb_structs *list = collect->options;
    return (const union tool *)list->items + at;
}

static const char *name_of(const union tool *tool)
{
    const char *program = tool->is.argv.items[0], *slash = strrchr(program, '/');
    return tool->is.name ? tool->is.name : slash ? slash + 1 : program;
}

static void validate(const void *options, const struct rb_node *node, struct rb_diags *diags)
{
    const struct rb_structs *list = options;
    if (list->count == 0)
        (void)rb_diag_add(diags, node->mark, "tools: name at least one, for example [{argv: [python3, --version]}]");
    for (size_t i = 0; i < list->count; i++) {
        const union tool *tool = (const union tool *)list->items + i;
        for (size_t j = 0; j < i && tool->is.argv.count > 0; j++) {
            const union tool *other = (const union tool *)list->items + j;
            if (other->is.argv.count > 0 && strcmp(name_of(tool), name_of(other)) == 0)
                (void)rb_diag_add(diags, node->mark, "tools: two are called %s: give one a name of its own", name_of(tool));
        }
    }
}

static enum rb_drift_collected ask(const struct rb_drift_collect *collect, struct rb_action *next)
{
    const struct tools_state *state = collect->state;
    if (state->at == ((const struct rb_structs *)collect->options)->count)
        return RB_DRIFT_COLLECTED;
    const union tool *tool = tool_at(collect, state->at);
    next->type = RB_ACTION_CHILD;
    next->child = (struct rb_child_spec){.argv = tool->is.argv.items, .output_cap = OUTPUT_CAP};
    rb_outcome_fact(collect->out, RB_FACT_PROGRAM, "%s", tool->is.argv.items[0]);
    return RB_DRIFT_MORE;
}

static const char *find_version(const union tool *tool, const char *text, size_t len, size_t *out_len)
{
    size_t start = 0;
    if (tool->is.after && rb_match_regex(tool->is.after, text, len, &start) != RB_MATCH_YES)
        return NULL;
    return rb_version_find(text + start, len - start, out_len);
}

static enum rb_drift_collected fail(const struct rb_drift_collect *collect, const char *reason, const char *what)
{
    const struct tools_state *state = collect->state;
    rb_outcome_set(collect->out, RB_RESULT_UNKNOWN, reason, "%s %s", name_of(tool_at(collect, state->at)), what);
    return RB_DRIFT_FAILED;
}

static enum rb_drift_collected take(const struct rb_drift_collect *collect, const struct rb_child_result *result, struct rb_action *next)
{
    struct tools_state *state = collect->state;
    const union tool *tool = tool_at(collect, state->at);
    char version[MAX_VERSION + 1];
    size_t len = 0;
    if (result->end == RB_CHILD_NOT_FOUND) {
        (void)rb_drift_facts_add(collect->facts, name_of(tool), "null");
        state->at++;
        return ask(collect, next);
    }
    if (result->end == RB_CHILD_NOT_EXECUTABLE)
        return fail(collect, "not_executable", "may not be executed");
    if (result->end == RB_CHILD_TIMEOUT)
        return fail(collect, "incomplete", "did not tell its version in time");
    const char *found = find_version(tool, result->out, result->out_len, &len);
    if (!found)
        found = find_version(tool, result->err, result->err_len, &len);
    if (!found || len > MAX_VERSION) {
        rb_outcome_last_words(collect->out, result->err_len ? result->err : result->out,
                              result->err_len ? result->err_len : result->out_len);
        return fail(collect, "parse", tool->is.after ? "printed no version behind what `after` matches" : "printed no version");
    }
    memcpy(version, found, len);
    version[len] = '\0';
    (void)rb_drift_facts_add_text(collect->facts, name_of(tool), version);
    state->at++;
    return ask(collect, next);
}

static enum rb_drift_collected step(const struct rb_drift_collect *collect, const struct rb_event *event, struct rb_action *next)
{
    if (event->type == RB_EVENT_START)
        return ask(collect, next);
    if (event->type == RB_EVENT_CHILD)
        return take(collect, event->child, next);
    return fail(collect, "failed", event->detail ? event->detail : "could not be run");
}

const struct rb_drift_source rb_drift_source_tools = {
    .name = "tools", .state_size = sizeof(struct tools_state), .validate = validate, .step = step};
