/* Hostile text made harmless: escaping for people, quoting for shells, clipping for screens.
 *
 * Every text output of the program passes through rb_text_escape; every fact that enters a printed command passes
 * through rb_text_shell_quote. There is no third way. */
#ifndef RUNBOOK_BASE_TEXT_H
#define RUNBOOK_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "runbook/base/buf.h"

/* Appends `text` with everything that could act on a terminal or mislead a reader shown as an escape:
 * C0 controls and DEL as \n \r \t \xHH; C1 controls (they are valid UTF-8: \xHH would look like a stray byte), bidi controls, zero-width,
 * invisible and line-separator characters, tags, noncharacters and U+FEFF as \u{HHHH}; bytes that are not valid UTF-8 (RFC 3629: overlong
 * forms and surrogates too) as \xHH; a backslash as is. The result is one line of valid UTF-8; escaping it again changes nothing. */
void rb_text_escape(struct rb_buf *out, const char *text, size_t len);
/* As above for a terminated string; NULL appends nothing. */
void rb_text_escapes(struct rb_buf *out, const char *text);

/* True when rb_text_escape would leave it unchanged. */
bool rb_text_is_plain(const char *text, size_t len);
bool rb_text_is_utf8(const char *text, size_t len);

/* Appends `value` quoted for a POSIX shell (single quotes, IEEE Std 1003.1 2.2.2). Returns false and appends nothing when the value
 * holds a control, bidi or invalid character or NUL: such a value must not enter a command. A plain value made only of
 * [A-Za-z0-9_./:=@%+,-] and not starting with '-' or '~' is left bare. */
bool rb_text_shell_quote(struct rb_buf *out, const char *value) RB_MUST_CHECK;

/* Number of terminal columns of valid UTF-8 (East Asian wide count 2, combining 0). */
size_t rb_text_columns(const char *text, size_t len);
/* Appends at most `columns` columns of `text`; when cut, the last column is U+2026. Never cuts inside a character. */
void rb_text_clip(struct rb_buf *out, const char *text, size_t columns);

/* Edit distance (Damerau-Levenshtein, restricted) for suggestions; inputs above 64 bytes give a large number. */
unsigned rb_text_distance(const char *a, const char *b);
/* The nearest of `candidates` (NULL-terminated) within a third of the length (at least 1, at most 3), or NULL. */
const char *rb_text_nearest(const char *word, const char *const *candidates);

/* Case-insensitive ASCII search; NULL when absent. Locale-free. */
const char *rb_text_find_nocase(const char *haystack, const char *needle);

#endif
