/* What the text and the HTML form of the triage report share. Private to lib/render. */
#ifndef RB_RENDER_TRIAGE_H
#define RB_RENDER_TRIAGE_H

#include "internal.h"

struct rb_triage {
    const struct rb_view *view;
    const struct rb_diagnosis *diagnosis;
    enum rb_language language;
};

/* Each appends one line of unescaped text, without a newline. */
void rb_triage_header(const struct rb_triage *t, struct rb_buf *out);
void rb_triage_verdict(const struct rb_triage *t, struct rb_buf *out);
void rb_triage_safety(const struct rb_triage *t, struct rb_buf *out);
void rb_triage_data(const struct rb_triage *t, struct rb_buf *out);
void rb_triage_last(const struct rb_triage *t, struct rb_buf *out);
void rb_triage_cause_title(const struct rb_triage *t, size_t rank, struct rb_buf *out);
void rb_triage_cause_check(const struct rb_triage *t, const struct rb_cause *cause, struct rb_buf *out);
/* The command that asks for this report again, and what to expect of it. */
void rb_triage_again(const struct rb_triage *t, struct rb_buf *out);
bool rb_triage_is_again(const char *command);
/* The check whose section of the runbook belongs to the report: of the first cause that names one, else of the first open question; SIZE_MAX: none. */
size_t rb_triage_runbook_check(const struct rb_triage *t);
/* "file.md:457  Heading" of a check's section, or that it is no longer there; nothing when it names none. */
void rb_triage_runbook(const struct rb_triage *t, size_t check, struct rb_buf *out);
/* The section as the file has it now; NULL when the check names none or it was not read. */
const struct rb_runbook_text *rb_triage_section(const struct rb_view *view, size_t check);
/* In the reader's language: what a cause explains, a change, something refuted ("what: why"), what would settle a question. */
void rb_triage_how(const struct rb_triage *t, const struct rb_explained *explained, struct rb_buf *out);
const char *rb_triage_explained_name(const struct rb_triage *t, const struct rb_explained *explained);
void rb_triage_change(const struct rb_triage *t, const struct rb_change *change, struct rb_buf *out);
void rb_triage_ruled_out(const struct rb_triage *t, const struct rb_ruled_out *ruled, struct rb_buf *out);
void rb_triage_settle(const struct rb_triage *t, const struct rb_open_question *question, struct rb_buf *out);
/* What it is and since when. */
void rb_triage_not_linked(const struct rb_triage *t, const struct rb_not_linked *entry, struct rb_buf *out);

/* ---- where lines break ---- */
/* Bytes of `text` that fit into `columns`, ended at a blank where there is one; never 0 for a text that is not empty. */
size_t rb_triage_fitting(const char *text, size_t columns);
/* Where a shell word of the command may end a line: the last blank outside of quotes within `columns`; 0: nowhere. `out_comment`: where a comment begins, or the end. */
size_t rb_triage_breakable(const char *text, size_t columns, size_t *out_comment);
/* Lines that a command without its comment takes, broken at blanks; 0: it cannot be broken, or only into more than RB_TRIAGE_COMMAND_LINES. */
#define RB_TRIAGE_COMMAND_LINES 4u
size_t rb_triage_command_lines(const char *text, size_t len, size_t room);

#endif
