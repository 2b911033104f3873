/* Drift for people: text for the terminal, Markdown for the documentation of a review. Everything from outside is escaped; in Markdown it stands in code spans and fences that
 * it cannot close. */
#include "drift_print.h"

#include <string.h>

#include "runbook/base/text.h"

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

bool rb_drift_wanted(const struct rb_strings *wanted, const char *check)
{
    for (size_t i = 0; i < wanted->count; i++)
        if (strcmp(wanted->items[i], check) == 0)
            return true;
    return wanted->count == 0;
}

static void add_accepted(const json_t *item, struct rb_buf *out)
{
    const json_t *accepted = json_object_get(item, "accepted");
    if (!json_is_object(accepted))
        return;
    rb_buf_adds(out, "accepted by ");
    rb_text_escapes(out, text_of(accepted, "who"));
    rb_buf_adds(out, ": ");
    rb_text_escapes(out, text_of(accepted, "why"));
    if (text_of(accepted, "ref")[0]) {
        rb_buf_adds(out, " (");
        rb_text_escapes(out, text_of(accepted, "ref"));
        rb_buf_addc(out, ')');
    }
    if (text_of(accepted, "until")[0])
        rb_buf_addf(out, ", until %s", text_of(accepted, "until"));
}

static void add_lines(const char *text, const char *indent, struct rb_buf *out)
{
    while (*text) {
        size_t len = strcspn(text, "\n");
        rb_buf_adds(out, indent);
        rb_text_escape(out, text, len);
        rb_buf_addc(out, '\n');
        text += len + (text[len] == '\n');
    }
}

static void add_change(const json_t *item, struct rb_buf *out)
{
    const char *old_text = text_of(item, "old"), *new_text = text_of(item, "new");
    rb_text_escapes(out, old_text[0] ? old_text : "(absent)");
    rb_buf_adds(out, " -> ");
    rb_text_escapes(out, new_text[0] ? new_text : "(absent)");
}

static void add_item(const json_t *item, struct rb_buf *out)
{
    rb_buf_addf(out, "  %.8s  %-7s  ", text_of(item, "id"), text_of(item, "change"));
    rb_text_escapes(out, text_of(item, "key"));
    if (text_of(item, "class")[0])
        rb_buf_addf(out, "  [%s]", text_of(item, "class"));
    if (text_of(item, "changed_at")[0])
        rb_buf_addf(out, "  %s", text_of(item, "changed_at"));
    rb_buf_adds(out, "\n            ");
    add_change(item, out);
    rb_buf_addc(out, '\n');
    if (json_is_object(json_object_get(item, "accepted"))) {
        rb_buf_adds(out, "            ");
        add_accepted(item, out);
        rb_buf_addc(out, '\n');
    }
}

static void add_heading(const json_t *check, struct rb_buf *out)
{
    size_t count = json_array_size(json_object_get(check, "items"));
    rb_text_escapes(out, text_of(check, "check"));
    if (!text_of(check, "baseline")[0]) {
        rb_buf_adds(out, ": no baseline yet: runbookd drift accept ");
        rb_text_escapes(out, text_of(check, "check"));
        rb_buf_adds(out, " --all --reason '…'\n");
        return;
    }
    rb_buf_addf(out, ": %zu item%s; baseline of %s\n", count, count == 1 ? "" : "s", text_of(check, "baseline"));
}

void rb_drift_print_text(const json_t *report, const struct rb_strings *wanted, struct rb_buf *out)
{
    size_t i, k;
    json_t *check, *item;
    json_array_foreach(json_object_get(report, "drift"), i, check)
    {
        if (!rb_drift_wanted(wanted, text_of(check, "check")))
            continue;
        add_heading(check, out);
        json_array_foreach(json_object_get(check, "items"), k, item) add_item(item, out);
    }
    if (out->len == 0)
        rb_buf_adds(out, "no drift check has compared anything\n");
}

void rb_drift_print_item(const char *check, const json_t *item, struct rb_buf *out)
{
    rb_text_escapes(out, check);
    rb_buf_addc(out, '\n');
    add_item(item, out);
    if (text_of(item, "time_note")[0]) {
        rb_buf_adds(out, "            time: ");
        rb_text_escapes(out, text_of(item, "time_note"));
        rb_buf_addc(out, '\n');
    }
    add_lines(text_of(item, "diff"), "    ", out);
}

/* ---- Markdown ---- */

/* A code span that its content cannot end: backticks become apostrophes, a bar would end a table's cell. */
static void add_code(const char *text, struct rb_buf *out)
{
    RB_BUF_AUTO plain;
    rb_buf_init(&plain, 1u << 20);
    rb_text_escapes(&plain, text);
    rb_buf_addc(out, '`');
    for (const char *at = rb_buf_str(&plain); *at; at++)
        rb_buf_addc(out, *at == '`' ? '\'' : *at == '|' ? '/' : *at);
    rb_buf_addc(out, '`');
}

static void add_markdown_item(const json_t *item, struct rb_buf *out)
{
    rb_buf_addf(out, "### %.8s ", text_of(item, "id"));
    add_code(text_of(item, "key"), out);
    rb_buf_addf(out, "\n\n- %s%s%s%s%s\n- ", text_of(item, "change"), text_of(item, "class")[0] ? ", " : "", text_of(item, "class"),
                text_of(item, "changed_at")[0] ? ", " : "", text_of(item, "changed_at"));
    add_code(text_of(item, "old")[0] ? text_of(item, "old") : "(absent)", out);
    rb_buf_adds(out, " → ");
    add_code(text_of(item, "new")[0] ? text_of(item, "new") : "(absent)", out);
    rb_buf_adds(out, "\n- decision: ");
    if (json_is_object(json_object_get(item, "accepted"))) {
        RB_BUF_AUTO text;
        rb_buf_init(&text, 8192);
        add_accepted(item, &text);
        add_code(rb_buf_str(&text), out);
    } else {
        rb_buf_adds(out, "open (intent or accident?)");
    }
    rb_buf_adds(out, "\n\n");
    if (text_of(item, "diff")[0]) { /* indented: no line of it can end the block */
        add_lines(text_of(item, "diff"), "    ", out);
        rb_buf_addc(out, '\n');
    }
}

void rb_drift_print_markdown(const json_t *report, const struct rb_strings *wanted, struct rb_buf *out)
{
    size_t i, k;
    json_t *check, *item;
    rb_buf_adds(out, "# Drift\n\n");
    json_array_foreach(json_object_get(report, "drift"), i, check)
    {
        if (!rb_drift_wanted(wanted, text_of(check, "check")))
            continue;
        rb_buf_adds(out, "## ");
        add_code(text_of(check, "check"), out);
        rb_buf_addf(out, "\n\nBaseline: %s. Items: %zu.\n\n", text_of(check, "baseline")[0] ? text_of(check, "baseline") : "none",
                    json_array_size(json_object_get(check, "items")));
        json_array_foreach(json_object_get(check, "items"), k, item) add_markdown_item(item, out);
    }
}
