/* Tab-separated lines with JSON strings, as baselines, caches and the accept log use them. Private to lib/drift. */
#ifndef RUNBOOK_DRIFT_LINES_H
#define RUNBOOK_DRIFT_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runbook/base/arena.h"
#include "runbook/base/buf.h"

enum { LINE_MAX_FIELDS = 12 };

/* Cuts `line` (terminated, writable) at tabs. Number of fields, 0 when there are more than LINE_MAX_FIELDS. */
size_t line_split(char *line, char *fields[LINE_MAX_FIELDS]);
/* Undoes a JSON string of rb_drift_value_string in place; the result begins somewhere in the field. NULL when it is none, or holds a NUL. */
char *line_unquote(char *field);
/* As above, "-" is NULL; `*ok` becomes false when it is neither. */
char *line_optional(char *field, bool *ok);
void line_add_optional(struct rb_buf *out, const char *text);
/* A whole regular file, terminated and writable, straight into the arena; NULL when it is not there, is no such file, is above `max` or cannot be read in one go. */
char *line_read_file(const char *path, size_t max, struct rb_arena *arena, size_t *out_len);
bool line_number(const char *field, int64_t *out);

#endif
