/* explain: the reference, generated from the same tables that parse the configuration. */
#include <string.h>

#include "cli.h"
#include "runbook/base/text.h"
#include "runbook/config/discovery.h"

#define ARG(member) offsetof(struct rb_cli_args, member)

static const struct rb_choice formats[] = {{"text", RB_GRAPH_TEXT, "for people"},
                                           {"dot", RB_GRAPH_DOT, "for Graphviz"},
                                           {"json", RB_GRAPH_JSON, "{checks, edges}"},
                                           {NULL, 0, NULL}};

static const struct rb_cli_option options[] = {
    {"discovery", 0, RB_CLI_FLAG, ARG(discovery), NULL, "What discovery looks at and which programs its plan may start.", NULL},
    {"format", 'f', RB_CLI_CHOICE, ARG(format), "FORMAT", "How to print the graph.", formats},
    {"graph", 0, RB_CLI_FLAG, ARG(graph), NULL, "Run the checks once and print who depends on whom, each edge with its reason.", NULL},
    {"man", 0, RB_CLI_FLAG, ARG(man), NULL, "Print the manual page runbookd(1) in roff.", NULL},
    {"markdown", 0, RB_CLI_FLAG, ARG(markdown), NULL, "Print the whole reference (docs/reference.md).", NULL},
    {NULL}};

static const char *const exec_names[RB_EXEC_COUNT] = {
    [RB_EXEC_WORKER] = "worker", [RB_EXEC_EXCHANGE] = "exchange", [RB_EXEC_CHILD] = "child",
    [RB_EXEC_SCAN] = "scan",     [RB_EXEC_PASSIVE] = "passive",   [RB_EXEC_STREAM] = "stream",
};

static const struct rb_kind *find_kind(const char *name)
{
    const struct rb_kind_list *kinds = rb_kind_registry();
    for (size_t i = 0; i < kinds->count; i++) {
        if (strcmp(kinds->items[i]->schema.name, name) == 0)
            return rb_kind_of(kinds->items[i]);
    }
    return NULL;
}

/* ---- overview ---- */

static void overview(struct rb_buf *out)
{
    const struct rb_kind_list *kinds = rb_kind_registry();
    rb_buf_adds(out, "Check kinds (runbookd explain KIND):\n");
    for (size_t i = 0; i < kinds->count; i++) {
        rb_buf_addf(out, "  %-12s ", kinds->items[i]->schema.name);
        rb_cli_wrap(out, kinds->items[i]->schema.doc, 15, 15, 90);
    }
    rb_buf_adds(out, "\nThe rest of the file:\n"
                     "  daemon       Where it listens, which tree it watches, where it keeps its state.\n"
                     "  defaults     Every common option, for all checks.\n"
                     "  check        The options that every check has.\n");
}

/* ---- one kind ---- */

static void add_values(const struct rb_kind *kind, struct rb_buf *out)
{
    if (!kind->values || !kind->values->name)
        return;
    rb_buf_adds(out, "\nValues (metrics):\n");
    for (const struct rb_value_def *row = kind->values; row->name; row++) {
        rb_buf_addf(out, "  runbookd_%s_%s%s%s%s%s%s%s\n      ", kind->schema.schema.name, row->name, row->unit[0] ? "_" : "", row->unit,
                    row->type == RB_VALUE_COUNTER ? "_total" : "", row->label ? "{" : "", row->label ? row->label : "",
                    row->label ? "}" : "");
        rb_cli_wrap(out, row->help, 6, 6, 90);
    }
}

static void add_reasons(const struct rb_reason_def *rows, struct rb_buf *out)
{
    for (; rows && rows->name; rows++) {
        rb_buf_addf(out, "  %-20s ", rows->name);
        rb_cli_wrap(out, rows->doc, 23, 23, 90);
    }
}

static void explain_kind(const struct rb_kind *kind, struct rb_buf *out)
{
    const struct rb_kind_schema *schema = &kind->schema;
    rb_options_explain(&schema->schema, out);
    if (schema->example)
        rb_buf_addf(out, "\nExample:\n  - %s\n", schema->example);
    rb_buf_addf(out, "\nPhase %s unless told; execution class %s%s%s%s.\n", rb_phase_name(schema->default_phase), exec_names[kind->exec],
                schema->starts_programs ? "; starts programs, so an untrusted file may not use it" : "",
                schema->opens_network ? "; opens connections" : "", schema->presence_aware ? "; understands presence" : "");
    add_values(kind, out);
    if (kind->reasons && kind->reasons->name)
        rb_buf_adds(out, "\nReasons:\n");
    add_reasons(kind->reasons, out);
    if (kind->net_reasons)
        rb_buf_adds(out, "\nReasons of the network:\n");
    add_reasons(kind->net_reasons ? rb_net_reasons : NULL, out);
    rb_buf_adds(out, "\nReasons of every kind: runbookd explain check\n");
}

static int unknown_kind(const char *name)
{
    const struct rb_kind_list *kinds = rb_kind_registry();
    const char *names[256] = {"daemon", "defaults", "check"};
    size_t count = 3;
    for (size_t i = 0; i < kinds->count && count < 255; i++)
        names[count++] = kinds->items[i]->schema.name;
    const char *near = rb_text_nearest(name, names);
    if (near)
        rb_cli_error("no kind `%s`; did you mean `%s`?", name, near);
    else
        rb_cli_error("no kind `%s`; `runbookd explain` lists them", name);
    return RB_EXIT_USAGE;
}

bool rb_cli_explain(const char *name, struct rb_buf *out)
{
    const struct rb_kind *kind = find_kind(name);
    if (kind) {
        explain_kind(kind, out);
    } else if (strcmp(name, "daemon") == 0) {
        rb_options_explain(&rb_daemon_schema, out);
    } else if (strcmp(name, "check") == 0 || strcmp(name, "defaults") == 0) {
        rb_options_explain(&rb_common_schema, out);
        rb_buf_adds(out, "\nReasons that every check can give:\n");
        add_reasons(rb_common_reasons, out);
    } else {
        return false;
    }
    return true;
}

static int run(const struct rb_cli *cli)
{
    const struct rb_cli_args *args = cli->args;
    RB_BUF_AUTO text;
    rb_buf_init(&text, RB_RENDER_MAX);
    if (args->graph)
        return rb_cli_graph(cli);
    if (args->man)
        rb_cli_man(&text);
    else if (args->markdown)
        rb_cli_markdown(&text);
    else if (args->discovery)
        rb_discovery_explain(&text);
    else if (args->words.count == 0)
        overview(&text);
    else if (!rb_cli_explain(args->words.items[0], &text))
        return unknown_kind(args->words.items[0]);
    return rb_cli_write(&text, RB_EXIT_OK);
}

const struct rb_cli_command rb_cli_cmd_explain = {
    .name = "explain",
    .args = "[KIND]",
    .doc = "Explain a check kind, the other options, what discovery does, or who depends on whom.",
    .options = options,
    .max_words = 1,
    .words = RB_CLI_WORDS_KINDS,
    .run = run,
};
