/* The page at /: verdict of the whole, safety, the table of checks (worst first) and the newest events, for a browser that is left open. */
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"

#define EVENTS_SHOWN 20u

static void open_tag(struct rb_buf *out, const char *element, const char *class)
{
    rb_buf_addf(out, "<%s class=\"%s\">", element, class);
}

static void add_safety(struct rb_buf *out, const struct rb_view *view, enum rb_language language)
{
    enum rb_safety safety = rb_view_safety(view);
    RB_BUF_AUTO text;
    rb_buf_init(&text, 4096);
    rb_render_safety(&text, view, language);
    rb_buf_adds(out, "<p><strong>");
    rb_buf_adds(out, rb_message(language, RB_MSG_SAFETY));
    rb_buf_adds(out, "</strong> ");
    open_tag(out, "span", rb_safety_name(safety));
    rb_html_text(out, rb_buf_str(&text));
    rb_buf_adds(out, "</span></p>\n");
}

static void add_flags(struct rb_buf *out, const struct rb_view *view, const struct rb_record *record, enum rb_language language)
{
    RB_BUF_AUTO text;
    rb_buf_init(&text, 1024);
    if (record->suppressed)
        RB_SAY(&text, language, SUPPRESSED_BY, record->suppressed_by ? record->suppressed_by : "?");
    if (record->flapping)
        rb_buf_addf(&text, "%s%s", text.len ? ", " : "", rb_message(language, RB_MSG_FLAPPING));
    if (record->silenced_until_wall_ns > view->wall_ns)
        rb_buf_addf(&text, "%s%s", text.len ? ", " : "", rb_message(language, RB_MSG_SILENCED));
    if (!text.len)
        return;
    rb_buf_adds(out, " <span class=\"dim\">(");
    rb_html_text(out, rb_buf_str(&text));
    rb_buf_adds(out, ")</span>");
}

static void add_row(struct rb_buf *out, const struct rb_view *view, size_t index, enum rb_language language)
{
    const struct rb_record *record = view->snapshot->records[index];
    const char *state = rb_state_name(rb_view_state(view, index));
    rb_buf_addf(out, "<tr><td class=\"state %s\">%s</td><th scope=\"row\">", state, state);
    rb_html_text(out, view->snapshot->plan->checks[index].name);
    rb_buf_adds(out, "</th><td>");
    rb_html_text(out, view->snapshot->plan->checks[index].kind->schema.name);
    rb_buf_adds(out, "</td><td class=\"text\">");
    RB_BUF_AUTO message;
    rb_buf_init(&message, 65536);
    rb_render_phrase(&message, language, record->message);
    rb_html_text(out, rb_buf_str(&message));
    add_flags(out, view, record, language);
    rb_buf_adds(out, "</td><td>");
    rb_render_since(out, view, record->since_wall_ns);
    rb_buf_adds(out, "</td><td>");
    rb_render_duration_in(out, language, rb_render_age_s(view, index));
    rb_buf_adds(out, "</td></tr>\n");
}

static int add_checks(struct rb_buf *out, const struct rb_view *view, enum rb_language language, struct rb_error *err)
{
    static const enum rb_message columns[] = {RB_MSG_COLUMN_STATE,   RB_MSG_COLUMN_CHECK, RB_MSG_COLUMN_KIND,
                                              RB_MSG_COLUMN_MESSAGE, RB_MSG_COLUMN_SINCE, RB_MSG_COLUMN_AGE};
    size_t count;
    size_t *order = rb_render_order(view, NULL, &count);
    if (!order)
        return rb_error_set(err, RB_ENOMEM, "page: out of memory");
    rb_buf_addf(
        out,
        "<h2 id=\"checks\">%s</h2>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"checks\"><table><thead><tr>",
        rb_message(language, RB_MSG_CHECKS));
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++)
        rb_buf_addf(out, "<th scope=\"col\">%s</th>", rb_message(language, columns[i]));
    rb_buf_adds(out, "</tr></thead><tbody>\n");
    for (size_t i = 0; i < count; i++)
        add_row(out, view, order[i], language);
    rb_buf_adds(out, "</tbody></table></div>\n");
    free(order);
    return 0;
}

static void add_timeline(struct rb_buf *out, const struct rb_view *view, enum rb_language language)
{
    size_t count = view->snapshot->timeline_count;
    if (count == 0)
        return;
    rb_buf_addf(out, "<h2>%s</h2>\n<ul>\n", rb_message(language, RB_MSG_TIMELINE));
    for (size_t i = 0; i < count && i < EVENTS_SHOWN; i++) {
        const struct rb_event_entry *entry = view->snapshot->timeline[count - 1 - i];
        char time[RB_TIME_TEXT];
        rb_buf_addf(out, "<li><time>%s</time> ", rb_time_human(time, entry->wall_ns));
        if (entry->check) {
            rb_buf_adds(out, "<strong>");
            rb_html_text(out, entry->check);
            rb_buf_adds(out, "</strong> ");
        }
        RB_BUF_AUTO text;
        rb_buf_init(&text, 65536);
        rb_render_phrase(&text, language, entry->text ? entry->text : "");
        rb_html_text(out, rb_buf_str(&text));
        rb_buf_adds(out, "</li>\n");
    }
    rb_buf_adds(out, "</ul>\n");
}

static void add_header(struct rb_buf *out, const struct rb_view *view, enum rb_language language)
{
    const struct rb_snapshot *snapshot = view->snapshot;
    struct rb_summary summary = rb_view_summary(view);
    RB_BUF_AUTO counts, text;
    rb_buf_init(&counts, 1024);
    rb_buf_init(&text, 65536);
    char number[24], time[RB_TIME_TEXT];
    rb_render_summary(&counts, &summary);
    (void)snprintf(number, sizeof number, "%zu", snapshot->count);
    rb_buf_adds(out, "<h1>runbookd ");
    rb_html_text(out, snapshot->host);
    rb_buf_adds(out, "</h1>\n<p>");
    RB_SAY(&text, language, SUMMARY, number, rb_buf_str(&counts));
    rb_html_text(out, rb_buf_str(&text));
    rb_buf_adds(out, " <span class=\"dim\">");
    RB_SAY(out, language, UPDATED, rb_time_human(time, view->wall_ns));
    rb_buf_addf(out,
                "</span></p>\n<p><a href=\"/triage\">%s</a> · <a href=\"/status\">/status</a> · <a href=\"/metrics\">/metrics</a></p>\n",
                rb_message(language, RB_MSG_TRIAGE));
    rb_buf_reset(&text);
    if (view->stuck) {
        rb_buf_reset(&counts);
        rb_render_duration(&counts, view->age_s);
        rb_buf_adds(out, "<p class=\"card fail\" role=\"alert\">");
        RB_SAY(out, language, STUCK, rb_buf_str(&counts));
        rb_buf_adds(out, "</p>\n");
    }
    if (snapshot->config.error) {
        RB_SAY(&text, language, CONFIG_ERROR, snapshot->config.error);
        rb_buf_adds(out, "<p class=\"card fail\">");
        rb_html_text(out, rb_buf_str(&text));
        rb_buf_adds(out, "</p>\n");
    }
}

int rb_render_page_html(const struct rb_view *view, enum rb_language language, struct rb_buf *out, struct rb_error *err)
{
    rb_html_head(out, language, "runbookd", 10);
    add_header(out, view, language);
    add_safety(out, view, language);
    int rc = add_checks(out, view, language, err);
    if (rc < 0)
        return rc;
    add_timeline(out, view, language);
    rb_html_tail(out);
    return rb_buf_check(out, "page", err);
}
