/* The dependency graph as text, as DOT for Graphviz, and as JSON: who depends on whom, and why we think so. */
#include <string.h>

#include "internal.h"

static const char *shade(enum rb_state state)
{
    switch (state) {
    case RB_STATE_FAIL:
        return "#f4a6a0";
    case RB_STATE_WARN:
        return "#f7dc9a";
    case RB_STATE_UNKNOWN:
    case RB_STATE_STALE:
        return "#d8c6ec";
    case RB_STATE_OK:
    case RB_STATE_SKIP:
    case RB_STATE_PENDING:
    case RB_STATE_COUNT:
        break;
    }
    return "#ffffff";
}

/* ---- text ---- */

static void add_line(struct rb_buf *out, const char *text)
{
    rb_text_escapes(out, text);
    rb_buf_addc(out, '\n');
}

static void add_text(const struct rb_view *view, const struct rb_edges *edges, struct rb_buf *out)
{
    size_t last = SIZE_MAX, alone = 0;
    for (size_t i = 0; i < edges->count; i++) {
        const struct rb_edge *edge = &edges->items[i];
        RB_BUF_AUTO line;
        rb_buf_init(&line, 16384);
        if (edge->from != last) {
            rb_buf_addf(&line, "%s (%s) depends on", rb_render_check_name(view, edge->from),
                        rb_state_name(rb_view_state(view, edge->from)));
            add_line(out, rb_buf_str(&line));
            rb_buf_reset(&line);
        }
        last = edge->from;
        rb_buf_addf(&line, "  %s (%s)  [%s%s] %s", rb_render_check_name(view, edge->to), rb_state_name(rb_view_state(view, edge->to)),
                    rb_edge_kind_name(edge->kind), edge->idle ? ", idle" : "", edge->reason);
        add_line(out, rb_buf_str(&line));
    }
    for (size_t i = 0; i < view->snapshot->count; i++) {
        bool linked = false;
        for (size_t e = 0; e < edges->count && !linked; e++)
            linked = edges->items[e].from == i || edges->items[e].to == i;
        if (linked)
            continue;
        rb_buf_addf(out, "%s%s", alone++ ? ", " : "not linked: ", rb_render_check_name(view, i));
    }
    if (alone)
        rb_buf_addc(out, '\n');
    if (edges->left_out)
        rb_buf_addf(out, "and %zu more edges\n", edges->left_out);
}

/* ---- DOT ---- */

/* A quoted string of the DOT language: only the quote and the backslash are special there. */
static void add_quoted(struct rb_buf *out, const char *text)
{
    RB_BUF_AUTO safe;
    rb_buf_init(&safe, 65536);
    rb_text_escapes(&safe, text);
    rb_buf_addc(out, '"');
    for (const char *c = rb_buf_str(&safe); *c; c++) {
        if (*c == '"' || *c == '\\')
            rb_buf_addc(out, '\\');
        rb_buf_addc(out, *c);
    }
    rb_buf_addc(out, '"');
}

static void add_dot(const struct rb_view *view, const struct rb_edges *edges, struct rb_buf *out)
{
    rb_buf_adds(out, "digraph runbookd {\n  rankdir=LR;\n  node [shape=box, style=filled, fontname=\"sans-serif\"];\n");
    for (size_t i = 0; i < view->snapshot->count; i++) {
        rb_buf_adds(out, "  ");
        add_quoted(out, rb_render_check_name(view, i));
        rb_buf_addf(out, " [fillcolor=\"%s\"];\n", shade(rb_view_state(view, i)));
    }
    for (size_t i = 0; i < edges->count; i++) {
        const struct rb_edge *edge = &edges->items[i];
        rb_buf_adds(out, "  ");
        add_quoted(out, rb_render_check_name(view, edge->from));
        rb_buf_adds(out, " -> ");
        add_quoted(out, rb_render_check_name(view, edge->to));
        rb_buf_adds(out, " [label=");
        add_quoted(out, rb_edge_kind_name(edge->kind));
        rb_buf_adds(out, ", tooltip=");
        add_quoted(out, edge->reason);
        rb_buf_addf(out, "%s];\n", edge->idle ? ", style=dashed" : "");
    }
    rb_buf_adds(out, "}\n");
}

/* ---- JSON ---- */

static void add_pair(struct rb_buf *out, const char *key, const char *text)
{
    rb_jw_key(out, key);
    rb_jw_string(out, text);
}

static void add_json(const struct rb_view *view, const struct rb_edges *edges, struct rb_buf *out)
{
    rb_jw_open(out, '{');
    rb_jw_key(out, "checks");
    rb_jw_open(out, '[');
    for (size_t i = 0; i < view->snapshot->count; i++) {
        rb_jw_open(out, '{');
        add_pair(out, "name", rb_render_check_name(view, i));
        add_pair(out, "state", rb_state_name(rb_view_state(view, i)));
        rb_jw_close(out, '}');
    }
    rb_jw_close(out, ']');
    rb_jw_key(out, "edges");
    rb_jw_open(out, '[');
    for (size_t i = 0; i < edges->count; i++) {
        const struct rb_edge *edge = &edges->items[i];
        rb_jw_open(out, '{');
        add_pair(out, "from", rb_render_check_name(view, edge->from));
        add_pair(out, "to", rb_render_check_name(view, edge->to));
        add_pair(out, "kind", rb_edge_kind_name(edge->kind));
        rb_jw_key(out, "idle");
        rb_jw_bool(out, edge->idle);
        add_pair(out, "reason", edge->reason);
        rb_jw_close(out, '}');
    }
    rb_jw_close(out, ']');
    rb_jw_key(out, "left_out");
    rb_jw_uint(out, edges->left_out);
    rb_jw_close(out, '}');
    rb_buf_addc(out, '\n');
}

int rb_render_graph(const struct rb_view *view, const struct rb_edges *edges, enum rb_graph_format format, struct rb_buf *out,
                    struct rb_error *err)
{
    if (format == RB_GRAPH_DOT)
        add_dot(view, edges, out);
    else if (format == RB_GRAPH_JSON)
        add_json(view, edges, out);
    else
        add_text(view, edges, out);
    return rb_buf_check(out, "the graph", err);
}
