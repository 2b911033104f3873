/* Path patterns: `*` and `?` stay within a path segment, `**` crosses segments, `[a-z]`, `{a,b}`, `\` escapes. Paths are relative, with '/'.
 * As in gitignore(5) `**` between slashes matches zero or more folders. Linear in practice, bounded always (step limit). */
#ifndef RUNBOOK_BASE_GLOB_H
#define RUNBOOK_BASE_GLOB_H

#include <stdbool.h>
#include <stddef.h>

#include "runbook/base/error.h"

bool rb_glob_match(const char *pattern, const char *path);
/* True when the pattern has no meta character, i.e. names one path. */
bool rb_glob_is_literal(const char *pattern);
/* 0, or RB_EINVAL with what is wrong (unclosed bracket or brace, absolute, "..", empty, too long: 1024). */
int rb_glob_check(const char *pattern, struct rb_error *err) RB_MUST_CHECK;
/* True when some path below folder `dir` ("" is the root) could match: lets a walk prune. May say true too often, never false wrongly. */
bool rb_glob_may_match_below(const char *pattern, const char *dir);

#endif
