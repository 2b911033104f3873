/* What the files of the pattern scanner share. */
#ifndef RUNBOOK_LIB_SOURCE_PATTERN_SCAN_INTERNAL_H
#define RUNBOOK_LIB_SOURCE_PATTERN_SCAN_INTERNAL_H

#include <hs/hs.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "runbook/source/pattern_scan.h"

/* Which views of a text a pattern is looked for in. */
enum pattern_way {
    WAY_BYTES, /* found in bytes as they are; for Unicode patterns only as long as the text is ASCII */
    WAY_LINES  /* Vectorscan cannot help: PCRE2 on each line */
};
struct pattern_info {
    enum pattern_way way;
    bool wide;           /* means something else on non-ASCII text than byte by byte: then the wide database looks for it */
    bool wide_way_lines; /* the wide database has no place for it either */
    unsigned next;       /* 1 + the next pattern that is looked for by the same filter, which stands for both; 0: none */
    bool follows;        /* another pattern's filter stands for this one */
    bool ends;           /* looks at the end of the line, which "\r\n" hides from Vectorscan */
};

struct rb_pattern_set {
    const struct rb_pattern *patterns;
    size_t count;
    struct pattern_info *infos;
    hs_database_t *narrow, *wide; /* wide: only the patterns that need it; NULL when there is none */
    bool any_wide, any_ends, any_lines;
};

/* pattern_scan_compile.c: PCRE2 code of one pattern, JIT-compiled where possible; NULL with `err`. */
pcre2_code *pattern_compile(const struct rb_pattern *pattern, struct rb_error *err);

/* pattern_scan_text.c: views of a text. */
bool text_is_ascii(const char *bytes, size_t len);
/* Replaces every byte that is not part of valid UTF-8 by '\n'. True when there was one. */
bool text_blank_invalid(char *bytes, size_t len);
/* Whether there is a "\r\n". (memmem takes four times as long.) */
bool text_has_returns(const char *bytes, size_t len);
/* Replaces '\r' before '\n' by '\n'. */
void text_blank_returns(char *bytes, size_t len);
/* Appends UTF-8 for UTF-16 (after its mark); lone surrogates become U+FFFD. `out` has room for len / 2 * 3 bytes. Returns the length. */
size_t text_from_utf16(const char *bytes, size_t len, bool big_endian, char *out);

#endif
