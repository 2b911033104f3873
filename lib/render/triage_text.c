/* The triage report for a terminal, in the shape of SPEC 8: at most 60 lines of at most 100 columns, whatever is in it.
 *
 * How the bound is kept: every line leaves through `line`, which escapes and clips it; the end of the report (what to do, runbook, record) is written
 * first and counted, because it must never be cut off, with shorter lists until a cause has room beside it; the causes get the lines that are left, in full while they fit, then in two
 * lines each, then as a number. Commands are printed as comments: pasting the whole report runs nothing. */
#include <string.h>

#include "triage.h"

#define MAX_LINES      60u
#define MAX_COLUMNS    100u
#define SCRATCH        ((size_t)256 * 1024)
#define LIST_SHOWN     4u
#define CAUSE_LINES    5u  /* a blank, a title, its check, "and N more" */
#define COMPARED       16u /* causes whose commands are not said again */
#define DIFF_LINES     4u
#define SECTION_COLUMN 10u
#define SECTION_SHOWN  8u

/* How much the end of the report tells: entries of each list, commands. The last level leaves room for a cause whatever is in it. */
struct level {
    size_t list, todo;
};
static const struct level levels[] = {{LIST_SHOWN, 10}, {2, 10}, {1, 10}, {1, 6}, {1, 2}};
#define LEVELS (sizeof levels / sizeof levels[0])

struct paper {
    const struct rb_triage *t;
    struct rb_buf *out;
    size_t columns;
    size_t lines;
    struct level level; /* of the end */
};

static void line(struct paper *p, const char *text)
{
    RB_BUF_AUTO safe;
    rb_buf_init(&safe, SCRATCH);
    rb_text_escapes(&safe, text);
    rb_text_clip(p->out, rb_buf_str(&safe), p->columns);
    rb_buf_addc(p->out, '\n');
    p->lines++;
}

static void blank(struct paper *p)
{
    rb_buf_addc(p->out, '\n');
    p->lines++;
}

static void pad_to(struct rb_buf *out, const char *text, size_t column)
{
    rb_buf_adds(out, text);
    size_t used = rb_text_columns(text, strlen(text));
    do
        rb_buf_addc(out, ' ');
    while (++used < column);
}

/* "VERDICT  text": the text from one column on, also in German; continued in further lines, at most `max_lines`. */
static void section_lines(struct paper *p, enum rb_message label, const char *text, unsigned max_lines)
{
    size_t column = p->t->language == RB_LANGUAGE_DE ? SECTION_COLUMN + 2 : SECTION_COLUMN - 1;
    RB_BUF_AUTO safe, whole;
    rb_buf_init(&safe, SCRATCH);
    rb_buf_init(&whole, SCRATCH);
    rb_text_escapes(&safe, text);
    const char *rest = rb_buf_str(&safe);
    const char *head = rb_message(p->t->language, label);
    do {
        size_t len = --max_lines == 0 ? strlen(rest) : rb_triage_fitting(rest, p->columns - column);
        rb_buf_reset(&whole);
        pad_to(&whole, head, column);
        rb_buf_add(&whole, rest, len);
        line(p, rb_buf_str(&whole));
        rest += len + (rest[len] == ' ');
        head = "";
    } while (*rest != '\0' && max_lines > 0);
}

static void section(struct paper *p, enum rb_message label, const char *text)
{
    section_lines(p, label, text, 1);
}

/* Of `len` bytes those before the blanks at their end. */
static size_t printed(const char *text, size_t len)
{
    while (len > 0 && text[len - 1] == ' ')
        len--;
    return len;
}

static size_t item_column(const struct paper *p)
{
    return p->t->language == RB_LANGUAGE_DE ? 16 : 12;
}

/* "   label       text", continued in further lines from `column` on; an empty label continues the one above. */
static void item_at(struct paper *p, const char *label, size_t column, const char *text, unsigned max_lines)
{
    RB_BUF_AUTO safe, whole;
    rb_buf_init(&safe, SCRATCH);
    rb_buf_init(&whole, SCRATCH);
    rb_text_escapes(&safe, text);
    const char *rest = rb_buf_str(&safe);
    do {
        size_t len = --max_lines == 0 ? strlen(rest) : rb_triage_fitting(rest, p->columns - column - 3);
        rb_buf_reset(&whole);
        rb_buf_adds(&whole, "   ");
        pad_to(&whole, label, column);
        rb_buf_add(&whole, rest, printed(rest, len));
        line(p, rb_buf_str(&whole));
        rest += len;
        rest += strspn(rest, " ");
        label = "";
    } while (*rest != '\0' && max_lines > 0);
}

static void item_lines(struct paper *p, const char *label, const char *text, unsigned max_lines)
{
    item_at(p, label, item_column(p), text, max_lines);
}

static void item(struct paper *p, const char *label, const char *text)
{
    item_lines(p, label, text, 1);
}

/* A line that begins at the margin and goes on below its text. */
static void hanging(struct paper *p, const char *text, size_t column, unsigned max_lines)
{
    RB_BUF_AUTO safe, whole;
    rb_buf_init(&safe, SCRATCH);
    rb_buf_init(&whole, SCRATCH);
    rb_text_escapes(&safe, text);
    const char *rest = rb_buf_str(&safe);
    for (size_t indent = 0; *rest != '\0' && max_lines > 0; indent = column) {
        size_t len = --max_lines == 0 ? strlen(rest) : rb_triage_fitting(rest, p->columns - indent);
        rb_buf_reset(&whole);
        for (size_t i = 0; i < indent; i++)
            rb_buf_addc(&whole, ' ');
        rb_buf_add(&whole, rest, len);
        line(p, rb_buf_str(&whole));
        rest += len;
        rest += strspn(rest, " ");
    }
}

static void more(struct paper *p, size_t hidden, bool indented)
{
    if (hidden == 0)
        return;
    RB_BUF_AUTO text, whole;
    rb_buf_init(&text, 128);
    rb_buf_init(&whole, 256);
    rb_buf_addf(&text, "%zu", hidden);
    RB_SAY(&whole, p->t->language, AND_MORE, rb_buf_str(&text));
    if (indented)
        item(p, "", rb_buf_str(&whole));
    else
        line(p, rb_buf_str(&whole));
}

/* ---- causes ---- */

static void add_diff(struct paper *p, const char *diff)
{
    for (unsigned shown = 0; diff && *diff && shown < DIFF_LINES; shown++) {
        size_t len = strcspn(diff, "\n");
        RB_BUF_AUTO text;
        rb_buf_init(&text, SCRATCH);
        rb_buf_adds(&text, "  ");
        rb_buf_add(&text, diff, len);
        item(p, "", rb_buf_str(&text));
        diff += len + (diff[len] == '\n');
    }
}

static void add_changes(struct paper *p, const struct rb_cause *cause)
{
    enum rb_language language = p->t->language;
    for (size_t i = 0; i < cause->changed_before_count && i < 2; i++) {
        const struct rb_change *change = &cause->changed_before[i];
        RB_BUF_AUTO lead, when, what, text;
        rb_buf_init(&lead, 64);
        rb_buf_init(&when, 64);
        rb_buf_init(&text, SCRATCH);
        rb_duration_print(&lead, change->lead_ns / RB_NS_PER_MS);
        rb_render_since(&when, p->t->view, change->wall_ns);
        rb_buf_init(&what, SCRATCH);
        rb_triage_change(p->t, change, &what);
        RB_SAY(&text, language, CHANGED_BEFORE, rb_buf_str(&lead), rb_buf_str(&when), rb_buf_str(&what));
        item_lines(p, i ? "" : rb_message(language, RB_MSG_CHANGED), rb_buf_str(&text), change->mounted_as ? 3 : 2);
        add_diff(p, change->diff);
    }
}

static void add_list(struct paper *p, enum rb_message label, const char *const *items, size_t count, const char *quote)
{
    for (size_t i = 0; i < count && i < LIST_SHOWN; i++) {
        RB_BUF_AUTO text;
        rb_buf_init(&text, SCRATCH);
        rb_buf_adds(&text, quote);
        rb_render_phrase(&text, *quote ? RB_LANGUAGE_EN : p->t->language, items[i]); /* quoted: another program's words */
        rb_buf_adds(&text, quote);
        bool last_words = *quote && i + 1 == count; /* the line that it died of, whole */
        item_lines(p, i ? "" : rb_message(p->t->language, label), rb_buf_str(&text), last_words ? 3 : *quote ? 1 : 2);
    }
    more(p, count > LIST_SHOWN ? count - LIST_SHOWN : 0, true);
}

static void add_explains(struct paper *p, const struct rb_cause *cause)
{
    size_t width = 0;
    for (size_t i = 0; i < cause->explains_count && i < LIST_SHOWN; i++) {
        const char *name = rb_triage_explained_name(p->t, &cause->explains[i]);
        size_t len = rb_text_columns(name, strlen(name));
        width = len > width ? len : width;
    }
    size_t column = item_column(p) + width + 2;
    unsigned lines = column < p->columns / 2 ? 2 : 1; /* below a very long name there is no room to go on */
    for (size_t i = 0; i < cause->explains_count && i < LIST_SHOWN; i++) {
        RB_BUF_AUTO label, text, since;
        rb_buf_init(&label, SCRATCH);
        rb_buf_init(&text, SCRATCH);
        rb_buf_init(&since, 64);
        pad_to(&label, i ? "" : rb_message(p->t->language, RB_MSG_EXPLAINS), item_column(p));
        rb_buf_adds(&label, rb_triage_explained_name(p->t, &cause->explains[i]));
        rb_triage_how(p->t, &cause->explains[i], &text);
        if (cause->explains[i].since_wall_ns) {
            rb_render_since(&since, p->t->view, cause->explains[i].since_wall_ns);
            rb_buf_adds(&text, "  ");
            RB_SAY(&text, p->t->language, SINCE, rb_buf_str(&since));
        }
        item_at(p, rb_buf_str(&label), column, rb_buf_str(&text), lines);
    }
    more(p, cause->explains_count > LIST_SHOWN ? cause->explains_count - LIST_SHOWN : 0, true);
}

static void add_ruled_out(struct paper *p, const struct rb_cause *cause)
{
    for (size_t i = 0; i < cause->ruled_out_count && i < LIST_SHOWN; i++) {
        RB_BUF_AUTO text;
        rb_buf_init(&text, SCRATCH);
        rb_triage_ruled_out(p->t, &cause->ruled_out[i], &text);
        item_lines(p, i ? "" : rb_message(p->t->language, RB_MSG_RULED_OUT), rb_buf_str(&text), 2);
    }
}

static void add_cause(struct paper *p, size_t rank, bool brief)
{
    const struct rb_cause *cause = &p->t->diagnosis->causes[rank];
    RB_BUF_AUTO text;
    rb_buf_init(&text, SCRATCH);
    rb_triage_cause_title(p->t, rank, &text);
    hanging(p, rb_buf_str(&text), 3, 2);
    rb_buf_reset(&text);
    rb_triage_cause_check(p->t, cause, &text);
    item(p, rb_message(p->t->language, RB_MSG_CHECK), rb_buf_str(&text));
    if (brief)
        return;
    add_changes(p, cause);
    /* The first line usually is the message, which the title has said. */
    size_t said = cause->evidence_count && cause->title && strstr(cause->title, cause->evidence[0]) ? 1 : 0;
    add_list(p, RB_MSG_EVIDENCE, cause->evidence + said, cause->evidence_count - said, "");
    /* The last are what it died of. */
    size_t older = cause->last_words_count > LIST_SHOWN ? cause->last_words_count - LIST_SHOWN : 0;
    add_list(p, RB_MSG_LAST_WORDS, cause->last_words + older, cause->last_words_count - older, "\"");
    add_explains(p, cause);
    add_ruled_out(p, cause);
}

/* As many causes as fit into `room` lines. */
static void add_causes(struct paper *p, size_t room)
{
    size_t count = p->t->diagnosis->cause_count;
    size_t start = p->lines;
    for (size_t i = 0; i < count; i++) {
        size_t left = room - (p->lines - start);
        size_t reserve = i + 1 < count ? 1 : 0; /* for "… and N more" */
        bool done = false;
        for (int brief = 0; brief <= 1 && !done; brief++) {
            RB_BUF_AUTO scratch;
            rb_buf_init(&scratch, SCRATCH);
            struct paper trial = {.t = p->t, .out = &scratch, .columns = p->columns};
            add_cause(&trial, i, brief == 1);
            if (trial.lines + reserve > left)
                continue;
            rb_buf_add(p->out, rb_buf_str(&scratch), scratch.len);
            p->lines += trial.lines;
            done = true;
        }
        if (!done) {
            more(p, count - i, false);
            return;
        }
    }
}

/* ---- the rest ---- */

static void add_undetermined(struct paper *p)
{
    const struct rb_diagnosis *d = p->t->diagnosis;
    if (d->undetermined_count == 0)
        return;
    blank(p);
    line(p, rb_message(p->t->language, RB_MSG_UNDETERMINED));
    for (size_t i = 0; i < d->undetermined_count && i < p->level.list; i++) {
        RB_BUF_AUTO text;
        rb_buf_init(&text, SCRATCH);
        rb_buf_adds(&text, "   ");
        rb_render_phrase(&text, p->t->language,
                         d->undetermined[i].title ? d->undetermined[i].title : rb_render_check_name(p->t->view, d->undetermined[i].check));
        if (d->undetermined[i].would_settle) {
            rb_buf_adds(&text, "; ");
            RB_BUF_AUTO settle;
            rb_buf_init(&settle, SCRATCH);
            rb_triage_settle(p->t, &d->undetermined[i], &settle);
            RB_SAY(&text, p->t->language, WOULD_SETTLE, rb_buf_str(&settle));
        }
        hanging(p, rb_buf_str(&text), 6, p->level.list > 1 ? 3 : 1);
    }
    more(p, d->undetermined_count > p->level.list ? d->undetermined_count - p->level.list : 0, true);
}

static void add_observer(struct paper *p)
{
    const struct rb_diagnosis *d = p->t->diagnosis;
    if (d->observer_count == 0)
        return;
    blank(p);
    line(p, rb_message(p->t->language, RB_MSG_OBSERVER));
    for (size_t i = 0; i < d->observer_count && i < p->level.list; i++) {
        RB_BUF_AUTO text;
        rb_buf_init(&text, SCRATCH);
        rb_buf_adds(&text, "   ");
        rb_render_phrase(&text, p->t->language, d->observer[i]);
        hanging(p, rb_buf_str(&text), 6, p->level.list > 1 ? 2 : 1);
    }
    more(p, d->observer_count > p->level.list ? d->observer_count - p->level.list : 0, true);
}

static void add_not_linked(struct paper *p)
{
    const struct rb_diagnosis *d = p->t->diagnosis;
    if (d->not_linked_count == 0)
        return;
    blank(p);
    line(p, rb_message(p->t->language, RB_MSG_NOT_LINKED));
    size_t width = 0;
    for (size_t i = 0; i < d->not_linked_count && i < p->level.list; i++) {
        const char *name = rb_render_check_name(p->t->view, d->not_linked[i].check);
        size_t columns = rb_text_columns(name, strlen(name));
        width = columns > width ? columns : width;
    }
    for (size_t i = 0; i < d->not_linked_count && i < p->level.list; i++) {
        const struct rb_not_linked *entry = &d->not_linked[i];
        RB_BUF_AUTO text;
        rb_buf_init(&text, SCRATCH);
        rb_buf_addf(&text, "   %-7s  ",
                    entry->check < p->t->view->snapshot->count ? rb_state_name(rb_view_state(p->t->view, entry->check)) : "?");
        pad_to(&text, rb_render_check_name(p->t->view, entry->check), width + 2);
        rb_triage_not_linked(p->t, entry, &text);
        hanging(p, rb_buf_str(&text), width < p->columns / 3 ? width + 14 : 14, p->level.list > 1 ? 2 : 1);
    }
    more(p, d->not_linked_count > p->level.list ? d->not_linked_count - p->level.list : 0, true);
}

static void command_line(struct paper *p, const char *text, size_t len, const char *tail)
{
    RB_BUF_AUTO whole;
    rb_buf_init(&whole, SCRATCH);
    rb_buf_adds(&whole, "   # ");
    rb_buf_add(&whole, text, len);
    rb_buf_adds(&whole, tail);
    line(p, rb_buf_str(&whole));
}

/* A command is never cut: what does not fit goes on in a second line behind a backslash, so that it can be pasted whole. Its comment then gets a line of its own. */
static void command(struct paper *p, const char *text)
{
    size_t room = p->columns - 5, comment, len;
    if (rb_text_columns(text, strlen(text)) <= room) {
        command_line(p, text, strlen(text), "");
        return;
    }
    (void)rb_triage_breakable(text, room, &comment);
    const char *note = text + comment;
    len = comment;
    while (len > 0 && text[len - 1] == ' ')
        len--;
    if (*note)
        command_line(p, note, strlen(note), ":");
    size_t lines = rb_triage_command_lines(text, len, room);
    if (lines == 0) {
        const char *too_long = rb_message(p->t->language, RB_MSG_COMMAND_TOO_LONG);
        command_line(p, too_long, strlen(too_long), "");
        return;
    }
    for (; lines > 1; lines--) {
        size_t unused, cut = rb_triage_breakable(text, room - 2, &unused);
        command_line(p, text, cut, " \\");
        text += cut + 1;
        len -= cut + 1;
    }
    command_line(p, text, len, "");
}

/* True when an earlier cause already says the same command. */
static bool said_before(const struct rb_diagnosis *d, size_t cause, size_t todo)
{
    const char *text = d->causes[cause].todo[todo];
    for (size_t i = 0; i <= cause && i < COMPARED; i++) {
        size_t end = i == cause ? todo : d->causes[i].todo_count;
        for (size_t k = 0; k < end; k++) {
            if (strcmp(d->causes[i].todo[k], text) == 0)
                return true;
        }
    }
    return false;
}

static void add_todo(struct paper *p)
{
    const struct rb_diagnosis *d = p->t->diagnosis;
    size_t shown = 0, hidden = 0;
    blank(p);
    line(p, rb_message(p->t->language, RB_MSG_DO));
    for (size_t i = 0; i < d->cause_count; i++) {
        for (size_t k = 0; k < d->causes[i].todo_count; k++) {
            if (said_before(d, i, k) || rb_triage_is_again(d->causes[i].todo[k]))
                continue;
            RB_BUF_AUTO text;
            rb_buf_init(&text, SCRATCH);
            rb_render_command(&text, p->t->language, d->causes[i].todo[k]);
            if (shown++ < p->level.todo)
                command(p, rb_buf_str(&text));
            else
                hidden++;
        }
    }
    more(p, hidden, true);
    RB_BUF_AUTO again;
    rb_buf_init(&again, 256);
    rb_triage_again(p->t, &again);
    command(p, rb_buf_str(&again));
    if (d->rollback_count)
        line(p, rb_message(p->t->language, RB_MSG_ROLLBACK));
    for (size_t i = 0; i < d->rollback_count && i < 2; i++)
        command(p, d->rollback[i]);
}

static void add_record(struct paper *p)
{
    const char *id = p->t->diagnosis->incident;
    RB_BUF_AUTO text;
    rb_buf_init(&text, SCRATCH);
    if (id)
        rb_buf_addf(&text, "%s %s",
                    rb_message(p->t->language, p->t->diagnosis->incident_unstored ? RB_MSG_RECORD_UNSTORED : RB_MSG_RECORD_INCIDENT), id);
    section(p, RB_MSG_RECORD, id ? rb_buf_str(&text) : rb_message(p->t->language, RB_MSG_RECORD_NOTHING));
}

static void add_end(struct paper *p)
{
    add_undetermined(p);
    add_observer(p);
    add_not_linked(p);
    if (p->t->diagnosis->cause_count)
        add_todo(p);
}

/* The first lines of the section, as many as fit into `room`. As comments: pasting the report must run nothing. */
static void add_section_lines(struct paper *p, const struct rb_runbook_text *section, size_t room)
{
    room = room < SECTION_SHOWN ? room : SECTION_SHOWN;
    if (!section || section->state != RB_RUNBOOK_FOUND || room == 0)
        return;
    bool all = section->more == 0 && section->line_count <= room;
    size_t shown = all ? section->line_count : room - 1;
    for (size_t i = 0; i < shown; i++) {
        RB_BUF_AUTO text;
        rb_buf_init(&text, SCRATCH);
        rb_buf_addf(&text, "   # %s", section->lines[i]);
        line(p, rb_buf_str(&text));
    }
    if (all)
        return;
    RB_BUF_AUTO count, rest;
    rb_buf_init(&count, 32);
    rb_buf_init(&rest, 256);
    rb_buf_addf(&count, "%zu", section->line_count + section->more - shown);
    rb_buf_adds(&rest, "   # ");
    RB_SAY(&rest, p->t->language, AND_MORE, rb_buf_str(&count));
    line(p, rb_buf_str(&rest));
}

static void add_runbook(struct paper *p, size_t room)
{
    size_t check = rb_triage_runbook_check(p->t);
    RB_BUF_AUTO text;
    rb_buf_init(&text, SCRATCH);
    rb_triage_runbook(p->t, check, &text);
    if (text.len == 0)
        return;
    section_lines(p, RB_MSG_RUNBOOK, rb_buf_str(&text), 2);
    add_section_lines(p, rb_triage_section(p->t->view, check), room);
}

static void add_healthy_end(struct paper *p)
{
    const struct rb_diagnosis *d = p->t->diagnosis;
    RB_BUF_AUTO text;
    rb_buf_init(&text, SCRATCH);
    for (size_t i = 0; i < d->not_linked_count; i++)
        rb_buf_addf(&text, "%s%s", i ? ", " : "", rb_render_check_name(p->t->view, d->not_linked[i].check));
    if (text.len)
        section(p, RB_MSG_NOT_LINKED_HEALTHY, rb_buf_str(&text));
    rb_buf_reset(&text);
    rb_triage_last(p->t, &text);
    section(p, RB_MSG_LAST, rb_buf_str(&text));
    if (d->incident)
        add_record(p);
}

static void add_start(struct paper *p)
{
    static void (*const writers[])(const struct rb_triage *, struct rb_buf *) = {rb_triage_verdict, rb_triage_safety, rb_triage_data};
    static const enum rb_message labels[] = {RB_MSG_VERDICT, RB_MSG_SAFETY, RB_MSG_DATA};
    RB_BUF_AUTO text;
    rb_buf_init(&text, SCRATCH);
    rb_triage_header(p->t, &text);
    line(p, rb_buf_str(&text));
    if (p->t->view->stuck) {
        RB_BUF_AUTO age;
        rb_buf_init(&age, 64);
        rb_render_duration_in(&age, p->t->language, p->t->view->age_s);
        rb_buf_reset(&text);
        RB_SAY(&text, p->t->language, STUCK, rb_buf_str(&age));
        line(p, rb_buf_str(&text));
    }
    blank(p);
    for (size_t i = 0; i < 3; i++) {
        rb_buf_reset(&text);
        writers[i](p->t, &text);
        section_lines(p, labels[i], rb_buf_str(&text),
                      p->t->diagnosis->verdict == RB_VERDICT_HEALTHY && i > 0 ? 1 : 2); /* healthy: 8 lines in all */
    }
}

int rb_render_triage_text(const struct rb_view *view, const struct rb_diagnosis *diagnosis, const struct rb_text_style *style,
                          struct rb_buf *out, struct rb_error *err)
{
    struct rb_triage t = {.view = view, .diagnosis = diagnosis, .language = style->language};
    size_t columns = style->columns && style->columns < MAX_COLUMNS ? style->columns : MAX_COLUMNS;
    struct paper p = {.t = &t, .out = out, .columns = columns < 40 ? 40 : columns};
    add_start(&p);
    if (diagnosis->verdict == RB_VERDICT_HEALTHY) {
        add_healthy_end(&p);
        return rb_buf_check(out, "triage", err);
    }
    RB_BUF_AUTO end, named;
    rb_buf_init(&end, SCRATCH);
    rb_buf_init(&named, SCRATCH);
    struct paper last = {.t = &t, .out = &end, .columns = p.columns}, runbook = {.t = &t, .out = &named, .columns = p.columns};
    add_runbook(&runbook, 0); /* how much it takes at least; the rest of the page decides how much of it is quoted */
    size_t reserved = 0, needed = diagnosis->cause_count ? CAUSE_LINES : 0;
    for (size_t i = 0; i == 0 || (i < LEVELS && p.lines + reserved + needed > MAX_LINES); i++) {
        rb_buf_reset(&end);
        last.lines = 0;
        last.level = levels[i];
        add_end(&last);
        reserved = last.lines + runbook.lines + 1;
    }
    if (diagnosis->cause_count) {
        blank(&p);
        add_causes(&p, p.lines + reserved < MAX_LINES ? MAX_LINES - p.lines - reserved : 0);
    }
    rb_buf_add(out, rb_buf_str(&end), end.len);
    out->failed = out->failed || end.failed;
    p.lines += last.lines;
    add_runbook(&p, p.lines + runbook.lines + 1 < MAX_LINES ? MAX_LINES - p.lines - runbook.lines - 1 : 0);
    add_record(&p);
    return rb_buf_check(out, "triage", err);
}
