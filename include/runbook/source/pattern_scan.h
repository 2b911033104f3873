/* Many regular expressions over many texts in one pass: Vectorscan finds the lines that may match, PCRE2 confirms and captures.
 *
 * A match lies within one line, as in `rg -n`: `^` and `$` are the line's ends, also before "\r\n" (rg --crlf); a line ends at '\n'. Patterns are PCRE2. Without
 * RB_PATTERN_BYTES they see Unicode: bytes that are not valid UTF-8 never match, the text around them does. What Vectorscan cannot
 * compile (look-around, back references) it filters roughly, or PCRE2 looks at each line alone. */
#ifndef RUNBOOK_SOURCE_PATTERN_SCAN_H
#define RUNBOOK_SOURCE_PATTERN_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#include "runbook/base/error.h"

enum rb_pattern_flag {
    RB_PATTERN_IGNORE_CASE = 1,
    RB_PATTERN_BYTES = 2, /* each byte is a character: \w, \s, \b are ASCII, and invalid UTF-8 can match */
    RB_PATTERN_ALL = 4,   /* every match of a line, not only its first */
    RB_PATTERN_ONCE = 8   /* one match in a text is enough: nothing further is looked for or counted */
};
struct rb_pattern {
    const char *regex;
    const char *filter; /* NULL, or a simpler expression that occurs in every line that `regex` matches: cheaper to look for */
    unsigned flags;     /* enum rb_pattern_flag */
};

enum { RB_PATTERN_MAX_COUNT = 2000, RB_PATTERN_MAX_HITS = 2000 /* of one pattern in one text */ };

struct rb_pattern_hit {
    size_t pattern;                /* index into the set */
    size_t line, column;           /* from 1; the column counts bytes */
    size_t start, end;             /* offsets into the searched text */
    size_t value_start, value_end; /* of the first capture group that took part, else start and end */
    size_t line_start, line_end;   /* without the line's end */
};
/* What one pattern did not tell about one text. */
struct rb_pattern_misses {
    size_t dropped; /* matches beyond RB_PATTERN_MAX_HITS */
    size_t gave_up; /* lines on which a limit was reached: neither yes nor no */
};
/* Owned by the scanner, valid until its next run. */
struct rb_pattern_result {
    const struct rb_pattern_hit *hits; /* by start, then by pattern */
    size_t count;
    const struct rb_pattern_misses *misses; /* one per pattern */
    const char *text;                       /* what the offsets refer to: the bytes given, or UTF-16 turned into UTF-8 */
    size_t len;
    bool binary; /* holds a NUL: only what lies before the line of the NUL was searched, nothing if it is in the first 64 KiB */
};

struct rb_pattern_set;     /* immutable: any number of scanners at a time */
struct rb_pattern_scanner; /* one owner at a time */

/* Compiles. The regexes must outlive the set. RB_EINVAL when one is no PCRE2 expression (`out_bad` gets its index), RB_ELIMIT, RB_ENOMEM, RB_EUNSUPPORTED (processor). */
int rb_pattern_set_new(const struct rb_pattern *patterns, size_t count, struct rb_pattern_set **out, size_t *out_bad,
                       struct rb_error *err) RB_MUST_CHECK;
void rb_pattern_set_free(struct rb_pattern_set *set);
int rb_pattern_scanner_new(const struct rb_pattern_set *set, struct rb_pattern_scanner **out, struct rb_error *err) RB_MUST_CHECK;
void rb_pattern_scanner_free(struct rb_pattern_scanner *scanner);
/* Searches one text for the patterns for which `wanted` is true. RB_ENOMEM or RB_ESYS: nothing is known then. */
int rb_pattern_scan(struct rb_pattern_scanner *scanner, const char *bytes, size_t len, const bool *wanted, struct rb_pattern_result *out,
                    struct rb_error *err) RB_MUST_CHECK;

#endif
