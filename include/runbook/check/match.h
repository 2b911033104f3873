/* Judging answers: regular expressions with limits, and conditions on JSON values. For kinds that look at hostile bodies. */
#ifndef RUNBOOK_CHECK_MATCH_H
#define RUNBOOK_CHECK_MATCH_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "runbook/base/arena.h"
#include "runbook/config/node.h"

enum rb_match { RB_MATCH_NO, RB_MATCH_YES, RB_MATCH_GAVE_UP /* limit reached or pattern unusable: neither yes nor no */ };

/* Searches `pattern` (PCRE2, UTF; `^` and `$` match at lines) in any bytes, with match, depth and heap limits. `out_end` (may be NULL) gets the offset
 * after the match. Any thread. */
enum rb_match rb_match_regex(const char *pattern, const char *text, size_t len, size_t *out_end);

/* The value at an RFC 6901 pointer ("" is the whole document, "/a/0/b~1c"); NULL when there is none. Borrowed. */
const json_t *rb_json_pointer(const json_t *document, const char *pointer);

/* A condition on one value, as a configuration writes it:
 *   ok, "ok", 3, true, null    equal, typed by YAML's core schema (quoted text is always a string)
 *   '>= 3'  '< 0.5'  '!= down'  '== x'  '=~ ^v1'   comparison; the rest of the text is typed as above
 *   [a, b]                     one of these
 *   {exists: true|false}       present or not
 * Returns NULL when it holds, else one sentence about why not, in the arena: "is "failing", wanted "ok"". `secret` hides the found value.
 * `value` NULL: the document has none there. */
const char *rb_json_condition(const struct rb_node *condition, const json_t *value, bool secret, struct rb_arena *arena);
/* NULL when `condition` can be understood, else what is wrong with it (static text). */
const char *rb_json_condition_check(const struct rb_node *condition);

#endif
