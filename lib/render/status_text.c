/* /status for people: one line a check, worst first, columns aligned, never wider than the screen.
 *
 * Colour only marks what the words already say, and only when the caller asks for it (a terminal without NO_COLOR). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define NAME_COLUMNS_MAX 32u
#define SINCE_COLUMNS    20u
#define AGE_COLUMNS      13u
#define MIN_COLUMNS      60u

struct table {
    const struct rb_view *view;
    const struct rb_text_style *style;
    struct rb_buf *out;
    size_t columns, name_columns, since_columns;
};

static void pad(struct rb_buf *out, const char *text, size_t columns)
{
    size_t used = rb_text_columns(text, strlen(text));
    rb_text_clip(out, text, columns);
    for (; used < columns; used++)
        rb_buf_addc(out, ' ');
    rb_buf_adds(out, "  ");
}

static const char *colour_of(enum rb_state state)
{
    switch (state) {
    case RB_STATE_OK:
    case RB_STATE_SKIP:
        return "\033[32m";
    case RB_STATE_FAIL:
        return "\033[1;31m";
    case RB_STATE_WARN:
    case RB_STATE_UNKNOWN:
    case RB_STATE_STALE:
    case RB_STATE_PENDING:
    case RB_STATE_COUNT:
        break;
    }
    return "\033[33m";
}

static void add_message(struct rb_buf *text, const struct table *t, size_t index)
{
    const struct rb_record *record = t->view->snapshot->records[index];
    enum rb_language language = t->style->language;
    const char *reason = rb_view_reason(t->view, index);
    if (strcmp(reason, "none") != 0)
        rb_buf_addf(text, "%s: ", reason);
    RB_BUF_AUTO message;
    rb_buf_init(&message, 65536);
    rb_render_phrase(&message, language, record->message);
    rb_text_escapes(text, rb_buf_str(&message));
    if (record->suppressed) {
        rb_buf_adds(text, "  [");
        RB_SAY(text, language, SUPPRESSED_BY, record->suppressed_by ? record->suppressed_by : "?");
        rb_buf_addc(text, ']');
    }
    if (record->flapping)
        rb_buf_addf(text, "  [%s]", rb_message(language, RB_MSG_FLAPPING));
    if (record->silenced_until_wall_ns > t->view->wall_ns)
        rb_buf_addf(text, "  [%s]", rb_message(language, RB_MSG_SILENCED));
    if (record->streak_needed && record->streak)
        rb_buf_addf(text, "  [%u/%u]", record->streak, record->streak_needed);
}

/* The lines below a bad check: what its message has no room for. The first line of evidence often is the message again. */
static void add_evidence(const struct table *t, const struct rb_record *record)
{
    unsigned shown = 0;
    size_t i = 0;
    RB_BUF_AUTO text;
    rb_buf_init(&text, 16384);
    for (; i < record->evidence_count && shown < t->style->evidence; i++) {
        if (strcmp(record->evidence[i], record->message) == 0)
            continue;
        rb_buf_reset(&text);
        RB_BUF_AUTO line;
        rb_buf_init(&line, 65536);
        rb_render_phrase(&line, t->style->language, record->evidence[i]);
        rb_text_escapes(&text, rb_buf_str(&line));
        rb_buf_adds(t->out, "         ");
        rb_text_clip(t->out, rb_buf_str(&text), t->columns > 19 ? t->columns - 9 : 10);
        rb_buf_addc(t->out, '\n');
        shown++;
    }
    size_t left = record->evidence_count - i + record->evidence_dropped;
    if (t->style->evidence == 0 || left == 0)
        return;
    char number[24];
    (void)snprintf(number, sizeof number, "%zu", left);
    rb_buf_adds(t->out, "         ");
    RB_SAY(t->out, t->style->language, AND_MORE, number);
    rb_buf_addc(t->out, '\n');
}

static void add_row(const struct table *t, size_t index)
{
    const struct rb_record *record = t->view->snapshot->records[index];
    enum rb_state state = rb_view_state(t->view, index);
    RB_BUF_AUTO text, since, age;
    rb_buf_init(&text, 16384);
    rb_buf_init(&since, 64);
    rb_buf_init(&age, 64);
    rb_buf_adds(t->out, t->style->colour ? colour_of(state) : "");
    rb_buf_addf(t->out, "%-7s", rb_state_name(state));
    rb_buf_adds(t->out, t->style->colour ? "\033[0m" : "");
    rb_buf_adds(t->out, "  ");
    rb_text_escapes(&text, t->view->snapshot->plan->checks[index].name);
    pad(t->out, rb_buf_str(&text), t->name_columns);
    rb_render_since(&since, t->view, record->since_wall_ns);
    pad(t->out, rb_buf_str(&since), t->since_columns);
    rb_render_duration_in(&age, t->style->language, rb_render_age_s(t->view, index));
    pad(t->out, rb_buf_str(&age), AGE_COLUMNS);
    rb_buf_reset(&text);
    add_message(&text, t, index);
    size_t used = 7 + 2 + t->name_columns + 2 + t->since_columns + 2 + AGE_COLUMNS + 2;
    rb_text_clip(t->out, rb_buf_str(&text), t->columns > used + 10 ? t->columns - used : 10);
    rb_buf_addc(t->out, '\n');
    if (!rb_state_success(state) && state != RB_STATE_PENDING)
        add_evidence(t, record);
}

static void add_head(const struct table *t)
{
    enum rb_language language = t->style->language;
    pad(t->out, rb_message(language, RB_MSG_COLUMN_STATE), 7);
    pad(t->out, rb_message(language, RB_MSG_COLUMN_CHECK), t->name_columns);
    pad(t->out, rb_message(language, RB_MSG_COLUMN_SINCE), t->since_columns);
    pad(t->out, rb_message(language, RB_MSG_COLUMN_AGE), AGE_COLUMNS);
    rb_buf_addf(t->out, "%s\n", rb_message(language, RB_MSG_COLUMN_MESSAGE));
}

static void clipped_line(const struct table *t, const char *text)
{
    RB_BUF_AUTO safe;
    rb_buf_init(&safe, 65536);
    rb_text_escapes(&safe, text);
    rb_text_clip(t->out, rb_buf_str(&safe), t->columns);
    rb_buf_addc(t->out, '\n');
}

static void add_summary(const struct table *t)
{
    enum rb_language language = t->style->language;
    struct rb_summary summary = rb_view_summary(t->view);
    RB_BUF_AUTO counts, text;
    rb_buf_init(&counts, 1024);
    rb_buf_init(&text, 65536);
    char number[24];
    rb_render_summary(&counts, &summary);
    (void)snprintf(number, sizeof number, "%zu", t->view->snapshot->count);
    RB_SAY(&text, language, SUMMARY, number, rb_buf_str(&counts));
    rb_buf_addf(&text, "; %s ", rb_message(language, RB_MSG_SAFETY));
    rb_render_phrase(&text, language, rb_safety_name(rb_view_safety(t->view)));
    clipped_line(t, rb_buf_str(&text));
    if (t->view->stuck) {
        rb_buf_reset(&counts);
        rb_buf_reset(&text);
        rb_render_duration_in(&counts, language, t->view->age_s);
        RB_SAY(&text, language, STUCK, rb_buf_str(&counts));
        clipped_line(t, rb_buf_str(&text));
    }
    if (t->view->snapshot->config.error) {
        rb_buf_reset(&text);
        RB_SAY(&text, language, CONFIG_ERROR, t->view->snapshot->config.error);
        clipped_line(t, rb_buf_str(&text));
    }
}

/* Width of the widest name and the widest `since`, within their limits. */
static void measure(struct table *t, const size_t *order, size_t count)
{
    RB_BUF_AUTO since;
    rb_buf_init(&since, 64);
    t->name_columns = rb_text_columns(rb_message(t->style->language, RB_MSG_COLUMN_CHECK),
                                      strlen(rb_message(t->style->language, RB_MSG_COLUMN_CHECK)));
    t->since_columns = 9;
    for (size_t i = 0; i < count; i++) {
        const char *name = t->view->snapshot->plan->checks[order[i]].name;
        size_t columns = rb_text_columns(name, strlen(name));
        t->name_columns = columns > t->name_columns ? columns : t->name_columns;
        rb_buf_reset(&since);
        rb_render_since(&since, t->view, t->view->snapshot->records[order[i]]->since_wall_ns);
        t->since_columns = since.len > t->since_columns ? since.len : t->since_columns;
    }
    size_t room = t->columns / 3;
    t->name_columns = t->name_columns > room ? room : t->name_columns;
    t->name_columns = t->name_columns > NAME_COLUMNS_MAX ? NAME_COLUMNS_MAX : t->name_columns;
    t->since_columns = t->since_columns > SINCE_COLUMNS ? SINCE_COLUMNS : t->since_columns;
}

int rb_render_table_text(const struct rb_view *view, const bool *chosen, const struct rb_text_style *style, struct rb_buf *out,
                         struct rb_error *err)
{
    struct table t = {.view = view, .style = style, .out = out, .columns = style->columns > MIN_COLUMNS ? style->columns : MIN_COLUMNS};
    size_t count;
    size_t *order = rb_render_order(view, chosen, &count);
    if (!order)
        return rb_error_set(err, RB_ENOMEM, "status: out of memory");
    measure(&t, order, count);
    add_head(&t);
    for (size_t i = 0; i < count; i++)
        add_row(&t, order[i]);
    add_summary(&t);
    free(order);
    return rb_buf_check(out, "status", err);
}

int rb_render_status_text(const struct rb_view *view, const struct rb_text_style *style, struct rb_buf *out, struct rb_error *err)
{
    return rb_render_table_text(view, NULL, style, out, err);
}
