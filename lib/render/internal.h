/* What the renderers share among themselves: JSON and HTML writing, messages with arguments, ages. Not visible outside lib/render. */
#ifndef RB_RENDER_INTERNAL_H
#define RB_RENDER_INTERNAL_H

#include "runbook/base/text.h"
#include "runbook/base/units.h"
#include "runbook/render/render.h"

/* ---- messages.c: appends a text with "%1"… replaced by `args` (NULL-terminated, already escaped). */
void rb_render_message(struct rb_buf *out, enum rb_language language, enum rb_message id, const char *const *args);
/* A sentence of a check or of the diagnosis, in the reader's language where the catalogue knows it (runbook/incident/phrase.h); not escaped. */
void rb_render_phrase(struct rb_buf *out, enum rb_language language, const char *text);
/* A command: only the remark behind it is for people. */
void rb_render_command(struct rb_buf *out, enum rb_language language, const char *command);
/* The safety sentence: "OK: …", "VIOLATED: …", with the configuration's title or a plain one. */
void rb_render_safety(struct rb_buf *out, const struct rb_view *view, enum rb_language language);
#define RB_SAY(out, language, id, ...) rb_render_message((out), (language), RB_MSG_##id, (const char *const[]){__VA_ARGS__, NULL})

/* ---- json_writer.c: appends to a buffer; commas follow from the last byte, so there is no writer state.
 * Strings keep valid UTF-8; control, bidi and invisible characters become \u escapes, invalid bytes U+FFFD. */
void rb_jw_open(struct rb_buf *out, char bracket); /* '{' or '[' */
void rb_jw_close(struct rb_buf *out, char bracket);
void rb_jw_key(struct rb_buf *out, const char *key);     /* a literal of ours */
void rb_jw_string(struct rb_buf *out, const char *text); /* NULL: null */
void rb_jw_number(struct rb_buf *out, double value);     /* not finite: null */
void rb_jw_uint(struct rb_buf *out, uint64_t value);
void rb_jw_bool(struct rb_buf *out, bool value);
void rb_jw_time(struct rb_buf *out, int64_t wall_ns); /* 0: null */
void rb_jw_strings(struct rb_buf *out, const char *const *items, size_t count);

/* ---- html.c */
void rb_html_text(struct rb_buf *out, const char *text); /* escaped for terminals' sake and for HTML, text or quoted attribute */
/* Doctype to <main>: strict policy of its own, style for light and dark. `refresh_s` 0: none. */
void rb_html_head(struct rb_buf *out, enum rb_language language, const char *title, unsigned refresh_s);
void rb_html_tail(struct rb_buf *out);

/* ---- view.c: what several renderers derive from a view */
/* Seconds since the last run ended; NaN: never. */
double rb_render_age_s(const struct rb_view *view, size_t index);
/* Name of the check, "?" when out of range. */
const char *rb_render_check_name(const struct rb_view *view, size_t index);
/* Indexes of the chosen checks (NULL: all), worst state first, then by severity and name. NULL when memory is out; free() it. */
size_t *rb_render_order(const struct rb_view *view, const bool *chosen, size_t *out_count);
/* "10 min", "2 d 3 h" or a dash for NaN. */
void rb_render_duration(struct rb_buf *out, double seconds);
/* The same with the decimal sign of the language. */
void rb_render_duration_in(struct rb_buf *out, enum rb_language language, double seconds);
/* Since when, for people: time of day when within the last 20 hours, with the date otherwise; "-" for 0. */
void rb_render_since(struct rb_buf *out, const struct rb_view *view, int64_t wall_ns);
/* ok, warn … with counts, zero ones left out. */
void rb_render_summary(struct rb_buf *out, const struct rb_summary *summary);
void rb_render_check_object(struct rb_buf *out, const struct rb_view *view, size_t index);
void rb_render_summary_object(struct rb_buf *out, const struct rb_view *view);
void rb_render_safety_object(struct rb_buf *out, const struct rb_view *view);

/* ---- drift_json.c: one object a check that compared; `all`: accepted items too */
void rb_render_drift_array(struct rb_buf *out, const struct rb_view *view, bool all);

/* ---- status_text.c: the table of the chosen checks (NULL: all) with its summary line */
int rb_render_table_text(const struct rb_view *view, const bool *chosen, const struct rb_text_style *style, struct rb_buf *out,
                         struct rb_error *err) RB_MUST_CHECK;

#endif
