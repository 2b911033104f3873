/* The triage report as a page: the same sentences, without the limits of a terminal. Commands stand in <pre> as comments. */
#include <string.h>

#include "triage.h"

static void heading(struct rb_buf *out, const char *text)
{
    rb_buf_adds(out, "<h2>");
    rb_html_text(out, text);
    rb_buf_adds(out, "</h2>\n");
}

static void row(struct rb_buf *out, const char *term, const char *text)
{
    rb_buf_adds(out, "<dt>");
    rb_html_text(out, term);
    rb_buf_adds(out, "</dt><dd>");
    rb_html_text(out, text);
    rb_buf_adds(out, "</dd>\n");
}

enum words { WORDS_OURS, WORDS_FOREIGN }; /* last words are another program's: quoted, not said in another language */

static void rows(struct rb_buf *out, const struct rb_triage *t, enum rb_message term, const char *const *items, size_t count,
                 enum words words)
{
    if (count == 0)
        return;
    rb_buf_adds(out, "<dt>");
    rb_html_text(out, rb_message(t->language, term));
    rb_buf_adds(out, "</dt>\n");
    for (size_t i = 0; i < count; i++) {
        RB_BUF_AUTO text;
        rb_buf_init(&text, 65536);
        rb_render_phrase(&text, words == WORDS_OURS ? t->language : RB_LANGUAGE_EN, items[i]);
        rb_buf_adds(out, "<dd>");
        rb_html_text(out, rb_buf_str(&text));
        rb_buf_adds(out, "</dd>\n");
    }
}

static void commands(struct rb_buf *out, const struct rb_triage *t, const char *const *items, size_t count)
{
    if (count == 0)
        return;
    rb_buf_adds(out, "<pre>");
    for (size_t i = 0; i < count; i++) {
        RB_BUF_AUTO text;
        rb_buf_init(&text, 65536);
        if (rb_triage_is_again(items[i]))
            rb_triage_again(t, &text);
        else
            rb_render_command(&text, t->language, items[i]);
        rb_buf_adds(out, "# ");
        rb_html_text(out, rb_buf_str(&text));
        rb_buf_addc(out, '\n');
    }
    rb_buf_adds(out, "</pre>\n");
}

/* Each line escaped for itself: the escape of a line end would join them. */
static void html_lines(struct rb_buf *out, const char *text)
{
    while (*text) {
        size_t len = strcspn(text, "\n");
        RB_BUF_AUTO one;
        rb_buf_init(&one, 65536);
        rb_buf_add(&one, text, len);
        rb_html_text(out, rb_buf_str(&one));
        rb_buf_addc(out, '\n');
        text += len + (text[len] == '\n');
    }
}

static void add_changes(const struct rb_triage *t, const struct rb_cause *cause, struct rb_buf *out)
{
    for (size_t i = 0; i < cause->changed_before_count; i++) {
        const struct rb_change *change = &cause->changed_before[i];
        RB_BUF_AUTO lead, when, text;
        rb_buf_init(&lead, 64);
        rb_buf_init(&when, 64);
        rb_buf_init(&text, 65536);
        rb_duration_print(&lead, change->lead_ns / RB_NS_PER_MS);
        rb_render_since(&when, t->view, change->wall_ns);
        RB_BUF_AUTO what;
        rb_buf_init(&what, 65536);
        rb_triage_change(t, change, &what);
        RB_SAY(&text, t->language, CHANGED_BEFORE, rb_buf_str(&lead), rb_buf_str(&when), rb_buf_str(&what));
        row(out, rb_message(t->language, RB_MSG_CHANGED), rb_buf_str(&text));
        if (change->diff && *change->diff) {
            rb_buf_adds(out, "<dd><pre>");
            html_lines(out, change->diff);
            rb_buf_adds(out, "</pre></dd>\n");
        }
    }
}

/* Where the section stands, and what it says when it is opened. */
static void add_section(const struct rb_triage *t, size_t check, struct rb_buf *out)
{
    const struct rb_runbook_text *section = rb_triage_section(t->view, check);
    RB_BUF_AUTO text;
    rb_buf_init(&text, 65536);
    rb_triage_runbook(t, check, &text);
    bool found = section && section->state == RB_RUNBOOK_FOUND;
    rb_buf_addf(out, found ? "<details><summary>%s " : "<p>%s ", rb_message(t->language, RB_MSG_RUNBOOK));
    rb_html_text(out, rb_buf_str(&text));
    rb_buf_adds(out, found ? "</summary><pre>" : "</p>\n");
    for (size_t i = 0; found && i < section->line_count; i++) {
        rb_html_text(out, section->lines[i]);
        rb_buf_addc(out, '\n');
    }
    if (found && section->more > 0) {
        rb_buf_reset(&text);
        rb_buf_addf(&text, "%zu", section->more);
        RB_SAY(out, t->language, AND_MORE, rb_buf_str(&text));
    }
    rb_buf_adds(out, found ? "</pre></details>\n" : "");
}

static void add_cause(const struct rb_triage *t, size_t rank, struct rb_buf *out)
{
    const struct rb_cause *cause = &t->diagnosis->causes[rank];
    RB_BUF_AUTO text;
    rb_buf_init(&text, 65536);
    rb_triage_cause_title(t, rank, &text);
    heading(out, rb_buf_str(&text));
    rb_buf_adds(out, "<div class=\"card\"><dl>\n");
    rb_buf_reset(&text);
    rb_triage_cause_check(t, cause, &text);
    row(out, rb_message(t->language, RB_MSG_CHECK), rb_buf_str(&text));
    add_changes(t, cause, out);
    rows(out, t, RB_MSG_EVIDENCE, cause->evidence, cause->evidence_count, WORDS_OURS);
    rows(out, t, RB_MSG_LAST_WORDS, cause->last_words, cause->last_words_count, WORDS_FOREIGN);
    for (size_t i = 0; i < cause->explains_count; i++) {
        rb_buf_reset(&text);
        rb_buf_addf(&text, "%s: ", rb_triage_explained_name(t, &cause->explains[i]));
        rb_triage_how(t, &cause->explains[i], &text);
        row(out, i ? "" : rb_message(t->language, RB_MSG_EXPLAINS), rb_buf_str(&text));
    }
    for (size_t i = 0; i < cause->ruled_out_count; i++) {
        rb_buf_reset(&text);
        rb_triage_ruled_out(t, &cause->ruled_out[i], &text);
        row(out, rb_message(t->language, RB_MSG_RULED_OUT), rb_buf_str(&text));
    }
    rb_buf_adds(out, "</dl>\n");
    if (cause->runbook)
        add_section(t, cause->check, out);
    if (cause->todo_count) {
        rb_buf_adds(out, "<p class=\"dim\">");
        rb_html_text(out, rb_message(t->language, RB_MSG_DO));
        rb_buf_adds(out, "</p>\n");
    }
    commands(out, t, cause->todo, cause->todo_count);
    rb_buf_adds(out, "</div>\n");
}

static void add_rest(const struct rb_triage *t, struct rb_buf *out)
{
    const struct rb_diagnosis *d = t->diagnosis;
    RB_BUF_AUTO text;
    rb_buf_init(&text, 65536);
    if (d->undetermined_count)
        heading(out, rb_message(t->language, RB_MSG_UNDETERMINED));
    for (size_t i = 0; i < d->undetermined_count; i++) {
        rb_buf_reset(&text);
        RB_BUF_AUTO settle;
        rb_buf_init(&settle, 65536);
        rb_triage_settle(t, &d->undetermined[i], &settle);
        if (settle.len)
            RB_SAY(&text, t->language, WOULD_SETTLE, rb_buf_str(&settle));
        RB_BUF_AUTO title;
        rb_buf_init(&title, 65536);
        rb_render_phrase(&title, t->language, d->undetermined[i].title ? d->undetermined[i].title : "");
        rb_buf_adds(out, "<dl>");
        row(out, rb_render_check_name(t->view, d->undetermined[i].check), rb_buf_str(&title));
        if (text.len)
            row(out, "", rb_buf_str(&text));
        rb_buf_adds(out, "</dl>\n");
    }
    if (d->observer_count) {
        rb_buf_adds(out, "<dl>");
        rows(out, t, RB_MSG_OBSERVER, d->observer, d->observer_count, WORDS_OURS);
        rb_buf_adds(out, "</dl>\n");
    }
    if (d->not_linked_count)
        heading(out, rb_message(t->language, d->cause_count ? RB_MSG_NOT_LINKED : RB_MSG_NOT_LINKED_HEALTHY));
    rb_buf_adds(out, d->not_linked_count ? "<dl>" : "");
    for (size_t i = 0; i < d->not_linked_count; i++) {
        rb_buf_reset(&text);
        rb_triage_not_linked(t, &d->not_linked[i], &text);
        row(out, rb_render_check_name(t->view, d->not_linked[i].check), rb_buf_str(&text));
    }
    rb_buf_adds(out, d->not_linked_count ? "</dl>\n" : "");
    if (d->rollback_count) {
        heading(out, rb_message(t->language, RB_MSG_ROLLBACK));
        commands(out, t, d->rollback, d->rollback_count);
    }
}

int rb_render_triage_html(const struct rb_view *view, const struct rb_diagnosis *diagnosis, enum rb_language language, struct rb_buf *out,
                          struct rb_error *err)
{
    static void (*const writers[])(const struct rb_triage *, struct rb_buf *) = {rb_triage_verdict, rb_triage_safety, rb_triage_data,
                                                                                 rb_triage_last};
    static const enum rb_message labels[] = {RB_MSG_VERDICT, RB_MSG_SAFETY, RB_MSG_DATA, RB_MSG_LAST};
    struct rb_triage t = {.view = view, .diagnosis = diagnosis, .language = language};
    RB_BUF_AUTO text;
    rb_buf_init(&text, 65536);
    rb_html_head(out, language, rb_message(language, RB_MSG_TRIAGE), 0);
    rb_triage_header(&t, &text);
    rb_buf_adds(out, "<h1>");
    rb_html_text(out, rb_buf_str(&text));
    rb_buf_adds(out, "</h1>\n");
    if (view->stuck) {
        rb_buf_reset(&text);
        rb_render_duration_in(&text, language, view->age_s);
        rb_buf_adds(out, "<p class=\"card fail\" role=\"alert\">");
        RB_SAY(out, language, STUCK, rb_buf_str(&text));
        rb_buf_adds(out, "</p>\n");
    }
    rb_buf_adds(out, "<dl>\n");
    for (size_t i = 0; i < sizeof labels / sizeof labels[0]; i++) {
        rb_buf_reset(&text);
        writers[i](&t, &text);
        row(out, rb_message(language, labels[i]), rb_buf_str(&text));
    }
    if (diagnosis->incident) {
        rb_buf_reset(&text);
        rb_buf_addf(&text, "%s %s", rb_message(language, diagnosis->incident_unstored ? RB_MSG_RECORD_UNSTORED : RB_MSG_RECORD_INCIDENT),
                    diagnosis->incident);
        row(out, rb_message(language, RB_MSG_RECORD), rb_buf_str(&text));
    }
    rb_buf_adds(out, "</dl>\n");
    for (size_t i = 0; i < diagnosis->cause_count; i++)
        add_cause(&t, i, out);
    add_rest(&t, out);
    rb_html_tail(out);
    return rb_buf_check(out, "triage page", err);
}
