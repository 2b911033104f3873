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
/* The title without the check's name that it may begin with; never NULL. */
const char *rb_triage_short_title(const struct rb_triage *t, const struct rb_not_linked *entry);
const char *rb_triage_runbook(const struct rb_triage *t); /* of the first cause that has one, or NULL */

#endif
