/* Option tables as reference text, for `explain` and the generated documentation.
 *
 * One layout for all tables: name and type on the left, the sentence wrapped on the right, then default, range and choices. Nested tables follow indented, so
 * that the whole of a kind is one page. */
#include <string.h>

#include "runbook/base/units.h"
#include "runbook/config/options.h"

#define WIDTH      80u
#define MAX_NESTED 6u

const char *rb_option_type_name(enum rb_option_type type)
{
    static const char *const names[] = {
        [RB_OPT_BOOL] = "true or false",
        [RB_OPT_TRISTATE] = "true or false",
        [RB_OPT_INT] = "whole number",
        [RB_OPT_NUMBER] = "number",
        [RB_OPT_DURATION] = "duration",
        [RB_OPT_SIZE] = "size",
        [RB_OPT_AMOUNT] = "share or size",
        [RB_OPT_STRING] = "text",
        [RB_OPT_PATH] = "path",
        [RB_OPT_GLOB] = "glob",
        [RB_OPT_REGEX] = "regular expression",
        [RB_OPT_URL] = "URL",
        [RB_OPT_CHOICE] = "choice",
        [RB_OPT_STRINGS] = "list of texts",
        [RB_OPT_PATHS] = "list of paths",
        [RB_OPT_GLOBS] = "list of globs",
        [RB_OPT_REGEXES] = "list of regular expressions",
        [RB_OPT_ARGV] = "list: program and arguments",
        [RB_OPT_PAIRS] = "mapping of texts",
        [RB_OPT_STRUCT] = "mapping",
        [RB_OPT_STRUCTS] = "list of mappings",
        [RB_OPT_NODE] = "any value",
    };
    return names[type];
}

/* Adds words of `text` from column `at` on, continuing at column `indent`. */
static void add_wrapped(struct rb_buf *out, const char *text, size_t indent)
{
    size_t column = indent;
    bool first = true;
    rb_buf_addf(out, "%*s", (int)indent, "");
    while (*text != '\0') {
        size_t len = strcspn(text, " ");
        if (!first && column + 1 + len > WIDTH) {
            rb_buf_addf(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (!first) {
            rb_buf_addc(out, ' ');
            column++;
        }
        rb_buf_add(out, text, len);
        column += len;
        first = false;
        text += len;
        text += strspn(text, " ");
    }
    rb_buf_addc(out, '\n');
}

static bool has_range(const struct rb_option *option)
{
    return option->min != 0 || option->max != 0;
}

static void add_limit(struct rb_buf *out, const struct rb_option *option, int64_t value)
{
    if (option->type == RB_OPT_DURATION)
        rb_duration_print_exact(out, value);
    else if (option->type == RB_OPT_SIZE)
        rb_size_print(out, value);
    else
        rb_buf_addf(out, "%lld", (long long)value);
}

static void add_facts(struct rb_buf *out, const struct rb_option *option, size_t indent)
{
    RB_BUF_AUTO facts;
    rb_buf_init(&facts, 8192);
    if (option->fallback != NULL)
        rb_buf_addf(&facts, "Default: %s. ", option->fallback[0] != '\0' ? option->fallback : "empty");
    if (has_range(option)) {
        bool items = option->type != RB_OPT_INT && option->type != RB_OPT_DURATION && option->type != RB_OPT_SIZE &&
                     option->type != RB_OPT_NUMBER;
        rb_buf_adds(&facts, items ? "Items: " : "Range: ");
        add_limit(&facts, option, option->min);
        rb_buf_adds(&facts, " to ");
        add_limit(&facts, option, option->max);
        rb_buf_adds(&facts, ". ");
    }
    if (option->example != NULL)
        rb_buf_addf(&facts, "Example: %s", option->example);
    if (facts.len > 0)
        add_wrapped(out, rb_buf_str(&facts), indent);
}

static void add_choices(struct rb_buf *out, const struct rb_option *option, size_t indent)
{
    for (const struct rb_choice *choice = option->choices; choice != NULL && choice->name != NULL; choice++) {
        RB_BUF_AUTO line;
        rb_buf_init(&line, 1024);
        rb_buf_addf(&line, "%s%s%s", choice->name, choice->doc != NULL ? ": " : "", choice->doc != NULL ? choice->doc : "");
        add_wrapped(out, rb_buf_str(&line), indent);
    }
}

static void explain_options(const struct rb_option *options, struct rb_buf *out, unsigned depth)
{
    size_t indent = 2 + 4 * (size_t)depth;
    for (const struct rb_option *option = options; option != NULL && option->name != NULL; option++) {
        rb_buf_addf(out, "%*s%s  (%s%s%s)\n", (int)indent, "", option->name, rb_option_type_name(option->type),
                    (option->flags & RB_OPT_REQUIRED) != 0 ? ", required" : "", (option->flags & RB_OPT_SECRET) != 0 ? ", secret" : "");
        if (option->doc != NULL)
            add_wrapped(out, option->doc, indent + 4);
        add_facts(out, option, indent + 4);
        add_choices(out, option, indent + 6);
        if (option->sub != NULL && depth < MAX_NESTED)
            explain_options(option->sub, out, depth + 1);
    }
}

void rb_options_explain(const struct rb_schema *schema, struct rb_buf *out)
{
    rb_buf_addf(out, "%s\n", schema->name);
    if (schema->doc != NULL)
        add_wrapped(out, schema->doc, 2);
    rb_buf_addc(out, '\n');
    if (schema->options == NULL || schema->options->name == NULL)
        rb_buf_adds(out, "  no options of its own\n");
    else
        explain_options(schema->options, out, 0);
}
